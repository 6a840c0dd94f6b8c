"""Streaming from disk: seconds of an epoch, memory, linearity, and the time to a small gap.

KL, K = 20, 3,000 genes, ten target cells to three of the background, as two h5ad files. FULL=1 adds
1,300,000 cells. The gap is ``(V - V*) / (V0 - V*)`` with the reduced objectives V0 of the start,
V of online passes and V* of exact passes that go on from these; values are taken on the first
5,000 cells, and the exact basis is kept under the hash of data, settings and online basis.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse

from bcnmf_jax.storage.files import whole_file
from benchmarks.timing import FULL, Row, machine, quiet, versions

SIZES, LARGEST = (100_000, 250_000), 1_300_000
FEATURES, RANK, ALPHA = 3000, 20, 0.5
BLOCK = 10_000
KEPT = 0.55
"""Share of the median depth of `benchmarks.iteration`: what makes 7 % of the entries."""
EPOCHS = 6
"""Passes of a measurement, of which the first compiles and is not counted."""
ONLINE, REFERENCE = 3, 30
"""Online passes of the fit whose gap is measured, and exact ones of what it is measured against."""
VALUED = 5_000
"""Most cells that a reduced objective is taken on."""
MOST = {250_000: 3.0}
"""Seconds of an epoch that are asked for."""
MEMORY, GAP = 3.0, 0.02
SECONDS = {LARGEST: 150.0}
"""Seconds to the gap that are asked for."""
LINEAR = 0.15
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bcnmf_jax_benchmarks"


def block(rng: np.random.Generator, rows: int, basis: np.ndarray) -> scipy.sparse.csr_matrix:
    """What `benchmarks.iteration.counts` draws, as CSR and without the dense matrix of rates.

    A Poisson count of a sum of programs is a sum of counts per program, and the counts of a program
    fall on the features by its loadings.
    """
    usage = rng.gamma(0.3, 1.0, (rows, len(basis))) * basis.sum(1)
    depth = rng.lognormal(6.0, 0.5, (rows, 1)) * KEPT
    each = rng.poisson(depth * usage / usage.sum(1, keepdims=True))  # counts per cell and program
    cells = np.concatenate([np.repeat(np.arange(rows), n) for n in each.T])
    edges = np.cumsum(basis, axis=1) / basis.sum(1, keepdims=True)
    genes = np.concatenate(
        [np.searchsorted(e, rng.random(n.sum())) for e, n in zip(edges, each.T, strict=True)]
    )
    ones = np.ones(len(cells), "float32")
    return scipy.sparse.coo_matrix((ones, (cells, genes)), (rows, basis.shape[1])).tocsr()


def write(path: Path, cells: int, seed: int) -> None:
    """Counts of ``cells`` cells, about 7 % of them above 0, block by block into an h5ad file."""
    import anndata
    import h5py

    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(0).gamma(0.1, 1.0, (RANK, FEATURES))
    sizes = [min(BLOCK, cells - start) for start in range(0, cells, BLOCK)]
    with h5py.File(path, "w") as file:
        anndata.io.write_elem(file, "X", block(rng, sizes[0], basis))
        for rows in sizes[1:]:
            # A new handle each time: the appended one keeps its old length.
            anndata.io.sparse_dataset(file["X"]).append(block(rng, rows, basis))


def _objective():
    import bcnmf_jax as bj

    return bj.Contrastive(alpha=ALPHA, loss=bj.KL())


def _sources(folder: Path) -> dict:
    import bcnmf_jax as bj

    return {
        name: bj.streaming.BackedRows(folder / f"{name}.h5ad") for name in ("target", "background")
    }


def peak() -> float:
    """Most memory that this process has held, in GB."""
    import resource

    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def epochs(folder: Path) -> dict[str, float]:
    """Exact passes over what is in a folder, in this process; median seconds of one, peak GB."""
    import jax

    import bcnmf_jax as bj

    speeds, data = [], _sources(folder)
    cells = sum(source.shape[0] for source in data.values())
    density = float(np.mean(data["target"][:2000] > 0))
    bj.stream(
        _objective(), data, rank=RANK, key=jax.random.key(0), solver=bj.MU(),
        stop=bj.Stop(tol=0.0, max_steps=EPOCHS, every=EPOCHS),
        on_progress=lambda p: speeds.append(p.cells_per_second),
    )  # fmt: skip
    return {"seconds": cells / float(np.median(speeds[1:])), "peak": peak(), "density": density}


def online(folder: Path) -> dict[str, float]:
    """Online passes over what is in a folder, in this process; seconds with all reading, peak GB.
    Writes the basis."""
    import jax

    import bcnmf_jax as bj

    clock = time.perf_counter()
    fit = bj.stream(
        _objective(), _sources(folder), rank=RANK, key=jax.random.key(0), mode="online",
        stop=bj.Stop(tol=0.0, max_steps=ONLINE, every=ONLINE),
    )  # fmt: skip
    seconds = time.perf_counter() - clock
    np.save(folder / "basis.npy", np.asarray(fit.blocks["basis"]), allow_pickle=False)
    return {"seconds": seconds, "peak": peak()}


def _digest(folder: Path) -> str:
    """Hash of the settings, of the data and of the basis that exact passes go on from."""
    found = hashlib.sha256(repr((RANK, ALPHA, REFERENCE)).encode())
    found.update((folder / "basis.npy").read_bytes())
    for name in ("target", "background"):
        with open(folder / f"{name}.h5ad", "rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def gap(folder: Path) -> dict[str, float]:
    """The gap of the basis that `online` wrote."""
    import jax

    import bcnmf_jax as bj

    basis, objective = np.load(folder / "basis.npy", allow_pickle=False), _objective()
    sources = _sources(folder)
    kept = CACHE / f"stream-{_digest(folder)}.npy"
    if not kept.exists():
        stop = bj.Stop(tol=0.0, max_steps=REFERENCE, every=REFERENCE)
        fit = bj.stream(objective, sources, blocks={"basis": basis}, stop=stop)
        with whole_file(kept) as partial:
            np.save(partial, np.asarray(fit.blocks["basis"]), allow_pickle=False)
    share = min(1.0, VALUED / sum(s.shape[0] for s in sources.values()))
    some = {name: s[: int(share * s.shape[0])] for name, s in sources.items()}
    start = bj.init(objective, some, RANK, jax.random.key(0))["basis"]
    bases = start, basis, np.load(kept, allow_pickle=False)
    stop = bj.Stop(tol=1e-5, max_steps=60)
    v0, v, best = (
        float(bj.reduced_objective(objective, some, {"basis": b}, stop=stop)) for b in bases
    )
    return {"gap": (v - best) / (v0 - best)}


MEASURES = {"epochs": epochs, "online": online, "gap": gap}


def _run(what: str, folder: str) -> dict[str, float]:
    """A measure in a process of its own, whose peak is its own."""
    command = [sys.executable, "-m", "benchmarks.stream", what, folder]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(run.stdout)


def rows(sizes: Sequence[int] | None = None) -> list[Row]:
    """Per number of cells the seconds of an epoch, the peak memory and the gap; the linearity.

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
    about, begun = {"machine": machine(), "versions": versions()}, time.perf_counter()
    found, seconds = [], {}

    def row(name: str, value: float, unit: str, most: float | None) -> None:
        asked = ("", None) if most is None else (f"<= {most:g}", value <= most)
        found.append(Row(name, value, None, None, *asked, unit, **about))

    for cells in sizes:
        with tempfile.TemporaryDirectory() as folder:
            background = cells * 3 // 13
            write(Path(folder) / "target.h5ad", cells - background, seed=1)
            write(Path(folder) / "background.h5ad", background, seed=2)
            with quiet():
                got, fit = _run("epochs", folder), _run("online", folder)
            left = _run("gap", folder)["gap"]
            print(f"{time.perf_counter() - begun:5.0f} s  {cells:,} cells", file=sys.stderr)
        seconds[cells] = got["seconds"]
        name = f"{cells:,} cells, {got['density']:.0%} dense"
        row(f"{name}, exact epoch", got["seconds"], "s", MOST.get(cells))
        row(f"{name}, exact epochs, peak", got["peak"], "GB", MEMORY)
        row(f"{name}, start and {ONLINE} online epochs", fit["seconds"], "s", SECONDS.get(cells))
        row(f"{name}, start and {ONLINE} online epochs, peak", fit["peak"], "GB", MEMORY)
        row(f"{name}, start and {ONLINE} online epochs, gap", left, "of V0 - V*", GAP)
    each = np.array([seconds[cells] / cells for cells in sizes])
    row("seconds per cell, most over least", float(each.max() / each.min() - 1), "relative", LINEAR)
    return found


if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](Path(sys.argv[2]))))
