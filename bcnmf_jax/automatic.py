"""Parameters on "auto": the plan of a fit from a label-free choice."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse

from bcnmf_jax.checks import DataWarning
from bcnmf_jax.losses import AbstractLoss
from bcnmf_jax.plan import Plan
from bcnmf_jax.selection import select
from bcnmf_jax.selection.heldout import KINDS
from bcnmf_jax.selection.select import RANKS

OBJECTIVES, STREAMED = ("sequential",), ("background_first",)
"""What an objective on "auto" is chosen from, in order of preference: of data in memory, and of
those that are read chunk by chunk, in which components cannot be found in turn."""
ALPHAS = {"contrastive": (0.5, 1.0, 1.5, 2.0), "shared_target": (0.0, 1.0)}
"""What a contrast on "auto" is chosen from; of the objectives that freeze a basis it is 0: a
contrast there only harms where the background holds some of the target's programs."""
SAMPLED, PIECE = 4000, 32
"""Rows of sparse matrices and sources that a choice is made on, and those read at once of them."""


class ContrastWarning(DataWarning):
    """A choice that recommends no fit: no contrast, or no power to see one."""


def automatic(
    given: dict[str, Any],
    loss: AbstractLoss,
    *,
    n_components: int | None,
    alpha: float | None,
    objective: str | None,
    progress: Callable[[float], Any] | None = None,
) -> Plan:
    """The plan that `select` recommends; None is what it is to choose.

    Parameters
    ----------
    given : dict
        ``target`` and ``background``, arrays, sparse matrices or sources.

    Raises
    ------
    ValueError
        Without a background, with several, or for an objective that has no choice; with weights of
        samples or missing values, which a choice would have to leave out.
    """
    background = given.get("background")
    if background is None or isinstance(background, list):
        raise ValueError(
            "'auto' needs one background: fit(X, background=Y); stack several into one"
        )
    if objective is not None and objective not in KINDS:
        raise ValueError(f"'auto' chooses for objectives {KINDS}, found objective={objective!r}")
    held = [given[name] for name in ("target", "background")]
    if "weights" in given or any(isinstance(a, np.ndarray) and np.isnan(a).any() for a in held):
        raise ValueError(
            "'auto' takes neither sample_weight nor missing values; choose on complete data, and "
            "fit with what was chosen"
        )
    streamed = any(map(_is_streamed, held))
    objectives = (objective,) if objective else STREAMED if streamed else OBJECTIVES
    alphas = ALPHAS.get(objectives[0], (0.0,)) if alpha is None else (alpha,)
    found = select(
        dict(zip(("target", "background"), map(_sample, held), strict=True)),
        objectives=objectives, alphas=alphas, loss=loss, progress=progress,
        ranks=RANKS if n_components is None else (n_components,),
    )  # fmt: skip
    if found.outcome != "contrast found":
        warnings.warn(
            f"{found.outcome}: {'; '.join(found.reasons)}. The fit, {found.objective} with "
            f"n_components={found.n_components}, is for inspection",
            ContrastWarning,
            stacklevel=4,
        )
    return Plan(
        found.objective, found.alpha, found.n_components, found.n_background_components, loss, found
    )


def _sample(a: Any) -> np.ndarray:
    """A matrix, or some rows from all over what is read chunk by chunk, dense."""
    if not _is_streamed(a):
        return a
    pieces = -(-a.shape[0] // PIECE)
    drawn = np.sort(np.random.default_rng(0).permutation(pieces)[: SAMPLED // PIECE]) * PIECE
    rows = [a[i : min(i + PIECE, a.shape[0])] for i in drawn]
    return np.concatenate([r.toarray() if issparse(r) else r for r in rows])


def _is_streamed(a: Any) -> bool:
    return issparse(a) or hasattr(a, "rows_into")
