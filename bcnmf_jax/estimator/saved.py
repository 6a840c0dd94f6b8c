"""`load`: saved models as estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import bcnmf_jax
import bcnmf_jax.estimator.model_files as model_files
from bcnmf_jax.estimator._fitted import is_fitted_name
from bcnmf_jax.estimator.bcnmf import BCNMF
from bcnmf_jax.estimator.parameters import AUTO, OBJECTIVES, check_parameters
from bcnmf_jax.inference.selection.selection import Selection
from bcnmf_jax.model.objective import AbstractObjective

NEEDED = ("components_", "background_components_", "n_features_in_")
BASES = ("components_", "background_components_", "background_basis_")
KINDS: dict[str, type] = {
    "n_background_components_": int, "result_": str, "diagnostics_": dict,
    "restarts_": dict,
}  # fmt: skip
"""Fitted attributes and what they are."""


def load(folder: str | Path) -> BCNMF:
    """A model that `BCNMF.save` saved, by this version or an earlier one.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it holds no model.
    ValueError
        For files that are not of this format, that a newer version wrote, or that were cut short or
        changed; for an objective, loss or solver of a module that has not been imported.
    OSError
        If other processes replace it for long.
    """
    stored = model_files.read(folder)
    parameters, fitted = stored.parameters, stored.fitted
    unknown = set(parameters) - set(BCNMF().get_params())
    unknown |= {name for name in fitted if not is_fitted_name(name)}
    if stored.kind != BCNMF.__name__ or unknown or "components_" not in fitted:
        raise ValueError(
            f"{str(folder)!r} holds a {stored.kind} of bcnmf_jax {stored.version} that this "
            f"version ({bcnmf_jax.__version__}) does not know {sorted(unknown)}"
        )
    if isinstance(parameters.get("objective"), AbstractObjective):
        # Stored before what was not given was "auto".
        parameters |= {"alpha": AUTO} if parameters.get("alpha") == 1.0 else {}
    parameters.setdefault("n_top_features", None)  # versions without it fitted all features
    model = BCNMF(**parameters)
    try:
        if fitted.get("selection_") is not None:
            fitted["selection_"] = Selection.from_dict(fitted["selection_"])
        check_parameters(model)
        _check_fitted(fitted)
    except (TypeError, ValueError, OverflowError) as error:
        said = " ".join(str(error).split())  # arrays are shown in several lines
        raise ValueError(f"{str(folder)!r} does not hold a model as it is saved: {said}") from error
    for name, value in fitted.items():
        setattr(model, name, value)
    return model


def _check_fitted(fitted: dict[str, Any]) -> None:
    """Raise ValueError for fitted attributes with which samples cannot be read."""
    if lacking := [name for name in NEEDED if name not in fitted]:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    width = fitted["n_features_in_"]
    if type(width) is not int:
        raise ValueError(f"n_features_in_ must be an integer, found {width!r:.60}")
    for name in BASES:
        basis = fitted.get(name, np.empty((0, width)))
        if not isinstance(basis, np.ndarray) or basis.dtype.kind != "f" or basis.ndim != 2:
            raise ValueError(f"{name} must be a matrix of floats, found {type(basis).__name__}")
        if basis.shape[1] != width or (basis < 0).any():
            raise ValueError(
                f"{name} must be nonnegative and have {width} features, found shape {basis.shape}"
            )
    if len(fitted["components_"]) == 0:
        raise ValueError("components_ is empty")
    seen = fitted.get("features_", np.ones(width, bool))
    if not isinstance(seen, np.ndarray) or seen.dtype != bool or seen.shape != (width,):
        raise ValueError(f"features_ must be {width} booleans, found {seen!r:.60}")
    if not seen.any():
        raise ValueError("features_ has no feature")
    names = fitted.get("feature_names_in_")
    if names is not None and (not isinstance(names, np.ndarray) or names.shape != (width,)):
        raise ValueError(f"feature_names_in_ must be {width} names, found {np.shape(names)}")
    for name, kind in KINDS.items():
        if name in fitted and not isinstance(fitted[name], kind):
            raise ValueError(f"{name} must be {kind.__name__}, found {fitted[name]!r:.60}")
    objective = fitted.get("objective_", "nmf")
    if not isinstance(objective, AbstractObjective) and objective not in OBJECTIVES:
        raise ValueError(f"objective_ must be one of {OBJECTIVES}, found {fitted['objective_']!r}")
