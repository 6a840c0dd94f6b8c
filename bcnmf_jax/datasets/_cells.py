"""Single cells: responses to interferon and to a drug, leukemia, depression."""

from pathlib import Path
from typing import Any

import numpy as np

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.sparse import check_matrix
from bcnmf_jax.datasets.dataset import Array, Dataset, log_normalise
from bcnmf_jax.datasets.files import locate, odd_file
from bcnmf_jax.datasets.prepared import prepared
from bcnmf_jax.extras import require

KANG_GENES = 2000
LYMPHOCYTES = (
    "CD4 Naive T",
    "CD4 Memory T",
    "CD8 T",
    "T activated",
    "NK",
    "B",
    "B Activated",
)
_LOG = "Log-normalised to 1e4 a cell; raw counts beside."


def _read(name: str, *columns: str) -> tuple[Path, Any, dict[str, Array]]:
    """Read the h5ad file of data set `name` and the named columns of its cells, as text."""
    path = locate(name)
    anndata = require("anndata", "bio")
    try:
        held = anndata.read_h5ad(path)
    except Exception as error:  # h5py and anndata raise many types for a file that is no h5ad
        raise odd_file(name, path, f"it cannot be read as h5ad ({error})") from error
    absent = [column for column in columns if column not in held.obs]
    if absent:
        raise odd_file(name, path, f"its obs has no column {', '.join(absent)}")
    return path, held, {column: held.obs[column].to_numpy().astype(str) for column in columns}


def _dense(name: str, path: Path, held: Any) -> Array:
    x = held.X
    if hasattr(x, "toarray"):
        try:
            check_matrix(x, "X")
        except ValueError as error:
            raise odd_file(name, path, str(error)) from error
    return np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=np.float32)


def _kang(
    name: str, kinds: tuple[str, ...] | None, description: str, most: int = KANG_GENES
) -> Dataset:
    """Split by role, on the most variable log genes over target and background together."""
    path, held, note = _read(name, "stim", "role", *(("cell_type",) if kinds else ()))
    wanted = np.isin(note["cell_type"], kinds) if kinds else np.ones(held.n_obs, bool)
    target, background = ((note["role"] == role) & wanted for role in ("target", "background"))
    if not (target.any() and background.any()):
        raise odd_file(
            name,
            path,
            f"roles target and background have {target.sum()} and {background.sum()} cells",
        )
    counts = _dense(name, path, held)
    logs = log_normalise(counts)
    genes = np.argsort(-logs[target | background].var(0), kind="stable")[:most]
    counts, logs = counts[:, genes], logs[:, genes]
    return Dataset(
        name=name,
        target=logs[target],
        background=logs[background],
        labels=(np.char.upper(note["stim"][target]) == "STIM").astype(int),
        feature_names=held.var_names.to_numpy().astype(str)[genes],
        description=f"{description} The {len(genes)} most variable log genes. {_LOG}",
        counts={"target": counts[target], "background": counts[background]},
    )


def kang_lymphocytes(genes: int = KANG_GENES) -> Dataset:
    """Load lymphocytes with and without interferon beta; background: other untreated ones.

    Seven lymphocyte types; the roles are those of the file.

    Parameters
    ----------
    genes : int
        The most variable after log-normalisation over all genes; the file has 13,215.

    Returns
    -------
    Dataset
        Label 1 for stimulated. With counts.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        If the file is missing or odd, or anndata is missing.

    References
    ----------
    Kang et al., Nature Biotechnology 36 (2018) 89.
    """
    return _kang(
        "kang_lymphocytes",
        LYMPHOCYTES,
        "Human blood lymphocytes (Kang et al. 2018): target with and without interferon beta "
        "(label 1: with), background without.",
        check_integer(genes, "genes"),
    )


def kang_cross_donor() -> Dataset:
    """Load blood cells of donor 101, stimulated or not; background: control cells of donor 107.

    Genes, label, errors and reference: see :func:`kang_lymphocytes`; this file holds 1,267 genes,
    and all are used.
    """
    return _kang(
        "kang_cross_donor",
        None,
        "Human blood cells (Kang et al. 2018): target donor 101 with and without interferon beta "
        "(label 1: with), background donor 107 without.",
    )


