"""Streaming from disk: seconds of an epoch, resident memory and linearity in the number of cells.

KL, K = 20, 3,000 genes, ten target cells to three of the background, as two h5ad files. ``FULL=1``
adds 1,300,000 cells.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.iteration import counts
from benchmarks.timing import FULL, Row, machine, quiet, versions

SIZES, LARGEST = (100_000, 250_000), 1_300_000
FEATURES, RANK, ALPHA = 3000, 20, 0.5
BLOCK = 10_000
KEPT = 0.55
"""Share of the counts that is left: what makes 7 % of the entries."""
EPOCHS = 6
"""Passes of a measurement, of which the first compiles and is not counted."""
MOST = {250_000: 3.0}
"""Seconds of an epoch that are asked for."""
MEMORY = 3.0
LINEAR = 0.15


def write(path: Path, cells: int, seed: int) -> None:
    """Counts of ``cells`` cells, about 7 % of them above 0, block by block into an h5ad file."""
    import anndata
    import h5py
    import scipy.sparse

    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(0).gamma(0.1, 1.0, (RANK, FEATURES))

    def block(rows: int):
        found = scipy.sparse.csr_matrix(counts(rng, rows, basis))
        found.data = rng.binomial(found.data.astype(int), KEPT).astype("float32")
        found.eliminate_zeros()
        return found

    sizes = [min(BLOCK, cells - start) for start in range(0, cells, BLOCK)]
    with h5py.File(path, "w") as file:
        anndata.io.write_elem(file, "X", block(sizes[0]))
        for rows in sizes[1:]:
            # A new handle each time: the appended one keeps its old length.
            anndata.io.sparse_dataset(file["X"]).append(block(rows))


def measure(folder: Path) -> dict[str, float]:
    """Fit what is in a folder, in this process; median seconds of an epoch and peak GB."""
    import resource

    import jax

    import bcnmf_jax as bj

    speeds = []
    data = {name: bj.BackedRows(folder / f"{name}.h5ad") for name in ("target", "background")}
    cells = sum(source.shape[0] for source in data.values())
    density = float(np.mean(data["target"][:2000] > 0))
    bj.stream(
        bj.Contrastive(alpha=ALPHA, loss=bj.KL()), data, rank=RANK, key=jax.random.key(0),
        stop=bj.Stop(tol=0.0, max_steps=EPOCHS, every=EPOCHS),
        callback=lambda p: speeds.append(p.cells_per_second),
    )  # fmt: skip
    unit = 2**30 if sys.platform == "darwin" else 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"seconds": cells / float(np.median(speeds[1:])), "peak": peak, "density": density}


def rows(sizes: Sequence[int] | None = None) -> list[Row]:
    """Per number of cells the seconds of an epoch and the peak memory; the linearity.

    Parameters
    ----------
    sizes : sequence of int, optional
        Numbers of cells; by default `SIZES`, and `LARGEST` where the environment has FULL=1.

    Raises
    ------
    BusyError
        If the machine's speed changed meanwhile.
    """
    if sizes is None:
        sizes = [*SIZES, LARGEST] if FULL else SIZES
    about = {"machine": machine(), "versions": versions()}
    found, seconds = [], {}
    for cells in sizes:
        with tempfile.TemporaryDirectory() as folder:
            background = cells * 3 // 13
            write(Path(folder) / "target.h5ad", cells - background, seed=1)
            write(Path(folder) / "background.h5ad", background, seed=2)
            with quiet():
                # Each in a process of its own, whose peak is its own.
                command = [sys.executable, "-m", "benchmarks.stream", folder]
                run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        got = json.loads(run.stdout)
        seconds[cells] = took = got["seconds"]
        name, most = f"{cells:,} cells, {got['density']:.0%} dense", MOST.get(cells)
        asked = ("", None) if most is None else (f"< {most:g}", took < most)
        found.append(Row(f"{name}, epoch", took, None, None, *asked, "s", **about))
        peak, text = got["peak"], f"<= {MEMORY:g}"
        found.append(Row(f"{name}, peak", peak, None, None, text, peak <= MEMORY, "GB", **about))
    each = np.array([seconds[cells] / cells for cells in sizes])
    spread = float(each.max() / each.min() - 1)
    found.append(
        Row(
            "seconds per cell, most over least", spread, None, None, f"<= {LINEAR:g}",
            spread <= LINEAR, "relative", **about,
        )
    )  # fmt: skip
    return found


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
