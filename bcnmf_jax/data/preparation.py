"""`prepare`: arrays, checked and made `Rows`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bcnmf_jax.data._ranges import Ranges, ranges
from bcnmf_jax.data.checks import (
    check_array,
    check_features,
    check_filled,
    check_names,
    check_samples,
    check_seen,
    check_weights,
    working,
)
from bcnmf_jax.data.memory import owned
from bcnmf_jax.data.numbers import concrete, traced
from bcnmf_jax.data.rows import Rows, is_rows


def _rows(a: Any, weights: Any, mask: Any, name: str, constant: bool) -> Rows:
    if isinstance(a, Rows):
        if weights is not None or mask is not None:
            raise ValueError(f"data[{name!r}] is prepared: its weights and mask are in it already")
        return a
    if np.ma.isMaskedArray(a):
        a, mask = a.data, _mask_of(a, mask, name)
    if mask is not None and not traced(a):
        a = a if isinstance(a, jax.Array) else np.asarray(a)
        mask = _checked(mask, a.shape, name)
        x = check_array(np.where(mask == 0, 0, a), f"data[{name!r}]", constant=constant)
        x = jnp.asarray(x, working(x.dtype))  # nobody else holds what np.where has made
    else:
        x = check_array(a, f"data[{name!r}]", constant=constant)
        x = owned(x, working(x.dtype))
    v = None
    if weights is not None:
        v = owned(check_weights(weights, x.shape, f"weights[{name!r}]"), x.dtype)
        v = v[:, None] if v.ndim == 1 else v
    if mask is not None:
        mask = owned(mask, x.dtype)
        v = mask if v is None else mask * v
    return Rows(x, v)


def _mask_of(a: np.ma.MaskedArray, mask: Any, name: str) -> Any:
    """The mask that a masked array and another one, if any, make; None where nothing is hidden."""
    hidden = np.ma.getmaskarray(a)
    if not hidden.any():
        return mask
    if mask is None:
        return (~hidden).astype(np.float32)
    return np.where(hidden, 0, _checked(mask, a.shape, name))


def _checked(mask: Any, shape: tuple[int, ...], name: str) -> np.ndarray | jax.Array:
    """A mask of the shape of the data."""
    mask = check_weights(mask, shape, f"mask[{name!r}]")
    if mask.shape != shape:
        raise ValueError(f"mask[{name!r}] must have the shape of the data, {shape}")
    return mask


def seen(rows: Any) -> Any:
    """Features of every data set that have a value that counts, nested as the rows are."""

    def one(r: Rows) -> np.ndarray:
        if r.weights is None or concrete(r.weights) is None:
            return np.ones(r.x.shape[1], bool)
        return np.broadcast_to(np.asarray(r.weights).max(0) > 0, r.x.shape[1])

    return jax.tree.map(one, rows, is_leaf=is_rows)


def check_all_seen(data: dict, found: dict) -> None:
    """Raise ValueError for features of which a data set has no value (`seen`).

    Of several backgrounds one is enough.
    """
    for name, sets in found.items():
        given = data[name]
        if isinstance(sets, list):
            sets = jax.tree.map(lambda *parts: np.any(parts, axis=0), *sets)
            given = given[0]
        for key, one in sets.items() if isinstance(sets, dict) else [(None, sets)]:
            frame = given if key is None else given[key]
            names = list(frame.columns) if hasattr(frame, "columns") else None
            check_seen(one, f"data[{name if key is None else f'{name}.{key}'!r}]", names)


def check_columns(data: dict) -> None:
    """Raise ValueError for frames whose columns differ."""
    names = {k: list(a.columns) for k, a in data.items() if hasattr(a, "columns")}
    if len(names) == 2 and names["target"] != names["background"]:
        odd = [n for n in names["target"] if n not in set(names["background"])][:5]
        why = f"it lacks {odd}" if odd else "they stand in another order"
        raise ValueError(f"data['background'] has not the columns of the target: {why}")


def read(
    data: dict,
    weights: dict | None = None,
    mask: dict | None = None,
    *,
    constant: bool = False,
) -> dict[str, Any]:
    """As `prepare`, without a look at whether every feature has a value."""
    check_names(data)
    for name, extra in (("weights", weights), ("mask", mask)):
        if extra is not None and (not isinstance(extra, dict) or set(extra) - set(data)):
            raise ValueError(f"{name} must be a dictionary with names among {sorted(data)}")
    check_columns(data)
    built = {
        k: _nested(a, (weights or {}).get(k), (mask or {}).get(k), k, constant)
        for k, a in data.items()
    }
    if not any(isinstance(a, Rows) for a in jax.tree.leaves(data, is_leaf=is_rows)):
        check_features(built, lambda r: r.x.shape[1], _summary)
    dtype = np.result_type(*(a.dtype for a in jax.tree.leaves(built)))
    return jax.tree.map(lambda a: a.astype(dtype), built)


def prepare(
    data: dict,
    weights: dict | None = None,
    mask: dict | None = None,
    *,
    constant: bool = False,
) -> dict[str, Any]:
    """Data as `Rows`, checked and copied; what has been prepared is taken as it is.

    Parameters
    ----------
    data : dict
        ``{"target": X, "background": Y}``; ``Y`` may be a list (several backgrounds), and either a
        dictionary (modalities). Rows are samples, columns the same features in the same order.
        Of a masked array (``numpy.ma``) the mask is used.
    weights, mask : dict, optional
        Of the same structure: weights ``(n,)`` per sample; ``(n, g)`` arrays that are 0 where a
        value is missing.
    constant : bool
        Take new samples: matrices of one value, and without a value of some feature.

    Raises
    ------
    TypeError, ValueError
        As `check_array`; for another number of features; for unknown names; for a feature that is
        missing in every sample of the target, or of all backgrounds.
    """
    rows = read(data, weights, mask, constant=constant)
    if not constant and not any(map(is_rows, jax.tree.leaves(data, is_leaf=is_rows))):
        check_all_seen(data, seen(rows))
    return rows


def _nested(a: Any, weights: Any, mask: Any, name: str, constant: bool) -> Any:
    extras = {"weights": weights, "mask": mask}
    check_filled(a, name)
    if isinstance(a, dict):
        for what, extra in extras.items():
            if extra is not None and (not isinstance(extra, dict) or set(extra) - set(a)):
                raise ValueError(f"{what}[{name!r}] must be a dictionary with names of {sorted(a)}")
        built = {
            k: _nested(b, (weights or {}).get(k), (mask or {}).get(k), f"{name}.{k}", constant)
            for k, b in a.items()
        }
        check_samples({k: r.x.shape[0] for k, r in built.items()}, name)
        return built
    if isinstance(a, list | tuple):
        for what, extra in extras.items():
            if extra is not None and (not isinstance(extra, list | tuple) or len(extra) != len(a)):
                raise ValueError(f"{what}[{name!r}] must be a list of {len(a)}, as the data are")
        none = [None] * len(a)
        parts = zip(a, weights or none, mask or none, strict=True)
        return [_nested(b, v, m, f"{name}[{i}]", constant) for i, (b, v, m) in enumerate(parts)]
    return _rows(a, weights, mask, name, constant)


def _summary(rows: Rows) -> Ranges | None:
    if traced(rows.x):
        return None
    return ranges(np.asarray(rows.x))
