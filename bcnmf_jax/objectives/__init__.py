"""Objectives, one file per method, as lists of terms; imports `model` and what is below it."""

from bcnmf_jax.objectives._background_first import BackgroundFirst
from bcnmf_jax.objectives._combined import CombinedBasis
from bcnmf_jax.objectives._contrastive import Contrastive
from bcnmf_jax.objectives._multimodal import Multimodal
from bcnmf_jax.objectives._nmf import NMF
from bcnmf_jax.objectives._shared_target import SharedTarget

__all__ = ["NMF", "BackgroundFirst", "CombinedBasis", "Contrastive", "Multimodal", "SharedTarget"]
