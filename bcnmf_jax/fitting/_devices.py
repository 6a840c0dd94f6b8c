"""Rows over devices and processes: every device holds some of the rows, and sums over rows are
added between devices (`scan_rows`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.chunks import RESTARTS, ROWS
from bcnmf_jax.data.preparation import check_all_seen, read, seen
from bcnmf_jax.data.rows import Rows, is_rows
from bcnmf_jax.model.terms import Term, get, put


def row_mesh(devices: Sequence[Any] | None = None, restarts: int = 1) -> Mesh:
    """Devices as a grid: rows of the data over one axis, restarts of a `sweep` over the other.

    Parameters
    ----------
    devices : list of jax.Device, optional
        By default all devices of all processes. Every process must have as many of them.
    restarts : int
        Groups of devices that run different restarts; each group holds all rows. Groups share out
        the devices of every process, so that rows never leave the process that read them.

    Returns
    -------
    Mesh
        Axes ``"restarts"`` (this many) and ``"rows"`` (devices / restarts).

    Raises
    ------
    ValueError
        If ``restarts`` does not divide the devices of each process, or a process has others.
    """
    # In the order of processes, as the rows are.
    chosen = sorted(jax.devices() if devices is None else devices, key=lambda d: d.process_index)
    counts = Counter(d.process_index for d in chosen)
    if len(counts) != jax.process_count() or len(set(counts.values())) != 1:
        raise ValueError(
            f"devices must be as many of each of the {jax.process_count()} processes, found "
            f"{dict(counts)} by process"
        )
    check_integer(restarts, "restarts")
    each = len(chosen) // len(counts)
    if each % restarts:
        raise ValueError(
            f"restarts must divide the number of devices of a process, {each}; found {restarts}"
        )
    grid = np.array(chosen).reshape(-1, restarts).T
    return Mesh(grid, (RESTARTS, ROWS), axis_types=(AxisType.Auto,) * 2)


def shard(
    data: dict, mesh: Mesh, weights: dict | None = None, mask: dict | None = None
) -> dict[str, Any]:
    """Data checked and placed on the devices of a mesh, once for many fits.

    Every process passes its own rows and reads no others; in a single process these are all rows.
    Where the devices' shares are not equal they are filled up with rows that take no part.

    Parameters
    ----------
    data, weights, mask : dict
        As `prepare` takes them: NumPy arrays (memory maps too) of this process' rows.
    mesh : Mesh
        From `row_mesh`.

    Returns
    -------
    dict
        `Rows` over all processes, for ``fit``, ``init`` and ``sweep`` with the same ``mesh=``. Data
        that are so placed already are returned as they are.

    Raises
    ------
    TypeError, ValueError
        For a mesh that is not from `row_mesh`; for data as `prepare` says.
    """
    if not isinstance(mesh, Mesh) or mesh.axis_names != (RESTARTS, ROWS):
        raise TypeError(f"mesh must come from bcnmf_jax.row_mesh, found {mesh!r}")
    # In host memory: all rows together may be too large for the first device.
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        rows = read(data, weights, mask)
    if not any(map(is_rows, jax.tree.leaves(data, is_leaf=is_rows))):
        found = seen(rows)
        if jax.process_count() > 1:
            found = jax.tree.map(lambda a: process_allgather(a).any(0), found)
        check_all_seen(data, found)
    return jax.tree.map(lambda r: _shard(r, mesh), rows, is_leaf=is_rows)


def _room(count: int, mesh: Mesh) -> tuple[int, bool]:
    """Rows that each process has room for, and whether some process has fewer."""
    counts = np.asarray(count)
    if jax.process_count() > 1:
        counts = np.asarray(process_allgather(counts))
    slots = mesh.shape[ROWS] // jax.process_count()  # shares of the rows that a process holds
    room = -(-int(counts.max()) // slots) * slots
    return room, bool((counts < room).any())


def _place(a: Any, mesh: Mesh, room: int) -> jax.Array:
    """Rows of this process, filled up with zeros and placed beside those of the others."""
    a = np.asarray(a)
    if a.shape[0] < room:
        a = np.pad(a, ((0, room - a.shape[0]), (0, 0)))
    shape = (room * jax.process_count(), *a.shape[1:])
    where = NamedSharding(mesh, PartitionSpec(ROWS))
    return jax.make_array_from_process_local_data(where, a, shape)


def _shard(rows: Rows, mesh: Mesh) -> Rows:
    where = NamedSharding(mesh, PartitionSpec(ROWS))
    if rows.x.sharding.is_equivalent_to(where, 2):
        return rows
    if len(rows.x.sharding.device_set) > 1:
        raise ValueError("data are placed on another mesh; shard them anew from arrays in memory")
    room, short = _room(rows.x.shape[0], mesh)
    keep = np.ones((rows.x.shape[0], 1), rows.x.dtype) if short else None
    v = keep if rows.weights is None else rows.weights
    v, keep = (None if a is None else _place(a, mesh, room) for a in (v, keep))
    return Rows(_place(rows.x, mesh, room), v, keep)


def held(rows: Rows) -> int:
    """Samples of this process among placed rows."""
    if rows.valid is None:
        return rows.x.shape[0] // jax.process_count()
    return int(np.count_nonzero(fetch(rows.valid)))


def as_held(data: PyTree) -> PyTree:
    """Shapes of placed data as this process passed them."""

    def shapes(rows: Rows) -> Any:
        count = held(rows)
        like = lambda a: jax.ShapeDtypeStruct((count, a.shape[1]), a.dtype)  # noqa: E731
        return jax.tree.map(like, rows)

    return jax.tree.map(shapes, data, is_leaf=is_rows)


def place_blocks(terms: Iterable[Term], blocks: dict, mesh: Mesh) -> dict:
    """Blocks as a process passes them, with its own rows of the codes, beside placed data."""
    for path, rows in {t.codes: t.rows for t in terms}.items():
        room = rows.x.shape[0] // jax.process_count()
        blocks = put(blocks, path, _place(get(blocks, path), mesh, room))
    everywhere = NamedSharding(mesh, PartitionSpec())
    basis = jax.tree.map(lambda w: jax.device_put(np.asarray(w), everywhere), blocks["basis"])
    return {**blocks, "basis": basis}


def fetch(leaf: jax.Array) -> Any:
    """An array as far as this process holds it, in one piece: NumPy where others hold more."""
    if leaf.is_fully_addressable:
        return leaf
    parts = {_corner(s.index): s.data for s in leaf.addressable_shards}
    low = np.min(list(parts), axis=0)
    shape = np.max([np.add(at, part.shape) for at, part in parts.items()], axis=0) - low
    out = np.empty(shape, leaf.dtype)
    for at, part in parts.items():
        out[tuple(slice(a, a + n) for a, n in zip(at - low, part.shape, strict=True))] = part
    return out


def _corner(index: tuple[slice, ...]) -> tuple[int, ...]:
    return tuple(s.start or 0 for s in index)


def fetch_blocks(terms: Iterable[Term], blocks: dict) -> dict:
    """Blocks with this process' rows of the codes alone, as it passed them."""
    blocks = jax.tree.map(fetch, blocks)
    for path, rows in {t.codes: t.rows for t in terms}.items():
        blocks = put(blocks, path, get(blocks, path)[..., : held(rows), :])
    return blocks


def collect(terms: Iterable[Term], found: Any) -> Any:
    """Part of a fit over devices that this process holds, with the codes of its own rows."""
    blocks = fetch_blocks(terms, found.blocks)
    return eqx.tree_at(lambda f: f.blocks, jax.tree.map(fetch, found), blocks)
