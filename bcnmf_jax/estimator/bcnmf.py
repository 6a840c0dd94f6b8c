"""`BCNMF`: the method behind scikit-learn's interface."""

from __future__ import annotations

import sys
import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from bcnmf_jax.data.checks import DataWarning
from bcnmf_jax.estimator._automatic import chosen
from bcnmf_jax.estimator._fitted import FittedModel
from bcnmf_jax.estimator.watched import Kept, fit_watched
from bcnmf_jax.fitting.callbacks import Callbacks
from bcnmf_jax.inference.progress import Progress
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.solvers.solver import AbstractSolver


class CollapsedWarning(DataWarning):
    """A fit whose basis no longer describes the target."""


class BCNMF(FittedModel):
    """Background-contrastive NMF: components of a target that a background lacks.

    What is left out is chosen without labels from X and its background (`select`), which says in
    ``selection_`` whether there is a contrast at all. Without a background it is plain NMF.

    Parameters
    ----------
    n_components : int or "auto"
        Number of target components. "auto", here and below, is chosen, together with
        ``n_background_components``, from rows that count alike (without those of weight 0), missing
        values at the mean of their feature; the fit knows weights and what is missing. It is 10
        where there is nothing to choose it from, without a background and of an object.
    alpha : float, or one value per background, or "auto"
        Contrast per sample, at least 0. "auto" is 1.5 of "balanced", 0 of "background_first" and
        "sequential", and else chosen.
    loss : {"frobenius", "kl"} or AbstractLoss
        Squared error (for log-normalised or continuous data) or generalised KL (for counts).
    objective : {"balanced", "sequential", "contrastive", "published", "shared_target", \
"background_first", "nmf", "auto"} or AbstractObjective, optional
        "auto" takes the right one of "balanced" and "sequential", and is the default, unless both
        ``n_components`` and ``alpha`` are given: then that is "contrastive". "balanced" is the
        contrast on a background whose rows are weighted so that shared programs have the energy
        that they have in the target, read beside a basis of the background (`fit_balanced`).
        "contrastive" is bounded below for every loss: the published form with squared error; with
        KL and the negative binomial, whose published form is unbounded, beside one frozen component
        of the background (`BackgroundFirst` of background rank 1). "published" is the published
        form with every loss. "sequential" is background first with its target components found one
        after the other (`fit_sequential`). "nmf" fits the target alone. An object has a loss and a
        contrast of its own: leave ``loss`` and ``alpha`` out beside it.
    n_background_components : int
        Shared or background components of "shared_target", "balanced", "background_first" and
        "sequential"; of the others, those of the basis that `score` measures against.
    background : array, frame, CSR or CSC matrix (n_background, n_features), or list, optional
        The background, here or in `fit`. Here it is a setting: cross-validation never slices it,
        `clone` and `save` copy it.
    solver : AbstractSolver, optional
        By default that of `fit`; of sparse data and sources, `MU` or `HALS`.
    n_top_features : int, None or "auto"
        Features that choice and fit read, those with most to explain (of which a model without
        structure leaves most); components have loadings of all. "auto" takes 3,000 where X has more
        than 5,000, but all of a plain contrast, of an object, and of a loss with a value for each;
        None takes all.
    missing : {"raise", "mask"}
        "mask" leaves NaN in X and background out of every sum (arrays and frames).
    n_restarts : int
        Random starts, fitted together; kept is, among those that did not collapse, the one of
        lowest reduced objective (`reduced_objective`). Of a choice that takes "balanced" or
        "sequential" there is one: the fit goes on from the candidate that was chosen.
    random_state : int, RandomState or None
    tol, max_iter : float, int
        As ``tol`` and ``max_steps`` of `Stop`; of many rows, of the fit of a sample.
    verbose : bool, int or None
        True says on standard error what is fitted and how every restart ended; None shows progress
        after two seconds (a bar on a terminal and in a notebook, or lines), and says in one line
        what was chosen; False says nothing. Standard output belongs to results.

    Attributes
    ----------
    components_ : ndarray (n_components, n_features)
        Target components, rows of unit sum; first those used most in the target against the
        background, and among those that the background does not use the largest.
    background_components_ : ndarray (any, n_features)
        Shared or frozen components; none for the published form and plain NMF.
    background_basis_ : ndarray (n_background_components, n_features)
        What `score` measures against: the components of the background of "balanced",
        "background_first" and "sequential", else NMF of the background, of about 2,000 of its rows
        where there are more. None without a background.
    usage_ : dict of ndarray (all components,)
        Mean code of the samples of "target", and of "background" where there is one and the
        objective reads it; target components first.
    n_components_, n_background_components_, alpha_, objective_ : int, int, float or ndarray, str
        What the fit took, none of it "auto". Without a background that is "nmf" with a
        contrast of 0. Of an objective that is an object, that object, and its field ``alpha`` (NaN
        where it has none).
    selection_ : Selection or None
        What a choice of parameters rests on; None where all were given.
    result_ : str
        "converged", "max_steps", "nonfinite" or "collapsed", of the restart kept.
    diagnostics_ : dict
        Explained variance of target and background, dead features and components, of the features
        that were fitted; see `diagnose`.
    restarts_ : dict of ndarray (n_restarts,)
        ``value`` (reduced objective; NaN for a single restart of a sample, where nothing is
        chosen) and ``result`` of every restart.
    n_iter_ : int
        Steps of the restart kept, and of a sample those of the passes over all rows too.
    value_ : float
        Its reduced objective; NaN as in ``restarts_``.
    features_ : ndarray (n_features,) of bool
        Features that were fitted; see ``n_top_features``.
    n_features_in_ : int
    feature_names_in_ : ndarray (n_features,)
        Where X is a frame.

    Examples
    --------
    >>> import bcnmf_jax as bj
    >>> d = bj.datasets.beta_simulation(beta=8, n=200, genes=1500)
    >>> model = bj.BCNMF(n_components=2, alpha=2.0, random_state=0)
    >>> codes = model.fit(d.target, background=d.background).transform(d.target)

    A search slices X and never a background that is a setting:

    >>> from sklearn.model_selection import GridSearchCV
    >>> search = GridSearchCV(model.set_params(background=d.background), {"alpha": [0.5, 1, 2]})
    >>> search.fit(d.target).best_params_["alpha"]

    In a pipeline the background goes through the steps before, as X does:

    >>> import sklearn
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn.preprocessing import MaxAbsScaler
    >>> sklearn.set_config(enable_metadata_routing=True)
    >>> steps = [("scale", MaxAbsScaler()), ("nmf", bj.BCNMF(2).set_fit_request(background=True))]
    >>> pipeline = Pipeline(steps, transform_input=["background"])
    >>> codes = pipeline.fit(d.target, background=(d.background,)).transform(d.target)
    """

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        alpha: Any = "auto",
        loss: str | AbstractLoss = "frobenius",
        objective: str | AbstractObjective | None = None,
        n_background_components: int = 8,
        background: Any = None,
        solver: AbstractSolver | None = None,
        n_top_features: int | str | None = "auto",
        missing: str = "raise",
        n_restarts: int = 8,
        random_state: Any = None,
        tol: float = 1e-4,
        max_iter: int = 500,
        verbose: bool | int | None = None,
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.loss = loss
        self.objective = objective
        self.n_background_components = n_background_components
        self.background = background
        self.solver = solver
        self.n_top_features = n_top_features
        self.missing = missing
        self.n_restarts = n_restarts
        self.random_state = random_state
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose

    def fit(
        self, X, y=None, *, background=None, sample_weight=None, groups=None, background_groups=None
    ):
        """Fit target components.

        Parameters
        ----------
        X : array, frame (pandas, polars), CSR or CSC matrix (n_samples, n_features)
            The target, or a source of its rows (`source`), in a file for instance. Of more than
            20,000 rows of both sets, or of fewer that are sparse or in files and that 256 MiB do
            not hold, a sample is fitted; the best restart settles by at most ten passes over all
            rows (`stream`), which are never made dense as a whole.
        y : ignored
        background : array, frame, CSR or CSC matrix (n_background, n_features), optional
            Or a list of several. Cross-validation slices it if it has as many rows as X; a tuple
            of one, ``(Y,)``, is never sliced, and a pipeline's ``transform_input`` carries it on.
        sample_weight : array (n_samples,), optional
            What each row of X counts; 2 is the row twice.
        groups, background_groups : array (n_samples,), (n_background,), optional
            Donor (mouse, cell line, ...) of every row. A choice of what is "auto" keeps them whole
            where it splits; nothing else reads them.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For parameters out of range, for data that `prepare` refuses, for frames whose columns
            differ, and for weights or groups of another length.
        """
        with Progress("BCNMF", shown=self.verbose is None) as bar:
            told = self._share if self.verbose else bar if self.verbose is None else None
            found = fit_watched(
                self, X, y, background, sample_weight, groups, background_groups,
                Callbacks(self._say, told),
            )  # fmt: skip
        said = list(found.told)
        said += [] if self.selection_ is None else [chosen(self.selection_)]
        for line in said if self.verbose is None else ():
            print(f"[BCNMF] {line}", file=sys.stderr, flush=True)
        self._warn()
        return self

    def _keep(self, found: Kept):
        plan, kept = found.plan, found.restart
        self.components_ = kept.basis[: plan.n_components]
        self.background_components_ = kept.basis[plan.n_components :]
        self.background_basis_ = found.background_basis
        self.features_ = found.features
        self.usage_ = kept.usage
        self.n_components_ = plan.n_components
        self.n_background_components_ = plan.n_background_components
        self.alpha_, self.objective_ = plan.alpha, plan.objective
        self.selection_ = plan.selection
        self.result_, self.diagnostics_ = kept.result, kept.diagnostics
        self.restarts_ = {
            "value": np.array([r.value for r in found.restarts]),
            "result": np.array([r.result for r in found.restarts]),
        }
        self.n_iter_, self.value_ = kept.steps, kept.value
        for r, one in enumerate(found.restarts):
            self._say(f"restart {r + 1}: {one.result} after {one.steps} steps, value {one.value:g}")

    def _warn(self):
        if self.result_ in ("collapsed", "nonfinite"):
            warnings.warn(
                f"every restart ended {self.result_}: the components do not describe the target "
                f"(X explained {self.diagnostics_['x_explained']:.2g}); lower alpha "
                f"(now {self.alpha_}), use objective='background_first', or check the background",
                CollapsedWarning,
                stacklevel=3,
            )
        elif self.result_ == "max_steps":
            warnings.warn(
                f"not converged after {self.n_iter_} steps; raise max_iter or tol",
                ConvergenceWarning,
                stacklevel=3,
            )

    def fit_transform(
        self, X, y=None, *, background=None, sample_weight=None, groups=None, background_groups=None
    ):
        """``fit`` and the codes of the target, as ``transform`` gives them."""
        self.fit(
            X, y, background=background, sample_weight=sample_weight, groups=groups,
            background_groups=background_groups,
        )  # fmt: skip
        return self.transform(X)

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _share(self, stage: str, share: float) -> None:
        self._say(f"{stage}: {share:.0%}")

    def _say(self, text: str) -> None:
        if self.verbose:
            print(f"[BCNMF] {text}", file=sys.stderr, flush=True)
