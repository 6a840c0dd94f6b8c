"""Several modalities of the same samples: codes are shared, each modality has a basis."""

from functools import partial
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array

from bcnmf_jax.data.numbers import Number, number
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import Frobenius
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.penalties import AbstractPenalty
from bcnmf_jax.model.terms import Term
from bcnmf_jax.objectives._contrastive import check_alpha


def modality(basis: dict[str, Array], name: str) -> Array:
    """One modality's array of the basis."""
    return basis[name]


class Multimodal(AbstractObjective):
    """``sum over modalities q: D(X_q | H W_q) - alpha n / m D(Y_q | G W_q)`` (bcNMF for two
    modalities, any number here).

    Data are dictionaries by modality, ``{"target": {"rna": X1, "protein": X2}, "background":
    {...}}``, and so is the basis. Rows are the same samples in every modality.

    Parameters
    ----------
    alpha : float
        Contrast per sample, the same for all modalities.
    loss : AbstractLoss, or dict of them by modality
    penalties : tuple of AbstractPenalty
    """

    alpha: Number = eqx.field(default=1.0, converter=number)
    loss: AbstractLoss | dict[str, AbstractLoss] = eqx.field(default_factory=Frobenius)
    penalties: tuple[AbstractPenalty, ...] = ()

    modalities: ClassVar[bool] = True
    subtractive: ClassVar[bool] = True
    several_backgrounds: ClassVar[bool] = False

    def __check_init__(self):
        check_alpha(self.alpha)

    def terms(self, data):
        sizes = {k: next(iter(rows.values())).size for k, rows in data.items()}
        both = "target" in data and "background" in data
        a = 0.0
        if both:
            dtype = next(iter(data["target"].values())).x.dtype
            a = self.alpha.astype(dtype) * sizes["target"] / sizes["background"]
        return [
            Term(rows, (name,), self._loss(q), pays, basis_map=partial(modality, name=q))
            for name, pays in (("target", 1.0), ("background", -a))
            for q, rows in data.get(name, {}).items()
        ]

    def _loss(self, q):
        return self.loss[q] if isinstance(self.loss, dict) else self.loss
