"""Parameters of `BCNMF`: checked, and as the plan of a fit."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from bcnmf_jax.data.checks import MOST_INTEGER, check_integer, check_seed, check_several
from bcnmf_jax.estimator._automatic import automatic
from bcnmf_jax.estimator._fit_data import FitData
from bcnmf_jax.estimator._inputs import stacked
from bcnmf_jax.fitting.balanced import ALPHA
from bcnmf_jax.fitting.callbacks import Callbacks
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.fitting.stop import most_steps
from bcnmf_jax.inference.features import check_top_features
from bcnmf_jax.model.losses import as_loss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.solvers.solver import AbstractSolver

AUTO, DEFAULT = "auto", 10
"""Value of a parameter that is chosen, and number of components without anything to choose from."""
CONTRASTS = {"balanced": ALPHA, "background_first": 0.0, "sequential": 0.0}
"""Contrasts of objectives for which it needs no choice."""
BESIDE = tuple(CONTRASTS)
"""Objectives whose last components are a basis of the background."""
OBJECTIVES = ("nmf", "contrastive", "published", "shared_target", *BESIDE)
MISSING = ("raise", "mask")


def check_parameters(model: Any) -> None:
    """Raise ValueError for a parameter out of range."""
    for name in ("n_components", "n_background_components", "n_restarts", "max_iter"):
        value = getattr(model, name)
        if name == "n_components" and is_auto(value):
            continue
        most = most_steps() if name == "max_iter" else MOST_INTEGER
        check_integer(value, name, 1, most, " or 'auto'" if name == "n_components" else "")
    check_top_features(model.n_top_features)
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
    if isinstance(model.objective, AbstractObjective | None):
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
    for name, default in (("alpha", AUTO), ("loss", "frobenius")):
        value = getattr(model, name)
        if isinstance(value, np.ndarray) or value != default:
            raise ValueError(
                f"{name} belongs to the objective, {objective!r}; give it there and leave {name}= "
                "out"
            )


def is_auto(value: Any) -> bool:
    """Whether a parameter is to be chosen."""
    return isinstance(value, str) and value == AUTO


def planned(model: Any, given: FitData, callbacks: Callbacks) -> Plan:
    """The parameters with the values that a fit of these data takes.

    Raises
    ------
    ValueError
        For an objective that needs a background where there is none, or one of one row.
    """
    count = DEFAULT if is_auto(model.n_components) else int(model.n_components)
    shared, objective, alpha = int(model.n_background_components), model.objective, model.alpha
    if isinstance(objective, AbstractObjective):
        contrast = np.asarray(getattr(objective, "alpha", np.nan), float)
        contrast = float(contrast) if contrast.ndim == 0 else contrast
        return Plan(objective, contrast, count, shared, objective.loss, model.solver)
    if given.background is None:
        if objective in BESIDE:
            raise ValueError(f"objective={objective!r} needs background=")
        objective = "nmf"
    loss = as_loss(model.loss)
    if objective == "nmf":
        return Plan(objective, 0.0, count, shared, loss, model.solver)
    if is_auto(alpha) and objective in CONTRASTS:
        alpha = CONTRASTS[objective]
    asked = {"n_components": model.n_components, "alpha": alpha}
    chosen = {name: None if is_auto(value) else value for name, value in asked.items()}
    if objective is None and None not in chosen.values():
        objective = "contrastive"
    if objective not in ("contrastive", "published"):
        check_several(given.target.shape[0], "X")
        check_several(stacked(given.background).shape[0], "background")
    if objective in (None, AUTO) or None in chosen.values():
        named = None if objective in (None, AUTO) else objective
        return automatic(
            given, loss, objective=named, groups=given.groups,
            on_progress=callbacks.stage("choosing"), **chosen,
        )._replace(solver=model.solver)  # fmt: skip
    alpha = float(alpha) if np.ndim(alpha) == 0 else np.asarray(alpha, float)
    return Plan(objective, alpha, count, shared, loss, model.solver)
