"""Losses: sums over entries of a misfit between data and reconstruction, with gradients in parts.

Every loss answers four questions about a chunk of rows ``x (n, g)`` with codes ``h (n, k)`` and a
basis ``w (k, g)``: its value, the gradient of the codes in parts, what the rows contribute to
that of the basis (``statistics``, which add over rows), and that gradient from the sum.
No answer forms an array larger than the chunk.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from bcnmf_jax.data.numbers import Number, concrete, number
from bcnmf_jax.model.gradient_parts import GradientParts
from bcnmf_jax.model.loss import AbstractLoss, by_row, weigh, xlog_ratio


class AbstractQuadraticLoss(AbstractLoss):
    """Squared error times ``scale``, ``scale / 2 sum (x - mu)^2``: a quadratic of the codes and of
    the basis, which coordinate descent (`HALS`) and exact codes (`VarPro`) need.

    Its gradients need ``x w'``, ``w w'``, ``h' x`` and ``h' h`` alone, never the reconstruction,
    except under a mask of entries. A subclass gives ``scale``.
    """

    scale: eqx.AbstractVar[float]
    eps: float = eqx.field(default=0.0, static=True)

    def deviance(self, x, mu):
        return (0.5 * self.scale) * (x - mu) ** 2

    def gradient_parts(self, x, mu):
        return GradientParts(self.scale * mu, self.scale * x)

    @property
    def powers(self):
        return 2, 1

    def reconstructs(self, weights):
        return not by_row(weights)

    def code_gradient(self, x, w, weights=None):
        if self.reconstructs(weights):
            return super().code_gradient(x, w, weights)
        xw, ww = weigh(self.scale * (x @ w.T), weights), self.code_gram(w)
        return lambda h: GradientParts(weigh(h @ ww, weights), xw)

    def statistics(self, x, h, w, weights=None):
        if self.reconstructs(weights):
            return super().statistics(x, h, w, weights)
        weighted = self.scale * weigh(h, weights).T
        return weighted @ x, weighted @ h

    def basis_gradient(self, stats, w):
        if isinstance(stats, GradientParts):
            return stats
        hx, hh = stats
        return GradientParts(hh @ w, hx)

    def code_gram(self, w: Float[Array, "k g"]) -> Float[Array, "k k"]:
        """Matrix of the quadratic that a row's misfit is in its codes."""
        return self.scale * (w @ w.T)

    def basis_gram(self, stats: PyTree) -> Float[Array, "k k"]:
        """Matrix of the quadratic that the misfit is in the basis, from `statistics`."""
        return stats[1]

    def to_memory(self, stats, w, powers):
        return super().to_memory(stats, w, powers) if isinstance(stats, GradientParts) else stats

    def from_memory(self, kept, w, powers):
        return super().from_memory(kept, w, powers) if isinstance(kept, GradientParts) else kept

    def rescale(self, kept, d, powers):
        if isinstance(kept, GradientParts):
            return super().rescale(kept, d, powers)
        hx, hh = kept
        return hx * d[:, None], hh * d[:, None] * d[None]

    @property
    def degree(self):
        return 2.0

    @property
    def bounded(self):
        return True

    @property
    def null_rank(self):
        return 0

    def null(self, x, weights, rows, columns):
        """Squared error is measured against zero: uncentred explained variance."""
        return jnp.sum(weigh(self.deviance(x, jnp.zeros_like(x)), weights))


class Frobenius(AbstractQuadraticLoss):
    """Squared error, ``1/2 sum (x - mu)^2``."""

    scale: ClassVar[float] = 1.0


class KL(AbstractLoss):
    """Generalised Kullback-Leibler divergence, ``sum x log(x / mu) - x + mu``: half the deviance of
    a Poisson model. Made for raw counts.

    Parameters
    ----------
    eps : float
        Floor of the reconstruction. Without a background, or where the objective is bounded, it
        only guards a division by zero.
    """

    eps: float = eqx.field(default=1e-16, static=True)

    def deviance(self, x, mu):
        return xlog_ratio(x, mu) - x + mu

    def gradient_parts(self, x, mu):
        return GradientParts(jnp.ones_like(x), x / mu)

    @property
    def powers(self):
        return 1, 0

    @property
    def degree(self):
        return 1.0

    # The positive half is a plain sum: no matrix of ones is built or multiplied.
    def code_gradient(self, x, w, weights=None):
        pos = weigh(w.sum(1)[None], weights) if by_row(weights) else weights @ w.T  # pyright: ignore
        return lambda h: GradientParts(pos, weigh(x / self.mean(h, w), weights) @ w.T)

    def statistics(self, x, h, w, weights=None):
        pos = weigh(h, weights).sum(0)[:, None] if by_row(weights) else h.T @ weights  # pyright: ignore
        return GradientParts(pos, h.T @ weigh(x / self.mean(h, w), weights))


