"""Results as rows: one JSON object a line, appended as they come, each at most once."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from experiments.records import replace_bytes

Row = dict[str, Any]


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
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


class Results:
    """An open results file: what it holds, and the way to add to it.

    Opening drops a last line that a killed run left unfinished, and locks the file against a
    second run until it is closed or its process ends.

    Parameters
    ----------
    path : Path
        Made, with its folder, where it does not exist.
    hashes : set of str
        `Config.hash` of every method on every data set; other rows are refused.

    Raises
    ------
    ResultsError
        If another run has the file open, it holds rows that the configuration does not ask for, a
        doubled row, or something else than rows.
    """

    def __init__(self, path: Path, hashes: set[str]):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.rows, self.done = path, [], set()
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load(hashes)
        except BlockingIOError:
            self._file.close()
            raise ResultsError(
                f"{path}: another run is writing it; wait, or give --out DIR"
            ) from None
        except ResultsError:
            self._file.close()
            raise

    def _load(self, hashes: set[str]) -> None:
        self._file.seek(0)
        whole, newline, torn = self._file.read().rpartition(b"\n")
        if torn:
            self._file.truncate(len(whole) + len(newline))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                row = json.loads(line)
                found, about = row["config_hash"], key(row)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ResultsError(
                    f"{self.path}, line {number}: not a row of results ({error!r}); repair or "
                    "remove the file, or give --out DIR"
                ) from error
            if found not in hashes:
                raise ResultsError(
                    f"{self.path}, line {number}: a row of another configuration (config_hash "
                    f"{found}); undo the change, remove the rows with this hash to fit them "
                    "anew, or give --out DIR"
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
        keys = [key(row) for row in rows]
        if len(set(keys)) < len(keys) or self.done & set(keys):
            raise ValueError(f"{self.path}: a row would be doubled")
        lines = [json.dumps(row, allow_nan=False) + "\n" for row in rows]
        self._file.write("".join(lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
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
        self._file.close()


def recorded(path: Path, jobs: Sequence[tuple[Row, Callable[[], Row]]], shared: Row) -> list[Row]:
    """Rows that are no fits: those that a file holds, and those of the jobs that it lacks, which
    are appended as they come.

    Parameters
    ----------
    path : Path
        Made, with its folder, where it does not exist.
    jobs : sequence of (dict, callable)
        The fields that tell a row from all others, ``config_hash`` among them, and what gives the
        rest. Rows with a hash that no job has are left out of the file.
    shared : dict
        Fields of all rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    hashes = {about["config_hash"] for about, _ in jobs}
    rows = [row for row in map(json.loads, lines) if row["config_hash"] in hashes]
    dump = lambda row: json.dumps(row, allow_nan=False) + "\n"  # noqa: E731
    replace_bytes(path, "".join(map(dump, rows)).encode())
    held = [row.items() for row in rows]
    jobs = [(plain(about), work) for about, work in jobs]
    todo = [job for job in jobs if not any(all(i in own for i in job[0].items()) for own in held)]
    with path.open("a") as file:
        for about, work in tqdm(todo, unit="row"):
            rows.append(plain(shared | about | work()))
            file.write(dump(rows[-1]))
            file.flush()
    return rows
