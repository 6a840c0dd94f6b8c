"""Results as rows: one JSON object a line, appended as they come, each at most once."""

from __future__ import annotations

import fcntl
import json
import math
import os
from pathlib import Path
from types import TracebackType
from typing import Any

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
    config_hash : str
        Rows of another configuration are refused.

    Raises
    ------
    ResultsError
        If another run has the file open, it holds rows of another configuration, a doubled row, or
        something else than rows.
    """

    def __init__(self, path: Path, config_hash: str):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.rows, self.done = path, [], set()
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load(config_hash)
        except BlockingIOError:
            self._file.close()
            raise ResultsError(
                f"{path}: another run is writing it; wait, or give --out DIR"
            ) from None
        except ResultsError:
            self._file.close()
            raise

    def _load(self, config_hash: str) -> None:
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
            if found != config_hash:
                raise ResultsError(
                    f"{self.path} holds rows of another configuration ({found}; this one is "
                    f"{config_hash}); give --out DIR, undo the change, or remove the file to start "
                    "afresh"
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