def mixseq() -> Dataset:
    """Load 24 cancer cell lines under idasanutlin, 500 genes; background: the same under DMSO.

    The drug acts where TP53 is intact.

    Returns
    -------
    Dataset
        Label 1 for TP53 wild type. Groups are the cell lines. With counts.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        If the file is missing or odd, or anndata is missing.

    References
    ----------
    McFarland et al., Nature Communications 11 (2020) 4296.
    """
    path, held, note = _read("mixseq", "treatment", "cell_line", "tp53")
    target, background = note["treatment"] == "idasanutlin", note["treatment"] == "dmso"
    if "symbol" not in held.var:
        raise odd_file("mixseq", path, "its var has no column symbol")
    counts = _dense("mixseq", path, held)
    logs = log_normalise(counts)
    return Dataset(
        name="mixseq",
        target=logs[target],
        background=logs[background],
        labels=(note["tp53"][target] == "wt").astype(int),
        feature_names=held.var["symbol"].to_numpy().astype(str),
        description=(
            "24 cancer cell lines (MIX-seq, McFarland et al. 2020): target 24 h of idasanutlin, "
            f"background DMSO; label 1: TP53 wild type. 500 genes. {_LOG}"
        ),
        counts={"target": counts[target], "background": counts[background]},
        groups=note["cell_line"][target],
        background_groups=note["cell_line"][background],
    )


def mixseq_full() -> Dataset:
    """Load the MIX-seq experiment of :func:`mixseq` with the 10,000 most variable genes.

    From the prepared file that ``python -m experiments.prepare mixseq_full PATH`` builds. Cells
    are those called normal (neither doublet nor empty). Labels, groups and reference as there.

    Raises
    ------
    FileNotFoundError, ValueError
        If the prepared file is missing or odd.
    """
    return prepared(
        "mixseq_full",
        "24 cancer cell lines (MIX-seq, McFarland et al. 2020): target 24 h of idasanutlin, "
        f"background DMSO; label 1: TP53 wild type. Most variable log genes. {_LOG}",
    )


def leukemia() -> Dataset:
    """Load bone marrow of patient AML027 before and after transplant; background: a healthy donor.

    From the prepared file that ``python -m experiments.prepare leukemia PATH`` builds: 3,000 most
    variable genes, every cell of the three filtered matrices.

    Returns
    -------
    Dataset
        Label 1 after the transplant. One patient and one donor, so no groups. With counts.

    Raises
    ------
    FileNotFoundError, ValueError
        If the prepared file is missing or odd.

    References
    ----------
    Zheng et al., Nature Communications 8 (2017) 14049.
    """
    return prepared(
        "leukemia",
        "Bone marrow mononuclear cells (10x Genomics, Zheng et al. 2017): target patient AML027 "
        "before and after transplant (label 1: after), background healthy donor 1. Most variable "
        f"log genes. {_LOG}",
    )


def mdd() -> Dataset:
    """Load astrocytes and oligodendrocytes of depressed and other donors; background: the others.

    From the prepared file that ``python -m experiments.prepare mdd PATH`` builds: 3,000 most
    variable genes, the donors named in its donors.csv. **The background is part of the target**:
    the control nuclei are in both.

    Returns
    -------
    Dataset
        Label 1 for a case of major depressive disorder. Groups are the donors. With counts.

    Raises
    ------
    FileNotFoundError, ValueError
        If the prepared file is missing or odd.

    References
    ----------
    Maitra et al., Nature Communications 14 (2023) 2912.
    """
    return prepared(
        "mdd",
        "Astrocyte and oligodendrocyte nuclei of human prefrontal cortex (Maitra et al. 2023, GEO "
        "GSE213982): target all donors (label 1: major depressive disorder), background the "
        f"control nuclei, which are in the target too. Most variable log genes. {_LOG}",
    )
