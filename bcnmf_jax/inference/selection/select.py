"""`select`: objective, contrast and numbers of components, chosen without labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bcnmf_jax.data.checks import check_integer, check_seed
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.inference.selection import rule
from bcnmf_jax.inference.selection._folds import TooFewError, folds, held_out_ratio
from bcnmf_jax.inference.selection._outside import (
    Objectives,
    by_name,
    candidates,
    check_objects,
    loss_of,
)
from bcnmf_jax.inference.selection._work import PLANTED, Work
from bcnmf_jax.inference.selection.candidates import KINDS
from bcnmf_jax.inference.selection.selection import Selection
from bcnmf_jax.inference.selection.thinning import counts_of
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.scale import scaled
from bcnmf_jax.objectives import NMF

RANKS = (1, 2, 3, 4, 5, 6)
BACKGROUND_RANKS = (2, 4, 6, 8, 12, 16)
SPLITS = 8


def select(
    data: dict,
    *,
    objectives: Sequence[str | AbstractObjective] = ("sequential",),
    alphas: Sequence[float] = (0.0,),
    ranks: Sequence[int] = RANKS,
    background_ranks: Sequence[int] = BACKGROUND_RANKS,
    loss: AbstractLoss | None = None,
    groups: dict | None = None,
    counts: dict | None = None,
    splits: int = SPLITS,
    random_state: int = 0,
    on_progress: Callable[[float], Any] | None = None,
) -> Selection:
    """Choose objective, contrast, and numbers of target and background components without labels.

    The rule is that of `bcnmf_jax.selection.rule`. Cost: ``splits`` fits of parts for every
    objective, contrast and (where components are not found in turn) number of components, twice.

    Parameters
    ----------
    data : dict
        ``{"target": X, "background": Y}``, one background.
    objectives : sequence of str or AbstractObjective
        In order of preference: "sequential", "background_first", "shared_target", "contrastive",
        each with all ``alphas``; or objects, which are tried as they are, with their own loss,
        alpha and extra components, and named by their class.
    alphas : sequence of float
        Contrasts per sample.
    ranks : sequence of int
        Numbers of target components; all up to the largest are tried, these can be chosen.
    background_ranks : sequence of int
        Numbers of background components, chosen by bi-cross-validation of the background.
    loss : AbstractLoss, optional
        By default squared error, or the loss of the objects.
    groups : dict, optional
        ``{"target": (n,), "background": (m,)}``: donors, mice, cell lines, which splits keep whole.
    counts : dict, optional
        ``{"target": (n, g), "background": (m, g)}``: raw counts of data that are ``log(1 + scaled
        counts)``, for the criterion ``thinned``. Data that are counts themselves need none.
    splits : int
        Random splits.
    random_state : int
    on_progress : callable, optional
        Is given the share that is done, from 0 to 1.

    Returns
    -------
    Selection

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says, names that are not known, and empty or impossible axes.
    """
    loss = loss_of(objectives) if loss is None else loss
    check(data, objectives, alphas, ranks, background_ranks, splits, random_state)
    made = by_name(objectives)
    x, y = _read(data, made, loss)
    for name, given in {"groups": groups, "counts": counts}.items():
        _check_sets(given, name)
    groups = groups or {}
    try:
        parts = folds(x, y, splits, random_state, groups.get("target"), groups.get("background"))
    except TooFewError as error:
        return _powerless(error, list(made), alphas, ranks, background_ranks)
    given, weigh = counts or {}, any(part.filled for fold in parts for part in fold)
    held = [counts_of(a, given.get(name), name) for name, a in (("target", x), ("background", y))]
    work = Work(x, y, parts, loss, random_state, weigh, (held[0], held[1]), made)
    on_progress = on_progress or (lambda share: None)
    on_progress(0.0)
    most, ratio = min(work.basis_rows, x.shape[1]), held_out_ratio(parts, groups.get("target"))
    widths = [k for k in background_ranks if k < most]
    if not widths:
        raise ValueError(f"background_ranks must hold a number below {most}: {background_ranks}")
    table, nets, kinds = [], [], candidates(made, alphas)
    over_splits = partial(_over_splits, splits, 1 + len(kinds), on_progress)
    crossed = np.stack(over_splits(0, lambda s: work.crossed(s, widths)))
    count = rule.background_rank(widths, crossed)
    frozen = [work.frozen(s, count) for s in range(splits)]
    for i, (objective, alpha) in enumerate(kinds):
        asked = objective, alpha, max(ranks)
        found = over_splits(i + 1, lambda s, asked=asked: work.candidate(s, *asked, frozen[s]))
        mine, gains = _rows(objective, alpha, ranks, found, ratio)
        table, nets = table + mine, nets + gains
    taken = rule.choose(table, nets, list(made))
    background = [
        {"n_background_components": k, "crossed": float(v)}
        for k, v in zip(widths, crossed.mean(0), strict=True)
    ]
    outcome, reason = _outcome(table, work, frozen, taken)
    if isinstance(own := made[taken["objective"]], AbstractObjective):
        count = own.extra
    return Selection(
        outcome, (reason,), taken["objective"], taken["alpha"], taken["n_components"], count,
        tuple(table), tuple(background),
    )  # fmt: skip


def _read(data: dict, made: Objectives, loss: AbstractLoss) -> tuple[NDArray, NDArray]:
    """Target and background, checked and scaled."""
    rows = prepare(data)
    if any(r.weights is not None for r in rows.values()):
        raise ValueError(
            "select takes neither weights nor masked values; choose on complete data, and fit with "
            "what was chosen"
        )
    check_objects(made, loss, rows)
    rows, _ = scaled(NMF(loss), rows)
    return np.asarray(rows["target"].x), np.asarray(rows["background"].x)


def _over_splits(
    splits: int, rounds: int, on_progress: Callable[[float], Any], round: int,
    work: Callable[[int], Any],
) -> list:  # fmt: skip
    """Work on every split, one of several rounds of the whole."""
    found = []
    for split in range(splits):
        found.append(work(split))
        on_progress((round * splits + split + 1) / (rounds * splits))
    return found


def _rows(
    objective: str, alpha: float, ranks: Sequence[int], found: list[dict], ratio: float
) -> tuple[list[dict], list[NDArray]]:
    """The table's rows of one objective and contrast, and their net gains in every split."""

    def values(name: str, what: str, at: int) -> NDArray:
        return np.stack([f[name][at][what] for f in found])  # (splits, 1 + widest)

    kinds = ("explained", "crossed", "thinned")
    gain, null = ({w: values(n, w, 1) for w in kinds} for n in ("target", "null"))
    spill, dead = values("target", "explained", 2), values("target", "dead", 1)
    bases = np.stack([f["target"][0] for f in found])  # (splits, widest, widest, g)
    rows, nets = [], []
    for k in ranks:
        more = lambda a, k=k: a[:, k] - a[:, 0]  # noqa: E731
        net = {w: more(gain[w]) - more(null[w]) for w in ("crossed", "thinned")}
        own = more(gain["explained"]), more(null["explained"])
        nets.append(own[0] - own[1])
        criteria = rule.summary(*own, ratio, net)
        rows.append(
            {"objective": objective, "alpha": float(alpha), "n_components": int(k)}
            | criteria
            | {
                "spill": float(more(spill).mean()),
                "stability": stability(bases[:, k - 1, :k]),
                "x_explained": float(gain["explained"][:, k].mean()),
                "y_explained": float(spill[:, k].mean()),
                "dead_features": float(dead[:, k].mean()),
            }
        )
    return rows, nets


