"""Lowest, highest and mean values of a data set, and whether two of them are scaled alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SAME = 1e-4
"""Relative range of values that count as one: scaled in single precision."""
APART = 1e-3
"""Relative standard deviation of samples that are not normalised."""
SMALL, LARGE, TIMES = 0.5, 1.5, 3.0
"""Doublings of features' scales: fewer are no other scale, more always are; between the two, those
that are so many times what the features differ by otherwise."""


class Ranges(NamedTuple):
    """Of a data set (n, g).

    Attributes
    ----------
    low, high, mean : ndarray (g,)
        Lowest, highest and mean value of every feature.
    total : ndarray (n,)
        Sum of every sample.
    deviation, length : ndarray (g,), (n,), optional
        Standard deviation of every feature, root of the sum of squares of every sample.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    total: np.ndarray
    deviation: np.ndarray | None = None
    length: np.ndarray | None = None


@np.errstate(over="ignore", invalid="ignore")
def ranges(x: np.ndarray) -> Ranges:
    """The summary of a matrix in memory, without another of its size."""
    mean = x.mean(0, dtype=float)
    columns, rows = (np.einsum(f"ij,ij->{i}", x, x, dtype=float) for i in "ji")
    deviation = np.sqrt(np.maximum(columns / len(x) - mean**2, 0))
    return Ranges(
        x.min(0), x.max(0), mean, x.sum(1, dtype=float), deviation, np.sqrt(rows)
    )  # fmt: skip


@np.errstate(over="ignore", invalid="ignore")
def scaled_alone(x: Ranges, y: Ranges) -> str:
    """Name of a value that all samples, or all features, of ``x`` share and those of ``y`` do not,
    as a scaler leaves it; empty where there is none."""
    samples = {"sum": (x.total, y.total), "length": (x.length, y.length)}
    for name, (a, b) in samples.items():
        if a is not None and b is not None and _is_one(a) and _vary(b):
            return f"sample has the same {name}"
    features = {
        "largest value": (x.high, y.high),
        "standard deviation": (x.deviation, y.deviation),
        "mean": (x.mean, y.mean),
    }
    for name, (a, b) in features.items():
        if a is not None and b is not None and _is_one(a) and not _is_one(b) and _unlike(x, y):
            return f"feature has the same {name}"
    return ""


def _is_one(values: np.ndarray) -> bool:
    """Whether all values are one, but for those that are 0."""
    some = values[values > 0]
    return len(some) > 2 and float(np.ptp(some)) <= SAME * float(some.max())


def _vary(values: np.ndarray) -> bool:
    """Whether values but for those that are 0 differ as of samples that are not normalised."""
    some = values[values > 0]
    return len(some) > 0 and float(some.std()) > APART * float(some.mean())


def _unlike(x: Ranges, y: Ranges) -> bool:
    """Whether features differ in scale, by more than sets do: another scale changes the deviation
    of a feature as it does its mean, and another biology seldom."""
    a, b = x.deviation, y.deviation
    if a is None or b is None:
        a, b = x.high, y.high
    live = (a > 0) & (b > 0) & (x.mean > 0) & (y.mean > 0)
    if live.sum() < 3:
        return False
    scale = np.log2(b[live] / a[live])
    rest = np.log2(y.mean[live] / x.mean[live]) - scale
    return _size(scale) > LARGE or _size(scale) > max(SMALL, TIMES * _size(rest))


def _size(logs: np.ndarray) -> float:
    """Distance from 0 of the middle, and width, of most values."""
    low, middle, high = np.quantile(logs, [0.25, 0.5, 0.75])
    return float(np.hypot(middle, (high - low) / 1.35))
