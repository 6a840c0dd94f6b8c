"""Results as rows: one JSON object a line, appended as they come, each at most once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tqdm import tqdm

from bcnmf_jax.storage.lines import append_lines, read_lines
from bcnmf_jax.storage.locks import LOCK, InUseError, locked

Row = dict[str, Any]
Job = tuple[Row, Callable[[], Row]]
"""Fields that say what a row is about, and what gives the rest of it."""


class ResultsError(ValueError):
    """A results file that cannot be continued; the message says what to do."""


def key(row: Row) -> str:
    """What a row is about, apart from everything that came out.

    An alpha that was chosen by the method is an outcome, and with alpha in total units the total
    is what was asked for.
    """
    mode = row["options"].get("alpha_mode")
    alpha = {"auto": "auto", "total": row["alpha_total"]}.get(mode, row["alpha"])
    about = [row[k] for k in ("data", "data_args", "experiment", "method", "loss", "rank")]
    return json.dumps([*about, alpha, row["extra"], row["options"], row["seed"]], sort_keys=True)


def plain(value: Any) -> Any:
    """A value as JSON has it: no NaN (null), six significant digits of what was measured."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


class Results:
    """An open file of rows: what it holds, and the way to add to it. No row is ever removed.

    A last line that a killed run left unfinished is no row. No other run can open the file until it
    is closed or this process ends.

    Parameters
    ----------
    path : Path
        Made, with its folder, with the first row.
    hashes : set of str
        ``config_hash`` of every row that the file may hold; others are refused. A row with one of
        them stays, though a shorter run may not ask for it.
    key : callable
        What a row is about: no two rows are about the same.

    Raises
    ------
    ResultsError
        If another run has the file open, it holds rows of another ``config_hash``, a doubled row,
        or something else than rows.
    """

    def __init__(self, path: Path, hashes: set[str], key: Callable[[Row], str] = key):
        self.path, self.key = path, key
        self.rows: list[Row] = []
        self.done: set[str] = set()
        self._open = ExitStack()
        try:
            self._open.enter_context(locked(path.parent, name=f"{LOCK}.{path.name}"))
            self._load(hashes)
        except InUseError:
            raise ResultsError(
                f"{path}: another run is writing it; wait, or give --out DIR"
            ) from None
        except BaseException:
            self._open.close()
            raise

    def _load(self, hashes: set[str]) -> None:
        other = "move the file away to begin anew, or give --out DIR"
        try:
            rows = read_lines(self.path)
        except ValueError as error:
            raise ResultsError(f"{error}; repair it, or {other}") from error
        for number, row in rows.items():
            try:
                found, about = row["config_hash"], self.key(row)
            except (KeyError, TypeError, AttributeError) as error:
                raise ResultsError(
                    f"{self.path}, line {number}: not a row of results ({error!r}); repair it, or "
                    f"{other}"
                ) from error
            if found not in hashes:
                raise ResultsError(
                    f"{self.path}, line {number}: a row of another configuration (config_hash "
                    f"{found}); undo the change, {other}"
                )
            if about in self.done:
                raise ResultsError(f"{self.path}, line {number}: a doubled row; remove the line")
            self.rows.append(row)
            self.done.add(about)

    def append(self, rows: list[Row]) -> None:
        """Write rows and make sure that they are on the disk.

        Raises
        ------
        ValueError
            If one of them is there already: nothing is written.
        """
        keys = [self.key(row) for row in rows]
        if len(set(keys)) < len(keys) or self.done & set(keys):
            raise ValueError(f"{self.path}: a row would be doubled")
        append_lines(self.path, rows)
        self.rows += rows
        self.done.update(keys)

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()


def recorded(
    path: Path, jobs: Sequence[Job], shared: Row, only: str = "", past: frozenset[str] = frozenset()
) -> list[Row]:
    """Rows that are no fits: those that a file holds, and those of the jobs that it lacks, which
    are appended as they come.

    Parameters
    ----------
    path : Path
        Made, with its folder, where it does not exist.
    jobs : sequence of (dict, callable)
        The fields that tell a row from all others, the same of every job and ``config_hash`` among
        them, and what gives the rest.
    shared : dict
        Fields of all rows.
    only : str
        What ``config_hash`` of the jobs that are done now begins with.
    past : frozenset of str
        ``config_hash`` of further rows that the file may hold.

    Raises
    ------
    ResultsError
        As `Results`.
    """
    if not jobs:
        raise ResultsError(f"{path}: there are no jobs to do")
    fields = list(jobs[0][0])
    if "config_hash" not in fields or any(list(about) != fields for about, _ in jobs):
        raise ResultsError(
            f"{path}: the first fields of all jobs must be the same, and config_hash among them"
        )

    def about_what(row: Row) -> str:
        return json.dumps([row[field] for field in fields], sort_keys=True)

    hashes = {about["config_hash"] for about, _ in jobs} | past
    with Results(path, hashes, about_what) as results:
        if not any(about["config_hash"].startswith(only) for about, _ in jobs):
            raise ResultsError(f"no job's config_hash begins with {only!r}")
        todo = [(plain(about), work) for about, work in jobs]
        if len({about_what(about) for about, _ in todo}) < len(todo):
            raise ResultsError(f"{path}: two jobs have the same first fields")
        todo = [
            (about, work)
            for about, work in todo
            if about_what(about) not in results.done and about["config_hash"].startswith(only)
        ]
        for about, work in tqdm(todo, unit="row"):
            results.append([plain(shared | about | work())])
        return results.rows
