"""Arrangements of samples as target and background: as observed, and with places exchanged."""

from __future__ import annotations

from itertools import combinations, product
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_GROUPS, LEAST_PAIRS = 3, 5
"""Fewest groups a side, or pairs: 3 and 3 can be exchanged in 20 ways, 5 pairs in 32, of which one
is the observed. With fewer, no data reach p = 0.05."""


class Arrangement(NamedTuple):
    """Numbers of the samples in the target's place and of those in the background's, in an order
    that depends on who they are alone; partners stand at the same position of both."""

    target: NDArray[np.intp]
    background: NDArray[np.intp]


def obstacle(target: int, background: int, paired: bool) -> str:
    """Why this number of groups (of pairs) allows no test, and what would; empty where it does."""
    if paired:
        enough, found = target >= LEAST_PAIRS, f"{target} groups are in both sets"
    else:
        enough = min(target, background) >= LEAST_GROUPS
        found = f"the target has {target} groups and the background {background}"
    if enough:
        return ""
    return (
        f"not testable: {found}; at least {LEAST_GROUPS} in each set are needed, or {LEAST_PAIRS} "
        "that are in both"
    )


def arrangements(
    target: int, background: int, paired: bool, count: int, rng: np.random.Generator
) -> tuple[list[Arrangement], bool]:
    """The observed arrangement first, then ``count`` drawn at random; or all that there are, where
    the others are no more than ``count``.

    Parameters
    ----------
    target, background : int
        Numbers of samples. Those of the target are 0, 1, ..., those of the background follow;
        where ``paired``, sample i of the one is the partner of sample i of the other.
    paired : bool
        Exchange partners only.

    Returns
    -------
    list of Arrangement, and whether they are all
    """
    total = target + background
    exact = (2**target if paired else comb(total, target)) <= count + 1
    if paired:
        if exact:
            swaps = np.array(list(product((False, True), repeat=target)))
        else:
            swaps = rng.random((count + 1, target)) < 0.5
            swaps[0] = False
        own = np.where(swaps, target, 0) + np.arange(target)
        return [Arrangement(a, (a + target) % total) for a in own], exact
    if exact:
        own = [np.array(a) for a in combinations(range(total), target)]
    else:
        own = [np.sort(rng.choice(total, target, replace=False)) for _ in range(count)]
        own.insert(0, np.arange(target))
    return [Arrangement(a, np.setdiff1d(np.arange(total), a)) for a in own], exact
