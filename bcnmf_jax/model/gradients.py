"""Gradients of the blocks as parts, by passes over chunks of rows."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from bcnmf_jax.data.chunks import chunk_rows, scan_rows
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.model.gradient_parts import GradientParts
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data
from bcnmf_jax.model.penalties import apply
from bcnmf_jax.model.terms import Path, Term, by_codes, get


def exponent(powers: list[tuple[Any, Any]]) -> Any:
    """Exponent of a multiplicative update that does not raise a cost of these powers."""
    tops, bottoms = zip(*powers, strict=True)
    if all(isinstance(p, int) for p in (*tops, *bottoms)):
        return 1 / (max(tops) - min(bottoms))
    top, bottom = jnp.asarray(tops[0]), jnp.asarray(bottoms[0])
    for p, q in powers[1:]:
        top, bottom = jnp.maximum(top, p), jnp.minimum(bottom, q)
    return 1 / (top - bottom)


def code_exponent(objective: AbstractObjective, path: Path, group: list[Term]) -> Any:
    """Exponent for the codes at ``path``."""
    mine = [p.powers for p in objective.penalties if p.block == path[0]]
    return exponent([*(t.loss.powers for t in group), *mine])


def basis_exponent(objective: AbstractObjective, terms: list[Term]) -> Any:
    """Exponent for the basis."""
    return exponent([*(t.loss.powers for t in terms), *objective.basis_powers])


def code_gradient(
    objective: AbstractObjective, group: list[Term], chunk: list[Rows], basis: PyTree
):
    """Function from the codes of a chunk to their gradient in parts: misfits and penalties."""
    parts = [t.code_gradient(rows, basis) for t, rows in zip(group, chunk, strict=True)]
    keep = chunk[0].valid

    def at(codes: Array) -> GradientParts:
        s = sum((part(codes) for part in parts[1:]), parts[0](codes))
        penalty = apply(objective.penalties, group[0].codes[0], codes)
        s = s if penalty is None else s + penalty
        return s if keep is None else GradientParts(s.positive * keep, s.negative * keep)

    return at


def basis_gradient(objective: AbstractObjective, terms: list[Term], stats: list, basis: PyTree):
    """Gradient, in parts, of every array of the basis from the summed statistics of every term."""
    parts = [t.basis_gradient(s, basis) for t, s in zip(terms, stats, strict=True)]
    penalty = objective.basis_penalty(basis)[1]
    if penalty is not None:
        parts.append(penalty)
    add = lambda *s: sum(s[1:], s[0])  # noqa: E731
    return jax.tree.map(add, *parts, is_leaf=lambda s: isinstance(s, GradientParts))


def reconstruct(terms: list[Term]) -> bool:
    """Whether an update of these terms forms arrays of the data's size."""
    return any(t.loss.reconstructs(t.rows.weights) for t in terms)


def default_chunk(group: list[Term]) -> int:
    """Rows in a chunk of all data that share some codes, where reconstructions are formed."""
    return chunk_rows(
        sum(t.rows.x.shape[1] for t in group), max(t.rows.x.dtype.itemsize for t in group)
    )


def visit_rows(group: list[Term], codes: Array, basis: PyTree, update, chunk: int | None = None):
    """Pass over the rows of a group, by chunks.

    Parameters
    ----------
    update : callable
        ``update(rows, codes) -> codes, out``: the codes at which the statistics are taken, and
        the result for these rows.

    Returns
    -------
    out : Array (n, ...)
    stats : list
        Per term, the contribution of all rows to the basis' gradient in parts.
    """

    def visit(total, piece):
        rows, codes = piece
        codes, out = update(rows, codes)
        stats = [t.statistics(r, codes, basis) for t, r in zip(group, rows, strict=True)]
        return jax.tree.map(jnp.add, total, stats), out

    rows = [t.rows for t in group]
    shapes = jax.eval_shape(
        lambda r, c: [t.statistics(a, c, basis) for t, a in zip(group, r, strict=True)], rows, codes
    )
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    if chunk is None:
        chunk = default_chunk(group) if reconstruct(group) else max(codes.shape[0], 1)
    stats, out = scan_rows(visit, zeros, (rows, codes), chunk)
    return out, stats


def block_gradient(objective: AbstractObjective, data: Data, blocks: Blocks, path: Path) -> Any:
    """Gradient, in parts, of one block with respect to its own cost.

    Parameters
    ----------
    path : tuple
        ``("basis",)``, ``("target",)``, ``("background", 0)``, ...
    """
    terms, basis = objective.terms(data), blocks["basis"]
    if path == ("basis",):
        stats = [t.statistics(t.rows, get(blocks, t.codes), basis) for t in terms]
        return basis_gradient(objective, terms, stats, basis)
    group = by_codes(terms)[path]
    return code_gradient(objective, group, [t.rows for t in group], basis)(get(blocks, path))
