"""Coordinate descent, component by component, for quadratic costs."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from bcnmf_jax.model.gradients import (
    code_gradient,
    reconstruct,
)
from bcnmf_jax.model.losses import AbstractQuadraticLoss
from bcnmf_jax.model.objective import AbstractObjective, Data
from bcnmf_jax.solvers.alternating import AbstractAlternating


def descend(x: Array, grad: Array, gram: Array, curvature: Array | float, visits: Array) -> Array:
    """Coordinate descent over the rows of ``x (K, n)``, in the order of ``visits``, at 0 and above,
    on the quadratic of gradient ``grad`` at ``x``, matrix ``gram (K, K)`` between rows and, beside
    it, ``curvature`` (K, n) of every entry for itself."""
    more = jnp.broadcast_to(curvature, x.shape)
    diagonal = jnp.diagonal(gram)[:, None] + more

    def row(j, moved):
        slope = grad[j] + gram[j] @ (moved - x) + more[j] * (moved[j] - x[j])
        step = jnp.where(diagonal[j] > 0, slope / jnp.where(diagonal[j] > 0, diagonal[j], 1), 0)
        return moved.at[j].set(jnp.maximum(moved[j] - step, 0))

    return lax.fori_loop(0, len(visits), lambda i, m: row(visits[i], m), x)


def quadratic(objective: AbstractObjective, data: Data, basis: PyTree) -> bool:
    """Whether every cost is a quadratic of each block, and the basis one array (`HALS`)."""
    terms = objective.terms(data)
    squared = all(isinstance(t.loss, AbstractQuadraticLoss) for t in terms) and not reconstruct(
        terms
    )
    plain = not objective.penalties and not objective.basis_powers
    return squared and plain and not isinstance(basis, dict)


class HALS(AbstractAlternating):
    """Coordinate descent, component by component, for squared error (hierarchical alternating least
    squares: Cichocki & Phan 2009), with the basis run ahead as `MU` does.

    The misfits that the basis pays for are quadratics, of which each component takes its minimum
    given the others. Those that it is paid for are concave: their tangent is bounded by a quadratic
    of every entry, as multiplicative updates bound it, which keeps the steps short where a
    background works against them. Without a background this is HALS, with far fewer passes
    than multiplicative updates; against a strong contrast `MU` gets further.

    Parameters
    ----------
    inner_steps : int
        Sweeps over the codes per pass.
    extrapolation : float
    chunk : int, optional
        As in `MU`.

    Raises
    ------
    TypeError
        At the fit: for another loss, a mask of entries, penalties, or a basis of several arrays.
    """

    inner_steps: int = eqx.field(default=3, static=True)
    extrapolation: float = eqx.field(default=0.9999, static=True)
    chunk: int | None = eqx.field(default=None, static=True)

    def init(self, objective, data, blocks):
        if not quadratic(objective, data, blocks["basis"]):
            raise TypeError(
                "HALS needs squared error without mask or penalty and a basis of one array; use MU"
            )
        return super().init(objective, data, blocks)

    def move_codes(self, objective, path, group, rows, codes, basis):
        grad = code_gradient(objective, group, rows, basis)(codes).grad
        gram = jnp.sum(jnp.stack([t.code_gram(basis) for t in group]), axis=0)
        visits = jnp.tile(jnp.arange(codes.shape[1]), self.inner_steps)
        return descend(codes.T, grad.T, gram, 0.0, visits).T

    def move_basis(self, objective, terms, stats, splits, basis):
        gram, pull = jnp.zeros((len(basis), len(basis)), basis.dtype), jnp.zeros_like(basis)
        for t, s in zip(terms, stats, strict=True):
            pays = jnp.asarray(t.weight, basis.dtype)
            gram += jnp.maximum(pays, 0) * t.basis_gram(s, len(basis))
            pull += jnp.where(pays < 0, t.basis_gradient(s, basis).positive, 0)
        largest = jnp.max(basis, axis=1, keepdims=True)
        floor = jnp.maximum(basis, jnp.finfo(basis.dtype).eps * largest)
        curvature = jnp.where(largest > 0, pull / jnp.where(largest > 0, floor, 1), 0)
        visits = jnp.arange(len(basis) - objective.frozen)
        return descend(basis, splits.grad, gram, curvature, visits)
