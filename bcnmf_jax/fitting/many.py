"""`run_many`: fits side by side, as many at once as memory allows, with progress.

Alphas, ranks, restarts and resamples are one thing: a problem and a start for each number. Every
batch is run by the same compiled programs, whether or not somebody listens.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, Key, PyTree

from bcnmf_jax.data.chunks import BYTES, RESTARTS, axis_size, chunk_rows
from bcnmf_jax.fitting.loop import Running, advance, begin, finish, is_running
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.start import settled, start
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.gradients import reconstruct
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data
from bcnmf_jax.model.scale import restored, scaled
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.solver import AbstractSolver

OnProgress = Callable[[float], Any]
"""Takes the share of the work that is done, from 0 to 1."""
SECONDS = 0.5
"""Shortest time between looks of the host, as long as the looks of the fit are shorter."""
COLUMNS = 96
"""Columns of codes side by side from which a matrix product gains nothing by more (CPU)."""


class AbstractBatch(eqx.Module):
    """Fits by their numbers; arrays are leaves, so that other values compile nothing."""

    @abstractmethod
    def problem(self, index: Int[Array, ""]) -> tuple[AbstractObjective, Data]:
        """Objective and prepared data of a fit."""

    @abstractmethod
    def start(self, index: Int[Array, ""]) -> Blocks:
        """Blocks that a fit starts from."""


class Restarts(AbstractBatch):
    """Random starts of one problem.

    Attributes
    ----------
    objective : AbstractObjective
    data : dict
        Prepared.
    rank : int
    keys : array of keys (restarts,)
    """

    objective: AbstractObjective
    data: Data
    rank: int = eqx.field(static=True)
    keys: Key[Array, " restarts"]

    def problem(self, index):
        return self.objective, self.data

    def start(self, index):
        blocks = start(self.objective, self.data, self.rank, self.keys[index], "random")
        return settled(self.objective, self.data, blocks)


def run_many(
    batch: AbstractBatch,
    count: int,
    solver: AbstractSolver,
    stop: Stop,
    *,
    size: int,
    keep: Callable[[Fit], Any] | None = None,
    on_progress: OnProgress | None = None,
) -> Any:
    """Fits 0 ... count - 1 of a batch.

    Parameters
    ----------
    batch : AbstractBatch
    count : int
    solver : AbstractSolver
    stop : Stop
    size : int
        Most fits side by side, on each group of devices; bounds the memory of the work.
    keep : callable, optional
        What is kept of a fit; a function of a module. By default all of it.
    on_progress : callable, optional
        Takes the share of the steps that are done, if every one of them is needed.

    Returns
    -------
    Fit, or what ``keep`` gives
        With a leading axis (count,).
    """
    found, groups = [], indices(count, size)
    for b, index in enumerate(groups):
        share = part_of(on_progress, b, len(groups))
        now = _begin(batch, index, solver, stop.looks)
        step = partial(_advance, batch, index, solver, stop)
        now = to_the_end(step, now, stop, share)
        found.append(_finish(batch, index, now, keep))
        if share:
            share(1.0)
    if len(found) == 1 and len(groups[0]) == count:
        return found[0]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts)[:count], *found)


def fit_restarts(
    objective: AbstractObjective,
    data: Data,
    rank: int,
    keys: Key[Array, " restarts"],
    stop: Stop,
    *,
    solver: AbstractSolver | None = None,
    on_progress: OnProgress | None = None,
) -> Fit:
    """Fits of prepared data from random starts, as many side by side as `sweep` has.

    Returns
    -------
    Fit
        With a leading axis (restarts,).
    """
    data, unit = scaled(objective, data)
    solver = default_solver(objective, data) if solver is None else solver
    size = default_size(objective, data, rank + objective.extra)
    batch = Restarts(objective, data, rank, keys)
    found = run_many(batch, len(keys), solver, stop, size=size, on_progress=on_progress)
    return restored(objective, found, unit)


def default_size(objective: AbstractObjective, data: Data, width: int) -> int:
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


def indices(count: int, size: int) -> Int[np.ndarray, "batches size"]:
    """Numbers of the fits of even batches, for each group of devices at most ``size``; the last
    batch is filled from the first."""
    groups = axis_size(RESTARTS)
    each = -(-count // groups)
    size = groups * -(-each // -(-each // size))
    return (np.arange(-(-count // size) * size) % count).reshape(-1, size)


def side_by_side(f: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """``f`` vmapped, over the groups of devices where there are any."""
    return jax.vmap(f, spmd_axis_name=RESTARTS if axis_size(RESTARTS) > 1 else None)


def map_batched(f: Callable[[Array], PyTree], count: int, size: int) -> PyTree:
    """``f`` of 0 ... count - 1 within one program, at most ``size`` side by side."""
    out = lax.map(side_by_side(f), jnp.asarray(indices(count, size)))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], out)


def part_of(on_progress: OnProgress | None, part: int, parts: int) -> OnProgress | None:
    """Progress of one of several equal parts of the work; None where nobody listens."""
    return None if on_progress is None else lambda share: on_progress((part + share) / parts)


def to_the_end(
    step: Callable[[Running, Any], Running],
    now: Running,
    stop: Stop,
    on_progress: OnProgress | None,
) -> Running:
    """Fits side by side, or one, after their last step.

    Parameters
    ----------
    step : callable
        `advance`, compiled, as a function of the fits and of ``until``.
    now : Running
    stop : Stop
    on_progress : callable, optional
        Takes the share of the most steps that are done. Without it, the program is entered once.
    """
    most, looks = int(stop.max_steps), 1
    if on_progress is None:
        return step(now, np.int32(most))
    until = min(stop.every, most)
    while True:
        clock = time.perf_counter()
        now = step(now, np.int32(until))
        if not _any_running(now, most):
            return now
        on_progress(until / most)
        looks *= 2 if time.perf_counter() - clock < SECONDS else 1
        until = min(until + looks * stop.every, most)


def _any_running(now: Running, most: int) -> bool:
    """Whether one of the fits has steps to do; where processes share them out, one of all fits."""
    flags = now.steps, now.settled, now.going
    if all(a.is_fully_addressable for a in flags):
        return bool(np.any(is_running(most, *jax.device_get(flags))))
    return bool(_any_anywhere(np.int32(most), *flags))


@jax.jit
def _any_anywhere(most: Any, steps: Array, settled: Array, going: Array) -> Array:
    return jnp.any(is_running(most, steps, settled, going))


@eqx.filter_jit
def _begin(batch: AbstractBatch, index: Any, solver: AbstractSolver, looks: int) -> Running:
    def one(i):
        objective, data = batch.problem(i)
        return begin(objective, data, batch.start(i), solver, looks)

    return side_by_side(one)(index)


@eqx.filter_jit
def _advance(batch, index, solver, stop, now, until) -> Running:
    def one(i, now):
        objective, data = batch.problem(i)
        return advance(objective, data, now, solver, stop, until)

    return side_by_side(one)(index, now)


@eqx.filter_jit
def _finish(batch: AbstractBatch, index: Any, now: Running, keep: Any) -> Any:
    def one(i, now):
        objective, data = batch.problem(i)
        fit = finish(objective, data, now)
        return fit if keep is None else keep(fit)

    return side_by_side(one)(index, now)
