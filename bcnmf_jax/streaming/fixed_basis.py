"""Codes and reduced objectives of data that are read chunk by chunk, for a basis that is fixed."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from bcnmf_jax.data.memory import owned
from bcnmf_jax.data.sources import CHUNK_ROWS
from bcnmf_jax.data.summaries import summarize
from bcnmf_jax.fitting.codes import SETTLED, solved
from bcnmf_jax.fitting.fixed_basis import (
    check_has_codes,
    check_width,
    reduced_cost,
    reduced_misfits,
)
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.objective import AbstractObjective, Blocks, require_target
from bcnmf_jax.model.scale import in_units, scaled_sources, with_codes
from bcnmf_jax.streaming.parts import DataSets

COMPARED = Stop(tol=1e-4, max_steps=20)
"""Of the codes by which restarts are compared."""
_game = eqx.filter_jit(reduced_misfits)


def _open(objective, data, fit, chunk_rows, constant) -> tuple[DataSets, PyTree, float]:
    known = summarize(data, chunk_rows=chunk_rows, constant=constant)
    known, unit = scaled_sources(objective, known)
    sets = DataSets(objective, known, chunk_rows)
    blocks = fit.blocks if isinstance(fit, Fit) else fit
    if not isinstance(blocks, dict) or "basis" not in blocks:
        raise ValueError("blocks must be a dictionary with a 'basis'")
    basis = jax.tree.map(lambda w: owned(w, sets.dtype), blocks["basis"])
    for w in jax.tree.leaves(basis):
        if not ((w >= 0) & jnp.isfinite(w)).all():
            raise ValueError("blocks['basis'] must be nonnegative and finite")
    check_width(objective, sets.data, basis)
    return sets, basis, unit


def transform(
    objective: AbstractObjective,
    fit: Fit | Blocks,
    data: dict,
    *,
    stop: Stop = SETTLED,
    chunk_rows: int = CHUNK_ROWS,
) -> Any:
    """`transform` of data that are read once, chunk by chunk.

    Parameters
    ----------
    objective, fit, stop
        As `transform`; every chunk stops by itself.
    data : dict
        Sources, as `stream` takes them.
    chunk_rows : int

    Returns
    -------
    ndarray (n, K), or dict of them
        As `transform`.

    Raises
    ------
    TypeError, ValueError
        As `transform`.
    """
    sets, basis, unit = _open(objective, data, fit, chunk_rows, constant=True)
    check_has_codes(objective, sets.data)

    def compute(job, rows):
        return solved(objective, {sets.parts[job.number].name: rows}, basis, stop)

    codes = sets.each_codes(jax.tree.leaves(basis)[0].shape[0], compute)
    blocks = with_codes(sets.blocks(basis, codes), unit)
    return blocks[next(iter(data))] if len(data) == 1 else {name: blocks[name] for name in data}


def reduced_objective(
    objective: AbstractObjective,
    data: dict,
    blocks: Blocks,
    *,
    stop: Stop = SETTLED,
    chunk_rows: int = CHUNK_ROWS,
) -> Float[Array, ""] | Float[np.ndarray, ""]:
    """`reduced_objective` of data that are read once, chunk by chunk.

    Parameters
    ----------
    objective, data, stop
        As `transform`.
    blocks : dict
        Of which the basis is used.

    Returns
    -------
    Array
        A scalar.

    Raises
    ------
    TypeError, ValueError
        As `reduced_objective`.
    """
    sets, basis, unit = _open(objective, data, blocks, chunk_rows, constant=False)
    require_target(objective, sets.data)
    sums: list[Any] = [0.0] * len(sets.parts)

    def compute(job, rows):
        return _game(objective, {sets.parts[job.number].name: rows}, basis, stop)

    def keep(job, found):
        sums[job.number] = sums[job.number] + np.asarray(found, np.float64)

    sets.reader.each(sets.jobs(), compute, keep)
    best, alone = (
        sets.by_term([list(jnp.asarray(s[i], sets.dtype)) for s in sums]) for i in (0, 1)
    )
    value = reduced_cost(objective, objective.terms(sets.data), best, alone, basis)
    return in_units(objective, value, unit)
