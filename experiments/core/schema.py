"""What a configuration of experiments may hold.

A configuration is a list of data sets and a list of methods; every method is fitted to every data
set.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from experiments.core.data_schema import Data, Strict, among, check_different
from experiments.core.registry import LOSSES, METHODS

Alpha = float | Literal["auto"] | None
RESERVED = ("alpha", "rank", "alpha_mode", "solver", "init", "damping", "inner_steps")
"""Options of rows that no setting of a method from outside may be named by."""


class Stop(Strict, frozen=True):
    """The stopping rule of every iterative fit; see ``bcnmf_jax.Stop``."""

    tol: float = Field(default=1e-3, ge=0)
    max_steps: int = Field(default=300, ge=1)


class Solver(Strict, frozen=True):
    """Multiplicative updates ("mu") or Adam on a parametrisation of the blocks ("adam")."""

    name: Literal["mu", "adam"] = "mu"
    damping: float = Field(default=1.0, gt=0, le=1)
    inner_steps: int = Field(default=1, ge=1)
    parametrisation: Literal["projected", "softplus", "log"] = "projected"
    learning_rate: float = Field(default=1e-2, gt=0)


class Default(Strict, frozen=True):
    """The one setting of a method that is the same for all data sets."""

    rank: int
    alpha: Alpha = None


class Method(Strict, frozen=True):
    """A method and the settings to fit it at: all of alphas x ranks, for each loss, solver, start.

    ``alphas`` are per sample, or with ``alpha_unit = "total"`` multiply the background's summed
    misfit as they are. ``extra`` counts shared or background components. ``overlap`` (combined
    basis) is in units of the target's misfit without structure. ``floors`` are values of
    ``eps``, the floor of a reconstruction, under each of which the reduced objective of the first
    fits is taken. ``settings`` are arguments of a method from outside.
    """

    method: str
    experiment: Literal[
        "main",
        "loss_solver",
        "damping",
        "initialisation",
        "alpha_rank",
        "readout",
        "alpha_unit",
        "objectives",
        "bounded",
        "families",
    ] = "main"
    losses: list[str] = Field(default=[])
    ranks: list[int] = Field(min_length=1)
    alphas: list[float | Literal["auto"]] = Field(default=[])
    alpha_unit: Literal["sample", "total"] = "sample"
    extra: int = Field(default=0, ge=0)
    overlap: float = Field(default=0.0, ge=0)
    normalised: bool = True
    floors: list[float] = Field(default=[])
    solvers: list[Solver] = Field(default=[Solver()], min_length=1)
    inits: list[Literal["random", "nndsvd"]] = Field(default=["random"], min_length=1)
    default: Default | None = None
    settings: dict[str, int | float | str | bool] = Field(default={})

    @field_validator("losses")
    @classmethod
    def _known_losses(cls, names: list[str]) -> list[str]:
        return [among(name, LOSSES, "which are all") for name in names]

    @field_validator("method")
    @classmethod
    def _known(cls, name: str) -> str:
        return among(name, METHODS, "or registered by a file in modules")

    @model_validator(mode="after")
    def _together(self) -> Method:
        """What one key asks of another."""
        name, its = self.method, METHODS[self.method]
        plain, outside = its.closed or its.function, its.function is not None
        numbers = [a for a in self.alphas if a != "auto"]
        problems = {
            f"losses: {name} has none; leave it out": plain and self.losses,
            f"losses: {name} needs at least one": not plain and not self.losses,
            f"losses: {name} takes frobenius only": name == "combined"
            and self.losses != ["frobenius"],
            f"alphas: {name} needs at least one": its.contrast and not self.alphas,
            f"alphas: {name} has none; leave it out": not its.contrast and self.alphas,
            'alphas: "auto" is for cpca only': "auto" in self.alphas and name != "cpca",
            f"settings: {name} has none; leave it out": self.settings and not outside,
            f"settings: {', '.join(RESERVED)} have other meanings": outside
            and set(self.settings) & set(RESERVED),
            f"solvers, inits, floors, overlap: {name} has none; leave them out": outside
            and self.model_fields_set & {"solvers", "inits", "floors", "overlap", "normalised"},
            "alphas: must be at least 0": any(a < 0 for a in numbers),
            "ranks: must be at least 1": min(self.ranks) < 1,
            f"extra: {name} needs at least 1": its.extra and not self.extra,
            f"extra: {name} has none; leave it out": not its.extra and self.extra,
            "default: must be among ranks and alphas": self.default
            and (self.default.rank, self.default.alpha) not in self.grid,
        }
        for problem, found in problems.items():
            if found:
                raise ValueError(problem)
        if its.function is not None:
            given = self.settings | ({"alpha": 1.0} if its.contrast else {})
            try:
                inspect.signature(its.function).bind(None, None, None, rank=1, **given)
            except TypeError as error:
                raise ValueError(f"settings: {error}") from None
        return self

    @property
    def grid(self) -> list[tuple[int, Alpha]]:
        """All (rank, alpha), alphas outermost."""
        return [(rank, alpha) for alpha in self.alphas or [None] for rank in self.ranks]


class Narrow(Strict, frozen=True):
    """A part of the grid, where all of it takes too long: settings with these ranks and alphas.

    The default setting always stays, and of a method without one at least the first setting.
    Methods without alpha, and "auto", are narrowed by rank only.
    """

    ranks: list[int]
    alphas: list[float]


class Quick(Strict, frozen=True):
    """What ``--quick`` changes beside keeping default settings alone; ``args`` are for the data."""

    restarts: int = Field(default=2, ge=1)
    max_steps: int = Field(default=50, ge=1)
    args: dict[str, int | float] = Field(default={})


class Config(Strict, frozen=True):
    """One configuration: every method on every data set.

    ``modules`` are files that register methods, from the folder of the configuration.
    """

    data: list[Data] = Field(min_length=1)
    method: list[Method] = Field(min_length=1)
    restarts: int = Field(default=20, ge=1)
    seed: int = Field(default=0, ge=0)
    stop: Stop = Stop()
    narrow: Narrow | None = None
    quick: Quick = Quick()
    modules: list[str] = Field(default=[])

    @model_validator(mode="after")
    def _different(self) -> Config:
        check_different(self.data)
        return self

    def hash(self, method: Method, data: Data) -> str:
        """Twelve hexadecimal digits of the SHA-256 of everything that the rows of one method on one
        data set depend on: other methods and data sets may come and go."""
        parts = {"method": method, "data": data, "stop": self.stop}
        told: dict[str, Any] = {k: v.model_dump(exclude_defaults=True) for k, v in parts.items()}
        told |= {"settings": self.settings(method), "restarts": self.restarts, "seed": self.seed}
        if its := METHODS[method.method].source:
            told["source"] = its
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def settings(self, method: Method) -> list[tuple[int, Alpha]]:
        """The (rank, alpha) at which ``method`` is fitted."""
        if self.narrow is None:
            return method.grid
        ranks, alphas = self.narrow.ranks, self.narrow.alphas
        default = method.default and (method.default.rank, method.default.alpha)
        kept: list[tuple[int, Alpha]] = [
            (rank, alpha)
            for rank, alpha in method.grid
            if (rank, alpha) == default
            or (rank in ranks and (not isinstance(alpha, float) or alpha in alphas))
        ]
        return kept or method.grid[:1]

    def quickened(self) -> Config:
        """The configuration that ``--quick`` runs."""
        data = [d.model_copy(update={"args": d.args | self.quick.args}) for d in self.data]
        stop = self.stop.model_copy(update={"max_steps": self.quick.max_steps})
        changes = {"data": data, "stop": stop, "restarts": self.quick.restarts}
        return self.model_copy(update=changes | {"narrow": Narrow(ranks=[], alphas=[])})
