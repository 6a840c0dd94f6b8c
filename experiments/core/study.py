"""A study: rows that are no fits of a configuration, and their table, in one file.

A module of `experiments.studies`, or a file elsewhere, holds ``STUDY``; ``python -m
experiments.study`` runs it and ``make paper`` makes its table.
"""

from __future__ import annotations

import hashlib
import json
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from experiments.core.formats import Table
from experiments.core.records import PAPER, RowError, read_lines_of
from experiments.core.registry import run_file
from experiments.core.rows import Job, Row

ROWS = PAPER / "studies"
"""Folder of recorded rows, one file a study."""


@dataclass(frozen=True)
class Study:
    """What is computed, and how it is shown.

    Attributes
    ----------
    name : str
        Of its file of rows.
    jobs : callable
        All rows to compute, each as its first fields (the same of every job, ``config_hash`` among
        them, by which no two are alike) and a function that gives the others.
    table : callable
        Makes the table of rows.
    past : frozenset of str
        ``config_hash`` of recorded rows that no job gives any more, and that stay in the file.
    """

    name: str
    jobs: Callable[[], Sequence[Job]]
    table: Callable[[list[Row]], Table]
    past: frozenset[str] = frozenset()


def digest(*settings: Any) -> str:
    """Twelve hexadecimal digits of the SHA-256 of whatever rows depend on."""
    return hashlib.sha256(json.dumps(list(settings)).encode()).hexdigest()[:12]


def names() -> list[str]:
    """Modules of `experiments.studies`, in order."""
    package = import_module("experiments.studies")
    return sorted(found.name for found in pkgutil.iter_modules(package.__path__))


def find(name: str) -> Study:
    """The study of a module's name, or of a file's path.

    Raises
    ------
    RowError
        If there is none.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise RowError(f"there is no file {name}")
        try:
            held = run_file(Path(name)).get("STUDY")
        except ValueError as error:
            raise RowError(str(error)) from error
    elif name in names():
        held = getattr(import_module(f"experiments.studies.{name}"), "STUDY", None)
    else:
        raise RowError(f"no study {name!r}; there are {', '.join(names())}, or give a file .py")
    if held is None:
        raise RowError(f"{name} has no STUDY")
    if not isinstance(held, Study):
        raise RowError(f"{name}: its STUDY is no experiments.core.study.Study")
    if name in names() and held.name != name:
        raise RowError(f"the study {held.name!r} must have the name of its module, {name!r}")
    return held


def tables(folder: Path = ROWS) -> list[Table]:
    """The table of every study that has rows."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        rows = read_lines_of(path)
        if rows:
            found.append(find(path.stem).table(rows))
    return found
