"""`FittedModel`, the base of `BCNMF`: codes, scores, saving."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

import bcnmf_jax
import bcnmf_jax.estimator.model_files as model_files
from bcnmf_jax.data.readers import closed
from bcnmf_jax.data.sampled_rows import dense, spread
from bcnmf_jax.data.top_features import some_features
from bcnmf_jax.estimator._fit_data import FitData
from bcnmf_jax.estimator._inputs import read_target, read_weights, sets, stacked
from bcnmf_jax.estimator.model_files import Stored
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.inference.restarts import InMemory, Sets
from bcnmf_jax.inference.selection.selection import Selection
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import as_loss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.objectives import NMF
from bcnmf_jax.solvers.solver import AbstractSolver

REFERENCE = Stop(tol=1e-4, max_steps=300)
"""Of the background's basis that scores are measured against."""
REFERENCE_ROWS = 2048
"""Rows of the background that it is fitted to; more would make its fit as long as the model's."""


def reference(background: Any, rank: int, loss: AbstractLoss) -> np.ndarray:
    """Basis ``(rank, g)`` of a background that was read, that scores are measured against."""
    whole = stacked(background)
    rows = dense(whole, spread(whole.shape[0], REFERENCE_ROWS))
    plan = Plan("nmf", 0.0, rank, rank, loss)
    # One key for all models, so that they are measured against the same.
    data = sets(FitData(rows), new=True)
    assert isinstance(data, InMemory)
    (found,) = data.fits(plan, jax.random.key(0)[None], REFERENCE)
    return np.asarray(found.blocks["basis"])


def is_fitted_name(name: str) -> bool:
    """Whether an attribute is one that a fit gives."""
    return name.isidentifier() and name.endswith("_") and not name.startswith("_")


class FittedModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The methods of `BCNMF` that need its fitted attributes alone."""

    loss: Any
    missing: str
    components_: np.ndarray
    features_: np.ndarray
    background_components_: np.ndarray
    background_basis_: np.ndarray
    n_background_components_: int
    objective: Any
    solver: AbstractSolver | None
    objective_: Any
    alpha_: Any
    n_components_: int
    background: Any
    selection_: Selection | None

    def transform(self, X, *, full: bool = False):
        """Codes of samples on the fitted components.

        Parameters
        ----------
        X : array, frame, CSR or CSC matrix, or source (n_samples, n_features)
        full : bool
            Return the codes of background components too, after the target components.

        Returns
        -------
        ndarray (n_samples, n_components), or (n_samples, all components) if ``full``
            Read on all components at once, whichever are returned. What `fit_transform` returns,
            too. A frame after ``set_output``, which has no names for ``full``.

        Raises
        ------
        TypeError, ValueError
            For data that `prepare` refuses, and other features than those of the fit.
        """
        output = getattr(self, "_sklearn_output_config", {}).get("transform")
        if full and (output or get_config()["transform_output"]) != "default":
            raise ValueError("full=True gives arrays: set_output(transform='default') first")
        with self._reading(X) as data:
            codes = data.codes(self._reader(), self._seen(self._basis()))
        return codes if full else codes[:, : len(self.components_)]

    def inverse_transform(self, X):
        """Samples from codes: the part of the target components, or everything from full codes.

        Parameters
        ----------
        X : array (n_samples, n_components) or (n_samples, all components)

        Returns
        -------
        ndarray (n_samples, n_features)
        """
        check_is_fitted(self)
        X = check_array(X, dtype=[np.float64, np.float32])
        basis = self._basis()
        if X.shape[1] not in (len(self.components_), len(basis)):
            raise ValueError(
                f"X has {X.shape[1]} columns; codes have {len(self.components_)}, full codes "
                f"{len(basis)}"
            )
        return X @ basis[: X.shape[1]]

    def score(self, X, y=None, sample_weight=None):
        """Gain beyond the background: how much more of the variance of X is explained by target
        components and `background_basis_` together than by `background_basis_` alone.

        Larger is better; of a model without background the explained variance itself. On rows that
        the fit has not seen it compares values of alpha and objectives. It cannot choose what
        defines the scale, ``loss`` and ``n_background_components`` (fewer of them leave more to
        gain), nor the data's normalisation; and since codes are read anew, further components
        rarely lower it: of several ``n_components`` take the smallest where it levels off.

        Parameters
        ----------
        X : array, frame, CSR or CSC matrix (n_samples, n_features)
        y : ignored
        sample_weight : array (n_samples,), optional

        Returns
        -------
        float
        """
        with self._reading(X, sample_weight) as data:
            if not hasattr(self, "background_basis_"):
                raise ValueError("the model was saved without background_basis_; fit it again")
            loss, basis = self._loss(), self._seen(self.background_basis_)
            own = self._seen(self.components_)
            both = data.explained(loss, np.concatenate([own, basis]))
            if not len(basis):
                return both
            # Components of 0 take no part, and nothing is compiled for another number of them.
            none = np.zeros_like(own)
            return both - data.explained(loss, np.concatenate([none, basis]))

    def save(self, folder: str | Path) -> None:
        """Save parameters and fitted attributes in a folder, without pickle; `load` reads it.

        The folder holds ``model.safetensors`` (arrays) and ``model.json``. It is written whole or
        not at all, and replaces a model of that name. A background given to the constructor is
        saved with the rest if it is an array.

        Raises
        ------
        ValueError
            For a parameter that cannot be saved (a RandomState, a frame, a loss of your own), and a
            folder that holds something else.
        """
        check_is_fitted(self)
        fitted = {k: v for k, v in vars(self).items() if is_fitted_name(k)}
        if self.selection_ is not None:
            fitted["selection_"] = self.selection_.to_dict()
        parameters = self.get_params(deep=False)
        stored = Stored(type(self).__name__, bcnmf_jax.__version__, parameters, fitted)
        model_files.write(folder, stored)

    @property
    def _n_features_out(self):
        return len(self.components_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing == "mask"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _loss(self) -> AbstractLoss:
        own = isinstance(self.objective, AbstractObjective)
        return self.objective.loss if own else as_loss(self.loss)

    def _reader(self) -> AbstractObjective:
        """Objective by which codes are read; see `Plan.reading`."""
        own = isinstance(self.objective, AbstractObjective)
        return self.objective if own else NMF(self._loss())

    def _plan(self) -> Plan:
        """The plan of the fit, none of it "auto"."""
        counts = int(self.n_components_), int(self.n_background_components_)
        choice = getattr(self, "selection_", None)
        together = choice is None or choice.together
        return Plan(
            self.objective_, self.alpha_, *counts, self._loss(), self.solver, together=together
        )

    def _basis(self) -> np.ndarray:
        return np.concatenate([self.components_, self.background_components_])

    def _seen(self, values: np.ndarray) -> np.ndarray:
        """Values (..., g) of the features that were fitted, on which codes are read."""
        columns = self._columns()
        return values if columns is None else values[..., columns]

    def _columns(self) -> np.ndarray | None:
        """Places of the features that were fitted; None where all were."""
        features = getattr(self, "features_", None)  # which models of earlier versions lack
        return None if features is None or features.all() else np.flatnonzero(features)

    @contextmanager
    def _reading(self, X, sample_weight=None) -> Iterator[Sets]:
        """New samples of the features that were fitted, checked, in the precision that they
        have."""
        check_is_fitted(self)
        whole = read_target(self, X, reset=False)
        columns = self._columns()
        target = whole if columns is None else some_features(whole, columns)
        given = FitData(target, weights=read_weights(target, sample_weight))
        with closed(whole), jax.enable_x64(given.target.dtype == np.float64):
            yield sets(given, new=True)
