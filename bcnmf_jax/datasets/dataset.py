"""The class of all data sets, and the one normalisation of counts used throughout."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A target set, its background, and what is known about them. Rows are samples.

    Attributes
    ----------
    name : str
        The name of the function that made it.
    target, background : array, shape (n, g) and (m, g), float32
        Nonnegative and finite, for squared error: log-normalised where counts exist.
    labels : array, shape (n,), int
        What evaluation compares with; never an input of a fit.
    feature_names : array, shape (g,), str
    description : str
        Where the numbers come from, how they were drawn and what was changed in them.
    counts : dict or None
        Raw counts of the same rows and features, float32, keys "target" and "background".
    groups, background_groups : array, shape (n,) and (m,), str, or None
        Rows of one group (mouse, donor, cell line) are not independent of each other.
    truth : array, shape (k, g), or None
        The target programs, where they are known.
    mask : dict or None
        As ``fit`` takes it, keys "target" and "background": 0 where a value was not measured (it
        is 0 there), 1 elsewhere.

    Raises
    ------
    ValueError
        If shapes disagree, or a matrix holds a negative, infinite or missing value.
    """

    name: str
    target: Float[np.ndarray, "n g"]
    background: Float[np.ndarray, "m g"]
    labels: Int[np.ndarray, " n"]
    feature_names: Shaped[np.ndarray, " g"]
    description: str
    counts: dict[str, Float[np.ndarray, "rows g"]] | None = None
    groups: Shaped[np.ndarray, " n"] | None = None
    background_groups: Shaped[np.ndarray, " m"] | None = None
    truth: Float[np.ndarray, "k g"] | None = None
    mask: dict[str, Array] | None = None

    def __post_init__(self) -> None:
        n, g = self.target.shape
        m = self.background.shape[0]
        expected: dict[str, tuple[Array | None, tuple[int, ...]]] = {
            "background": (self.background, (m, g)),
            "labels": (self.labels, (n,)),
            "feature_names": (self.feature_names, (g,)),
            "groups": (self.groups, (n,)),
            "background_groups": (self.background_groups, (m,)),
        }
        matrices = {"target": self.target, "background": self.background}
        if self.counts is not None:
            for key in ("target", "background"):
                expected[f"counts[{key!r}]"] = (self.counts[key], matrices[key].shape)
                matrices[f"counts[{key!r}]"] = self.counts[key]
        if self.mask is not None:
            for key in ("target", "background"):
                expected[f"mask[{key!r}]"] = (self.mask[key], matrices[key].shape)
        if self.truth is not None:
            expected["truth"] = (self.truth, (self.truth.shape[0], g))
        for what, (array, shape) in expected.items():
            if array is not None and array.shape != shape:
                raise ValueError(f"{self.name}: {what} has shape {array.shape}, expected {shape}")
        for what, matrix in matrices.items():
            if matrix.size == 0:
                raise ValueError(f"{self.name}: {what} is empty, with shape {matrix.shape}")
            if not np.isfinite(matrix).all():
                raise ValueError(f"{self.name}: {what} holds missing or infinite values")
            if (matrix < 0).any():
                raise ValueError(f"{self.name}: {what} holds negative values")

    def data(
        self, scale: Literal["log", "counts"] = "log"
    ) -> dict[str, Float[np.ndarray, "rows g"]]:
        """Give what ``fit`` and ``sweep`` take.

        Parameters
        ----------
        scale : {"log", "counts"}
            "log": ``target`` and ``background``, for squared error. "counts": the raw counts, for
            KL and the negative binomial. A set without counts (images, proteins; its description
            says so) has one scale only, and gives that for both.

        Returns
        -------
        dict
            Keys "target" (n, g) and "background" (m, g).

        Raises
        ------
        ValueError
            If `scale` is neither.
        """
        if scale not in ("log", "counts"):
            raise ValueError(f"scale must be 'log' or 'counts', got {scale!r}")
        if scale == "counts" and self.counts is not None:
            return dict(self.counts)
        return {"target": self.target, "background": self.background}


def log_normalise(
    counts: Shaped[np.ndarray, "n g"], totals: Shaped[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, "n g"]:
    """Scale each row to a total of 1e4, then take log(1 + x).

    Parameters
    ----------
    counts : array, shape (n, g)
    totals : array, shape (n,), optional
        Totals over all genes, where `counts` holds only some of them; else the sums of its rows.

    Returns
    -------
    array, shape (n, g), float32
        A row whose total is 0 stays 0.
    """
    sums = counts.sum(1, keepdims=True) if totals is None else totals[:, None].astype(counts.dtype)
    sums = np.where(sums == 0, np.ones_like(sums), sums)
    return np.log1p(counts / sums * 1e4).astype(np.float32)
