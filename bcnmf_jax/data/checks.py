"""Checks of values and of data sets beside each other: clear errors first, warnings second."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bcnmf_jax.data._ranges import Ranges, scaled_alone
from bcnmf_jax.data.numbers import traced


class DataWarning(UserWarning):
    """Data that can be fitted, with an answer that may not mean what is expected."""


class ConstantFeatureWarning(DataWarning):
    """Features with one value throughout target and background."""


class ScaleWarning(DataWarning):
    """A background on another scale or depth than the target."""


SCALE_RATIO = 10.0
"""Ratio of the mean values of target and background from which a `ScaleWarning` is given."""


MOST_INTEGER, MOST_SEED = 2**31 - 1, 2**32 - 1
"""Largest integer that programs hold in 32 bits, and largest seed of one word."""


def check_integer(
    value: Any, name: str, least: int = 1, most: int = MOST_INTEGER, note: str = ""
) -> int:
    """An integer of Python or NumPy as Python's.

    Raises
    ------
    ValueError
        For a truth value, another type, and what is out of range; ``note`` says more of the range.
    """
    try:
        found = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        found = None
    if found is None or not least <= found <= most:
        above = most != MOST_INTEGER or (found or 0) > most
        bounds = f"from {least} to {most}" if above else f"of at least {least}"
        shown = repr(value) if found is None else found
        raise ValueError(f"{name} must be an integer {bounds}{note}, found {shown}")
    return found


def check_seed(value: Any, name: str = "seed") -> int:
    """A seed as Python's integer; see `check_integer`."""
    return check_integer(value, name, 0, MOST_SEED)


def check_names(data: Any) -> None:
    """Raise for what is no dictionary of target and background."""
    if not isinstance(data, dict) or not data:
        raise TypeError(
            'data must be a dictionary like {"target": X, "background": Y}, found '
            f"{type(data).__name__}"
        )
    if unknown := set(data) - {"target", "background"}:
        raise ValueError(f'data has unknown names {sorted(unknown)}; use "target" and "background"')


def check_filled(a: Any, name: str) -> None:
    """Raise for a list or dictionary without data sets."""
    if isinstance(a, list | tuple | dict) and not a:
        raise ValueError(f"data[{name!r}] is an empty {type(a).__name__}; leave it out instead")


def check_several(rows: int, name: str) -> None:
    """Raise ValueError for one row, which does not vary."""
    if rows < 2:
        raise ValueError(
            f"{name} has {rows} row; at least 2 are needed, since what target and background share "
            "is told by how rows vary"
        )


def check_samples(counts: dict[str, int], name: str) -> None:
    """Raise unless all modalities of a data set have as many samples."""
    if len(set(counts.values())) > 1:
        raise ValueError(f"data[{name!r}] has modalities of {counts} samples; give the same")


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
    if traced(a):
        return a
    if hasattr(a, "tocsr"):
        raise TypeError(f"{name} is a sparse matrix; pass {name}.toarray(), or stream it")
    a = a if isinstance(a, jax.Array) else np.asarray(a)
    check_form(a, name)
    count_bad = lambda: int((~np.isfinite(np.asarray(a))).sum())  # noqa: E731
    check_values(a.min(), a.max(), count_bad, a.dtype, name, constant)
    return a


def check_unmasked(a: Any, name: str, instead: str) -> None:
    """Raise TypeError for a masked array where none is taken; ``instead`` says what to pass."""
    if np.ma.isMaskedArray(a):
        raise TypeError(f"{name} is a masked array, which is not taken here; pass {instead}")


def check_form(a: Any, name: str) -> None:
    """Raise for a dtype or a shape that is not taken; see `check_array`."""
    check_unmasked(a, name, "a.filled(value), or an array to fit, whose mask is used")
    if a.dtype.kind not in "fiub" or a.dtype.name == "bfloat16":
        raise TypeError(f"{name} must hold real numbers, found dtype {a.dtype}; convert it first")
    if a.dtype.itemsize < 4 and a.dtype.kind == "f":
        raise TypeError(
            f"{name} is {a.dtype}, whose sums overflow; convert it to float32 or float64"
        )
    check_dimensions(a.shape, name)
    if 0 in a.shape:
        raise ValueError(f"{name} is empty: shape {a.shape}; it needs samples and features")


