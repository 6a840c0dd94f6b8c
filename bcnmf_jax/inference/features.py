"""Features that a choice or a fit takes: where some of them can stand for all, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from bcnmf_jax.data.checks import MOST_INTEGER, check_integer
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective

WIDE, TOP = 5000, 3000
"""Number of features above which "auto" takes the top ones alone, and how many it takes."""
REFITTED = (None, "auto", "nmf", "balanced", "sequential", "background_first", "shared_target")
"""Objectives whose loadings are least squares of both sets, or of the target alone, on their codes,
and so have such of further features."""


def check_top_features(asked: Any) -> None:
    """Raise ValueError for what is no number of features, None or "auto"."""
    if not (asked is None or (isinstance(asked, str) and asked == "auto")):
        check_integer(asked, "n_top_features", 1, MOST_INTEGER, ", None or 'auto'")


def count_taken(
    asked: int | str | None,
    width: int,
    objectives: Sequence[str | AbstractObjective | None],
    loss: AbstractLoss,
) -> int | None:
    """Number of features that are taken; None for all of them.

    "auto" takes all of an objective or a loss whose features cannot be chosen among: of a plain
    contrast and of objects, since loadings of other features would not be those of the fit, and of
    losses with a value for each.

    Parameters
    ----------
    asked : int, None or "auto"
        As of `BCNMF`.
    width : int
        Features that there are.
    objectives : sequence of str, AbstractObjective or None
        Those that are fitted or chosen among; None for one that is not known yet.

    Raises
    ------
    ValueError
        For a number where none can be chosen.
    """
    count = width if asked is None else TOP if asked == "auto" else int(asked)
    if width <= (WIDE if asked == "auto" else count):
        return None
    by_feature = any(np.ndim(a) for a in jax.tree.leaves(loss))
    odd = [o for o in objectives if isinstance(o, AbstractObjective) or o not in REFITTED]
    if not odd and not by_feature:
        return count
    if asked == "auto":
        return None
    what = f"values for each feature in {loss!r}" if by_feature else f"objective={odd[0]!r}"
    raise ValueError(
        f"n_top_features={asked} cannot choose with {what}; leave it out, and pass data of the "
        "features you choose"
    )
