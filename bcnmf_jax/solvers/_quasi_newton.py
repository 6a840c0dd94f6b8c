"""Limited-memory BFGS at bounds of 0: a direction from the last moves and changes of slope."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


class Memory(eqx.Module):
    """The last moves of a vector of N entries, newest first.

    Attributes
    ----------
    moves, bends : Array (m, N)
        By how much the vector moved, and its slope changed.
    count : int array
        How many are there.
    """

    moves: Array
    bends: Array
    count: Array

    @classmethod
    def empty(cls, length: int, like: Array) -> Memory:
        """Room for ``length`` moves of a vector."""
        room = jnp.zeros((length, *like.shape), like.dtype)
        return cls(room, room, jnp.zeros((), jnp.int32))

    def add(self, move: Array, bend: Array) -> Memory:
        """With one more, and without the oldest where there is no room."""
        push = lambda old, new: jnp.concatenate([new[None], old[:-1]])  # noqa: E731
        count = jnp.minimum(self.count + 1, len(self.moves))
        return Memory(push(self.moves, move), push(self.bends, bend), count)

    def rescaled(self, unit: Array) -> Memory:
        """For the vector over ``unit (N,)``."""
        return Memory(self.moves / unit[None], self.bends * unit[None], self.count)

    def direction(self, slope: Array, metric: Array, free: Array) -> tuple[Array, Array]:
        """Direction of a step, and whether it rests on earlier moves.

        Parameters
        ----------
        slope, metric, free : Array (N,)
            The gradient; what a step along it is multiplied by where nothing is known; the entries
            that take part. Others follow the metric alone, towards their bound (Bertsekas 1982).
        """
        size = len(self.moves)
        s, y = (jnp.where(free[None], a, 0) for a in (self.moves, self.bends))
        bend, sy = jnp.sum(metric[None] * y * y, 1), jnp.sum(s * y, 1)
        length = jnp.sum(s * s / jnp.where(metric > 0, metric, 1)[None], 1)
        # A move along which the function bends downwards is left out.
        filled = jnp.arange(size, dtype=self.count.dtype) < self.count
        good = filled & (sy > 1e-6 * jnp.sqrt(bend * length))
        rho = jnp.where(good, 1 / jnp.where(good, sy, 1), 0)

        def back(q, pair):
            s, y, rho = pair
            share = rho * (s @ q)
            return q - share * y, share

        def forth(r, pair):
            s, y, rho, share = pair
            return r + s * (share - rho * (y @ r)), None

        q, share = lax.scan(back, jnp.where(free, slope, 0), (s, y, rho))
        newest = jnp.argmax(good)
        scale = jnp.where(good.any(), sy[newest] / jnp.where(good.any(), bend[newest], 1), 1)
        r, _ = lax.scan(forth, scale * metric * q, (s, y, rho, share), reverse=True)
        learnt = good.any() & (jnp.sum(jnp.where(free, r * slope, 0)) > 0)
        plain = metric * slope
        found = jnp.where(free, r, jnp.maximum(scale, 1) * plain)
        return -jnp.where(learnt, found, plain), learnt
