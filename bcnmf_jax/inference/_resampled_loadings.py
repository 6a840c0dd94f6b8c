"""Bootstrap intervals of loadings: the fit again, with samples or donors drawn with replacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree
from numpy.typing import NDArray

from bcnmf_jax.data.checks import check_integer, check_seed
from bcnmf_jax.data.memory import owned
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.arguments import check_types
from bcnmf_jax.fitting.codes import KEPT, SETTLED, solve_codes, start_all_codes
from bcnmf_jax.fitting.many import AbstractBatch, OnProgress, default_size, run_many
from bcnmf_jax.fitting.result import Fit, result_name
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.inference._matching import cosines, matched
from bcnmf_jax.inference._resampling import how_often, weighed
from bcnmf_jax.inference.progress import heard
from bcnmf_jax.model.blocks import is_frozen
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data, require_target
from bcnmf_jax.model.scale import scaled
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.solver import AbstractSolver

FEWEST = 20
"""Usable resamples below which no interval is given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bootstrap:
    """Intervals of the loadings of the target components.

    Attributes
    ----------
    loadings : ndarray (n_components, g), or dict of them by array of the basis
        Of the fit, rows of unit sum.
    intervals : ndarray (n_components, g, 2), or dict
        Lower and upper end, percentiles over the resamples.
    match : ndarray (n_components,)
        Median cosine of a component to its partner in a resample; where it is low, the component
        comes and goes, and its intervals say little.
    results : ndarray (n_resamples,) of str
        How every fit ended; collapsed and nonfinite ones are left out.
    level : float
    """

    loadings: PyTree
    intervals: PyTree
    match: NDArray
    results: NDArray
    level: float


def bootstrap(
    objective: AbstractObjective,
    data: dict,
    fit: Fit | Blocks,
    *,
    groups: dict | None = None,
    n_resamples: int = 100,
    level: float = 0.9,
    random_state: int = 0,
    solver: AbstractSolver | None = None,
    stop: Stop | None = None,
    weights: dict | None = None,
    mask: dict | None = None,
    on_progress: OnProgress | None = None,
    verbose: bool | None = None,
) -> Bootstrap:
    """Intervals of loadings by resampling samples, or donors, with replacement.

    A resample gives every row a whole number as its weight, so that all are fitted by one compiled
    program. Each starts near the basis of the fit, and its target components are matched to those
    of the fit by cosine: the intervals are those of one optimum, not of the choice between several
    (`consensus`). Frozen components stay as they are.

    Parameters
    ----------
    objective : AbstractObjective
    data : dict
        What was fitted; see `prepare`.
    fit : Fit or dict
        A fit, or its blocks.
    groups : dict, optional
        ``{"target": (n,), "background": (m,)}``, or a list of arrays for a list of backgrounds:
        the donor (mouse, cell line, ...) of every row. Donors are drawn whole, those of both sets
        for both at once. Without them rows are drawn, as if they were independent.
    n_resamples : int
        At least 20.
    level : float
        Share of the resamples within an interval, in (0, 1).
    random_state : int
    solver : AbstractSolver, optional
        As in `fit`.
    stop : Stop, optional
    weights, mask : dict, optional
        As in `fit`; the drawn weights multiply them.
    on_progress : callable, optional
        As in `sweep`.
    verbose : bool, optional
        False shows no progress; else what takes more than two seconds does, where nothing else
        listens.

    Returns
    -------
    Bootstrap

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says; for parameters out of range; for groups of another length, or
        fewer than two; where too many resamples collapse.
    """
    check_integer(n_resamples, "n_resamples", FEWEST)
    check_seed(random_state, "random_state")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, found {level!r}")
    stop = Stop(tol=1e-4) if stop is None else stop
    check_types(objective, solver, stop)
    rows = prepare(data, weights, mask)
    require_target(objective, rows)
    rows, _ = scaled(objective, rows)
    counts = how_often(rows, groups or {}, n_resamples, np.random.default_rng(random_state))
    dtype = jax.tree.leaves(rows)[0].dtype
    basis = (fit.blocks if isinstance(fit, Fit) else fit)["basis"]
    basis = jax.tree.map(lambda w: owned(w, dtype), basis)
    solver = default_solver(objective, weighed(rows, counts, 0)) if solver is None else solver
    width = jax.tree.leaves(basis)[0].shape[0]
    batch = Resamples(objective, rows, counts, _near(objective, rows, basis))
    with heard("bootstrap", on_progress, verbose) as tell:
        found, results = run_many(
            batch, n_resamples, solver, stop, size=default_size(objective, rows, width),
            keep=_basis_and_result, on_progress=tell,
        )  # fmt: skip
    results = np.asarray(result_name(results))
    usable = ~np.isin(results, ("collapsed", "nonfinite"))
    if usable.sum() < FEWEST:
        raise ValueError(
            f"{usable.sum()} of {n_resamples} resamples did not collapse, too few for intervals; "
            "lower alpha, or raise n_resamples"
        )
    own = lambda w: np.asarray(w, float)[..., : width - objective.extra, :]  # noqa: E731
    loadings, found = (_unit_sums(jax.tree.map(own, b)) for b in (basis, found))
    partner, cosine = _matched(loadings, found)
    tail = [(1 - level) / 2, (1 + level) / 2]

    def interval(w):
        mine = np.take_along_axis(w, partner[:, :, None], axis=1)[usable]
        return np.moveaxis(np.quantile(mine, tail, axis=0), 0, -1)

    return Bootstrap(
        loadings=loadings, intervals=jax.tree.map(interval, found),
        match=np.median(cosine[usable], axis=0), results=results, level=level,
    )  # fmt: skip


