"""Numbers as arguments: in double precision, known or traced."""

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


def concrete(a: Any) -> np.ndarray | None:
    """A value as NumPy, to be checked; None while it is traced."""
    return None if traced(a) else np.asarray(a)
