"""`summarize`: sources read once, for their checks and sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from bcnmf_jax.data._ranges import Ranges
from bcnmf_jax.data.checks import (
    check_features,
    check_filled,
    check_form,
    check_names,
    check_samples,
    check_values,
    check_weights,
    working,
)
from bcnmf_jax.data.chunks import chunk_rows as cache_rows
from bcnmf_jax.data.chunks import scan_rows
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.data.sources import CHUNK_ROWS, Reader, Stacked, chunk_size


class Summary(NamedTuple):
    """A source that `summarize` has read.

    Attributes
    ----------
    source
        What is read.
    shape : tuple (n, g)
    dtype : dtype
        What its chunks are made of: float32, or float64 where JAX has double precision on.
    low, high, total : ndarray (g,)
        Lowest and highest value of every feature, and its sum over the rows, weights counted.
    sums : ndarray (n,)
        Sum of every row.
    weights : ndarray (n, 1), optional
        What every row counts.
    """

    source: Any
    shape: tuple[int, int]
    dtype: Any
    low: np.ndarray
    high: np.ndarray
    total: np.ndarray
    sums: np.ndarray
    weights: np.ndarray | None = None


def is_summary(a: Any) -> bool:
    """Whether a node of the data is a summary, where a walk over them stops."""
    return isinstance(a, Summary)


def sources(known: PyTree) -> PyTree:
    """The sources of summaries."""
    return jax.tree.map(lambda k: k.source, known, is_leaf=is_summary)


def stack(parts: Sequence[Summary]) -> Summary:
    """Summary of several sources one below the other."""
    if len(parts) == 1:
        return parts[0]
    source, weights = Stacked([p.source for p in parts]), None
    if any(p.weights is not None for p in parts):
        each = [np.ones((p.shape[0], 1)) if p.weights is None else p.weights for p in parts]
        weights = np.concatenate(each)
    return Summary(
        source,
        source.shape,
        np.result_type(*(p.dtype for p in parts)),
        np.min([p.low for p in parts], axis=0),
        np.max([p.high for p in parts], axis=0),
        np.sum([p.total for p in parts], axis=0),
        np.concatenate([p.sums for p in parts]),
        weights,
    )


@eqx.filter_jit
def _facts(rows: Rows, weights: Array | None) -> tuple[Array, ...]:
    """Lowest, highest and weighted sum of every feature, values that are not finite, sum of every
    row."""
    features, dtype = rows.x.shape[1], rows.x.dtype
    edge = jnp.full(features, jnp.inf, dtype)

    def visit(total, chunk):
        (low, high, added, bad), (chunk, w) = total, chunk
        x, real = chunk.x, chunk.weights > 0
        low = jnp.minimum(low, jnp.where(real, x, jnp.inf).min(0))
        high = jnp.maximum(high, jnp.where(real, x, -jnp.inf).max(0))
        added += (x if w is None else x * w).sum(0)
        return (low, high, added, bad + jnp.sum(~jnp.isfinite(x))), x.sum(1)

    total = edge, -edge, jnp.zeros(features, dtype), jnp.zeros((), int)
    rows_weights = rows, weights
    total, sums = scan_rows(visit, total, rows_weights, cache_rows(features, dtype.itemsize))
    return *total, sums


def summarize(
    data: dict,
    weights: dict | None = None,
    *,
    chunk_rows: int = CHUNK_ROWS,
    constant: bool = False,
) -> dict[str, Any]:
    """Read sources once: check their values and sum them; a summary stays as it is.

    Parameters
    ----------
    data : dict
        ``{"target": source, "background": source}``, nested as `prepare` takes it.
    weights : dict, optional
        Weights ``(n,)`` per sample, of the same structure.
    chunk_rows : int
        Rows in memory at a time.
    constant : bool
        Take data of one value.

    Returns
    -------
    dict
        `Summary` in the place of every source.

    Raises
    ------
    TypeError, ValueError
        As `prepare`.
    """
    check_names(data)
    for name, a in data.items():
        check_filled(a, name)
    data = {k: list(a) if type(a) is tuple else a for k, a in data.items()}
    one = lambda a: a is None or is_summary(a)  # noqa: E731
    named = jax.tree_util.tree_flatten_with_path(data, is_leaf=one)
    names = ["data" + jax.tree_util.keystr(path) for path, _ in named[0]]
    found = [
        _survey(a, name, _weights(weights, path), chunk_rows, constant)
        for name, (path, a) in zip(names, named[0], strict=True)
    ]
    built = jax.tree.unflatten(named[1], found)
    for name, one in built.items():
        for part in one if isinstance(one, list) else [one]:
            if isinstance(part, dict):
                check_samples({k: p.shape[0] for k, p in part.items()}, name)
    if not all(map(is_summary, jax.tree.leaves(data, is_leaf=is_summary))):
        facts = lambda k: Ranges(k.low, k.high, k.total / k.shape[0], k.sums)  # noqa: E731
        check_features(built, lambda k: k.shape[1], facts)
    return built


def _weights(weights: Any, path: Sequence[Any]) -> Any:
    """Weights at the path of a data set, if any."""
    for i, part in enumerate(path):
        if weights is None:
            return None
        at = part.key if isinstance(part, jax.tree_util.DictKey) else part.idx
        kind = dict if isinstance(part, jax.tree_util.DictKey) else list | tuple
        if not isinstance(weights, kind):
            where = "weights" + jax.tree_util.keystr(tuple(path[:i]))
            raise ValueError(f"{where} must be nested as the data are")
        weights = weights.get(at) if isinstance(weights, dict) else weights[at]
    return weights


def _survey(source: Any, name: str, weights: Any, most: int, constant: bool) -> Summary:
    if is_summary(source):
        if weights is not None:
            raise ValueError(f"{name} is a summary: its weights are in it already")
        return source
    if hasattr(source, "tocsr") or not all(hasattr(source, a) for a in ("shape", "dtype")):
        raise TypeError(
            f"{name} must be a source of dense rows, found {type(source).__name__}; "
            "bcnmf_jax.source(...) makes one of a sparse matrix, AnnData or a file"
        )
    check_form(source, name)
    shape, dtype = (int(source.shape[0]), int(source.shape[1])), working(np.dtype(source.dtype))
    if weights is not None:
        weights = np.array(check_weights(weights, (shape[0],), f"weights of {name}"), dtype)
        weights = weights[:, None]
    reader = Reader([source], chunk_size([shape[0]], most), dtype)
    low, high = np.full(shape[1], np.inf), np.full(shape[1], -np.inf)
    total, sums, bad = np.zeros(shape[1]), np.empty(shape[0], dtype), 0
    for job, rows in reader.read(reader.jobs(0)):
        w = None if weights is None else reader.weigh(job, weights)
        least, largest, added, odd, mine = map(np.asarray, _facts(rows, w))
        low, high, total = np.minimum(low, least), np.maximum(high, largest), total + added
        sums[job.start : job.stop] = mine[: job.stop - job.start]
        bad += int(odd)
    check_values(low.min(), high.max(), lambda: bad, dtype, name, constant)
    return Summary(source, shape, dtype, low, high, total, sums, weights)
