"""Run folders for the tests of the report, written without a fit."""

import numpy as np
import pandas as pd

from bcnmf_jax.report.run_folder import write_config, write_table

SHARED = 2


def fit_run(folder, *, n=60, m=40, genes=30, programs=2, names=None, config=None, result=None):
    """A run of ``bcnmf fit`` with two shared components, donors and conditions; and its codes.

    Parameters
    ----------
    names : dict, optional
        ``feature``, ``sample``, ``donor``: what the first of each is called.
    config, result : dict, optional
        Laid over config.json, and over its result.
    """
    rng = np.random.default_rng(0)
    names = {"feature": "gene0", "sample": "cell0", "donor": "donor0"} | (names or {})
    count = programs + SHARED
    basis = rng.gamma(0.3, 1, (count, genes))
    basis /= basis.sum(1, keepdims=True)
    codes = rng.gamma(0.5, 1, (n + m, count))
    codes[n:, :programs] *= 0.1
    titles = [f"bcnmf{k}" for k in range(programs)] + [f"background{k}" for k in range(SHARED)]
    features = [names["feature"], *(f"gene{j}" for j in range(1, genes))]
    usage = pd.DataFrame(codes, columns=titles)
    usage.insert(0, "sample", [names["sample"], *(f"cell{i}" for i in range(1, n + m))])
    usage.insert(1, "set", ["target"] * n + ["background"] * m)
    usage.insert(2, "condition", ["stimulated"] * n + ["control"] * m)
    usage.insert(
        3, "donor", [names["donor"] if i % 4 == 0 else f"donor{i % 4}" for i in range(n + m)]
    )
    write_table(folder, "components", {"feature": features} | dict(zip(titles, basis, strict=True)))
    write_table(folder, "usage", usage)
    value = 10.0 + np.array([2e-4, 0, 1e-4, 2.0])
    write_table(folder, "restarts", {"restart": range(4), "value": value, "result": "converged"})
    ended = {
        "result": "converged", "n_components": programs, "n_background_components": SHARED,
        "alpha": 1.0, "objective": "background_first", "steps": 80, "outcome": None,
        "reasons": None,
        "diagnostics": {
            "x_explained": 0.8, "y_explained": 0.7, "dead_features": 0, "dead_components": 0,
        },
    }  # fmt: skip
    write_config(
        folder, base("fit", n, m, genes) | {"result": ended | (result or {})} | (config or {})
    )
    return codes, basis


def base(command, n=60, m=40, genes=30):
    """What config.json holds whatever the command."""
    return {
        "command": command, "line": f"bcnmf {command} cells.h5ad --out run",
        "started": "2026-01-02T03:04:05+00:00", "seconds": 1.5, "device": "cpu",
        "versions": {"bcnmf_jax": "0.1.0", "python": "3.11.7"},
        "sources": [{"role": "data", "path": "cells.h5ad", "sha256": "5e" * 32}],
        "data": {"condition_key": "condition", "target": ["stimulated"], "layer": None},
        "parameters": {"n_components": 2, "alpha": 1.0, "loss": "frobenius", "n_restarts": 4},
        "samples": {"target": n, "background": m}, "features": genes,
        "scale": {"applied": "log", "why": "the data are counts"},
        "columns": ["condition", "donor"] if command == "fit" else [], "warnings": [],
    }  # fmt: skip


def candidates():
    """Rows of a selection."""
    return [
        {"objective": kind, "alpha": alpha, "n_components": k, "net": 0.01 * k, "net_se": 0.001}
        for kind, alpha in (("background_first", 0.0), ("contrastive", 1.0))
        for k in (1, 2, 3)
    ]


def path_rows():
    """Rows of a sweep in which the largest alpha collapses."""
    return [
        {
            "alpha": alpha, "n_components": k, "restart": r, "steps": 50,
            "result": "collapsed" if alpha > 1 else "converged", "x_explained": 0.9 - 0.4 * alpha,
            "y_explained": 0.8 - 0.4 * alpha, "dead_features": 10 * alpha, "stability": 0.9,
        } for k in (2, 4) for alpha in (0.0, 1.0, 2.0) for r in range(3)
    ]  # fmt: skip
