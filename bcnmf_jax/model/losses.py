"""Losses: sums over entries of a misfit between data and reconstruction, with split gradients.

Every loss answers four questions about a chunk of rows ``x (n, g)`` with codes ``h (n, k)`` and a
basis ``w (k, g)``: its value, the split gradient of the codes, what the rows contribute to the
split gradient of the basis (``stats``, which add over rows) and that gradient from the sum.
No answer forms an array larger than the chunk.
"""

import equinox as eqx
import jax.numpy as jnp

from bcnmf_jax.data.numbers import Number, known, number
from bcnmf_jax.model.gradient_parts import Split
from bcnmf_jax.model.loss import AbstractLoss, by_row, weigh, xlog_ratio


class Frobenius(AbstractLoss):
    """Squared error, ``1/2 sum (x - mu)^2``.

    Its gradients need ``x w'``, ``w w'``, ``h' x`` and ``h' h`` alone, never the reconstruction,
    except under a mask of entries.
    """

    eps: float = eqx.field(default=0.0, static=True)

    def deviance(self, x, mu):
        return 0.5 * (x - mu) ** 2

    def halves(self, x, mu):
        return Split(mu, x)

    @property
    def powers(self):
        return 2, 1

    def reconstructs(self, v):
        return not by_row(v)

    def code_split(self, x, w, v=None):
        if self.reconstructs(v):
            return super().code_split(x, w, v)
        xw, ww = weigh(x @ w.T, v), w @ w.T
        return lambda h: Split(weigh(h @ ww, v), xw)

    def stats(self, x, h, w, v=None):
        if self.reconstructs(v):
            return super().stats(x, h, w, v)
        weighted = weigh(h, v).T
        return weighted @ x, weighted @ h

    def basis_split(self, stats, w):
        if isinstance(stats, Split):
            return stats
        hx, hh = stats
        return Split(hh @ w, hx)

    def code_gram(self, w):
        return w @ w.T

    def basis_gram(self, stats):
        return stats[1]

    def remember(self, stats, w, powers):
        return super().remember(stats, w, powers) if isinstance(stats, Split) else stats

    def recall(self, kept, w, powers):
        return super().recall(kept, w, powers) if isinstance(kept, Split) else kept

    def rescale(self, kept, d, powers):
        if isinstance(kept, Split):
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

    def null(self, x, v, rows, columns):
        """Squared error is measured against zero: uncentred explained variance."""
        return jnp.sum(weigh(self.deviance(x, jnp.zeros_like(x)), v))


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

    def halves(self, x, mu):
        return Split(jnp.ones_like(x), x / mu)

    @property
    def powers(self):
        return 1, 0

    @property
    def degree(self):
        return 1.0

    # The positive half is a plain sum: no matrix of ones is built or multiplied.
    def code_split(self, x, w, v=None):
        pos = weigh(w.sum(1)[None], v) if by_row(v) else v @ w.T  # pyright: ignore
        return lambda h: Split(pos, weigh(x / self.mean(h, w), v) @ w.T)

    def stats(self, x, h, w, v=None):
        pos = weigh(h, v).sum(0)[:, None] if by_row(v) else h.T @ v  # pyright: ignore
        return Split(pos, h.T @ weigh(x / self.mean(h, w), v))


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
        b = known(self.b)
        if b is not None and not (b > 0 and b != 1):
            raise ValueError(f"Beta(b) needs b > 0 and b != 1, found {b}; for b = 1 use KL()")

    def deviance(self, x, mu):
        b = self.b.astype(x.dtype)
        return (x**b + (b - 1) * mu**b - b * x * mu ** (b - 1)) / (b * (b - 1))

    def halves(self, x, mu):
        pos = mu ** (self.b.astype(x.dtype) - 1)
        return Split(pos, x * pos / mu)

    @property
    def degree(self):
        b = known(self.b)
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
        d = known(self.dispersion)
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

    def halves(self, x, mu):
        r = self._size(x)
        return Split((x + r) / (mu + r), x / mu)

    @property
    def powers(self):
        return 1, 0
