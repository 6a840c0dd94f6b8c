"""Checks of what a user hands over: clear errors first, warnings second, then `Rows`."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from bcnmf_jax.terms import Rows, is_rows


class DataWarning(UserWarning):
    """Data that can be fitted, with an answer that may not mean what is expected."""


class ConstantFeatureWarning(DataWarning):
    """Features with one value throughout target and background."""


class ScaleWarning(DataWarning):
    """A background on another scale or depth than the target."""


SCALE_RATIO = 10.0
"""Ratio of the mean values of target and background from which a `ScaleWarning` is given."""


def check_array(a: Any, name: str, *, constant: bool = False) -> np.ndarray | jax.Array:
    """A nonnegative matrix of the working dtype, or an error that names the argument.

    Parameters
    ----------
    a : array (n, g)
        NumPy or JAX, or what NumPy can convert.
    name : str
        How the caller knows the argument.
    constant : bool
        Take a matrix of one value (new samples may be few, or empty).

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
    if float(high) > float(np.finfo(_working(a.dtype)).max):
        raise ValueError(
            f"{name} has values up to {high:.3g}, beyond {np.dtype(_working(a.dtype))}; rescale it"
        )
    if low == high and not constant:
        raise ValueError(f"{name} is constant (every value is {low:.3g}); nothing can be learned")
    return a


def _working(dtype) -> Any:
    """float64 becomes float32 unless JAX has double precision on; integers become floats."""
    return jax.dtypes.canonicalize_dtype(dtype if dtype.kind == "f" else float)


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


def _rows(a: Any, weights: Any, mask: Any, name: str, constant: bool) -> Rows:
    if isinstance(a, Rows):
        if weights is not None or mask is not None:
            raise ValueError(f"data[{name!r}] is prepared: its weights and mask are in it already")
        return a
    if mask is not None and not isinstance(a, Tracer):
        a = a if isinstance(a, jax.Array) else np.asarray(a)
        mask = _weights(mask, a.shape, f"mask[{name!r}]")
        if mask.shape != a.shape:
            raise ValueError(f"mask[{name!r}] must have the shape of the data, {a.shape}")
        a = np.where(mask == 0, 0, a)
    x = check_array(a, f"data[{name!r}]", constant=constant)
    x = jnp.asarray(x, _working(x.dtype))
    v = None
    if weights is not None:
        v = jnp.asarray(_weights(weights, x.shape, f"weights[{name!r}]"), x.dtype)
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
        _check_features(built)
    dtype = jnp.result_type(*jax.tree.leaves(built))
    return jax.tree.map(lambda a: a.astype(dtype), built)


def _nested(a: Any, weights: Any, mask: Any, name: str, constant: bool) -> Any:
    extras = {"weights": weights, "mask": mask}
    if isinstance(a, dict):
        for what, extra in extras.items():
            if extra is not None and (not isinstance(extra, dict) or set(extra) - set(a)):
                raise ValueError(f"{what}[{name!r}] must be a dictionary with names of {sorted(a)}")
        built = {
            k: _nested(b, (weights or {}).get(k), (mask or {}).get(k), f"{name}.{k}", constant)
            for k, b in a.items()
        }
        if len({r.x.shape[0] for r in built.values()}) > 1:
            sizes = {k: r.x.shape[0] for k, r in built.items()}
            raise ValueError(f"data[{name!r}] has modalities of {sizes} samples; give the same")
        return built
    if isinstance(a, list | tuple):
        if not a:
            raise ValueError(f"data[{name!r}] is an empty list; leave it out instead")
        for what, extra in extras.items():
            if extra is not None and (not isinstance(extra, list | tuple) or len(extra) != len(a)):
                raise ValueError(f"{what}[{name!r}] must be a list of {len(a)}, as the data are")
        none = [None] * len(a)
        parts = zip(a, weights or none, mask or none, strict=True)
        return [_nested(b, v, m, f"{name}[{i}]", constant) for i, (b, v, m) in enumerate(parts)]
    return _rows(a, weights, mask, name, constant)


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
            stacklevel=5,
        )
    ratio = float(y.mean() / x.mean())
    if not 1 / SCALE_RATIO < ratio < SCALE_RATIO:
        warnings.warn(
            f"the mean of {name} is {ratio:.3g} times the target's; alpha multiplies a sum over "
            "the background, so bring both to one scale or depth first",
            ScaleWarning,
            stacklevel=5,
        )
