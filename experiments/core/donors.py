"""Simulated cells of several donors: what a test between donors has to hold its level on."""

import numpy as np

from bcnmf_jax.datasets import Dataset, log_normalise

SHARED, BLOCK = 5, 25


def donor_simulation(
    seed: int,
    *,
    donors: tuple[int, int] = (8, 8),
    cells: int = 25,
    genes: int = 150,
    strength: float = 0.0,
    spread: float = 0.2,
    pairs: bool = False,
) -> Dataset:
    """Simulate counts of donors that differ among themselves, and of a program in the target.

    Every donor has gene-wise factors, lognormal(0, `spread`), and proportions of 5 shared programs
    on disjoint blocks of 25 genes, Dirichlet(3, ..., 3). The rate of a cell is its donor's factors
    times library size, lognormal(0, .35), times (3 shared program + 0.1 + `strength` x target
    program); the target program, on the genes that are left, is in a share of the target's cells
    that differs between donors, Beta(2, 2).

    Parameters
    ----------
    seed : int
    donors : tuple of int
        In the target and in the background.
    cells : int
        Of each donor (and set).
    strength : float
        Of the target program; at 0 the sets are exchangeable, donor by donor.
    spread : float
    pairs : bool
        The donors of the background are those of the target.

    Returns
    -------
    Dataset
        Log-normalised, with counts and groups; labels say which target cells have the program.
    """
    rng = np.random.default_rng([seed, 0])
    shared = rng.gamma(0.5, 0.01, (SHARED, genes))
    for k in range(SHARED):
        shared[k, k * BLOCK : (k + 1) * BLOCK] += rng.gamma(2, 0.6, BLOCK)
    program = np.zeros(genes)
    program[SHARED * BLOCK :] = rng.gamma(2, 0.9, genes - SHARED * BLOCK)
    people = donors[0] if pairs else sum(donors)
    factors = rng.lognormal(0, spread, (people, genes))
    mixes = rng.dirichlet(np.full(SHARED, 3.0), people)

    def draw(person: int, carriers: float) -> tuple[np.ndarray, np.ndarray]:
        kind = rng.choice(SHARED, cells, p=mixes[person])
        carries = rng.random(cells) < carriers
        rate = 3 * shared[kind] + 0.1 + strength * carries[:, None] * program
        rate = rate * factors[person] * rng.lognormal(0, 0.35, (cells, 1))
        return rng.poisson(rate).astype(np.float32), carries

    who = {"target": np.arange(donors[0]), "background": np.arange(people)[-donors[1] :]}
    drawn = {
        name: [draw(person, rng.beta(2, 2) if name == "target" else 0.0) for person in own]
        for name, own in who.items()
    }
    counts = {name: np.concatenate([x for x, _ in parts]) for name, parts in drawn.items()}
    groups = {name: np.repeat([f"donor{i}" for i in own], cells) for name, own in who.items()}
    return Dataset(
        name="donor_simulation",
        target=log_normalise(counts["target"]),
        background=log_normalise(counts["background"]),
        labels=np.concatenate([carries for _, carries in drawn["target"]]).astype(int),
        feature_names=np.array([f"gene{j}" for j in range(genes)]),
        description=(
            f"Simulated counts, seed {seed}: {donors[0]} donors in the target and {donors[1]} in "
            f"the background, {cells} cells each, a target program of strength {strength:g}. "
            "Log-normalised to 1e4 a cell; counts beside."
        ),
        counts=counts,
        groups=groups["target"],
        background_groups=groups["background"],
        truth=program[None].astype(np.float32) if strength else None,
    )
