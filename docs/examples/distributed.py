"""A fit over many processes. There is no launcher: start this program once per process.

    python distributed.py --target X.npy --background Y.npy --out results --rank 20

Each process learns its place from its environment, by the first of these names that is set:

    address of process 0   JAX_COORDINATOR_ADDRESS (host:port)
    number of processes    NUM_PROCESSES, SLURM_NTASKS
    this one's number      PROCESS_ID, SLURM_PROCID (Slurm), JOB_COMPLETION_INDEX (Kubernetes)

It reads its own share of the rows of both files and no others. Every ``--every`` steps it writes
``step-....npz``: the basis and the codes of its rows. If a process dies the others end with an
error within a minute; started again, all go on from the last step that every process has written.
At the end ``fit-....npz`` holds the same, one file per process; both are read by
`bcnmf_jax.streaming.load_checkpoint`.
"""

import argparse
import inspect
import os
import sys
import traceback
from pathlib import Path

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather

import bcnmf_jax as bj
from bcnmf_jax.streaming import load_checkpoint, save_checkpoint

PLACES = {
    "address": ("JAX_COORDINATOR_ADDRESS",),
    "count": ("NUM_PROCESSES", "SLURM_NTASKS"),
    "index": ("PROCESS_ID", "SLURM_PROCID", "JOB_COMPLETION_INDEX"),
}
HEARTBEAT = 20
"""Seconds without a sign of life after which a process counts as dead (100 by default in JAX)."""
LOSSES = {"frobenius": bj.Frobenius, "kl": bj.KL}


def join() -> None:
    """Make this process one of the job's.

    Raises
    ------
    SystemExit
        If the environment lacks a name.
    """
    found = {}
    for what, names in PLACES.items():
        known = [os.environ[name] for name in names if name in os.environ]
        if not known:
            raise SystemExit(f"the environment must have {what} of the job in {' or '.join(names)}")
        found[what] = known[0]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    limits = {"heartbeat_timeout_seconds": HEARTBEAT, "shutdown_timeout_seconds": HEARTBEAT}
    taken = inspect.signature(jax.distributed.initialize).parameters
    limits = {name: limits[name] for name in limits if name in taken}  # jax 0.8 lacks the second
    jax.distributed.initialize(
        found["address"],
        int(found["count"]),
        int(found["index"]),
        cluster_detection_method="deactivate",
        **limits,
    )


def own_rows(path: Path) -> np.ndarray:
    """This process' share of the rows of a file, mapped: what is not asked for is not read."""
    rows, count, index = np.load(path, mmap_mode="r"), jax.process_count(), jax.process_index()
    return rows[len(rows) * index // count : len(rows) * (index + 1) // count]


def file(folder: Path, what: str) -> Path:
    """This process' file of a kind."""
    return folder / f"{what}.{jax.process_index()}of{jax.process_count()}.npz"


def written(folder: Path) -> list[int]:
    """Steps of this process' checkpoints, the oldest first."""
    found = folder.glob(file(folder, "step-*").name)
    return sorted(int(p.name.split(".")[0].removeprefix("step-")) for p in found)


def resume(folder: Path, about: dict, start: dict) -> tuple[dict, int]:
    """Blocks and step of the last checkpoint that every process has, or the start and 0."""
    mine = [0, 0, *written(folder)][-2:]
    shared = set.intersection(*map(set, process_allgather(np.array(mine)).tolist()))
    if not shared:
        raise SystemExit(f"the processes' checkpoints in {folder} are of different steps; empty it")
    step = max(shared)
    if step == 0:
        return start, 0
    leaves, then = load_checkpoint(file(folder, f"step-{step:08d}")) or ([], {})
    if then != about:
        raise SystemExit(f"{folder} holds checkpoints of another job: {then}, not {about}")
    return jax.tree.unflatten(jax.tree.structure(start), leaves), step


def keep(folder: Path, step: int, about: dict, blocks: dict) -> None:
    """Write a checkpoint and drop all but the last two: no process is further behind."""
    save_checkpoint(file(folder, f"step-{step:08d}"), jax.tree.leaves(blocks), about)
    for old in written(folder)[:-2]:
        file(folder, f"step-{old:08d}").unlink()


def run(options: argparse.Namespace) -> None:
    """Read, fit in stretches of ``every`` steps, write."""
    options.out.mkdir(parents=True, exist_ok=True)
    mesh = bj.fitting.row_mesh()
    paths = {"target": options.target, "background": options.background}
    data = bj.fitting.shard({name: own_rows(path) for name, path in paths.items()}, mesh)
    objective = bj.Contrastive(alpha=options.alpha, loss=LOSSES[options.loss]())
    start = bj.init(objective, data, options.rank, jax.random.key(options.seed), mesh=mesh)
    asked = ("alpha", "loss", "rank", "seed", "target", "background")
    about = {name: str(getattr(options, name)) for name in asked} | {"blocks": sorted(start)}
    blocks, step = resume(options.out, about, start)
    while True:
        # A fit of no step says how things stand where a job is asked for no more.
        stop = bj.Stop(options.tol, min(options.every, options.steps - step))
        # Without memory of earlier steps, so that a resumed job ends where the whole one would.
        fit = bj.fit(objective, data, blocks, solver=bj.MU(), stop=stop, mesh=mesh)
        blocks, step, result = fit.blocks, step + int(fit.steps), bj.result_name(fit.result)
        keep(options.out, step, about, blocks)
        if result != "max_steps" or step >= options.steps:
            break
    found = {"step": step, "result": result, "cost": float(fit.costs["basis"])}
    save_checkpoint(file(options.out, "fit"), jax.tree.leaves(blocks), about | found)
    if jax.process_index() == 0:
        print(f"{result} after {step} steps, cost {found['cost']:.6g}")


def main() -> None:
    """Parse the command line, join the job, run it."""
    parser = argparse.ArgumentParser(description="Fit over many processes.")
    parser.add_argument("--target", type=Path, required=True, help=".npy, samples x features")
    parser.add_argument("--background", type=Path, required=True, help="the same features")
    parser.add_argument("--out", type=Path, required=True, help="folder that all processes share")
    parser.add_argument("--rank", type=int, default=10)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--loss", choices=LOSSES, default="frobenius")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tol", type=float, default=1e-5)
    parser.add_argument("--steps", type=int, default=500, help="most steps")
    parser.add_argument("--every", type=int, default=50, help="steps between checkpoints")
    options = parser.parse_args()
    join()
    try:
        run(options)
    except Exception as error:
        traceback.print_exc()
        print(
            f"process {jax.process_index()} of {jax.process_count()} ends ({type(error).__name__}, "
            "see above). If it failed in communication (Gloo, NCCL), another process is gone. "
            f"Start all processes again: they go on from the checkpoints in {options.out}",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # an orderly end would wait for a process that may be gone


if __name__ == "__main__":
    main()
