"""Consensus programs: what restarts agree on (cNMF, Kotliar et al., eLife 2019)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree
from numpy.typing import NDArray

from bcnmf_jax.data.checks import check_integer, check_seed
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.codes import SETTLED, solve_codes
from bcnmf_jax.fitting.fixed_basis import reduced_objective
from bcnmf_jax.fitting.loop import fit_prepared
from bcnmf_jax.fitting.result import Fit, result_name
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data, require_target
from bcnmf_jax.model.scale import scaled, with_codes
from bcnmf_jax.solvers.default import default_solver

FAILED = ("collapsed", "nonfinite")


@dataclass(frozen=True, kw_only=True, eq=False)
class Consensus:
    """Programs that restarts agree on, the most stable first.

    Attributes
    ----------
    blocks : dict
        ``"basis"`` (n_components + extra, g), the programs with rows of unit sum and then the
        shared or frozen components of one restart, and codes at their optimum for it.
    stability : ndarray (n_components,)
        ``cosine * share`` of each program: 1 where every restart holds the same.
    cosine : ndarray (n_components,)
        Mean cosine of the members of a program to it.
    share : ndarray (n_components,)
        Share of the restarts used that have a member.
    silhouette : ndarray (n_components,)
        Mean silhouette of the members; NaN for a single program.
    members : ndarray (restarts, K) of int
        Program of every component; -1 for those of restarts that are not used, those that take no
        part, and those without near neighbours.
    distance : ndarray (restarts, K)
        Mean distance of every component to its nearest neighbours, at unit length, what ``density``
        is compared with; NaN for those that do not enter.
    used : ndarray (restarts,) of bool
        Restarts that did not collapse and are finite.
    kept : int
        The restart whose shared or frozen components stand in the basis: that of lowest game
        value. -1 where there are none.
    """

    blocks: Blocks
    stability: NDArray
    cosine: NDArray
    share: NDArray
    silhouette: NDArray
    members: NDArray
    distance: NDArray
    used: NDArray
    kept: int


def consensus(
    objective: AbstractObjective,
    data: dict,
    fits: Fit | Sequence[Fit] | Sequence[PyTree],
    *,
    n_components: int,
    density: float = 0.5,
    neighbours: float = 0.3,
    random_state: int = 0,
    weights: dict | None = None,
    mask: dict | None = None,
) -> Consensus:
    """Cluster the target components of restarts into programs, and read the codes on those.

    Components are brought to unit length; those far from their nearest neighbours are left out;
    k-means makes clusters, whose medians are the programs. Shared and frozen components are not
    clustered: those of the restart of lowest reduced objective are kept.

    Parameters
    ----------
    objective : AbstractObjective
    data : dict
        What was fitted; see `prepare`.
    fits : Fit, or sequence of Fit or of bases
        From `sweep`, with any leading axes (ranks may differ), or of restarts one by one; a basis
        has target components first. None of them is changed, and their order does not matter.
    n_components : int
        Number of programs.
    density : float
        Largest mean distance, between 0 and 2, of a component to its nearest neighbours.
    neighbours : float
        How many neighbours those are, as a share of the restarts used.
    random_state : int
        Of k-means.
    weights, mask : dict, optional
        As in `fit`.

    Returns
    -------
    Consensus

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says; for parameters out of range; where fewer than two restarts can
        be used, or fewer components than programs are dense enough.
    """
    check_integer(n_components, "n_components")
    check_seed(random_state, "random_state")
    for name, value, top in (("density", density, 2.0), ("neighbours", neighbours, 1.0)):
        if not 0 < value <= top:
            raise ValueError(f"{name} must be above 0 and at most {top:g}, found {value!r}")
    rows = prepare(data, weights, mask)
    require_target(objective, rows)
    rows, factor = scaled(objective, rows)
    bases, used = _restarts(objective, rows, fits)
    if used.sum() < 2:
        raise ValueError(
            f"fits has {used.sum()} of {len(used)} restarts that did not collapse and are finite; "
            "consensus needs two: lower alpha, or fit more restarts"
        )
    wide = [np.concatenate(jax.tree.leaves(b), axis=1) for b in bases]
    if len(shapes := {w.shape for w in wide}) > 1:
        raise ValueError(
            f"fits has bases of shapes {sorted(shapes)}; fit all with as many components"
        )
    own = np.stack([b[: len(b) - objective.extra] for b in wide]).astype(float)
    length = np.linalg.norm(own, axis=2)
    enters = used[:, None] & (length > 0)
    unit = own[enters] / length[enters][:, None]
    count = max(round(neighbours * used.sum()), 1)
    found = clusters(unit, n_components, count, density, random_state)
    members, distance = np.full(enters.shape, -1), np.full(enters.shape, np.nan)
    members[enters], distance[enters] = found.labels, found.distance
    share = np.array([(members[used] == k).any(1).mean() for k in range(n_components)])
    order = np.argsort(-share * found.cosine, kind="stable")
    members = np.append(np.argsort(order), -1)[members]
    kept, extra = -1, wide[0][:0]
    if objective.extra:
        values = [
            float(reduced_objective(objective, rows, {"basis": b})) if use else np.inf
            for b, use in zip(bases, used, strict=True)
        ]
        kept = int(np.argmin(values))
        extra = wide[kept][own.shape[1] :]
    programs = found.programs[order]
    programs /= programs.sum(1, keepdims=True)
    basis = _like(bases[0], np.concatenate([programs, extra]).astype(wide[0].dtype))
    return Consensus(
        blocks=with_codes(_solve(objective, rows, basis, SETTLED), factor),
        stability=(share * found.cosine)[order], cosine=found.cosine[order], share=share[order],
        silhouette=found.silhouette[order], members=members, distance=distance, used=used,
        kept=kept,
    )  # fmt: skip


_solve = eqx.filter_jit(solve_codes)


class Clusters(NamedTuple):
    """Clusters of vectors of unit length; see `Consensus`, but in no order."""

    programs: NDArray
    labels: NDArray
    distance: NDArray
    cosine: NDArray
    silhouette: NDArray


def clusters(
    unit: NDArray, number: int, neighbours: int, density: float, random_state: int
) -> Clusters:
    """Clusters of the rows of ``unit (n, g)`` that are near others, and their medians.

    Raises
    ------
    ValueError
        Where fewer rows than ``number`` are within ``density`` of their neighbours, or rows of a
        cluster have nothing in common.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import silhouette_samples
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    # In an order that depends on the rows alone, k-means does not depend on the given one.
    order = np.lexsort(unit.T[::-1])
    unit, back = unit[order], np.argsort(order)
    count = min(neighbours, len(unit) - 1)
    near = NearestNeighbors(n_neighbors=count).fit(unit)
    distance = near.kneighbors()[0].mean(1)  # of itself, none is a neighbour
    dense = distance <= density
    if dense.sum() < number:
        raise ValueError(
            f"{dense.sum()} of {len(unit)} components are within density={density:g} of their "
            f"{count} nearest neighbours (median distance {np.median(distance):.2g}), too few for "
            f"n_components={number}; raise density, fit more restarts or ask for fewer"
        )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # too few distinct rows: below
        found = KMeans(number, n_init=10, random_state=random_state).fit_predict(unit[dense])
    if (distinct := len(np.unique(found))) < number:
        raise ValueError(
            f"restarts have {distinct} distinct components; ask for no more than n_components="
            f"{distinct}, or fit more components"
        )
    labels = np.full(len(unit), -1)
    labels[dense] = found
    programs = np.stack([np.median(unit[labels == k], axis=0) for k in range(number)])
    length = np.linalg.norm(programs, axis=1)
    if not length.all():
        raise ValueError(
            f"the members of {(length == 0).sum()} programs have no feature in common; lower "
            f"density={density:g}, or ask for another n_components than {number}"
        )
    several = 1 < number < dense.sum()
    apart = silhouette_samples(unit[dense], found) if several else np.full(dense.sum(), np.nan)
    cosine = [(unit[labels == k] @ programs[k]).mean() / length[k] for k in range(number)]
    silhouette = [apart[found == k].mean() for k in range(number)]
    return Clusters(
        programs, labels[back], distance[back], np.array(cosine), np.array(silhouette)
    )  # fmt: skip