def check_dimensions(shape: tuple[int, ...], name: str) -> None:
    """Raise ValueError for another number of dimensions than two."""
    if len(shape) != 2:
        raise ValueError(
            f"{name} must have two dimensions (samples, features), found shape {shape}"
        )


def check_weights(v: Any, shape: tuple[int, ...], name: str) -> np.ndarray | jax.Array:
    """Weights of samples or entries, or an error that names the argument."""
    check_unmasked(v, name, "v.filled(0)")
    v = v if isinstance(v, jax.Array) else np.asarray(v)
    if v.shape not in ((shape[0],), shape):
        raise ValueError(
            f"{name} must have shape {(shape[0],)} or {shape} to match the data, found {v.shape}"
        )
    if traced(v):
        return v
    if v.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, found dtype {v.dtype}")
    if not np.isfinite(v).all() or (v < 0).any() or not (v > 0).any():
        raise ValueError(f"{name} must be finite, at least 0, and not zero throughout")
    return v


def check_seen(seen: np.ndarray, name: str, names: Any) -> None:
    """Raise ValueError for features of which a data set has no value; ``names`` are theirs
    (a sequence or an array), or None."""
    lost = np.flatnonzero(~seen)
    if len(lost):
        which = [f"{i} ({names[i]!r})" if names is not None else str(i) for i in lost[:5]]
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        raise ValueError(
            f"{name} has no value of feature{'s' * (len(lost) > 1)} {', '.join(which)}"
            f"{more}: masked, or of weight 0, in every sample; nothing says what components weigh "
            "there, so leave these features out of both sets"
        )


def check_values(
    low: Any, high: Any, count_bad: Callable[[], int], dtype: Any, name: str, constant: bool
) -> None:
    """Raise for values that are not taken, from the lowest and the highest; see `check_array`."""
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"{name} has {count_bad()} values that are NaN or infinite in "
            f"{np.dtype(working(dtype))}; fill, drop or rescale them, or mark missing values of "
            "data in memory with mask="
        )
    if low < 0:
        raise ValueError(
            f"{name} has negative values (lowest {low:.3g}); a nonnegative factorisation needs "
            "values of at least 0: do not centre or z-score"
        )
    if float(high) > float(np.finfo(working(dtype)).max):
        raise ValueError(
            f"{name} has values up to {high:.3g}, beyond {np.dtype(working(dtype))}; rescale it"
        )
    if low == high and not constant:
        raise ValueError(f"{name} is constant (every value is {low:.3g}); nothing can be learned")


def working(dtype) -> Any:
    """float64 becomes float32 unless JAX has double precision on; integers become floats."""
    return dtype if dtype == np.float32 else jnp.result_type(float)


def check_features(data: dict[str, Any], width: Callable, summary: Callable) -> None:
    """The same features everywhere; warnings about what can be fitted but not trusted.

    ``width`` and ``summary`` give the number of features and the `Ranges` (None where unknown) of
    a data set.
    """
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
            if width(x) != width(y):
                raise ValueError(
                    f"data[{name!r}] has {width(y)} features and the target {width(x)}; give both "
                    "the same features in the same order"
                )
            first, second = summary(x), summary(y)
            if first is not None and second is not None:
                _warn(first, second, name)


def _warn(x: Ranges, y: Ranges, name: str) -> None:
    same = (x.low == x.high) & (y.low == y.high) & (x.low == y.low)
    if same.any():
        warnings.warn(
            f"{int(same.sum())} of {same.size} features are constant over target and {name}; "
            "they carry nothing and can be dropped",
            ConstantFeatureWarning,
            stacklevel=6,
        )
    ratio = float(y.mean.mean()) / float(x.mean.mean())
    for (a, b), (one, other) in (((x, y), ("target", name)), ((y, x), (name, "target"))):
        if sign := scaled_alone(a, b):
            warnings.warn(
                f"every {sign} in the {one}, and not in the {other}, as if one had been scaled "
                "without the other; do to both what is done to one (in a pipeline: "
                "transform_input=['background'])",
                ScaleWarning,
                stacklevel=6,
            )
    if not 1 / SCALE_RATIO < ratio < SCALE_RATIO:
        warnings.warn(
            f"the mean of {name} is {ratio:.3g} times the target's; alpha multiplies a sum over "
            "the background, so bring both to one scale or depth first",
            ScaleWarning,
            stacklevel=6,
        )
