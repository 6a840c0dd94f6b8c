"""Data of a fit: arrays, sparse blocks, files and their checks; imports `storage` and `extras`."""

from bcnmf_jax.data.checks import ConstantFeatureWarning, DataWarning, ScaleWarning
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.data.readers import BackedRows, SparseRows, source
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.data.summaries import Summary, summarize

__all__ = [
    "BackedRows", "ConstantFeatureWarning", "DataWarning", "Rows", "ScaleWarning", "SparseRows",
    "Summary", "prepare", "source", "summarize",
]  # fmt: skip
