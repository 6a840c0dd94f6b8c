"""Row chunks: one function visits some rows, a driver decides which and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import PyTree

BYTES = 2**23
"""Size of a chunk of data that the caches of a core hold beside its intermediate results."""

ROWS, RESTARTS = "rows", "restarts"
"""Names of the axes of a mesh of devices: rows over the one, fits of a sweep over the other."""


def axis_size(name: str) -> int:
    """Devices along an axis of the mesh in use (`jax.set_mesh`); 1 where there is no such axis."""
    return jax.sharding.get_abstract_mesh().shape.get(name, 1)


def chunk_rows(features: int, itemsize: int) -> int:
    """Rows in a chunk of about `BYTES`, a power of two that is at least 128."""
    rows = max(BYTES // (features * itemsize), 128)
    return 1 << (rows.bit_length() - 1)


def scan_rows(
    visit: Callable[[PyTree, PyTree], tuple[PyTree, Any]], total: PyTree, rows: PyTree, size: int
) -> tuple[PyTree, Any]:
    """Fold ``visit(total, chunk) -> (total, out)`` over chunks of ``size`` rows.

    Parameters
    ----------
    visit : callable
        Takes the running sum and a chunk of every array in ``rows``; returns the sum with what the
        chunk adds, and arrays with as many rows.
    total : pytree
        The sum before the first row.
    rows : pytree of arrays (n, ...)
    size : int
        Rows a chunk; the last chunk is shorter where it does not divide n.

    Returns
    -------
    total, out : pytree, pytree of arrays (n, ...)

    Notes
    -----
    In a mesh (`row_mesh`) every device visits the rows that it holds, and what they add to the sum
    is added over devices: slices of all rows would gather them.
    """
    if axis_size(ROWS) * axis_size(RESTARTS) == 1:
        return _scan(visit, total, rows, size)

    def mine(total, rows):
        added, out = _scan(visit, jax.tree.map(jnp.zeros_like, total), rows, size)
        return jax.tree.map(lambda a, b: a + lax.psum(b, ROWS), total, added), out

    once, split = PartitionSpec(), PartitionSpec(ROWS)
    # The check of what varies between devices would ask every solver to declare it. Inside a jit of
    # its own, what `visit` closes over becomes an argument, which vmap can split over devices.
    over_devices = jax.shard_map(
        mine, in_specs=(once, split), out_specs=(once, split), check_vma=False
    )
    return jax.jit(over_devices)(total, rows)


def _scan(visit, total, rows, size):
    """The chunks of one device."""
    n = jax.tree.leaves(rows)[0].shape[0]
    full = n // size
    if full <= 1 and n <= 2 * size:
        return visit(total, rows)

    def piece(start, length):
        return jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, length), rows)

    def body(i, carry):
        total, out = carry
        total, new = visit(total, piece(i * size, size))
        put = lambda a, b: lax.dynamic_update_slice_in_dim(a, b, i * size, 0)  # noqa: E731
        return total, jax.tree.map(put, out, new)

    shapes = jax.eval_shape(visit, total, piece(0, size))[1]
    out = jax.tree.map(lambda s: jnp.zeros((n, *s.shape[1:]), s.dtype), shapes)
    total, out = lax.fori_loop(0, full, body, (total, out))
    if rest := n - full * size:
        total, new = visit(total, piece(full * size, rest))
        out = jax.tree.map(
            lambda a, b: lax.dynamic_update_slice_in_dim(a, b, n - rest, 0), out, new
        )
    return total, out
