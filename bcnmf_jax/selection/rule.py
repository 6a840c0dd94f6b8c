"""The rule: which candidate is taken, and whether there is anything to take.

Candidates are compared by their **net gain**: the share of the held-out target that their
components explain beyond a basis of the background, less what as many components, fitted in the
same way to a part of the background, explain of another part of it. A candidate is *certain* if its
net gain is more than `CERTAIN` standard errors above 0, over splits; a contrast is found if any
is. Of these, candidates are *near* the largest net gain if they fall short of it by less than a
tenth of it, or by less than one standard error of the difference, split by split. Of those that are
near, the one with the fewest target components is taken; of these the first objective in the order
asked for, and of its contrasts the smallest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

VERSION = 4
"""Raised whenever another choice may come out of the same data: recorded choices name it."""
CERTAIN = 2.0
"""Standard errors that a net gain must be above 0."""
WITHIN = 0.9
"""Share of the largest net gain that is enough."""


def standard_error(values: np.ndarray) -> float:
    """Of a mean over random halves: splits overlap, so that it does not fall to 0 with their number
    (Nadeau & Bengio 2003, for test parts of the size of the training parts)."""
    return float(values.std(ddof=1) * np.sqrt(1 / len(values) + 1))


def plain_error(values: np.ndarray) -> float:
    """Of a mean over splits as if they were independent: how far apart two candidates may be for
    the simpler one to be preferred (the one-standard-error rule; Breiman et al. 1984)."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def summary(
    gain: np.ndarray, null: np.ndarray, beside: dict[str, np.ndarray]
) -> dict[str, float | None]:
    """Criteria of one candidate from its values per split, each ``(splits,)``; those ``beside``
    the gain decide nothing, and are None where they could not be taken."""
    net = gain - null
    error = standard_error(net)
    return {
        "gain": float(gain.mean()),
        "null": float(null.mean()),
        "net": float(net.mean()),
        "net_se": error,
        "certain": float(net.mean() / error) if error > 0 else float("nan"),
    } | {k: None if np.isnan(v).any() else float(v.mean()) for k, v in beside.items()}


def certain(rows: Sequence[dict[str, Any]]) -> list[bool]:
    """Which candidates are certain."""
    return [bool(row["certain"] > CERTAIN) for row in rows]


def eligible(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The candidates that are certain; all, where none is."""
    sure = [row for row, is_sure in zip(rows, certain(rows), strict=True) if is_sure]
    return sure or list(rows)


def best(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of those that are eligible, the candidate of largest net gain."""
    return max(eligible(rows), key=lambda row: row["net"])


def compare(rows: Sequence[dict[str, Any]], nets: Sequence[np.ndarray]) -> None:
    """Say of every candidate how far it is behind the `best`, and the standard error of that over
    splits, as ``behind`` and ``behind_se``; ``nets`` are their gains, each ``(splits,)``."""
    first = best(rows)
    top = next(net for row, net in zip(rows, nets, strict=True) if row is first)
    for row, net in zip(rows, nets, strict=True):
        row["behind"] = float((top - net).mean())
        row["behind_se"] = plain_error(top - net)


def choose(rows: Sequence[dict[str, Any]], order: Sequence[str]) -> dict[str, Any]:
    """The candidate that the rule takes, from rows with ``objective``, ``alpha``,
    ``n_components``, ``net``, ``certain`` and what `compare` says."""
    tenth = (1 - WITHIN) * best(rows)["net"]
    near = [r for r in eligible(rows) if r["behind"] <= max(tenth, r["behind_se"])]
    rank = lambda row: (row["n_components"], order.index(row["objective"]), row["alpha"])  # noqa: E731
    return min(near, key=rank)


def background_rank(ranks: Sequence[int], crossed: np.ndarray) -> int:
    """The largest number of background components whose cross-validated share is within one
    standard error of the best: too few take shared structure for the target's, more do little harm.

    Parameters
    ----------
    ranks : sequence of int
    crossed : array (splits, ranks)
    """
    top = int(np.argmax(crossed.mean(0)))
    behind = crossed[:, [top]] - crossed
    return max(
        rank for rank, gap in zip(ranks, behind.T, strict=True) if gap.mean() <= plain_error(gap)
    )
