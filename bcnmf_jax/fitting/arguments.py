"""Checks of the arguments of a fit: objects of the right kind, blocks that match the data."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bcnmf_jax.data.memory import owned
from bcnmf_jax.data.numbers import concrete
from bcnmf_jax.fitting.codes import start_all_codes
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data
from bcnmf_jax.solvers.solver import AbstractSolver


def check_types(objective: Any, solver: Any, stop: Any) -> None:
    """Raise TypeError for a class, a name or a number where an object is meant (no solver, None, is
    the default)."""
    kinds = {"objective": AbstractObjective, "solver": AbstractSolver, "stop": Stop}
    for (name, kind), value in zip(kinds.items(), (objective, solver, stop), strict=True):
        if not (isinstance(value, kind) or (name == "solver" and value is None)):
            raise TypeError(f"{name} must be an instance of {kind.__name__}, found {value!r}")


def check_blocks(objective: AbstractObjective, data: Data, blocks: Blocks) -> Blocks:
    """Blocks of the data's dtype, or an error that names the block."""
    dtype = jax.tree.leaves(data)[0].dtype
    blocks = jax.tree.map(lambda a: owned(a, dtype), blocks)
    width = jax.tree.leaves(blocks["basis"])[0].shape[0]
    if width <= objective.extra:
        raise ValueError(
            f"blocks['basis'] has {width} components, of which {objective.extra} are shared or "
            "frozen; it needs more"
        )
    wants = jax.eval_shape(partial(start_all_codes, objective), data, blocks["basis"]) | {
        "basis": jax.tree.map(lambda w: w, blocks["basis"])
    }
    for name, want in wants.items():
        if name not in blocks:
            raise ValueError(f"blocks lack {name!r}; bcnmf_jax.init gives a complete start")
        have = blocks[name]
        shapes = [jax.tree.map(jnp.shape, a) for a in (have, want)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"blocks[{name!r}] has shape {shapes[0]}, the data ask for {shapes[1]}"
            )
    features = objective.features(data)
    have = jax.tree.map(lambda w: w.shape[1], blocks["basis"])
    if have != features:
        raise ValueError(f"blocks['basis'] has {have} features, the data {features}")
    for leaf in jax.tree.leaves(blocks):
        value = concrete(leaf)
        if value is not None and not ((value >= 0) & np.isfinite(value)).all():
            raise ValueError("blocks must be nonnegative and finite; found negative values or NaN")
    return {name: blocks[name] for name in wants}
