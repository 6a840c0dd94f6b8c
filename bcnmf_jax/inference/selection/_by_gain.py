"""The choice by net gain on held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np

from bcnmf_jax.inference.selection import rule
from bcnmf_jax.inference.selection._folds import held_out_ratio
from bcnmf_jax.inference.selection._outside import candidates
from bcnmf_jax.inference.selection._work import Work
from bcnmf_jax.inference.selection.gains import measured, outcome
from bcnmf_jax.inference.selection.selection import Selection
from bcnmf_jax.model.objective import AbstractObjective

RANKS = {"separation": (1, 2, 3, 4, 5), "gain": (1, 2, 3, 4, 5, 6)}
BACKGROUND_RANKS = (2, 4, 6, 8, 12, 16)


class Rounds:
    """Work on splits, with its progress of a known number of parts."""

    def __init__(self, parts: int, on_progress: Callable[[float], Any]):
        self.parts, self.on_progress, self.done, self.lock = parts, on_progress, 0, Lock()

    def __call__(self, work: Callable[[int], Any], count: int) -> list:
        found = []
        for part in range(count):
            found.append(work(part))
            with self.lock:
                self.done += 1
                # Rounds that were not foreseen leave it where it is.
                if self.done <= self.parts:
                    self.on_progress(self.done / self.parts)
        return found


def by_gain(
    work: Work, alphas: Sequence[float], ranks: Sequence[int], background_ranks: Sequence[int],
    groups: dict, on_progress: Callable[[float], Any],
) -> Selection:  # fmt: skip
    """The candidate that `rule` takes."""
    splits, made = len(work.parts), work.kinds
    most, ratio = (
        min(work.basis_rows, work.x.shape[1]),
        held_out_ratio(work.parts, groups.get("target")),
    )
    widths = [k for k in background_ranks if k < most]
    if not widths:
        raise ValueError(f"background_ranks must hold a number below {most}: {background_ranks}")
    kinds = candidates(made, alphas)
    rounds = Rounds(splits * (1 + len(kinds)), on_progress)
    crossed = np.stack(rounds(lambda s: work.crossed(s, widths), splits))
    count = rule.background_rank(widths, crossed)
    frozen = [work.frozen(s, count) for s in range(splits)]
    table, nets, *_ = measured(work, kinds, ranks, frozen, ratio, lambda one: rounds(one, splits))
    taken = rule.choose(table, nets, list(made))
    background = [
        {"n_background_components": k, "crossed": float(v)}
        for k, v in zip(widths, crossed.mean(0), strict=True)
    ]
    said, reason = outcome(table, work, frozen)
    if said == "contrast found":
        reason = f"{reason}; {rule.described(taken)}"
    if isinstance(own := made[taken["objective"]], AbstractObjective):
        count = own.extra
    return Selection(
        said, (reason,), taken["objective"], taken["alpha"], taken["n_components"], count,
        tuple(table), tuple(background),
    )  # fmt: skip
