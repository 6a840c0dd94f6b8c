"""Experiments: configurations, studies and the paper's tables and figures.

Commands (``run``, ``study``, ``demo``, ``prepare``) stand here; `core` reads configurations, fits,
scores and records; `studies` compute what is no fit of a configuration; `paper` shows rows. Each
imports from those before it alone.
"""
