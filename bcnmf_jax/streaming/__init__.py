"""Passes over data that are read chunk by chunk; imports `fitting` and what is below it."""

from bcnmf_jax.data.readers import BackedRows, SparseRows, source
from bcnmf_jax.data.summaries import Summary, summarize
from bcnmf_jax.streaming._checkpoint import load_checkpoint, save_checkpoint
from bcnmf_jax.streaming._sequential import fit_sequential
from bcnmf_jax.streaming.balanced import balance, fit_balanced
from bcnmf_jax.streaming.driver import Progress, stream
from bcnmf_jax.streaming.fixed_basis import reduced_objective, transform

__all__ = [
    "BackedRows", "Progress", "SparseRows", "Summary", "balance", "fit_balanced", "fit_sequential",
    "load_checkpoint", "reduced_objective", "save_checkpoint", "source", "stream", "summarize",
    "transform",
]  # fmt: skip
