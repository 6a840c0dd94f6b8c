"""`Work`: the fits and measurements of every split: candidates, null, planted program."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.fixed_basis import transform
from bcnmf_jax.inference.selection._folds import Fold, Part
from bcnmf_jax.inference.selection._heldout import HeldOut, cross_validate, evaluate
from bcnmf_jax.inference.selection.candidates import fit_background, make
from bcnmf_jax.inference.selection.thinning import Counts
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.objectives import NMF

PLANTED = 0.05
"""Strength of a planted program: those that one looks for are faint beside what both sets share."""
Sets = tuple[Rows, HeldOut]
"""Samples that components are fitted to, and others."""


class Work:
    """Target, background and their splits; its methods run what is compiled."""

    def __init__(
        self, x: NDArray, y: NDArray, parts: list[Fold], loss: AbstractLoss, random_state: int,
        weigh: bool, counts: tuple[Counts | None, Counts | None],
        kinds: dict[str, str | AbstractObjective],
    ):  # fmt: skip
        self.x, self.y, self.parts, self.loss, self.weigh = x, y, parts, loss, weigh
        self.counts, self.kinds = counts, kinds
        self.seed, self.key = random_state, jax.random.key(random_state)
        order = np.random.default_rng(random_state).permutation(x.shape[1])
        read, predicted = np.split(order, [len(order) // 2])
        self.halves = jnp.asarray(np.sort(read)), jnp.asarray(np.sort(predicted))
        self.basis_rows = len(parts[0].basis.rows)

    def rows(self, values: NDArray, part: Part) -> Rows:
        """The rows of a part; weights only where parts can be filled up."""
        v = jnp.asarray(part.weights, values.dtype)[:, None] if self.weigh else None
        return Rows(jnp.asarray(values[part.rows]), v)

    def own(self, split: int, what: int):
        """A key for each use of each split."""
        return jax.random.fold_in(jax.random.fold_in(self.key, split), what)

    def crossed(self, split: int, ranks: list[int]) -> NDArray:
        """Bi-cross-validated share of the background at each number of components."""
        part = self.parts[split]
        train, test = self.rows(self.y, part.basis), self.rows(self.y, part.null_test)
        key = self.own(split, 0)
        return np.asarray(cross_validate(train, test, self.loss, ranks, self.halves, key))

    def frozen(self, split: int, rank: int):
        """The background's basis of a split."""
        rows = self.rows(self.y, self.parts[split].basis)
        return fit_background(rows, [rank], rank, self.loss, self.own(split, 1))[0]

    def held(self, which: int, part: Part, split: int) -> HeldOut:
        """Rows of a set (0 the target, 1 the background) that no fit sees, with their counts."""
        rows, thinned = self.rows((self.x, self.y)[which], part), None
        counts = self.counts[which]
        if counts is not None:
            rng = np.random.default_rng([split, 2 + which])
            halves = counts.halves(part.rows, rng)
            first, second = (Rows(jnp.asarray(half, rows.x.dtype), rows.weights) for half in halves)
            thinned = first, second
        return HeldOut(rows, thinned)

    def measure(
        self, split: int, kind: str, alpha: float, widest: int, frozen, sets: Sets,
        other: HeldOut | None, *, brief: bool = False,
    ) -> Any:  # fmt: skip
        """Components from the first of two sets of rows, and what they explain of the second and of
        ``other`` rows, beside a basis of the background; ``brief`` leaves out what no existence
        needs."""
        train, test = sets
        made = make(self.kinds.get(kind, kind), alpha, self.loss, len(frozen))
        found = evaluate(
            kind, made, widest, frozen,
            self.rows(self.y, self.parts[split].basis), train, test, other,
            None if brief else self.halves,
            self.own(split, 2),
        )  # fmt: skip
        return jax.tree.map(np.asarray, found)

    def null(self, split: int) -> Sets:
        """Two parts of the background, one in the target's place and one held out."""
        part = self.parts[split]
        return self.rows(self.y, part.null_train), self.held(1, part.null_test, split)

    def candidate(
        self, split: int, kind: str, alpha: float, widest: int, frozen, *, brief: bool = False
    ) -> dict:
        """Gains of a split in the target and, as the null, with the background in its place."""
        part, null = self.parts[split], self.null(split)
        target = self.rows(self.x, part.train), self.held(0, part.test, split)
        asked = kind, alpha, widest, frozen
        return {
            "target": self.measure(split, *asked, target, null[1], brief=brief),
            "null": self.measure(split, *asked, null, None, brief=brief),
        }

    def planted(self, split: int, frozen) -> Sets:
        """The background in the target's place, with a program in it, `PLANTED` times as strong as
        the median one of the background: its loadings on permuted features, its usage on permuted
        samples."""
        rng = np.random.default_rng([split, 1])
        basis, shuffled = np.asarray(frozen), rng.permutation(frozen.shape[1])
        train, test = self.null(split)
        rows = (train, test.rows)
        codes = [_codes(r, frozen, self.loss) for r in rows]
        j = median_program(codes[0], basis)
        train, test = (
            Rows(r.x + _planted(r, c[:, j], basis[j, shuffled], self.loss, rng), r.weights)
            for r, c in zip(rows, codes, strict=True)
        )
        return train, HeldOut(test)


def _codes(rows: Rows, basis: Any, loss: AbstractLoss) -> NDArray:
    return np.asarray(transform(NMF(loss), {"basis": basis}, {"target": rows.x}))


def median_program(codes: NDArray, basis: NDArray) -> int:
    """The component of median total usage."""
    used = codes.sum(0) * basis.sum(1)
    return int(np.argsort(used)[len(used) // 2])


def _planted(
    rows: Rows, usage: NDArray, loadings: NDArray, loss: AbstractLoss, rng: np.random.Generator
) -> Any:
    """Part (n, g) of a program of these loadings, its usage on permuted samples."""
    more = PLANTED * np.outer(rng.permutation(usage), loadings)
    more = more if loss.bounded else rng.poisson(more)
    return jnp.asarray(more, rows.x.dtype)


def planted_part(
    rows: Rows, basis: NDArray, loss: AbstractLoss, rng: np.random.Generator
) -> Any:  # fmt: skip
    """Part (n, g) of a program planted in rows, `PLANTED` times as strong as their median one."""
    codes = _codes(rows, basis, loss)
    j = median_program(codes, basis)
    return _planted(rows, codes[:, j], basis[j, rng.permutation(basis.shape[1])], loss, rng)
