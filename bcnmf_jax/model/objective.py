"""The abstract objective: a list of terms."""

from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import PyTree

from bcnmf_jax.data.numbers import shown
from bcnmf_jax.data.rows import is_rows
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.penalties import AbstractPenalty, apply
from bcnmf_jax.model.terms import Term

Data = dict[str, Any]
Blocks = dict[str, Any]


class AbstractObjective(eqx.Module):
    """A factorisation method.

    ``terms`` is the method. From it derive the costs, the gradients, and with them every
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
    settled_start: ClassVar[bool] = False
    """Whether codes are at their optimum before the first step: beside other codes, a component
    takes shared structure in its first steps, and does not let go of it."""
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
        """Misfits of the data sets that are present, with their weights in the basis' cost."""

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

    def prepare_basis(self, basis: PyTree) -> PyTree:
        """The starting basis from a drawn one; here a method sets the rows that it is given."""
        return basis

    @property
    def frozen_objective(self) -> "AbstractObjective | None":
        """Objective whose fit to the stacked backgrounds, as a target, gives the frozen rows of the
        basis; None where `prepare_basis` gives them, or none are frozen."""
        return None

    def basis_penalty(self, basis: PyTree) -> tuple[Any, Any]:
        """Value, and gradient in parts, of the penalties on the basis (None without any)."""
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


def require_target(objective: AbstractObjective, data: Data) -> None:
    """Raise ValueError for data without a target, or of a structure that is not taken."""
    if "target" not in data:
        raise ValueError('data needs a "target"')
    check_structure(objective, data)
