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
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.inference.background import background_check
from bcnmf_jax.inference.selection import Selection, select
from bcnmf_jax.inference.selection.candidates import KINDS
from bcnmf_jax.inference.selection.select import RANKS
from bcnmf_jax.model.loss import AbstractLoss

OBJECTIVES, STREAMED = ("sequential",), ("background_first",)
"""Objectives that "auto" chooses from, in order of preference: of data in memory, and of
those that are read chunk by chunk (recorded choices are of these)."""
ALPHAS = {"contrastive": (0.5, 1.0, 1.5, 2.0), "shared_target": (0.0, 1.0)}
"""Contrasts that "auto" chooses from; of the objectives that freeze a basis it is 0: a
contrast there only harms where the background holds some of the target's programs."""
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
        Without a background, with several, or for an objective that has no choice; with weights of
        samples or missing values, which a choice would have to leave out.
    """
    background = given.background
    if background is None or isinstance(background, list):
        raise ValueError(
            "'auto' needs one background: fit(X, background=Y); stack several into one"
        )
    if objective is not None and objective not in KINDS:
        raise ValueError(f"'auto' chooses for objectives {KINDS}, found objective={objective!r}")
    held = [given.target, background]
    if given.weights is not None or any(
        isinstance(a, np.ndarray) and np.isnan(a).any() for a in held
    ):
        raise ValueError(
            "'auto' takes neither sample_weight nor missing values; choose on complete data, and "
            "fit with what was chosen"
        )
    streamed = any(map(_is_streamed, held))
    objectives = (objective,) if objective else STREAMED if streamed else OBJECTIVES
    alphas = ALPHAS.get(objectives[0], (0.0,)) if alpha is None else (alpha,)
    rows = [spread(a.shape[0], SAMPLED if _is_streamed(a) else a.shape[0]) for a in held]
    some = {n: dense(a, r) for n, a, r in zip(SETS, held, rows, strict=True)}
    who = {n: np.asarray(groups[n])[r] for n, r in zip(SETS, rows, strict=True)} if groups else None
    found = select(
        some, objectives=objectives, alphas=alphas, loss=loss, groups=who, on_progress=on_progress,
        ranks=RANKS if n_components is None else (n_components,),
    )  # fmt: skip
    found = _suited(found, some, loss, who)
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
