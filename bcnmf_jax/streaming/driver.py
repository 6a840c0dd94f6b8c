"""`stream`: the fit of data that are read chunk by chunk, in exact or in online passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.data.sources import CHUNK_ROWS, Online
from bcnmf_jax.data.summaries import is_summary, stack, summarize
from bcnmf_jax.fitting.arguments import check_blocks, check_types
from bcnmf_jax.fitting.fixed_basis import check_width
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.start import (
    FROZEN,
    frozen_key,
    has_known_row,
    known_row,
    start_basis,
)
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.objective import AbstractObjective, Blocks, require_target
from bcnmf_jax.model.scale import restored, scaled_sources, with_codes
from bcnmf_jax.solvers.alternating import AbstractAlternating
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.mu import MU
from bcnmf_jax.streaming._passes import normalise
from bcnmf_jax.streaming._resume import Keeper, digest
from bcnmf_jax.streaming._streamer import State, Streamer
from bcnmf_jax.streaming.parts import DataSets
from bcnmf_jax.streaming.sample import fitted, sample_rows, weighs_more

NEAR = Stop(1e-3, 5)
"""Of codes from which passes begin."""


class Progress(NamedTuple):
    """Progress after a pass.

    Attributes
    ----------
    stage : str
        ``"background"`` while frozen components are fitted, ``"components"`` while those of the
        target are found on a sample (`fit_sequential`; an epoch is one), then ``"fit"``.
    epoch, epochs : int
        Passes done, and at most to do.
    cells_per_second : float
        Rows of all data sets in the last pass; of ``"components"``, rows of the sample.
    seconds_left : float
        At that pace, if every pass is needed.
    """

    stage: str
    epoch: int
    epochs: int
    cells_per_second: float
    seconds_left: float


def stream(
    objective: AbstractObjective,
    data: dict,
    *,
    rank: int | None = None,
    blocks: Blocks | None = None,
    key: Key[Array, ""] | None = None,
    solver: AbstractAlternating | None = None,
    stop: Stop | None = None,
    chunk_rows: int = CHUNK_ROWS,
    mode: Literal["exact", "online"] = "exact",
    decay: float = 0.5,
    updates_per_epoch: int | None = None,
    start_rows: int | None = None,
    checkpoint: str | Path | None = None,
    every: int = 5,
    on_progress: Callable[[Progress], Any] | None = None,
) -> Fit:
    """Fit data of any size by passes over chunks of rows, which are read while others are computed.

    The answer is that of `fit` from the start that `init` draws with the same key.

    Parameters
    ----------
    objective : AbstractObjective
    data : dict
        ``{"target": source, "background": source}``, nested as `prepare` takes it: arrays, memory
        maps, or what ``bcnmf_jax.source`` makes of sparse matrices, AnnData and files. Data that
        `summarize` has read take no other pass; samples have the weights that it was given.
    rank : int
        Number of (target) components, where no blocks are given.
    blocks : dict, optional
        A start: a basis, and codes or not; those that lack are solved for the basis.
    key : jax.random.key
        Of the start, and of the order of chunks in online passes.
    solver : MU or HALS
        By default that of `fit`; of online passes ``MU(inner_steps=3)``.
    stop : Stop
        A step is a pass over all rows.
    chunk_rows : int
        Rows in memory at a time; a few chunks are.
    mode : {"exact", "online"}
        Online passes start from a sample's fit and update the basis several times, from decayed
        sums; they visit chunks in random order and end near, not at, the answer of exact ones. Few
        of them are needed. The costs in their trace are summed while the basis moves.
    decay : float
        What is left of online passes' sums at the next update, in [0, 1).
    updates_per_epoch : int, optional
        Updates in an online pass; by default one for three chunks, and at least 10.
    start_rows : int, optional
        Rows, from all over the data sets, of which a fit in memory gives online passes their basis
        to start from; 0 for none. By default 20,000, or what 256 MiB hold, and none under a
        penalty. Not where ``blocks`` are given.
    checkpoint : path, optional
        File from which an interrupted fit goes on, to the same result. It stays when the fit ends.
    every : int
        Passes between checkpoints.
    on_progress : callable, optional
        Called with a `Progress` after every pass.

    Returns
    -------
    Fit
        Codes are NumPy arrays.

    Raises
    ------
    TypeError, ValueError
        As `fit` and `summarize`; for a solver other than `MU` and `HALS`; for a checkpoint of
        another fit.
    """
    stop = Stop() if stop is None else stop
    check_types(objective, solver, stop)
    if solver is None and mode == "online":
        solver = MU(inner_steps=3)
    check_streamed(solver)
    check_checkpoint(checkpoint, every)
    _check_start(rank, blocks, key, mode, solver)
    if rank is not None:
        rank = check_integer(rank, "rank")
    known = summarize(data, chunk_rows=chunk_rows)
    require_target(objective, known)
    known, unit = scaled_sources(objective, known)
    sets = DataSets(objective, known, chunk_rows)
    solver = default_solver(objective, sets.data) if solver is None else solver
    online = None
    if mode == "online":
        online = _online(objective, sets, decay, updates_per_epoch, start_rows, key)
    run = Streamer(objective, sets, solver, stop, online)
    on_progress = (lambda _: None) if on_progress is None else on_progress
    about = {"rank": str(rank), "key": short_text(key), "start": short_text(blocks)}
    keeper = Keeper(run, checkpoint, every, about)
    state = keeper.load(_width(blocks) if rank is None else objective.extra + rank)
    if state is None and blocks is not None:
        state = _given(run, known, blocks, unit)
    elif state is None:
        assert rank is not None and key is not None
        drawn = objective.prepare_basis(draw(objective, run.sets.data, rank, key, "random"))
        if objective.frozen_objective is not None:
            first = None if checkpoint is None else f"{checkpoint}.background"
            rows = frozen_by_passes(objective, known, key, chunk_rows, first, every, on_progress)
            drawn = jnp.concatenate([drawn[: drawn.shape[0] - len(rows)], rows])
        if online is not None and online.start_rows:
            drawn = fitted(objective, sets, drawn, online.start_rows, online.seed)
        state = run.begin(drawn, run.settled(drawn))
    state = advance("fit", run, state, keeper, on_progress)
    if checkpoint is not None and blocks is None and objective.frozen_objective is not None:
        Path(f"{checkpoint}.background").unlink(missing_ok=True)
    return restored(objective, run.finish(state), unit)


def _check_start(rank: Any, blocks: Any, key: Any, mode: str, solver: Any) -> None:
    """Raise ValueError for arguments that leave open where a fit starts, or contradict."""
    if mode not in ("exact", "online"):
        raise ValueError(f"mode must be 'exact' or 'online', found {mode!r}")
    if (rank is None) == (blocks is None):
        raise ValueError("give either rank= (with key=) or blocks=")
    if key is None and (blocks is None or mode == "online"):
        raise ValueError("key= is needed: jax.random.key(0), for instance")
    if mode == "online" and solver is not None and solver.extrapolation:
        raise ValueError(
            "mode='online' needs a solver with extrapolation=0: its steps are no descent"
        )


def check_streamed(solver: Any) -> None:
    """Raise TypeError for a solver whose steps are no passes over rows."""
    if not isinstance(solver, AbstractAlternating | None):
        raise TypeError(
            f"solver must be MU(...) or HALS(...) for data that are streamed, found {solver!r}"
        )


def check_checkpoint(checkpoint: str | Path | None, every: int) -> None:
    """Raise ValueError for a path in no folder, and for passes between checkpoints below 1."""
    check_integer(every, "every")
    if checkpoint is not None and not Path(checkpoint).absolute().parent.is_dir():
        raise ValueError(f"checkpoint is in a folder that does not exist: {str(checkpoint)!r}")


draw = eqx.filter_jit(start_basis)


def advance(
    stage: str,
    run: Streamer,
    state: State,
    keeper: Keeper,
    on_progress: Callable[[Progress], Any],
) -> State:
    """Pass after pass, until the fit stops."""
    cells, epochs = sum(p.samples for p in run.sets.parts), int(run.stop.max_steps)
    while run.running(state):
        began = time.perf_counter()
        state = run.epoch(state)
        seconds = time.perf_counter() - began
        keeper.save(state, last=not run.running(state))
        left = seconds * (epochs - state.epoch)
        on_progress(Progress(stage, state.epoch, epochs, cells / seconds, left))
    return state


def frozen_by_passes(
    objective: AbstractObjective,
    known: dict,
    key: Key[Array, ""],
    chunk_rows: int,
    path: str | Path | None,
    every: int,
    on_progress: Callable[[Progress], Any],
) -> Float[Array, "B g"]:
    """Frozen rows of the basis, as `init` has them, of data that have been summarized."""
    if "background" not in known:
        raise ValueError(f'{type(objective).__name__} needs data["background"]')
    plain, own, stop = objective.frozen_objective, frozen_key(key), FROZEN
    assert plain is not None
    several = known["background"]
    whole = stack(several if isinstance(several, list) else [several])
    if has_known_row(objective):
        return known_row(jnp.asarray(whole.total, whole.dtype))
    stacked = {"target": whole}
    sets = DataSets(plain, stacked, chunk_rows)
    run = Streamer(plain, sets, default_solver(plain, sets.data), stop)
    keeper = Keeper(run, path, every, {"rank": objective.frozen, "key": short_text(own)})
    state = keeper.load(objective.frozen)
    if state is None:
        state = run.begin(draw(plain, run.sets.data, objective.frozen, own, "random"))
    state = advance("background", run, state, keeper, on_progress)
    return normalise(plain, state.basis)[0] if plain.scale_free else state.basis


def _width(blocks: Blocks | None) -> int:
    if not isinstance(blocks, dict) or "basis" not in blocks:
        raise ValueError("blocks must be a dictionary with a 'basis'")
    return jax.tree.leaves(blocks["basis"])[0].shape[0]


def _given(run: Streamer, known: dict, blocks: Blocks, unit: float) -> State:
    """The state that blocks, in the units of the data, begin; codes that they lack are those of
    their basis: from others its first steps would leave it."""
    dtype = run.sets.dtype
    shape = lambda k: jax.eval_shape(Rows, jax.ShapeDtypeStruct(k.shape, dtype))  # noqa: E731
    shapes = jax.tree.map(shape, known, is_leaf=is_summary)
    basis = jax.tree.map(lambda w: jnp.asarray(w, dtype), blocks["basis"])
    lacking: Blocks = {"basis": basis}
    if not {name for part in run.sets.parts for name in part.codes} <= set(blocks):
        check_width(run.objective, run.sets.data, basis)
        lacking = run.sets.blocks(basis, run.solved(basis, NEAR))
    blocks = check_blocks(run.objective, shapes, lacking | with_codes(blocks, 1 / unit))
    return run.begin(blocks["basis"], run.sets.codes(blocks))


def _online(
    objective, sets: DataSets, decay: float, updates: Any, start_rows: Any, key: Any
) -> Online:
    if not 0 <= decay < 1:
        raise ValueError(f"decay must be in [0, 1), found {decay!r}")
    updates = max(len(sets.jobs()) // 3, 10) if updates is None else updates
    if start_rows is None:
        start_rows = 0 if weighs_more(objective) else sample_rows(sets)
    whole = {"updates_per_epoch": (updates, 1), "start_rows": (start_rows, 0)}
    for name, (value, least) in whole.items():
        check_integer(value, name, least)
    seed = [int(a) for a in np.ravel(jax.random.key_data(key))]
    return Online(float(decay), int(updates), seed, int(start_rows))


def short_text(a: Any) -> str:
    """A short text that is the same for the same numbers."""
    if eqx.is_array(a) and jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a = jax.random.key_data(a)
    return digest(a)
