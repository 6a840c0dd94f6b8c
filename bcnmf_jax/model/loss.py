"""The abstract loss: a misfit of data and reconstruction, entry by entry."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree, Real

from bcnmf_jax.data.numbers import shown
from bcnmf_jax.model.gradient_parts import GradientParts

Power = float | Real[Array, "..."]
Powers = tuple[Power, Power]
"""Powers of the reconstruction in the positive and the negative part of a derivative."""


def weigh(a: Float[Array, "..."], weights: Float[Array, "..."] | None) -> Float[Array, "..."]:
    """Values times weights, if there are any."""
    return a if weights is None else a * weights


def power_of(w: Float[Array, "k g"], power: Power) -> Float[Array, "k g"] | int:
    """``w ** power``, finite where ``w`` is 0."""
    if isinstance(power, int) and power == 0:
        return 1
    return jnp.maximum(w, 1e-18) ** jnp.asarray(power, w.dtype)


def by_row(weights: Float[Array, "#n #g"] | None) -> bool:
    """Whether weights, if any, are one per row: then they factor out of a row's misfit."""
    return weights is None or weights.shape[-1] == 1


def xlog_ratio(x: Float[Array, "..."], mu: Float[Array, "..."]) -> Float[Array, "..."]:
    """``x log(x / mu)``, 0 at ``x = 0``."""
    # the inner where keeps the gradient at x = 0 from being NaN
    return x * jnp.log(jnp.where(x > 0, x / mu, 1))


class AbstractLoss(eqx.Module):
    """A misfit ``D(x | mu) = sum of d(x, mu)`` over entries, with ``mu = h @ w``.

    A subclass gives ``deviance``, ``gradient_parts``, ``powers`` and ``eps``, the floor of the
    reconstruction (0 where none is needed), and inherits the rest. Optional
    ``weights`` multiply ``d`` entry by entry, as ``(n, 1)`` (samples) or ``(n, g)`` (a mask).
    """

    eps: eqx.AbstractVar[float]

    __repr__ = shown

    @abstractmethod
    def deviance(self, x: Float[Array, "..."], mu: Float[Array, "..."]) -> Float[Array, "..."]:
        """``d(x, mu)``, entry by entry; nonnegative, 0 where ``mu = x``."""

    @abstractmethod
    def gradient_parts(self, x: Float[Array, "..."], mu: Float[Array, "..."]) -> GradientParts:
        """Derivative of ``d`` with respect to ``mu``, entry by entry, in two nonnegative parts."""

    @property
    @abstractmethod
    def powers(self) -> Powers:
        """Highest and lowest power ``(p, q)`` of ``u = new / old`` in the cost's majoriser.

        A multiplicative update with exponent ``1 / (p - q)`` does not raise the cost (Fevotte &
        Idier 2011 for beta-divergences; the swapped parts of a contrast are linear in ``u``, which
        lies between the two). Power 0 stands for the logarithm.
        """

    def mean(self, h: Float[Array, "*n k"], w: Float[Array, "k g"]) -> Float[Array, "*n g"]:
        """Reconstruction ``h @ w``, floored at ``eps`` so that a logarithm of it stays finite."""
        return jnp.maximum(h @ w, self.eps)

    def value(
        self,
        x: Float[Array, "*n g"],
        h: Float[Array, "*n k"],
        w: Float[Array, "k g"],
        weights: Float[Array, "..."] | None = None,
    ) -> Float[Array, ""]:
        """``D(x | h w)``, a scalar."""
        return jnp.sum(weigh(self.deviance(x, self.mean(h, w)), weights))

    def code_gradient(
        self,
        x: Float[Array, "n g"],
        w: Float[Array, "k g"],
        weights: Float[Array, "#n #g"] | None = None,
    ) -> Callable[[Float[Array, "n k"]], GradientParts]:
        """Function from codes ``h`` to their gradient in parts; what does not depend on ``h`` is
        computed here, once."""

        def at(h: Float[Array, "n k"]) -> GradientParts:
            s = self.gradient_parts(x, self.mean(h, w))
            return GradientParts(weigh(s.positive, weights) @ w.T, weigh(s.negative, weights) @ w.T)

        return at

    def statistics(
        self,
        x: Float[Array, "n g"],
        h: Float[Array, "n k"],
        w: Float[Array, "k g"],
        weights: Float[Array, "#n #g"] | None = None,
    ) -> PyTree:
        """Sufficient statistics of rows for the gradient of the basis; they add over rows."""
        s = self.gradient_parts(x, self.mean(h, w))
        return GradientParts(h.T @ weigh(s.positive, weights), h.T @ weigh(s.negative, weights))

    def basis_gradient(self, stats: PyTree, w: Float[Array, "k g"]) -> GradientParts:
        """Gradient, in parts, of the basis from the summed ``stats``."""
        return stats

    def to_memory(self, stats: PyTree, w: Float[Array, "k g"], powers: Powers) -> PyTree:
        """The statistics as they hold for other bases than ``w``, at which they were taken.

        They are coefficients of a majoriser ``pos u**p - neg u**q`` of ``u = new / w``; what is
        kept are those of the powers of the new basis itself.
        """
        p, q = powers
        return GradientParts(
            stats.positive * power_of(w, 1 - p), stats.negative * power_of(w, 1 - q)
        )

    def from_memory(self, kept: PyTree, w: Float[Array, "k g"], powers: Powers) -> PyTree:
        """The statistics at the basis ``w``, from what `to_memory` gave."""
        p, q = powers
        return GradientParts(kept.positive * power_of(w, p - 1), kept.negative * power_of(w, q - 1))

    def rescale(self, kept: PyTree, d: Float[Array, " k"], powers: Powers) -> PyTree:
        """Result of `to_memory` for codes ``h * d`` and the basis ``w / d``, for ``d (k,)``."""
        p, q = (power_of(d[:, None], power) for power in powers)
        return GradientParts(kept.positive * p, kept.negative * q)

    def reconstructs(self, weights: Float[Array, "#n #g"] | None) -> bool:
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

    def of_features(self, index: Int[Array, " j"]) -> "AbstractLoss":
        """The loss of some features alone, for one that has a value for each."""
        return self

    @property
    def null_rank(self) -> int:
        """Rank of the model without structure: a fit of no larger rank cannot explain anything."""
        return 1

    def null(
        self,
        x: Float[Array, "n g"],
        weights: Float[Array, "#n #g"] | None,
        rows: Float[Array, " n"],
        columns: Float[Array, " g"],
    ) -> Float[Array, ""]:
        """Misfit of the model without structure, that ``explained`` is measured against: the outer
        product of ``rows (n,)`` and ``columns (g,)``, which carry the totals of the data."""
        return self.value(x, rows[:, None], columns[None], weights)
