"""Simulations in which one thing at a time goes wrong between target and background."""

from dataclasses import dataclass

import numpy as np

from bcnmf_jax.data.checks import check_seed
from bcnmf_jax.datasets._simulate import SHARED, TARGET, programs
from bcnmf_jax.datasets.dataset import Array, Dataset, log_normalise

BETA, FAINT = 8.0, 0.15


@dataclass(frozen=True)
class Family:
    """A family: what it changes of the plain simulation.

    Attributes
    ----------
    description : str
    background : int
        Its cells, to 1,000 of the target.
    target_mix, background_mix : tuple of float
        Proportions of the shared programs.
    leak : float
        Share of background cells that carry a target program.
    batch : float
        Standard deviation of the log of gene-wise factors between the sets.
    faint : float
        Strength of the target programs.
    """

    description: str
    background: int = 1000
    target_mix: tuple[float, ...] = (0.2,) * SHARED
    background_mix: tuple[float, ...] = (0.2,) * SHARED
    leak: float = 0.0
    batch: float = 0.0
    faint: float = FAINT


FAMILIES = {
    "beta": Family("target programs that the background lacks"),
    "proportions": Family(
        "shared programs in other proportions", target_mix=(0.8, 0.05, 0.05, 0.05, 0.05)
    ),
    "rare": Family(
        "a shared program that is rare in the background",
        background_mix=(0.01, 0.2475, 0.2475, 0.2475, 0.2475),
    ),
    "leak": Family("a quarter of the background carries the target programs", leak=0.25),
    "small": Family("a background of 100 cells", background=100),
    "batch": Family("gene-wise factors of 10 % between the sets", batch=0.1),
    "none": Family("no target program", faint=0.0),
}


def family_simulation(family: str = "beta", seed: int = 0, genes: int = 3000) -> Dataset:
    """Simulate counts as `beta_simulation` does at beta 8, with one thing changed.

    Parameters
    ----------
    family : {"beta", "proportions", "rare", "leak", "small", "batch", "none"}
        As `FAMILIES` describes them.
    seed : int
    genes : int
        At least 1,490.

    Returns
    -------
    Dataset
        1,000 target cells; log-normalised, with counts, and with `truth` (2, genes) unless there is
        no program. The labels are the target programs that cells carry (or would).

    Raises
    ------
    ValueError
        For another family, or too few genes.
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {sorted(FAMILIES)}, got {family!r}")
    what, n = FAMILIES[family], 1000
    rng = np.random.default_rng([check_seed(seed), sorted(FAMILIES).index(family)])
    shared, target = programs(rng, genes)
    by_gene = rng.gamma(1, 1, (1, genes))
    factors = rng.lognormal(0, what.batch, (1, genes))
    labels = rng.permutation(np.repeat(np.arange(TARGET), n // TARGET))

    def cells(count: int, mix: tuple[float, ...], own: Array, carries: Array) -> Array:
        kind = rng.choice(SHARED, count, p=mix)
        rate = what.faint * carries[:, None] * target.T[own] + 10 * BETA * shared.T[kind] + 0.02
        rate = rate + 0.01 * by_gene * rng.gamma(1, 1, (count, 1))
        return rate * rng.lognormal(0, 0.35, (count, 1))

    m = what.background
    rates = {
        "target": cells(n, what.target_mix, labels, np.ones(n)) * factors,
        "background": cells(
            m, what.background_mix, rng.integers(0, TARGET, m), rng.random(m) < what.leak
        ),
    }
    counts = {name: rng.poisson(rate).astype(np.float32) for name, rate in rates.items()}
    return Dataset(
        name="family_simulation",
        target=log_normalise(counts["target"]),
        background=log_normalise(counts["background"]),
        labels=labels.astype(int),
        feature_names=np.array([f"gene{j}" for j in range(genes)]),
        description=(
            f"Simulated counts, family {family} ({what.description}), seed {seed}: {n} target and "
            f"{m} background cells, {genes} genes. Log-normalised to 1e4 a cell; counts beside."
        ),
        counts=counts,
        truth=target.T.astype(np.float32) if what.faint else None,
    )
