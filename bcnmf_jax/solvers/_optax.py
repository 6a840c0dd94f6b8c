"""Gradient steps by any optax transformation."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.model.blocks import is_frozen
from bcnmf_jax.model.gradients import basis_gradient, code_gradient, visit_rows
from bcnmf_jax.model.terms import by_codes, get, put
from bcnmf_jax.solvers.mu import MU
from bcnmf_jax.solvers.solver import AbstractSolver


class _Positive(eqx.Module):
    """Parametrisation of a nonnegative block by an unconstrained one."""

    kind: str = eqx.field(static=True)

    def to(self, a):
        if self.kind == "softplus":
            return a + jnp.log(-jnp.expm1(-a))
        return jnp.log(a) if self.kind == "log" else a

    def back(self, theta):
        if self.kind == "softplus":
            return jax.nn.softplus(theta)
        return jnp.exp(theta) if self.kind == "log" else theta


LOWEST = 0.01
"""Share of its row's mean to which unconstrained entries are raised at the start."""


class Optax(AbstractSolver):
    """Any optax transformation, as simultaneous gradient steps of every block on its own cost.

    Parameters
    ----------
    transform : optax.GradientTransformation
        For instance ``optax.adam(1e-2)``. Build it once: each is compiled for itself.
    parametrisation : {"projected", "softplus", "log"}
        Steps on the blocks followed by a projection to 0 and above, or on unconstrained blocks of
        which they are the softplus or the exponential.
    chunk : int, optional
        As in `MU`.

    Notes
    -----
    Before the first step the codes take one multiplicative update, which gives them their scale.
    Multiplicative updates are indifferent to the scale of their start; gradient steps are not.

    Raises
    ------
    ValueError
        If the parametrisation is unknown.
    """

    transform: optax.GradientTransformation = eqx.field(static=True)
    parametrisation: Literal["projected", "softplus", "log"] = eqx.field(
        default="projected", static=True
    )
    chunk: int | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        if self.parametrisation not in ("projected", "softplus", "log"):
            raise ValueError(
                "Optax(parametrisation) must be 'projected', 'softplus' or 'log', found "
                f"{self.parametrisation!r}"
            )
        if self.chunk is not None:
            check_integer(self.chunk, "Optax(chunk)")

    def init(self, objective, data, blocks):
        # A component that is 0 throughout a block is masked; single zeros may move.
        live = {
            k: jax.tree.map(
                lambda a, axis=int(k == "basis"): jnp.any(a > 0, axis, keepdims=True), v
            )
            for k, v in blocks.items()
        }
        blocks, _, _ = MU(chunk=self.chunk).codes(objective, data, blocks)
        to = _Positive(self.parametrisation).to
        # Far down a softplus or a logarithm the slope vanishes, and a zero would stay.
        share = 0 if self.parametrisation == "projected" else LOWEST

        def floor(a, on):
            low = jnp.maximum(share * a.mean(1, keepdims=True), jnp.finfo(a.dtype).tiny)
            return jnp.where(on, jnp.maximum(a, low), 1)

        theta = jax.tree.map(lambda a, on: to(floor(a, on)), blocks, live)
        return theta, live, self.transform.init(theta)

    def step(self, objective, data, blocks, state):
        theta, live, inner = state
        back = _Positive(self.parametrisation).back
        given = blocks["basis"]

        def read(theta):
            # Frozen rows are those given, and have no gradient.
            new = jax.tree.map(lambda a, on: jnp.where(on, back(a), 0), theta, live)
            keep = lambda w, old: jnp.where(is_frozen(objective, w.shape[0]), old, w)  # noqa: E731
            return {**new, "basis": jax.tree.map(keep, new["basis"], given)}

        blocks, pull = jax.vjp(read, theta)
        grads, terms, stats = blocks, [], []
        for path, group in by_codes(objective.terms(data)).items():

            def slope(rows, codes, group=group):
                return codes, code_gradient(objective, group, rows, blocks["basis"])(codes).grad

            out, sums = visit_rows(group, get(blocks, path), blocks["basis"], slope, self.chunk)
            grads = put(grads, path, out)
            terms, stats = terms + group, stats + sums
        splits = basis_gradient(objective, terms, stats, blocks["basis"])
        slopes = jax.tree.map(
            lambda w, s: jnp.broadcast_to(s.grad, w.shape), blocks["basis"], splits
        )
        grads = {**grads, "basis": slopes}
        pulled = pull(grads)[0]
        # A transformation is foreign code, which may mix types of numbers (optax counts steps in
        # integers).
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, inner = self.transform.update(pulled, inner, theta)
            theta = optax.apply_updates(theta, updates)
        if self.parametrisation == "projected":
            theta = jax.tree.map(lambda a: jnp.maximum(a, 0), theta)
        return read(theta), (theta, live, inner)
