"""Splits of both sets into parts of equal size; samples that belong together stay together."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST = 1000
"""Most rows of a part: more of them change no choice and cost time."""
LEAST = 8
"""Fewest rows of a part."""


class Part(NamedTuple):
    """Rows of a data set: their numbers, and weights that are 0 where there are too few."""

    rows: NDArray[np.intp]
    weights: NDArray[np.float32]


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


def units(x: NDArray, groups: ArrayLike | None, name: str) -> NDArray[np.intp]:
    """The number of the unit of every row: its group, or its duplicates where there are no groups.

    Raises
    ------
    ValueError
        For groups of another length.
    """
    if groups is None:
        names = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in x]
    else:
        names = np.asarray(groups).astype(str)
        if names.shape != (len(x),):
            raise ValueError(
                f"groups[{name!r}] has shape {names.shape}; give one per sample: ({len(x)},)"
            )
    return np.unique(np.asarray(names), return_inverse=True)[1]


def deal(rng: np.random.Generator, unit: NDArray, shares: list[float]) -> list[NDArray[np.intp]]:
    """Rows dealt by whole units into parts of about these shares of the units."""
    order = rng.permutation(unit.max() + 1)
    ends = np.round(np.cumsum(shares) * len(order)).astype(int)
    parts = np.split(order, ends[:-1])
    return [np.flatnonzero(np.isin(unit, part)) for part in parts]


def draw(rng: np.random.Generator, rows: NDArray[np.intp], count: int) -> Part:
    """``count`` of the rows, filled up with the first of them at weight 0."""
    some = rng.permutation(rows)[:count]
    filled = np.concatenate([some, np.full(count - len(some), some[0])])
    return Part(filled, (np.arange(count) < len(some)).astype("float32"))


def folds(
    x: NDArray,
    y: NDArray,
    splits: int,
    seed: int,
    groups: ArrayLike | None = None,
    background_groups: ArrayLike | None = None,
) -> list[Fold]:
    """Random splits: the background in a half and two quarters, the target in two halves of which
    as many rows are taken as a quarter of the background has.

    Parameters
    ----------
    x, y : array (n, g), (m, g)
    splits, seed : int
    groups, background_groups : array (n,), (m,), optional
        Donors, mice, cell lines: they are dealt whole. Without them duplicated rows are.

    Raises
    ------
    TooFewError
        If there are fewer than 2 groups in the target, 4 in the background, or if a part would
        have too few rows.
    ValueError
        For groups of another length.
    """
    mine, theirs = units(x, groups, "target"), units(y, background_groups, "background")
    if mine.max() < 1 or theirs.max() < 3:
        raise TooFewError(
            f"groups: {mine.max() + 1} in the target and {theirs.max() + 1} in the background; "
            "splits need 2 and 4"
        )
    half = min(len(y) // 2, MOST)
    each = min(len(y) // 4, len(x) // 2, MOST)
    if each < LEAST:
        raise TooFewError(
            f"{len(x)} samples of the target and {len(y)} of the background leave parts of "
            f"{each}; {LEAST} are needed"
        )
    found = []
    for split in range(splits):
        rng = np.random.default_rng([seed, split])
        train, test = deal(rng, mine, [0.5, 0.5])
        basis, null_train, null_test = deal(rng, theirs, [0.5, 0.25, 0.25])
        rest = [draw(rng, rows, each) for rows in (train, test, null_train, null_test)]
        found.append(Fold(draw(rng, basis, half), *rest))
    return found
