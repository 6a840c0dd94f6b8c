"""The one idea: a gradient kept as two nonnegative halves."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # no other name is public; this module alone imports it
from jaxtyping import Array

Number = Array | np.ndarray
"""A swept number, or an array of them: NumPy's as it is built, JAX's under a trace."""


def number(a: Any) -> Number:
    """A swept number, or an array of them, as an array leaf: other values compile nothing.

    In double precision, of NumPy, whatever JAX computes in when an objective is built: a number
    takes the data's type where it is used. What is JAX's own (under a trace, for instance) stays.
    """
    if isinstance(a, jax.Array):
        return a if jnp.issubdtype(a.dtype, jnp.floating) else a.astype(float)
    if np.ma.isMaskedArray(a):
        raise TypeError("numbers may not be masked; leave them out, or pass a.filled(value)")
    return np.array(a, np.float64)


def shown(self: eqx.Module) -> str:
    """A module as text, with the values of its numbers."""
    value = lambda a: a.item() if isinstance(a, np.ndarray) and a.ndim == 0 else a  # noqa: E731
    return eqx.tree_pformat(jax.tree.map(value, self))


def traced(a: Any) -> bool:
    """Whether a value is not known yet, because jit, vmap or grad is tracing the program."""
    return isinstance(a, Tracer)


def known(a: Any) -> np.ndarray | None:
    """A value as NumPy, to be checked; None while it is traced."""
    return None if traced(a) else np.asarray(a)


class Split(eqx.Module):
    """A gradient ``pos - neg`` whose halves are nonnegative.

    Splits add, and scale; multiplying by a negative number swaps the halves. A contrast is such a
    multiplication: the background's misfit enters the basis with weight ``-a``, so what would pull
    the basis towards the background pushes it away.

    Attributes
    ----------
    pos, neg : Array
        The halves, of shapes that broadcast to the shape of the block (a half that is constant
        over features is kept as one column).
    """

    pos: Array
    neg: Array

    def __add__(self, other: Split) -> Split:
        return Split(self.pos + other.pos, self.neg + other.neg)

    def __rmul__(self, c) -> Split:
        size, keep = jnp.abs(c), jnp.asarray(c) >= 0
        return Split(
            size * jnp.where(keep, self.pos, self.neg), size * jnp.where(keep, self.neg, self.pos)
        )

    @property
    def grad(self) -> Array:
        """The gradient itself."""
        return self.pos - self.neg

    @property
    def ratio(self) -> Array:
        """``neg / pos``, the factor of a multiplicative update.

        Where both halves vanish nothing pulls and the factor is 1. It is bounded by the inverse
        machine epsilon: a half that underflows must not write an infinity.
        """
        tiny, bound = jnp.finfo(self.pos.dtype).tiny, 1 / jnp.finfo(self.pos.dtype).eps
        return jnp.minimum((self.neg + tiny) / (self.pos + tiny), bound)
