"""`sweep`: grids of fits, alpha x rank x restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, Key, Shaped

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.numbers import concrete, number
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting._devices import collect, shard
from bcnmf_jax.fitting.arguments import check_types
from bcnmf_jax.fitting.many import AbstractBatch, OnProgress, default_size, map_batched, run_many
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.start import Method, check_method, settled, start
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.blocks import truncate
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import Frobenius
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data, require_target
from bcnmf_jax.model.scale import restored, scaled
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.solver import AbstractSolver


class Grid(AbstractBatch):
    """Fits of every alpha, rank and start, the last fastest.

    Attributes
    ----------
    make : callable
        Gives the objective from alpha, loss and ``kwargs``.
    data : dict
        Prepared.
    alphas : Array (A,), or (A, backgrounds)
    ranks : Array (R,)
    starts : dict
        Blocks of the largest rank with a leading axis (S,). They depend on neither alpha nor rank:
        a smaller rank is a mask.
    loss : AbstractLoss
    kwargs : dict
    """

    make: Callable[..., AbstractObjective] = eqx.field(static=True)
    data: Data
    alphas: Any
    ranks: Int[Array, " R"]
    starts: Blocks
    loss: AbstractLoss
    kwargs: dict[str, Any]

    def place(self, index: Int[Array, ""]) -> tuple[Array, Array, Array]:
        """Numbers of the alpha, rank and start of a fit."""
        restarts = jax.tree.leaves(self.starts)[0].shape[0]
        shape = self.alphas.shape[0], self.ranks.shape[0], restarts
        a, r, s = jnp.unravel_index(index, shape)
        return a, r, s

    def problem(self, index):
        alpha = jnp.asarray(self.alphas)[self.place(index)[0]]
        return self.make(alpha=alpha, loss=self.loss, **self.kwargs), self.data

    def start(self, index):
        _, r, s = self.place(index)
        objective, data = self.problem(index)
        blocks = jax.tree.map(lambda leaf: leaf[s], self.starts)
        return settled(objective, data, truncate(objective, blocks, self.ranks[r]))


@eqx.filter_jit
def _starts(objective, data, keys, rank, method, size) -> Blocks:
    """Starting blocks of every key, codes not yet settled."""

    def one(index):
        return start(objective, data, rank, keys[index], method)

    return map_batched(one, keys.shape[0], size)


def sweep(
    make: Callable[..., AbstractObjective],
    data: dict,
    *,
    alphas: Sequence[float | Sequence[float]] | Shaped[Array | np.ndarray, "alphas ..."],
    ranks: Sequence[int] | Int[Array | np.ndarray, " R"],
    keys: Key[Array, " restarts"] | Sequence[Key[Array, ""]],
    loss: AbstractLoss | None = None,
    solver: AbstractSolver | None = None,
    stop: Stop | None = None,
    batch_size: int | None = None,
    method: Method = "random",
    weights: dict | None = None,
    mask: dict | None = None,
    mesh: Mesh | None = None,
    on_progress: OnProgress | None = None,
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
    method : {"random", "nndsvd", "quadratic"}
    weights, mask : dict, optional
        As in `fit`.
    mesh : Mesh, optional
        As in `fit`; fits are shared out between its groups of devices (``row_mesh(restarts=)``).
    on_progress : callable, optional
        Takes the share of the steps that are done, from 0 to 1, if every one of them is needed.
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
    grid = _axes(alphas, ranks, keys)
    check_method(method)
    if batch_size is not None:
        check_integer(batch_size, "batch_size")
    if isinstance(make, AbstractObjective):
        raise TypeError("make must be a class or function that takes alpha and loss, not an object")
    loss = Frobenius() if loss is None else loss
    stop = Stop() if stop is None else stop
    kwargs = {k: number(v) if type(v) is float else v for k, v in kwargs.items()}
    objective = make(alpha=grid.alphas[0], loss=loss, **kwargs)
    check_types(objective, solver, stop)
    rows = prepare(data, weights, mask) if mesh is None else shard(data, mesh, weights, mask)
    require_target(objective, rows)
    rows, unit = scaled(objective, rows)
    solver = default_solver(objective, rows) if solver is None else solver
    widest = int(grid.ranks.max())
    size = batch_size or default_size(objective, rows, widest + objective.extra)
    with nullcontext() if mesh is None else jax.set_mesh(mesh):
        starts = _starts(objective, rows, grid.keys, widest, method, size)
        batch = Grid(make, rows, grid.alphas, jnp.asarray(grid.ranks), starts, loss, kwargs)
        found = run_many(
            batch, int(np.prod(grid.shape)), solver, stop, size=size, on_progress=on_progress
        )
        found = jax.tree.map(lambda leaf: leaf.reshape(*grid.shape, *leaf.shape[1:]), found)
    if mesh is not None:
        found = collect(objective.terms(rows), found)
    return restored(objective, found, unit)


class _Axes(NamedTuple):
    """Checked axes of a grid."""

    alphas: Any
    ranks: np.ndarray
    keys: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.alphas), len(self.ranks), len(self.keys)


def _axes(alphas: Any, ranks: Any, keys: Any) -> _Axes:
    """The axes, or an error that names the one that is wrong."""
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
    return _Axes(alphas, ranks, keys)
