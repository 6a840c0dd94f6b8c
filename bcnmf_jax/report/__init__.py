"""The folder of a run, and one page of what was fitted and whether to trust it; imports `pl` and
what is below it."""

from bcnmf_jax.report._page import write

__all__ = ["write"]
