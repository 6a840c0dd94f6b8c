"""Experiments on bcnmf_jax: data preparation, runs, tables and figures."""
