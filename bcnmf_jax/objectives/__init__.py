"""Objectives, one file per method, as lists of terms; imports `model` and what is below it."""

from bcnmf_jax.objectives.background_first import BackgroundFirst
from bcnmf_jax.objectives.combined import CombinedBasis
from bcnmf_jax.objectives.contrastive import Contrastive
from bcnmf_jax.objectives.multimodal import Multimodal
from bcnmf_jax.objectives.nmf import NMF
from bcnmf_jax.objectives.shared_target import SharedTarget

__all__ = ["NMF", "BackgroundFirst", "CombinedBasis", "Contrastive", "Multimodal", "SharedTarget"]
