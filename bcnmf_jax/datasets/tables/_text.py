"""Comma- and tab-separated text with a header of feature names."""

from __future__ import annotations

import csv
import warnings
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bcnmf_jax.datasets.dataset import Array
from bcnmf_jax.datasets.tables.table import Table, TableError
from bcnmf_jax.datasets.tenx import open_text
from bcnmf_jax.extras import require

MISSING = [
    "", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null",
    "None",
]  # fmt: skip
"""Missing values, as R, pandas and spreadsheets write them; a sample may be called so."""


def read_text(path: Path) -> Table:
    """Read a line per sample below a header of feature names.

    The first column is names of samples if its header is empty or missing (as R writes it), or if
    some of its values are no numbers.
    """
    comma = ".csv" in [suffix.lower() for suffix in path.suffixes[-2:]]
    names, frame = _frame(path, "," if comma else "\t")
    samples, start = np.arange(len(frame)).astype(str), 0
    if not names[0] or not _numeric(frame[0]):
        samples, start = frame[0].to_numpy(str), 1
    if start == len(names):
        raise TableError(
            f"it has no column of numbers; values are to stand between "
            f"{'commas' if comma else 'tabs'}"
        )
    if all(map(_fraction, names[start:])):
        raise TableError("its first line holds numbers; a header of feature names comes first")
    columns = [_numbers(frame[k], names[k], samples) for k in range(start, len(names))]
    return Table(np.stack(columns, axis=1), np.array(names[start:], dtype=str), samples)


def _frame(path: Path, separator: str) -> tuple[list[str], Any]:
    """Names and columns; of the first column the text as it stands."""
    pandas = require("pandas", "cli")
    with open_text(path) as stream:
        if stream.read(1) != "\ufeff":  # Excel's mark
            stream.seek(0)
        lines = list(islice(csv.reader(stream, delimiter=separator), 2))
    if len(lines) < 2 or not lines[0]:
        raise TableError(
            "it has no samples: a header of feature names comes first, then their lines"
        )
    names = [name.strip() for name in lines[0]]
    if len(lines[1]) == len(names) + 1:
        names = ["", *names]
    with warnings.catch_warnings():
        # Values beyond the names are an error, not a column to drop.
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            frame = pandas.read_csv(
                path, sep=separator, skiprows=1, header=None, names=range(len(names)),
                index_col=False, dtype={0: object}, low_memory=False, keep_default_na=False,
                na_values={k: [] if k == 0 else MISSING for k in range(len(names))},
            )  # fmt: skip
        except pandas.errors.ParserWarning as error:
            raise TableError(
                f"lines have more values than the {len(names)} of its header"
            ) from error
    return names, frame


def _numeric(column: Any) -> bool:
    """Whether there are numbers, and every value that is there is one."""
    column = column.mask(column.isin(MISSING))
    numbers = require("pandas", "cli").to_numeric(column, errors="coerce")
    return bool(numbers.notna().any() and not (numbers.isna() & column.notna()).any())


def _fraction(name: str) -> bool:
    """Whether a name is a number that nobody calls a feature by: not a whole one."""
    try:
        return not float(name).is_integer()
    except ValueError:
        return False


def _numbers(column: Any, name: str, samples: Array) -> Array:
    column = column.mask(column.isin(MISSING))  # the first column still has its text
    numbers = require("pandas", "cli").to_numeric(column, errors="coerce")
    odd = (numbers.isna() & column.notna()).to_numpy()
    if odd.any():
        at = int(np.argmax(odd))
        raise TableError(
            f"feature {name} is {column.iloc[at]!r} in sample {samples[at]}; only the first column "
            "may hold text"
        )
    with np.errstate(over="ignore"):  # too large a number is infinite, which `Table.check` names
        return numbers.to_numpy(np.float32)
