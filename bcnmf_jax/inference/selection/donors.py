"""Existence where donors are the units: donors exchanged between target and background.

The statistic is what two components in turn explain of the target beyond a basis of the background,
both fitted to the same rows: however much that overfits, it does so in every arrangement alike, and
its rank among them is exact where donors are exchangeable (Fisher 1935; Phipson & Smyth 2010).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.inference._arrangements import Arrangement, arrangements
from bcnmf_jax.inference.selection._heldout import HeldOut, evaluate
from bcnmf_jax.inference.selection._whole import shared_rank
from bcnmf_jax.inference.selection._work import PLANTED, planted_part
from bcnmf_jax.inference.selection.candidates import fit_background, make
from bcnmf_jax.metrics.readout import divided
from bcnmf_jax.model.loss import AbstractLoss

LEAST, LEAST_PAIRS, EXCHANGES = 3, 5, 39
"""Fewest donors a side, or pairs, that can be exchanged in 20 ways; exchanges beside the observed
arrangement where there are more."""
LEVEL = 0.05
ROWS, COMPONENTS = 100, 2
CARRIED = 0.6
"""Share of a component's usage by which one donor carries it."""


class Donors(NamedTuple):
    """As many rows of every donor of both sets.

    Attributes
    ----------
    rows : ndarray (donors, rows, g)
        Those of the target first.
    counts : tuple of int
    paired : bool
        Donors of both sets, at the same place of each.
    shared : int
        Donors of both sets that are exchanged as if they were two; 0 of pairs.
    """

    rows: NDArray
    counts: tuple[int, int]
    paired: bool
    shared: int = 0


def drawn(sets: tuple[NDArray, NDArray], groups: dict[str, Any], seed: int) -> Donors | None:
    """Rows of every donor; None where exchanges could show nothing."""
    names = [np.asarray(groups[n]).astype(str) for n in ("target", "background")]
    found = [np.unique(own) for own in names]
    common = np.intersect1d(found[0], found[1])
    paired, shared = len(common) >= LEAST_PAIRS, 0
    if paired:
        found = [common, common]
    else:
        alone = [np.setdiff1d(own, common) for own in found]
        if min(map(len, alone)) >= LEAST:
            found = alone
        elif min(map(len, found)) < LEAST:
            return None
        else:
            # Too few pairs to exchange within them. As if a donor of both sets were two, there are
            # more arrangements, and those that set a donor's samples against each other, as the
            # observed one does, have the smallest gains where such samples are alike.
            shared = len(common)
    rng = np.random.default_rng(seed)
    members = [[x[own == g] for g in mine] for x, own, mine in zip(sets, names, found, strict=True)]
    size = min(ROWS, max(len(m) for side in members for m in side))
    rows = [_draw(m, size, rng) for side in members for m in side]
    return Donors(np.stack(rows), (len(found[0]), len(found[1])), paired, shared)


def _draw(rows: NDArray, size: int, rng: np.random.Generator) -> NDArray:
    """``size`` of the rows; where there are fewer, all of them, and some again."""
    again = rng.choice(len(rows), max(size - len(rows), 0))
    return rows[np.concatenate([rng.permutation(len(rows))[:size], again])]


def by_exchange(donors: Donors, loss: AbstractLoss, seed: int) -> tuple[str, str]:
    """Whether there is a contrast between donors, and a sentence about it."""
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    places, exact = arrangements(*donors.counts, donors.paired, EXCHANGES, rng)
    gains = np.array([_gain(donors, at, loss, key) for at in places])
    p, least = float(np.mean(gains >= gains[0])), 1 / len(gains)
    how = "all" if exact else "a random"
    said = (
        f"components explain {gains[0]:.3g} of the target beyond the background, and that much or "
        f"more in {p:.0%} of {how} {len(gains)} arrangements of "
        f"{'pairs' if donors.paired else 'donors'} (p = {p:.2g}; the smallest possible is "
        f"{least:.2g})"
    )
    if donors.shared:
        said = f"{said}; {donors.shared} donors of both sets count as two each"
    if p <= LEVEL:
        return "contrast found", said
    middle = places[int(np.argsort(gains)[len(gains) // 2])]
    strong = _gain(donors, middle, loss, key, planted=True)
    if strong > gains.max():
        return "no contrast found", (
            f"{said}, while a program planted in one side of an arrangement, {PLANTED:g} times as "
            "strong as the median one, stands out: donors of the target share nothing that those "
            "of the background lack, or nothing that strong"
        )
    return "no power", (
        f"{said}, and a program planted in one side of an arrangement, {PLANTED:g} times as strong "
        "as the median one, does not stand out either: more donors are needed, not more samples of "
        "these"
    )


def _gain(
    donors: Donors, at: Arrangement, loss: AbstractLoss, key: jax.Array, *, planted: bool = False
) -> float:
    """Explained share of the target of an arrangement, beyond its background."""
    width = donors.rows.shape[2]
    target, background = (
        Rows(jnp.asarray(donors.rows[side].reshape(-1, width)))
        for side in (at.target, at.background)
    )
    count = shared_rank(*background.x.shape)
    frozen = fit_background(background, [count], count, loss, key)[0]
    if planted:
        rng = np.random.default_rng(0)
        target = Rows(target.x + planted_part(target, np.asarray(frozen), loss, rng))
    made = make("sequential", 0.0, loss, count)
    held = HeldOut(target)
    found = evaluate(
        "sequential", made, COMPONENTS, frozen, background, target, held, None, None, key
    )[1]["explained"]
    return float(found[-1] - found[0])


def parts_of_donors(codes: NDArray, count: int, names: NDArray) -> tuple[NDArray, NDArray]:
    """Donors, and the part that each has of the usage of every target component, (donors, count),
    from full codes of the target."""
    donors = np.unique(names)
    share = divided(codes, codes.sum(1))[:, :count]
    usage = np.stack([share[names == d].mean(0) for d in donors])
    return donors, usage / np.maximum(usage.sum(0), 1e-30)
