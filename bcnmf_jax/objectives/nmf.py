"""Plain NMF of the target."""

import equinox as eqx

from bcnmf_jax.losses import AbstractLoss, Frobenius
from bcnmf_jax.objective import AbstractObjective
from bcnmf_jax.penalties import AbstractPenalty
from bcnmf_jax.terms import Term


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
