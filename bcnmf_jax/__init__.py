"""Background-contrastive non-negative matrix factorisation in JAX."""

from importlib import import_module
from typing import TYPE_CHECKING

from bcnmf_jax.checks import ConstantFeatureWarning, DataWarning, ScaleWarning
from bcnmf_jax.data import prepare
from bcnmf_jax.fit import RESULTS, Fit, Stop, fit, result_name
from bcnmf_jax.gradient import Optax
from bcnmf_jax.init import init
from bcnmf_jax.losses import KL, AbstractLoss, Beta, Frobenius, NegativeBinomial
from bcnmf_jax.objective import AbstractObjective
from bcnmf_jax.objectives import (
    NMF,
    BackgroundFirst,
    CombinedBasis,
    Contrastive,
    Multimodal,
    SharedTarget,
)
from bcnmf_jax.penalties import L1, L2, AbstractPenalty, Overlap
from bcnmf_jax.readers import BackedRows, SparseRows, source
from bcnmf_jax.sharding import row_mesh, shard
from bcnmf_jax.solvers import HALS, MU, AbstractSolver
from bcnmf_jax.split import Split
from bcnmf_jax.stream import Progress, stream
from bcnmf_jax.stream_read import stream_transform, stream_value
from bcnmf_jax.survey import survey
from bcnmf_jax.sweep import sweep
from bcnmf_jax.terms import Rows, Term
from bcnmf_jax.transform import block_costs, game_value, transform

if TYPE_CHECKING:
    from bcnmf_jax import baselines, datasets, metrics
    from bcnmf_jax.estimator import BCNMF, CollapsedWarning

__version__ = "0.1.0"

_LAZY = {"BCNMF": "estimator", "CollapsedWarning": "estimator"}
_MODULES = ("baselines", "datasets", "metrics")


def __getattr__(name: str):
    # These import scikit-learn, which takes longer than the rest together.
    if name in _LAZY:
        return getattr(import_module(f"bcnmf_jax.{_LAZY[name]}"), name)
    if name in _MODULES:
        return import_module(f"bcnmf_jax.{name}")
    raise AttributeError(f"module 'bcnmf_jax' has no attribute {name!r}")


__all__ = [
    "BCNMF", "HALS", "KL", "L1", "L2", "MU", "NMF", "RESULTS", "AbstractLoss", "AbstractObjective",
    "AbstractPenalty", "AbstractSolver", "BackedRows", "BackgroundFirst", "Beta",
    "CollapsedWarning", "CombinedBasis", "ConstantFeatureWarning", "Contrastive", "DataWarning",
    "Fit", "Frobenius", "Multimodal", "NegativeBinomial", "Optax", "Overlap", "Progress", "Rows",
    "ScaleWarning", "SharedTarget", "SparseRows", "Split", "Stop", "Term", "baselines",
    "block_costs", "datasets", "fit", "game_value", "init", "metrics", "prepare", "result_name",
    "row_mesh", "shard", "source", "stream", "stream_transform", "stream_value", "survey", "sweep",
    "transform",
]  # fmt: skip
