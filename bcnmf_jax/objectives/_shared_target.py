"""Shared components for both sets and components for the target alone."""

from functools import partial

import equinox as eqx
import numpy as np

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.numbers import Number, number
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import Frobenius
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.penalties import AbstractPenalty
from bcnmf_jax.model.terms import Term
from bcnmf_jax.objectives._contrastive import backgrounds, check_alpha, per_background


class SharedTarget(AbstractObjective):
    """``min D(X | H [Wt; Ws]) + sum over backgrounds n / m [(1 + alpha) D(Y | G Ws) - alpha
    D(Y | F [Wt; Ws])]``: the background is explained by the shared components; whatever the target
    components could add to that is charged ``alpha`` times.

    What is charged is the gain ``min D(Y | G Ws) - min D(Y | F [Wt; Ws]) >= 0``, so that the cost
    is bounded below by 0 for every alpha, loss and basis.

    Parameters
    ----------
    shared_rank : int
        Number of shared components; ``rank`` counts the target components.
    alpha : float, or one value per background
        Contrast per sample of the target components; at 0 a bounded sum.
    loss : AbstractLoss
    penalties : tuple of AbstractPenalty

    Notes
    -----
    Codes of the background have zeros for the target components. The codes ``F`` of the charge are
    a block of their own, ``"contrast"``.
    """

    shared_rank: int = eqx.field(static=True)
    alpha: Number = eqx.field(default=0.0, converter=number)
    loss: AbstractLoss = eqx.field(default_factory=Frobenius)
    penalties: tuple[AbstractPenalty, ...] = ()

    def __check_init__(self):
        check_alpha(self.alpha)
        check_integer(self.shared_rank, "shared_rank")

    @property
    def extra(self):
        return self.shared_rank

    def terms(self, data):
        terms = [Term(data["target"], ("target",), self.loss)] if "target" in data else []
        codes = partial(_last_columns, count=self.shared_rank)
        basis = partial(_last_rows, count=self.shared_rank)
        ones = per_background(np.ones(()), data)
        for (path, rows), one, a in zip(
            backgrounds(data), ones, per_background(self.alpha, data), strict=True
        ):
            terms.append(Term(rows, path, self.loss, one + a, code_map=codes, basis_map=basis))
            terms.append(Term(rows, ("contrast", *path[1:]), self.loss, -a))
        return terms


def _last_columns(codes, count):
    return codes[:, codes.shape[1] - count :]


def _last_rows(basis, count):
    return basis[basis.shape[0] - count :]
