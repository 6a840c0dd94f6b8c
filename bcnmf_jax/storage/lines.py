"""Records in a file: a JSON value a line, appended and never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from bcnmf_jax.storage.json_text import parsed

BLOCK = 1 << 16
"""Bytes that are read at once to find the last line."""


def read_lines(path: Path) -> dict[int, Any]:
    """Values of a file in order, by the numbers of their lines from 1; none where there is no file.

    What a killed process left of a last line is no value, nor is a blank line.

    Raises
    ------
    ValueError
        For a line that is no JSON; it names file and line.
    """
    if not path.exists():
        return {}
    *lines, rest = path.read_bytes().split(b"\n")
    values = {}
    for number, line in enumerate([*lines, rest] if _is_value(rest) else lines, 1):
        if not line.strip():
            continue
        try:
            values[number] = parsed(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not a row of JSON ({error})") from error
    return values


def append_lines(path: Path, values: Iterable[Any]) -> None:
    """Append values, and wait until they are on the disk. The folder must exist.

    Raises
    ------
    ValueError
        For a value that JSON does not have; nothing is written.
    """
    text = "".join(json.dumps(value, allow_nan=False) + "\n" for value in values).encode()
    with open(path, "a+b") as file:
        size, rest = _unended(file)
        if _is_value(rest):
            text = b"\n" + text
        elif rest:
            file.truncate(size - len(rest))
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _unended(file: BinaryIO) -> tuple[int, bytes]:
    """The size of a file, and what follows its last end of a line; the rest is not read."""
    size = at = file.seek(0, os.SEEK_END)
    rest = b""
    while at and b"\n" not in rest:
        count = min(BLOCK, at)
        at = file.seek(at - count)
        rest = file.read(count) + rest
    return size, rest.rpartition(b"\n")[2]


def _is_value(rest: bytes) -> bool:
    """Whether a last line is whole and lacks its end alone."""
    try:
        parsed(rest)
    except ValueError:
        return False
    return True
