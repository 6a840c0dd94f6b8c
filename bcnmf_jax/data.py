"""Checks of what a user hands over: clear errors first, warnings second, then `Rows`."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from bcnmf_jax.terms import Rows


class DataWarning(UserWarning):
    """Data that can be fitted, with an answer that may not mean what is expected."""


class ConstantFeatureWarning(DataWarning):
    """Features with one value throughout target and background."""


class ScaleWarning(DataWarning):
    """A background on another scale or depth than the target."""


SCALE_RATIO = 10.0
"""Ratio of the mean values of target and background from which a `ScaleWarning` is given."""


def check_array(a: Any, name: str) -> np.ndarray | jax.Array:
    """A nonnegative matrix of the working dtype, or an error that names the argument.

    Parameters
    ----------
    a : array (n, g)
        NumPy or JAX, or what NumPy can convert.
    name : str
        How the caller knows the argument.

    Raises
    ------
    TypeError
        For values that are no real numbers, half precision, and sparse matrices.
    ValueError
        For another number of dimensions, an empty or constant matrix, NaN, infinite or negative
        values.
    """
    if isinstance(a, Tracer):
        return a
    if hasattr(a, "tocsr"):
        raise TypeError(f"{name} is a sparse matrix; pass {name}.toarray()")
    a = a if isinstance(a, jax.Array) else np.asarray(a)
    if a.dtype.kind not in "fiub" or a.dtype.name == "bfloat16":
        raise TypeError(f"{name} must hold real numbers, found dtype {a.dtype}; convert it first")
    if a.dtype.itemsize < 4 and a.dtype.kind == "f":
        raise TypeError(
            f"{name} is {a.dtype}, whose sums overflow; convert it to float32 or float64"
        )
    if a.ndim != 2:
        raise ValueError(
            f"{name} must have two dimensions (samples, features), found shape {a.shape}"
        )
    if 0 in a.shape:
        raise ValueError(f"{name} is empty: shape {a.shape}; it needs samples and features")
    low, high = a.min(), a.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~np.isfinite(np.asarray(a))).sum())
        raise ValueError(
            f"{name} has {bad} values that are NaN or infinite; fill or drop them, or mark missing "
            "values with mask="
        )
    if low < 0:
        raise ValueError(
            f"{name} has negative values (lowest {low:.3g}); a nonnegative factorisation needs "
            "values of at least 0: do not centre or z-score"
        )
    if low == high:
        raise ValueError(f"{name} is constant (every value is {low:.3g}); nothing can be learned")
    return a


def _weights(v: Any, shape: tuple[int, ...], name: str) -> np.ndarray | jax.Array:
    v = v if isinstance(v, jax.Array) else np.asarray(v)
    if v.shape not in ((shape[0],), shape):
        raise ValueError(
            f"{name} must have shape {(shape[0],)} or {shape} to match the data, found {v.shape}"
        )
    if isinstance(v, Tracer):
        return v
    if v.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, found dtype {v.dtype}")
    if not np.isfinite(v).all() or (v < 0).any() or not (v > 0).any():
        raise ValueError(f"{name} must be finite, at least 0, and somewhere above 0")
    return v


def _rows(a: Any, weights: Any, mask: Any, name: str) -> Rows:
    if isinstance(a, Rows):
        return a
    if mask is not None and not isinstance(a, Tracer):
        a = a if isinstance(a, jax.Array) else np.asarray(a)
        mask = _weights(mask, a.shape, f"mask[{name!r}]")
        if mask.shape != a.shape:
            raise ValueError(f"mask[{name!r}] must have the shape of the data, {a.shape}")
        a = np.where(mask == 0, 0, a)
    x = check_array(a, f"data[{name!r}]")
    # float64 becomes float32 unless JAX has double precision on
    x = jnp.asarray(x, jax.dtypes.canonicalize_dtype(x.dtype if x.dtype.kind == "f" else float))
    v = None
    if weights is not None:
        v = jnp.asarray(_weights(weights, x.shape, f"weights[{name!r}]"), x.dtype)
        v = v[:, None] if v.ndim == 1 else v
    if mask is not None:
        v = jnp.asarray(mask, x.dtype) * (1 if v is None else v)
    return Rows(x, v)


def prepare(data: dict, weights: dict | None = None, mask: dict | None = None) -> dict[str, Any]:
    """Data as `Rows`, checked.

    Parameters
    ----------
    data : dict
        ``{"target": X, "background": Y}``; ``Y`` may be a list (several backgrounds), and either a
        dictionary (modalities). Rows are samples, columns the same features in the same order.
    weights, mask : dict, optional
        Of the same structure: weights ``(n,)`` per sample; ``(n, g)`` arrays that are 0 where a
        value is missing.

    Raises
    ------
    TypeError, ValueError
        As `check_array`; for another number of features; for unknown names.
    """
    if not isinstance(data, dict) or not data:
        raise TypeError(
            'data must be a dictionary like {"target": X, "background": Y}, found '
            f"{type(data).__name__}"
        )
    if unknown := set(data) - {"target", "background"}:
        raise ValueError(f'data has unknown names {sorted(unknown)}; use "target" and "background"')
    for name, extra in (("weights", weights), ("mask", mask)):
        if extra is not None and (not isinstance(extra, dict) or set(extra) - set(data)):
            raise ValueError(f"{name} must be a dictionary with names among {sorted(data)}")
    built = {k: _nested(a, (weights or {}).get(k), (mask or {}).get(k), k) for k, a in data.items()}
    _check_features(built)
    return built


def _nested(a, weights, mask, name):
    if isinstance(a, dict):
        pick = lambda extra, k: extra.get(k) if isinstance(extra, dict) else extra  # noqa: E731
        return {k: _nested(b, pick(weights, k), pick(mask, k), f"{name}.{k}") for k, b in a.items()}
    if isinstance(a, list | tuple):
        if not a:
            raise ValueError(f"data[{name!r}] is an empty list; leave it out instead")
        part = lambda extra, i: None if extra is None else extra[i]  # noqa: E731
        return [
            _nested(b, part(weights, i), part(mask, i), f"{name}[{i}]") for i, b in enumerate(a)
        ]
    return _rows(a, weights, mask, name)


def _check_features(data: dict[str, Any]) -> None:
    """The same features everywhere; warnings about what can be fitted but not trusted."""
    if "target" not in data or "background" not in data:
        return
    backgrounds = data["background"]
    for i, one in enumerate(backgrounds if isinstance(backgrounds, list) else [backgrounds]):
        both, at = (data["target"], one), f"[{i}]" if isinstance(backgrounds, list) else ""
        dicts = [isinstance(d, dict) for d in both]
        if any(dicts) and (not all(dicts) or set(both[0]) != set(both[1])):
            raise ValueError(f"data['background']{at} must have the modalities of the target")
        for key in both[0] if all(dicts) else (None,):
            x, y = both if key is None else (both[0][key], both[1][key])
            name = f"background{at}" if key is None else f"background{at}.{key}"
            if x.x.shape[1] != y.x.shape[1]:
                raise ValueError(
                    f"data[{name!r}] has {y.x.shape[1]} features and the target "
                    f"{x.x.shape[1]}; give both the same features in the same order"
                )
            if not any(isinstance(r.x, Tracer) for r in (x, y)):
                _warn(np.asarray(x.x), np.asarray(y.x), name)


def _warn(x: np.ndarray, y: np.ndarray, name: str) -> None:
    same = (x.min(0) == x.max(0)) & (y.min(0) == y.max(0)) & (x[0] == y[0])
    if same.any():
        warnings.warn(
            f"{int(same.sum())} of {same.size} features are constant over target and {name}; "
            "they carry nothing and can be dropped",
            ConstantFeatureWarning,
            stacklevel=4,
        )
    ratio = float(y.mean() / x.mean())
    if not 1 / SCALE_RATIO < ratio < SCALE_RATIO:
        warnings.warn(
            f"the mean of {name} is {ratio:.3g} times the target's; alpha multiplies a sum over "
            "the background, so bring both to one scale or depth first",
            ScaleWarning,
            stacklevel=4,
        )
