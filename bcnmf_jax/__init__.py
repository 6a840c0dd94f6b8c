"""Background-contrastive non-negative matrix factorisation in JAX.

What most need stands here; the rest in the namespaces `data`, `losses`, `penalties`, `objectives`,
`solvers`, `fitting`, `streaming`, `inference`, `estimator`, `baselines`, `datasets`, `metrics`,
`tl` and `pl`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from bcnmf_jax import data, fitting, inference, objectives, solvers, streaming
from bcnmf_jax.data import DataWarning, Rows, prepare, source
from bcnmf_jax.fitting import (
    RESULTS,
    Fit,
    Stop,
    balance,
    fit,
    fit_balanced,
    fit_sequential,
    init,
    reduced_objective,
    result_name,
    sweep,
    transform,
)
from bcnmf_jax.inference import background_check, enrichment
from bcnmf_jax.model import (
    AbstractLoss,
    AbstractObjective,
    GradientParts,
    Term,
    losses,
    penalties,
)
from bcnmf_jax.model.losses import KL, Beta, Frobenius, NegativeBinomial
from bcnmf_jax.objectives import NMF, BackgroundFirst, Contrastive
from bcnmf_jax.solvers import HALS, MU, AbstractSolver
from bcnmf_jax.streaming import stream

if TYPE_CHECKING:
    from bcnmf_jax import baselines, datasets, estimator, metrics, pl, tl
    from bcnmf_jax.estimator import BCNMF, load
    from bcnmf_jax.inference import select

__version__ = "0.1.0"

_LAZY = {"BCNMF": "estimator", "load": "estimator", "select": "inference"}
_ROOMS = ("baselines", "datasets", "estimator", "metrics", "pl", "tl")


def __getattr__(name: str):
    # These import scikit-learn, which takes longer than the rest together.
    if name in _LAZY:
        return getattr(import_module(f"bcnmf_jax.{_LAZY[name]}"), name)
    if name in _ROOMS:
        return import_module(f"bcnmf_jax.{name}")
    raise AttributeError(f"module 'bcnmf_jax' has no attribute {name!r}")


__all__ = [
    "BCNMF", "HALS", "KL", "MU", "NMF", "RESULTS", "AbstractLoss", "AbstractObjective",
    "AbstractSolver", "BackgroundFirst", "Beta", "Contrastive", "DataWarning", "Fit",
    "Frobenius", "GradientParts", "NegativeBinomial", "Rows", "Stop", "Term",
    "background_check", "balance", "baselines", "data", "datasets", "enrichment", "estimator",
    "fit", "fit_balanced", "fit_sequential", "fitting", "inference", "init", "load", "losses",
    "metrics", "objectives", "penalties", "pl", "prepare", "reduced_objective", "result_name",
    "select", "solvers", "source", "stream", "streaming", "sweep", "tl", "transform",
]  # fmt: skip
