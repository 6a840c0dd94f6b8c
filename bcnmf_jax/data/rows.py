"""Samples of one data set, checked, with their weights."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array


class Rows(eqx.Module):
    """Samples, checked and ready: the entries of the ``data`` that an objective sees.

    Attributes
    ----------
    x : Array (n, g)
        Nonnegative values.
    weights : Array (n, 1) or (n, g), optional
        Weights per sample, or per entry (a mask; ``x`` is 0 where it is 0).
    valid : Array (n, 1), optional
        0 for rows that only fill up a device (`shard`): their values and weights are 0, and their
        codes do not move. 1 for samples.
    """

    x: Array
    weights: Array | None = None
    valid: Array | None = None

    @property
    def size(self) -> Array | int:
        """Number of samples, each counted with its weight; a mask of entries does not shrink it."""
        return self.x.shape[0] if self.weights is None else jnp.sum(jnp.max(self.weights, axis=1))


def is_rows(a: Any) -> bool:
    """Whether a node of the data is a data set, where a walk over them stops."""
    return isinstance(a, Rows)


def stacked_rows(parts: list[Rows]) -> Rows:
    """Several data sets of the same features, one below the other."""
    weights = None
    if any(r.weights is not None for r in parts):
        full = [jnp.ones_like(r.x[:, :1]) if r.weights is None else r.weights for r in parts]
        wide = max(v.shape[1] for v in full)
        weights = jnp.concatenate([jnp.broadcast_to(v, (v.shape[0], wide)) for v in full])
    return Rows(jnp.concatenate([r.x for r in parts]), weights)
