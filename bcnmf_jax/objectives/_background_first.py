"""Background first: a basis of the background, frozen, and target components beyond it."""

from typing import ClassVar

import equinox as eqx

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.numbers import Number, number
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import Frobenius
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.penalties import AbstractPenalty
from bcnmf_jax.objectives._contrastive import Contrastive, check_alpha
from bcnmf_jax.objectives._nmf import NMF


class BackgroundFirst(AbstractObjective):
    """``min over W, H, max over G: D(X | H [W; B]) - alpha n / m D(Y | G [W; B])`` with B fitted
    to the background alone and frozen.

    G may leave the target components out, so that the cost is at least ``-a D(Y | G_B B)`` for
    every alpha, loss and W. The codes of both sets are read on all components at once.

    Parameters
    ----------
    background_rank : int
        Number of background components, fitted by `init` and last among the components; ``rank``
        counts the target components. Err on the high side.
    alpha : float, or one value per background
        Contrast per sample; insures against a poor basis of the background, harms where the
        background holds some of the target's program.
    loss : AbstractLoss
    penalties : tuple of AbstractPenalty
    """

    settled_start: ClassVar[bool] = True
    background_rank: int = eqx.field(static=True)
    alpha: Number = eqx.field(default=0.0, converter=number)
    loss: AbstractLoss = eqx.field(default_factory=Frobenius)
    penalties: tuple[AbstractPenalty, ...] = ()

    def __check_init__(self):
        check_alpha(self.alpha)
        check_integer(self.background_rank, "background_rank")

    @property
    def extra(self):
        return self.background_rank

    @property
    def frozen(self):
        return self.background_rank

    def terms(self, data):
        return Contrastive(alpha=self.alpha, loss=self.loss).terms(data)

    @property
    def frozen_objective(self):
        return NMF(loss=self.loss)
