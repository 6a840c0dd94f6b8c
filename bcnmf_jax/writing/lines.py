"""Records in a file: a JSON value a line, appended and never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bcnmf_jax.json_text import parsed


def read_lines(path: Path) -> list[Any]:
    """Values of a file in order; none where there is no file.

    What a killed process left of a last line is no value.

    Raises
    ------
    ValueError
        For a line that is no JSON; it names file and line.
    """
    if not path.exists():
        return []
    whole, rest = _split(path.read_bytes())
    values, lines = [], whole.split(b"\n")[:-1]
    for number, line in enumerate([*lines, rest] if _is_value(rest) else lines, 1):
        try:
            values.append(parsed(line))
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
        file.seek(0)
        whole, rest = _split(file.read())
        if _is_value(rest):
            text = b"\n" + text
        elif rest:
            file.truncate(len(whole))
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _split(content: bytes) -> tuple[bytes, bytes]:
    """The lines that have an end, and what follows them."""
    whole, end, rest = content.rpartition(b"\n")
    return whole + end, rest


def _is_value(rest: bytes) -> bool:
    """Whether a last line is whole and lacks its end alone."""
    try:
        parsed(rest)
    except ValueError:
        return False
    return True
