"""JSON that others may have written: parsed, or a ValueError, however odd it is."""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 50
"""Levels of nesting; what the package writes has fewer than ten."""


def parsed(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises
    ------
    ValueError
        For what is no JSON, among it NaN and Infinity, and what is nested more than `DEEPEST` deep.
    """
    try:
        found = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep") from None
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")
        held = [
            v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)
        ]
        level = [v for values in held for v in values]
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