def _outcome(table: list[dict], work: Work, frozen: list, taken: dict) -> tuple[str, str]:
    """Whether there is a contrast, and a sentence about it."""
    top = rule.best(table, len(frozen))
    said = (
        f"the largest net gain on held-out samples is {top['net']:.3g} of the target, "
        f"{top['certain']:.1f} standard errors from 0"
    )
    if any(rule.certain(table, len(frozen))):
        count = taken["n_components"]
        return "contrast found", (
            f"{said}; {taken['objective']} with {count} component{'s' * (count > 1)} reaches "
            f"{taken['net']:.3g}"
        )
    net = []
    for s, basis in enumerate(frozen):
        got = [
            work.measure(s, "sequential", 0.0, 1, basis, sets, None)[1]["explained"]
            for sets in (work.planted(s, basis), work.null(s))
        ]
        net.append(np.diff(got[0])[0] - np.diff(got[1])[0])
    # The planted program differs between splits; the error is that of the measured gains.
    if np.mean(net) > rule.limit(len(frozen)) * top["net_se"]:
        return "no contrast found", (
            f"{said}, while a program planted in the background, {PLANTED:g} times as strong "
            "as its median one, is found: the target holds nothing that the background lacks, or "
            "nothing that strong"
        )
    return "no power", (
        f"{said}, and a program planted in the background, {PLANTED:g} times as strong as "
        "its median one, is not found either: more samples are needed before absence means anything"
    )


