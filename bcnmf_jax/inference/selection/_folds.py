"""Splits of both sets into parts, alike for both; samples that belong together stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bcnmf_jax.data.two_sets import labels

MOST = 1000
"""Most rows of a part: more of them change no choice and cost time."""
LEAST = 8
"""Fewest rows of a part."""
SHARES = (0.4, 0.4, 0.2)
"""Of the background: for its basis, for components, held out. A faint program is found or missed on
the rows that components are fitted to; to see what they are worth takes fewer."""


class Part(NamedTuple):
    """Rows of a data set: their numbers, and weights that are 0 where there are too few."""

    rows: NDArray[np.intp]
    weights: NDArray[np.float32]

    @property
    def filled(self) -> bool:
        """Whether there are too few."""
        return not self.weights.all()


class Fold(NamedTuple):
    """One split. The background's basis is fitted to ``basis``, components to ``train``, and what
    they are worth is measured on ``test``; ``null_train`` and ``null_test`` are rows of the
    background that stand in for the target."""

    basis: Part
    train: Part
    test: Part
    null_train: Part
    null_test: Part


class TooFewError(ValueError):
    """Too few samples or groups to split."""


def units(x: NDArray, groups: ArrayLike | None, name: str) -> NDArray:
    """Unit of every row: its group, or its duplicates where there are no groups.

    Raises
    ------
    ValueError
        For groups of another length, or of which some are missing.
    """
    if groups is None:
        return np.array([hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in x])
    return labels(groups, len(x), f"groups[{name!r}]")


def deal(rng: np.random.Generator, names: NDArray, shares: Sequence[float]) -> list[NDArray]:
    """Units dealt into parts of about these shares of them."""
    order = rng.permutation(names)
    ends = np.round(np.cumsum(shares) * len(order)).astype(int)
    return np.split(order, ends[:-1])


def draw(rng: np.random.Generator, rows: NDArray[np.intp], count: int, size: int) -> Part:
    """``count`` of the rows, filled up to ``size`` with the first of them at weight 0."""
    some = rng.permutation(rows)[:count]
    filled = np.concatenate([some, np.full(size - len(some), some[0])])
    return Part(filled, (np.arange(size) < len(some)).astype("float32"))


def held_out_ratio(parts: list[Fold], groups: ArrayLike | None) -> float:
    """Ratio of held-out to fitted units of the target: rows, or groups where
    they are given, since rows of a group are not independent."""

    def count(part: Part) -> int:
        rows = part.rows[part.weights > 0]
        return len(rows) if groups is None else len(np.unique(np.asarray(groups)[rows]))

    return float(np.mean([count(fold.test) / count(fold.train) for fold in parts]))


def folds(
    x: NDArray,
    y: NDArray,
    splits: int,
    random_state: int,
    groups: ArrayLike | None = None,
    background_groups: ArrayLike | None = None,
) -> list[Fold]:
    """Random splits: the background in parts of `SHARES`, the target in two of which as many rows
    are taken as the last two parts of the background have.

    Groups that both sets have (pairs) are dealt alike: components are trained and tested on the
    target's rows of the groups whose rows of the background are the null, so that what
    distinguishes groups is in both and falls out of their difference. Where both sets have groups,
    the target's parts and the null's are of equally many: what is common to more of them
    generalises better.

    Parameters
    ----------
    x, y : array (n, g), (m, g)
    splits, random_state : int
    groups, background_groups : array (n,), (m,), optional
        Donors, mice, cell lines: they are dealt whole. Without them duplicated rows are.

    Raises
    ------
    TooFewError
        If there are fewer than 2 groups in the target, 3 in the background, or if a part of a
        split has too few rows.
    ValueError
        For groups of another length.
    """
    mine, theirs = units(x, groups, "target"), units(y, background_groups, "background")
    names, others = np.unique(mine), np.unique(theirs)
    if len(names) < 2 or len(others) < len(SHARES):
        raise TooFewError(
            f"groups: {len(names)} in the target and {len(others)} in the background; splits need "
            f"2 and {len(SHARES)}"
        )
    given = groups is not None and background_groups is not None
    paired = np.intersect1d(names, others) if given else names[:0]
    if len(paired) < len(SHARES):
        paired = names[:0]
    own = [share / sum(SHARES[1:]) for share in SHARES[1:]]
    first, *sizes = (min(int(share * len(y)), MOST) for share in SHARES)
    sizes = [min(size, int(share * len(x))) for size, share in zip(sizes, own, strict=True)]
    if min(sizes) < LEAST:
        raise TooFewError(
            f"{len(x)} samples of the target and {len(y)} of the background leave parts of "
            f"{min(sizes)}; {LEAST} are needed"
        )
    found = []
    for split in range(splits):
        rng = np.random.default_rng([random_state, split])
        target = deal(rng, np.setdiff1d(names, paired), own)
        background = deal(rng, np.setdiff1d(others, paired), SHARES)
        both = deal(rng, paired, SHARES)
        target = [np.concatenate(parts) for parts in zip(target, both[1:], strict=True)]
        background = [np.concatenate(parts) for parts in zip(background, both, strict=True)]
        if given:
            for i in (0, 1):
                count = min(len(target[i]), len(background[1 + i]))
                target[i], background[1 + i] = target[i][:count], background[1 + i][:count]
        train, test = (np.flatnonzero(np.isin(mine, part)) for part in target)
        basis, *null = (np.flatnonzero(np.isin(theirs, part)) for part in background)
        least = min(map(len, (train, test, basis, *null)))
        if least < LEAST:
            raise TooFewError(f"a part of a split has {least} rows; {LEAST} are needed")
        # As many rows of the target as of the null.
        most = 2 * [
            min(size, *map(len, two)) for size, *two in zip(sizes, (train, test), null, strict=True)
        ]
        rest = [
            draw(rng, rows, count, size)
            for rows, count, size in zip((train, test, *null), most, sizes + sizes, strict=True)
        ]
        found.append(Fold(draw(rng, basis, first, first), *rest))
    return found
