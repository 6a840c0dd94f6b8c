"""Losses: sums over entries of a misfit between data and reconstruction, with split gradients.

Every loss answers four questions about a chunk of rows ``x (n, g)`` with codes ``h (n, k)`` and a
basis ``w (k, g)``: its value, the split gradient of the codes, what the rows contribute to the
split gradient of the basis (``stats``, which add over rows) and that gradient from the sum.
No answer forms an array larger than the chunk.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from bcnmf_jax.split import Number, Split, known, number, shown


def _weigh(a: Array, v: Array | None) -> Array:
    return a if v is None else a * v


def _power(w: Array, power: Any) -> Array | int:
    """``w ** power``, finite where ``w`` is 0."""
    if isinstance(power, int) and power == 0:
        return 1
    return jnp.maximum(w, 1e-18) ** jnp.asarray(power, w.dtype)


def by_row(v: Array | None) -> bool:
    """Whether weights, if any, are one per row: then they factor out of a row's misfit."""
    return v is None or v.shape[-1] == 1


def _xlog_ratio(x: Array, mu: Array) -> Array:
    """``x log(x / mu)``, 0 at ``x = 0``."""
    # the inner where keeps the gradient at x = 0 from being NaN
    return x * jnp.log(jnp.where(x > 0, x / mu, 1))


