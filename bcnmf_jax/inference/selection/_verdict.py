"""Verdicts on the target components of a choice, each by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.inference._matching import cosines, matched
from bcnmf_jax.inference.restarts import InMemory
from bcnmf_jax.inference.selection._whole import Whole
from bcnmf_jax.inference.selection.donors import CARRIED, LEAST, parts_of_donors
from bcnmf_jax.inference.selection.separation import specificity
from bcnmf_jax.metrics.readout import divided

HALVES = Stop(tol=1e-4, max_steps=500)
"""Of the fits of halves of the rows; as that of the estimator, whose program they share."""
ENRICHED = 0.05
"""Specificity from which on the target has more of a component than the background."""
CLEAN = 0.5
"""Mean share of a component in the background, relative to that in the target, up to which the
background lacks it."""
STABLE = 0.8
"""Cosine from which on a component is the same one."""
ONE_DONOR = "carried by one donor"
BUT = {
    "no power": "; yet the data cannot tell whether further samples would show the same",
    "no contrast found": "; yet held-out samples, or exchanged donors, show no contrast",
}
"""What stands behind components without evidence of a contrast."""


def judged(
    whole: Whole, plan: Plan, basis: NDArray, names: NDArray | None
) -> tuple[dict[str, Any], ...]:
    """A row per target component, as `Selection.components` has it.

    Parameters
    ----------
    basis : ndarray (K + B, g)
        Target components of the choice, then the background's.
    names : ndarray (n,), optional
        Donor of every row of the target.
    """
    count, codes = plan.n_components, whole.codes(basis)
    own, other = (divided(c, c.sum(1))[:, :count].mean(0) for c in codes)
    spill = other / np.maximum(own, 1e-30)
    enriched, stays = specificity(*codes, count)[1], stability(whole, plan, basis)
    parts = None
    if names is not None and len(np.unique(names)) >= LEAST:
        donors, parts = parts_of_donors(codes[0], count, names)
    rows = []
    for k in range(count):
        row = {
            "component": k,
            "specificity": float(enriched[k]),
            "spill": float(spill[k]),
            "stability": float(stays[k]),
        }
        wrong = [
            said
            for said, fails in (
                ("not enriched", row["specificity"] < ENRICHED),
                ("not clean", row["spill"] > CLEAN),
                ("not stable", row["stability"] < STABLE),
            )
            if fails
        ]
        if parts is not None:
            part, most = parts[:, k], int(parts[:, k].argmax())
            row |= {
                "donors": float(1 / np.maximum(np.sum(part**2), 1e-30)),
                "largest_donor": str(donors[most]),
                "largest_part": float(part[most]),
            }
            if part[most] > max(CARRIED, 2 / len(donors)):
                wrong.append(ONE_DONOR)
        rows.append(row | {"verdict": ", ".join(wrong) or "sound"})
    return tuple(rows)


def stability(whole: Whole, plan: Plan, basis: NDArray) -> NDArray:
    """Of every target component the lower cosine to its partner in two fits, each on half of the
    rows, that go on from the basis where the fit of the choice does."""
    count, lowest = plan.n_components, np.ones(plan.n_components)
    for half in (0, 1):
        sets = InMemory(whole.half(half), None, None)
        (found,) = sets.fits(plan, whole.key[None], HALVES)
        similar = cosines(basis[:count], np.asarray(found.blocks["basis"])[:count])
        lowest = np.minimum(lowest, similar[np.arange(count), matched(similar)])
    return lowest


def told(rows: tuple[dict[str, Any], ...], outcome: str) -> str:
    """One sentence about all components, which says no more than the outcome of the choice.

    Components that describe rows well are no evidence: that is asked of other rows, or donors.
    """
    wrong = [
        f"component {row['component']} is {row['verdict']}{_donor(row)}"
        for row in rows
        if row["verdict"] != "sound"
    ]
    fine = (
        "stable in halves of these rows and rarer in the background" if outcome in BUT else "sound"
    )
    if wrong:
        said = f"{len(rows) - len(wrong)} of {len(rows)} components are {fine}: {'; '.join(wrong)}"
    else:
        said = f"{'every' if len(rows) > 1 else 'the'} component is {fine}"
    return f"{said}{BUT.get(outcome, '')}"


def _donor(row: dict[str, Any]) -> str:
    if ONE_DONOR not in row["verdict"]:
        return ""
    return f" ({row['largest_donor']} has {row['largest_part']:.0%} of its usage)"
