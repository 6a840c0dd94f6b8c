"""What every fit says about itself: explained variance, dead features and components, collapse."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from bcnmf_jax.losses import by_row
from bcnmf_jax.objective import (
    AbstractObjective,
    Blocks,
    Data,
    assemble,
    default_chunk,
    misfits_in_turn,
    scan_rows,
)
from bcnmf_jax.terms import Term, get

EXPLAINED_FLOOR = 1e-4
EFFECTIVE_FEATURES = 5.0


def null_factors(x: Array, v: Array | None) -> tuple[Array, Array]:
    """Row and column factors whose outer product has the weighted totals of the data.

    Without a mask they are the row sums and the shares of the columns; under a mask the factors are
    found by iterative proportional fitting of what is observed.
    """
    tiny = jnp.finfo(x.dtype).tiny
    if v is None or by_row(v):
        rows = x.sum(1)
        columns = (x if v is None else x * v).sum(0)
        return rows, columns / jnp.maximum(columns.sum(), tiny)

    def step(_, columns):
        rows = (x * v).sum(1) / jnp.maximum(v @ columns, tiny)
        return (x * v).sum(0) / jnp.maximum(rows @ v, tiny)

    columns = lax.fori_loop(0, 20, step, (x * v).sum(0) / jnp.maximum((x * v).sum(), tiny))
    return (x * v).sum(1) / jnp.maximum(v @ columns, tiny), columns


def null_misfit(term: Term) -> Array:
    """Misfit of the model without structure, by chunks."""
    x, v = term.rows.x, term.rows.v
    rows, columns = null_factors(x, v)

    def visit(total, piece):
        chunk, row = piece
        return total + term.loss.null(chunk.x, chunk.v, row, columns), ()

    zero = jnp.zeros((), x.dtype)
    return scan_rows(visit, zero, (term.rows, rows), default_chunk([term]))[0]


def explained(terms: list[Term], values: list[Array]) -> Array:
    """``1 - misfit / misfit without structure``, over all terms given together."""
    return 1 - jnp.stack(values).sum() / jnp.stack([null_misfit(t) for t in terms]).sum()


def dead_features(term: Term, blocks: Blocks) -> Array:
    """Number of features whose reconstruction is below 1 % of what was observed in the target.

    Counted are features with a total above 20, or above 1e-3 of the mean total where the data are
    no counts.
    """
    x, v = term.rows.x, term.rows.v
    total = (x if v is None else x * v).sum(0)
    h, w = term.read(get(blocks, term.codes)), term.mix(blocks["basis"])
    if v is None:
        fitted = h.sum(0) @ w
    else:
        fitted = (h * v).sum(0) @ w if by_row(v) else ((h @ w) * v).sum(0)
    is_counts = jnp.all(x == jnp.round(x)) & (jnp.max(x) > 1)
    seen = total > jnp.where(is_counts, 20, 1e-3 * total.mean())
    return jnp.sum(seen & (fitted < 0.01 * total))


def usage(codes: Array, basis: PyTree) -> Array:
    """Total of each component's part of the reconstruction, ``(K,)``."""
    return codes.sum(0) * sum(w.sum(1) for w in jax.tree.leaves(basis))


def effective_features(basis: PyTree) -> Array:
    """``1 / sum p^2`` of each component over all features, ``p`` its row over the row's sum."""
    w = jnp.concatenate(jax.tree.leaves(basis), axis=1)
    p = w / jnp.maximum(w.sum(1, keepdims=True), jnp.finfo(w.dtype).tiny)
    return 1 / jnp.maximum(jnp.sum(p * p, axis=1), jnp.finfo(w.dtype).tiny)


def diagnose(
    objective: AbstractObjective, data: Data, blocks: Blocks, started: Array
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Per-block costs and the diagnostics of a fit.

    Parameters
    ----------
    started : bool array (K,)
        Components that took part at the start; others are masked and do not count as dead.

    Notes
    -----
    Collapsed: explained variance of the target below 1e-4, or a median effective number of features
    below 5 (a tenth of all, where there are fewer than 50), or more than half of the samples with
    codes of 0, or no component alive.

    Returns
    -------
    costs : dict
        As `costs`.
    diagnostics : dict
        ``x_explained``, ``y_explained`` (NaN without a background; one value per background where
        there are several), ``dead_features``, ``dead_components``, ``effective_features`` (median
        over live target components), ``collapsed``.
    """
    terms = objective.terms(data)
    values = misfits_in_turn(terms, blocks)

    def of(path):
        chosen = [(t, v) for t, v in zip(terms, values, strict=True) if t.codes == path]
        return explained(*map(list, zip(*chosen, strict=True))) if chosen else jnp.nan

    several = isinstance(data.get("background"), list)
    paths = [("background", i) for i in range(len(data["background"]))] if several else []
    y = jnp.stack([of(p) for p in paths]) if several else jnp.asarray(of(("background",)))
    x = of(("target",))
    target = [t for t in terms if t.codes == ("target",)]
    counts = jnp.max(jnp.stack([_counts(t) for t in target]), axis=0)
    used = usage(blocks["target"] * counts[:, None], blocks["basis"])
    dead = started & (used < 1e-6 * used.sum())
    counted = jnp.arange(used.shape[0]) < used.shape[0] - objective.extra
    live = started & ~dead & counted
    spread = effective_features(blocks["basis"])
    median = jnp.nanmedian(jnp.where(live, spread, jnp.nan))
    features = sum(w.shape[1] for w in jax.tree.leaves(blocks["basis"]))
    silent = jnp.sum(counts * jnp.all(blocks["target"] == 0, axis=1)) / jnp.sum(counts)
    # A single component under KL is at best the model that explained variance is measured against.
    null_rank = max(t.loss.null_rank for t in target)
    collapsed = (
        ((x < EXPLAINED_FLOOR) & (jnp.sum(started & ~dead) > null_rank))
        | (median < min(EFFECTIVE_FEATURES, features / 10))
        | (silent > 0.5)
        | ~jnp.any(live)
    )
    found = {
        "x_explained": x,
        "y_explained": y,
        "dead_features": sum(dead_features(t, blocks) for t in target),
        "dead_components": jnp.sum(dead),
        "effective_features": median,
        "collapsed": collapsed,
    }
    return assemble(objective, terms, values, blocks), found


def _counts(term: Term) -> Array:
    """Weight of each sample that has values: a sample of zeros has codes of zeros."""
    v = term.rows.v
    weight = jnp.ones(term.rows.x.shape[0], term.rows.x.dtype) if v is None else jnp.max(v, axis=1)
    return weight * jnp.any(term.rows.x > 0, axis=1)
