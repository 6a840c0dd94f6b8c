"""Findings of a check of the background."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bcnmf_jax.extras import require

LEVELS = ("ok", "warn", "unsuitable")


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes
    ----------
    name : str
    level : {"ok", "warn", "unsuitable"}
    value : float
        What was measured.
    threshold : float
        From where on it is a reason to warn.
    advice : str
        A sentence that says what was found and what to do; empty where that is nothing.
    """

    name: str
    level: str
    value: float
    threshold: float
    advice: str


def judge(
    name: str,
    value: float,
    warn: float,
    unsuitable: float | None,
    advice: str,
    *,
    low: bool = False,
) -> Finding:
    """A finding that is worse the larger its value, or the smaller where ``low``.

    Parameters
    ----------
    warn, unsuitable : float
        Values from which on (that one included) it has these levels; None: never.
    """
    reached = [
        limit is not None and (value <= limit if low else value >= limit)
        for limit in (warn, unsuitable)
    ]
    level = LEVELS[2 if reached[1] else int(reached[0])]
    return Finding(name, level, float(value), float(warn), "" if level == "ok" else advice)


@dataclass(frozen=True)
class Check:
    """All findings about a background.

    Attributes
    ----------
    rows : tuple of Finding
    """

    rows: tuple[Finding, ...]

    @property
    def level(self) -> str:
        """The worst of the findings' levels."""
        return max((row.level for row in self.rows), key=LEVELS.index)

    @property
    def advice(self) -> tuple[str, ...]:
        """Advice, that of the worst finding first."""
        order = sorted(self.rows, key=lambda row: -LEVELS.index(row.level))
        return tuple(row.advice for row in order if row.advice)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types, for JSON: ``level`` and ``rows``."""
        return {"level": self.level, "rows": [asdict(row) for row in self.rows]}

    def to_frame(self):
        """The findings as a pandas DataFrame.

        Raises
        ------
        ImportError
            Without pandas.
        """
        return require("pandas", "bio").DataFrame([asdict(row) for row in self.rows])
