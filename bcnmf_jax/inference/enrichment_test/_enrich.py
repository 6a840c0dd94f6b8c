"""`enrichment`: which components are used more in the target than fitting alone makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bcnmf_jax.data.checks import check_integer, check_seed
from bcnmf_jax.data.two_sets import annotation, check_matrices, dense_rows
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.inference._arrangements import arrangements
from bcnmf_jax.inference._matching import cosines, partners
from bcnmf_jax.inference.enrichment_test._refits import (
    Answer,
    Refits,
    log2_ratio,
    used,
)
from bcnmf_jax.inference.enrichment_test._samples import by_cell, by_group
from bcnmf_jax.inference.enrichment_test._table import Enrichment
from bcnmf_jax.inference.progress import heard

LEVELS = ("group", "cell")
REFIT = (1e-3, 100)
"""``tol`` and ``max_iter`` of refits, where those of the model go further."""
BY_GROUP = ("groups_higher", "largest_group", "largest_share")
TESTED = (
    "held_out_log2_ratio", "null_log2_ratio", "null_log2_ratio_95", "effect", "p", "q", "match",
)  # fmt: skip


def as_it_is(x: NDArray) -> NDArray:
    """Counts that a model was fitted to without any normalisation."""
    return x


def enrichment(
    model: Any,
    target: Any,
    background: Any,
    *,
    groups: ArrayLike | None = None,
    background_groups: ArrayLike | None = None,
    pairs: bool = False,
    level: str = "group",
    normalise: Callable[[NDArray], NDArray] = as_it_is,
    n_permutations: int = 199,
    rows_per_group: int = 100,
    random_state: int = 0,
    on_progress: Callable[[float], None] | None = None,
    verbose: bool | None = None,
) -> Enrichment:
    """Test every component of a model for more usage in the target than in the background.

    The model itself is no evidence: it was fitted to differ between the sets. Donors (groups) are
    exchanged between target and background, whole, and for each of B such arrangements and the
    observed one the model is fitted anew: on half of the donors, and tested on the other half, and
    the other way round. p is the share of components (of one kind, of all B + 1 arrangements) with
    an effect at least as large: for one component ``(b + 1) / (B + 1)``. However much a fit
    overfits, p is exact where donors are exchangeable under the null hypothesis, for a component
    that is picked without looking at p; for the best of several there is q, over the components of
    its kind: those of the background are another question.

    Parameters
    ----------
    model : BCNMF
        Fitted, with one background. Refits keep its parameters, also those that "auto" chose, with
        a single start each, and end after 100 steps or at a change of 1e-3 where it goes further.
    target, background : array, frame or sparse matrix (n, g), (m, g)
        What the model was fitted to; at level "cell" the raw counts of the same rows.
    groups, background_groups : array (n,), (m,), optional
        Donor (mouse, cell line, ...) of every row. Without them nothing can be tested.
    pairs : bool
        Groups of the same name in both sets are one donor, whose two samples are exchanged with
        each other; groups in one set alone are left out. At level "group".
    level : {"group", "cell"}
        "cell" exchanges single rows, as if cells were independent. Those of a donor are not: it can
        show that a component is more than overfitting, never that donors differ. Refits see one
        half of the counts of every cell, drawn binomially, and are tested on the other.
    normalise : callable
        At level "cell", makes what the model was fitted to from counts, and is applied to each half
        of them; for log-normalised data `datasets.log_normalise`.
    n_permutations : int
        B, unless there are no more arrangements than that: of one component p is at least 1 / (B +
        1). Each costs two fits of half of the rows.
    rows_per_group : int
        Rows drawn from every group: as many from each, some twice where it has fewer.
    random_state : int
    on_progress : callable, optional
        Is given the share that is done, from 0 to 1.
    verbose : bool, optional
        False shows no progress; else what takes more than two seconds does, where nothing else
        listens.

    Returns
    -------
    Enrichment
        With too few groups, ``note`` says "not testable" and what would be needed, and there are no
        p-values.

    Raises
    ------
    ValueError
        For parameters out of range, data of other features than the model's or several backgrounds,
        groups that are in both sets without ``pairs``, and at level "cell" values that are no
        counts.
    """
    sets = (target, background)
    check_seed(random_state, "random_state")
    _check(model, sets, level, n_permutations, rows_per_group)
    if pairs and level == "cell":
        raise ValueError("pairs=True needs level='group': single cells have no partners")
    names = annotation(sets, groups, background_groups, "groups")
    rng = np.random.default_rng(random_state)
    if level == "cell":
        counts = (dense_rows(target), dense_rows(background))
        drawn, names = by_cell(counts, normalise, rng), None
        sets = (normalise(counts[0]), normalise(counts[1]))
    else:
        drawn = by_group(sets, names, pairs, rows_per_group, rng)
    rows = _described(model, sets, names, pairs)
    more, count, exact = [dict.fromkeys(TESTED) for _ in rows], 0, False
    if drawn.samples is not None:
        places, exact = arrangements(*drawn.counts, pairs, n_permutations, rng)
        answers, count = [], len(places) - 1
        halves = [model._seen(a) for a in drawn.samples.halves]
        samples = drawn.samples._replace(halves=(halves[0], halves[1]))
        refits = Refits(model._plan(), samples, _stop(model), random_state)
        with heard("enrichment", on_progress, verbose) as tell:
            for i, found in enumerate(refits.answers(places, pairs)):
                # Bases are needed of the observed arrangement alone, and are large.
                answers.append(found._replace(bases=found.bases[:0]) if answers else found)
                tell((i + 1) / len(places))
        basis = model._seen(model._basis())
        more = as_observed(basis, len(model.components_), answers)
    rows = [a | b | {"level": level, "note": drawn.note} for a, b in zip(rows, more, strict=True)]
    return Enrichment(tuple(rows), level, drawn.counts, pairs, count, exact, drawn.note)


def _check(model: Any, sets: tuple[Any, Any], level: str, permutations: Any, rows: Any) -> None:
    """Raise for what cannot be tested."""
    if level not in LEVELS:
        raise ValueError(f"level must be one of {LEVELS}, found {level!r}")
    for name, value in (("n_permutations", permutations), ("rows_per_group", rows)):
        check_integer(value, name)
    if not hasattr(model, "components_"):
        raise ValueError("model is not fitted; call its fit first")
    check_matrices(sets)
    if sets[0].shape[1] != model.components_.shape[1]:
        raise ValueError(
            f"target has {sets[0].shape[1]} features, the model {model.components_.shape[1]}; give "
            "what it was fitted to"
        )
    if np.ndim(model.alpha_) > 0:
        raise ValueError(
            "model has an alpha for each of several backgrounds; enrichment needs one background"
        )


def _stop(model: Any) -> Stop:
    """Stopping rule of the model, or of `REFIT` where that ends earlier."""
    return Stop(max(model.tol, REFIT[0]), min(model.max_iter, REFIT[1]))


def _by_group(
    usage: list[NDArray], names: tuple[NDArray, NDArray] | None, pairs: bool
) -> list[dict[str, Any]]:  # fmt: skip
    """Direction and largest group of each component, from usages (groups, components)."""
    if names is None:
        return [dict.fromkeys(BY_GROUP) for _ in range(usage[0].shape[1])]
    found = [np.unique(own) for own in names]
    own, other = usage
    if pairs:
        _, mine, theirs = np.intersect1d(found[0], found[1], return_indices=True)
        own, other, who = own[mine], other[theirs], found[0][mine]
    else:
        other, who = np.median(other, axis=0, keepdims=True), found[0]
    higher, part = (own > other).sum(0), own / np.maximum(own.sum(0), np.finfo(float).tiny)
    largest = part.argmax(0)
    return [
        {
            "groups_higher": int(higher[k]),
            "largest_group": str(who[j]),
            "largest_share": float(part[j, k]),
        }
        for k, j in enumerate(largest)
    ]


def _described(
    model: Any, sets: tuple[Any, Any], names: Any, pairs: bool
) -> list[dict[str, Any]]:  # fmt: skip
    """Names of the components, and their mean usage in both sets and in single groups."""
    means, groups = [], []
    for x, own in zip(sets, names or (None, None), strict=True):
        usage = used(model, x)
        parts = [usage] if own is None else [usage[own == g] for g in np.unique(own)]
        groups.append(np.stack([part.mean(0) for part in parts]))
        means.append(groups[-1].mean(0))
    by_group = _by_group(groups, names, pairs)
    kinds = ["target"] * len(model.components_)
    kinds += ["background"] * len(model.background_components_)
    labels = [*model.get_feature_names_out()]
    labels += [f"background{k}" for k in range(len(model.background_components_))]
    columns = zip(labels, kinds, *means, log2_ratio(*means), by_group, strict=True)
    return [
        {
            "component": str(label),
            "kind": kind,
            "usage_target": float(a),
            "usage_background": float(b),
            "log2_ratio": float(ratio),
        }
        | group
        for label, kind, a, b, ratio, group in columns
    ]


def as_observed(basis: NDArray, count: int, answers: list[Answer]) -> list[dict[str, Any]]:
    """Answers of the refits for each component of a basis, the first ``count`` of them target
    components; the first answer is that of the observed arrangement."""
    from scipy.stats import false_discovery_control

    first = answers[0]
    similar = np.mean([cosines(basis, other) for other in first.bases], axis=0)
    order = partners(similar, count)
    rows = []
    for j, k in enumerate(order):
        kind = slice(None, count) if j < count else slice(count, None)
        effects = np.concatenate([a.effect[kind] for a in answers])
        ratios = np.concatenate([a.log2_ratio[kind] for a in answers[1:]])
        found = (
            first.log2_ratio[k], np.median(ratios), np.quantile(ratios, 0.95), first.effect[k],
            np.mean(effects >= first.effect[k]), np.nan, similar[j, k],
        )  # fmt: skip
        rows.append(dict(zip(TESTED, map(float, found), strict=True)))
    for family in (rows[:count], rows[count:]):
        if family:
            q = false_discovery_control([row["p"] for row in family])
            for row, value in zip(family, q, strict=True):
                row["q"] = float(value)
    return rows
