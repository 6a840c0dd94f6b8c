"""Background-contrastive non-negative matrix factorisation in JAX."""

from importlib import import_module
from typing import TYPE_CHECKING

from bcnmf_jax.data.checks import ConstantFeatureWarning, DataWarning, ScaleWarning
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.data.readers import BackedRows, SparseRows, source
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.data.summaries import survey
from bcnmf_jax.fitting.devices import row_mesh, shard
from bcnmf_jax.fitting.fixed_basis import block_costs, game_value, transform
from bcnmf_jax.fitting.loop import RESULTS, Fit, fit, result_name
from bcnmf_jax.fitting.many import sweep
from bcnmf_jax.fitting.sequential import deflate
from bcnmf_jax.fitting.start import init
from bcnmf_jax.fitting.stationarity import residual
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.inference.alphas import Transitions, collapse_alpha, transitions
from bcnmf_jax.inference.background import background_check, strata
from bcnmf_jax.inference.consensus_programs import Consensus, consensus
from bcnmf_jax.inference.enrichment_test import Enrichment, enrichment
from bcnmf_jax.inference.resampled_loadings import Bootstrap, bootstrap
from bcnmf_jax.model.gradient_parts import Split
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import KL, Beta, Frobenius, NegativeBinomial
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.penalties import L1, L2, AbstractPenalty, Overlap
from bcnmf_jax.model.terms import Term
from bcnmf_jax.objectives import (
    NMF,
    BackgroundFirst,
    CombinedBasis,
    Contrastive,
    Multimodal,
    SharedTarget,
)
from bcnmf_jax.solvers.hals import HALS
from bcnmf_jax.solvers.mu import MU
from bcnmf_jax.solvers.optax import Optax
from bcnmf_jax.solvers.solver import AbstractSolver
from bcnmf_jax.solvers.varpro import VarPro
from bcnmf_jax.streaming.driver import Progress, stream
from bcnmf_jax.streaming.fixed_basis import stream_transform, stream_value

if TYPE_CHECKING:
    from bcnmf_jax import baselines, datasets, metrics, pl, tl
    from bcnmf_jax.estimator.automatic import ContrastWarning
    from bcnmf_jax.estimator.bcnmf import BCNMF, CollapsedWarning
    from bcnmf_jax.estimator.saved import load
    from bcnmf_jax.inference.selection import Selection, select

__version__ = "0.1.0"

_LAZY = {
    "BCNMF": "estimator",
    "CollapsedWarning": "estimator",
    "ContrastWarning": "estimator",
    "load": "estimator",
    "Selection": "inference",
    "select": "inference",
}
_MODULES = ("baselines", "datasets", "estimator", "metrics", "pl", "tl")


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
