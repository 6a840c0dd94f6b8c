"""Diagnostics of a fit: explained variance, dead features and components, collapse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from bcnmf_jax.data.chunks import scan_rows
from bcnmf_jax.model.costs import assemble, misfits_in_turn
from bcnmf_jax.model.gradients import default_chunk
from bcnmf_jax.model.loss import by_row
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data
from bcnmf_jax.model.terms import Term

EXPLAINED_FLOOR = 1e-4
EFFECTIVE_FEATURES = 5.0


def null_factors(
    x: Float[Array, "n g"], v: Float[Array, "#n #g"] | None
) -> tuple[Float[Array, " n"], Float[Array, " g"]]:
    """Row and column factors whose outer product has the weighted totals of the data.

    Without a mask they are the row sums and the shares of the columns; under a mask the factors are
    found by iterative proportional fitting of what is observed.
    """
    if v is None or by_row(v):
        rows = x.sum(1)
        return rows, shares((x if v is None else x * v).sum(0))
    tiny = jnp.finfo(x.dtype).tiny

    def step(_, columns):
        rows = (x * v).sum(1) / jnp.maximum(v @ columns, tiny)
        return (x * v).sum(0) / jnp.maximum(rows @ v, tiny)

    columns = lax.fori_loop(0, 20, step, (x * v).sum(0) / jnp.maximum((x * v).sum(), tiny))
    return (x * v).sum(1) / jnp.maximum(v @ columns, tiny), columns


def shares(totals: Float[Array, " g"]) -> Float[Array, " g"]:
    """Totals of the columns over their sum."""
    return totals / jnp.maximum(totals.sum(), jnp.finfo(totals.dtype).tiny)


def null_misfit(term: Term, columns: Float[Array, " g"] | None = None) -> Float[Array, ""]:
    """Misfit of the model without structure, by chunks.

    Where these are some of the rows, ``columns`` are the `shares` of all rows; the misfit then adds
    over rows.
    """
    x, v = term.rows.x, term.rows.weights
    rows, columns = null_factors(x, v) if columns is None else (x.sum(1), columns)

    def visit(total, piece):
        chunk, row = piece
        return total + term.loss.null(chunk.x, chunk.weights, row, columns), ()

    zero = jnp.zeros((), x.dtype)
    return scan_rows(visit, zero, (term.rows, rows), default_chunk([term]))[0]


def summarise(group: list[Term], codes: Float[Array, "n k"], basis: PyTree) -> dict[str, Any]:
    """Sums over the rows of the target for its diagnostics beside misfits, by chunks.

    It adds over rows.

    Parameters
    ----------
    group : list of Term
        All terms of these codes.
    """

    def part(piece):
        rows, mine = piece
        pairs = zip(group, rows, strict=True)
        return _summary([replace(t, rows=r) for t, r in pairs], mine, basis)

    def visit(total, piece):
        return jax.tree.map(jnp.add, total, part(piece)), ()

    rows = [t.rows for t in group], codes
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(part, rows))
    return scan_rows(visit, zeros, rows, default_chunk(group))[0]


def _summary(group: list[Term], codes: Array, basis: PyTree) -> dict[str, Any]:
    weight = jnp.max(jnp.stack([_counts(t) for t in group]), axis=0)
    silent = jnp.sum(jnp.where(jnp.all(codes == 0, axis=1), weight, 0))
    # Rows are counted, not values, whose number could pass 2^31.
    whole = [t.rows.x for t in group]
    return {
        "used": usage(codes * weight[:, None], basis),
        "silent": silent,
        "samples": jnp.sum(weight),
        "total": [
            (t.rows.x if t.rows.weights is None else t.rows.x * t.rows.weights).sum(0)
            for t in group
        ],
        "fitted": [_fitted(t, codes, basis) for t in group],
        "fractions": [jnp.sum(jnp.any(x != jnp.round(x), axis=1)) for x in whole],
        "above_one": [jnp.sum(jnp.any(x > 1, axis=1)) for x in whole],
    }


def _fitted(term: Term, codes: Array, basis: PyTree) -> Array:
    h, w, v = term.code_map(codes), term.basis_map(basis), term.rows.weights
    if v is None:
        return h.sum(0) @ w
    return (h * v).sum(0) @ w if by_row(v) else ((h @ w) * v).sum(0)


def dead_features(
    total: Float[Array, ...], fitted: Float[Array, ...], is_counts: Bool[Array, ...]
) -> Shaped[Array, ...]:
    """Number of features whose reconstruction is below 1 % of what was observed in the target.

    Counted are features with a total above 20, or above 1e-3 of the mean total where the data are
    no counts.
    """
    seen = total > jnp.where(is_counts, 20, 1e-3 * total.mean())
    return jnp.sum(seen & (fitted < 0.01 * total))


def usage(codes: Float[Array, "n k"], basis: PyTree) -> Float[Array, " k"]:
    """Total of each component's part of the reconstruction, ``(K,)``."""
    return codes.sum(0) * sum(w.sum(1) for w in jax.tree.leaves(basis))


