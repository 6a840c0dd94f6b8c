"""Candidates fitted to all rows, beside one small basis of the background."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from numpy.typing import ArrayLike, NDArray

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.codes import solve_codes
from bcnmf_jax.inference.selection._folds import units
from bcnmf_jax.inference.selection.candidates import (
    SETTLED,
    components,
    fit_background,
    make,
)
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.objectives import NMF

MOST, SHARED = 1500, 6
"""Most rows of each set, and background components: a rich basis explains the target's programs
too, and of a small background the noise."""
WIDE = 13
"""Components that codes are read on at least."""


def shared_rank(rows: int, features: int) -> int:
    """Number of background components of a background of so many rows."""
    return max(1, min(SHARED, rows // 4, features // 4))


@eqx.filter_jit
def _codes(loss: AbstractLoss, rows: Rows, basis: Array) -> Array:
    return solve_codes(NMF(loss), {"target": rows}, basis, SETTLED)["target"]


class Whole:
    """Target and background as a whole."""

    def __init__(self, x: NDArray, y: NDArray, loss: AbstractLoss, random_state: int):
        rng = np.random.default_rng(random_state)
        taken = [np.sort(rng.permutation(len(a))[:MOST]) for a in (x, y)]
        self.target, self.background = (
            Rows(jnp.asarray(a[rows])) for a, rows in zip((x, y), taken, strict=True)
        )
        self._taken = taken[0]
        self.loss = loss
        self.key: Key[Array, ""] = jax.random.key(random_state)
        count = shared_rank(*y.shape)
        own = jax.random.fold_in(self.key, 0)
        self.frozen = fit_background(self.background, [count], count, loss, own)[0]

    def bases(
        self, kind: str, alpha: float, objective: str | AbstractObjective, widest: int
    ) -> Float[Array, "widest widest g"]:
        """Target components at every number of them, rows of 0 beyond; those that are found in turn
        as they are found."""
        made = make(objective, alpha, self.loss, len(self.frozen))
        data = {"target": self.target, "background": self.background}
        own = jax.random.fold_in(self.key, 1)
        return components(kind, made, data, None, self.frozen, widest, own, side_by_side=True)

    def of_target(self, names: ArrayLike) -> NDArray:
        """Names of rows of the target, of those that are here."""
        return np.asarray(names).astype(str)[self._taken]

    def half(self, which: int) -> dict[str, Rows]:
        """A random half of the rows of both sets, duplicates in one of them; its rows again until
        they are as many as all, so that fits of halves and of the whole are one program."""
        sets, found = {"target": self.target, "background": self.background}, {}
        for name, rows in sets.items():
            unit = np.unique(units(np.asarray(rows.x), None, name), return_inverse=True)[1]
            side = np.random.default_rng(0).permutation(unit.max() + 1)[unit] % 2
            mine = np.flatnonzero(side == which)
            found[name] = Rows(rows.x[np.resize(mine if len(mine) else side * 0, len(side))])
        return found

    def beside(self, own: Float[Array, "K g"]) -> NDArray:
        """Target components, then the background's."""
        return np.concatenate([own, self.frozen])

    def codes(self, basis: Float[NDArray, "K g"]) -> tuple[NDArray, NDArray]:
        """Full codes of both sets; of few components, so that they are one program, beside rows of
        0."""
        blank = np.zeros((max(WIDE - len(basis), 0), basis.shape[1]), basis.dtype)
        padded = jnp.asarray(np.concatenate([basis, blank]))
        target, background = (
            np.asarray(_codes(self.loss, rows, padded))[:, : len(basis)]
            for rows in (self.target, self.background)
        )
        return target, background
