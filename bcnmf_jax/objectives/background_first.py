"""Background first: a basis of the background, frozen, and target components beyond it."""

import equinox as eqx
import jax
import jax.numpy as jnp

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.numbers import Number, number
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.codes import solve_codes
from bcnmf_jax.fitting.loop import run
from bcnmf_jax.fitting.start import start
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import Frobenius
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.penalties import AbstractPenalty
from bcnmf_jax.objectives.contrastive import Contrastive, backgrounds, check_alpha
from bcnmf_jax.objectives.nmf import NMF
from bcnmf_jax.solvers.default import default_solver

SETTLED = Stop(tol=0.0, max_steps=10)
"""Passes of ten code updates before a component moves: as many for every row, so that chunks of
rows settle as the whole does."""


class BackgroundFirst(AbstractObjective):
    """``min over W, H, max over G: D(X | H [W; B]) - alpha n / m D(Y | G [W; B])`` with B fitted
    to the background alone and frozen.

    G may leave the target components out, so that the cost is at least ``-a D(Y | G_B B)`` for
    every alpha, loss and W. The codes of both sets are read on all components at once.

    Parameters
    ----------
    background_rank : int
        Number of background components, fitted by `init` and last among the components; ``rank``
        counts the target components. Err on the high side.
    alpha : float, or one value per background
        Contrast per sample; insures against a poor basis of the background, harms where the
        background holds some of the target's program.
    loss : AbstractLoss
    penalties : tuple of AbstractPenalty
    """

    background_rank: int = eqx.field(static=True)
    alpha: Number = eqx.field(default=0.0, converter=number)
    loss: AbstractLoss = eqx.field(default_factory=Frobenius)
    penalties: tuple[AbstractPenalty, ...] = ()

    def __check_init__(self):
        check_alpha(self.alpha)
        check_integer(self.background_rank, "background_rank")

    @property
    def extra(self):
        return self.background_rank

    @property
    def frozen(self):
        return self.background_rank

    def terms(self, data):
        return Contrastive(alpha=self.alpha, loss=self.loss).terms(data)

    def settle(self, data, blocks):
        """Codes at their optimum: from others, a component that is about to move takes shared
        structure at once, and does not let go of it."""
        return solve_codes(self, data, blocks["basis"], SETTLED)

    def frozen_fit(self, key):
        own = jax.random.fold_in(key, 2**31 - 3)
        return NMF(loss=self.loss), own, Stop(tol=1e-4, max_steps=300)

    def prepare_basis(self, data, basis, key):
        """The drawn basis with NMF of the background (all of them stacked) in its last rows."""
        rows = [r for _, r in backgrounds(data)]
        if not rows:
            raise ValueError('BackgroundFirst needs data["background"]')
        weights = None
        if any(r.v is not None for r in rows):
            full = [jnp.ones_like(r.x[:, :1]) if r.v is None else r.v for r in rows]
            wide = max(v.shape[1] for v in full)
            full = [jnp.broadcast_to(v, (v.shape[0], wide)) for v in full]
            weights = jnp.concatenate(full)
        stacked = {"target": Rows(jnp.concatenate([r.x for r in rows]), weights)}
        plain, own, stop = self.frozen_fit(key)
        solver = default_solver(plain, stacked)
        blocks = start(plain, stacked, self.background_rank, own, "random")
        found = run(plain, stacked, blocks, solver, stop, stop.looks)
        count = basis.shape[0] - self.background_rank
        return jnp.concatenate([basis[:count], found.blocks["basis"]])
