"""A sample of data sets that are read chunk by chunk, and the start that a fit of it gives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.data.sources import DENSE, fill
from bcnmf_jax.data.summaries import is_summary
from bcnmf_jax.fitting.loop import fit_prepared
from bcnmf_jax.fitting.result import result_name
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.blocks import is_frozen
from bcnmf_jax.model.objective import AbstractObjective, Data
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.streaming._passes import settle
from bcnmf_jax.streaming.parts import DataSets

ROWS = 20_000
"""Most rows of a sample, whose dense values take at most `DENSE` bytes."""
GIVEN = 0.05
"""Share of the given basis in the start that a sample's fit gives."""
PIECE = 32
"""Neighbouring rows that are read at once."""
STOP = Stop(tol=1e-4, max_steps=200)


def sample_rows(sets: DataSets) -> int:
    """Rows of a sample, by default."""
    width = sum(source.shape[1] for source in jax.tree.leaves(sets.reader.sets[0]))
    return min(ROWS, DENSE // (width * np.dtype(sets.dtype).itemsize))


def weighs_more(objective: AbstractObjective) -> bool:
    """Whether a part of the cost does not grow with the rows, and so weighs more on fewer."""
    return bool(objective.penalties or objective.basis_powers)


def sample(sets: DataSets, rows: int, seed: list[int]) -> Data:
    """About ``rows`` rows, from every data set as large a share, in pieces from all over it; all of
    them, in their order, where there are no more."""
    data: Data = {}
    total = sum(part.samples for part in sets.parts)
    for number, part in enumerate(sets.parts):
        pieces = -(-part.samples // PIECE)
        count = min(-(-rows * part.samples // (total * PIECE)), pieces)
        drawn = np.random.default_rng([*seed, number]).permutation(pieces)[:count]
        starts = np.sort(drawn) * PIECE

        def read(known, starts=starts):
            ends = np.minimum(starts + PIECE, known.shape[0])
            sizes = ends - starts
            x = np.empty((sizes.sum(), known.shape[1]), sets.dtype)
            for end, size, at in zip(ends, sizes, np.cumsum(sizes), strict=True):
                fill(known.source, int(end - size), int(end), x[at - size : at])
            if known.weights is None:
                return Rows(jnp.asarray(x))
            v = [known.weights[start:end] for start, end in zip(starts, ends, strict=True)]
            return Rows(jnp.asarray(x), jnp.asarray(np.concatenate(v), sets.dtype))

        found = jax.tree.map(read, part.known, is_leaf=is_summary)
        if part.index is None:
            data[part.name] = found
        else:
            data.setdefault(part.name, []).append(found)
    return data


def fitted(
    objective: AbstractObjective, sets: DataSets, basis: PyTree, rows: int, seed: list[int]
) -> PyTree:
    """The basis after a fit in memory of a sample, from the basis that is given, of which a share
    stays: what no row of the sample has may be in others, and updates do not leave 0. The basis as
    it is given where that fit fails or collapses.
    """
    data = sample(sets, rows, seed)
    blocks = settle(objective, data, basis)
    solver = default_solver(objective, data)
    found = fit_prepared(objective, data, blocks, solver, STOP, STOP.looks)
    if result_name(found.result) not in ("converged", "max_steps"):
        return basis
    keep = lambda w: jnp.where(is_frozen(objective, w.shape[0]), 1, GIVEN)  # noqa: E731
    mix = lambda new, w: (1 - keep(w)) * new + keep(w) * w  # noqa: E731
    return jax.tree.map(mix, found.blocks["basis"], basis)
