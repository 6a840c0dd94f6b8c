"""Net gains on held-out samples: the table of candidates, and whether there is a contrast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.inference._matching import cosines, matched
from bcnmf_jax.inference.selection import rule
from bcnmf_jax.inference.selection._work import PLANTED, Work

OverSplits = Callable[[Callable[[int], Any]], list]
"""Work on every split, in turn."""


MEASURED = (
    "gain", "null", "net", "net_se", "certain", "crossed", "thinned", "spill", "stability",
    "x_explained", "y_explained", "dead_features",
)  # fmt: skip
"""Columns of a candidate beside what it is."""


class Gains(NamedTuple):
    """Candidates measured on held-out samples.

    Attributes
    ----------
    table : list of dict
        One row per candidate.
    nets : list of ndarray (splits,)
        Their net gains.
    ranks : sequence of int
    bases : ndarray (splits, widest, widest, g)
        Components of the last kind at every number of them.
    """

    table: list[dict[str, Any]]
    nets: list[NDArray]
    ranks: Sequence[int]
    bases: NDArray


def measured(
    work: Work, kinds: Sequence[tuple[str, float]], ranks: Sequence[int], frozen: list,
    ratio: float, over_splits: OverSplits, *, brief: bool = False,
) -> Gains:  # fmt: skip
    """Net gains of kinds of objectives, each with its alpha, at every rank; ``brief`` as of
    `Work`."""
    table, nets, bases = [], [], np.zeros(0)
    for objective, alpha in kinds:
        asked = objective, alpha, max(ranks)
        found = over_splits(
            lambda s, asked=asked: work.candidate(s, *asked, frozen[s], brief=brief)
        )
        bases = np.stack([f["target"][0] for f in found])
        mine, gains = _rows(objective, alpha, ranks, found, bases, ratio)
        table, nets = table + mine, nets + gains
    return Gains(table, nets, ranks, bases)


def _rows(
    objective: str,
    alpha: float,
    ranks: Sequence[int],
    found: list[dict],
    bases: NDArray,
    ratio: float,
) -> tuple[list[dict], list[NDArray]]:
    """The table's rows of one objective and contrast, and their net gains in every split."""

    def values(name: str, what: str, at: int) -> NDArray:
        return np.stack([f[name][at][what] for f in found])  # (splits, 1 + widest)

    kinds = ("explained", "crossed", "thinned")
    gain, null = ({w: values(n, w, 1) for w in kinds} for n in ("target", "null"))
    spill, dead = values("target", "explained", 2), values("target", "dead", 1)
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


def outcome(
    table: list[dict], work: Work, frozen: list, widest: int = 1, *, brief: bool = False
) -> tuple[str, str]:
    """Whether there is a contrast, and a sentence about it; a planted program is looked for among
    ``widest`` components."""
    top = rule.best(table, len(frozen))
    said = (
        f"the largest net gain on held-out samples is {top['net']:.3g} of the target, "
        f"{top['certain']:.1f} standard errors from 0"
    )
    if any(rule.certain(table, len(frozen))):
        return "contrast found", said
    net = []
    for s, basis in enumerate(frozen):
        got = [
            work.measure(s, "sequential", 0.0, widest, basis, sets, None, brief=brief)[1][
                "explained"
            ]
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


def stability(bases: NDArray) -> float:
    """Mean cosine of matched components over all pairs of splits; bases (splits, k, g)."""
    every = np.arange(bases.shape[1])
    pairs = [cosines(bases[i], bases[j]) for i in range(len(bases)) for j in range(i)]
    return float(np.mean([c[every, matched(c)].mean() for c in pairs]))
