"""Passes over data that are read chunk by chunk; imports `fitting` and what is below it."""

from bcnmf_jax.data.readers import BackedRows, SparseRows, source
from bcnmf_jax.data.summaries import survey
from bcnmf_jax.streaming.driver import Progress, stream
from bcnmf_jax.streaming.fixed_basis import stream_transform, stream_value

__all__ = [
    "BackedRows", "Progress", "SparseRows", "source", "stream", "stream_transform", "stream_value",
    "survey",
]  # fmt: skip
