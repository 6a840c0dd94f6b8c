"""`Unit`: one method and data set with the settings that are fitted together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import bcnmf_jax as bj
from bcnmf_jax.datasets import Dataset
from experiments.core.registry import LOSSES, METHODS
from experiments.core.schema import Alpha, Config, Method, Solver

#: The negative binomial has the same dispersion for every gene.
FITTED: dict[str, bj.AbstractLoss] = {
    "frobenius": bj.Frobenius(),
    "kl": bj.KL(),
    "negative_binomial": bj.NegativeBinomial(dispersion=0.2),
    "beta": bj.Beta(b=1.5),
    "roots": bj.Frobenius(),
}


def values(dataset: Dataset, scale: Any) -> dict[str, np.ndarray]:
    """A data set as it is, or on the scale of "roots" the square roots of its counts."""
    if scale == "roots":
        return {name: np.sqrt(x) for name, x in dataset.data("counts").items()}
    return dataset.data(scale)


@dataclass(frozen=True)
class Unit:
    """Settings of one method that are fitted together, so that what they share is computed once.

    That is the whole path for closed forms (one decomposition) and for background first (one basis
    of the background per restart), and one alpha of the others: what is finished is kept.
    """

    method: Method
    loss: str | None
    solver: Solver
    init: Any
    settings: tuple[tuple[int, Alpha], ...]

    @property
    def scale(self) -> str:
        """Of the data; of methods without a loss that of squared error."""
        its = METHODS[self.method.method]
        return its.scale if its.function else LOSSES[self.loss or "frobenius"].scale

    @property
    def extra(self) -> int:
        """Shared or frozen components: one where it is what bounds the contrast (`bj.BCNMF`)."""
        bounds = self.method.method == "bcnmf" and not FITTED[self.loss or "frobenius"].bounded
        return 1 if bounds else self.method.extra

    @property
    def options(self) -> dict[str, Any]:
        """Whatever is not standard."""
        standard = Solver()
        changed = {k: v for k, v in dict(self.solver).items() if v != getattr(standard, k)}
        if self.solver.name != "mu":
            changed = {
                "solver": self.solver.name,
                "parametrisation": self.solver.parametrisation,
                "learning_rate": self.solver.learning_rate,
            }
        if self.init != "random":
            changed["init"] = self.init
        if self.method.alpha_unit == "total":
            changed["alpha_mode"] = "total"
        if self.method.method == "combined":
            changed["overlap"] = self.method.overlap
            changed["overlap_form"] = "unit length" if self.method.normalised else "published"
        return changed | self.method.settings

    def identity(self, dataset: Dataset, rank: int, alpha: Alpha) -> dict[str, Any]:
        """The fields of a row that say what is fitted."""
        ratio = len(dataset.target) / len(dataset.background)
        options, total = self.options, None
        if alpha == "auto":
            options, alpha = {**options, "alpha_mode": "auto"}, None
        elif alpha is not None:
            is_total = self.method.alpha_unit == "total"
            total = float(alpha) if is_total else alpha * ratio
            alpha = float(alpha) / ratio if is_total else alpha
        default = self.method.default
        asked = (rank, "auto" if options.get("alpha_mode") == "auto" else alpha)
        return {
            "experiment": self.method.experiment,
            "method": self.method.method,
            "loss": self.loss,
            "alpha": alpha,
            "alpha_total": total,
            "rank": rank,
            "extra": self.extra or None,
            "options": options,
            "default": default is not None and asked == (default.rank, default.alpha),
        }


def units(config: Config) -> list[Unit]:
    """All that a configuration fits to one data set."""
    made = []
    for method in config.method:
        settings = config.settings(method)
        together = METHODS[method.method].closed or method.method == "background_first"
        groups = [settings] if together else _by_alpha(settings)
        for loss in method.losses or [None]:
            for solver in method.solvers:
                for init in method.inits:
                    made += [Unit(method, loss, solver, init, tuple(g)) for g in groups]
    return made


def _by_alpha(settings: list[tuple[int, Alpha]]) -> list[list[tuple[int, Alpha]]]:
    groups: dict[Alpha, list[tuple[int, Alpha]]] = {}
    for rank, alpha in settings:
        groups.setdefault(alpha, []).append((rank, alpha))
    return list(groups.values())
