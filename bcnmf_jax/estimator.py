"""`BCNMF`: the method behind scikit-learn's interface."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import equinox as eqx
import jax
import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from bcnmf_jax.checks import DataWarning
from bcnmf_jax.data import prepare
from bcnmf_jax.fit import Stop, result_name
from bcnmf_jax.losses import KL, AbstractLoss, Frobenius
from bcnmf_jax.objective import AbstractObjective
from bcnmf_jax.objectives import NMF, BackgroundFirst, Contrastive, SharedTarget
from bcnmf_jax.readers import source
from bcnmf_jax.stream import stream
from bcnmf_jax.stream_read import stream_transform, stream_value
from bcnmf_jax.survey import survey
from bcnmf_jax.sweep import sweep
from bcnmf_jax.transform import game_value, transform

LOSSES = {"frobenius": Frobenius, "kl": KL}
COMPARED = Stop(tol=1e-4, max_steps=20)
"""How well codes are settled before streamed restarts are compared."""
OBJECTIVES = ("nmf", "contrastive", "published", "shared_target", "background_first")


class CollapsedWarning(DataWarning):
    """A fit whose basis no longer describes the target."""


def _nmf(alpha, loss) -> NMF:
    return NMF(loss)


class BCNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Background-contrastive NMF: components of a target that a background lacks.

    Without a background, the contrastive and the shared + target objective are plain NMF.

    Parameters
    ----------
    n_components : int
        Number of target components.
    alpha : float, or one value per background
        Contrast per sample, at least 0.
    loss : {"frobenius", "kl"} or AbstractLoss
        Squared error (for log-normalised or continuous data) or generalised KL (for counts).
    objective : {"nmf", "contrastive", "published", "shared_target", "background_first"}
        "contrastive" is bounded below for every loss: the published form with squared error; with
        KL and the negative binomial, whose published form is unbounded, beside one frozen component
        of the background (`BackgroundFirst` of background rank 1). "published" is the published
        form with every loss.
    n_background_components : int
        Shared or background components of the last two objectives.
    n_restarts : int
        Random starts, fitted together; kept is, among those that did not collapse, the one of
        lowest game value (`game_value`).
    random_state : int, RandomState or None
    tol, max_iter : float, int
        As ``tol`` and ``max_steps`` of `Stop`.

    Attributes
    ----------
    components_ : ndarray (n_components, n_features)
        Target components, rows of unit sum.
    background_components_ : ndarray (any, n_features)
        Shared or frozen components; none for the published form and plain NMF.
    result_ : str
        "converged", "max_steps", "nonfinite" or "collapsed", of the restart kept.
    diagnostics_ : dict
        Explained variance of target and background, dead features and components; see `diagnose`.
    restarts_ : dict of ndarray (n_restarts,)
        ``value`` (game value; NaN for a single restart of a sparse fit, where nothing is chosen)
        and ``result`` of every restart.
    n_iter_ : int
        Steps of the restart kept.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> import bcnmf_jax as bj
    >>> d = bj.datasets.beta_simulation(beta=8, n=200, genes=1500)
    >>> model = bj.BCNMF(n_components=2, alpha=2.0, random_state=0)
    >>> codes = model.fit(d.target, background=d.background).transform(d.target)
    """

    def __init__(
        self,
        n_components: int = 10,
        *,
        alpha: float = 1.0,
        loss: str | AbstractLoss = "frobenius",
        objective: str = "contrastive",
        n_background_components: int = 10,
        n_restarts: int = 8,
        random_state: Any = None,
        tol: float = 1e-4,
        max_iter: int = 500,
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.loss = loss
        self.objective = objective
        self.n_background_components = n_background_components
        self.n_restarts = n_restarts
        self.random_state = random_state
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X, y=None, *, background=None):
        """Fit target components.

        Parameters
        ----------
        X : array or CSR or CSC matrix (n_samples, n_features)
            The target. Where it or the background is sparse, both are read chunk by chunk and
            never made dense as a whole (`stream`); a step is then a pass over the rows.
        y : ignored
        background : array or CSR or CSC matrix (n_background, n_features), optional
            Or a list of several.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For parameters out of range and for data that `prepare` refuses.
        """
        self._check_parameters()
        shapes: list[Any] = [getattr(a, "shape", ()) for a in (X, y)]
        if all(len(shape) == 2 for shape in shapes) and shapes[0][1] == shapes[1][1] > 1:
            raise TypeError("y is ignored; pass the background by name: fit(X, background=Y)")
        X = self._check_target(X, reset=True)
        data: dict[str, Any] = {"target": X}
        if background is not None:
            data["background"] = self._check_background(background, X.dtype)
        seed = self._seed()
        sparse = any(map(issparse, jax.tree.leaves(data)))
        with jax.enable_x64(X.dtype == np.float64):
            (make, extra), loss = self._make(background is not None), self._loss()
            model = make(alpha=self.alpha, loss=loss, **extra)
            key, stop = jax.random.key(seed), Stop(self.tol, self.max_iter)
            keys = jax.vmap(lambda r: jax.random.fold_in(key, r))(np.arange(self.n_restarts))
            if sparse:
                fits, values = self._stream(model, data, keys, stop)
            else:
                data = prepare(data)
                all_fits = sweep(
                    make, data, alphas=[self.alpha], ranks=[self.n_components], keys=keys,
                    loss=loss, stop=stop, **extra,
                )  # fmt: skip
                fits = [all_fits[0, 0, r] for r in range(self.n_restarts)]
                values = [game_value(model, data, f.blocks) for f in fits]
            self._keep(fits, np.asarray(values, float))
        return self

    def _stream(self, model, data, keys, stop):
        """Fits and their values from passes over the rows; of the blocks, the bases alone."""
        known, fits, values = survey(jax.tree.map(source, data)), [], []
        for key in keys:
            fit = stream(model, known, rank=int(self.n_components), key=key, stop=stop)
            one = self.n_restarts == 1
            values.append(np.nan if one else stream_value(model, known, fit.blocks, stop=COMPARED))
            fits.append(eqx.tree_at(lambda f: f.blocks, fit, {"basis": fit.blocks["basis"]}))
        return fits, values

    def _keep(self, fits, values):
        """Keep the restart of lowest value among those with the best kind of result."""
        results = np.array([result_name(f.result) for f in fits])
        rank = np.select([results == "nonfinite", results == "collapsed"], [2, 1], 0)
        best = int(np.lexsort((np.where(np.isfinite(values), values, np.inf), rank))[0])
        basis = np.asarray(fits[best].blocks["basis"])
        self.components_ = basis[: self.n_components]
        self.background_components_ = basis[self.n_components :]
        self.result_ = str(results[best])
        self.diagnostics_ = {k: np.asarray(v)[()] for k, v in fits[best].diagnostics.items()}
        self.restarts_ = {"value": values, "result": results}
        self.n_iter_ = int(fits[best].steps)
        if self.result_ in ("collapsed", "nonfinite"):
            warnings.warn(
                f"every restart ended {self.result_}: the components do not describe the target "
                f"(X explained {self.diagnostics_['x_explained']:.2g}); lower alpha "
                f"(now {self.alpha}), use objective='background_first', or check the background",
                CollapsedWarning,
                stacklevel=3,
            )
        elif self.result_ == "max_steps":
            warnings.warn(
                f"not converged after {self.n_iter_} steps; raise max_iter or tol",
                ConvergenceWarning,
                stacklevel=3,
            )

    def transform(self, X, *, full: bool = False):
        """Codes of samples on the fitted components.

        Parameters
        ----------
        X : array or CSR or CSC matrix (n_samples, n_features)
        full : bool
            Return the codes of background components too, after the target components.

        Returns
        -------
        ndarray (n_samples, n_components), or (n_samples, all components) if ``full``
            Read on all components at once, whichever are returned.
        """
        check_is_fitted(self)
        X = self._check_target(X, reset=False)
        basis = np.concatenate([self.components_, self.background_components_])
        with jax.enable_x64(X.dtype == np.float64):
            read, X = (stream_transform, source(X)) if issparse(X) else (transform, X)
            codes = np.asarray(read(NMF(self._loss()), {"basis": basis}, {"target": X}))
        return codes if full else codes[:, : len(self.components_)]

    def fit_transform(self, X, y=None, *, background=None):
        """``fit`` and the codes of the target, as ``transform`` gives them."""
        return self.fit(X, background=background).transform(X)

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
        basis = np.concatenate([self.components_, self.background_components_])
        if X.shape[1] not in (len(self.components_), len(basis)):
            raise ValueError(
                f"X has {X.shape[1]} columns; codes have {len(self.components_)}, full codes "
                f"{len(basis)}"
            )
        return X @ basis[: X.shape[1]]

    @property
    def _n_features_out(self):
        return len(self.components_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _make(self, contrast: bool) -> tuple[Callable[..., AbstractObjective], dict[str, Any]]:
        """The objective as a function of alpha, loss and these keywords."""
        if self.objective == "background_first" and not contrast:
            raise ValueError("objective='background_first' needs background=")
        if self.objective == "nmf" or not contrast:
            return _nmf, {}
        if self.objective == "published":
            return Contrastive, {}
        if self.objective == "contrastive":
            if self._loss().bounded:
                return Contrastive, {}
            return BackgroundFirst, {"background_rank": 1}
        count = int(self.n_background_components)
        if self.objective == "shared_target":
            return SharedTarget, {"shared_rank": count}
        return BackgroundFirst, {"background_rank": count}

    def _loss(self) -> AbstractLoss:
        return self.loss if isinstance(self.loss, AbstractLoss) else LOSSES[self.loss]()

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _check_parameters(self):
        for name in ("n_components", "n_background_components", "n_restarts", "max_iter"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, found {value!r}")
        alphas = self.alpha if isinstance(self.alpha, list | tuple | np.ndarray) else [self.alpha]
        for name, values in (("alpha", alphas), ("tol", [self.tol])):
            if not all(isinstance(v, Real) and 0 <= float(v) < np.inf for v in values):
                raise ValueError(f"{name} must be a number of at least 0, found {values!r}")
        if not isinstance(self.loss, AbstractLoss) and self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {sorted(LOSSES)} or a loss, found {self.loss!r}")
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {OBJECTIVES}, found {self.objective!r}")

    def _check_target(self, X, *, reset: bool):
        self._refuse_half(X, "X")
        return validate_data(
            self, X, accept_sparse=("csr", "csc"), dtype=[np.float64, np.float32],
            ensure_non_negative=True, reset=reset,
        )  # fmt: skip

    def _check_background(self, background, dtype):
        several = isinstance(background, list | tuple) and background
        if several and len(np.shape(background[0])) == 2:
            return [self._check_background(b, dtype) for b in background]
        self._refuse_half(background, "background")
        names = getattr(background, "columns", None)
        wanted = getattr(self, "feature_names_in_", None)
        if names is not None and wanted is not None and list(names) != list(wanted):
            missing = [n for n in wanted if n not in set(names)][:5]
            why = f"missing {missing}" if missing else "other features or another order"
            raise ValueError(f"background has not the columns of X in their order: {why}")
        found = check_array(
            background, accept_sparse=("csr", "csc"), dtype=dtype, ensure_non_negative=True,
            input_name="background",
        )  # fmt: skip
        if found.shape[1] != self.n_features_in_:
            raise ValueError(
                f"background has {found.shape[1]} features, X has {self.n_features_in_}; give both "
                "the same features in the same order"
            )
        return found

    @staticmethod
    def _refuse_half(a, name):
        if getattr(a, "dtype", None) == np.float16:
            raise TypeError(f"{name} is float16, whose sums overflow; convert it to float32")
