"""Parameters of `BCNMF`: checked, and as the plan of a fit."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from bcnmf_jax.data.checks import MOST_INTEGER, check_integer, check_seed
from bcnmf_jax.estimator._automatic import automatic
from bcnmf_jax.estimator._fit_data import FitData
from bcnmf_jax.fitting.callbacks import Callbacks
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.fitting.stop import most_steps
from bcnmf_jax.model.losses import as_loss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.solvers.solver import AbstractSolver

AUTO = "auto"
FIRST = ("background_first", "sequential")
OBJECTIVES = ("nmf", "contrastive", "published", "shared_target", *FIRST)
MISSING = ("raise", "mask")


def check_parameters(model: Any) -> None:
    """Raise ValueError for a parameter out of range."""
    for name in ("n_components", "n_background_components", "n_restarts", "max_iter"):
        value = getattr(model, name)
        if name == "n_components" and is_auto(value):
            continue
        most = most_steps() if name == "max_iter" else MOST_INTEGER
        check_integer(value, name, 1, most, " or 'auto'" if name == "n_components" else "")
    if model.random_state is not None and not isinstance(model.random_state, np.random.RandomState):
        check_seed(model.random_state, "random_state")
    alpha = [] if is_auto(model.alpha) else model.alpha
    alphas = alpha if isinstance(alpha, list | tuple | np.ndarray) else [alpha]
    for name, values in (("alpha", alphas), ("tol", [model.tol])):
        if not all(isinstance(v, Real) and 0 <= float(v) < np.inf for v in values):
            choice = ", one per background, or 'auto'" if name == "alpha" else ""
            raise ValueError(
                f"{name} must be a number of at least 0{choice}, found {getattr(model, name)!r}"
            )
    as_loss(model.loss)
    if not isinstance(model.solver, AbstractSolver | None):
        raise TypeError(f"solver must be a solver like MU(), or None, found {model.solver!r}")
    choices: dict[str, tuple[str, ...]] = {"objective": (*OBJECTIVES, AUTO), "missing": MISSING}
    if isinstance(model.objective, AbstractObjective):
        _check_object(model)
        del choices["objective"]
    for name, allowed in choices.items():
        if getattr(model, name) not in allowed:
            more = ", or an objective" * (name == "objective")
            raise ValueError(
                f"{name} must be one of {allowed}{more}, found {getattr(model, name)!r}"
            )


def _check_object(model: Any) -> None:
    """Raise ValueError for parameters that contradict an objective that is an object."""
    objective = model.objective
    if objective.modalities:
        raise ValueError(
            f"objective={type(objective).__name__} takes modalities, which BCNMF does not; use "
            "bj.fit, or bj.tl.multimodal"
        )
    for name, default in (("alpha", 1.0), ("loss", "frobenius")):
        value = getattr(model, name)
        if isinstance(value, np.ndarray) or value != default:
            raise ValueError(
                f"{name} belongs to the objective, {objective!r}; give it there and leave {name}= "
                "out"
            )
    if is_auto(model.n_components):
        raise ValueError(
            "n_components='auto' chooses for named objectives; give a number beside an object, or "
            "choose with bj.select"
        )


def is_auto(value: Any) -> bool:
    """Whether a parameter is to be chosen."""
    return isinstance(value, str) and value == AUTO


def planned(model: Any, given: FitData, callbacks: Callbacks) -> Plan:
    """The parameters with the values that a fit of these data takes.

    Raises
    ------
    ValueError
        For an objective that needs a background where there is none.
    """
    if isinstance(model.objective, AbstractObjective):
        contrast = np.asarray(getattr(model.objective, "alpha", np.nan), float)
        return Plan(
            model.objective, float(contrast) if contrast.ndim == 0 else contrast,
            int(model.n_components), int(model.n_background_components), model.objective.loss,
            model.solver,
        )  # fmt: skip
    names = ("n_components", "alpha", "objective")
    if any(is_auto(getattr(model, name)) for name in names):
        asked = {n: None if is_auto(v := getattr(model, n)) else v for n in names}
        return automatic(
            given, as_loss(model.loss), groups=given.groups,
            on_progress=callbacks.stage("choosing"), **asked,
        )._replace(solver=model.solver)  # fmt: skip
    objective, alpha = model.objective, model.alpha
    if given.background is None:
        if objective in FIRST:
            raise ValueError(f"objective={objective!r} needs background=")
        objective = "nmf"
    alpha = 0.0 if objective == "nmf" else alpha
    return Plan(
        objective,
        float(alpha) if np.ndim(alpha) == 0 else np.asarray(alpha, float),
        int(model.n_components),
        int(model.n_background_components),
        as_loss(model.loss),
        model.solver,
    )
