"""Fits in memory that can say how far they are: the loop of `fit`, entered again after some looks.

The compiled programs are the same whether or not anybody listens, and so are the results; where
nobody does, the loop is entered once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from bcnmf_jax.fitting.loop import Running, advance, begin, finish
from bcnmf_jax.fitting.many import default_batch
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.start import settled, start
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.objective import AbstractObjective, Data
from bcnmf_jax.model.scale import restored, scaled
from bcnmf_jax.solvers.default import default_solver

OnProgress = Callable[[float], Any]
"""Is given the share of the work that is done, from 0 to 1."""
SECONDS = 0.5
"""From which a segment is long enough: shorter ones are followed by one of twice as many looks."""


def part_of(on_progress: OnProgress | None, part: int, parts: int) -> OnProgress | None:
    """The listener to one of several equal parts of the work; None where nobody listens."""
    return None if on_progress is None else lambda share: on_progress((part + share) / parts)


def to_the_end(
    step: Callable[[Running, Any], Running],
    now: Running,
    stop: Stop,
    on_progress: OnProgress | None,
) -> Running:
    """Fits side by side, or one, run until all have ended.

    Parameters
    ----------
    step : callable
        `advance`, compiled, as a function of where the fits stand and of ``until``.
    now : Running
    stop : Stop
    on_progress : callable, optional
        Is given the share of the most steps that are done.
    """
    most, looks = int(stop.max_steps), 1
    until = most if on_progress is None else min(stop.every, most)
    while True:
        clock = time.perf_counter()
        now = step(now, np.int32(until))
        steps, settled, going = jax.device_get((now.steps, now.settled, now.going))
        if not np.any((steps < most) & ~settled & going):
            return now
        if on_progress is not None:
            on_progress(until / most)
        looks *= 2 if time.perf_counter() - clock < SECONDS else 1
        until = min(until + looks * stop.every, most)


def fit_starts(
    objective: AbstractObjective,
    data: Data,
    rank: int,
    keys: Key[Array, " restarts"],
    stop: Stop,
    on_progress: OnProgress | None = None,
) -> Fit:
    """Fits of prepared data from random starts, as many side by side as `sweep` has.

    Parameters
    ----------
    objective, data, rank, stop
        As of `fit` and `init`.
    keys : array of keys (S,)
    on_progress : callable, optional
        Is given the share of the steps that are done, if every one of them is needed.

    Returns
    -------
    Fit
        With a leading axis (S,).
    """
    data, unit = scaled(objective, data)
    solver, count = default_solver(objective, data), len(keys)
    batches = -(-count // default_batch(objective, data, rank + objective.extra))
    # Even batches, of which the last is filled from the first.
    size = -(-count // batches)
    found = []
    for b, index in enumerate((np.arange(batches * size) % count).reshape(batches, size)):
        share = part_of(on_progress, b, batches)
        now = _begin(objective, data, rank, keys[index], solver, stop.looks)
        step = partial(_advance, objective, data, solver=solver, stop=stop)
        now = to_the_end(lambda now, until, step=step: step(now, until=until), now, stop, share)
        found.append(_finish(objective, data, now))
        if share:
            share(1.0)
    found = jax.tree.map(lambda *parts: jnp.concatenate(parts)[:count], *found)
    return restored(objective, found, unit)


@eqx.filter_jit
def _begin(objective, data, rank, keys, solver, looks) -> Running:
    def one(key):
        blocks = settled(objective, data, start(objective, data, rank, key, "random"))
        return begin(objective, data, blocks, solver, looks)

    return jax.vmap(one)(keys)


@eqx.filter_jit
def _advance(objective, data, now, solver, stop, until) -> Running:
    return jax.vmap(lambda one: advance(objective, data, one, solver, stop, until))(now)


@eqx.filter_jit
def _finish(objective, data, now) -> Fit:
    return jax.vmap(lambda one: finish(objective, data, one))(now)
