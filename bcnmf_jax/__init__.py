"""Background-contrastive non-negative matrix factorisation in JAX."""

from importlib import import_module
from typing import TYPE_CHECKING

from bcnmf_jax.background import background_check, strata
from bcnmf_jax.bootstrap import Bootstrap, bootstrap
from bcnmf_jax.checks import ConstantFeatureWarning, DataWarning, ScaleWarning
from bcnmf_jax.consensus import Consensus, consensus
from bcnmf_jax.data import prepare
from bcnmf_jax.deflation import deflate
from bcnmf_jax.enrichment import Enrichment, enrichment
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
from bcnmf_jax.projection import VarPro
from bcnmf_jax.readers import BackedRows, SparseRows, source
from bcnmf_jax.residual import residual
from bcnmf_jax.sharding import row_mesh, shard
from bcnmf_jax.solvers import HALS, MU, AbstractSolver
from bcnmf_jax.split import Split
from bcnmf_jax.stream import Progress, stream
from bcnmf_jax.stream_read import stream_transform, stream_value
from bcnmf_jax.survey import survey
from bcnmf_jax.sweep import sweep
from bcnmf_jax.terms import Rows, Term
from bcnmf_jax.transform import block_costs, game_value, transform
from bcnmf_jax.transitions import Transitions, collapse_alpha, transitions

if TYPE_CHECKING:
    from bcnmf_jax import baselines, datasets, metrics, pl, tl
    from bcnmf_jax.automatic import ContrastWarning
    from bcnmf_jax.estimator import BCNMF, CollapsedWarning
    from bcnmf_jax.saved import load
    from bcnmf_jax.selection import Selection, select

__version__ = "0.1.0"

_LAZY = {
    "BCNMF": "estimator",
    "CollapsedWarning": "estimator",
    "ContrastWarning": "automatic",
    "load": "saved",
    "Selection": "selection",
    "select": "selection",
}
_MODULES = ("baselines", "datasets", "metrics", "pl", "tl")


def __getattr__(name: str):
    # These import scikit-learn, which takes longer than the rest together.
    if name in _LAZY:
        return getattr(import_module(f"bcnmf_jax.{_LAZY[name]}"), name)
    if name in _MODULES:
        return import_module(f"bcnmf_jax.{name}")
    raise AttributeError(f"module 'bcnmf_jax' has no attribute {name!r}")


__all__ = [
    "BCNMF", "HALS", "KL", "L1", "L2", "MU", "NMF", "RESULTS", "AbstractLoss", "AbstractObjective",
    "AbstractPenalty", "AbstractSolver", "BackedRows", "BackgroundFirst", "Beta", "Bootstrap",
    "CollapsedWarning", "CombinedBasis", "Consensus", "ConstantFeatureWarning", "ContrastWarning",
    "Contrastive", "DataWarning", "Enrichment", "Fit", "Frobenius", "Multimodal",
    "NegativeBinomial", "Optax", "Overlap", "Progress", "Rows", "ScaleWarning", "Selection",
    "SharedTarget", "SparseRows", "Split", "Stop", "Term", "Transitions", "VarPro",
    "background_check", "baselines", "block_costs", "bootstrap", "collapse_alpha", "consensus",
    "datasets", "deflate", "enrichment", "fit", "game_value", "init", "load", "metrics", "pl",
    "prepare", "residual", "result_name", "row_mesh", "select", "shard", "source", "strata",
    "stream", "stream_transform", "stream_value", "survey", "sweep", "tl", "transform",
    "transitions",
]  # fmt: skip
