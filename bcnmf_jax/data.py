"""What a user hands over, checked and made `Rows`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bcnmf_jax.checks import (
    Summary,
    check_array,
    check_features,
    check_filled,
    check_names,
    check_samples,
    check_weights,
    working,
)
from bcnmf_jax.split import traced
from bcnmf_jax.terms import Rows, is_rows


def _rows(a: Any, weights: Any, mask: Any, name: str, constant: bool) -> Rows:
    if isinstance(a, Rows):
        if weights is not None or mask is not None:
            raise ValueError(f"data[{name!r}] is prepared: its weights and mask are in it already")
        return a
    if mask is not None and not traced(a):
        a = a if isinstance(a, jax.Array) else np.asarray(a)
        mask = check_weights(mask, a.shape, f"mask[{name!r}]")
        if mask.shape != a.shape:
            raise ValueError(f"mask[{name!r}] must have the shape of the data, {a.shape}")
        a = np.where(mask == 0, 0, a)
    x = check_array(a, f"data[{name!r}]", constant=constant)
    x = jnp.asarray(x, working(x.dtype))
    v = None
    if weights is not None:
        v = jnp.asarray(check_weights(weights, x.shape, f"weights[{name!r}]"), x.dtype)
        v = v[:, None] if v.ndim == 1 else v
    if mask is not None:
        v = jnp.asarray(mask, x.dtype) * (1 if v is None else v)
    return Rows(x, v)


def prepare(
    data: dict,
    weights: dict | None = None,
    mask: dict | None = None,
    *,
    constant: bool = False,
) -> dict[str, Any]:
    """Data as `Rows`, checked; what has been prepared is taken as it is.

    Parameters
    ----------
    data : dict
        ``{"target": X, "background": Y}``; ``Y`` may be a list (several backgrounds), and either a
        dictionary (modalities). Rows are samples, columns the same features in the same order.
    weights, mask : dict, optional
        Of the same structure: weights ``(n,)`` per sample; ``(n, g)`` arrays that are 0 where a
        value is missing.
    constant : bool
        Take matrices of one value.

    Raises
    ------
    TypeError, ValueError
        As `check_array`; for another number of features; for unknown names.
    """
    check_names(data)
    for name, extra in (("weights", weights), ("mask", mask)):
        if extra is not None and (not isinstance(extra, dict) or set(extra) - set(data)):
            raise ValueError(f"{name} must be a dictionary with names among {sorted(data)}")
    names = {k: list(a.columns) for k, a in data.items() if hasattr(a, "columns")}
    if len(names) == 2 and names["target"] != names["background"]:
        odd = [n for n in names["target"] if n not in set(names["background"])][:5]
        why = f"it lacks {odd}" if odd else "they stand in another order"
        raise ValueError(f"data['background'] has not the columns of the target: {why}")
    built = {
        k: _nested(a, (weights or {}).get(k), (mask or {}).get(k), k, constant)
        for k, a in data.items()
    }
    if not any(isinstance(a, Rows) for a in jax.tree.leaves(data, is_leaf=is_rows)):
        check_features(built, lambda r: r.x.shape[1], _summary)
    dtype = jnp.result_type(*jax.tree.leaves(built))
    return jax.tree.map(lambda a: a.astype(dtype), built)


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


def _summary(rows: Rows) -> Summary | None:
    if traced(rows.x):
        return None
    x = np.asarray(rows.x)
    return Summary(x.min(0), x.max(0), float(x.mean()))
