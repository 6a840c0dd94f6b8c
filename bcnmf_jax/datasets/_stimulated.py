"""Cells with and without a stimulus: blood cells by mass cytometry, MAIT cells."""

from pathlib import Path

import numpy as np

from bcnmf_jax.datasets.dataset import Array, Dataset
from bcnmf_jax.datasets.files import locate, odd_file

MAIT_GENES, COFACTOR = 3000, 5.0


def _arrays(name: str, *keys: str) -> tuple[Path, dict[str, Array]]:
    """Arrays of an npz file, without pickle."""
    path = locate(name)
    try:
        with np.load(path, allow_pickle=False) as held:
            return path, {key: held[key] for key in keys}
    except (OSError, ValueError, KeyError) as error:
        raise odd_file(name, path, f"it lacks one of the arrays {', '.join(keys)}") from error


def _half(rng: np.random.Generator, mask: Array) -> Array:
    """Half of the rows of a mask, as a mask."""
    drawn = np.zeros(len(mask), bool)
    drawn[rng.choice(np.flatnonzero(mask), mask.sum() // 2, replace=False)] = True
    return drawn


def pbmc_cytometry() -> Dataset:
    """Load blood cells with and without stimulation of the B-cell receptor, by mass cytometry.

    Background: half of the unstimulated cells of each of four patients, drawn at random from a
    fixed seed; target: the rest, and all stimulated ones. Values are ``arcsinh(intensity / 5)``,
    negative intensities 0.

    Returns
    -------
    Dataset
        Label 1 for stimulated; groups are the patients, who are in both sets. No counts.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or odd.

    References
    ----------
    Bodenmiller et al., Nature Biotechnology 30 (2012) 858.
    """
    path, held = _arrays("pbmc_cytometry", "X", "marker", "condition", "patient")
    stimulated, patient = held["condition"].astype(str) == "BCRXL", held["patient"].astype(str)
    if held["X"].ndim != 2 or not (len(held["X"]) == len(stimulated) == len(patient)):
        raise odd_file("pbmc_cytometry", path, "its arrays are of different lengths")
    values = np.arcsinh(np.maximum(held["X"], 0) / COFACTOR).astype(np.float32)
    rng, background = np.random.default_rng(0), np.zeros(len(values), bool)
    for one in np.unique(patient):
        background |= _half(rng, (patient == one) & ~stimulated)
    return Dataset(
        name="pbmc_cytometry",
        target=values[~background],
        background=values[background],
        labels=stimulated[~background].astype(int),
        feature_names=held["marker"].astype(str),
        description=(
            "Blood cells by mass cytometry (Bodenmiller et al. 2012), 24 markers, four patients: "
            "target with and without stimulation of the B-cell receptor (label 1: with), "
            "background without. arcsinh(intensity / 5)."
        ),
        groups=patient[~background],
        background_groups=patient[background],
    )


def mait_cells() -> Dataset:
    """Load MAIT cells, stimulated or not; background: half of the unstimulated ones.

    The half is drawn at random from a fixed seed. Values are log2(TPM + 1) of the 3,000 most
    variable genes.

    Returns
    -------
    Dataset
        Label 1 for stimulated. No counts.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or odd.

    References
    ----------
    Finak et al., Genome Biology 16 (2015) 278.
    """
    path, held = _arrays("mait_cells", "X", "cond", "genes")
    values, stimulated = held["X"].astype(np.float32), held["cond"].astype(str) == "Stim"
    if values.ndim != 2 or len(values) != len(stimulated):
        raise odd_file("mait_cells", path, "its arrays are of different lengths")
    genes = np.argsort(-values.var(0), kind="stable")[:MAIT_GENES]
    background = _half(np.random.default_rng(0), ~stimulated)
    return Dataset(
        name="mait_cells",
        target=values[~background][:, genes],
        background=values[background][:, genes],
        labels=stimulated[~background].astype(int),
        feature_names=held["genes"].astype(str)[genes],
        description=(
            "MAIT cells (Finak et al. 2015): target stimulated or not (label 1: stimulated), "
            f"background not. log2(TPM + 1) of the {len(genes)} most variable genes."
        ),
    )
