"""`load`: saved models as estimators."""

from __future__ import annotations

from pathlib import Path

import bcnmf_jax
import bcnmf_jax.model_files as model_files
from bcnmf_jax.estimator import BCNMF
from bcnmf_jax.fitted import is_fitted_name
from bcnmf_jax.selection.selection import Selection


def load(folder: str | Path) -> BCNMF:
    """A model that `BCNMF.save` saved, by this version or an earlier one.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it holds no model.
    ValueError
        For files that are not of this format, that a newer version wrote, or that were cut short or
        changed.
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
    if fitted.get("selection_") is not None:
        fitted["selection_"] = Selection.from_dict(fitted["selection_"])
    model = BCNMF(**parameters)
    for name, value in fitted.items():
        setattr(model, name, value)
    return model