def effective_features(basis: PyTree) -> Float[Array, " k"]:
    """``1 / sum p^2`` of each component over all features, ``p`` its row over the row's sum."""
    w = jnp.concatenate(jax.tree.leaves(basis), axis=1)
    p = w / jnp.maximum(w.sum(1, keepdims=True), jnp.finfo(w.dtype).tiny)
    return 1 / jnp.maximum(jnp.sum(p * p, axis=1), jnp.finfo(w.dtype).tiny)


def diagnose(
    objective: AbstractObjective, data: Data, blocks: Blocks, started: Bool[Array, " k"]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Per-block costs and the diagnostics of a fit.

    Parameters
    ----------
    started : bool array (K,)
        Components that took part at the start; others are masked and do not count as dead.

    Returns
    -------
    costs : dict
        As `costs`.
    diagnostics : dict
        As `conclude`.
    """
    terms = objective.terms(data)
    values = misfits_in_turn(terms, blocks)
    nulls = [null_misfit(t) for t in terms]
    target = [t for t in terms if t.codes == ("target",)]
    sums = summarise(target, blocks["target"], blocks["basis"])
    several = data.get("background")
    count = len(several) if isinstance(several, list) else None
    found = conclude(objective, terms, values, nulls, sums, blocks["basis"], started, count)
    return assemble(objective, terms, values, blocks), found


def conclude(
    objective: AbstractObjective,
    terms: list[Term],
    values: list[Array],
    nulls: list[Array],
    sums: dict[str, Any],
    basis: PyTree,
    started: Bool[Array, " k"],
    backgrounds: int | None,
) -> dict[str, Any]:
    """Diagnostics from sums over rows.

    Parameters
    ----------
    values, nulls : list of scalars
        Per term, its misfit and that of the model without structure.
    sums : dict
        From `summarise`.
    backgrounds : int, optional
        Their number where they are a list.

    Notes
    -----
    Collapsed: explained variance of the target below 1e-4, or a median effective number of features
    below 5 (a tenth of all, where there are fewer than 50), or more than half of the samples with
    codes of 0, or no component alive.

    Returns
    -------
    dict
        ``x_explained``, ``y_explained`` (NaN without a background; one value per background where
        there are several), ``dead_features``, ``dead_components``, ``effective_features`` (median
        over live target components), ``collapsed``.
    """

    def of(path):
        mine = [i for i, t in enumerate(terms) if t.codes == path]
        if not mine:
            return jnp.asarray(jnp.nan)
        value, null = (jnp.stack([a[i] for i in mine]).sum() for a in (values, nulls))
        return 1 - value / null

    y = of(("background",))
    if backgrounds is not None:
        y = jnp.stack([of(("background", i)) for i in range(backgrounds)])
    x = of(("target",))
    target = [t for t in terms if t.codes == ("target",)]
    used = sums["used"]
    dead = started & (used < 1e-6 * used.sum())
    counted = jnp.arange(used.shape[0]) < used.shape[0] - objective.extra
    live = started & ~dead & counted
    median = jnp.nanmedian(jnp.where(live, effective_features(basis), jnp.nan))
    features = sum(w.shape[1] for w in jax.tree.leaves(basis))
    # A single component under KL is at best the model that explained variance is measured against.
    null_rank = max(t.loss.null_rank for t in target)
    collapsed = (
        ((x < EXPLAINED_FLOOR) & (jnp.sum(started & ~dead) > null_rank))
        | (median < min(EFFECTIVE_FEATURES, features / 10))
        | (sums["silent"] / sums["samples"] > 0.5)
        | ~jnp.any(live)
    )
    names = ("total", "fitted", "fractions", "above_one")
    per_term = zip(*(sums[name] for name in names), strict=True)
    lost = [dead_features(total, fit, (odd == 0) & (big > 0)) for total, fit, odd, big in per_term]
    return {
        "x_explained": x,
        "y_explained": y,
        "dead_features": sum(lost),
        "dead_components": jnp.sum(dead),
        "effective_features": median,
        "collapsed": collapsed,
    }


def _counts(term: Term) -> Array:
    """Weight of each sample that has values: a sample of zeros has codes of zeros."""
    v = term.rows.weights
    weight = jnp.ones(term.rows.x.shape[0], term.rows.x.dtype) if v is None else jnp.max(v, axis=1)
    return jnp.where(jnp.any(term.rows.x > 0, axis=1), weight, 0)
