"""The beta simulation: faint target programs under shared programs of growing strength."""

import numpy as np

from bcnmf_jax.data.checks import check_integer, check_seed
from bcnmf_jax.datasets.dataset import Array, Dataset, log_normalise

SHARED, SHARED_GENES = 5, 250
TARGET, TARGET_GENES = 2, 120


def programs(rng: np.random.Generator, genes: int) -> tuple[Array, Array]:
    """Draw the loadings, (genes, 5) and (genes, 2): gamma on disjoint blocks, faint elsewhere.

    ValueError for fewer genes than the programs have.
    """
    shared, target = np.zeros((genes, SHARED)), np.zeros((genes, TARGET))
    least = SHARED * SHARED_GENES + TARGET * TARGET_GENES
    each = f"{SHARED} shared programs of {SHARED_GENES} and {TARGET} target programs of"
    check_integer(genes, "genes", least, note=f", those of {each} {TARGET_GENES} genes")
    start = 0
    for k in range(SHARED):
        shared[start : start + SHARED_GENES, k] = rng.gamma(2, 0.6, SHARED_GENES)
        start += SHARED_GENES
    for k in range(TARGET):
        target[start : start + TARGET_GENES, k] = rng.gamma(2, 0.9, TARGET_GENES)
        start += TARGET_GENES
    shared += rng.gamma(0.5, 0.01, shared.shape)
    target += rng.gamma(0.5, 0.005, target.shape)
    return shared, target


def beta_simulation(beta: float = 8, seed: int = 0, n: int = 1000, genes: int = 3000) -> Dataset:
    """Simulate counts of two cell groups that differ only in faint programs.

    Each target cell carries one of 2 target programs (its label) and one of 5 shared programs,
    each background cell one shared program. The rate of gene j in a cell is
    library * (0.15 target_j + 10 beta shared_j + 0.02 + 0.01 gene_j cell), counts are Poisson,
    libraries lognormal(0, 0.35), gene and cell factors Gamma(1, 1). With growing `beta` the shared
    programs drown the target programs; 8 defeats PCA and NMF.

    Parameters
    ----------
    beta : float
        Strength of the shared programs, >= 0.
    seed : int
        Equal seeds give equal counts, bit for bit.
    n : int
        Cells in the target and in the background; even, so that the two labels are balanced.
    genes : int
        At least 1,490, the genes of the seven programs.

    Returns
    -------
    Dataset
        Log-normalised, with counts, and with `truth` (2, genes), the target programs.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    Li, Yang & Li, "bcNMF: background contrastive nonnegative matrix factorization", 2026,
    arXiv:2602.22387: their simulation, drawn in the same order.
    """
    if not beta >= 0:
        raise ValueError(f"beta must be at least 0, got {beta}")
    if check_integer(n, "n") % 2:
        raise ValueError(f"n must be a positive even number of cells, got {n}")
    rng = np.random.default_rng(check_seed(seed))
    shared, target = programs(rng, genes)
    labels = np.repeat(np.arange(TARGET), n // TARGET)
    rng.shuffle(labels)
    in_target, in_background = rng.integers(0, SHARED, n), rng.integers(0, SHARED, n)
    lib_target, lib_background = rng.lognormal(0, 0.35, n), rng.lognormal(0, 0.35, n)
    by_gene = rng.gamma(1, 1, (genes, 1))
    by_target_cell, by_background_cell = rng.gamma(1, 1, (1, n)), rng.gamma(1, 1, (1, n))

    # Rates are summed in the published order: another order changes their last bits, and a
    # Poisson draw at a rate one bit away may consume the generator differently.
    rate = 0.15 * target[:, labels] + 10 * beta * shared[:, in_target] + 0.02
    rate = (rate + 0.01 * by_gene @ by_target_cell) * lib_target
    counts = {"target": rng.poisson(rate).T.astype(np.float32)}
    rate = 10 * beta * shared[:, in_background] + 0.02
    rate = (rate + 0.01 * by_gene @ by_background_cell) * lib_background
    counts["background"] = rng.poisson(rate).T.astype(np.float32)
    return Dataset(
        name="beta_simulation",
        target=log_normalise(counts["target"]),
        background=log_normalise(counts["background"]),
        labels=labels.astype(int),
        feature_names=np.array([f"gene{j}" for j in range(genes)]),
        description=(
            f"Simulated counts, beta {beta:g}, seed {seed}: {n} target and {n} background cells, "
            f"{genes} genes. 5 shared programs in both, 2 target programs (the label, and the "
            "truth) in the target alone. Log-normalised to 1e4 a cell; counts beside."
        ),
        counts=counts,
        truth=target.T.astype(np.float32),
    )
