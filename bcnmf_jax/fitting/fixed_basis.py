"""`transform` and `reduced_objective`: codes and cost of samples for a fixed basis."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from bcnmf_jax.data.memory import owned
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.codes import SETTLED, solve_codes, solved
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.blocks import is_frozen
from bcnmf_jax.model.costs import basis_cost, costs, misfits
from bcnmf_jax.model.objective import (
    AbstractObjective,
    Blocks,
    Data,
    check_structure,
    require_target,
)
from bcnmf_jax.model.scale import in_units, scaled, with_codes
from bcnmf_jax.model.terms import Term


def transform(
    objective: AbstractObjective,
    fit: Fit | Blocks,
    data: dict,
    *,
    stop: Stop = SETTLED,
    weights: dict | None = None,
    mask: dict | None = None,
) -> Any:
    """Codes of samples under the basis of a fit.

    Parameters
    ----------
    objective : AbstractObjective
    fit : Fit or dict
        A fit, or its blocks.
    data : dict
        ``{"target": X_new}``, ``{"background": Y_new}`` or both, with the features of the fit.
    stop : Stop
        Steps are passes of ten code updates.
    weights, mask : dict, optional
        As in `fit`.

    Returns
    -------
    Array (n, K), or dict of them
        The codes for one name, a dictionary for several; nested as the data are.

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says, or with other features than the fit's.
    """
    rows = prepare(data, weights, mask, constant=True)
    check_structure(objective, rows)
    rows, unit = scaled(objective, rows)
    basis = (fit.blocks if isinstance(fit, Fit) else fit)["basis"]
    dtype = jax.tree.leaves(rows)[0].dtype
    basis = jax.tree.map(lambda w: owned(w, dtype), basis)
    check_has_codes(objective, rows)
    check_width(objective, rows, basis)
    blocks = with_codes(solved(objective, rows, basis, stop), unit)
    codes = {name: blocks[name] for name in data}
    return codes[next(iter(data))] if len(data) == 1 else codes


def check_has_codes(objective: AbstractObjective, data: Data) -> None:
    """Raise ValueError for data sets that an objective does not read."""
    if unread := set(data) - {t.codes[0] for t in objective.terms(data)}:
        raise ValueError(f"{type(objective).__name__} has no codes for {sorted(unread)}")


def check_width(objective: AbstractObjective, data: Data, basis: PyTree) -> None:
    """Raise ValueError for data of other features than the basis."""
    for term in objective.terms(data):
        want = term.basis_map(basis).shape[1]
        if term.rows.x.shape[1] != want:
            raise ValueError(
                f"data[{term.codes[0]!r}] has {term.rows.x.shape[1]} features, the fit {want}; "
                "give the features of the fit in their order"
            )


def reduced_misfits(
    objective: AbstractObjective, data: Data, basis: PyTree, stop: Stop
) -> tuple[list[Float[Array, ""]], list[Float[Array, ""]]]:
    """Per term the misfit with all codes at their optimum, and what of it the frozen components
    alone leave (0 for the target, and where none are frozen); both add over rows.
    """
    terms = objective.terms(data)
    best = misfits(terms, solve_codes(objective, data, basis, stop))
    if not objective.frozen:
        return best, [jnp.zeros_like(v) for v in best]
    bare = jax.tree.map(lambda w: jnp.where(is_frozen(objective, w.shape[0]), w, 0), basis)
    alone = misfits(terms, solve_codes(objective, data, bare, stop))
    pairs = zip(terms, alone, strict=True)
    return best, [jnp.zeros_like(v) if t.codes[0] == "target" else v for t, v in pairs]


def reduced_cost(
    objective: AbstractObjective, terms: list[Term], best: list, alone: list, basis: PyTree
) -> Float[Array, ""]:
    """The game's value from the `reduced_misfits` of all rows."""
    added = [v - w for v, w in zip(best, alone, strict=True)]
    return basis_cost(objective, terms, added, basis)


@eqx.filter_jit
def _value(objective, data, basis, stop):
    best, alone = reduced_misfits(objective, data, basis, stop)
    return reduced_cost(objective, objective.terms(data), best, alone, basis)


def reduced_objective(
    objective: AbstractObjective,
    data: dict,
    blocks: Blocks,
    *,
    stop: Stop = SETTLED,
    weights: dict | None = None,
    mask: dict | None = None,
) -> Float[Array, ""] | Float[np.ndarray, ""]:
    """``V(basis)``: the basis' cost with all codes at their optimum, a scalar.

    What restarts are compared by: the cost at frozen codes bounds it from neither side. Where
    components are frozen, the background counts by what the others add to them,
    ``D(Y | G [W; B]) - D(Y | G B)``: a constant for a given B, without which the restart with the
    worst B would have the lowest value.
    """
    rows = prepare(data, weights, mask)
    require_target(objective, rows)
    rows, unit = scaled(objective, rows)
    dtype = jax.tree.leaves(rows)[0].dtype
    basis = jax.tree.map(lambda w: owned(w, dtype), blocks["basis"])
    return in_units(objective, _value(objective, rows, basis, stop), unit)


def block_costs(
    objective: AbstractObjective,
    data: dict,
    blocks: Blocks,
    *,
    weights: dict | None = None,
    mask: dict | None = None,
) -> dict[str, Any]:
    """Cost of each block: of codes their own misfit, of the basis the weighted sum.

    Returns
    -------
    dict
        Nested as the blocks are.
    """
    rows, unit = scaled(objective, prepare(data, weights, mask))
    dtype = jax.tree.leaves(rows)[0].dtype
    blocks = jax.tree.map(lambda a: jnp.asarray(a, dtype), blocks)
    return in_units(objective, costs(objective, rows, with_codes(blocks, 1 / unit)), unit)
