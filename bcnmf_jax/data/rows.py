"""TODO data.rows."""

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
    v : Array (n, 1) or (n, g), optional
        Weights per sample, or per entry (a mask; ``x`` is 0 where it is 0).
    keep : Array (n, 1), optional
        0 for rows that only fill up a device (`shard`): their values and weights are 0, and their
        codes do not move. 1 for samples.
    """

    x: Array
    v: Array | None = None
    keep: Array | None = None

    @property
    def size(self) -> Array | int:
        """Number of samples, each counted with its weight; a mask of entries does not shrink it."""
        return self.x.shape[0] if self.v is None else jnp.sum(jnp.max(self.v, axis=1))


def is_rows(a: Any) -> bool:
    """Whether a node of the data is a data set, where a walk over them stops."""
    return isinstance(a, Rows)