class Resamples(AbstractBatch):
    """Fits with the weights of every resample, all from one start.

    Attributes
    ----------
    objective : AbstractObjective
    rows : dict
        Prepared.
    counts : dict
        Times that every row is drawn, with a leading axis (resamples,).
    blocks : dict
        The start.
    """

    objective: AbstractObjective
    rows: Data
    counts: PyTree
    blocks: Blocks

    def problem(self, index):
        return self.objective, weighed(self.rows, self.counts, index)

    def start(self, index):
        return self.blocks


@eqx.filter_jit
def _near(objective: AbstractObjective, rows: Data, basis: PyTree) -> Blocks:
    """Blocks near a basis and its codes: what is 0 would stay 0 under multiplicative updates."""
    # Weights change no codes.
    solved = solve_codes(objective, rows, basis, SETTLED)
    means = jax.tree.map(lambda w: _means(objective, w), basis)
    raw = {"basis": means} | start_all_codes(objective, rows, basis)
    return jax.tree.map(lambda a, b: jnp.maximum(a, KEPT * b), solved, raw)


def _basis_and_result(fit: Fit) -> tuple[PyTree, Any]:
    return fit.blocks["basis"], fit.result


def _means(objective: AbstractObjective, w: Array) -> Array:
    """The mean of every row that moves, in its entries; 0 for others."""
    return jnp.where(is_frozen(objective, len(w)), 0, jnp.broadcast_to(w.mean(1)[:, None], w.shape))


def _unit_sums(basis: PyTree) -> PyTree:
    """Rows with a sum of 1 over all arrays of the basis."""
    total = sum(w.sum(-1, keepdims=True) for w in jax.tree.leaves(basis))
    return jax.tree.map(lambda w: w / np.where(total > 0, total, 1), basis)


def _matched(loadings: PyTree, found: PyTree) -> tuple[NDArray, NDArray]:
    """For every resample, the partner of each component (Hungarian matching) and their cosine."""
    wide = lambda basis: np.concatenate(jax.tree.leaves(basis), axis=-1)  # noqa: E731
    similar = cosines(wide(loadings), np.nan_to_num(wide(found)))  # those that diverged go later
    partner = np.stack([matched(c) for c in similar])
    return partner, np.take_along_axis(similar, partner[:, :, None], axis=2)[:, :, 0]
