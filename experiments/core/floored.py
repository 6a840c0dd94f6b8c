"""`Floored`: a contrast that is bounded by a floor under the background's reconstruction.

An objective and a loss as they are written outside the package; a method of
`configs/bounded.toml`.
"""

from __future__ import annotations

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

import bcnmf_jax as bj

SHARE = 0.1
"""Of a sample's total, in the floor."""


class OverFloor(bj.AbstractLoss):
    """``D(x | mu + floor)`` with ``floor = share s columns``, where s is the total of the row.

    Parameters
    ----------
    loss : AbstractLoss
    columns : Array (g,)
        The mean profile, of unit sum.
    share, eps : float
    """

    loss: bj.AbstractLoss
    columns: Array
    share: float = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def floor(self, x):
        """What is added to the reconstruction of rows."""
        return self.share * x.sum(1, keepdims=True) * self.columns

    def deviance(self, x, mu):
        return self.loss.deviance(x, mu + self.floor(x))

    def gradient_parts(self, x, mu):
        return self.loss.gradient_parts(x, mu + self.floor(x))

    @property
    def powers(self):
        return self.loss.powers

    @property
    def bounded(self):
        return True

    def null(self, x, v, rows, columns):
        return self.loss.null(x, v, rows, columns)


class Floored(bj.AbstractObjective):
    """``min over W, H, max over G: D(X | H W) - alpha n / m D(Y | G W + share s mean(Y))``.

    At G = 0 the background's misfit is that of its own mean profile at a tenth of each sample's
    depth, whatever W is; G does at least as well. So the cost is at least ``-a D(Y | share s
    mean(Y))`` for every alpha, loss and W, and a feature that W gives up is no longer free.
    """

    alpha: Array = eqx.field(default=1.0, converter=jnp.asarray)
    loss: bj.AbstractLoss = eqx.field(default_factory=bj.KL)
    penalties: tuple[bj.penalties.AbstractPenalty, ...] = ()

    def terms(self, data):
        def over(term):
            y = term.rows.x
            own = OverFloor(
                loss=self.loss, columns=y.sum(0) / y.sum(), share=SHARE, eps=self.loss.eps
            )
            return replace(term, loss=own)

        terms = bj.Contrastive(alpha=self.alpha, loss=self.loss).terms(data)
        return [t if t.codes == ("target",) else over(t) for t in terms]
