"""Arrays in memory that nobody else writes to."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ALIGNED = 64
"""Bytes; JAX on a CPU computes in place on arrays that begin at a multiple."""


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Uninitialised memory in which JAX on a CPU computes."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + ALIGNED, np.uint8)
    start = -raw.ctypes.data % ALIGNED
    return raw[start : start + size].view(dtype).reshape(shape)


def owned(a: Any, dtype: Any) -> jax.Array:
    """An array of JAX, by one copy of what its owner may still change.

    ``jnp.asarray`` shares the memory of NumPy's arrays where their alignment permits.

    Raises
    ------
    TypeError
        For a masked array.
    """
    if np.ma.isMaskedArray(a):
        raise TypeError("a masked array is taken as data alone; pass a.filled(value)")
    if isinstance(a, jax.Array):
        return jnp.asarray(a, dtype)
    a = np.asarray(a)
    copy = aligned(a.shape, dtype)
    copy[...] = a
    return jax.device_put(copy)
