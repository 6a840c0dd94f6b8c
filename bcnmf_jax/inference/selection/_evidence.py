"""Net gains of components in turn, beyond bases of parts of the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.inference.selection import rule
from bcnmf_jax.inference.selection._by_gain import Rounds
from bcnmf_jax.inference.selection._folds import held_out_ratio
from bcnmf_jax.inference.selection._whole import shared_rank
from bcnmf_jax.inference.selection._work import Work
from bcnmf_jax.inference.selection.donors import Donors, by_exchange
from bcnmf_jax.inference.selection.gains import Gains, measured, outcome

EXISTS = (1, 2)
"""Numbers of components that say whether there is a contrast."""
BY_DEGREE = ((1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 6, 8, 10, 12))
"""Numbers of components where the target varies by degree; the second where the first ends in its
largest."""


class Evidence:
    """Work on splits beside small bases of the background, one for each."""

    def __init__(self, work: Work, groups: dict, rounds: Rounds):
        self.work, self.rounds, self.splits = work, rounds, len(work.parts)
        self.ratio = held_out_ratio(work.parts, groups.get("target"))
        count = shared_rank(work.basis_rows, work.x.shape[1])
        self.frozen = [work.frozen(s, count) for s in range(self.splits)]

    def at(self, kind: tuple[str, float], ranks: Sequence[int], *, brief: bool = False) -> Gains:
        """Net gains at every rank."""
        over = lambda one: self.rounds(one, self.splits)  # noqa: E731
        return measured(self.work, [kind], ranks, self.frozen, self.ratio, over, brief=brief)

    def of_contrast(
        self, kind: tuple[str, float], donors: Donors | None
    ) -> tuple[Gains, str, str]:  # fmt: skip
        """Whether there is a contrast, and what says so: of donors, where they can be exchanged,
        else of splits."""
        gains = self.at(kind, EXISTS, brief=True)
        if donors is not None:
            return gains, *by_exchange(donors, self.work.loss, self.work.seed)
        return gains, *outcome(gains.table, self.work, self.frozen, max(EXISTS), brief=True)

    def by_degree(
        self, kind: tuple[str, float], known: bool, asked: Sequence[int] | None
    ) -> tuple[Gains, dict[str, Any]]:
        """Net gains of more and more components, or of the numbers that are asked for, and the row
        that is taken; of all of them, where it is ``known`` that there is a contrast."""
        for ranks in BY_DEGREE if asked is None else (asked,):
            gains = self.at(kind, ranks)
            sure = {"certain": np.inf} if known else {}
            rows = [row | sure for row in gains.table]
            taken = rule.choose(rows, gains.nets, [kind[0]])
            if taken["n_components"] < ranks[-1]:
                break
        return gains, taken

    def basis(self, gains: Gains, split: int, count: int) -> NDArray:
        """Components of a split, then its basis of the background."""
        return np.concatenate([gains.bases[split][count - 1, :count], self.frozen[split]])
