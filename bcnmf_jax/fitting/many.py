"""Sweeps: alpha x rank x restart in one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Key

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.chunks import BYTES, RESTARTS, axis_size, chunk_rows
from bcnmf_jax.data.numbers import concrete, number
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.arguments import check_types
from bcnmf_jax.fitting.devices import collect, shard
from bcnmf_jax.fitting.loop import run
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.start import Method, check_method, settled, start
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.blocks import truncate
from bcnmf_jax.model.gradients import reconstruct
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import Frobenius
from bcnmf_jax.model.objective import AbstractObjective, Data, require_target
from bcnmf_jax.model.scale import restored, scaled
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.solver import AbstractSolver

COLUMNS = 96
"""Columns of codes side by side from which a matrix product gains nothing by more (CPU)."""


def default_batch(objective: AbstractObjective, data: Data, width: int) -> int:
    """Fits to run side by side.

    Squared error shares its products with the data, so that fits side by side fill the matrix
    units. Other losses form a reconstruction per fit: more than two side by side only while those
    fit the cache.
    """
    x = jax.tree.leaves(data)[0]
    if not reconstruct(objective.terms(data)):
        return max(COLUMNS // width, 1)
    rows = min(x.shape[0], chunk_rows(x.shape[1], x.dtype.itemsize))
    return max(min(BYTES // (rows * x.shape[1] * x.dtype.itemsize), COLUMNS // width), 2)


def map_batched(f: Callable[[Array], Any], count: int, batch: int) -> Any:
    """``f`` of 0 ... count - 1, ``batch`` side by side on each group of devices; the last batch is
    filled from the first."""
    groups = axis_size(RESTARTS)
    each = -(-count // groups)
    batch = groups * -(-each // -(-each // batch))  # even batches
    index = jnp.arange(-(-count // batch) * batch) % count
    over = RESTARTS if groups > 1 else None
    out = lax.map(jax.vmap(f, spmd_axis_name=over), index.reshape(-1, batch))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], out)


@eqx.filter_jit
def _sweep(make, data, alphas, ranks, keys, loss, kwargs, solver, stop, static) -> Fit:
    widest, looks, batch, method = static
    shape = (alphas.shape[0], ranks.shape[0], keys.shape[0])

    def build(alpha) -> AbstractObjective:
        return make(alpha=alpha, loss=loss, **kwargs)

    # The start depends on neither alpha nor rank (a smaller rank is a mask).
    def begin(index):
        return start(build(alphas[0]), data, widest, keys[index], method)

    starts = map_batched(begin, keys.shape[0], batch)

    def one(index) -> Fit:
        a, r, s = jnp.unravel_index(index, shape)
        objective = build(alphas[a])
        blocks = jax.tree.map(lambda leaf: leaf[s], starts)
        blocks = settled(objective, data, truncate(objective, blocks, ranks[r]))
        return run(objective, data, blocks, solver, stop, looks)

    fits = map_batched(one, int(np.prod(shape)), batch)
    return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), fits)


def sweep(
    make: Callable[..., AbstractObjective],
    data: dict,
    *,
    alphas: Sequence[float | Sequence[float]] | Array | np.ndarray,
    ranks: Sequence[int] | Array | np.ndarray,
    keys: Key[Array, " restarts"] | Sequence[Key[Array, ""]],
    loss: AbstractLoss | None = None,
    solver: AbstractSolver | None = None,
    stop: Stop | None = None,
    batch_size: int | None = None,
    method: Method = "random",
    weights: dict | None = None,
    mask: dict | None = None,
    mesh: Mesh | None = None,
    **kwargs: Any,
) -> Fit:
    """Fit every combination of alpha, rank and restart.

    ``sweep(...)[a, r, s]`` equals `fit` from ``init(..., rank=ranks[r], key=keys[s])``. As many
    other alphas, keys and ranks up to the same largest one compile nothing.

    Parameters
    ----------
    make : callable
        ``make(alpha=..., loss=..., **kwargs)`` gives the objective: a class, or a function of a
        module (a new lambda compiles anew).
    data : dict
        See `prepare`.
    alphas : array (A,), or (A, backgrounds)
    ranks : array (R,)
        Numbers of (target) components.
    keys : array of keys (S,)
        For instance ``jax.random.split(jax.random.key(0), 20)``.
    loss : AbstractLoss
        By default ``Frobenius()``.
    solver : AbstractSolver
    stop : Stop
    batch_size : int, optional
        Fits side by side (on each group of devices); bounds the memory of the work, not that of
        the result, which holds the blocks of all fits. By default what the caches hold.
    method : {"random", "nndsvd"}
    weights, mask : dict, optional
        As in `fit`.
    mesh : Mesh, optional
        As in `fit`; fits are shared out between its groups of devices (``row_mesh(restarts=)``).
    **kwargs
        Passed on to ``make``.

    Returns
    -------
    Fit
        Arrays with leading axes (A, R, S). Components are padded with zeros to the largest rank;
        shared or frozen ones come after that.

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says, and for empty or impossible axes.
    """
    alphas = number(alphas)
    keys = keys if isinstance(keys, jax.Array) else jnp.stack(list(keys))
    for name, axis in (("alphas", alphas), ("ranks", ranks), ("keys", keys)):
        if np.ndim(axis) == 0 or len(axis) == 0:
            raise ValueError(f"{name} must be a list or array with at least one value")
    ranks = np.asarray([check_integer(k, f"ranks[{i}]") for i, k in enumerate(ranks)])
    value = concrete(alphas)
    if value is not None and not ((value >= 0) & np.isfinite(value)).all():
        raise ValueError(f"alphas must be at least 0 and finite, found {alphas}")
    if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        raise TypeError("keys must be an array of jax.random.key, as jax.random.split gives it")
    check_method(method)
    if batch_size is not None:
        check_integer(batch_size, "batch_size")
    loss = Frobenius() if loss is None else loss
    stop = Stop() if stop is None else stop
    if isinstance(make, AbstractObjective):
        raise TypeError("make must be a class or function that takes alpha and loss, not an object")
    widest = int(ranks.max())
    rows = prepare(data, weights, mask) if mesh is None else shard(data, mesh, weights, mask)
    kwargs = {k: number(v) if type(v) is float else v for k, v in kwargs.items()}
    objective = make(alpha=alphas[0], loss=loss, **kwargs)
    check_types(objective, solver, stop)
    require_target(objective, rows)
    rows, unit = scaled(objective, rows)
    solver = default_solver(objective, rows) if solver is None else solver
    width = widest + objective.extra
    batch = batch_size or default_batch(objective, rows, width)
    static = (widest, stop.looks, batch, method)
    run_all = partial(_sweep, make, rows, alphas, jnp.asarray(ranks), keys, loss, kwargs)
    if mesh is None:
        return restored(objective, run_all(solver, stop, static), unit)
    with jax.set_mesh(mesh):
        found = run_all(solver, stop, static)
    return restored(objective, collect(objective.terms(rows), found), unit)
