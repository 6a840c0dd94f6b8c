"""A finished fit, and the name of how it ended."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool

from bcnmf_jax.model.objective import Blocks


class RESULTS(eqx.Enumeration):
    """Result of a fit."""

    converged = "converged"
    max_steps = "max_steps: the blocks still move; raise max_steps or tol"
    nonfinite = "nonfinite: a block has NaN or infinite entries; lower alpha or the step size"
    collapsed = (
        "collapsed: the basis no longer describes the target (see diagnostics); lower alpha, "
        "change the loss, or check that the background suits the target"
    )
    degenerate = (
        "degenerate: no step lowers the reduced objective, whose slope is not 0 yet; the precision "
        "is used up (fit float64 data under jax.enable_x64) or codes are not unique (fewer "
        "components, another start)"
    )


NAMES = ("converged", "max_steps", "nonfinite", "collapsed", "degenerate")


def result_name(result: Any) -> Any:
    """Name of a result, or an array of names where results have leading axes."""
    is_one = [np.asarray(result == getattr(RESULTS, name)) for name in NAMES]
    names = np.select(is_one, NAMES, default="")
    return str(names) if names.ndim == 0 else names


class Fit(eqx.Module):
    """A fit. From `sweep`, every array has leading axes (alpha, rank, restart).

    Attributes
    ----------
    blocks : dict
        ``"basis"`` (K, g) with rows of unit sum (unless a penalty fixes their scale), codes
        (rows, K) under the name of each data set; target components first.
    costs : dict
        What each block minimises, at the end: codes their own misfit, the basis the signed sum.
    diagnostics : dict
        See `diagnose`.
    trace : dict
        At every look: ``step``, ``change`` (largest relative change of a reconstruction) and
        ``cost`` (of the basis). After the last look ``step`` is 0 and the others NaN.
    steps : int array
    result : RESULTS
        Precedence nonfinite, collapsed, degenerate, max_steps, converged.
    """

    blocks: Blocks
    costs: dict[str, Any]
    diagnostics: dict[str, Any]
    trace: dict[str, Array]
    steps: Array
    result: Any

    def __getitem__(self, index: Any) -> Fit:
        """One fit, or some, of a sweep: ``s[alpha, rank, restart]``. Padding stays."""
        return jax.tree.map(lambda leaf: leaf[index], self)


def outcome(
    settled: Bool[Array, ""], going: Bool[Array, ""], collapsed: Bool[Array, ""],
    finite: Bool[Array, ""],
) -> Any:  # fmt: skip
    """Result of a fit that has ended, of the precedence that `Fit` names.

    Parameters
    ----------
    settled : bool
        Whether the last look converged.
    going : bool
        Whether a further step could help.
    collapsed, finite : bool
        What the diagnostics and the blocks say at the end.
    """
    result = RESULTS.where(settled, RESULTS.converged, RESULTS.max_steps)
    result = RESULTS.where(going | settled, result, RESULTS.degenerate)
    result = RESULTS.where(collapsed, RESULTS.collapsed, result)
    return RESULTS.where(finite, result, RESULTS.nonfinite)


def as_found(last: Fit, fits: list[Fit]) -> Fit:
    """A fit of no step, with what the fits of its components say of convergence."""
    if result_name(last.result) != "max_steps":
        return last
    slow = any(result_name(f.result) == "max_steps" for f in fits)
    result = RESULTS.max_steps if slow else RESULTS.converged
    return eqx.tree_at(lambda f: f.result, last, result)
