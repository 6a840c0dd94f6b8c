"""The rule: which candidate is taken, and whether there is anything to take.

Candidates are compared by their **net gain**: the share of the held-out target that their
components explain beyond a basis of the background, less what as many components, fitted in the
same way to a part of the background, explain of another part of it. A candidate is *certain* if its
net gain is more than `CERTAIN` standard errors above 0, over splits; a contrast is found if any
is. Of these, the number of components is the smallest beyond which more are not worth it: they are
if they raise the net gain by a tenth for each component more, and by more than one standard error
of the difference, split by split. Of that number, candidates are *near* the largest net gain if
they fall short of it by less than a tenth of it, or by less than one standard error of the
difference; of these the first objective in the order asked for is taken, and of its contrasts the
smallest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

VERSION = 5
"""Raised whenever another choice may come out of the same data: recorded choices name it."""
CERTAIN = 2.0
"""Standard errors that a net gain must be above 0."""
TEST_TO_TRAIN = 0.5
"""Rows that are held out for each that components are fitted to."""
TENTH = 0.1
"""Share of a net gain that a component more must add, and that the simpler of two may lack."""


def standard_error(values: np.ndarray) -> float:
    """Of a mean over random splits: they overlap, so that it does not fall to 0 with their number
    (Nadeau & Bengio 2003)."""
    return float(values.std(ddof=1) * np.sqrt(1 / len(values) + TEST_TO_TRAIN))


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


def choose(
    rows: Sequence[dict[str, Any]], nets: Sequence[np.ndarray], order: Sequence[str]
) -> dict[str, Any]:
    """The candidate that the rule takes, from rows with ``objective``, ``alpha``,
    ``n_components``, ``net`` and ``certain``, and their net gains, each ``(splits,)``."""
    kept = [id(row) for row in eligible(rows)]
    left = [(row, net) for row, net in zip(rows, nets, strict=True) if id(row) in kept]

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
