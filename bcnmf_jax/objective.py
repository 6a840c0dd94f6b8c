"""What an objective is: a list of terms; and what follows from that list."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Key, PyTree

from bcnmf_jax.chunks import RESTARTS, axis_size, chunk_rows, scan_rows
from bcnmf_jax.losses import AbstractLoss
from bcnmf_jax.penalties import AbstractPenalty, apply
from bcnmf_jax.split import Split, shown
from bcnmf_jax.terms import Path, Rows, Term, by_codes, get, is_rows, put

Data = dict[str, Any]
Blocks = dict[str, Any]


class AbstractObjective(eqx.Module):
    """A factorisation method.

    ``terms`` is the method. From it derive the costs, the split gradients, and with them every
    solver. Blocks are a dictionary: ``"basis"``, an array ``(K, g)`` or a dictionary of them, and
    the codes ``(rows, K)`` of each data set under the name of that data set. K counts the rank's
    components first and then ``extra`` shared or frozen ones.

    A component that is 0 at the start, in basis and codes, stays 0 under every solver: so ranks are
    masked. What a data set may not use its terms do not `read`.
    """

    loss: eqx.AbstractVar[AbstractLoss]
    penalties: eqx.AbstractVar[tuple[AbstractPenalty, ...]]
    modalities: ClassVar[bool] = False
    """Whether data sets are dictionaries of modalities."""
    several_backgrounds: ClassVar[bool] = True
    """Whether the background may be a list."""
    subtractive: ClassVar[bool] = False
    """Whether a background works against the whole basis, and nothing describes it: large steps
    then overshoot."""

    __repr__ = shown

    def __check_init__(self):
        losses = self.loss.values() if isinstance(self.loss, dict) else [self.loss]
        for loss in losses:
            if not isinstance(loss, AbstractLoss):
                raise TypeError(f"loss must be a loss like KL(), found {loss!r}")
        given = self.penalties
        if not isinstance(given, tuple) or not all(isinstance(p, AbstractPenalty) for p in given):
            raise TypeError(
                f"penalties must be a tuple of penalties like (L1('target', 0.1),), found {given!r}"
            )

    @abstractmethod
    def terms(self, data: Data) -> list[Term]:
        """The misfits of whatever data sets are present, and who pays for them."""

    @property
    def extra(self) -> int:
        """Number of components beside those that ``rank`` counts; they come last."""
        return 0

    @property
    def frozen(self) -> int:
        """Number of trailing components whose basis rows do not move."""
        return 0

    def features(self, data: Data) -> PyTree:
        """Number of features of each array of the basis."""
        return jax.tree.map(lambda r: r.x.shape[1], data["target"], is_leaf=is_rows)

    def prepare_basis(self, data: Data, basis: PyTree, key: Key[Array, ""]) -> PyTree:
        """The starting basis from a drawn one; here a method fits what it will freeze."""
        return basis

    def settle(self, data: Data, blocks: Blocks) -> Blocks:
        """The blocks that a fit starts from; here a method whose components must not move before
        the codes have settled solves those first."""
        return blocks

    def frozen_fit(self, key: Key[Array, ""]) -> tuple | None:
        """The fit of the stacked backgrounds whose basis the frozen components are: objective, key
        of its start, and stop. None where ``prepare_basis`` does something else."""
        return None

    def basis_penalty(self, basis: PyTree) -> tuple[Any, Any]:
        """Value and split gradient of what the basis pays beside misfits (None where nothing)."""
        mine = [p for p in self.penalties if p.block == "basis"]
        value = sum(p.value(w) for p in mine for w in jax.tree.leaves(basis))
        return value, apply(self.penalties, "basis", basis)

    @property
    def basis_powers(self) -> list[tuple[Any, Any]]:
        """Powers of what ``basis_penalty`` adds; see `AbstractLoss.powers`."""
        return [p.powers for p in self.penalties if p.block == "basis"]

    @property
    def degree(self) -> float | None:
        """Power by which every cost grows with a common factor of all data and codes; None where
        there is none: with penalties, a dispersion, losses of several powers."""
        losses = self.loss.values() if isinstance(self.loss, dict) else [self.loss]
        penalised = type(self).basis_penalty is not AbstractObjective.basis_penalty
        degrees = {None if self.penalties or penalised else loss.degree for loss in losses}
        return degrees.pop() if len(degrees) == 1 else None

    @property
    def scale_free(self) -> bool:
        """Whether the scale may move between basis and codes without a change of any cost."""
        return all(p.scale_free for p in self.penalties)


def check_structure(objective: AbstractObjective, data: Data) -> None:
    """Raise ValueError for data whose nesting an objective does not take."""
    name = type(objective).__name__
    sets = [("data['target']", data.get("target")), ("data['background']", data.get("background"))]
    for where, value in sets:
        if isinstance(value, list) and not (objective.several_backgrounds and "back" in where):
            raise ValueError(f"{where} is a list; {name} takes one data set there")
        for one in value if isinstance(value, list) else [value]:
            if one is not None and isinstance(one, dict) != objective.modalities:
                wants = "a dictionary of modalities" if objective.modalities else "one matrix"
                raise ValueError(f"{where} has another structure: {name} takes {wants}")


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


def code_split(objective: AbstractObjective, group: list[Term], chunk: list[Rows], basis: PyTree):
    """Function from the codes of a chunk to their split gradient: misfits and penalties."""
    parts = [t.code_split(rows, basis) for t, rows in zip(group, chunk, strict=True)]
    keep = chunk[0].keep

    def at(codes: Array) -> Split:
        s = sum((part(codes) for part in parts[1:]), parts[0](codes))
        penalty = apply(objective.penalties, group[0].codes[0], codes)
        s = s if penalty is None else s + penalty
        return s if keep is None else Split(s.pos * keep, s.neg * keep)

    return at


def basis_split(objective: AbstractObjective, terms: list[Term], stats: list, basis: PyTree):
    """Split gradient of every array of the basis from the summed stats of every term."""
    parts = [t.basis_split(s, basis) for t, s in zip(terms, stats, strict=True)]
    penalty = objective.basis_penalty(basis)[1]
    if penalty is not None:
        parts.append(penalty)
    add = lambda *s: sum(s[1:], s[0])  # noqa: E731
    return jax.tree.map(add, *parts, is_leaf=lambda s: isinstance(s, Split))


def reconstruct(terms: list[Term]) -> bool:
    """Whether an update of these terms forms arrays of the data's size."""
    return any(t.loss.reconstructs(t.rows.v) for t in terms)


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
        ``update(rows, codes) -> codes, out``: the codes at which the stats are taken, and what to
        return for these rows.

    Returns
    -------
    out : Array (n, ...)
    stats : list
        Per term, the contribution of all rows to the basis' split gradient.
    """

    def visit(total, piece):
        rows, codes = piece
        codes, out = update(rows, codes)
        stats = [t.stats(r, codes, basis) for t, r in zip(group, rows, strict=True)]
        return jax.tree.map(jnp.add, total, stats), out

    rows = [t.rows for t in group]
    shapes = jax.eval_shape(
        lambda r, c: [t.stats(a, c, basis) for t, a in zip(group, r, strict=True)], rows, codes
    )
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    if chunk is None:
        chunk = default_chunk(group) if reconstruct(group) else max(codes.shape[0], 1)
    stats, out = scan_rows(visit, zeros, (rows, codes), chunk)
    return out, stats


def split(objective: AbstractObjective, data: Data, blocks: Blocks, path: Path) -> Any:
    """Split gradient of one block with respect to its own cost.

    Parameters
    ----------
    path : tuple
        ``("basis",)``, ``("target",)``, ``("background", 0)``, ...
    """
    terms, basis = objective.terms(data), blocks["basis"]
    if path == ("basis",):
        stats = [t.stats(t.rows, get(blocks, t.codes), basis) for t in terms]
        return basis_split(objective, terms, stats, basis)
    group = by_codes(terms)[path]
    return code_split(objective, group, [t.rows for t in group], basis)(get(blocks, path))


def misfits(terms: list[Term], blocks: Blocks) -> list[Array]:
    """The misfit of every term, by chunks."""
    return [_misfit(t, get(blocks, t.codes), blocks["basis"]) for t in terms]


def _misfit(term: Term, codes: Array, basis: PyTree) -> Array:
    def visit(total, piece):
        rows, mine = piece
        return total + term.value(rows, mine, basis), ()

    zero = jnp.zeros((), term.rows.x.dtype)
    return scan_rows(visit, zero, (term.rows, codes), default_chunk([term]))[0]


def misfits_in_turn(terms: list[Term], blocks: Blocks) -> list[Array]:
    """`misfits` that under vmap take one fit after the other: a misfit forms a reconstruction, and
    those of many fits side by side fit no cache. Not differentiable.

    Where fits are spread over devices, those of all devices take their turn together."""
    if axis_size(RESTARTS) > 1:
        return misfits(terms, blocks)
    return [_misfit_in_turn(t, get(blocks, t.codes), blocks["basis"]) for t in terms]


def _misfit_in_turn(*term_codes_basis: Any) -> Array:
    arrays, rest = eqx.partition(term_codes_basis, eqx.is_array)

    @sequential_vmap
    def one(arrays):
        return _misfit(*eqx.combine(arrays, rest))

    return one(arrays)


def assemble(objective: AbstractObjective, terms: list[Term], values: list, blocks: Blocks) -> dict:
    """Per-block costs from the misfits; nested as the blocks are."""
    costs = blocks
    for path, group in by_codes(terms).items():
        codes = get(blocks, path)
        own = sum(v for t, v in zip(terms, values, strict=True) if t.codes == path)
        own += sum(p.value(codes) for p in objective.penalties if p.block == group[0].codes[0])
        costs = put(costs, path, jnp.asarray(own))
    return {**costs, "basis": basis_cost(objective, terms, values, blocks["basis"])}


def basis_cost(objective: AbstractObjective, terms: list, values: list, basis: PyTree) -> Array:
    """What the basis minimises: the signed sum of the misfits, and its penalties."""
    paid = sum(jnp.asarray(t.pays, v.dtype) * v for t, v in zip(terms, values, strict=True))
    return paid + objective.basis_penalty(basis)[0]


def costs(
    objective: AbstractObjective, data: Data, blocks: Blocks, *, misfits: Callable = misfits
) -> dict[str, Any]:
    """What each block minimises: codes their own misfit, the basis the signed sum."""
    terms = objective.terms(data)
    return assemble(objective, terms, misfits(terms, blocks), blocks)


def blank(terms: list[Term], blocks: Blocks) -> Blocks:
    """Blocks with 0 for the codes of rows that only fill up a device (`Rows.keep`), which weight
    decay of unconstrained codes would move."""
    for term in terms:
        if term.rows.keep is not None:
            blocks = put(blocks, term.codes, get(blocks, term.codes) * term.rows.keep)
    return blocks


def is_frozen(objective: AbstractObjective, width: int) -> Array:
    """Which of ``width`` basis rows do not move, as a column."""
    return (jnp.arange(width) >= width - objective.frozen)[:, None]


def canonical(objective: AbstractObjective, blocks: Blocks, within: float = 0.0) -> Blocks:
    """Basis rows at unit sum (over all arrays of the basis together), their scale in the codes.

    Frozen rows, rows of zeros, and rows whose sum is ``within`` units of the precision of 1 are
    left as they are.
    """
    leaves = jax.tree.leaves(blocks["basis"])
    total = sum(w.sum(1) for w in leaves[1:]) + leaves[0].sum(1)
    keep = (total == 0) | is_frozen(objective, total.shape[0])[:, 0]
    if within:
        keep |= jnp.abs(total - 1) <= within * jnp.finfo(total.dtype).eps
    total = jnp.where(keep, 1, total)
    by_column, by_row = total[None], total[:, None]
    codes = {k: jax.tree.map(lambda h: h * by_column, v) for k, v in blocks.items() if k != "basis"}
    return {"basis": jax.tree.map(lambda w: w / by_row, blocks["basis"]), **codes}


def with_frozen(objective: AbstractObjective, given: PyTree, blocks: Blocks) -> Blocks:
    """Blocks after a step from the basis ``given``, with its frozen rows."""
    keep = lambda w, new: jnp.where(is_frozen(objective, w.shape[0]), w, new)  # noqa: E731
    return {**blocks, "basis": jax.tree.map(keep, given, blocks["basis"])}


def truncate(objective: AbstractObjective, blocks: Blocks, rank: Array | int) -> Blocks:
    """Blocks with the components from ``rank`` to the largest rank at 0: a rank is a mask."""
    width = jax.tree.leaves(blocks["basis"])[0].shape[0]
    j = jnp.arange(width)
    live = (j < rank) | (j >= width - objective.extra)
    codes = {
        k: jax.tree.map(lambda h: jnp.where(live[None], h, 0), v)
        for k, v in blocks.items()
        if k != "basis"
    }
    basis = jax.tree.map(lambda w: jnp.where(live[:, None], w, 0), blocks["basis"])
    return {"basis": basis, **codes}
