"""The published contrast: one basis, rewarded by the target and repelled by the background."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from bcnmf_jax.data.numbers import Number, concrete, number
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import Frobenius
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.penalties import AbstractPenalty
from bcnmf_jax.model.terms import Term


def backgrounds(data) -> list[tuple[tuple, Rows]]:
    """Path of the codes and rows of every background."""
    found = data.get("background", [])
    if isinstance(found, list):
        return [(("background", i), rows) for i, rows in enumerate(found)]
    return [(("background",), found)]


def check_alpha(alpha: Number) -> None:
    """Raise ValueError unless every contrast is finite and at least 0."""
    value = concrete(alpha)
    if value is not None and not ((value >= 0) & np.isfinite(value)).all():
        raise ValueError(f"alpha must be finite and at least 0, found {alpha}")


def per_background(alpha, data) -> list[Array]:
    """Weight of each background's misfit, ``a = alpha n / m``, with one alpha for each
    background or one for all. 0 where no target is present (codes do not depend on it)."""
    rows = [r for _, r in backgrounds(data)]
    if "target" not in data or not rows:
        return [jnp.zeros(()) for _ in rows]
    if alpha.ndim and alpha.shape != (len(rows),):
        raise ValueError(
            f"alpha has shape {alpha.shape} for {len(rows)} backgrounds; give one value or one each"
        )
    alpha = jnp.broadcast_to(jnp.asarray(alpha, rows[0].x.dtype), (len(rows),))
    return [alpha[i] * data["target"].size / r.size for i, r in enumerate(rows)]


class Contrastive(AbstractObjective):
    """``min over W, H, max over G: D(X | H W) - alpha n / m D(Y | G W)`` (bcNMF, Li, Yang & Li,
    arXiv 2602.22387).

    Parameters
    ----------
    alpha : float, or one value per background
        Contrast per sample, at least 0. The weight of the background's summed misfit is
        ``alpha n / m``.
    loss : AbstractLoss
    penalties : tuple of AbstractPenalty

    Notes
    -----
    With KL and with the negative binomial the cost is unbounded below as soon as
    ``a sum(Y_g) > sum(X_g)`` for a feature g: that feature dies (`Fit.diagnostics`). With squared
    error, program k leaves the basis near ``alpha_k = mean(h_k^2) / mean(g_k^2)``.
    """

    subtractive: ClassVar[bool] = True
    alpha: Number = eqx.field(default=1.0, converter=number)
    loss: AbstractLoss = eqx.field(default_factory=Frobenius)
    penalties: tuple[AbstractPenalty, ...] = ()

    def __check_init__(self):
        check_alpha(self.alpha)

    def terms(self, data):
        target = [Term(data["target"], ("target",), self.loss)] if "target" in data else []
        pairs = zip(backgrounds(data), per_background(self.alpha, data), strict=True)
        return target + [Term(rows, path, self.loss, weight=-a) for (path, rows), a in pairs]
