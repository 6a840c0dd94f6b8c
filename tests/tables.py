"""The tables that every contract runs over: a new loss, objective or solver is one row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

import bcnmf_jax as bj
from bcnmf_jax.model.penalties import L1, L2

LOSSES = {
    "frobenius": bj.Frobenius(),
    "kl": bj.KL(),
    "beta 0.5": bj.Beta(0.5),
    "beta 1.5": bj.Beta(1.5),
    "beta 3": bj.Beta(3.0),
    "negative binomial": bj.NegativeBinomial(0.4),
}


@dataclass(frozen=True)
class Objective:
    """How to build an objective, and what holds for it.

    ``make(alpha, loss)``; ``data(rng)``; ``contrast``: the basis' cost depends on the background
    with a negative sign; ``nmf_at_zero``: alpha = 0 is plain NMF of the target; ``proven``: a
    multiplicative step of the basis is proven not to raise its cost; ``homogeneous``: scaling the
    data scales every cost.
    """

    make: Callable[..., bj.AbstractObjective]
    data: Callable[[np.random.Generator], dict]
    nmf_at_zero: bool = False
    proven: bool = True
    homogeneous: bool = True


def two_sets(rng):
    return {"target": rng.gamma(1, 1, (24, 15)), "background": rng.gamma(1, 1, (18, 15))}


def two_backgrounds(rng):
    return {**two_sets(rng), "background": [rng.gamma(1, 1, (n, 15)) for n in (11, 18)]}


def modalities(rng):
    draw = lambda n: {"a": rng.gamma(1, 1, (n, 15)), "b": rng.gamma(1, 1, (n, 9))}  # noqa: E731
    return {"target": draw(24), "background": draw(18)}


def penalised(alpha, loss):
    penalties = (
        L1("target", 0.3), L2("target", 0.2), L2("background", 0.1), L1("basis", 0.2),
        L2("basis", 0.5),
    )  # fmt: skip
    return bj.Contrastive(alpha, loss, penalties)


OBJECTIVES = {
    "nmf": Objective(lambda alpha, loss: bj.NMF(loss), two_sets, nmf_at_zero=True),
    "contrastive": Objective(bj.Contrastive, two_sets, nmf_at_zero=True),
    "several backgrounds": Objective(
        lambda alpha, loss: bj.Contrastive(np.array([0.4, 1.0]) * alpha, loss),
        two_backgrounds,
        nmf_at_zero=True,
    ),
    "multimodal": Objective(bj.objectives.Multimodal, modalities),
    "combined": Objective(
        lambda alpha, loss: bj.objectives.CombinedBasis(alpha, loss),
        two_sets,
        proven=False,
        homogeneous=False,
    ),
    "combined, published": Objective(
        lambda alpha, loss: bj.objectives.CombinedBasis(alpha, loss, normalised=False),
        two_sets,
        homogeneous=False,
    ),
    "shared + target": Objective(
        lambda alpha, loss: bj.objectives.SharedTarget(2, alpha, loss), two_sets
    ),
    "background first": Objective(lambda alpha, loss: bj.BackgroundFirst(2, alpha, loss), two_sets),
    "penalised": Objective(penalised, two_sets, homogeneous=False),
    "overlap": Objective(
        lambda alpha, loss: bj.Contrastive(alpha, loss, (bj.penalties.Overlap(0.5),)),
        two_sets,
        proven=False,
        homogeneous=False,
    ),
}

SOLVERS: dict[str, Any] = {
    "mu": bj.MU(),
    "mu damped": bj.MU(damping=0.5),
    "mu inner": bj.MU(inner_steps=3),
    "mu extrapolated": bj.MU(extrapolation=0.9),
    "mu chunks": bj.MU(chunk=7),
    "hals": bj.HALS(),
    "hals plain": bj.HALS(inner_steps=1, extrapolation=0.0, chunk=7),
    "variable projection": bj.solvers.VarPro(),
    "adam projected": bj.solvers.Optax(optax.adam(1e-2)),
    "adam softplus": bj.solvers.Optax(optax.adam(1e-2), "softplus"),
    "adamw projected": bj.solvers.Optax(optax.adamw(1e-2, weight_decay=0.5)),
    "sgd log": bj.solvers.Optax(optax.sgd(1e-3), "log"),
}
