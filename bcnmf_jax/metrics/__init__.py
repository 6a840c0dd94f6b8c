"""Scores of fitted codes and components, by which all methods are compared; imports `data` alone.

Nothing here picks the better of two readouts, and labels choose no setting. scikit-learn is
imported where it is used, so that importing the package stays light.

A score that does not exist is NaN: codes that are not finite (a failed fit), labels of one class,
fewer rows than clusters, no truth.
"""

from bcnmf_jax.metrics._areas import component_auc, logistic_auc
from bcnmf_jax.metrics._clusters import clustering
from bcnmf_jax.metrics._programs import recovery
from bcnmf_jax.metrics._scores import score
from bcnmf_jax.metrics.readout import readouts

__all__ = ["clustering", "component_auc", "logistic_auc", "readouts", "recovery", "score"]
