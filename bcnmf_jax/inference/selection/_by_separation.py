"""The choice by separation: candidates read on all rows, existence on held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.inference.selection import rule
from bcnmf_jax.inference.selection._by_gain import RANKS, Rounds
from bcnmf_jax.inference.selection._evidence import Evidence
from bcnmf_jax.inference.selection._outside import Objectives, candidates
from bcnmf_jax.inference.selection._verdict import judged, told
from bcnmf_jax.inference.selection._whole import Whole
from bcnmf_jax.inference.selection._work import Work
from bcnmf_jax.inference.selection.donors import drawn
from bcnmf_jax.inference.selection.gains import MEASURED, Gains
from bcnmf_jax.inference.selection.selection import Selection
from bcnmf_jax.inference.selection.separation import DISTINCT, excess, separation
from bcnmf_jax.model.objective import AbstractObjective

ALPHAS = {"balanced": (1.5,), "contrastive": (0.5, 1.0, 1.5, 2.0), "shared_target": (0.0, 1.0)}
"""Contrasts that are tried; of the objectives that freeze a basis of the background it is 0, since
a contrast there harms where the background holds some of the target's programs."""
BARELY = 0.15
"""Excess below which a weaker contrast is tried too."""
WEAK, WEAK_RANKS, WEAK_ROWS = 1.0, (1, 2), 400
"""A contrast at the transitions of a balanced background, numbers of components that are tried of
it, and rows of the background from which on: of fewer it fits the noise, which looks like groups
that they lack. Where groups are distinct it may take shared ones that are rare in the background.
"""
IN_TURN = ("sequential", 0.0)
"""Objective and contrast of the evidence, whose components of the splits are candidates too."""
READ_SPLITS = 3
"""Splits whose components are read on all rows; of their scores the middle one counts."""
NEAR = 0.05
"""Share of the highest score that fewer components, or an objective that stands before others, may
lack."""
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
    """

    selection: Selection
    start: NDArray | None = None


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


class Held(NamedTuple):
    """Evidence of held-out samples, or of exchanged donors.

    Attributes
    ----------
    evidence : Evidence
    gains : Gains
    outcome, said : str
    by_donors : bool
        Whether donors were exchanged.
    """

    evidence: Evidence
    gains: Gains
    outcome: str
    said: str
    by_donors: bool


def weaker(
    alphas: Sequence[float] | None, ranks: Sequence[int], made: Objectives, rows: int
) -> list[tuple[float, int]]:
    """Settings of the weak contrast, where nothing else was asked for and the background has enough
    rows."""
    if alphas is not None or made.get("balanced") != "balanced" or rows < WEAK_ROWS:
        return []
    return [(WEAK, k) for k in ranks if k in WEAK_RANKS]


def by_separation(
    gather: Callable[[], Whole], work: Work | None, few: ValueError | None,
    alphas: Sequence[float] | None, asked: Sequence[int] | None, made: Objectives, groups: dict,
    random_state: int, on_progress: Callable[[float], Any],
) -> Choice:  # fmt: skip
    """The candidate that `preferred` takes; ``gather`` gives all rows, ``few`` says why there is no
    work on splits."""
    ranks = RANKS["separation"] if asked is None else asked
    own = lambda name: ALPHAS.get(name, (0.0,)) if alphas is None else alphas  # noqa: E731
    kinds = [kind for name in made for kind in candidates({name: made[name]}, own(name))]
    # Contrasts of one objective are fitted side by side; components in turn by themselves.
    runs = []
    for name in made:
        mine = [kind for kind in kinds if kind[0] == name]
        runs += [mine] if name != IN_TURN[0] else [[kind] for kind in mine]
    rounds = Rounds(len(runs) + (0 if work is None else len(work.parts)), on_progress)
    configured = [getattr(jax.config, f"jax_default_{n}") for n in ("matmul_precision", "device")]
    asks = partial(gathered, work, groups, rounds, random_state, *configured)
    scored: list[Scored] = []
    # Neither needs the other, and both compile for as long as they compute.
    with ThreadPoolExecutor(1) as pool:
        pending = None if work is None else pool.submit(asks)
        whole = gather()
        score = partial(_scored, whole, made, random_state)
        for run in runs:
            if run != [IN_TURN] or pending is None:
                settings = [(alpha, k) for _, alpha in run for k in ranks]
                (found,) = rounds(lambda _, n=run[0][0], s=settings: score(n, s), 1)
                scored += found
        held = None if pending is None else pending.result()
    if held is not None and IN_TURN in kinds:
        for count in sorted(set(ranks) & set(held.gains.ranks)):
            splits = range(min(READ_SPLITS, held.evidence.splits))
            bases = [held.evidence.basis(held.gains, s, count) for s in splits]
            read = [_read(whole, random_state, IN_TURN, count, basis) for basis in bases]
            scored.append(sorted(read, key=lambda one: one.row["score"])[len(read) // 2])
        # Of numbers that were asked for, all.
        if (asked is not None or len(kinds) == 1) and (more := set(ranks) - set(held.gains.ranks)):
            scored += score(IN_TURN[0], [(IN_TURN[1], k) for k in sorted(more)])
    best, distinct = _best(scored, list(made), random_state)
    weak = weaker(alphas, ranks, made, len(whole.background.x))
    if weak and distinct < BARELY:
        scored += score("balanced", weak)
        best, distinct = _best(scored, list(made), random_state, (best, distinct))
    best.row["excess"] = distinct
    chosen = _taken(whole, scored, best, held, kinds, asked, made, groups, few)
    on_progress(1.0)
    return chosen


def gathered(
    work: Any, groups: dict, rounds: Rounds, random_state: int, precision: Any, device: Any
) -> Held:
    """Evidence of whether there is a contrast, in a thread to which these settings of JAX
    belong."""
    donors = drawn((work.x, work.y), groups, random_state) if len(groups) == 2 else None
    with (
        jax.enable_x64(work.x.dtype == np.float64),
        jax.default_matmul_precision(precision),
        jax.default_device(device),
    ):
        evidence = Evidence(work, groups, rounds)
        return Held(evidence, *evidence.of_contrast(IN_TURN, donors), donors is not None)


def _scored(
    whole: Whole, made: Objectives, random_state: int, name: str, settings: list[tuple[float, int]]
) -> list[Scored]:
    """Candidates of an objective at several contrasts and numbers of components."""
    bases = whole.bases(name, made[name], settings)
    return [
        _read(whole, random_state, (name, alpha), k, whole.beside(basis))
        for (alpha, k), basis in zip(settings, bases, strict=True)
    ]


def _read(
    whole: Whole, random_state: int, kind: tuple[str, float], count: int, basis: NDArray
) -> Scored:
    about = {"objective": kind[0], "alpha": float(kind[1]), "n_components": int(count)}
    read = whole.codes(basis)
    return Scored(about | separation(*read, count, random_state), basis, read[0])


def _best(
    scored: list[Scored], order: Sequence[str], seed: int, known: tuple[Scored, float] | None = None
) -> tuple[Scored, float]:
    """The candidate that is preferred, and its excess, unless it is the one of which that is
    known."""
    best = preferred(scored, order)
    if known is not None and best is known[0]:
        return known
    return best, excess(best.codes, best.row["n_components"], best.row["clusters"], seed)


def _taken(
    whole: Whole, scored: list[Scored], best: Scored, held: Held | None, kinds: list, asked: Any,
    made: Objectives, groups: dict, few: ValueError | None,
) -> Choice:  # fmt: skip
    """The candidate by separation, or by degree, and what is said of it."""
    row, basis, together = best.row, best.basis, True
    outcome, gains = ("no power", None) if held is None else (held.outcome, held.gains)
    said = f"{few if held is None else held.said}; {_described(row)}"
    if row["excess"] < DISTINCT:
        said = f"{said}; these groups are not distinct (excess {row['excess']:.2g})"
    if row["excess"] < DISTINCT and held is not None and IN_TURN in kinds:
        together = not held.by_donors
        known = held.by_donors and outcome == "contrast found"
        gains, row = held.evidence.by_degree(IN_TURN, known, asked)
        said = (
            f"{held.said}; the best candidate sets no distinct groups apart (excess "
            f"{best.row['excess']:.2g}): held-out gain gives the number of components, "
            f"{rule.described(row)}"
        )
    name, count, shared = row["objective"], row["n_components"], len(whole.frozen)
    if (name, row["alpha"]) == IN_TURN:
        # Those of the splits know some of the rows alone.
        basis = whole.beside(whole.bases(name, made[name], [(row["alpha"], count)])[0])
    if isinstance(objective := made[name], AbstractObjective):
        shared = objective.extra
    start = basis if name in STARTED and together else None
    plan = Plan(objective, row["alpha"], count, shared, whole.loss, start=start, together=together)
    names = whole.of_target(groups["target"]) if "target" in groups else None
    parts = judged(whole, plan, basis, names)
    selection = Selection(
        outcome, (said, told(parts, outcome)), name, row["alpha"], count, shared,
        _merged([one.row for one in scored], gains), (), parts, together,
    )  # fmt: skip
    return Choice(selection, start)


def preferred(scored: list[Scored], order: Sequence[str]) -> Scored:
    """The candidate that the rule takes: of those near the highest score the ones of fewest
    components, of these the ones of the objective that stands first in ``order``, and of these the
    highest. Scores as near as that do not tell a charged contrast, in which a batch costs, from
    components that may describe one."""
    near = (1 - NEAR) * max(one.row["score"] for one in scored)
    left = [one for one in scored if one.row["score"] >= near]
    rank = lambda one: (one.row["n_components"], order.index(one.row["objective"]))  # noqa: E731
    first = min(map(rank, left))
    return max((one for one in left if rank(one) == first), key=lambda one: one.row["score"])


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
