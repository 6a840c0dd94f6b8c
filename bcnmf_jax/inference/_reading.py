"""Target and background of a choice, from whatever container: features with most to explain, and
rows from all over both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bcnmf_jax.data.checks import (
    check_array,
    check_features,
    check_form,
    check_several,
    check_values,
)
from bcnmf_jax.data.preparation import check_columns
from bcnmf_jax.data.readers import closed
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.data.sampled_rows import sampled
from bcnmf_jax.data.sparse import check_matrix
from bcnmf_jax.data.top_features import some_features, top, unexplained
from bcnmf_jax.data.two_sets import SETS, labels
from bcnmf_jax.inference.features import count_taken
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective

INCOMPLETE = (
    "select takes neither weights nor masked values; choose on complete data, and fit with what "
    "was chosen"
)


class Read(NamedTuple):
    """What a choice is made on.

    Attributes
    ----------
    data : dict of ndarray (rows, features)
    groups, counts : dict of array, or None
        Of these rows and features.
    said : tuple of str
        What was left out; at most one sentence.
    """

    data: dict[str, NDArray]
    groups: dict[str, Any] | None
    counts: dict[str, Any] | None
    said: tuple[str, ...]


def read_some(
    data: dict[str, Any], groups: dict[str, Any] | None, counts: dict[str, Any] | None,
    n_top_features: int | str | None, objectives: Sequence[str | AbstractObjective],
    loss: AbstractLoss,
) -> Read:  # fmt: skip
    """Some rows and features of both sets.

    Values of arrays and sparse matrices are checked throughout, those of sources as they are read.

    Raises
    ------
    TypeError, ValueError
        For data as `prepare` says; weights and masked values; groups and counts that do not match;
        a number of features where none can be chosen.
    """
    check_columns(data)
    sets = {name: _matrix(data[name], f"data[{name!r}]") for name in SETS}
    for name, a in sets.items():
        check_several(a.shape[0], f"data[{name!r}]")
    check_features(sets, lambda a: a.shape[1], lambda _: None)
    groups = groups and {n: _names(groups[n], sets[n], n) for n in SETS}
    counts = counts and {n: _counts(counts[n], sets[n], n) for n in SETS}
    width, said = sets["target"].shape[1], []
    with closed(data):
        count = count_taken(n_top_features, width, objectives, loss)
        if count is not None:
            misfit = unexplained(list(sets.values()), counts=not loss.bounded).misfit
            columns = top(misfit, count)
            sets = {name: some_features(a, columns) for name, a in sets.items()}
            counts = counts and {n: a[:, columns] for n, a in counts.items()}
            said.append(f"{count} of {width} features were read, those with most to explain")
        read = sampled(sets)
    groups = groups and {n: a if a is None else a[read.rows[n]] for n, a in groups.items()}
    counts = counts and {n: a[read.rows[n]] for n, a in counts.items()}
    told = [*said, *read.said]
    return Read(
        read.sets, groups, counts, (f"in the choice {'; '.join(told)}",) if told else ()
    )  # fmt: skip


def _matrix(a: Any, name: str) -> Any:
    """An array, CSR or CSC matrix, or source, checked."""
    if isinstance(a, Rows):
        if a.weights is not None:
            raise ValueError(INCOMPLETE)
        return np.asarray(a.x)
    if np.ma.isMaskedArray(a):
        if np.ma.getmaskarray(a).any():
            raise ValueError(INCOMPLETE)
        a = a.data
    if hasattr(a, "tocsr"):
        check_form(a, name)
        check_matrix(a, name)
        a = a if a.format in ("csr", "csc") else a.tocsr()
        if a.nnz:
            bad = lambda: int((~np.isfinite(a.data)).sum())  # noqa: E731
            check_values(a.data.min(), a.data.max(), bad, a.dtype, name, constant=True)
        return a
    if hasattr(a, "rows_into"):
        check_form(a, name)
        return a
    return np.asarray(check_array(a, name))


def _names(given: Any, a: Any, name: str) -> NDArray | None:
    return None if given is None else labels(given, a.shape[0], f"groups[{name!r}]")


def _counts(given: Any, a: Any, name: str) -> NDArray:
    """Counts of a set, of whatever container."""
    given = given.toarray() if hasattr(given, "toarray") else np.asarray(given)
    if given.shape != a.shape:
        raise ValueError(
            f"counts[{name!r}] must be raw counts of shape {a.shape}, one row per sample; found "
            f"shape {given.shape}"
        )
    return given
