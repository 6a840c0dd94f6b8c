"""Design of an experiment: batches and groups that coincide with the two sets, or do not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.data.two_sets import dense_rows
from bcnmf_jax.inference._arrangements import LEAST_GROUPS, LEAST_PAIRS, obstacle
from bcnmf_jax.inference.background._finding import Finding, judge

Names = tuple[NDArray, NDArray]


def batches(names: Names) -> Finding:
    """Share of the samples whose batch holds samples of both sets."""
    shared = np.intersect1d(names[0], names[1])
    share = float(np.isin(np.concatenate(names), shared).mean())
    if len(shared):
        advice = (
            f"{1 - share:.0%} of the samples are in batches that hold one set alone; keep those of "
            f"the {len(shared)} batches that hold both, or see whether a fit of these agrees"
        )
    else:
        advice = (
            "no batch holds samples of both sets: what differs between batches cannot be told from "
            "what differs between the sets, by any method; measure both sets in the same batches"
        )
    return judge("batch", share, 0.5, 0.0, advice, low=True)


def replicates(names: Names) -> Finding:
    """Whether there are enough groups for a test between them."""
    n, m = (len(np.unique(own)) for own in names)
    common = len(np.intersect1d(names[0], names[1]))
    value, least = (common, LEAST_PAIRS) if common else (min(n, m), LEAST_GROUPS)
    reason = obstacle(common, common, True) if common else obstacle(n, m, False)
    return judge(
        "replicates", value, least - 1, None, f"enrichment is {reason}; and without replicates a "
        "shift between batches cannot be noticed", low=True,
    )  # fmt: skip


def shift(sets: tuple[Any, Any], names: Names) -> list[Finding]:
    """Whether most features differ between the sets by more than between groups: the median over
    features of F = t², against that of the F distribution. A program moves few features.

    Nothing where either set has fewer than 3 groups: then it cannot be noticed.
    """
    from scipy.stats import f as f_distribution

    found = [np.unique(own) for own in names]
    common = np.intersect1d(found[0], found[1])
    paired = len(common) >= LEAST_GROUPS
    if paired:
        found = [common, common]
    if min(map(len, found)) < LEAST_GROUPS:
        return []
    a, b = (
        np.stack([np.nanmean(dense_rows(x, np.flatnonzero(own == g)), axis=0) for g in mine])
        for x, own, mine in zip(sets, names, found, strict=True)
    )
    if paired:
        degrees, difference = len(a) - 1, (a - b).mean(0)
        error = (a - b).var(0, ddof=1) / len(a)
    else:
        degrees, difference = len(a) + len(b) - 2, a.mean(0) - b.mean(0)
        squares = a.var(0) * len(a) + b.var(0) * len(b)
        error = squares / degrees * (1 / len(a) + 1 / len(b))
    known = error > 0
    f = difference[known] ** 2 / error[known]
    value = float(np.median(f) / f_distribution.median(1, degrees)) if known.any() else 0.0
    return [
        judge(
            "shift", value, 4, None, f"most features differ between the sets by more than between "
            f"groups (the median F is {value:.2g} times that of chance): a batch, or a response of "
            "nearly everything; components that are enriched may be either",
        )
    ]  # fmt: skip
