"""The choice by separation: candidates read on all rows, existence on held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.inference.selection import rule
from bcnmf_jax.inference.selection._by_gain import Rounds
from bcnmf_jax.inference.selection._donors import carried, drawn
from bcnmf_jax.inference.selection._evidence import Evidence
from bcnmf_jax.inference.selection._gains import MEASURED, Gains
from bcnmf_jax.inference.selection._outside import Objectives, candidates
from bcnmf_jax.inference.selection._separation import DISTINCT, excess, separation
from bcnmf_jax.inference.selection._whole import Whole
from bcnmf_jax.inference.selection._work import Work
from bcnmf_jax.inference.selection.selection import Selection
from bcnmf_jax.model.objective import AbstractObjective

ALPHAS = {"balanced": (1.5,), "contrastive": (0.5, 1.0, 1.5, 2.0), "shared_target": (0.0, 1.0)}
"""Contrasts that are tried; of the objectives that freeze a basis of the background it is 0, since
a contrast there harms where the background holds some of the target's programs."""
IN_TURN = ("sequential", 0.0)
"""What existence is asked of, and whose components of the splits are candidates themselves."""
READ_SPLITS = 3
"""Splits whose components are read on all rows; of their scores the middle one counts."""
NEAR = 0.05
"""Share of the highest score that fewer components may lack."""
STARTED = ("balanced", "sequential")
"""Objectives whose fit goes on from the basis of the candidate."""
SCORED = ("score", "silhouette", "clusters", "specificity", "excess")


class Choice(NamedTuple):
    """A choice, and the basis that the fit of it goes on from.

    Attributes
    ----------
    selection : Selection
    start : ndarray (K + B, g), optional
        Target components of the candidate, then the background's; None for objectives that are
        fitted from random starts.
    together : bool
        Whether components in turn are refitted together. Donors are the reason not to: what they
        share comes first, what one of them carries next, and together the two mix.
    """

    selection: Selection
    start: NDArray | None = None
    together: bool = True


class Scored(NamedTuple):
    """A candidate on all rows.

    Attributes
    ----------
    row : dict
        What it is, and its separation.
    basis : ndarray (K + B, g)
        Target components, then the background's.
    codes : ndarray (n, K + B)
        Of the target.
    """

    row: dict[str, Any]
    basis: NDArray
    codes: NDArray


def by_separation(
    gather: Callable[[], Whole], work: Work | None, few: ValueError | None,
    alphas: Sequence[float] | None, ranks: Sequence[int], made: Objectives, groups: dict,
    random_state: int, on_progress: Callable[[float], Any],
) -> Choice:  # fmt: skip
    """The candidate that `preferred` takes; ``gather`` gives all rows, ``few`` says why there is no
    work on splits."""
    own = lambda name: ALPHAS.get(name, (0.0,)) if alphas is None else alphas  # noqa: E731
    kinds = [kind for name in made for kind in candidates({name: made[name]}, own(name))]
    by_donors = None
    if work is not None and len(groups) == 2:
        by_donors = drawn((work.x, work.y), groups, random_state)
    rounds = Rounds(len(kinds) + (0 if work is None else len(work.parts)), on_progress)
    scored: list[Scored] = []

    def evidence() -> tuple[Evidence, Gains, str, str]:
        assert work is not None
        with jax.enable_x64(work.x.dtype == np.float64):  # the precision of JAX is a thread's
            held = Evidence(work, groups, rounds)
            gains, outcome, said = held.exists(IN_TURN, by_donors)
            return held, gains, outcome, said

    # Neither needs the other, and both compile for as long as they compute.
    with ThreadPoolExecutor(1) as pool:
        pending = None if work is None else pool.submit(evidence)
        whole = gather()

        def score(kind: tuple[str, float], count: int, basis: NDArray) -> Scored:
            about = {"objective": kind[0], "alpha": float(kind[1]), "n_components": int(count)}
            read = whole.codes(basis)
            return Scored(about | separation(*read, count, random_state), basis, read[0])

        for kind in kinds:
            if kind == IN_TURN and pending is not None:
                continue
            bases = rounds(lambda _, k=kind: whole.bases(*k, made[k[0]], max(ranks)), 1)[0]
            scored += [score(kind, k, whole.beside(bases[k - 1, :k])) for k in ranks]
        held = None if pending is None else pending.result()
    gains, outcome, said = None, "no power", str(few)
    if held is not None:
        source, gains, outcome, said = held
        for count in set(ranks) & set(gains.ranks) if IN_TURN in kinds else ():
            tried = [
                score(IN_TURN, count, source.basis(gains, s, count)) for s in range(READ_SPLITS)
            ]
            scored.append(sorted(tried, key=lambda one: one.row["score"])[len(tried) // 2])
    best = preferred(scored)
    row = best.row
    row["excess"] = excess(best.codes, row["n_components"], row["clusters"], random_state)
    start, together, said = best.basis, True, f"{said}; {_described(row)}"
    if row["excess"] < DISTINCT and held is not None and IN_TURN in kinds:
        source, _, _, reason = held
        together = by_donors is None
        gains, row = source.by_degree(IN_TURN, not together and outcome == "contrast found")
        said = (
            f"{reason}; no candidate sets distinct groups apart (excess {best.row['excess']:.2g}): "
            f"held-out gain gives the number of components, {rule.described(row)}"
        )
    name, objective, shared = row["objective"], made.get(row["objective"]), len(whole.frozen)
    count = row["n_components"]
    if (name, row["alpha"]) == IN_TURN:
        # Those of the splits know some of the rows alone.
        start = whole.beside(whole.bases(*IN_TURN, made[name], count)[count - 1])
    reasons = [said]
    if "target" in groups:
        reasons += carried(whole.codes(start)[0], count, whole.of_target(groups["target"]))
    on_progress(1.0)
    selection = Selection(
        outcome, tuple(reasons), name, row["alpha"], count,
        objective.extra if isinstance(objective, AbstractObjective) else shared,
        _merged([one.row for one in scored], gains), (),
    )  # fmt: skip
    return Choice(selection, start if name in STARTED and together else None, together)


def preferred(scored: list[Scored]) -> Scored:
    """The candidate that the rule takes: of those near the highest score the ones of fewest
    components, and of these the highest."""
    near = (1 - NEAR) * max(one.row["score"] for one in scored)
    left = [one for one in scored if one.row["score"] >= near]
    fewest = min(one.row["n_components"] for one in left)
    return max(
        (one for one in left if one.row["n_components"] == fewest), key=lambda one: one.row["score"]
    )


def _described(row: dict[str, Any]) -> str:
    count = row["n_components"]
    contrast = f" at a contrast of {row['alpha']:g}" if row["alpha"] else ""
    return (
        f"{row['objective']} with {count} component{'s' * (count > 1)}{contrast} sets "
        f"{int(row['clusters'])} groups of the target apart (silhouette {row['silhouette']:.2f}, "
        f"specificity {row['specificity']:.2f})"
    )


def _merged(rows: list[dict], gains: Gains | None) -> tuple[dict[str, Any], ...]:
    """Rows with all columns, None where a candidate was not measured."""
    key = lambda row: (row["objective"], row["alpha"], row["n_components"])  # noqa: E731
    held = {} if gains is None else {key(row): row for row in gains.table}
    blank = dict.fromkeys(("objective", "alpha", "n_components", *SCORED, *MEASURED))
    joined = [blank | row | held.pop(key(row), {}) for row in rows]
    return tuple(joined + [blank | row for row in held.values()])
