"""The authors' combined basis: each component has a shared and a target part."""

from typing import Any, ClassVar

import equinox as eqx

from bcnmf_jax.data.numbers import Number, number
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import Frobenius
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.penalties import AbstractPenalty, Overlap
from bcnmf_jax.model.terms import Term


class CombinedBasis(AbstractObjective):
    """``min D(X | H (Ws + Wt)) + D(Y | G Ws) + overlap * sum over pairs <ws_i, wt_j>^2``: a
    bounded sum (bcNMF's second model). The basis is ``{"target": Wt, "shared": Ws}``.

    Parameters
    ----------
    overlap : float
        Weight of the overlap of the two bases.
    loss : AbstractLoss
    normalised : bool
        Take the overlap on rows of unit length. The published form (False) is vacuous: shrinking
        both bases and growing the codes takes it to 0 at the same misfit.
    penalties : tuple of AbstractPenalty
    """

    overlap: Number = eqx.field(default=1.0, converter=number)
    loss: AbstractLoss = eqx.field(default_factory=Frobenius)
    normalised: bool = eqx.field(default=True, static=True)
    penalties: tuple[AbstractPenalty, ...] = ()

    several_backgrounds: ClassVar[bool] = False

    def features(self, data):
        return {"shared": data["target"].x.shape[1], "target": data["target"].x.shape[1]}

    def terms(self, data):
        mixes: dict[str, Any] = {"target": _whole, "background": _shared}
        mixes = {k: mix for k, mix in mixes.items() if k in data}
        return [Term(data[k], (k,), self.loss, basis_map=mix) for k, mix in mixes.items()]

    @property
    def _between(self):
        return Overlap(weight=self.overlap, normalised=self.normalised)

    def basis_penalty(self, basis):
        value, more = super().basis_penalty(basis)
        shared, target = self._between.between_split(basis["shared"], basis["target"])
        mine = {"shared": shared, "target": target}
        value += self._between.between(basis["shared"], basis["target"])
        return value, mine if more is None else {k: mine[k] + more[k] for k in mine}

    @property
    def basis_powers(self):
        return [*super().basis_powers, self._between.powers]

    @property
    def scale_free(self):
        return super().scale_free and self.normalised


def _whole(basis):
    return basis["shared"] + basis["target"]


def _shared(basis):
    return basis["shared"]