def _restarts(objective: AbstractObjective, rows: Data, fits: Any) -> tuple[list[PyTree], NDArray]:
    """Bases of all restarts as NumPy arrays, and which of them can be used."""
    if isinstance(fits, Fit):
        lead = fits.steps.shape
        flat = jax.tree.map(
            lambda a: np.asarray(a).reshape(-1, *a.shape[len(lead) :]), fits.blocks["basis"]
        )
        names = np.ravel(result_name(fits.result))
        bases = [jax.tree.map(lambda a, i=i: a[i], flat) for i in range(len(names))]
    elif len(fits) == 0:
        raise ValueError("fits is empty; give a Fit with leading axes, or a list of fits or bases")
    else:
        judged = [f if isinstance(f, Fit) else _judge(objective, rows, f) for f in fits]
        bases = [jax.tree.map(np.asarray, f.blocks["basis"]) for f in judged]
        names = np.array([result_name(f.result) for f in judged])
    return bases, ~np.isin(names, FAILED)


def _judge(objective: AbstractObjective, rows: Data, basis: PyTree) -> Fit:
    """The fit that a basis is, which says whether it collapsed."""
    dtype = jax.tree.leaves(rows)[0].dtype
    basis = jax.tree.map(lambda w: np.asarray(w, dtype), basis)
    blocks, stop = _solve(objective, rows, basis, SETTLED), Stop(max_steps=0)
    return fit_prepared(objective, rows, blocks, default_solver(objective, rows), stop, stop.looks)


def _like(basis: PyTree, wide: NDArray) -> PyTree:
    """Features side by side as the arrays of a basis."""
    leaves, tree = jax.tree.flatten(basis)
    ends = np.cumsum([w.shape[1] for w in leaves])[:-1]
    return jax.tree.unflatten(tree, np.split(wide, ends, axis=1))
