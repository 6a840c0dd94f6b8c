"""`background_check`: what can be said of a background before a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bcnmf_jax.data.checks import check_seed
from bcnmf_jax.data.two_sets import SETS, annotation, check_matrices, dense_rows
from bcnmf_jax.inference.background import _design as design
from bcnmf_jax.inference.background import _structure as structure
from bcnmf_jax.inference.background import _values as values
from bcnmf_jax.inference.background._finding import Check, Finding
from bcnmf_jax.inference.background._values import Summary, summary
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import as_loss

ROWS = 1000
"""Most rows of each set of which structure is looked at."""


def background_check(
    target: Any,
    background: Any,
    *,
    counts: dict[str, Any] | None = None,
    groups: ArrayLike | None = None,
    background_groups: ArrayLike | None = None,
    batch: ArrayLike | None = None,
    background_batch: ArrayLike | None = None,
    loss: str | AbstractLoss = "frobenius",
    n_components: int | None = None,
    random_state: int = 0,
) -> Check:
    """Check whether a background suits a target, before anything is fitted.

    Findings, each with its value, the threshold of a warning and a sentence of advice:

    - ``size``, ``balance``: samples of the background; many times as many in the one set.
    - ``depth``, ``scale``: how many times the counts (without counts: the features found) of the
      median sample, and the sum of the mean sample, of the one set are those of the other.
    - ``features``: share that one set has and the other has not, more than chance leaves out.
    - ``duplicates``, ``contained``: share of the background that is in the target too.
    - ``loss``: 1 for a likelihood of counts on values that are none, or squared error on counts.
    - ``span``: share of the background's variance beyond noise, in held-out samples, that the
      directions of the target's variance do not span.
    - ``components``: as many as are asked for, against the dimensions of the target beyond noise.
    - ``batch``: share of samples whose batch holds both sets; at 0 the background is unsuitable.
    - ``replicates``, ``shift``: with groups, whether there are enough for a test, and whether most
      features differ between the sets more than between groups. A batch that is a set cannot be
      noticed without groups.

    Parameters
    ----------
    target, background : array, frame or sparse matrix (n, g), (m, g)
        What is to be fitted.
    counts : dict, optional
        ``{"target": ..., "background": ...}``, the raw counts of the same samples.
    groups, background_groups : array (n,), (m,), optional
        Donor (mouse, cell line, ...) of every sample.
    batch, background_batch : array (n,), (m,), optional
        Run, plate, day, ... of every sample.
    loss : {"frobenius", "kl"} or AbstractLoss
    n_components : int, optional
        Number of target components that is asked for.
    random_state : int

    Returns
    -------
    Check
        ``level`` is the worst of its findings' levels: "ok", "warn" or "unsuitable".

    Raises
    ------
    ValueError
        For sets of other features, negative values, and annotation of another length.
    """
    sets = (target, background)
    check_matrices(sets)
    loss = as_loss(loss)
    donors = annotation(sets, groups, background_groups, "groups")
    runs = annotation(sets, batch, background_batch, "batch")
    x, y = (summary(s) for s in sets)
    for name, own in zip(SETS, (x, y), strict=True):
        if own.lowest < 0:
            raise ValueError(f"{name} has negative values (lowest {own.lowest:.3g})")
    rows = [values.size(x, y), values.balance(x, y), _depth(x, y, counts), values.scale(x, y)]
    rows += [values.features(x, y), *values.duplicates(x, y), values.likelihood(x, y, loss)]
    rng = np.random.default_rng(check_seed(random_state, "random_state"))
    few = [np.sort(rng.permutation(s.shape[0])[:ROWS]) for s in sets]
    some = [np.nan_to_num(dense_rows(s, r)) for s, r in zip(sets, few, strict=True)]
    some = structure.scaled(some[0], some[1])
    units = few[1] if donors is None else donors[1][few[1]]
    held = structure.structure(some[0], rng)
    rows.append(structure.span(held, some[1], units, rng))
    if n_components is not None:
        rows.append(structure.components(held, n_components))
    if runs is not None:
        rows.append(design.batches(runs))
    if donors is not None:
        rows += [design.replicates(donors), *design.shift(sets, donors)]
    return Check(tuple(rows))


def _depth(x: Summary, y: Summary, counts: dict[str, Any] | None) -> Finding:
    """Depth from the counts where there are any, given or as the values themselves."""
    if counts is None:
        return values.depth(x, y, x.whole and y.whole and x.largest > 1)
    if set(counts) != set(SETS):
        raise ValueError(f"counts must have the keys {SETS}, found {sorted(counts)}")
    a, b = (summary(counts[name]) for name in SETS)
    if (a.samples, b.samples) != (x.samples, y.samples):
        raise ValueError(
            f"counts have {a.samples} and {b.samples} samples, target and background {x.samples} "
            f"and {y.samples}; give those of the same samples"
        )
    return values.depth(a, b, True)
