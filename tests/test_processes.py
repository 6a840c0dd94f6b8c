"""Several processes: the example of docs/ gives the answer of one, and survives a death."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.streaming import load_checkpoint
from tests.contracts import same

PROGRAM = Path(__file__).parents[1] / "docs" / "examples" / "distributed.py"
MINUTE = 60
SETTINGS = {"rank": 3, "alpha": 0.4, "seed": 5}


def rows():
    rng = np.random.default_rng(0)
    basis = rng.gamma(0.3, 1, (4, 30))
    draw = lambda n: rng.poisson(5 * rng.gamma(0.5, 1, (n, 4)) @ basis) + 1.0  # noqa: E731
    return {"target": draw(43), "background": draw(30)}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Job:
    """As many processes of the program as asked for, ended when the test ends."""

    def __init__(self, folder, count, steps, *, loss="kl", devices=1, names=("PROCESS_ID",)):
        at = f"127.0.0.1:{free_port()}"
        flags = f"--xla_force_host_platform_device_count={devices}"
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR")}
        base = kept | {
            "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1", "NUM_PROCESSES": str(count),
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}",
            "JAX_COORDINATOR_ADDRESS": at, "JAX_COORDINATOR_BIND_ADDRESS": at,
            "PYTHONPATH": str(PROGRAM.parents[2]),
        }  # fmt: skip
        given = {**SETTINGS, "loss": loss, "steps": steps, "every": 10, "tol": 0.0}
        paths = {name: folder / f"{name}.npy" for name in ("target", "background")}
        if not paths["target"].exists():
            for name, values in rows().items():
                np.save(paths[name], values)
        command = [sys.executable, str(PROGRAM), "--out", str(folder / "out")]
        for name, value in (given | paths).items():
            command += [f"--{name}", str(value)]
        self.out, self.loss = folder / "out", loss
        self.errors = [folder / f"stderr.{i}" for i in range(count)]
        self.workers = []
        for i, path in enumerate(self.errors):
            with open(path, "wb") as file:
                env = base | {name: str(i) for name in names}
                self.workers.append(subprocess.Popen(command, env=env, stderr=file))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.kill()
            worker.wait()

    def finish(self, timeout=2 * MINUTE):
        codes = [worker.wait(timeout) for worker in self.workers]
        assert codes == [0] * len(codes), [e.read_text()[-2000:] for e in self.errors]

    def result(self):
        """Blocks of all rows, put together from what each process wrote."""
        count = len(self.workers)
        found = [load_checkpoint(self.out / f"fit.{i}of{count}.npz") for i in range(count)]
        background, basis, target = ([f[0][j] for f in found] for j in range(3))
        for other in basis[1:]:
            np.testing.assert_array_equal(other, basis[0])
        codes = {"target": np.concatenate(target), "background": np.concatenate(background)}
        return {"basis": basis[0], **codes}, found[0][1]

    def check(self, steps):
        blocks, about = self.result()
        assert about["step"] == steps
        loss = {"kl": bj.KL(), "frobenius": bj.Frobenius()}[self.loss]
        with jax.enable_x64(True):
            objective, data = bj.Contrastive(SETTINGS["alpha"], loss), rows()
            start = bj.init(objective, data, SETTINGS["rank"], jax.random.key(SETTINGS["seed"]))
            alone = bj.fit(objective, data, start, solver=bj.MU(), stop=bj.Stop(0.0, steps))
            same(blocks, alone.blocks, 1e-11)
            np.testing.assert_allclose(about["cost"], float(alone.costs["basis"]), rtol=1e-11)


def test_two_processes_give_the_answer_of_one(tmp_path):
    with Job(tmp_path, 2, 50) as job:
        job.finish()
        job.check(50)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "devices", "loss", "names"),
    [(4, 1, "kl", ("SLURM_PROCID",)), (2, 3, "frobenius", ("JOB_COMPLETION_INDEX",))],
)
def test_more_processes_and_devices_give_the_answer_of_one(tmp_path, count, devices, loss, names):
    with Job(tmp_path, count, 50, loss=loss, devices=devices, names=names) as job:
        job.finish()
        job.check(50)


def interrupt(job, victim, how):
    """Stop a worker once all have written something; the others must end within a minute."""
    until = time.monotonic() + 2 * MINUTE
    while len({p.name.split(".")[1] for p in job.out.glob("step-*.npz")}) < len(job.workers):
        assert time.monotonic() < until and all(w.poll() is None for w in job.workers)
        time.sleep(0.02)
    job.workers[victim].send_signal(how)
    start = time.monotonic()
    for i, worker in enumerate(job.workers):
        if i != victim:
            assert worker.wait(MINUTE - (time.monotonic() - start)) != 0
            said = job.errors[i].read_text()
            assert "another process is gone" in said or "another task died" in said, said[-2000:]


@pytest.mark.parametrize(
    ("victim", "how"),
    [
        (1, signal.SIGKILL),
        pytest.param(0, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(1, signal.SIGSTOP, marks=pytest.mark.slow),
    ],
    ids=["worker", "coordinator", "silent"],
)
def test_a_death_ends_the_job_which_resumes(tmp_path, victim, how):
    with Job(tmp_path, 2, 10**7) as job:
        interrupt(job, victim, how)
    assert not list(job.out.glob("fit.*"))
    seen = [{p.name.split(".")[0] for p in job.out.glob(f"step-*.{i}of2.npz")} for i in (0, 1)]
    step = max(int(name.removeprefix("step-")) for name in seen[0] & seen[1]) + 20
    with Job(tmp_path, 2, step) as job:
        job.finish()
        job.check(step)


def test_a_place_that_is_not_known_is_an_error(tmp_path):
    with Job(tmp_path, 1, 10, names=()) as job:
        assert job.workers[0].wait(MINUTE) == 1
        assert "PROCESS_ID or SLURM_PROCID" in job.errors[0].read_text()
