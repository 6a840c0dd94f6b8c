"""A fit in an AnnData: written, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf_jax.estimator.model_files import LOSSES, loss_parts
from bcnmf_jax.estimator.objects import from_text, is_object, to_text
from bcnmf_jax.extras import require, versions
from bcnmf_jax.inference.selection.selection import Selection
from bcnmf_jax.tl.cells import ROLES, listed

if TYPE_CHECKING:
    from anndata import AnnData

    from bcnmf_jax.estimator.bcnmf import BCNMF

CHOSEN = ("n_components", "n_background_components", "alpha", "objective")
"""Parameters that may be "auto"; what was chosen is the attribute of the same name and a "_"."""


def own(adata: AnnData) -> None:
    """Make a view an AnnData of its own, as whatever is written to it does."""
    if adata.is_view:
        adata.obs = adata.obs.copy()


SUFFIXES = ("_background", "_umap", "_umap_full")
"""Endings of the names of further fields of a fit, after ``X_`` and the key."""


def is_stored(held: Any, key: str) -> bool:
    """Whether an AnnData or MuData has a fit under a key."""
    found = held.uns.get(key)
    return hasattr(found, "get") and "params" in found and f"X_{key}" in held.obsm


def check_key(held: Any, key: Any, parts: Sequence[Any] = ()) -> None:
    """Raise ValueError for a ``key_added`` under which a fit would write over something else.

    Parameters
    ----------
    held : AnnData or MuData
    key : str
    parts : sequence of AnnData
        Where components go, if not to ``held``.
    """
    if not isinstance(key, str) or not key or "/" in key:
        raise ValueError(f"key_added must be a name without '/', found {key!r}")
    related = [key + end for end in SUFFIXES]
    related += [key.removesuffix(end) for end in SUFFIXES if key.endswith(end)]
    if taken := [other for other in related if is_stored(held, other)]:
        raise ValueError(
            f"key_added={key!r} shares names of fields with the fit under {taken[0]!r}; choose "
            "another"
        )
    if is_stored(held, key):
        return  # the same fit again: it is replaced
    fields = [
        ("uns", held.uns, key), ("obs", held.obs, f"{key}_role"),
        *(("var", part.var, f"{key}_features") for part in parts or [held]),
        *(("obsm", held.obsm, f"X_{key}{end}") for end in ("", *SUFFIXES)),
        *(
            ("varm", part.varm, f"{key}{end}_components")
            for part in parts or [held] for end in ("", "_background")
        ),
    ]  # fmt: skip
    if clash := [f"{where}[{name!r}]" for where, field, name in fields if name in field]:
        raise ValueError(
            f"key_added={key!r} would write over {', '.join(clash)}, which no fit under that key "
            "has written; choose another"
        )


def storable(value: Any) -> Any:
    """The same as types that h5ad files hold; what is None is left out of dictionaries."""
    if isinstance(value, dict):
        return {str(k): storable(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return np.array(value)
    return value.item() if isinstance(value, np.generic) else value


def settings(model: BCNMF) -> dict[str, Any]:
    """Parameters of the fit, with what was chosen in the place of "auto".

    Raises
    ------
    ValueError
        For an objective, a loss or a solver that cannot be stored (`estimator.objects`).
    """
    given = model.get_params(deep=False)
    if not isinstance(given["random_state"], Integral):
        given["random_state"] = None
    if type(given["loss"]) in LOSSES.values():
        name, values = loss_parts(given["loss"])
        given["loss"] = {"name": name, "values": {k: np.asarray(v)[()] for k, v in values.items()}}
    found = {name: getattr(model, f"{name}_", given[name]) for name in CHOSEN}
    found |= {k: to_text(v) for k, v in (given | found).items() if is_object(v)}
    return given | found | {"background": None}


def frame(rows: Any) -> Any:
    """Rows as a frame that h5ad can hold: what no row has is NaN, not None."""
    found = require("pandas", "bio").DataFrame(rows)
    return found.apply(lambda column: column.astype(float) if column.isna().all() else column)


def stored_choice(selection: Selection) -> dict[str, Any]:
    """A choice as h5ad files hold it."""
    rest = selection.to_dict()
    tables = {k: frame(rest.pop(k)) for k in ("table", "background_table", "components")}
    return storable(rest) | tables


def write(
    adata: AnnData,
    key: str,
    model: BCNMF,
    codes: np.ndarray,
    genes: np.ndarray,
    roles: np.ndarray,
    params: dict[str, Any],
) -> None:
    """Write codes, components, roles and everything about a fit, in the place of an older one."""
    pandas = require("pandas", "bio")
    stored = {
        "params": params | {"model": settings(model)},
        "result": model.result_,
        "diagnostics": model.diagnostics_,
        "versions": versions(),
    }
    found = storable(stored) | {"restarts": pandas.DataFrame(model.restarts_)}
    if (selection := getattr(model, "selection_", None)) is not None:
        found["selection"] = stored_choice(selection)
    own(adata)
    count = len(model.components_)
    for end in ("", *SUFFIXES):
        adata.obsm.pop(f"X_{key}{end}", None)
    adata.varm.pop(f"{key}_background_components", None)
    sets = {"": (model.components_, codes[:, :count])}
    if len(model.background_components_):
        sets["_background"] = (model.background_components_, codes[:, count:])
    for which, (basis, mine) in sets.items():
        adata.obsm[f"X_{key}{which}"] = np.ascontiguousarray(mine)
        loadings = np.full((adata.n_vars, len(basis)), np.nan, basis.dtype)
        loadings[genes] = basis.T
        adata.varm[f"{key}{which}_components"] = loadings
    adata.obs[f"{key}_role"] = pandas.Categorical.from_codes(roles, list(ROLES))
    adata.var.drop(columns=f"{key}_features", errors="ignore", inplace=True)
    if not model.features_.all():
        fitted = np.zeros(adata.n_vars, bool)
        fitted[genes] = model.features_
        adata.var[f"{key}_features"] = fitted
    adata.uns[key] = found


class Stored:
    """A fit as it stands in an AnnData.

    Attributes
    ----------
    names : list of str
        Of all programs, those of the target first.
    basis : ndarray (programs, used genes)
    codes : ndarray (cells, programs)
    roles : ndarray (cells,)
        Numbers in `ROLES`.
    used : ndarray (genes,) of bool
        The genes that have loadings; ``genes`` are their names.
    features : ndarray (used genes,) of bool
        Those that were fitted.
    tables : dict
        ``uns[key]`` itself.
    """

    def __init__(self, adata: AnnData, key: str):
        if key not in adata.uns or f"X_{key}" not in adata.obsm:
            raise KeyError(
                f"adata has no fit under key={key!r}; run bj.tl.bcnmf(adata, ..., "
                f"key_added={key!r}) first"
            )
        self.tables, self.key = adata.uns[key], key
        both = [which for which in ("", "_background") if f"X_{key}{which}" in adata.obsm]
        loadings = [np.asarray(adata.varm[f"{key}{which}_components"]) for which in both]
        self.used = ~np.isnan(loadings[0][:, 0])
        self.genes = np.asarray(adata.var_names)[self.used]
        self.basis = np.concatenate(loadings, axis=1)[self.used].T
        fitted = adata.var.get(f"{key}_features", self.used)
        self.features = np.asarray(fitted, bool)[self.used]
        parts = [np.asarray(adata.obsm[f"X_{key}{which}"]) for which in both]
        self.codes = np.concatenate(parts, axis=1)
        count = parts[0].shape[1]
        self.target_names = [f"bcnmf{i}" for i in range(count)]
        self.background_names = [f"background{i}" for i in range(self.codes.shape[1] - count)]
        self.names = self.target_names + self.background_names
        role = adata.obs[f"{key}_role"].astype(str)
        self.roles = np.array([ROLES.index(r) for r in role], np.int8)
        self.params = self.tables["params"]
        self.layer = self.params.get("layer")

    def model(self) -> BCNMF:
        """The fitted estimator, with what was chosen in the place of "auto"."""
        from bcnmf_jax.estimator.bcnmf import BCNMF

        parameters, count = dict(self.params["model"]), len(self.target_names)
        parameters.setdefault("n_top_features", None)  # what is None is left out where it is stored
        if not isinstance(loss := parameters["loss"], str):
            parameters["loss"] = LOSSES[loss["name"]](**loss["values"])
        for name, value in parameters.items():
            if isinstance(value, str) and value.startswith("{"):
                parameters[name] = from_text(value)
        model = BCNMF(**parameters)
        model.components_, model.background_components_ = self.basis[:count], self.basis[count:]
        model.n_features_in_ = self.basis.shape[1]
        model.features_ = self.features
        for name in CHOSEN:
            setattr(model, f"{name}_", getattr(model, name))
        model.result_ = self.tables["result"]
        model.diagnostics_ = dict(self.tables["diagnostics"])
        if (chosen := self.tables.get("selection")) is not None:
            model.selection_ = read_choice(chosen)
        return model


def read_choice(held: dict[str, Any]) -> Selection:
    """A choice without its tables."""
    names = ("outcome", "objective", "alpha", "n_components", "n_background_components")
    said = {name: np.asarray(held[name]).item() for name in names}
    empty: dict[str, Any] = {"table": (), "background_table": ()}
    together = bool(held.get("together", True))  # which earlier ones lack
    return Selection(**said, **empty, reasons=tuple(map(str, held["reasons"])), together=together)


def check_programs(stored: Stored, programs: Sequence[str] | None) -> list[str]:
    """The programs that are asked for, by default those of the target."""
    if programs is None:
        return stored.target_names
    wanted = listed(programs)
    if not wanted or set(wanted) - set(stored.names):
        raise ValueError(f"programs must be among {stored.names}, found {programs!r}")
    return wanted
