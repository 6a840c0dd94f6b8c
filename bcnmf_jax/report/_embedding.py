"""Samples in two dimensions, and the compact form in which the page carries them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.report._contents import SETS, Fitted

MOST_SAMPLES = 50_000
"""More are not drawn but sampled: the page stays below a few megabytes."""
MOST_LEVELS = 200
"""Columns with more values than this cannot be chosen from and are shown on hovering alone."""
GOLDEN = (5**0.5 - 1) / 2


def embed(shares: NDArray, n_target: int) -> tuple[NDArray, list[str]]:
    """Principal components of the square-rooted shares of the target components.

    A target component alone has one dimension; the second is then the first one of the shared
    components, and without any a spread of the samples that means nothing.

    Parameters
    ----------
    shares : array (n, k + s)
        Share of each component in each sample, target components first.
    n_target : int
        k.

    Returns
    -------
    coordinates : array (n, 2)
    axes : list of str
        What they are.
    """
    roots = np.sqrt(shares)
    found = []
    for part, name in ((roots[:, :n_target], "programs"), (roots[:, n_target:], "shared")):
        kind = "target programs" if name == "programs" else "shared components"
        for i, (values, share) in enumerate(_principal(part)):
            found.append((values, f"PC {i + 1} of {kind} ({share:.0%} of their variance)"))
    while len(found) < 2:
        spread = np.arange(1, len(shares) + 1) * GOLDEN % 1
        found.append((spread, "spread, without meaning"))
    coordinates, axes = zip(*found[:2], strict=True)
    return np.stack(coordinates, axis=1), list(axes)


def _principal(rows: NDArray) -> list[tuple[NDArray, float]]:
    """Scores and shares of variance of up to two principal components that vary."""
    centred = rows - rows.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
    total, found = values.sum(), []
    for value, vector in list(zip(values, vectors.T, strict=True))[::-1][:2]:
        if value > 1e-12:
            sign = np.sign(vector[np.argmax(np.abs(vector))])
            found.append((centred @ vector * sign, value / total))
    return found


def packed(values: NDArray, dtype: str) -> str:
    """Base64 of an array, little-endian."""
    return base64.b64encode(values.astype(dtype).tobytes()).decode()


def scaled(values: NDArray, top: float, bottom: float = 0.0) -> NDArray:
    """Values between ``bottom`` and ``top`` as integers from 0 to 65535."""
    width = top - bottom
    share = (values - bottom) / width if width > 0 else np.zeros_like(values)
    return np.rint(np.clip(share, 0, 1) * 65535)


def samples(fitted: Fitted) -> dict[str, Any]:
    """Data of the page's script: coordinates, names, columns and usage, ready for JSON.

    Coordinates and shares are 16-bit integers in base64, ``low`` and ``high`` what 0 and 65535
    stand for.
    """
    shares = fitted.shares
    coordinates, axes = embed(shares, fitted.n_target)
    kept = np.arange(len(shares))
    if len(kept) > MOST_SAMPLES:
        kept = np.sort(np.random.default_rng(0).permutation(len(kept))[:MOST_SAMPLES])
    low, high = coordinates.min(0), coordinates.max(0)
    sets = {"name": "set", "levels": list(SETS), "choose": True}
    sets["index"] = packed(fitted.sets[kept], "<u2")
    tops = shares.max(0)
    return {
        "total": len(shares),
        "names": [fitted.samples[i] for i in kept],
        "axes": axes,
        "x": packed(scaled(coordinates[kept, 0], high[0], low[0]), "<u2"),
        "y": packed(scaled(coordinates[kept, 1], high[1], low[1]), "<u2"),
        "columns": [sets, *(_column(name, of[kept]) for name, of in fitted.columns.items())],
        "programs": [
            {"name": name, "high": float(top), "values": packed(scaled(column, top), "<u2")}
            for name, top, column in zip(fitted.names, tops, shares[kept].T, strict=True)
        ],
    }


def _column(name: str, values: NDArray) -> dict[str, Any]:
    """A column as its values, the most frequent first, and the index of each sample's."""
    levels, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return {
        "name": name,
        "levels": [str(level) for level in levels[order]],
        "choose": 1 < len(levels) <= MOST_LEVELS,
        "index": packed(place[index], "<u2"),
    }
