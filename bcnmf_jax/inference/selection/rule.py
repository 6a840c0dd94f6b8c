"""The rule: which candidate is taken, and whether there is anything to take.

Candidates are compared by their **net gain**: the share of the held-out target that their
components explain beyond a basis of the background, less what as many components, fitted in the
same way to a part of the background, explain of another part of it. A candidate is *certain* if its
net gain is above 0 at `LEVEL` by Student's t over splits; a contrast is found if any is. Of these,
the number of components is the smallest beyond which more are not worth it: they are if they raise
the net gain by a tenth for each component more (compounded), and by more than one standard error of
the difference, split by split. Of that number, candidates are *near* the largest net gain if they
fall short of it by less than a tenth of it, or by less than one standard error of the difference;
of these the first objective in the order asked for is taken, and of its contrasts the smallest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

VERSION = 5
"""Raised whenever another choice may come out of the same data: recorded choices name it."""
LEVEL = 0.025
"""One-sided level at which a net gain must be above 0."""
TENTH = 0.1
"""Share of a net gain that a component more must add, and that the simpler of two may lack."""


def standard_error(values: np.ndarray, ratio: float) -> float:
    """Of a mean over random splits: they overlap, so that it does not fall to 0 with their number
    (Nadeau & Bengio 2003); ``ratio`` is what is held out for each that is fitted to."""
    return float(values.std(ddof=1) * np.sqrt(1 / len(values) + ratio))


def plain_error(values: np.ndarray) -> float:
    """Of a mean over splits as if they were independent: how far apart two candidates may be and
    still count as equal (the one-standard-error rule; Breiman et al. 1984)."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def summary(
    gain: np.ndarray, null: np.ndarray, ratio: float, beside: dict[str, np.ndarray]
) -> dict[str, float | None]:
    """Criteria of one candidate from its values per split, each ``(splits,)``; those ``beside``
    the gain decide nothing, and are None where they could not be taken."""
    net = gain - null
    error = standard_error(net, ratio)
    return {
        "gain": float(gain.mean()),
        "null": float(null.mean()),
        "net": float(net.mean()),
        "net_se": error,
        "certain": float(net.mean() / error) if error > 0 else float("nan"),
    } | {k: None if np.isnan(v).any() else float(v.mean()) for k, v in beside.items()}


def limit(splits: int) -> float:
    """Standard errors above 0 from which on a net gain over so many splits is certain."""
    return float(stats.t.ppf(1 - LEVEL, splits - 1))


def certain(rows: Sequence[dict[str, Any]], splits: int) -> list[bool]:
    """Candidates that are certain, as a mask."""
    return [bool(row["certain"] > limit(splits)) for row in rows]


def eligible(rows: Sequence[dict[str, Any]], splits: int) -> list[bool]:
    """Candidates that can be chosen, as a mask: those that are certain; all, where none is."""
    sure = certain(rows, splits)
    return sure if any(sure) else [True] * len(rows)


def best(rows: Sequence[dict[str, Any]], splits: int) -> dict[str, Any]:
    """Of those that are eligible, the candidate of largest net gain."""
    held = [row for row, may in zip(rows, eligible(rows, splits), strict=True) if may]
    return max(held, key=lambda row: row["net"])


def choose(
    rows: Sequence[dict[str, Any]], nets: Sequence[np.ndarray], order: Sequence[str]
) -> dict[str, Any]:
    """The candidate that the rule takes, from rows with ``objective``, ``alpha``,
    ``n_components``, ``net`` and ``certain``, and their net gains, each ``(splits,)``."""
    may = eligible(rows, len(nets[0]))
    left = [one for one, kept in zip(zip(rows, nets, strict=True), may, strict=True) if kept]

    def beats(more, less, share: float) -> bool:
        gap = more[1] - less[1]
        return bool(gap.mean() > max(share * abs(less[0]["net"]), plain_error(gap)))

    for count in sorted({row["n_components"] for row, _ in left}):
        mine = [one for one in left if one[0]["n_components"] == count]
        top = max(mine, key=lambda one: one[0]["net"])
        larger = [one for one in left if one[0]["n_components"] > count]
        if any(beats(m, top, (1 + TENTH) ** (m[0]["n_components"] - count) - 1) for m in larger):
            continue
        near = [row for row, net in mine if not beats(top, (row, net), TENTH)]
        return min(near, key=lambda row: (order.index(row["objective"]), row["alpha"]))
    raise AssertionError("nothing is beyond the largest number of components")


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


def described(taken: dict[str, Any]) -> str:
    """Words for the candidate that is taken, and its net gain."""
    count = taken["n_components"]
    return (
        f"{taken['objective']} with {count} component{'s' * (count > 1)} reaches {taken['net']:.3g}"
    )
