"""Checks of the arguments of `BCNMF.fit`: target, background, weights, missing values."""

from __future__ import annotations

import numbers
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, validate_data

from bcnmf_jax.data.checks import check_form, check_seen, check_unmasked
from bcnmf_jax.data.readers import source
from bcnmf_jax.data.sources import Stacked
from bcnmf_jax.data.sparse import check_matrix
from bcnmf_jax.data.two_sets import SETS, annotation
from bcnmf_jax.estimator._fit_data import FitData, Matrix
from bcnmf_jax.inference.restarts import InMemory, Sets
from bcnmf_jax.inference.streamed import Streamed
from bcnmf_jax.streaming.sample import ROWS

FLOATS = [np.float64, np.float32]
SPARSE_MISSING = (
    "missing='mask' needs arrays, found NaN and sparse matrices; pass X and background as "
    "X.toarray()"
)


def read_fit(
    model: Any,
    X: Any,
    y: Any,
    background: Any,
    sample_weight: Any,
    groups: Any,
    background_groups: Any,
) -> FitData:
    """The arguments of ``BCNMF.fit``, checked.

    Returns
    -------
    FitData

    Raises
    ------
    TypeError
        For a background passed as y, and half precision.
    ValueError
        For a background given twice, or of other features than X; for weights and groups that do
        not match.
    """
    shapes: list[Any] = [getattr(a, "shape", ()) for a in (X, y)]
    if all(len(shape) == 2 for shape in shapes) and shapes[0][1] == shapes[1][1] > 1:
        raise TypeError("y is ignored; pass the background by name: fit(X, background=Y)")
    if background is not None and model.background is not None:
        raise ValueError(
            "background is given to the constructor and to fit; give it once: "
            "set_params(background=None), or leave it out here"
        )
    background = model.background if background is None else background
    target = read_target(model, X, reset=True)
    weights, named = read_weights(target, sample_weight), None
    if background is not None:
        background = read_background(model, background, target.dtype)
    _all_seen(model, target, background)
    if groups is not None or background_groups is not None:
        if not hasattr(background, "shape"):
            raise ValueError("groups need one background beside X; leave them out without")
        found = annotation((target, background), groups, background_groups, "groups")
        named = dict(zip(map(str, SETS), found or (), strict=True))
    return FitData(target, background, weights, named)


def read_weights(target: Matrix, sample_weight: Any) -> Float[np.ndarray, " n"] | None:
    """Weights of the rows of the target, checked."""
    if sample_weight is None:
        return None
    check_unmasked(sample_weight, "sample_weight", "sample_weight.filled(0)")
    rows = target.shape[0]
    if isinstance(sample_weight, numbers.Number):
        sample_weight = np.full(rows, sample_weight)
    found = check_array(
        sample_weight,
        dtype=FLOATS,
        ensure_2d=False,
        ensure_non_negative=True,
        input_name="sample_weight",
    )
    if found.shape != (rows,):
        raise ValueError(
            f"sample_weight has shape {found.shape} and X {rows} rows; give one number for each"
        )
    return found


def read_target(model: Any, X: Any, *, reset: bool) -> Matrix:
    """X as an array, CSR or CSC matrix of floats, or a source as it is; ``reset`` where it says
    what the features are."""
    if is_source(X):
        if reset:
            vars(model).pop("feature_names_in_", None)
            model.n_features_in_ = X.shape[1]
        return _source(model, X, "X")
    _refuse_odd(X, "X")
    found = validate_data(
        model, _unmasked(model, X, "X"), accept_sparse=("csr", "csc"), dtype=FLOATS,
        ensure_non_negative=True, ensure_all_finite=False, reset=reset,
    )  # fmt: skip
    return _finite(model, found, "X")


def stacked(background: Matrix | list[Matrix]) -> Any:
    """Several backgrounds as one."""
    if not isinstance(background, list):
        return background
    return Stacked([source(b) for b in background])


def sets(given: FitData, *, new: bool = False) -> Sets:
    """Checked data, ready to be fitted (or, ``new``, to be read under a basis).

    NaN, which pass only under ``missing="mask"``, become a mask.

    Raises
    ------
    ValueError
        For missing values beside sparse matrices.
    """
    data = {k: a for k, a in zip(SETS, given, strict=False) if a is not None}
    weights = None if given.weights is None else {"target": given.weights}
    leaves = jax.tree.leaves(data)
    missing = any(np.isnan(_values(a)).any() for a in leaves if not is_source(a))
    if any(issparse(a) or is_source(a) for a in leaves):
        if missing:
            raise ValueError(SPARSE_MISSING)
        return Streamed(data, weights, new=new)
    known = lambda a: (~np.isnan(a)).astype(a.dtype)  # noqa: E731
    if not new and not missing and sum(a.shape[0] for a in leaves) > ROWS:
        return Streamed(data, weights)
    mask = jax.tree.map(known, data) if missing else None
    return InMemory(data, weights, mask, new=new)


def read_background(model: Any, background: Any, dtype: Any) -> Matrix | list[Matrix]:
    """The background as `read_target` gives X, of the features of X; a list of several."""
    several = isinstance(background, list | tuple)
    if several and not background:
        raise ValueError("background is an empty list; give one or more sets, or None without any")
    parts = background if several and len(np.shape(background[0])) == 2 else [background]
    names = [f"background[{i}]" for i in range(len(parts))] if len(parts) > 1 else ["background"]
    found = [_background(model, b, n, dtype) for b, n in zip(parts, names, strict=True)]
    return found if len(found) > 1 else found[0]


