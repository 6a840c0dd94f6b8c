"""Plain NMF of the target."""

import equinox as eqx

from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import Frobenius
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.penalties import AbstractPenalty
from bcnmf_jax.model.terms import Term


class NMF(AbstractObjective):
    """``min D(X | H W)`` (Lee & Seung 2001); a background, if given, is ignored.

    Parameters
    ----------
    loss : AbstractLoss
    penalties : tuple of AbstractPenalty
    """

    loss: AbstractLoss = eqx.field(default_factory=Frobenius)
    penalties: tuple[AbstractPenalty, ...] = ()

    def terms(self, data):
        return [Term(data["target"], ("target",), self.loss)] if "target" in data else []
