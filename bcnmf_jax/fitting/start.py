"""Starting blocks: random or from a singular value decomposition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Key, PyTree

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.data.rows import Rows, is_rows, stacked_rows
from bcnmf_jax.fitting._devices import fetch_blocks, shard
from bcnmf_jax.fitting.codes import solve_codes, start_all_codes
from bcnmf_jax.fitting.loop import run
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.blocks import canonical, with_frozen
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import KL, AbstractQuadraticLoss, Frobenius
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data, require_target
from bcnmf_jax.model.scale import scaled, with_codes
from bcnmf_jax.solvers.default import default_solver
from bcnmf_jax.solvers.hals import HALS, quadratic

Method = Literal["random", "nndsvd", "quadratic"]
PASSES = 10
"""Passes of the quadratic start; more bring squared error nearer to its own optimum, not to that of
the loss (`python -m benchmarks quality`)."""
SETTLED_START = Stop(tol=0.0, max_steps=10)
"""Passes of ten code updates before the first step: as many for every row, so that chunks of rows
settle as the whole does."""
FROZEN = Stop(tol=1e-4, max_steps=300)
"""Of the fit that gives the frozen rows."""
ROUNDS = 10
"""Rounds of subspace iteration."""


def uniform_rows(key: Key[Array, ""], count: int, features: int, dtype) -> Array:
    """Basis rows of unit sum; row j comes from ``fold_in(key, j)``, so more rows change none."""
    draw = lambda j: jax.random.uniform(  # noqa: E731
        jax.random.fold_in(key, j), (features,), dtype, minval=jnp.finfo(dtype).tiny
    )
    rows = jax.vmap(draw)(jnp.arange(count))
    return rows / rows.sum(1, keepdims=True)


def nndsvd_rows(key: Key[Array, ""], x: Array, count: int) -> Array:
    """Basis rows from the leading singular vectors of the target (NNDSVD, Boutsidis & Gallopoulos
    2008), each its half of larger norm, over a little of a random row.

    Components beyond ``min(n, g)`` are random rows.
    """
    found = min(count, *x.shape)
    leading = lambda gram: jnp.linalg.eigh(gram)[1][:, ::-1][:, :found]  # noqa: E731
    wide = x.shape[0] < x.shape[1]
    vectors = leading(x @ x.T).T @ x if wide else leading(x.T @ x).T
    up, down = jnp.maximum(vectors, 0), jnp.maximum(-vectors, 0)
    larger = jnp.linalg.norm(up, axis=1) >= jnp.linalg.norm(down, axis=1)
    fill = uniform_rows(key, count, x.shape[1], x.dtype)
    rows = jnp.concatenate([jnp.where(larger[:, None], up, down), fill[found:]])
    return 0.9 * rows / rows.sum(1, keepdims=True) + 0.1 * fill


def start_basis(
    objective: AbstractObjective, data: Data, rank: int, key: Key[Array, ""], method: Method
) -> PyTree:
    """The basis alone; extra components come from a key of their own."""
    features, tree = jax.tree.flatten(objective.features(data))
    dtype = jax.tree.leaves(data)[0].dtype
    rows = jax.tree.leaves(data["target"], is_leaf=is_rows)

    def leaf(i: int, g: int) -> Array:
        mine = key if i == 0 else jax.random.fold_in(key, 2**31 - 1 - i)
        if method == "nndsvd" and i < len(rows):
            own = nndsvd_rows(mine, rows[i].x, rank)
        else:
            own = uniform_rows(mine, rank, g, dtype)
        more = uniform_rows(jax.random.fold_in(mine, 2**31 - 1), objective.extra, g, dtype)
        return jnp.concatenate([own, more])

    return jax.tree.unflatten(tree, [leaf(i, g) for i, g in enumerate(features)])


def start(
    objective: AbstractObjective, data: Data, rank: int, key: Key[Array, ""], method: Method
) -> Blocks:
    """Blocks for data that has been prepared, their codes not yet settled; see `init`."""
    drawn = start_basis(objective, data, rank, key, method)
    basis = objective.prepare_basis(drawn)
    if objective.frozen_objective is not None:
        rows = frozen_rows(objective, data, key)
        basis = jnp.concatenate([basis[: basis.shape[0] - len(rows)], rows])
    blocks = {"basis": basis} | start_all_codes(objective, data, basis)
    return about_independence(objective, data, blocks) if method == "quadratic" else blocks


def about_independence(objective: AbstractObjective, data: Data, blocks: Blocks) -> Blocks:
    """Blocks after passes of coordinate descent on ``sum (x - mu)^2 / (2 r c / N)``, with row
    totals r, feature totals c of all sets, and their sum N.

    For counts that is the second-order expansion of the loss about independence of rows and
    features, whose metric is that of correspondence analysis (Greenacre 1984). In ``x / sqrt(r c /
    N)`` it is plain squared error, whose passes cost half of those of a loss that reconstructs the
    data, and get further each.

    Raises
    ------
    ValueError
        For a mask of entries, penalties, or a basis of several arrays.
    """
    squared = jax.tree.map(lambda a: Frobenius() if is_loss(a) else a, objective, is_leaf=is_loss)
    if not quadratic(squared, data, blocks["basis"]):
        raise ValueError(
            "method='quadratic' needs a basis of one array, no mask of entries and no penalty; "
            "use method='random'"
        )
    several = jax.tree.leaves(data, is_leaf=is_rows)
    total = jnp.stack([r.x.sum(0) for r in several]).sum(0, keepdims=True)
    tiny = jnp.finfo(total.dtype).tiny
    wide = jnp.sqrt(total / jnp.maximum(total.sum(), tiny))
    wide = jnp.where(wide > 0, wide, 1)

    def tall(rows: Rows) -> Array:
        root = jnp.sqrt(rows.x.sum(1, keepdims=True))
        return jnp.where(root > 0, root, 1)

    even = jax.tree.map(lambda r: replace(r, x=r.x / tall(r) / wide), data, is_leaf=is_rows)
    by = {name: jax.tree.map(tall, rows, is_leaf=is_rows) for name, rows in data.items()}
    codes = {name: h for name, h in blocks.items() if name != "basis"}
    scaled_codes = {k: jax.tree.map(lambda h, r: h / r, codes[k], by[k]) for k in codes}
    begun = {"basis": blocks["basis"] / wide, **scaled_codes}
    solver = HALS()

    def step(_, carry):
        new, state = solver.step(squared, even, *carry)
        return with_frozen(squared, carry[0]["basis"], new), state

    begun = begun, solver.init(squared, even, begun)
    found, _ = lax.fori_loop(0, PASSES, step, begun)
    back = {k: jax.tree.map(lambda h, r: h * r, found[k], by[k]) for k in codes}
    ended = {"basis": found["basis"] * wide, **back}
    return canonical(objective, with_frozen(objective, blocks["basis"], ended))


def is_loss(a: Any) -> bool:
    """Whether a node of an objective is its loss."""
    return isinstance(a, AbstractLoss)


def settled(objective: AbstractObjective, data: Data, blocks: Blocks) -> Blocks:
    """Blocks whose codes are at their optimum where the objective asks for that."""
    if not objective.settled_start:
        return blocks
    return solve_codes(objective, data, blocks["basis"], SETTLED_START)


def frozen_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """Key of the fit that gives the frozen rows, from that of the start."""
    return jax.random.fold_in(key, 2**31 - 3)


def residual_rows(
    loss: AbstractLoss, rows: Rows, fitted: Array, count: int, key: Key[Array, ""]
) -> Array:
    """Rows (2 count, g) along which the target departs from its reconstruction: both halves of the
    leading singular vectors of the residual (as NNDSVD takes them of the data).

    For other losses than squared error the residual is over the root of each feature's mean, since
    counts vary with their mean.
    """
    residual = rows.x - fitted if rows.weights is None else rows.weights * (rows.x - fitted)
    scale = jnp.ones_like(fitted[0])
    if not isinstance(loss, AbstractQuadraticLoss):
        scale = jnp.sqrt(jnp.maximum(fitted.mean(0), jnp.finfo(fitted.dtype).eps))
    residual = residual / scale[None]
    drawn = jax.random.normal(key, (fitted.shape[1], count), fitted.dtype)
    again = lambda _, v: jnp.linalg.qr(residual.T @ (residual @ v))[0]  # noqa: E731
    space = lax.fori_loop(0, ROUNDS, again, jnp.linalg.qr(drawn)[0])
    turn = jnp.linalg.svd(residual @ space, full_matrices=False)[2]
    vectors = turn @ space.T * scale[None]
    halves = jnp.maximum(jnp.concatenate([vectors, -vectors]), 0)
    # A little everywhere: multiplicative updates move no zero.
    halves = halves + 1e-2 * halves.mean(1, keepdims=True)
    return halves / halves.sum(1, keepdims=True)


def has_known_row(objective: AbstractObjective) -> bool:
    """Whether one row is frozen that is known without a fit: under KL, from the features' totals
    (at a stationary point margins are those of the data: Ho & Van Dooren 2008)."""
    plain = objective.frozen_objective
    free = plain is not None and not (plain.penalties or plain.modalities)
    return free and objective.frozen == 1 and isinstance(getattr(plain, "loss", None), KL)


def known_row(total: Float[Array, " g"]) -> Float[Array, "1 g"]:
    """The best row of one component under KL, of unit sum, from the total of every feature."""
    return (total / total.sum())[None]


def frozen_rows(objective: AbstractObjective, data: Data, key: Key[Array, ""]) -> Array:
    """Frozen rows of the basis (frozen, g): those of a fit of all backgrounds, stacked.

    Raises
    ------
    ValueError
        Without a background.
    """
    plain, own = objective.frozen_objective, frozen_key(key)
    assert plain is not None
    if "background" not in data:
        raise ValueError(f'{type(objective).__name__} needs data["background"]')
    several = data["background"]
    rows = stacked_rows(several if isinstance(several, list) else [several])
    if has_known_row(objective) and (rows.weights is None or rows.weights.shape[1] == 1):
        return known_row(rows.x.sum(0) if rows.weights is None else (rows.x * rows.weights).sum(0))
    stacked = {"target": rows}
    solver = default_solver(plain, stacked)
    blocks = start(plain, stacked, objective.frozen, own, "random")
    return run(plain, stacked, blocks, solver, FROZEN, FROZEN.looks).blocks["basis"]


@eqx.filter_jit
def _start(objective, data, rank, key, method) -> Blocks:
    return settled(objective, data, start(objective, data, rank, key, method))


def check_method(method: str) -> None:
    """Raise ValueError for a start that is not known."""
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}, found {method!r}")


def init(
    objective: AbstractObjective,
    data: dict,
    rank: int,
    key: Key[Array, ""],
    *,
    method: Method = "random",
    weights: dict | None = None,
    mask: dict | None = None,
    mesh: Mesh | None = None,
) -> Blocks:
    """Starting blocks.

    Parameters
    ----------
    objective : AbstractObjective
    data : dict
        ``{"target": X, "background": Y}``; see `prepare`.
    rank : int
        Number of components; of target components where the objective has shared ones.
    key : jax.random.key
        Component j comes from ``fold_in(key, j)``: the start at a rank is the first components of
        the start at a larger one, whatever the number and order of the rows.
    method : {"random", "nndsvd", "quadratic"}
        Uniform rows; the target's leading singular vectors over a little of them; or uniform rows
        and ten passes of coordinate descent on a quadratic that stands for the loss
        (`about_independence`): for KL and the negative binomial, from where far fewer steps are
        needed; its components depend on the rank and the rows.
    weights, mask, mesh : optional
        As in `fit`.

    Returns
    -------
    dict
        ``"basis"`` (rank + extra, g) with rows of unit sum, and codes (rows, rank + extra) under
        the name of each data set. Target components come first.

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says; for a rank below 1 or an unknown method.
    """
    rank = check_integer(rank, "rank")
    check_method(method)
    if mesh is None:
        rows = prepare(data, weights, mask)
        require_target(objective, rows)
        rows, unit = scaled(objective, rows)
        blocks = _start(objective, rows, rank, key, method)
        return with_codes(blocks, unit)
    rows = shard(data, mesh, weights, mask)
    require_target(objective, rows)
    rows, unit = scaled(objective, rows)
    with jax.set_mesh(mesh):
        blocks = _start(objective, rows, rank, key, method)
    return with_codes(fetch_blocks(objective.terms(rows), blocks), unit)