class AbstractLoss(eqx.Module):
    """A misfit ``D(x | mu) = sum of d(x, mu)`` over entries, with ``mu = h @ w``.

    A subclass gives ``deviance`` and ``halves`` and inherits the rest. The optional weights ``v``
    multiply ``d`` entry by entry, as ``(n, 1)`` (samples) or ``(n, g)`` (a mask of values).
    """

    eps: eqx.AbstractVar[float]

    __repr__ = shown

    @abstractmethod
    def deviance(self, x: Array, mu: Array) -> Array:
        """``d(x, mu)``, entry by entry; nonnegative, 0 where ``mu = x``."""

    @abstractmethod
    def halves(self, x: Array, mu: Array) -> Split:
        """Split derivative of ``d`` with respect to ``mu``, entry by entry."""

    @property
    @abstractmethod
    def powers(self) -> tuple[Any, Any]:
        """Highest and lowest power ``(p, q)`` of ``u = new / old`` in the cost's majoriser.

        A multiplicative update with exponent ``1 / (p - q)`` does not raise the cost (Fevotte &
        Idier 2011 for beta-divergences; the swapped halves of a contrast are linear in ``u``, which
        lies between the two). Power 0 stands for the logarithm.
        """

    def mean(self, h: Array, w: Array) -> Array:
        """Reconstruction ``h @ w``, floored at ``eps`` so that a logarithm of it stays finite."""
        return jnp.maximum(h @ w, self.eps)

    def value(self, x: Array, h: Array, w: Array, v: Array | None = None) -> Array:
        """``D(x | h w)``, a scalar."""
        return jnp.sum(_weigh(self.deviance(x, self.mean(h, w)), v))

    def code_split(self, x: Array, w: Array, v: Array | None = None) -> Callable[[Array], Split]:
        """Function from codes ``h`` to their split gradient; what does not depend on ``h`` is
        computed here, once."""

        def at(h: Array) -> Split:
            s = self.halves(x, self.mean(h, w))
            return Split(_weigh(s.pos, v) @ w.T, _weigh(s.neg, v) @ w.T)

        return at

    def stats(self, x: Array, h: Array, w: Array, v: Array | None = None) -> Any:
        """What these rows contribute to the basis' split gradient; a pytree that adds over rows."""
        s = self.halves(x, self.mean(h, w))
        return Split(h.T @ _weigh(s.pos, v), h.T @ _weigh(s.neg, v))

    def basis_split(self, stats: Any, w: Array) -> Split:
        """Split gradient of the basis from the summed ``stats``."""
        return stats

    def code_gram(self, w: Array) -> Array:
        """Matrix ``(k, k)`` of the quadratic that a row's misfit is in its codes.

        Raises
        ------
        TypeError
            For a loss that is not quadratic.
        """
        raise TypeError(f"{type(self).__name__} is no quadratic of the codes and of the basis")

    def basis_gram(self, stats: Any) -> Array:
        """Matrix ``(k, k)`` of the quadratic that the misfit is in the basis.

        Raises
        ------
        TypeError
            As `code_gram`.
        """
        raise TypeError(f"{type(self).__name__} is no quadratic of the codes and of the basis")

    def remember(self, stats: Any, w: Array, powers: tuple[Any, Any]) -> Any:
        """The stats as they hold for other bases than ``w``, at which they were taken.

        They are coefficients of a majoriser ``pos u**p - neg u**q`` of ``u = new / w``; what is
        kept are those of the powers of the new basis itself.
        """
        p, q = powers
        return Split(stats.pos * _power(w, 1 - p), stats.neg * _power(w, 1 - q))

    def recall(self, kept: Any, w: Array, powers: tuple[Any, Any]) -> Any:
        """The stats at the basis ``w``, from what `remember` gave."""
        p, q = powers
        return Split(kept.pos * _power(w, p - 1), kept.neg * _power(w, q - 1))

    def rescale(self, kept: Any, d: Array, powers: tuple[Any, Any]) -> Any:
        """What `remember` gives for codes ``h * d`` and the basis ``w / d``, for ``d (k,)``."""
        p, q = (_power(d[:, None], power) for power in powers)
        return Split(kept.pos * p, kept.neg * q)

    def reconstructs(self, v: Array | None) -> bool:
        """Whether the gradients form the reconstruction, an array of the data's size."""
        return True

    @property
    def degree(self) -> float | None:
        """Power by which the misfit grows with a common factor of data and reconstruction; None
        where it does not."""
        return None

    @property
    def bounded(self) -> bool:
        """Whether the misfit stays finite where the reconstruction vanishes: what makes the cost
        of a contrast bounded below. Is read before a program is traced."""
        return False

    def of_features(self, index: Array) -> "AbstractLoss":
        """The loss of some features alone, for one that has a value for each."""
        return self

    @property
    def null_rank(self) -> int:
        """Rank of the model without structure: a fit of no larger rank cannot explain anything."""
        return 1

    def null(self, x: Array, v: Array | None, rows: Array, columns: Array) -> Array:
        """Misfit of the model without structure, that ``explained`` is measured against: the outer
        product of ``rows (n,)`` and ``columns (g,)``, which carry the totals of the data."""
        return self.value(x, rows[:, None], columns[None], v)


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
        xw, ww = _weigh(x @ w.T, v), w @ w.T
        return lambda h: Split(_weigh(h @ ww, v), xw)

    def stats(self, x, h, w, v=None):
        if self.reconstructs(v):
            return super().stats(x, h, w, v)
        weighted = _weigh(h, v).T
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
        return jnp.sum(_weigh(self.deviance(x, jnp.zeros_like(x)), v))


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
        return _xlog_ratio(x, mu) - x + mu

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
        pos = _weigh(w.sum(1)[None], v) if by_row(v) else v @ w.T  # pyright: ignore
        return lambda h: Split(pos, _weigh(x / self.mean(h, w), v) @ w.T)

    def stats(self, x, h, w, v=None):
        pos = _weigh(h, v).sum(0)[:, None] if by_row(v) else h.T @ v  # pyright: ignore
        return Split(pos, h.T @ _weigh(x / self.mean(h, w), v))


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
        return _xlog_ratio(x, mu) - (x + r) * jnp.log1p((x - mu) / (mu + r))

    def halves(self, x, mu):
        r = self._size(x)
        return Split((x + r) / (mu + r), x / mu)

    @property
    def powers(self):
        return 1, 0