def _check_sets(given: Any, name: str) -> None:
    """Raise for what is no pair of arrays by data set."""
    if given is not None and (
        not isinstance(given, dict) or set(given) != {"target", "background"}
    ):
        found = sorted(given) if isinstance(given, dict) else type(given).__name__
        raise ValueError(
            f'{name} must be {{"target": ..., "background": ...}}, one for each set; found {found}'
        )


def _powerless(error, names, alphas, ranks, background_ranks) -> Selection:
    """The answer where nothing can be split: the simplest setting, not recommended."""
    return Selection(
        "no power", (str(error),), names[0], float(min(alphas)), int(min(ranks)),
        int(min(background_ranks)), (), (),
    )  # fmt: skip


def stability(bases: NDArray) -> float:
    """Mean cosine of matched components over all pairs of splits; bases (splits, k, g)."""
    length = np.linalg.norm(bases, axis=2, keepdims=True)
    unit = bases / np.where(length > 0, length, 1)
    pairs = [(i, j) for i in range(len(unit)) for j in range(i)]
    cosines = [unit[i] @ unit[j].T for i, j in pairs]
    return float(np.mean([c[linear_sum_assignment(-c)].mean() for c in cosines]))


def check(data, objectives, alphas, ranks, background_ranks, splits, random_state) -> None:
    """Raise ValueError for axes that cannot be searched."""
    if set(data) != {"target", "background"} or isinstance(data["background"], list | dict):
        raise ValueError(
            'select needs one data["target"] and one data["background"]; stack several backgrounds '
            "and pass groups"
        )
    axes = {
        "objectives": objectives, "alphas": alphas, "ranks": ranks,
        "background_ranks": background_ranks,
    }  # fmt: skip
    for name, axis in axes.items():
        if isinstance(axis, str) or len(axis) == 0:
            raise ValueError(f"{name} must be a list with at least one value, found {axis!r}")
    if unknown := [o for o in objectives if not isinstance(o, AbstractObjective | str)]:
        raise TypeError(f"objectives must be names or objects, found {unknown[0]!r}")
    if unknown := [o for o in objectives if isinstance(o, str) and o not in KINDS]:
        raise ValueError(f"objectives must be among {KINDS}, or objects, found {unknown[0]!r}")
    for name in ("ranks", "background_ranks"):
        for i, rank in enumerate(axes[name]):
            check_integer(rank, f"{name}[{i}]")
    if not all(np.isfinite(a) and a >= 0 for a in alphas):
        raise ValueError(f"alphas must be finite and at least 0, found {alphas}")
    check_integer(splits, "splits", 2)
    check_seed(random_state, "random_state")
