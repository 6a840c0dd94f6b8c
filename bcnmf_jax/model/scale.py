"""Data of extreme scale: divided by a power of two for the work, codes and costs multiplied back.

In single precision the square of 1e20 is infinite, and that of 1e-23 zero. Updates commute with a
common factor of all data (but for the floors that guard divisions), and a power of two changes no
digit of them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PyTree

from bcnmf_jax.data.numbers import traced
from bcnmf_jax.data.rows import is_rows
from bcnmf_jax.data.sources import Times
from bcnmf_jax.data.summaries import Summary, is_summary
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data

ORDINARY = 2.0**20
"""A mean between the inverse of this and this is ordinary: such data stay as they are."""
OWN_SCALE = 2.0**50
"""The same for objectives with a scale of their own, whose data nothing may divide."""
FARTHEST = {4: 2.0**100, 8: 2.0**400}
"""The same for data of so many bytes a value, whose squares double precision must hold."""


def unit_of(objective: AbstractObjective, mean: float, dtype: Any) -> float:
    """Divisor of data whose target has this mean: a power of two near it, or 1 where the mean is
    ordinary, or 0.

    Raises
    ------
    ValueError
        For a mean that no fit in this precision can bear; for an extreme one where a common factor
        of all data changes the objective.
    """
    if mean == 0 or 1 / ORDINARY <= mean <= ORDINARY:
        return 1.0
    own = objective.degree is None
    most = OWN_SCALE if own else FARTHEST[np.dtype(dtype).itemsize]
    if not 1 / most <= mean <= most:
        why = "its penalties or its loss have a scale of their own" if own else f"in {dtype}"
        raise ValueError(
            f"the target has a mean of {mean:.3g}, which {type(objective).__name__} cannot fit "
            f"({why}); rescale all data by a common factor"
        )
    return 1.0 if own else 2.0 ** round(math.log2(mean))


def scaled(objective: AbstractObjective, data: Data) -> tuple[Data, float]:
    """Prepared data over their unit, which the mean of the target gives (that of the background,
    where it stands alone), and the unit."""
    first = data["target"] if "target" in data else data["background"]
    leaves = [r.x for r in jax.tree.leaves(first, is_leaf=is_rows)]
    if any(map(traced, leaves)):
        return data, 1.0
    count = sum(x.size for x in leaves)
    unit = unit_of(objective, sum(_mean(x) * (x.size / count) for x in leaves), leaves[0].dtype)
    if unit == 1:
        return data, unit
    one = lambda r: replace(r, x=_times(r.x, 1 / unit))  # noqa: E731
    return jax.tree.map(one, data, is_leaf=is_rows), unit


def with_codes(blocks: Blocks, factor: float) -> Blocks:
    """Blocks with their codes times a power of two."""
    if factor == 1:
        return blocks
    codes = {k: v for k, v in blocks.items() if k != "basis"}
    return {**blocks, **jax.tree.map(lambda h: _times(h, factor), codes)}


def in_units(objective: AbstractObjective, costs: PyTree, unit: float) -> PyTree:
    """Costs of data that were divided by a unit, in the units of the data; then of NumPy, in double
    precision, which holds what that of the data may not."""
    if unit == 1 or objective.degree is None:
        return costs
    factor = np.float64(unit) ** objective.degree
    return jax.tree.map(lambda c: np.asarray(np.float64(c) * factor), costs)


def restored(objective: AbstractObjective, found: Any, unit: float) -> Any:
    """A `Fit` of data that were divided by a unit, in the units of the data."""
    if unit == 1:
        return found
    blocks, costs = with_codes(found.blocks, unit), in_units(objective, found.costs, unit)
    trace = {**found.trace, "cost": in_units(objective, found.trace["cost"], unit)}
    return eqx.tree_at(lambda f: (f.blocks, f.costs, f.trace), found, (blocks, costs, trace))


def _mean(x: Array | np.ndarray) -> float:
    """Mean of values, or the largest where their sum is infinite; taken where they are."""
    here = isinstance(x, np.ndarray) or (
        x.is_fully_addressable and all(d.platform == "cpu" for d in x.devices())
    )
    x = np.asarray(x) if here else x
    with np.errstate(over="ignore"):
        mean = float(x.mean())
    return mean if math.isfinite(mean) else float(x.max())


def _times(x: Any, factor: float) -> Any:
    return x * np.asarray(factor, x.dtype)


def scaled_sources(objective: AbstractObjective, known: dict) -> tuple[dict, float]:
    """Summaries over their unit, and the unit, as `scaled` has them of data in memory."""
    first = known["target"] if "target" in known else known["background"]
    leaves = jax.tree.leaves(first, is_leaf=is_summary)
    count = sum(k.shape[0] * k.shape[1] for k in leaves)
    mean = float(sum(k.total.sum() for k in leaves)) / count
    unit = unit_of(objective, mean, leaves[0].dtype)
    if unit == 1:
        return known, unit

    def one(k: Summary) -> Summary:
        facts = {f: getattr(k, f) / unit for f in ("low", "high", "total", "sums")}
        return k._replace(source=Times(k.source, 1 / unit), **facts)

    return jax.tree.map(one, known, is_leaf=is_summary), unit