class Beta(AbstractLoss):
    """Beta-divergence; ``b = 2`` is squared error, ``b -> 1`` generalised KL.

    Parameters
    ----------
    b : float
        Above 0, and not 1 (use `KL`). Above 1 the contrast's cost is bounded below; the smaller,
        the less large values weigh.
    eps : float
        Floor of the reconstruction.

    Raises
    ------
    ValueError
        If ``b`` is not positive or is 1.
    """

    b: Number = eqx.field(converter=number)
    eps: float = eqx.field(default=1e-16, static=True)

    def __check_init__(self):
        b = concrete(self.b)
        if b is not None and not (b > 0 and b != 1):
            raise ValueError(f"Beta(b) needs b > 0 and b != 1, found {b}; for b = 1 use KL()")

    def deviance(self, x, mu):
        b = self.b.astype(x.dtype)
        return (x**b + (b - 1) * mu**b - b * x * mu ** (b - 1)) / (b * (b - 1))

    def gradient_parts(self, x, mu):
        pos = mu ** (self.b.astype(x.dtype) - 1)
        return GradientParts(pos, x * pos / mu)

    @property
    def degree(self):
        b = concrete(self.b)
        return None if b is None else float(b)

    @property
    def bounded(self):
        return bool(self.b > 1)

    @property
    def powers(self):
        return jnp.maximum(self.b, 1), jnp.minimum(self.b - 1, 1)


class NegativeBinomial(AbstractLoss):
    """Negative binomial deviance / 2 with given dispersion; for overdispersed raw counts.

    Parameters
    ----------
    dispersion : float or array (g,)
        ``variance = mu + dispersion mu^2`` (the edgeR and DESeq2 convention; the inverse of the
        ``size`` or ``theta`` of other tools). Above 0.
    eps : float
        Floor of the reconstruction.

    Raises
    ------
    ValueError
        If a dispersion is not positive.
    """

    dispersion: Number = eqx.field(converter=number)
    eps: float = eqx.field(default=1e-16, static=True)

    def __check_init__(self):
        d = concrete(self.dispersion)
        if d is not None and not (d > 0).all():
            raise ValueError(
                f"NegativeBinomial(dispersion) needs values above 0, found {float(d.min())}; "
                "for no overdispersion use KL()"
            )

    def _size(self, x):
        d = self.dispersion
        if d.ndim and d.shape[-1] not in (1, x.shape[-1]):
            raise ValueError(
                f"NegativeBinomial(dispersion) has {d.shape[-1]} values for {x.shape[-1]} "
                "features; give one, or one for each"
            )
        return 1 / jnp.expand_dims(d.astype(x.dtype), range(x.ndim - d.ndim))

    def of_features(self, index):
        d = self.dispersion
        if d.ndim == 0 or d.shape[-1] == 1:
            return self
        return eqx.tree_at(lambda loss: loss.dispersion, self, jnp.asarray(d)[..., index])

    def deviance(self, x, mu):
        r = self._size(x)
        # log1p: for small dispersion both terms are large against their difference
        return xlog_ratio(x, mu) - (x + r) * jnp.log1p((x - mu) / (mu + r))

    def gradient_parts(self, x, mu):
        r = self._size(x)
        return GradientParts((x + r) / (mu + r), x / mu)

    @property
    def powers(self):
        return 1, 0


LOSSES: dict[str, Callable[[], AbstractLoss]] = {"frobenius": Frobenius, "kl": KL}
"""Losses by the names that estimator and command take."""


def as_loss(loss: str | AbstractLoss) -> AbstractLoss:
    """The loss of that name, or the one given.

    Raises
    ------
    ValueError
        For another name.
    """
    if isinstance(loss, AbstractLoss):
        return loss
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {sorted(LOSSES)} or a loss, found {loss!r}")
    return LOSSES[loss]()
