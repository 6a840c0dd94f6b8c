"""`fit_watched`: what `BCNMF.fit` does, with callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from bcnmf_jax.data.readers import closed
from bcnmf_jax.estimator._features import narrowed, widened
from bcnmf_jax.estimator._fitted import reference
from bcnmf_jax.estimator._inputs import read_fit, sets
from bcnmf_jax.estimator.parameters import BESIDE, check_parameters, is_auto, planned
from bcnmf_jax.fitting.callbacks import Callbacks
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.inference.restarts import Restart, best, ordered
from bcnmf_jax.model.losses import as_loss
from bcnmf_jax.model.objective import AbstractObjective

if TYPE_CHECKING:
    from bcnmf_jax.estimator.bcnmf import BCNMF


class Kept(NamedTuple):
    """A finished fit.

    Attributes
    ----------
    plan : Plan
    restarts : list of Restart
        Of the features that were fitted.
    restart : Restart
        The best, with loadings of all features.
    background_basis : ndarray (n_background_components, g)
    features : ndarray (g,) of bool
        Features that were fitted.
    told : tuple of str
        Lines about features and rows that were left out of the fit.
    """

    plan: Plan
    restarts: list[Restart]
    restart: Restart
    background_basis: Float[np.ndarray, "B g"]
    features: Bool[np.ndarray, " g"]
    told: tuple[str, ...]


def fit_watched(
    model: BCNMF, X: Any, y: Any, background: Any, sample_weight: Any, groups: Any,
    background_groups: Any, callbacks: Callbacks,
) -> Kept:  # fmt: skip
    """`BCNMF.fit` with callbacks."""
    check_parameters(model)
    given = read_fit(model, X, y, background, sample_weight, groups, background_groups)
    key = jax.random.key(model._seed())
    named = model.objective
    if named is None and not (is_auto(model.n_components) or is_auto(model.alpha)):
        named = "contrastive" if given.background is not None else "nmf"
    own = isinstance(named, AbstractObjective)
    loss = named.loss if own else as_loss(model.loss)
    with closed(given), jax.enable_x64(given.target.dtype == np.float64):
        narrow = narrowed(given, model.n_top_features, named, loss)
        some = given if narrow is None else narrow.given
        if narrow is not None:
            callbacks.log(narrow.told)
        data, stop = sets(some), Stop(model.tol, model.max_iter)
        plan = planned(model, some, callbacks)
        count = 1 if plan.goes_on else model.n_restarts
        callbacks.log(
            f"{plan.objective}, {plan.n_components} components, target {some.target.shape}: "
            f"{count} restarts"
        )
        keys = jax.vmap(lambda r: jax.random.fold_in(key, r))(np.arange(count))
        restarts = data.restarts(plan, keys, stop, callbacks)
        kept = ordered(best(restarts), plan.n_components)
        features, told = np.ones(given.target.shape[1], bool), [data.told] if data.told else []
        if narrow is not None:
            features[:] = False
            features[narrow.columns] = True
            told.insert(0, narrow.told)
            both = given.background is not None and len(kept.basis) > plan.n_components
            kept = widened(kept, narrow, given, plan.reading, both)
        basis = kept.basis[plan.n_components :]
        if plan.objective not in BESIDE and some.background is not None:
            rank = plan.n_background_components
            basis = np.zeros((rank, len(features)), kept.basis.dtype)
            basis[:, features] = reference(some.background, rank, plan.loss)
    found = Kept(plan, restarts, kept, basis, features, tuple(told))
    model._keep(found)
    return found
