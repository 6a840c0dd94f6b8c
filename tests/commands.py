"""Files for the command `bcnmf`, and a fixture that runs it in this process."""

import anndata
import numpy as np
import pandas as pd
import pytest

from bcnmf_jax.cli._app import app

FEATURES = [f"g{i}" for i in range(20)]
SMALL = ["--n-components", "2", "--restarts", "2", "--max-iter", "40", "--tol", "1e-3"]
KEYS = ["--condition-key", "stim", "--target", "yes", "--background", "no"]


def draw(seed, count, programs):
    """Whole numbers in which the last of the programs is the target's alone."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(9).gamma(0.3, 1, (3, 20))[:programs]
    counts = rng.poisson(4 * rng.gamma(0.5, 1, (count, programs)) @ basis + 0.2)
    return counts.astype(np.float32)


TARGET, BACKGROUND = draw(0, 40, 3), draw(1, 30, 2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """target.csv and background.csv, and cells.h5ad with both and five cells of neither."""
    folder = tmp_path_factory.mktemp("data")
    for name, values in (("target", TARGET), ("background", BACKGROUND)):
        index = [f"{name}{i}" for i in range(len(values))]
        pd.DataFrame(values.astype(int), index, FEATURES).to_csv(folder / f"{name}.csv")
    values = np.concatenate([TARGET, BACKGROUND, draw(2, 5, 2)])
    obs = {"stim": ["yes"] * 40 + ["no"] * 30 + ["other"] * 5, "sample": list("abc") * 25}
    held = anndata.AnnData(values, pd.DataFrame(obs, map(str, range(75))), layers={"raw": values})
    held.var_names = FEATURES
    held.write_h5ad(folder / "cells.h5ad")
    return folder


@pytest.fixture
def bcnmf(capsys):
    """Runs the command in this process: exit code, stdout, stderr."""

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app([str(a) for a in arguments])
        return end.value.code, *capsys.readouterr()

    return run


def pair(files):
    return [str(files / "target.csv"), str(files / "background.csv")]
