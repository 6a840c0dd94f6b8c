"""Parameters on "auto": the plan of a fit from a label-free choice."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import issparse

from bcnmf_jax.data.checks import DataWarning
from bcnmf_jax.data.two_sets import SETS
from bcnmf_jax.estimator._fit_data import FitData
from bcnmf_jax.estimator._inputs import stacked
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.inference.background import background_check
from bcnmf_jax.inference.selection import Selection
from bcnmf_jax.inference.selection.candidates import KINDS
from bcnmf_jax.inference.selection.select import OBJECTIVES, choose
from bcnmf_jax.model.loss import AbstractLoss

SAMPLED, PIECE = 4000, 32
"""Rows of sparse matrices and sources that a choice is made on, and those read at once of them."""


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
        For an objective that has no choice; with weights of samples or missing values, which a
        choice would have to leave out.
    """
    background = given.background
    assert background is not None
    if alpha is not None and np.ndim(alpha) > 0:
        raise ValueError(
            "alpha has a value for each background, and a choice takes one: give n_components= and "
            "objective= beside it"
        )
    parts = background if isinstance(background, list) else [background]
    if objective is not None and objective not in KINDS:
        raise ValueError(f"'auto' chooses for objectives {KINDS}, found objective={objective!r}")
    background = stacked(background)
    held = [given.target, background]
    if given.weights is not None or any(
        isinstance(a, np.ndarray) and np.isnan(a).any() for a in (given.target, *parts)
    ):
        raise ValueError(
            "a choice takes neither sample_weight nor missing values: give n_components=, alpha= "
            "and objective=, or choose on complete data and fit with what was chosen"
        )
    objectives = (objective,) if objective else OBJECTIVES
    rows = [spread(a.shape[0], SAMPLED if _is_streamed(a) else a.shape[0]) for a in held]
    some = {n: dense(a, r) for n, a, r in zip(SETS, held, rows, strict=True)}
    who = {n: np.asarray(groups[n])[r] for n, r in zip(SETS, rows, strict=True)} if groups else None
    choice = choose(
        some, objectives=objectives, alphas=None if alpha is None else (alpha,), loss=loss,
        groups=who, on_progress=on_progress,
        ranks=None if n_components is None else (n_components,),
    )  # fmt: skip
    found = _suited(choice.selection, some, loss, who)
    if found.outcome != "contrast found":
        warnings.warn(
            f"{found.outcome}: {'; '.join(found.reasons)}. The fit, {found.objective} with "
            f"n_components={found.n_components}, is for inspection",
            ContrastWarning,
            stacklevel=4,
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


def spread(count: int, most: int) -> np.ndarray:
    """Numbers of about ``most`` of ``count`` rows, in pieces from all over; all, where they are no
    more."""
    if count <= most:
        return np.arange(count)
    pieces = -(-count // PIECE)
    drawn = np.sort(np.random.default_rng(0).permutation(pieces)[: most // PIECE]) * PIECE
    return np.concatenate([np.arange(i, min(i + PIECE, count)) for i in drawn])


def dense(a: Any, rows: np.ndarray) -> np.ndarray:
    """Rows, in rising order, of a matrix or of what is read chunk by chunk, neighbours at once."""
    if not _is_streamed(a):
        return a if len(rows) == len(a) else a[rows]
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    read = [a[run[0] : run[-1] + 1] for run in runs]
    return np.concatenate([r.toarray() if issparse(r) else r for r in read])


def _is_streamed(a: Any) -> bool:
    return issparse(a) or hasattr(a, "rows_into")
