"""Structure of two sets beyond noise: how much there is, and whether the target spans it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.inference.background._finding import Finding, judge

MOST = 50
"""Most dimensions that are looked at."""
LEAST = 0.05
"""Share of a background's variance that has to be structure before it is asked who spans it."""


class Structure(NamedTuple):
    """Mean and leading directions (k, g) of some samples, those beyond noise."""

    mean: NDArray
    directions: NDArray


def scaled(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """Both sets with features of standard deviation 1 over all samples: noise of different size in
    different features would hide structure from the comparison with permuted values."""
    spread = np.concatenate([x, y]).std(0)
    spread = np.where(spread > 0, spread, 1)
    return x / spread, y / spread


def structure(x: NDArray, rng: np.random.Generator) -> Structure:
    """The leading principal directions, as far as each has a larger variance than that of its rank
    after the values were permuted within features (parallel analysis: Horn 1965; Buja & Eyuboglu
    1992)."""
    mean = x.mean(0)
    centred = x - mean
    values, vectors = np.linalg.eigh(gram(centred))
    noise = np.linalg.eigvalsh(gram(rng.permuted(centred, axis=0)))
    count = int(np.cumprod(values[::-1][:MOST] > noise[::-1][:MOST]).sum())
    leading = vectors[:, ::-1][:, :count].T
    if len(leading.T) < x.shape[1]:
        leading = leading @ centred
    return Structure(mean, leading)


def gram(x: NDArray) -> NDArray:
    """The smaller one of the two products of x with itself."""
    return x @ x.T if x.shape[0] < x.shape[1] else x.T @ x


def residual(x: NDArray, *spanning: NDArray) -> float:
    """Squared norm of what the span of some rows leaves of x."""
    basis = np.linalg.qr(np.concatenate([np.atleast_2d(s) for s in spanning]).T)[0]
    return float(np.square(x - (x @ basis) @ basis.T).sum())


def span(target: Structure, y: NDArray, units: NDArray, rng: np.random.Generator) -> Finding:
    """Share of the background's variance beyond noise that the target's directions do not span.

    What there is to span is what directions that are found in one half of the background's samples
    explain of the other half, beyond the mean. Samples of one unit (group) are in the same half.
    """
    names = rng.permutation(np.unique(units))
    first = np.isin(units, names[: len(names) // 2])
    if min(first.sum(), (~first).sum()) < 2:
        return judge("span", 0.0, 0.1, 0.5, "")
    own = structure(y[first], rng)
    rest = y[~first] - own.mean
    left = residual(rest, own.directions)
    total = float(np.square(rest).sum())
    explained = total - left
    missing = max(residual(rest, *target) - left, 0.0)
    value = missing / explained if explained > LEAST * total else 0.0
    return judge(
        "span", value, 0.1, 0.5, f"{min(value, 1):.0%} of the background's structure is not in the "
        "target: kinds of samples, or a shift, that the target has not; a contrast with these says "
        "little about the target. Choose samples of the target's kinds, measured in the same way",
    )  # fmt: skip


def components(target: Structure, count: int) -> Finding:
    """More components than the target has dimensions beyond noise."""
    held = len(target.directions)
    return judge(
        "components", count, held + 2, None, f"{count} target components for {held} dimensions in "
        "which the target varies beyond noise: further components describe noise; ask for fewer",
    )  # fmt: skip
