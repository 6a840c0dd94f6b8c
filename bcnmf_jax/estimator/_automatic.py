"""Parameters on "auto": the plan of a fit from a label-free choice."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bcnmf_jax.data.checks import DataWarning
from bcnmf_jax.data.sampled_rows import filled, sampled
from bcnmf_jax.data.two_sets import SETS
from bcnmf_jax.estimator._fit_data import FitData
from bcnmf_jax.estimator._inputs import stacked
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.inference.background import background_check
from bcnmf_jax.inference.selection import Selection
from bcnmf_jax.inference.selection.candidates import KINDS
from bcnmf_jax.inference.selection.select import OBJECTIVES, choose
from bcnmf_jax.model.loss import AbstractLoss


class ContrastWarning(DataWarning):
    """A choice that recommends no fit: no contrast, no power to see one, or a background that does
    not suit the target."""


def automatic(
    given: FitData,
    loss: AbstractLoss,
    *,
    n_components: int | None,
    alpha: float | None,
    objective: str | None,
    groups: dict[str, Any] | None = None,
    on_progress: Callable[[float], Any] | None = None,
) -> Plan:
    """The plan that `select` recommends; None is what it is to choose.

    Parameters
    ----------
    given : FitData
    groups : dict, optional
        Donor (mouse, cell line, ...) of every row of both, which splits keep whole.

    Raises
    ------
    ValueError
        For an objective that has no choice, and for an alpha for each of several backgrounds.
    """
    assert given.background is not None
    if alpha is not None and np.ndim(alpha) > 0:
        raise ValueError(
            "alpha has a value for each background, and a choice takes one: give n_components= and "
            "objective= beside it"
        )
    if objective is not None and objective not in KINDS:
        raise ValueError(f"'auto' chooses for objectives {KINDS}, found objective={objective!r}")
    objectives = (objective,) if objective else OBJECTIVES
    some, who, said = _read(given, groups)
    choice = choose(
        some, objectives=objectives, alphas=None if alpha is None else (alpha,), loss=loss,
        groups=who, n_top_features=None, on_progress=on_progress,
        ranks=None if n_components is None else (n_components,),
    )  # fmt: skip
    found = _suited(choice.selection, some, loss, who)
    if said:
        found = replace(found, reasons=(*found.reasons, f"in the choice {'; '.join(said)}"))
    if found.outcome != "contrast found":
        warnings.warn(
            f"{found.outcome}: {'; '.join(found.reasons)}. The fit, {found.objective} with "
            f"n_components={found.n_components}, is for inspection",
            ContrastWarning,
            stacklevel=5,
        )
    return Plan(
        found.objective,
        found.alpha,
        found.n_components,
        found.n_background_components,
        loss,
        selection=found,
        start=choice.start,
        together=found.together,
    )


def _read(
    given: FitData, groups: dict[str, Any] | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None, list[str]]:
    """Rows of both sets that a choice is made on, donors of these, and what was read instead of
    the data as they are."""
    held: dict[str, Any] = dict(zip(SETS, (given.target, stacked(given.background)), strict=True))
    counting = None if given.weights is None else {"target": np.flatnonzero(given.weights > 0)}
    read = sampled(held, counting)
    some, said = {}, read.said
    for name, a in read.sets.items():
        some[name], missing = filled(a)
        if missing:
            said.append(f"{missing} missing values of the {name} stood at their feature's mean")
    if given.weights is not None:
        said.append("rows of the target counted alike, without those of weight 0")
    who = None
    if groups is not None:
        who = {n: np.asarray(groups[n])[r] for n, r in read.rows.items()}
    return some, who, said


def chosen(found: Selection) -> str:
    """One line about what was chosen."""
    count = found.n_components
    return (
        f"{found.outcome}: {found.objective}, {count} component{'s' * (count > 1)}, alpha "
        f"{found.alpha:g}, beside {found.n_background_components} of the background; selection_ "
        "says why"
    )


def _suited(
    found: Selection, some: dict[str, np.ndarray], loss: AbstractLoss, groups: dict | None
) -> Selection:
    """The choice, or that it is none because the background does not suit the target."""
    groups = groups or {}
    check = background_check(
        *some.values(), loss=loss, groups=groups.get("target"),
        background_groups=groups.get("background"),
    )  # fmt: skip
    wrong = tuple(row.advice for row in check.rows if row.level == "unsuitable")
    if not wrong:
        return found
    return replace(found, outcome="background unsuitable", reasons=(*wrong, *found.reasons))
