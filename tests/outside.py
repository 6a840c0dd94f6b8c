"""An objective, losses and a solver as somebody outside the package writes them."""

import equinox as eqx
import jax.numpy as jnp

import bcnmf_jax as bj


class Joint(bj.AbstractObjective):
    """One basis for both sets: ``D(X | H W) + share n / m D(Y | G W)``."""

    share: jnp.ndarray = eqx.field(default=1.0, converter=jnp.asarray)
    loss: bj.AbstractLoss = eqx.field(default_factory=bj.Frobenius)
    penalties: tuple = ()

    def terms(self, data):
        weight = {"target": 1.0}
        if len(data) == 2:
            weight["background"] = self.share * data["target"].size / data["background"].size
        return [bj.Term(data[k], (k,), self.loss, weight.get(k, 0.0)) for k in data]


class Halved(bj.losses.AbstractQuadraticLoss):
    """A quarter of the squared error, ``1/4 sum (x - mu)^2``."""

    scale: float = eqx.field(default=0.5, static=True)


class Hellinger(bj.AbstractLoss):
    """``sum (sqrt(x) - sqrt(mu))^2``, for counts."""

    eps: float = eqx.field(default=1e-12, static=True)

    def deviance(self, x, mu):
        return (jnp.sqrt(x) - jnp.sqrt(mu)) ** 2

    def gradient_parts(self, x, mu):
        return bj.GradientParts(jnp.ones_like(mu), jnp.sqrt(x / mu))

    @property
    def powers(self):
        return 1, 0.5

    @property
    def degree(self):
        return 1.0

    @property
    def bounded(self):
        return True


class Slow(bj.AbstractSolver):
    """Multiplicative updates by half a step."""

    def init(self, objective, data, blocks):
        return bj.MU(damping=0.5).init(objective, data, blocks)

    def step(self, objective, data, blocks, state):
        return bj.MU(damping=0.5).step(objective, data, blocks, state)
