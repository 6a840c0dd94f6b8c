"""Distance of a basis from a stationary point of the reduced objective."""

from __future__ import annotations

import equinox as eqx
import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from bcnmf_jax.data.memory import owned
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.codes import SETTLED, solve_codes
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.gradients import basis_gradient, visit_rows
from bcnmf_jax.model.objective import AbstractObjective, Blocks, require_target
from bcnmf_jax.model.scale import scaled
from bcnmf_jax.model.terms import by_codes, get
from bcnmf_jax.solvers.slopes import flat_parts, unrest


@eqx.filter_jit
def _measure(objective, data, basis, stop):
    blocks = solve_codes(objective, data, basis, stop)
    terms, stats = [], []
    for path, group in by_codes(objective.terms(data)).items():
        stay = lambda rows, codes: (codes, codes)  # noqa: E731
        stats += visit_rows(group, get(blocks, path), basis, stay)[1]
        terms += group
    found = flat_parts(objective, basis_gradient(objective, terms, stats, basis), basis)
    return unrest(basis, *map(ravel_pytree(basis)[1], found))


def stationarity(
    objective: AbstractObjective,
    data: dict,
    blocks: Blocks,
    *,
    stop: Stop = SETTLED,
    weights: dict | None = None,
    mask: dict | None = None,
) -> Float[Array, ""]:
    """Distance of a basis from a stationary point of the reduced objective, for any solver.

    With ``P - N`` the slope of the basis ``W``, codes at their optimum: ``sum W |P - N|`` over
    ``sum W (P + N)``, of the components that move. It is 0 where every entry is at rest. An entry
    near 0 that the slope would raise (which multiplicative updates cannot) counts as if it were
    the mean of its row.

    Parameters
    ----------
    objective : AbstractObjective
    data : dict
        See `prepare`.
    blocks : dict
        Of a fit; the basis alone is read.
    stop : Stop
        How well the codes are solved; steps are passes of ten code updates.
    weights, mask : dict, optional
        As in `fit`.

    Returns
    -------
    scalar
        Does not depend on the scale of the data, nor on that of the components (without a penalty
        that fixes it). With a penalty on codes, the slope is that of the basis' cost at the codes
        that minimise theirs.

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says.
    """
    rows = prepare(data, weights, mask)
    require_target(objective, rows)
    rows, _ = scaled(objective, rows)
    dtype = jax.tree.leaves(rows)[0].dtype
    basis = jax.tree.map(lambda w: owned(w, dtype), blocks["basis"])
    return _measure(objective, rows, basis, stop)
