"""`multimodal`: one set of codes for several modalities of the same cells, from a MuData."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bcnmf_jax.data.checks import check_integer, check_seed
from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.extras import require, versions
from bcnmf_jax.fitting.fixed_basis import reduced_objective, transform
from bcnmf_jax.fitting.many import fit_restarts
from bcnmf_jax.fitting.result import Fit, result_name
from bcnmf_jax.fitting.stop import Stop, most_steps
from bcnmf_jax.inference.restarts import by_ratio
from bcnmf_jax.model.losses import as_loss
from bcnmf_jax.objectives import Multimodal
from bcnmf_jax.tl._rows import check
from bcnmf_jax.tl.cells import ROLES, check_names, is_anndata, named, part, roles, used_genes
from bcnmf_jax.tl.stored import check_key, storable

if TYPE_CHECKING:
    from mudata import MuData

Matrices = dict[str, np.ndarray]
FAILED = ("collapsed", "nonfinite")


def multimodal(
    mdata: MuData,
    condition_key: str,
    target: Any,
    background: Any,
    *,
    modalities: Sequence[str] | None = None,
    layer: str | None = None,
    mask_var: str | None = None,
    n_components: int = 10,
    alpha: float = 1.0,
    loss: str = "frobenius",
    balance: bool = True,
    n_restarts: int = 5,
    max_iter: int = 500,
    tol: float = 1e-4,
    random_state: int = 0,
    key_added: str = "bcnmf",
) -> None:
    """Programs over several modalities of the same cells, that a background lacks.

    ``sum over modalities q: D(X_q | H W_q) - alpha n / m D(Y_q | G W_q)`` (`Multimodal`; bcNMF for
    two modalities, any number here): codes are shared, every modality has its part of a program.
    In memory.

    Parameters
    ----------
    mdata : MuData
        Cells of all modalities in one order.
    condition_key : str
        Column of ``mdata.obs`` that says which cells are which.
    target, background : value or list of values of that column
    modalities : list of str, optional
        Those that are fitted; by default all.
    layer : str, optional
        A layer that every modality has; by default ``X``.
    mask_var : str, optional
        Column of bool in ``var`` of every modality (for instance "highly_variable") with the
        features that are used; by default all.
    n_components : int
    alpha : float
        Contrast per sample.
    loss : {"frobenius", "kl"}
    balance : bool
        Give every modality the same weight, whatever its scale and number of features: its values
        are divided by their root of summed squares over the target (squared error), or by their
        sum (KL). Components are written in the units of the data.
    n_restarts, max_iter, tol, random_state
        As in `BCNMF`.
    key_added : str

    Returns
    -------
    None
        ``mdata.obsm["X_bcnmf"]`` (cells, programs) for all cells, those that are neither projected
        with the basis fixed; ``mdata.obs["bcnmf_role"]``; in every modality
        ``varm["bcnmf_components"]`` (features, programs; NaN for features that were not used);
        ``mdata.uns["bcnmf"]``: ``params``, ``result``, ``diagnostics``, ``restarts``, ``versions``.
        Programs are ordered by their usage in the target against the background.

    Raises
    ------
    TypeError, KeyError, ValueError
        For what is no MuData, modalities, columns, values and layers that are missing, cells that
        modalities do not share, a ``key_added`` whose fields hold something else, and parameters
        out of range. ``mdata`` is then as it was.

    Examples
    --------
    >>> bj.tl.multimodal(mdata, "stim", "stim", "ctrl", n_components=5)  # doctest: +SKIP
    """
    chosen = _modalities(mdata, modalities)
    check_key(mdata, key_added, [mdata.mod[q] for q in chosen])
    _check(n_components, alpha, loss, n_restarts, max_iter, tol, random_state)
    if is_anndata(background):
        raise ValueError("background must be values of mdata.obs[condition_key], in one MuData")
    role = roles(mdata, condition_key, target, background)
    every, genes = _matrices(mdata, chosen, layer, mask_var)
    x, y = ({q: a[role == r] for q, a in every.items()} for r in (0, 1))
    size = {q: _size(a, loss) if balance else 1.0 for q, a in x.items()}
    scaled = lambda sets: {q: a / size[q] for q, a in sets.items()}  # noqa: E731
    objective = Multimodal(alpha=alpha, loss=as_loss(loss))
    data = {"target": scaled(x), "background": scaled(y)}
    found, table = _best(
        objective, data, n_components, n_restarts, Stop(tol, max_iter), random_state
    )
    codes = np.asarray(transform(objective, found, {"target": scaled(every)}))
    mine, theirs = (codes[role == r].mean(0) for r in (0, 1))
    order = by_ratio(mine, theirs, size=mine)
    params = {
        "condition_key": condition_key, "target": np.ravel(target).astype(str),
        "background": np.ravel(background).astype(str), "modalities": chosen, "layer": layer,
        "mask_var": mask_var, "n_components": n_components, "alpha": alpha, "loss": loss,
        "balance": balance, "random_state": random_state,
    }  # fmt: skip
    about = {
        "params": params,
        "result": str(result_name(found.result)),
        "diagnostics": {k: np.asarray(v).item() for k, v in found.diagnostics.items()},
        "versions": versions(),
    }
    if about["result"] in FAILED:
        _warn(about["result"], alpha)
    pandas = require("pandas", "bio")
    for q in chosen:
        loadings = np.full((mdata.mod[q].n_vars, n_components), np.nan)
        loadings[genes[q]] = size[q] * np.asarray(found.blocks["basis"][q])[order].T
        mdata.mod[q].varm[f"{key_added}_components"] = loadings
    mdata.obsm[f"X_{key_added}"] = np.ascontiguousarray(codes[:, order])
    mdata.obs[f"{key_added}_role"] = pandas.Categorical.from_codes(role, list(ROLES))
    mdata.uns[key_added] = storable(about) | {"restarts": pandas.DataFrame(table)}


def _modalities(mdata: MuData, modalities: Sequence[str] | None) -> list[str]:
    if not hasattr(mdata, "mod"):
        raise TypeError(
            f"mdata must be a MuData, found {type(mdata).__name__}; bcnmf takes an AnnData"
        )
    chosen = list(mdata.mod) if modalities is None else list(modalities)
    if unknown := [q for q in chosen if q not in mdata.mod]:
        raise KeyError(f"modalities: mdata has no {named(unknown)}; it has {list(mdata.mod)}")
    if not chosen:
        raise ValueError(f"modalities is empty; mdata has {list(mdata.mod)}")
    for q in chosen:
        if not np.array_equal(mdata.mod[q].obs_names, mdata.obs_names):
            raise ValueError(
                f"modality {q!r} has not all cells of mdata in their order; keep those that all "
                "modalities share: muon.pp.intersect_obs(mdata)"
            )
    return chosen


def _check(n_components, alpha, loss, n_restarts, max_iter, tol, random_state) -> None:
    check_integer(n_components, "n_components")
    check_integer(n_restarts, "n_restarts")
    check_integer(max_iter, "max_iter", most=most_steps())
    for name, value in {"alpha": alpha, "tol": tol}.items():
        if not isinstance(value, Real) or not 0 <= float(value) < np.inf:
            raise ValueError(f"{name} must be a number of at least 0, found {value!r}")
    check_seed(random_state, "random_state")
    as_loss(loss)


def _matrices(
    mdata: MuData, chosen: list[str], layer: str | None, mask_var: str | None
) -> tuple[Matrices, dict[str, np.ndarray]]:
    """Dense values of all cells, and the features that are used, by modality."""
    every, genes = {}, {}
    for q in chosen:
        adata = mdata.mod[q]
        check_names(adata, f"mdata.mod[{q!r}]")
        genes[q] = used_genes(adata, mask_var)
        rows = part(adata, layer, np.arange(adata.n_obs), genes[q])
        check(rows, f"mdata.mod[{q!r}]")
        every[q] = rows[:]
    return every, genes


def _size(a: np.ndarray, loss: str) -> float:
    """Divisor of a modality, so that all weigh the same."""
    return float(a.sum() if loss == "kl" else np.linalg.norm(a))


def _best(
    objective: Multimodal, data: dict, rank: int, restarts: int, stop: Stop, random_state: int
) -> tuple[Fit, list[dict[str, Any]]]:
    """The fit of lowest reduced objective among those that did not collapse, and a row for each."""
    keys = jax.vmap(lambda r: jax.random.fold_in(jax.random.key(random_state), r))
    rows = prepare(data)
    fits = fit_restarts(objective, rows, rank, keys(np.arange(restarts)), stop)
    table = [
        {
            "restart": r,
            "value": float(reduced_objective(objective, rows, fits[r].blocks)),
            "result": str(result_name(fits[r].result)),
            "steps": int(fits[r].steps),
        }
        for r in range(restarts)
    ]
    best = min(range(restarts), key=lambda r: (table[r]["result"] in FAILED, table[r]["value"]))
    return fits[best], table


def _warn(result: str, alpha: float) -> None:
    from bcnmf_jax.estimator.bcnmf import CollapsedWarning

    warnings.warn(
        f"every restart ended {result}: the components do not describe the target; lower alpha "
        f"(now {alpha}), or check the background",
        CollapsedWarning,
        stacklevel=3,
    )
