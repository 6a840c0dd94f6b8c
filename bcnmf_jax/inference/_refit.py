"""Fits of a plan to many choices of rows, side by side in one program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from numpy.typing import NDArray

from bcnmf_jax.data.chunks import BYTES
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.balanced import balanced
from bcnmf_jax.fitting.codes import solve_codes
from bcnmf_jax.fitting.loop import run
from bcnmf_jax.fitting.many import default_size
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.fitting.sequential import SETTLED, STARTS, in_turn, paying
from bcnmf_jax.fitting.start import frozen_rows, settled, start
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.objective import AbstractObjective, Data
from bcnmf_jax.objectives import BackgroundFirst
from bcnmf_jax.solvers.default import default_solver

SHARE = 8
"""Data of fits side by side, in units of `BYTES`."""


class Recipe(NamedTuple):
    """Parameters of a fit of prepared data from a random start, as a program takes them.

    Attributes
    ----------
    kind : str
        Objective by name, or that of a class.
    objective : AbstractObjective
    solver : AbstractSolver, optional
    rank, background_rank : int
    together : bool
    names : tuple of str
        Data sets that have a say in the components of "sequential".
    """

    kind: str
    objective: AbstractObjective
    solver: Any
    rank: int
    background_rank: int
    together: bool
    names: tuple[str, ...]


def recipe(plan: Plan, data: Data) -> Recipe:
    """Recipe of a plan for data of this structure; it starts at random, from no basis of a choice:
    that one knows who is target and who background."""
    made: Any = plan.build()
    kind = plan.objective if isinstance(plan.objective, str) else type(made).__name__
    names = tuple(paying(made, data)) if kind == "sequential" else tuple(data)
    counts = plan.n_components, plan.n_background_components
    return Recipe(kind, made, plan.solver, *counts, plan.together, names)


def fitted_basis(
    how: Recipe, data: Data, key: Key[Array, ""], stop: Stop, looks: int
) -> Float[Array, "K g"]:
    """Basis of one fit of prepared data, target components first; to be jitted and vmapped."""
    if how.kind == "sequential":
        return _sequential(how, data, key, stop, looks)
    made: Any = how.objective
    if how.kind != "balanced":
        return _from_random(how, made, data, key, stop, looks)
    reading = BackgroundFirst(background_rank=how.background_rank, alpha=0.0, loss=made.loss)
    frozen = frozen_rows(reading, data, key)
    found = _from_random(how, *balanced(made, data, frozen), key, stop, looks)
    return jnp.concatenate([found[: how.rank], frozen])


def _from_random(how, made, data, key, stop, looks) -> Array:
    """Basis of a fit of all components at once from a random start."""
    solver = default_solver(made, data) if how.solver is None else how.solver
    begun = settled(made, data, start(made, data, how.rank, key, "random"))
    return run(made, data, begun, solver, stop, looks).blocks["basis"]


def _sequential(how, data, key, stop, looks) -> Array:
    """Basis of target components in turn, then the background's, as `fit_sequential` has it."""
    made: Any = how.objective
    moving = {name: data[name] for name in how.names}
    frozen = frozen_rows(made, data, key)
    found = in_turn(made, moving, frozen, how.rank, key, how.solver, stop, STARTS, looks)
    basis = jnp.concatenate([found, frozen])
    if not how.together:
        return basis
    solver = default_solver(made, moving) if how.solver is None else how.solver
    begun = solve_codes(made, moving, basis, SETTLED)
    return run(made, moving, begun, solver, stop, looks).blocks["basis"]


class Places(NamedTuple):
    """Samples of one fit after the other, by number: those that are fitted as target and as
    background, and those whose codes are read.

    Attributes
    ----------
    target, background, read : ndarray (fits, ...) of int32
    """

    target: Int[NDArray, "fits n"]
    background: Int[NDArray, "fits m"]
    read: Int[NDArray, "fits r"]


def refitted(
    plan: Plan, seen: Rows, unseen: Rows, places: Places, each: int, key: Key[Array, ""],
    stop: Stop, read: Stop, keep: Callable[[Array, Rows], Array],
) -> Iterator[tuple[NDArray, NDArray]]:  # fmt: skip
    """Basis of every fit, and what is kept of the codes of the rows that are read under it.

    Parameters
    ----------
    seen, unseen : Rows
        Prepared rows that are fitted, and that are read: ``each`` of every sample.
    stop, read : Stop
        Of the fits, and of the codes that are read.
    keep : callable
        Takes codes (r, K) and their rows; a function of a module, or a module of equinox.
    """
    how, size = _planned(plan, seen, places, each)
    count = len(places.target)
    size = -(-count // -(-count // size))
    for begin in range(0, count, size):
        # The last fits are filled up with the first, so that all are one program.
        index = np.arange(begin, begin + size) % count
        mine = Places(*(place[index] for place in places))
        found = _refitted(
            how, plan.reading, seen, unseen, mine, each, key, stop, stop.looks, read, keep
        )
        left = min(size, count - begin)
        yield from zip(*(np.asarray(part)[:left] for part in found), strict=True)


def _planned(plan: Plan, seen: Rows, places: Places, each: int) -> tuple[Recipe, int]:
    """Recipe of the fits, and how many of them run side by side."""
    first = Places(*(place[0] for place in places))
    data = _sets(seen, first, each)
    how = recipe(plan, data)
    row = sum(leaf[0].nbytes for leaf in jax.tree.leaves(seen))
    bytes_ = row * each * sum(map(len, first))
    most = default_size(how.objective, data, how.rank + how.objective.extra)
    return how, max(1, min(most, SHARE * BYTES // bytes_))


@eqx.filter_jit
def _refitted(how, reading, seen, unseen, places, each, key, stop, looks, read, keep) -> Any:
    def one(place: Places) -> tuple[Array, Array]:
        basis = fitted_basis(how, _sets(seen, place, each), key, stop, looks)
        rows = _rows(unseen, place.read, each)
        codes = solve_codes(reading, {"target": rows}, basis, read)["target"]
        return basis, keep(codes, rows)

    return jax.vmap(one)(places)


def _sets(rows: Rows, place: Places, each: int) -> Data:
    sides = {"target": place.target, "background": place.background}
    return {name: _rows(rows, at, each) for name, at in sides.items()}


def _rows(rows: Rows, at: Any, each: int) -> Rows:
    """Rows of samples by number."""
    index = (at[:, None] * each + np.arange(each, dtype=np.int32)[None]).reshape(-1)
    return jax.tree.map(lambda a: a[index], rows)
