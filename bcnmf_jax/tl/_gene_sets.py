"""Gene sets that a program is made of, from a GMT file."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import false_discovery_control, hypergeom

from bcnmf_jax.data.checks import check_integer, check_seed
from bcnmf_jax.extras import require
from bcnmf_jax.tl.cells import ROLES, part
from bcnmf_jax.tl.stored import Stored

if TYPE_CHECKING:
    from anndata import AnnData


def gene_sets(
    adata: AnnData,
    gmt: str | Path,
    *,
    n_genes: int = 100,
    min_size: int = 5,
    max_size: int = 500,
    permutations: int = 1000,
    random_state: int = 0,
    key: str = "bcnmf",
) -> Any:
    """Enrichment of gene sets in every target program, in two ways.

    Genes are ranked by what their loading is beyond their share of the mean expression of the
    target: by loading alone, genes that are high in every cell would lead every program.
    Over-representation: do the first ``n_genes`` hold more of a set than as many drawn from the
    genes that were fitted? (Fisher's exact test, one-sided.) Ranked: do the genes of a set stand
    high among all of them? (gseapy's preranked GSEA.) Nothing is downloaded.

    Parameters
    ----------
    adata : AnnData
        That `bcnmf` has been run on.
    gmt : path
        A GMT file: a set in a line, its name, a description and its genes between tabs. Genes are
        named as in ``var_names``; those that were not fitted are left out.
    n_genes : int
    min_size, max_size : int
        Sets with fewer or more fitted genes are left out.
    permutations : int
        Of the ranked test, whose p-values are at least ``1 / (permutations + 1)``.
    random_state : int
        Of the permutations.
    key : str
        ``key_added`` of `bcnmf`.

    Returns
    -------
    DataFrame
        One row per program and set: ``program``, ``gene_set``, ``size`` (fitted genes),
        ``overlap``, ``fold`` (overlap over that expected), ``p``, ``q`` (Benjamini-Hochberg over
        the sets of a program), ``genes`` (the overlap, in order of rank), ``nes``, ``ranked_p``,
        ``ranked_q`` (the same, of the ranked test).

    Raises
    ------
    ImportError
        Without gseapy.
    FileNotFoundError, KeyError, ValueError
        For a file that is missing or no GMT, where nothing is stored under ``key``, and where no
        set is left.
    """
    gseapy, pandas = require("gseapy", "genesets"), require("pandas", "bio")
    stored = Stored(adata, key)
    genes = stored.genes.astype(str)
    check_integer(n_genes, "n_genes", most=len(genes) - 1)
    check_integer(permutations, "permutations")
    check_seed(random_state, "random_state")
    known, sets = set(genes), read_gmt(gmt)
    fitted = {name: [g for g in members if g in known] for name, members in sets.items()}
    sizes = {n: m for n, m in fitted.items() if min_size <= len(m) <= max_size}
    if not sizes:
        most = max(map(len, fitted.values()))
        raise ValueError(
            f"gmt: none of its {len(sets)} sets has {min_size} to {max_size} of the {len(genes)} "
            f"fitted genes (at most {most}); its genes must be named as adata.var_names is, "
            f"like {list(genes[:3])}"
        )
    tables = []
    for name, beyond in zip(stored.target_names, excess(adata, stored), strict=False):
        order = np.argsort(-beyond, kind="stable")
        table = over_represented(list(genes[order[:n_genes]]), sizes, len(genes))
        ranking = pandas.Series(beyond[order], index=genes[order])
        # It logs every tie to a logger of its own.
        with redirect_stderr(StringIO()):
            ranked = gseapy.prerank(
                rnk=ranking, gene_sets=sizes, outdir=None, min_size=min_size, max_size=max_size,
                permutation_num=permutations, seed=random_state, threads=1, no_plot=True,
                verbose=False,
            ).res2d.set_index("Term")  # fmt: skip
        table = pandas.DataFrame(table).set_index("gene_set")
        table["nes"] = ranked["NES"].astype(float)
        # No permutation as extreme is no p-value of 0.
        table["ranked_p"] = ranked["NOM p-val"].astype(float).clip(lower=1 / (permutations + 1))
        table["ranked_q"] = false_discovery_control(table["ranked_p"])
        table.insert(0, "program", name)
        tables.append(table.sort_values("p", kind="stable").reset_index())
    return pandas.concat(tables, ignore_index=True)


def excess(adata: AnnData, stored: Stored) -> np.ndarray:
    """Loadings less each gene's share of the mean expression of the target, (programs, genes)."""
    rows = np.flatnonzero(stored.roles == ROLES.index("target"))
    target = part(adata, stored.layer, rows, np.flatnonzero(stored.used))
    total = np.sum([np.nansum(x, axis=0, dtype=float) for _, x in target.chunks()], axis=0)
    return stored.basis - total / total.sum()


def over_represented(top: list[str], sets: dict[str, list[str]], total: int) -> dict[str, Any]:
    """The columns of the over-representation of sets among the top of ``total`` genes."""
    chosen = set(top)
    size = np.array([len(members) for members in sets.values()])
    both = [chosen & set(members) for members in sets.values()]
    overlap = np.array([len(b) for b in both])
    p = hypergeom.sf(overlap - 1, total, size, len(top))
    return {
        "gene_set": list(sets),
        "size": size,
        "overlap": overlap,
        "fold": overlap / (size * len(top) / total),
        "p": p,
        "q": false_discovery_control(p),
        "genes": [";".join(g for g in top if g in b) for b in both],
    }


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """The sets of a GMT file.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or a line that is no set.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"gmt: no file {str(path)!r}")
    sets = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"gmt: {path} is no text ({error}); unpack it first") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *rest = line.rstrip().split("\t")
        if len(rest) < 2:
            raise ValueError(
                f"gmt: line {number} of {path} has {1 + len(rest)} fields; a set is its name, a "
                "description and at least one gene, with tabs between them"
            )
        if name in sets:
            raise ValueError(f"gmt: {path} has two sets named {name!r} (line {number})")
        sets[name] = list(dict.fromkeys(gene for gene in rest[1:] if gene))
    if not sets:
        raise ValueError(f"gmt: {path} has no sets")
    return sets
