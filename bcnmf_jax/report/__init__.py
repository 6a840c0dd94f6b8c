"""One self-contained page per run: what was fitted, and whether to trust it."""

from bcnmf_jax.report.page import write

__all__ = ["write"]
