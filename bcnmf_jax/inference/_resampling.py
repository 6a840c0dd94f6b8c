"""Samples or donors drawn with replacement, as whole weights of all rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bcnmf_jax.data.rows import is_rows
from bcnmf_jax.model.objective import Data


def draws(names: list[NDArray], count: int, rng: np.random.Generator) -> list[NDArray]:
    """Times that each row is drawn: for every data set of as many ``names`` of groups, an array
    ``(count, rows)``. Groups are drawn with replacement among those of the same data sets."""
    groups, index = np.unique(np.concatenate(names), return_inverse=True)
    parts = np.split(index, np.cumsum([len(n) for n in names])[:-1])
    within = np.stack([np.isin(np.arange(len(groups)), part) for part in parts], axis=1)
    stratum = np.unique(within, axis=0, return_inverse=True)[1].ravel()
    drawn = np.zeros((count, len(groups)), int)
    for one in np.unique(stratum):
        members = np.flatnonzero(stratum == one)
        even = np.full(len(members), 1 / len(members))
        drawn[:, members] = rng.multinomial(len(members), even, size=count)
    return [drawn[:, part] for part in parts]


def how_often(rows: Data, groups: dict, count: int, rng: np.random.Generator) -> dict[str, Any]:
    """`draws` for all data sets, nested as they are (modalities share theirs)."""
    if not isinstance(groups, dict) or set(groups) - set(rows):
        raise ValueError(f"groups must be a dictionary with names among {sorted(rows)}")
    paths, names = [], []
    for key, sets in rows.items():
        several = isinstance(sets, list)
        given = groups.get(key)
        given = given if several and given is not None else [given] * (len(sets) if several else 1)
        for i, (one, own) in enumerate(zip(sets if several else [sets], given, strict=True)):
            at = f"{key}[{i}]" if several else key
            paths.append((key, i if several else None))
            names.append(_names(own, jax.tree.leaves(one, is_leaf=is_rows)[0].x.shape[0], at))
    counts: dict[str, Any] = {}
    for (key, i), drawn in zip(paths, draws(names, count, rng), strict=True):
        if i is None:
            counts[key] = jnp.asarray(drawn)
        else:
            counts.setdefault(key, []).append(jnp.asarray(drawn))
    return counts


def _names(groups: ArrayLike | None, size: int, name: str) -> NDArray:
    """The group of every row; where there are none, each is its own."""
    if groups is None:
        return np.array([f"{name} {i}" for i in range(size)])
    found = np.asarray(groups).astype(str)
    if found.shape != (size,):
        raise ValueError(
            f"groups[{name!r}] has shape {found.shape}; give one per sample: ({size},)"
        )
    if len(np.unique(found)) < 2:
        raise ValueError(
            f"groups[{name!r}] has one group; drawing them with replacement needs two, better eight"
        )
    return found


def weighed(rows: Data, counts: dict, index: Any) -> Data:
    """The data with the weights of one resample."""

    def one(sets, count):
        v = count[index][:, None]

        def more(r):
            given = 1 if r.weights is None else r.weights
            return replace(r, weights=v.astype(r.x.dtype) * given)

        return jax.tree.map(more, sets, is_leaf=is_rows)

    return {
        key: [one(r, c) for r, c in zip(sets, counts[key], strict=True)]
        if isinstance(sets, list) else one(sets, counts[key])
        for key, sets in rows.items()
    }  # fmt: skip
