"""Output for the user: tables, one line for a mistake, one JSON object for a program."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from bcnmf_jax.data.checks import DataWarning
from bcnmf_jax.report.run_values import plain

WIDTH = 120
"""Columns of a table that goes to a file."""


def say(text: str) -> None:
    """A line for the user, beside the results."""
    print(f"bcnmf: {' '.join(text.split())}", file=sys.stderr)


def emit(found: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(plain(found), allow_nan=False))


def table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Rows as a table on stdout, under the names of the first."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for name in rows[0]:
        number = isinstance(rows[0][name], int | float)
        shown.add_column(
            name.replace("_", " "), justify="right" if number else "left", overflow="fold"
        )
    for row in rows:
        shown.add_row(*map(short, row.values()))
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(shown)


def short(value: Any) -> str:
    """A value in a few characters."""
    value = plain(value)
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.3g}"
    return ", ".join(map(short, value)) if isinstance(value, list) else str(value)


@contextmanager
def noticing() -> Iterator[list[str]]:
    """Collect what is warned of, each sentence once, and say it; only what is about the data."""
    from sklearn.exceptions import ConvergenceWarning

    said: list[str] = []

    def note(message: Any, *_: Any) -> None:
        if (text := " ".join(str(message).split())) not in said:
            said.append(text)
            say(f"warning: {text}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in (DataWarning, ConvergenceWarning):
            warnings.simplefilter("always", kind)
        warnings.showwarning = note
        yield said
