"""Comparison of the values of two sets: scale, depth, features, samples, loss."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.data.two_sets import dense_rows
from bcnmf_jax.inference.background._finding import Finding, judge
from bcnmf_jax.model.losses import KL, AbstractQuadraticLoss, NegativeBinomial

CHUNK = 4096
"""Rows that are dense at a time."""
SEEN = 10
"""Samples in which a feature should have been found before its absence means anything."""
LARGE = 10.0
"""Largest count up to which squared error on counts is no worry."""
MOST = 1e6
"""Largest ratio: a finite number, for JSON."""
CONTAINED = 0.95
"""Share of the background's samples in the target from which on it is a part of it."""


class Summary(NamedTuple):
    """One pass over a data set.

    ``total`` and ``found`` are of rows (sum of values, number of values above 0), ``present`` of
    features (share of rows with a value above 0); ``digests`` identify rows that are not all 0.
    """

    samples: int
    total: NDArray
    found: NDArray
    present: NDArray
    lowest: float
    largest: float
    whole: bool
    digests: list[bytes]


def summary(x: Any) -> Summary:
    """Read a data set once, some rows at a time."""
    n = x.shape[0]
    total, found, present, digests = np.zeros(n), np.zeros(n), np.zeros(x.shape[1]), []
    lowest, largest, whole = 0.0, 0.0, True
    for start in range(0, n, CHUNK):
        rows = slice(start, min(start + CHUNK, n))
        part = np.nan_to_num(dense_rows(x, rows))
        total[rows], found[rows] = part.sum(1, dtype=np.float64), (part > 0).sum(1)
        present += (part > 0).sum(0)
        lowest, largest = min(lowest, float(part.min())), max(largest, float(part.max()))
        whole = whole and bool((part == np.round(part)).all())
        digests += [
            hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in part if row.any()
        ]
    return Summary(n, total, found, present / n, lowest, largest, whole, digests)


def ratio(a: float, b: float) -> float:
    """Ratio of the larger to the smaller, at most `MOST`; 1 where both are 0."""
    low, high = sorted((a, b))
    return min(high / low, MOST) if low > 0 else MOST if high > 0 else 1.0


def size(x: Summary, y: Summary) -> Finding:
    """Too few samples of the background."""
    return judge(
        "size", y.samples, 199, 19, f"the background has {y.samples} samples; below 200, faint "
        "programs are lost, and what it lacks by chance looks specific to the target: add samples, "
        "and take 'no contrast found' for 'no power'", low=True,
    )  # fmt: skip


def balance(x: Summary, y: Summary) -> Finding:
    """Many times as many samples in the one set as in the other."""
    return judge(
        "balance", ratio(x.samples, y.samples), 10, None, f"{x.samples} samples in the target and "
        f"{y.samples} in the background: rare kinds of the larger set may lack in the smaller one "
        "by chance; bring the numbers closer, kind by kind",
    )  # fmt: skip


def depth(x: Summary, y: Summary, counted: bool) -> Finding:
    """Other depth: of counts the median total of a row, else the median number of values above 0,
    which depth changes under any normalisation."""
    what = "total counts" if counted else "features found"
    a, b = (float(np.median(s.total if counted else s.found)) for s in (x, y))
    return judge(
        "depth", ratio(a, b), 2 if counted else 1.5, 10, f"the median sample has {a:.4g} {what} in "
        f"the target and {b:.4g} in the background: at another depth other features are lost to "
        "zero, which looks like a difference; thin the counts of the deeper set to the other's "
        "depth before normalising",
    )  # fmt: skip


def scale(x: Summary, y: Summary) -> Finding:
    """Values of another size."""
    a, b = (float(s.total.mean()) for s in (x, y))
    return judge(
        "scale", ratio(a, b), 2, 10, f"the mean sample adds up to {a:.4g} in the target and "
        f"{b:.4g} in the background: normalise both the same way",
    )  # fmt: skip


def features(x: Summary, y: Summary) -> Finding:
    """Features that one set has and the other has not, beyond what chance leaves out."""
    lost = [
        (a.present * b.samples >= SEEN) & (b.present == 0) & (a.present * a.samples >= SEEN)
        for a, b in ((x, y), (y, x))
    ]
    only = [int(own.sum()) for own in lost]
    return judge(
        "features", sum(only) / len(x.present), 0.01, 0.2, f"{only[0]} features are found in the "
        f"target alone and {only[1]} in the background alone, of {len(x.present)}: were both sets "
        "measured and filtered alike? Leave out features that one of them could not have",
    )  # fmt: skip


def duplicates(x: Summary, y: Summary) -> list[Finding]:
    """Samples of the background that are in the target too, and whether all of them are."""
    held = set(x.digests)
    count = sum(digest in held for digest in y.digests)
    share = count / max(len(y.digests), 1)
    contained = share >= CONTAINED
    return [
        judge(
            "duplicates", 0.0 if contained else share, 1e-9, 0.5, f"{count} of {y.samples} samples "
            "of the background are in the target too: take them out of one of the two",
        ),
        judge(
            "contained", share, CONTAINED, None, "the background is a part of the target: the "
            "contrast then works against samples that are to be explained. If that is meant (the "
            "controls of a mixed target), use objective='background_first', and do not test "
            "enrichment; else take them out of the target",
        ),
    ]  # fmt: skip


def likelihood(x: Summary, y: Summary, loss: Any) -> Finding:
    """Values that a loss is not made for: 1 for such, else 0."""
    whole, largest = x.whole and y.whole, max(x.largest, y.largest)
    if isinstance(loss, KL | NegativeBinomial):
        return judge(
            "loss", float(not whole), 1, None, "the loss is a likelihood of counts and the values "
            "are no counts: pass raw counts, or use squared error on normalised values",
        )  # fmt: skip
    raw = isinstance(loss, AbstractQuadraticLoss) and whole and largest > LARGE
    return judge(
        "loss", float(raw), 1, None, f"the values are whole numbers up to {largest:.4g}; if these "
        "are counts, squared error sees little but the largest: normalise and log-transform them, "
        "or use loss='kl'",
    )  # fmt: skip
