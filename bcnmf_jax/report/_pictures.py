"""Coordinates of the page's small pictures, which ``pictures.html`` draws as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 60, 334, 10, 168
"""The rectangle of a chart that the axes span, from the upper left corner."""
MOST_LABELS = 12
TICKS_SHOWN = 120
"""Samples of a group that are drawn as ticks, evenly spaced in their order."""


@dataclass(frozen=True)
class Series:
    """Points of one kind in a chart.

    Attributes
    ----------
    name : str
    values : array (p,)
        One per position on the x axis; NaN is not drawn.
    errors : array (p,), optional
        Half the length of a bar on each point.
    failed : bool array (p,), optional
        Points drawn as crosses.
    joined : bool
        Whether a line joins the points.
    """

    name: str
    values: NDArray
    errors: NDArray | None = None
    failed: NDArray | None = None
    joined: bool = True


@dataclass(frozen=True)
class Mark:
    """A point of a chart: its outline, the bar on it and what is said about it."""

    outline: str
    failed: bool
    bar: str
    note: str


@dataclass(frozen=True)
class Line:
    """A series as drawn. Colour and shape of the points go together; ``sample`` is a point of the
    legend, in a square of 12."""

    name: str
    colour: int
    sample: str
    points: str
    marks: list[Mark]


@dataclass(frozen=True)
class Chart:
    """Lines over named, evenly spaced positions."""

    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[Line]


@dataclass(frozen=True)
class Box:
    """5th percentile, quartiles, 95th percentile and the samples, on an axis from 0 to 100."""

    low: float
    first: float
    median: float
    third: float
    high: float
    samples: str


def chart(
    series: list[Series], positions: list[str], x_label: str, y_label: str, height: float = 0.0
) -> Chart:
    """Lay out points and lines.

    Parameters
    ----------
    series : list of Series
        With a value for each position.
    positions : list of str
        Labels of the x axis.
    x_label, y_label : str
    height : float
        The y axis covers at least as much.
    """
    low, high = _limits(series, height)
    xs = LEFT + (np.arange(len(positions)) + 0.5) * (RIGHT - LEFT) / len(positions)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (BOTTOM - TOP)

    lines = []
    for colour, each in enumerate(series):
        fine = np.flatnonzero(np.isfinite(each.values))
        points = " ".join(f"{xs[i]:.1f},{y(each.values[i]):.1f}" for i in fine)
        marks = []
        for i in fine:
            value, failed = each.values[i], each.failed is not None and bool(each.failed[i])
            error = 0.0 if each.errors is None else np.nan_to_num(each.errors[i])
            bar = f"M{xs[i]:.1f},{y(value - error):.1f}V{y(value + error):.1f}" if error else ""
            note = f"{each.name}, {x_label} {positions[i]}: {value:.3g}"
            note += f" ± {error:.2g}" if error else ""
            marks.append(Mark(outline(xs[i], y(value), colour, failed), failed, bar, note))
        points = points if each.joined else ""
        lines.append(Line(each.name, colour, outline(6, 6, colour), points, marks))
    every = -(-len(positions) // MOST_LABELS)
    labels = [(float(x), label) for x, label in zip(xs, positions, strict=True)][::every]
    return Chart(
        x_label, y_label, labels, [(y(t), f"{t:.3g}") for t in ticks(low, high)], lines
    )  # fmt: skip


def ticks(low: float, high: float) -> list[float]:
    """About four round numbers from ``low`` to ``high``."""
    step = 10.0 ** np.floor(np.log10((high - low) / 3))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= 4)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [float(i * step) + 0.0 for i in np.arange(first, last + 1)]  # no -0


def outline(x: float, y: float, kind: int, failed: bool = False, r: float = 4.0) -> str:
    """Path of a point: circle, square, triangle or diamond by kind; a cross where it failed."""
    if failed:
        return f"M{x - r:.1f},{y - r:.1f}l{2 * r},{2 * r}m0,{-2 * r}l{-2 * r},{2 * r}"
    return (
        f"M{x - r:.1f},{y:.1f}a{r},{r} 0 1 0 {2 * r},0a{r},{r} 0 1 0 {-2 * r},0",
        f"M{x - r:.1f},{y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z",
        f"M{x:.1f},{y - r:.1f}l{r},{2 * r}h{-2 * r}z",
        f"M{x:.1f},{y - r:.1f}l{r},{r}l{-r},{r}l{-r},{-r}z",
    )[kind % 4]


def box(values: NDArray, high: float) -> Box:
    """Lay out the distribution of values on an axis from 0 to ``high``."""
    scale = 100 / high if high > 0 else 0.0

    def at(shares) -> NDArray:
        return np.clip(np.quantile(values, shares) * scale, 0, 100)

    samples = at(np.linspace(0, 1, min(len(values), TICKS_SHOWN)))
    low, first, median, third, top = map(float, at([0.05, 0.25, 0.5, 0.75, 0.95]))
    return Box(low, first, median, third, top, "".join(f"M{v:.1f},15v4" for v in samples))


def _limits(series: list[Series], height: float) -> tuple[float, float]:
    """Limits of the y axis, from 0 where the values are not far above it."""
    errors = [np.zeros(len(s.values)) if s.errors is None else s.errors for s in series]
    pairs = list(zip(series, errors, strict=True))
    ends = np.concatenate(
        [s.values + sign * np.nan_to_num(e) for s, e in pairs for sign in (-1, 1)]
    )
    ends = ends[np.isfinite(ends)]
    low, high = (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 1.0)
    high = max(high, low + height)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    pad = 0.05 * (high - low)
    return (0.0 if 0 <= low < 0.5 * high else low - pad), high + pad
