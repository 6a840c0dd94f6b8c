"""Units that a permutation exchanges between target and background: groups of rows, or rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.data.two_sets import SETS, dense_rows
from bcnmf_jax.inference._arrangements import obstacle
from bcnmf_jax.inference.enrichment_test._refits import Samples


class Drawn(NamedTuple):
    """Samples, those of the target first; how many there are of each set; and a remark. No samples
    where nothing can be tested: then the remark says why."""

    samples: Samples | None
    counts: tuple[int, int]
    note: str


def by_group(
    sets: tuple[Any, Any],
    names: tuple[NDArray, NDArray] | None,
    pairs: bool,
    rows: int,
    rng: np.random.Generator,
) -> Drawn:
    """A sample of ``rows`` rows per group and set, or as many as the largest has.

    Raises
    ------
    ValueError
        If a group is in both sets and they are not taken as pairs.
    """
    if names is None:
        return Drawn(None, (0, 0), "not testable: no groups (donors) were given")
    found, note = [np.unique(own) for own in names], ""
    common = np.intersect1d(found[0], found[1])
    if pairs:
        left = len(np.union1d(found[0], found[1])) - len(common)
        note = f"{left} groups that are in one set alone were left out" if left else ""
        found = [common, common]
    elif len(common):
        raise ValueError(
            f"groups: {len(common)} names ({str(common[0])!r}, ...) are in both sets; pass "
            "pairs=True if they are the same donors, or give others other names"
        )
    counts = (len(found[0]), len(found[1]))
    if reason := obstacle(*counts, pairs):
        return Drawn(None, counts, reason)
    orders = [rng.permutation(count) for count in counts]
    orders = [orders[0], orders[0]] if pairs else orders
    members = [
        [np.flatnonzero(own == group) for group in mine[order]]
        for own, mine, order in zip(names, found, orders, strict=True)
    ]
    size = min(rows, max(len(m) for side in members for m in side))
    values = [
        dense_rows(x, np.concatenate([_draw(m, size, rng) for m in side]))
        for x, side in zip(sets, members, strict=True)
    ]
    both = np.concatenate(values).reshape(sum(counts), size, -1)
    return Drawn(Samples((both, both), thinned=False), counts, note)


def by_cell(
    counts: tuple[NDArray, NDArray],
    normalise: Callable[[NDArray], NDArray],
    rng: np.random.Generator,
) -> Drawn:
    """Every row a sample, once with each half of its counts.

    Raises
    ------
    ValueError
        If there are values that are no counts.
    """
    for name, own in zip(SETS, counts, strict=True):
        if not ((own >= 0) & (own == np.round(own))).all():
            raise ValueError(
                f"{name} holds values that are no counts, and level='cell' thins counts; pass the "
                "raw counts, and as normalise= what the model's data were made by"
            )
    sizes = (len(counts[0]), len(counts[1]))
    if reason := obstacle(*sizes, False):
        return Drawn(None, sizes, reason)
    both = np.concatenate(counts)
    first = rng.binomial(both.astype(np.int64), 0.5).astype(both.dtype)
    one, other = (normalise(half)[:, None] for half in (first, both - first))
    return Drawn(Samples((one, other), thinned=True), sizes, "")


def _draw(members: NDArray, size: int, rng: np.random.Generator) -> NDArray:
    """``size`` of the rows; where there are fewer, all of them, and some again."""
    again = rng.choice(members, max(size - len(members), 0))
    return np.concatenate([rng.permutation(members)[:size], again])
