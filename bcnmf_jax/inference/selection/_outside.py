"""Objectives of a selection by name, those that are objects checked."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import numpy as np

from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.start import start
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import Frobenius
from bcnmf_jax.model.objective import AbstractObjective

Objectives = dict[str, str | AbstractObjective]


def loss_of(objectives: Sequence[str | AbstractObjective]) -> AbstractLoss:
    """The loss of the first object, or squared error."""
    own = [o.loss for o in objectives if isinstance(o, AbstractObjective)]
    return own[0] if own else Frobenius()


def by_name(objectives: Sequence[str | AbstractObjective]) -> Objectives:
    """Objectives by name, an object by that of its class.

    Raises
    ------
    ValueError
        For several of one name.
    """
    names = [o if isinstance(o, str) else type(o).__name__ for o in objectives]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"objectives must have different names, found {twice[0]!r} twice; choose among alphas "
            "of one class by name, or in calls of their own"
        )
    return dict(zip(names, objectives, strict=True))


def check_objects(made: Objectives, loss: AbstractLoss, rows: dict[str, Rows]) -> None:
    """Raise ValueError for objects that other candidates cannot be compared with."""
    for name, objective in made.items():
        if not isinstance(objective, AbstractObjective):
            continue
        if not bool(eqx.tree_equal(objective.loss, loss)):
            raise ValueError(
                f"objectives: {name} has the loss {objective.loss}, and gains are measured by "
                f"{loss}; give objectives of one loss, and pass it as loss="
            )
        try:
            blocks = eqx.filter_eval_shape(start, objective, rows, 1, jax.random.key(0), "random")
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise ValueError(
                f"objectives: {name} takes no target and background: {error}"
            ) from error
        if not hasattr(blocks["basis"], "shape"):
            raise ValueError(f"objectives: {name} has several bases; select compares one")


def candidates(made: Objectives, alphas: Sequence[float]) -> list[tuple[str, float]]:
    """Name and alpha of everything to try: names at all alphas, objects at their own (NaN for one
    that has none, or several)."""
    found = []
    for name, objective in made.items():
        if isinstance(objective, str):
            found += [(name, alpha) for alpha in alphas]
        else:
            own = np.asarray(getattr(objective, "alpha", np.nan), float)
            found.append((name, float(own) if own.ndim == 0 else np.nan))
    return found
