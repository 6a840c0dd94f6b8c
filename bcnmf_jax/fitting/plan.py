"""What a fit of `BCNMF` is to do: its parameters, each with the value that this fit takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.objectives import NMF, BackgroundFirst, Contrastive, SharedTarget


def _nmf(alpha, loss) -> NMF:
    return NMF(loss)


class Plan(NamedTuple):
    """A fit that is about to be done.

    Attributes
    ----------
    objective : str
        "nmf", "contrastive", "published", "shared_target", "background_first" or "sequential"
        (background first, its target components in turn: `fit_sequential`).
    alpha : float, or one value per background
    n_components : int
        Target components.
    n_background_components : int
        Shared or background components; of "nmf", "contrastive" and "published", of the basis that
        `BCNMF.score` measures against.
    loss : AbstractLoss
    selection : Selection, optional
        Where some of it was chosen, what the choice rests on.
    """

    objective: str
    alpha: Any
    n_components: int
    n_background_components: int
    loss: AbstractLoss
    selection: Any = None

    @property
    def make(self) -> Callable[..., AbstractObjective]:
        """The objective as a function of alpha, loss and `extra`."""
        if self.objective == "contrastive":
            return Contrastive if self.loss.bounded else BackgroundFirst
        return {
            "nmf": _nmf,
            "published": Contrastive,
            "shared_target": SharedTarget,
            "background_first": BackgroundFirst,
            "sequential": BackgroundFirst,
        }[self.objective]

    @property
    def extra(self) -> dict[str, Any]:
        """Keywords of `make` beside alpha and loss."""
        if self.make is SharedTarget:
            return {"shared_rank": self.n_background_components}
        if self.make is BackgroundFirst:
            bounding = self.objective == "contrastive"
            return {"background_rank": 1 if bounding else self.n_background_components}
        return {}

    def build(self) -> AbstractObjective:
        """The objective."""
        return self.make(alpha=self.alpha, loss=self.loss, **self.extra)
