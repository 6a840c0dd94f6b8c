"""Terms: a misfit of some rows, whose codes explain them, and its weight in the basis' cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.model.gradient_parts import GradientParts
from bcnmf_jax.model.loss import AbstractLoss, Powers, by_row
from bcnmf_jax.model.losses import AbstractQuadraticLoss

Path = tuple[Any, ...]


def identity(a: Array) -> Array:
    """All components, as they are."""
    return a


class Term(eqx.Module):
    """A misfit ``D(x | code_map(codes) basis_map(basis))``, in full in the cost of its codes, and
    ``weight`` times in that of the basis.

    Attributes
    ----------
    rows : Rows
    codes : tuple
        Where the codes of these rows stand among the blocks: ``("target",)``,
        ``("background",)``, ``("background", 1)``, ...
    loss : AbstractLoss
    weight : scalar
        Weight of the misfit in the basis' cost: 1 to reward structure, ``-a`` to repel it.
    code_map, basis_map : callable
        Linear maps with nonnegative coefficients from codes ``(n, K)`` to ``(n, k)`` and from the
        basis (an array ``(K, g)`` or a dictionary of them) to ``(k, g)``: which components take
        part, and how.
    """

    rows: Rows
    codes: Path = eqx.field(static=True)
    loss: AbstractLoss
    weight: Any = 1.0
    code_map: Callable[[Array], Array] = eqx.field(default=identity, static=True)
    basis_map: Callable[[Any], Array] = eqx.field(default=identity, static=True)

    def value(self, rows: Rows, codes: Float[Array, "n k"], basis: PyTree) -> Float[Array, ""]:
        """The misfit of a chunk of rows."""
        return self.loss.value(rows.x, self.code_map(codes), self.basis_map(basis), rows.weights)

    def code_gradient(
        self, rows: Rows, basis: PyTree
    ) -> Callable[[Float[Array, "n k"]], GradientParts]:
        """Function from the codes of a chunk to their gradient in parts.

        The weight of a sample counts in the cost of the basis and not here: its codes are its own
        problem, also where the weight is 0.
        """
        v = None if by_row(rows.weights) else rows.weights
        at = self.loss.code_gradient(rows.x, self.basis_map(basis), v)

        def split(codes: Float[Array, "n k"]) -> GradientParts:
            h, back = jax.vjp(self.code_map, codes)
            s = at(h)
            return GradientParts(
                *(back(jnp.broadcast_to(a, h.shape))[0] for a in (s.positive, s.negative))
            )

        return split

    def statistics(self, rows: Rows, codes: Float[Array, "n k"], basis: PyTree) -> PyTree:
        """Sufficient statistics of a chunk for the gradient of the basis; they add over rows."""
        return self.loss.statistics(
            rows.x, self.code_map(codes), self.basis_map(basis), rows.weights
        )

    def code_gram(self, basis: Float[Array, "k g"]) -> Float[Array, "j j"]:
        """Matrix ``(K, K)`` of the quadratic in the codes of a row; for squared error."""
        assert isinstance(self.loss, AbstractQuadraticLoss)
        w = self.basis_map(basis)
        reads = self.code_map(jnp.eye(basis.shape[0], dtype=w.dtype))
        return reads @ self.loss.code_gram(w) @ reads.T

    def basis_gram(self, stats: PyTree, width: int) -> Float[Array, "k k"]:
        """Matrix ``(K, K)`` of the quadratic in the basis, without the weight of the term."""
        assert isinstance(self.loss, AbstractQuadraticLoss)
        gram = self.loss.basis_gram(stats)
        mixes = self.basis_map(jnp.eye(width, dtype=gram.dtype))
        return mixes.T @ gram @ mixes

    @property
    def powers(self) -> Powers:
        """Powers by which statistics are remembered: the parts of a term of negative weight are
        those of a tangent, which is linear."""
        repelled = jnp.asarray(self.weight) < 0
        # A power of 1 stays a number: then a sum that is not as wide as the basis stays one, too.
        known = lambda p: isinstance(p, int) and p == 1  # noqa: E731
        p, q = (p if known(p) else jnp.where(repelled, 1, p) for p in self.loss.powers)
        return p, q

    def to_memory(self, stats: PyTree, basis: PyTree) -> PyTree:
        """The statistics as they hold for other bases; adds over rows."""
        return self.loss.to_memory(stats, self.basis_map(basis), self.powers)

    def from_memory(self, kept: PyTree, basis: PyTree) -> PyTree:
        """The statistics at a basis, from what was remembered at others."""
        return self.loss.from_memory(kept, self.basis_map(basis), self.powers)

    def rescale(self, kept: PyTree, d: Float[Array, " k"]) -> PyTree:
        """Remembered statistics after the scale ``d (K,)`` has moved from the basis to the codes.

        Exact where ``code_map`` selects components; elsewhere each mapped column moves by the mean
        of its components.
        """
        d = self.code_map(d[None]) / self.code_map(jnp.ones_like(d)[None])
        return self.loss.rescale(kept, d[0], self.powers)

    def basis_gradient(self, stats: PyTree, basis: PyTree) -> PyTree:
        """Gradient, in parts, of every array of the basis, times the weight of the term."""
        w, back = jax.vjp(self.basis_map, basis)
        s = jnp.asarray(self.weight, w.dtype) * self.loss.basis_gradient(stats, w)
        parts = (back(jnp.broadcast_to(a, w.shape))[0] for a in (s.positive, s.negative))
        return jax.tree.map(GradientParts, *parts)


def get(blocks: PyTree, path: Path) -> Any:
    """The block at a path."""
    for part in path:
        blocks = blocks[part]
    return blocks


def put(blocks: dict, path: Path, value: Any) -> dict:
    """Blocks with the one at a path replaced; the argument is left as it was."""
    return eqx.tree_at(lambda b: get(b, path), blocks, value)


def by_codes(terms: list[Term]) -> dict[Path, list[Term]]:
    """Terms grouped by the codes that they share (modalities), in the order of the list."""
    groups: dict[Path, list[Term]] = {}
    for term in terms:
        groups.setdefault(term.codes, []).append(term)
    return groups
