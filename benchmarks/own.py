"""Our side of the answer benchmark: ``python -m benchmarks.own FOLDER CALLS``, and a command.

FOLDER has cells.h5ad, log-normalised, with the column "condition" ("target", "background") in
``obs``. Scores of all cells, (cells, components), are left there as scores.npy, and the seconds of
each call, reading included, as seconds.npy. It imports no more than what a user's script does.
"""

import sys
import time
from pathlib import Path

import numpy as np

CONDITION = "condition"
COMMAND = "from bcnmf_jax.cli import main; main()"


def call(folder: Path, calls: int) -> None:
    """Answer in this process, ``calls`` times."""
    import anndata

    import bcnmf_jax as bj

    seconds = []
    for _ in range(calls):
        begun = time.perf_counter()
        cells = anndata.read_h5ad(folder / "cells.h5ad")
        bj.tl.bcnmf(cells, CONDITION, target="target", background="background")
        seconds.append(time.perf_counter() - begun)
        np.save(folder / "scores.npy", np.asarray(cells.obsm["X_bcnmf"]), allow_pickle=False)
    np.save(folder / "seconds.npy", seconds, allow_pickle=False)


def command(folder: Path, run: str) -> list[str]:
    """The command that writes the run of that name, with the programs that another has left."""
    return [
        sys.executable, "-c", COMMAND, "fit", str(folder / "cells.h5ad"),
        "--condition-key", CONDITION, "--target", "target", "--background", "background",
        "--cache", str(folder / "programs"), "--out", str(folder / run),
    ]  # fmt: skip


def usage(run: Path) -> np.ndarray:
    """Usages of the target components in the folder of a run, (cells, components)."""
    from bcnmf_jax.report.run_folder import read_table

    frame = read_table(run, "usage", needed=True)
    names = [n for n in frame if n not in ("sample", "set", CONDITION)]
    return frame[[n for n in names if not n.startswith("background")]].to_numpy()


if __name__ == "__main__":
    call(Path(sys.argv[1]), int(sys.argv[2]))
