"""`select`: objective, contrast and numbers of components, chosen without labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.data.checks import check_integer, check_seed
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.inference._reading import read_some
from bcnmf_jax.inference.features import check_top_features
from bcnmf_jax.inference.progress import heard
from bcnmf_jax.inference.selection._by_gain import BACKGROUND_RANKS, RANKS, Rounds, by_gain
from bcnmf_jax.inference.selection._by_separation import (
    IN_TURN,
    Choice,
    by_separation,
    gathered,
)
from bcnmf_jax.inference.selection._folds import TooFewError, folds
from bcnmf_jax.inference.selection._outside import Objectives, by_name, check_objects, loss_of
from bcnmf_jax.inference.selection._whole import Whole
from bcnmf_jax.inference.selection._work import Work
from bcnmf_jax.inference.selection.candidates import KINDS
from bcnmf_jax.inference.selection.selection import Selection
from bcnmf_jax.inference.selection.thinning import counts_of
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.scale import scaled
from bcnmf_jax.objectives import NMF

OBJECTIVES = ("balanced", "sequential")
CRITERIA = ("separation", "gain")
SPLITS = 8


def select(
    data: dict,
    *,
    objectives: Sequence[str | AbstractObjective] = OBJECTIVES,
    alphas: Sequence[float] | None = None,
    ranks: Sequence[int] | None = None,
    background_ranks: Sequence[int] = BACKGROUND_RANKS,
    loss: AbstractLoss | None = None,
    groups: dict | None = None,
    counts: dict | None = None,
    splits: int = SPLITS,
    criterion: str = "separation",
    n_top_features: int | str | None = "auto",
    random_state: int = 0,
    on_progress: Callable[[float], Any] | None = None,
    verbose: bool | None = None,
) -> Selection:
    """Choose objective, contrast, and numbers of target and background components without labels.

    Whether there is a contrast at all is asked of held-out samples: components beyond a basis of
    the background must explain more of the target than as many do, found in the same way, of the
    background itself. Which candidate describes it is a question of its own, which held-out gain
    does not answer: it follows energy, and a criterion chooses.

    Parameters
    ----------
    data : dict
        ``{"target": X, "background": Y}``, one background: arrays, frames, SciPy's sparse matrices
        or sources of rows (`source`). Of more than 4,096 rows of a set about as many are read, in
        pieces from all over it; ``reasons`` of the result say so.
    objectives : sequence of str or AbstractObjective
        In order of preference: "balanced", "sequential", "background_first", "shared_target",
        "contrastive", each with all ``alphas``; or objects, which are tried as they are, with
        their own loss, alpha and extra components, and named by their class.
    alphas : sequence of float, optional
        Contrasts per sample. By default 1.5 of "balanced" (and 1 with one and two components where
        groups are barely distinct and the background has 400 rows), 0 of what freezes a basis of
        the background, several of others; of the criterion "gain" 0.
    ranks : sequence of int, optional
        Numbers of target components that can be chosen; by default 1 to 5, of "gain" 1 to 6.
    background_ranks : sequence of int
        For "gain": numbers of background components, chosen by bi-cross-validation.
    loss : AbstractLoss, optional
        By default squared error, or the loss of the objects.
    groups : dict, optional
        ``{"target": (n,), "background": (m,)}``: donors, mice, cell lines, which splits keep whole.
    counts : dict, optional
        ``{"target": (n, g), "background": (m, g)}``: raw counts of data that are ``log(1 + scaled
        counts)``, for the value ``thinned``. Data that are counts themselves need none.
    splits : int
        Random splits.
    criterion : {"separation", "gain"}
        "separation" takes the candidate whose components set groups of the target apart that the
        background lacks (`bcnmf_jax.inference.selection.separation`); where no candidate has
        distinct groups, the objective that is not "balanced" and the number of components of
        "gain". "gain" takes the net gain on held-out samples (`bcnmf_jax.inference.selection.rule`)
        for everything, and costs ``splits`` fits of parts for every objective and contrast.
    n_top_features : int, None or "auto"
        Features that are read, those with most to explain, as of `BCNMF`: "auto" takes 3,000 of
        more than 5,000, but all where a plain contrast or an object is among the objectives, and of
        a loss with a value for each feature; None takes all. ``reasons`` say so.
    random_state : int
    on_progress : callable, optional
        Is given the share that is done, from 0 to 1.
    verbose : bool, optional
        False shows no progress; else what takes more than two seconds does, where nothing else
        listens.

    Returns
    -------
    Selection

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says, names that are not known, empty or impossible axes, and a number
        of features where none can be chosen.
    """
    with heard("choosing", on_progress, verbose) as tell:
        return choose(
            data, objectives=objectives, alphas=alphas, ranks=ranks,
            background_ranks=background_ranks, loss=loss, groups=groups, counts=counts,
            splits=splits, criterion=criterion, n_top_features=n_top_features,
            random_state=random_state, on_progress=tell,
        ).selection  # fmt: skip


def choose(
    data: dict, *, objectives: Sequence[str | AbstractObjective] = OBJECTIVES,
    alphas: Sequence[float] | None = None, ranks: Sequence[int] | None = None,
    background_ranks: Sequence[int] = BACKGROUND_RANKS, loss: AbstractLoss | None = None,
    groups: dict | None = None, counts: dict | None = None, splits: int = SPLITS,
    criterion: str = "separation", n_top_features: int | str | None = "auto",
    random_state: int = 0, on_progress: Callable[[float], Any] | None = None,
) -> Choice:  # fmt: skip
    """Choice of `select`, with the basis that a fit goes on from."""
    loss = loss_of(objectives) if loss is None else loss
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {CRITERIA}, found {criterion!r}")
    if criterion == "gain":
        alphas = (0.0,) if alphas is None else alphas
    asked, ranks = ranks, RANKS[criterion] if ranks is None else ranks
    axes = {"objectives": objectives, "ranks": ranks, "background_ranks": background_ranks}
    check(data, axes | ({} if alphas is None else {"alphas": alphas}), splits, random_state)
    made = by_name(objectives)
    dealt = _dealt(data, made, loss, groups, counts, splits, random_state, n_top_features)
    work, groups = dealt.work, dealt.groups
    on_progress = on_progress or (lambda share: None)
    on_progress(0.0)
    if criterion == "separation":
        choice = by_separation(
            lambda: Whole(dealt.x, dealt.y, loss, random_state), work, dealt.few, alphas, asked,
            made, groups, random_state, on_progress,
        )  # fmt: skip
    elif work is None:
        choice = Choice(_powerless(dealt.few, list(made), alphas, ranks, background_ranks))
    else:
        assert alphas is not None
        choice = Choice(by_gain(work, alphas, ranks, background_ranks, groups, on_progress))
    found = choice.selection
    return choice._replace(selection=replace(found, reasons=(*found.reasons, *dealt.said)))


def contrast_alone(
    data: dict, *, groups: dict | None = None, loss: AbstractLoss | None = None,
    splits: int = SPLITS, random_state: int = 0,
) -> tuple[str, str]:  # fmt: skip
    """Whether there is a contrast, as `select` answers it, and what says so; nothing is chosen.

    Parameters
    ----------
    data, groups, loss, splits, random_state
        As of `select`.

    Returns
    -------
    str, str
        "contrast found", "no contrast found" or "no power", and a sentence.

    Raises
    ------
    TypeError, ValueError
        As `select`.
    """
    axes = {"objectives": IN_TURN[:1], "ranks": (1,), "background_ranks": (1,)}
    check(data, axes, splits, random_state)
    made = by_name(IN_TURN[:1])
    loss = loss_of(IN_TURN[:1]) if loss is None else loss
    dealt = _dealt(data, made, loss, groups, None, splits, random_state, "auto")
    if dealt.work is None:
        return "no power", str(dealt.few)
    rounds = Rounds(splits, lambda _: None)
    configured = [getattr(jax.config, f"jax_default_{n}") for n in ("matmul_precision", "device")]
    held = gathered(dealt.work, dealt.groups, rounds, random_state, *configured)
    return held.outcome, held.said


class _Dealt(NamedTuple):
    """Both sets, checked and scaled, and the work on their splits; without it ``few`` says why."""

    x: NDArray
    y: NDArray
    groups: dict[str, NDArray]
    work: Work | None
    few: TooFewError | None
    said: tuple[str, ...]


def _dealt(
    data: dict, made: Objectives, loss: AbstractLoss, groups: dict | None, counts: dict | None,
    splits: int, random_state: int, n_top_features: int | str | None,
) -> _Dealt:  # fmt: skip
    """What is read of both sets, and dealt into splits."""
    check_top_features(n_top_features)
    for name, given in {"groups": groups, "counts": counts}.items():
        _check_sets(given, name)
    read = read_some(data, groups, counts, n_top_features, list(made.values()), loss)
    rows = prepare(read.data)
    check_objects(made, loss, rows)
    rows, _ = scaled(NMF(loss), rows)
    x, y = np.asarray(rows["target"].x), np.asarray(rows["background"].x)
    groups, given = read.groups or {}, read.counts or {}
    own, other = (counts_of(a, given.get(n), n) for n, a in (("target", x), ("background", y)))
    try:
        parts = folds(x, y, splits, random_state, groups.get("target"), groups.get("background"))
    except TooFewError as error:
        return _Dealt(x, y, groups, None, error, read.said)
    weigh = any(part.filled for fold in parts for part in fold)
    work = Work(x, y, parts, loss, random_state, weigh, (own, other), made)
    return _Dealt(x, y, groups, work, None, read.said)


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


def check(data: dict, axes: dict[str, Any], splits: int, random_state: int) -> None:
    """Raise ValueError for axes that cannot be searched."""
    if set(data) != {"target", "background"} or isinstance(data["background"], list | dict):
        raise ValueError(
            'select needs one data["target"] and one data["background"]; stack several backgrounds '
            "and pass groups"
        )
    for name, axis in axes.items():
        if isinstance(axis, str) or len(axis) == 0:
            raise ValueError(f"{name} must be a list with at least one value, found {axis!r}")
    if unknown := [o for o in axes["objectives"] if not isinstance(o, AbstractObjective | str)]:
        raise TypeError(f"objectives must be names or objects, found {unknown[0]!r}")
    if unknown := [o for o in axes["objectives"] if isinstance(o, str) and o not in KINDS]:
        raise ValueError(f"objectives must be among {KINDS}, or objects, found {unknown[0]!r}")
    for name in ("ranks", "background_ranks"):
        for i, rank in enumerate(axes[name]):
            check_integer(rank, f"{name}[{i}]")
    if not all(np.isfinite(a) and a >= 0 for a in axes.get("alphas", ())):
        raise ValueError(f"alphas must be finite and at least 0, found {axes['alphas']}")
    check_integer(splits, "splits", 2)
    check_seed(random_state, "random_state")
