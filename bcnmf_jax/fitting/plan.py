"""`Plan`: the parameters of a fit with their values, and the objective that they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.objectives import NMF, BackgroundFirst, Contrastive, SharedTarget
from bcnmf_jax.solvers.solver import AbstractSolver


def _nmf(alpha, loss) -> NMF:
    return NMF(loss)


class Plan(NamedTuple):
    """Parameters of a fit, none of them "auto".

    Attributes
    ----------
    objective : str or AbstractObjective
        "nmf", "contrastive", "published", "shared_target", "background_first", "sequential"
        (background first, its target components in turn: `fit_sequential`) or "balanced" (the
        contrast on a weighted background: `fit_balanced`); or an object, which has a contrast and a
        loss of its own.
    alpha : float, or one value per background
    n_components : int
        Target components.
    n_background_components : int
        Shared or background components; of "nmf", "contrastive" and "published", of the basis that
        `BCNMF.score` measures against.
    loss : AbstractLoss
    solver : AbstractSolver, optional
        By default that of `fit`.
    selection : Selection, optional
        Where some of it was chosen, what the choice rests on.
    start : array (K + B, g), optional
        Of a choice, the basis that one fit goes on from, target components first.
    together : bool
        Whether the components of "sequential" are refitted together at last.
    """

    objective: str | AbstractObjective
    alpha: Any
    n_components: int
    n_background_components: int
    loss: AbstractLoss
    solver: AbstractSolver | None = None
    selection: Any = None
    start: Any = None
    together: bool = True

    @property
    def goes_on(self) -> bool:
        """Whether one fit takes up what was chosen, in the place of random starts."""
        return self.start is not None or not self.together

    @property
    def make(self) -> Callable[..., AbstractObjective]:
        """A named objective as a function of alpha, loss and `extra`."""
        if self.objective in ("contrastive", "balanced"):
            return Contrastive if self.loss.bounded else BackgroundFirst
        named: dict[Any, Callable[..., AbstractObjective]] = {
            "nmf": _nmf,
            "published": Contrastive,
            "shared_target": SharedTarget,
            "background_first": BackgroundFirst,
            "sequential": BackgroundFirst,
        }
        return named[self.objective]

    @property
    def extra(self) -> dict[str, Any]:
        """Keywords of `make` beside alpha and loss."""
        if self.make is SharedTarget:
            return {"shared_rank": self.n_background_components}
        if self.make is BackgroundFirst:
            bounding = self.objective in ("contrastive", "balanced")
            return {"background_rank": 1 if bounding else self.n_background_components}
        return {}

    def build(self) -> AbstractObjective:
        """The objective."""
        if isinstance(self.objective, AbstractObjective):
            return self.objective
        return self.make(alpha=self.alpha, loss=self.loss, **self.extra)

    @property
    def reading(self) -> AbstractObjective:
        """Objective by which codes of new samples are read: of a named one, NMF on all components
        at once; an object says itself which components a target uses."""
        if isinstance(self.objective, AbstractObjective):
            return self.objective
        return NMF(self.loss)
