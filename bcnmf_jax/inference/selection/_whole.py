"""Candidates fitted to all rows, beside one small basis of the background."""

from __future__ import annotations

from collections.abc import Sequence

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
    at_settings,
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
        self, kind: str, objective: str | AbstractObjective, settings: Sequence[tuple[float, int]]
    ) -> list[Float[Array, "k g"]]:
        """Target components at each contrast and number of them; the contrasts of an object are its
        own. Those in turn are as they are found."""
        alphas, ranks = zip(*settings, strict=True)
        made = make(objective, alphas[0], self.loss, len(self.frozen))
        data = {"target": self.target, "background": self.background}
        own = jax.random.fold_in(self.key, 1)
        if kind == "sequential":
            found = components(kind, made, data, None, self.frozen, max(ranks), own)
            return [found[k - 1, :k] for k in ranks]
        given = alphas if isinstance(objective, str) else None
        found = at_settings(kind, made, data, self.frozen, given, ranks, own, side_by_side=True)
        return [found[i, :k] for i, k in enumerate(ranks)]

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