def _background(model: Any, background: Any, name: str, dtype: Any) -> Matrix:
    if is_source(background):
        return _source(model, background, name)
    _refuse_odd(background, name)
    if np.shape(background)[:1] == (0,):
        raise ValueError(f"{name} has no rows; give at least one, or None without a background")
    columns = getattr(background, "columns", None)
    wanted = getattr(model, "feature_names_in_", None)
    if columns is not None and wanted is not None and list(columns) != list(wanted):
        how = _differ(list(wanted), list(columns))
        raise ValueError(f"{name} has not the columns of X in their order: {how}")
    found = check_array(
        _unmasked(model, background, name), accept_sparse=("csr", "csc"), dtype=dtype,
        ensure_non_negative=True, ensure_all_finite=False, input_name=name,
    )  # fmt: skip
    return _finite(model, _as_wide(model, found, name), name)


def is_source(a: Any) -> bool:
    """Whether rows are read from it when they are needed, as from what `bcnmf_jax.source` makes."""
    return hasattr(a, "rows_into")


def _source(model: Any, a: Any, name: str) -> Any:
    """A source; its values are checked as they are read."""
    check_form(a, name)
    return _as_wide(model, a, name)


def _as_wide(model: Any, a: Any, name: str) -> Any:
    """Raise ValueError for other features than those of the fit."""
    if a.shape[1] != model.n_features_in_:
        raise ValueError(
            f"{name} has {a.shape[1]} features, X of the fit has {model.n_features_in_}; give both "
            "the same features in the same order"
        )
    return a


def _differ(wanted: list, columns: list) -> str:
    """Difference of two lists of names in words, with the first few of them."""
    said = []
    for word, some, others in (("it lacks", wanted, columns), ("X lacks", columns, wanted)):
        known = set(others)
        if odd := [n for n in some if n not in known]:
            more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
            said.append(f"{word} {odd[:5]}{more}")
    if said:
        return "; ".join(said)
    if len(wanted) != len(columns):
        return f"it has {len(columns)} of them and X {len(wanted)}, some twice"
    first = next(i for i, (a, b) in enumerate(zip(wanted, columns, strict=True)) if a != b)
    return (
        f"the same names stand in another order ({columns[first]!r} where X has "
        f"{wanted[first]!r}); pass background[list(X.columns)]"
    )


def _finite(model: Any, a: Any, name: str) -> Any:
    """Raise ValueError for infinite values, and for NaN unless they are to be masked."""
    values = _values(a)
    bad = np.isinf(values) if model.missing == "mask" else ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            f"{name} has {int(bad.sum())} values that are NaN or infinite; fill or drop them"
            + ("" if np.isinf(values).any() else ", or set missing='mask' to leave them out")
        )
    return a


def _unmasked(model: Any, a: Any, name: str) -> Any:
    """A masked array with NaN for what it hides, which `sets` makes a mask again.

    Raises
    ------
    ValueError
        Where missing values are not to be masked.
    """
    if not np.ma.isMaskedArray(a):
        return a
    count = int(np.ma.getmaskarray(a).sum())
    if not count:
        return a.data
    if model.missing != "mask":
        raise ValueError(
            f"{name} is a masked array that hides {count} values; set missing='mask' to leave them "
            f"out, or pass {name}.filled(value)"
        )
    return np.ma.filled(a.astype(np.result_type(a.dtype, np.float32)), np.nan)


def _all_seen(model: Any, target: Matrix, background: Matrix | list[Matrix] | None) -> None:
    """Raise ValueError for features that are NaN throughout X, or throughout the background."""
    names = getattr(model, "feature_names_in_", None)
    for where, given in (("X", target), ("background", background)):
        parts = given if isinstance(given, list) else [given]
        if all(isinstance(a, np.ndarray) for a in parts):
            check_seen(
                np.any([~np.isnan(np.asarray(a)).all(0) for a in parts], axis=0), where, names
            )


def _values(a: Any) -> np.ndarray:
    """The values of an array, or those that a sparse matrix stores."""
    return a.data if issparse(a) else a


def _refuse_odd(a: Any, name: str) -> None:
    """Raise for what scikit-learn would not see: several modalities, half precision, text, and
    sparse matrices whose indices and pointers do not fit together."""
    if isinstance(a, dict):
        raise TypeError(
            f"{name} is a dict of {', '.join(map(str, a))}; the estimator takes one matrix a set, "
            "and several modalities are fitted by bcnmf_jax.tl.multimodal"
        )
    if issparse(a):
        check_matrix(a, name)
    if getattr(a, "dtype", None) == np.float16:
        raise TypeError(f"{name} is float16, whose sums overflow; convert it to float32")
    if _has_text(a):
        raise TypeError(f"{name} must hold real numbers, found text; convert it with astype(float)")


def _has_text(a: Any) -> bool:
    """Whether some values are strings, which scikit-learn would read as numbers."""
    if issparse(a):
        return False
    # Of a frame no rows are needed for the type that all columns have in common.
    kind = np.asarray(a[:0] if hasattr(a, "columns") else a).dtype.kind
    if kind != "O":
        return kind in "US"
    return any(isinstance(value, str | bytes) for value in np.asarray(a).ravel())
