"""Penalties on codes and basis, with the same two methods as a misfit: ``value`` and ``split``."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from bcnmf_jax.data.numbers import Number, concrete, number, shown
from bcnmf_jax.model.gradient_parts import GradientParts


class AbstractPenalty(eqx.Module):
    """A cost of one kind of block, in the cost of that block alone.

    Attributes
    ----------
    block : str
        ``"basis"``, ``"target"`` or ``"background"`` (every background, where there are several).
    weight : scalar
        What one unit of the penalty costs, in the units of the loss.
    """

    weight: eqx.AbstractVar[Number]
    block: eqx.AbstractVar[str]

    __repr__ = shown

    def __check_init__(self):
        if self.block not in ("basis", "target", "background"):
            raise ValueError(
                f"a penalty's block must be 'basis', 'target' or 'background', found {self.block!r}"
            )
        weight = concrete(self.weight)
        if weight is not None and not weight >= 0:
            raise ValueError(f"a penalty's weight must be at least 0, found {weight}")

    @abstractmethod
    def value(self, a: Array) -> Array:
        """The penalty of one array of rows; adds over the rows of codes."""

    @abstractmethod
    def split(self, a: Array) -> GradientParts:
        """Its gradient in parts."""

    @property
    @abstractmethod
    def powers(self) -> tuple[Any, Any]:
        """As `AbstractLoss.powers`."""

    @property
    def scale_free(self) -> bool:
        """Whether moving scale between basis and codes leaves it unchanged."""
        return False


class L1(AbstractPenalty):
    """``weight * sum |a|``, as scikit-learn defines it: sparser entries."""

    block: str = eqx.field(static=True)
    weight: Number = eqx.field(converter=number)

    def value(self, a):
        return jnp.asarray(self.weight, a.dtype) * jnp.sum(a)

    def split(self, a):
        return GradientParts(jnp.full_like(a, jnp.asarray(self.weight, a.dtype)), jnp.zeros_like(a))

    @property
    def powers(self):
        return 1, 1


class L2(AbstractPenalty):
    """``weight / 2 * sum a^2``, as scikit-learn defines it: smaller and more even entries."""

    block: str = eqx.field(static=True)
    weight: Number = eqx.field(converter=number)

    def value(self, a):
        return 0.5 * jnp.asarray(self.weight, a.dtype) * jnp.sum(a * a)

    def split(self, a):
        return GradientParts(jnp.asarray(self.weight, a.dtype) * a, jnp.zeros_like(a))

    @property
    def powers(self):
        return 2, 2


class Overlap(AbstractPenalty):
    """``weight / 2 * sum over pairs i != j of <w_i, w_j>^2``: components that share features.

    Parameters
    ----------
    weight : scalar
    normalised : bool
        Take the rows at unit length, with the gradient through the normalisation (default): the
        penalty then cannot be escaped by shrinking the basis and growing the codes. False is the
        form of the published combined basis, ``weight * ||Ws Wt'||_F^2``, which can.

    Notes
    -----
    Through the normalisation the step of a multiplicative update is a heuristic (the penalty is no
    polynomial in the basis); the other penalties keep the proof that a step raises no cost.
    """

    weight: Number = eqx.field(converter=number)
    normalised: bool = eqx.field(default=True, static=True)
    block: str = eqx.field(default="basis", init=False, static=True)

    def between(self, a: Array, b: Array) -> Array:
        """Penalty of all pairs of a row of ``a (k, g)`` and a row of ``b (l, g)``, each once."""
        overlaps = self._rows(a)[0] @ self._rows(b)[0].T
        return jnp.asarray(self.weight, a.dtype) * jnp.sum(overlaps**2)

    def between_split(self, a: Array, b: Array) -> tuple[GradientParts, GradientParts]:
        """Its gradients in parts with respect to ``a`` and ``b``."""
        (u, s), (v, t) = self._rows(a), self._rows(b)
        g = 2 * jnp.asarray(self.weight, a.dtype) * (u @ v.T)
        return self._back(g @ v, u, s), self._back(g.T @ u, v, t)

    def value(self, a):
        u = self._rows(a)[0]
        return 0.5 * jnp.asarray(self.weight, a.dtype) * jnp.sum(self._pairs(u) ** 2)

    def split(self, a):
        u, s = self._rows(a)
        return self._back(2 * jnp.asarray(self.weight, a.dtype) * (self._pairs(u) @ u), u, s)

    @property
    def powers(self):
        return 4, 4

    @property
    def scale_free(self):
        return self.normalised

    def _pairs(self, u):
        return (u @ u.T) * (1 - jnp.eye(u.shape[0], dtype=u.dtype))

    def _rows(self, a):
        if not self.normalised:
            return a, None
        length = jnp.sqrt(jnp.sum(a * a, axis=1, keepdims=True))
        length = jnp.where(length > 0, length, 1)
        return a / length, length

    def _back(self, g, u, length):
        """Gradient ``g >= 0`` of the rows ``u`` taken back through their normalisation."""
        if length is None:
            return GradientParts(g, jnp.zeros_like(g))
        return GradientParts(g / length, jnp.sum(g * u, axis=1, keepdims=True) * u / length)


def apply(penalties: tuple[AbstractPenalty, ...], block: str, a: Any) -> Any:
    """Sum of the gradients of the penalties of a block, or None where there are none."""
    mine = [p for p in penalties if p.block == block]
    if not mine:
        return None
    return jax.tree.map(lambda leaf: sum((p.split(leaf) for p in mine[1:]), mine[0].split(leaf)), a)
