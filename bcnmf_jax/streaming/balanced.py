"""The balanced contrast, of data that are read chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from bcnmf_jax.data.sources import CHUNK_ROWS
from bcnmf_jax.data.summaries import Summary, sources, summarize
from bcnmf_jax.fitting.arguments import check_types
from bcnmf_jax.fitting.balanced import check_balanced, weighted
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.row_weights import READ, energies, weights_from
from bcnmf_jax.fitting.stop import NO_STEP, Stop
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import require_target
from bcnmf_jax.objectives import NMF, BackgroundFirst, Contrastive
from bcnmf_jax.solvers.alternating import AbstractAlternating
from bcnmf_jax.streaming.driver import Progress, check_streamed, frozen_by_passes, stream
from bcnmf_jax.streaming.fixed_basis import transform


def _energy(loss: AbstractLoss, known: Summary, basis: Array, chunk_rows: int) -> Array:
    codes = transform(
        NMF(loss), {"basis": basis}, {"target": known}, stop=READ, chunk_rows=chunk_rows
    )
    return energies(loss, jnp.asarray(codes), basis)


def _counted(known: Summary) -> Array:
    return jnp.ones(known.shape[0]) if known.weights is None else jnp.asarray(known.weights[:, 0])


def balance(
    loss: AbstractLoss, data: dict, basis: Float[Any, "B g"], *, chunk_rows: int = CHUNK_ROWS
) -> Any:
    """`bcnmf_jax.balance` of data that are read chunk by chunk, once: weights (m,) of the rows of
    the background, of several backgrounds a list of them."""
    known = summarize(data, chunk_rows=chunk_rows)
    require_target(NMF(loss), {"target": known["target"]})
    own, v = _energy(loss, known["target"], basis, chunk_rows), _counted(known["target"])
    mean = (v[:, None] * own).sum(0) / v.sum()

    def one(background: Summary) -> np.ndarray:
        found = _energy(loss, background, basis, chunk_rows)
        return np.asarray(weights_from(mean, found, _counted(background)))

    if "background" not in known:
        raise ValueError('a balanced contrast needs data["background"]')
    several = known["background"]
    return [one(k) for k in several] if isinstance(several, list) else one(several)


def balanced_of(
    objective: Contrastive | BackgroundFirst,
    data: dict,
    rank: int,
    *,
    key: Key[Array, ""],
    background_rank: int,
    basis: Any,
    solver: AbstractAlternating | None,
    stop: Stop,
    chunk_rows: int = CHUNK_ROWS,
    checkpoint: str | Path | None = None,
    every: int = 5,
    on_progress: Callable[[Progress], Any] | None = None,
) -> Fit:
    """A fit, from a basis, target components first, if there is one."""
    known = summarize(data, chunk_rows=chunk_rows)
    require_target(objective, known)
    reading = BackgroundFirst(background_rank=background_rank, alpha=0.0, loss=objective.loss)
    heard = (lambda _: None) if on_progress is None else on_progress
    kept = lambda what: None if checkpoint is None else f"{checkpoint}.{what}"  # noqa: E731
    if basis is None:
        frozen = frozen_by_passes(reading, known, key, chunk_rows, kept("shared"), every, heard)
        start: dict[str, Any] = {"rank": rank, "key": key}
    else:
        frozen, start = jnp.asarray(basis[rank:]), {}
    weights = balance(objective.loss, known, frozen, chunk_rows=chunk_rows)
    several = isinstance(weights, list)
    counted = jax.tree.map(_counted, known["background"], is_leaf=lambda k: isinstance(k, Summary))
    pairs = list(zip(weights, counted, strict=True)) if several else [(weights, counted)]
    every_row = [np.asarray(w * v) for w, v in pairs]
    means = jnp.asarray([float((w * v).sum() / v.sum()) for w, v in pairs])
    whole = summarize(
        {"target": known["target"], "background": sources(known["background"])},
        {"background": every_row if several else every_row[0]}, chunk_rows=chunk_rows,
    )  # fmt: skip
    sizes = jnp.asarray([float(v.sum()) for _, v in pairs]) if several else None
    made = weighted(objective, means if several else means[0], sizes)
    if basis is not None:
        own = jnp.asarray(basis[:rank])
        if made.frozen:
            kept_row = frozen_by_passes(made, whole, key, chunk_rows, kept("row"), every, heard)
            own = jnp.concatenate([own, kept_row])
        start = {"blocks": {"basis": own}}
    fitted = stream(
        made, whole, solver=solver, stop=stop, chunk_rows=chunk_rows, checkpoint=kept("contrast"),
        every=every, on_progress=on_progress, **start,
    )  # fmt: skip
    joined = jnp.concatenate([fitted.blocks["basis"][:rank], frozen])
    codes = transform(reading, {"basis": joined}, known, chunk_rows=chunk_rows)
    blocks = {"basis": joined, **codes}
    last = stream(reading, known, blocks=blocks, stop=NO_STEP, chunk_rows=chunk_rows)
    for what in ("shared", "row", "contrast"):
        if checkpoint is not None:
            Path(f"{checkpoint}.{what}").unlink(missing_ok=True)
    same = lambda f: (f.steps, f.result, f.trace)  # noqa: E731
    return eqx.tree_at(same, last, same(fitted))


def fit_balanced(
    objective: Contrastive | BackgroundFirst,
    data: dict,
    rank: int,
    key: Key[Array, ""],
    *,
    background_rank: int = 8,
    solver: AbstractAlternating | None = None,
    stop: Stop | None = None,
    chunk_rows: int = CHUNK_ROWS,
    checkpoint: str | Path | None = None,
    every: int = 5,
    on_progress: Callable[[Progress], Any] | None = None,
) -> Fit:
    """`bcnmf_jax.fit_balanced` by passes over chunks of rows.

    Parameters
    ----------
    objective, rank, key, background_rank
        As of `bcnmf_jax.fit_balanced`.
    data : dict
        As of `stream`; samples have the weights that `summarize` was given.
    solver : MU or HALS
    stop, chunk_rows, checkpoint, every, on_progress
        As of `stream`.

    Returns
    -------
    Fit
        As of `bcnmf_jax.fit_balanced`; codes are NumPy arrays.

    Raises
    ------
    TypeError, ValueError
        As `stream` and `bcnmf_jax.fit_balanced`.
    """
    rank, count = check_balanced(objective, rank, background_rank)
    stop = Stop() if stop is None else stop
    check_types(objective, solver, stop)
    check_streamed(solver)
    return balanced_of(
        objective, data, rank, key=key, background_rank=count, basis=None,
        solver=solver, stop=stop, chunk_rows=chunk_rows, checkpoint=checkpoint, every=every,
        on_progress=on_progress,
    )  # fmt: skip
