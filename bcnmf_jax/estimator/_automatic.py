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

SAMPLED, PIECE = 4096, 32
"""Most rows of a set that a choice is made on, and neighbours that are read at once."""


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
        groups=who, on_progress=on_progress,
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
    held = [given.target, stacked(given.background)]
    every: list[np.ndarray] = [np.arange(a.shape[0]) for a in held]
    if given.weights is not None:
        every[0] = np.flatnonzero(given.weights > 0)
    rows = [of[spread(len(of), SAMPLED)] for of in every]
    said = [
        f"{len(r)} of {len(of)} rows of the {name} were read"
        for name, of, r in zip(SETS, every, rows, strict=True)
        if len(r) < len(of)
    ]
    some = {}
    for name, a, r in zip(SETS, held, rows, strict=True):
        some[name], missing = filled(dense(a, r))
        if missing:
            said.append(f"{missing} missing values of the {name} stood at their feature's mean")
    if given.weights is not None:
        said.append("rows of the target counted alike, without those of weight 0")
    who = None
    if groups is not None:
        who = {n: np.asarray(groups[n])[r] for n, r in zip(SETS, rows, strict=True)}
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


def spread(count: int, most: int) -> np.ndarray:
    """Numbers of about ``most`` of ``count`` rows, a piece of neighbours from each of as many equal
    stretches, so that donors that stand together have their share; all, where they are no more."""
    if count <= most:
        return np.arange(count)
    pieces, wanted = -(-count // PIECE), most // PIECE
    edges = np.linspace(0, pieces, wanted + 1).astype(int)
    drawn = np.random.default_rng(0).integers(edges[:-1], edges[1:]) * PIECE
    return np.concatenate([np.arange(i, min(i + PIECE, count)) for i in drawn])


def dense(a: Any, rows: np.ndarray) -> np.ndarray:
    """Rows, in rising order, of a matrix or of what is read chunk by chunk, neighbours at once."""
    if not _is_streamed(a):
        return a if len(rows) == len(a) else a[rows]
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    read = [a[run[0] : run[-1] + 1] for run in runs]
    return np.concatenate([r.toarray() if issparse(r) else r for r in read])


def filled(x: np.ndarray) -> tuple[np.ndarray, int]:
    """An array with NaN at the mean of their feature (of 0, where it is never seen), and how many
    they are."""
    missing = np.isnan(x)
    if not missing.any():
        return x, 0
    seen = np.maximum((~missing).sum(0), 1)
    mean = np.where(missing, 0, x).sum(0) / seen
    return np.where(missing, mean.astype(x.dtype)[None], x), int(missing.sum())


def _is_streamed(a: Any) -> bool:
    return issparse(a) or hasattr(a, "rows_into")
