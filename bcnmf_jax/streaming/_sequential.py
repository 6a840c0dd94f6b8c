"""Target components one after the other, of data that are read chunk by chunk.

They are found on a sample of rows, beyond a basis of the whole background, and settled together by
passes over all rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.rows import is_rows
from bcnmf_jax.data.sources import CHUNK_ROWS
from bcnmf_jax.data.summaries import summarize
from bcnmf_jax.fitting.arguments import check_types
from bcnmf_jax.fitting.many import OnProgress
from bcnmf_jax.fitting.result import Fit, as_found
from bcnmf_jax.fitting.sequential import check_sequential, find_components
from bcnmf_jax.fitting.stop import NO_STEP, Stop
from bcnmf_jax.model.objective import require_target
from bcnmf_jax.model.scale import restored, scaled_sources
from bcnmf_jax.objectives import BackgroundFirst
from bcnmf_jax.solvers.alternating import AbstractAlternating
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.streaming._resume import Keeper
from bcnmf_jax.streaming._streamer import Streamer
from bcnmf_jax.streaming.driver import (
    Progress,
    advance,
    check_checkpoint,
    check_streamed,
    frozen_by_passes,
    short_text,
)
from bcnmf_jax.streaming.parts import DataSets
from bcnmf_jax.streaming.sample import sample, sample_rows


def fit_sequential(
    objective: BackgroundFirst,
    data: dict,
    rank: int,
    key: Key[Array, ""],
    *,
    solver: AbstractAlternating | None = None,
    stop: Stop | None = None,
    starts: int = 2,
    refit: bool = True,
    chunk_rows: int = CHUNK_ROWS,
    most_rows: int | None = None,
    checkpoint: str | Path | None = None,
    every: int = 5,
    on_progress: Callable[[Progress], Any] | None = None,
) -> Fit:
    """Fit target components one after the other on a sample, and together by passes over all rows.

    Where the sample holds all rows, the answer is that of `bcnmf_jax.fit_sequential`, but for
    rounding and the codes from which the last fit starts.

    Parameters
    ----------
    objective : BackgroundFirst
    data : dict
        As of `stream`; samples have the weights that `summarize` was given.
    rank : int
        Number of target components.
    key : jax.random.key
        Of the background's basis, of the sample, and of the starts.
    solver : MU or HALS
        By default that of `fit`.
    stop : Stop
        For each component on the sample, and for the passes.
    starts : int
        As of `bcnmf_jax.fit_sequential`.
    refit : bool
        As of `bcnmf_jax.fit_sequential`; without it the passes read codes alone.
    chunk_rows : int
        Rows in memory at a time; a few chunks are.
    most_rows : int, optional
        Rows of the sample, from all over the data sets; by default 20,000, or what 256 MiB hold.
    checkpoint : path, optional
        As of `stream`. Components that were being found on the sample are found again.
    every : int
        Passes between checkpoints.
    on_progress : callable, optional
        Takes a `Progress` after every pass and component.

    Returns
    -------
    Fit
        As of `bcnmf_jax.fit_sequential`; steps are passes of the last fit, codes NumPy arrays.

    Raises
    ------
    TypeError, ValueError
        As `stream` and `bcnmf_jax.fit_sequential`.
    """
    rank, starts = check_sequential(objective, rank, starts)
    stop = Stop(tol=1e-5) if stop is None else stop
    check_types(objective, solver, stop)
    check_streamed(solver)
    check_checkpoint(checkpoint, every)
    heard = (lambda _: None) if on_progress is None else on_progress
    known = summarize(data, chunk_rows=chunk_rows)
    require_target(objective, known)
    known, unit = scaled_sources(objective, known)
    sets = DataSets(objective, known, chunk_rows)
    most = sample_rows(sets) if most_rows is None else check_integer(most_rows, "most_rows")
    mover = default_solver(objective, sets.data) if solver is None else solver
    run = Streamer(objective, sets, mover, stop if refit else NO_STEP)
    how = f"sequential {starts} {most}" + ("" if refit else " apart")
    about = {"rank": str(rank), "key": short_text(key), "start": how}
    keeper = Keeper(run, checkpoint, every, about)
    state, fits = keeper.load(objective.extra + rank), []
    if state is None:
        first = None if checkpoint is None else f"{checkpoint}.background"
        frozen = frozen_by_passes(objective, known, key, chunk_rows, first, every, heard)
        words = [int(a) for a in np.ravel(jax.random.key_data(key))]
        some = sample(sets, most, words)
        share = _as_passes(
            heard, rank, sum(r.x.shape[0] for r in jax.tree.leaves(some, is_leaf=is_rows))
        )
        found, fits = find_components(
            objective, some, frozen, rank, key, solver=solver, stop=stop, starts=starts,
            on_progress=share, parts=rank,
        )  # fmt: skip
        basis = jnp.concatenate([found, frozen])
        state = run.begin(basis, run.settled(basis))
    state = advance("fit", run, state, keeper, heard)
    if checkpoint is not None:
        Path(f"{checkpoint}.background").unlink(missing_ok=True)
    last = run.finish(state)
    last = last if refit else as_found(last, fits)
    return restored(objective, last, unit)


def _as_passes(heard: Callable[[Progress], Any], rank: int, samples: int) -> OnProgress:
    """Shares of the components as a `Progress` after each of them, of so many sampled rows."""
    began, told = time.perf_counter(), 0

    def on_progress(share: float) -> None:
        nonlocal told
        seconds, done = time.perf_counter() - began, int(share * rank + 1e-9)
        if done > told:
            told, left = done, seconds * (1 / share - 1)
            heard(Progress("components", done, rank, samples * done / max(seconds, 1e-9), left))

    return on_progress
