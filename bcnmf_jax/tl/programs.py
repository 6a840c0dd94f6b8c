"""Genes of a program, and expression without what the background explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import vstack

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.sources import CHUNK_ROWS
from bcnmf_jax.extras import require
from bcnmf_jax.tl._rows import matrix_of
from bcnmf_jax.tl.cells import ROLES
from bcnmf_jax.tl.stored import Stored, own

if TYPE_CHECKING:
    from anndata import AnnData


def rank_programs(
    adata: AnnData, n_genes: int = 50, *, background: bool = False, key: str = "bcnmf"
) -> Any:
    """Top genes of every program, with their loadings and how specific they are.

    Parameters
    ----------
    adata : AnnData
        That `bcnmf` has been run on.
    n_genes : int
        Genes of a program, by loading; fewer where fewer have one above 0.
    background : bool
        Rank the programs of the background too.
    key : str
        ``key_added`` of `bcnmf`.

    Returns
    -------
    DataFrame
        ``program``, ``rank`` (from 1), ``gene``, ``loading`` (those of a program sum to 1 over all
        genes) and ``specificity``: of what all programs together give to the gene in an average
        target cell, the share that comes from this one, from 0 to 1.

    Raises
    ------
    KeyError, ValueError
        Where nothing is stored under ``key``, and for ``n_genes`` below 1.
    """
    check_integer(n_genes, "n_genes")
    stored = Stored(adata, key)
    basis, special = stored.basis, specificity(stored)
    frames = []
    for name, loadings, share in zip(stored.names, basis, special, strict=True):
        if name in stored.background_names and not background:
            continue
        top = np.argsort(-loadings, kind="stable")[:n_genes]
        top = top[loadings[top] > 0]
        frame = {
            "program": name,
            "rank": np.arange(1, len(top) + 1),
            "gene": stored.genes[top].astype(str),
            "loading": loadings[top],
            "specificity": share[top],
        }
        frames.append(require("pandas", "bio").DataFrame(frame))
    return require("pandas", "bio").concat(frames, ignore_index=True)


def specificity(stored: Stored) -> np.ndarray:
    """Share of each gene's fitted expression in the average target cell that each program gives,
    ``(programs, genes)``; 0 where no program gives any."""
    usage = stored.codes[stored.roles == ROLES.index("target")].mean(0)
    parts = usage[:, None] * stored.basis
    total = parts.sum(0)
    return parts / np.where(total > 0, total, 1)


def subtract(adata: AnnData, *, layer_added: str | None = None, key: str = "bcnmf") -> None:
    """Write a layer of expression less what the programs of the background explain.

    It holds ``max(X - G B, 0)``, with the background's programs B and their codes G in each cell,
    all programs having been read at once; X is the matrix that `bcnmf` was run on. Genes that it
    did not use stay as they are. What is 0 stays 0: a sparse matrix gives a sparse layer.

    Parameters
    ----------
    adata : AnnData
        Its matrix may be on disk; the layer is held in memory.
    layer_added : str, optional
        By default ``key`` and "_subtracted".
    key : str
        ``key_added`` of `bcnmf`.

    Raises
    ------
    KeyError, ValueError
        Where nothing is stored under ``key``, for a fit without programs of the background, and for
        a ``layer_added`` that the fit was run on.
    """
    stored = Stored(adata, key)
    if layer_added is not None and layer_added == stored.layer:
        raise ValueError(f"layer_added={layer_added!r} is what bcnmf was run on; name another")
    count = len(stored.background_names)
    if count == 0:
        raise ValueError(
            f"the fit under key={key!r} has no programs of the background to subtract; run "
            "bcnmf(..., objective='background_first') or 'shared_target'"
        )
    basis = np.zeros((count, adata.n_vars), np.float32)
    basis[:, stored.used] = stored.basis[-count:]
    codes, matrix = stored.codes[:, -count:], matrix_of(adata, stored.layer)
    pieces = []
    for start in range(0, adata.n_obs, CHUNK_ROWS):
        rows = matrix[start : start + CHUNK_ROWS]
        part = codes[start : start + CHUNK_ROWS] @ basis
        if hasattr(rows, "tocoo"):
            at = rows.tocoo()
            rows = rows.astype(np.float32)
            rows.data = np.maximum(rows.data - part[at.row, at.col], 0).astype(np.float32)
            rows.eliminate_zeros()
        else:
            rows = np.maximum(np.asarray(rows) - part, 0).astype(np.float32)
        pieces.append(rows)
    own(adata)
    sparse = hasattr(pieces[0], "tocsr")
    found = vstack(pieces, "csr") if sparse else np.vstack(pieces)
    adata.layers[layer_added or f"{key}_subtracted"] = found
