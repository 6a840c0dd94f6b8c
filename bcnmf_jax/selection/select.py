"""`select`: objective, contrast and numbers of components, chosen without labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bcnmf_jax.data import prepare
from bcnmf_jax.losses import AbstractLoss, Frobenius
from bcnmf_jax.objectives import NMF
from bcnmf_jax.selection import rule
from bcnmf_jax.selection.folds import Fold, Part, TooFewError, folds
from bcnmf_jax.selection.heldout import KINDS, cross_validate, evaluate, fold_background
from bcnmf_jax.selection.selection import Selection
from bcnmf_jax.terms import Rows
from bcnmf_jax.transform import transform

RANKS = (1, 2, 3, 4, 5, 6)
BACKGROUND_RANKS = (2, 4, 6, 8, 12, 16)
SPLITS = 8


def select(
    data: dict,
    *,
    objectives: Sequence[str] = ("sequential",),
    alphas: Sequence[float] = (0.0,),
    ranks: Sequence[int] = RANKS,
    background_ranks: Sequence[int] = BACKGROUND_RANKS,
    loss: AbstractLoss | None = None,
    groups: dict | None = None,
    splits: int = SPLITS,
    seed: int = 0,
    progress: Callable[[float], Any] | None = None,
) -> Selection:
    """Choose objective, contrast, and numbers of target and background components without labels.

    The rule is that of `bcnmf_jax.selection.rule`. Cost: ``splits`` fits of halves for every
    objective, contrast and (where components are not found in turn) number of components, twice.

    Parameters
    ----------
    data : dict
        ``{"target": X, "background": Y}``, one background.
    objectives : sequence of {"sequential", "background_first", "shared_target", "contrastive"}
        In order of preference.
    alphas : sequence of float
        Contrasts per sample.
    ranks : sequence of int
        Numbers of target components; all up to the largest are tried, these can be chosen.
    background_ranks : sequence of int
        Numbers of background components, chosen by bi-cross-validation of the background.
    loss : AbstractLoss, optional
        By default squared error.
    groups : dict, optional
        ``{"target": (n,), "background": (m,)}``: donors, mice, cell lines, which splits keep whole.
    splits : int
        Random splits.
    seed : int
    progress : callable, optional
        Is given the share that is done, from 0 to 1.

    Returns
    -------
    Selection

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says, names that are not known, and empty or impossible axes.
    """
    loss = Frobenius() if loss is None else loss
    check(data, objectives, alphas, ranks, background_ranks, splits)
    rows = prepare(data)
    x, y = np.asarray(rows["target"].x), np.asarray(rows["background"].x)
    groups = groups or {}
    try:
        parts = folds(x, y, splits, seed, groups.get("target"), groups.get("background"))
    except TooFewError as error:
        return _powerless(error, objectives, alphas, ranks, background_ranks)
    work = Work(x, y, parts, loss, seed, "target" in groups or "background" in groups)
    tell = progress or (lambda share: None)
    tell(0.0)
    most = min(work.half, x.shape[1])
    widths = [k for k in background_ranks if k < most]
    if not widths:
        raise ValueError(f"background_ranks must hold a number below {most}: {background_ranks}")
    crossed = np.stack([work.crossed(s, widths) for s in range(splits)])
    count = rule.background_rank(widths, crossed)
    table, steps = [], len(objectives) * len(alphas) * splits
    frozen = [work.frozen(s, count) for s in range(splits)]
    for i, (objective, alpha) in enumerate((o, a) for o in objectives for a in alphas):
        found = []
        for s in range(splits):
            found.append(work.candidate(s, objective, alpha, max(ranks), frozen[s]))
            tell((i * splits + s + 1) / steps)
        table += _rows(objective, alpha, ranks, found)
    taken = rule.choose(table, objectives)
    background = [
        {"n_background_components": k, "crossed": float(v)}
        for k, v in zip(widths, crossed.mean(0), strict=True)
    ]
    outcome, reason = _outcome(table, work, frozen, taken)
    return Selection(
        outcome, (reason,), taken["objective"], taken["alpha"], taken["n_components"], count,
        tuple(table), tuple(background),
    )  # fmt: skip


class Work:
    """The compiled programs of a selection, on the rows of each split."""

    def __init__(
        self, x: NDArray, y: NDArray, parts: list[Fold], loss: AbstractLoss, seed: int, weigh: bool
    ):
        self.x, self.y, self.parts, self.loss, self.weigh = x, y, parts, loss, weigh
        self.key = jax.random.key(seed)
        order = np.random.default_rng(seed).permutation(x.shape[1])
        read, predicted = np.split(order, [len(order) // 2])
        self.halves = jnp.asarray(np.sort(read)), jnp.asarray(np.sort(predicted))
        self.half = len(parts[0].basis.rows)

    def rows(self, values: NDArray, part: Part) -> Rows:
        """The rows of a part; weights only where parts can be filled up."""
        v = jnp.asarray(part.weights, values.dtype)[:, None] if self.weigh else None
        return Rows(jnp.asarray(values[part.rows]), v)

    def own(self, split: int, what: int):
        """A key for each use of each split."""
        return jax.random.fold_in(jax.random.fold_in(self.key, split), what)

    def crossed(self, split: int, ranks: list[int]) -> NDArray:
        """Bi-cross-validated share of the background at each number of components."""
        part = self.parts[split]
        train, test = self.rows(self.y, part.basis), self.rows(self.y, part.null_test)
        key = self.own(split, 0)
        return np.asarray(
            cross_validate(train, test, self.loss, max(ranks), jnp.asarray(ranks), self.halves, key)
        )

    def frozen(self, split: int, rank: int):
        """The background's basis of a split."""
        rows = self.rows(self.y, self.parts[split].basis)
        return fold_background(rows, rank, rank, self.loss, self.own(split, 1))

    def measure(
        self, split: int, kind: str, alpha: float, widest: int, frozen, sets, other: Rows | None
    ) -> Any:
        """Components from the first of two sets of rows, and what they explain of the second and of
        ``other`` rows, beside a basis of the background."""
        train, test = sets
        found = evaluate(
            kind, jnp.asarray(alpha, self.x.dtype), self.loss, widest, frozen,
            self.rows(self.y, self.parts[split].basis), train, test, other, self.halves,
            self.own(split, 2),
        )  # fmt: skip
        return jax.tree.map(np.asarray, found)

    def null(self, split: int) -> list[Rows]:
        """Two parts of the background, one in the target's place and one held out."""
        part = self.parts[split]
        return [self.rows(self.y, p) for p in (part.null_train, part.null_test)]

    def candidate(self, split: int, kind: str, alpha: float, widest: int, frozen) -> dict:
        """What a split says of the target and, as the null, of the background in its place."""
        part, null = self.parts[split], self.null(split)
        target = [self.rows(self.x, p) for p in (part.train, part.test)]
        asked = kind, alpha, widest, frozen
        return {
            "target": self.measure(split, *asked, target, null[1]),
            "null": self.measure(split, *asked, null, None),
        }

    def planted(self, split: int, frozen) -> list[Rows]:
        """The background in the target's place, with a program in it as strong as the median one of
        the background: its loadings on permuted features, its usage on permuted samples."""
        rng = np.random.default_rng([split, 1])
        basis, shuffled = np.asarray(frozen), rng.permutation(frozen.shape[1])
        rows, plain = self.null(split), NMF(self.loss)
        codes = [np.asarray(transform(plain, {"basis": frozen}, {"target": r.x})) for r in rows]
        used = codes[0].sum(0) * basis.sum(1)
        j = int(np.argsort(used)[len(used) // 2])
        sets = []
        for held, usage in zip(rows, codes, strict=True):
            more = np.outer(rng.permutation(usage[:, j]), basis[j, shuffled])
            more = more if self.loss.bounded else rng.poisson(more)
            sets.append(Rows(held.x + jnp.asarray(more, held.x.dtype), held.v))
        return sets


def _rows(objective: str, alpha: float, ranks: Sequence[int], found: list[dict]) -> list[dict]:
    """The table's rows of one objective and contrast."""

    def values(name: str, what: str, at: int) -> NDArray:
        return np.stack([f[name][at][what] for f in found])  # (splits, 1 + widest)

    gain, null = (
        {w: values(n, w, 1) for w in ("explained", "crossed")} for n in ("target", "null")
    )
    spill, dead = values("target", "explained", 2), values("target", "dead", 1)
    bases = np.stack([f["target"][0] for f in found])  # (splits, widest, widest, g)
    rows = []
    for k in ranks:
        more = lambda a, k=k: a[:, k] - a[:, 0]  # noqa: E731
        net_crossed = more(gain["crossed"]) - more(null["crossed"])
        criteria = rule.summary(more(gain["explained"]), more(null["explained"]), net_crossed)
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
    return rows


def _outcome(table: list[dict], work: Work, frozen: list, taken: dict) -> tuple[str, str]:
    """Whether there is a contrast, and a sentence about it."""
    top = rule.best(table)
    said = (
        f"the largest net gain on held-out samples is {top['net']:.3g} of the target, "
        f"{top['certain']:.1f} standard errors from 0"
    )
    if rule.found(table):
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
    # What is planted differs between splits; the error is that of what was measured.
    if np.mean(net) > rule.CERTAIN * taken["net_se"]:
        return "no contrast found", (
            f"{said}, while a program planted in the background, as strong as its median one, is "
            "found: the target holds nothing that the background lacks, or nothing that strong"
        )
    return "no power", (
        f"{said}, and a program planted in the background, as strong as its median one, is not "
        "found either: more samples are needed before absence means anything"
    )


def _powerless(error, objectives, alphas, ranks, background_ranks) -> Selection:
    """The answer where nothing can be split: the simplest setting, not recommended."""
    return Selection(
        "no power", (str(error),), objectives[0], float(min(alphas)), int(min(ranks)),
        int(min(background_ranks)), (), (),
    )  # fmt: skip


def stability(bases: NDArray) -> float:
    """Mean cosine of matched components over all pairs of splits; bases (splits, k, g)."""
    length = np.linalg.norm(bases, axis=2, keepdims=True)
    unit = bases / np.where(length > 0, length, 1)
    pairs = [(i, j) for i in range(len(unit)) for j in range(i)]
    cosines = [unit[i] @ unit[j].T for i, j in pairs]
    return float(np.mean([c[linear_sum_assignment(-c)].mean() for c in cosines]))


def check(data, objectives, alphas, ranks, background_ranks, splits) -> None:
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
    if unknown := [o for o in objectives if o not in KINDS]:
        raise ValueError(f"objectives must be among {KINDS}, found {unknown[0]!r}")
    for name in ("ranks", "background_ranks"):
        if not all(isinstance(k, int | np.integer) and k >= 1 for k in axes[name]):
            raise ValueError(f"{name} must be integers of at least 1, found {axes[name]}")
    if not all(np.isfinite(a) and a >= 0 for a in alphas):
        raise ValueError(f"alphas must be finite and at least 0, found {alphas}")
    if isinstance(splits, bool) or not isinstance(splits, int) or splits < 2:
        raise ValueError(f"splits must be an integer of at least 2, found {splits!r}")
