"""Programs compiled: other values of alpha, seeds and data must compile nothing new."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np

import bcnmf_jax as bj
from benchmarks.timing import Row, machine, versions

SECONDS = 4.0
"""Most seconds that the first fit of a shape may take, on a CPU."""
RANKS = (2, 3, 5)
STARTS = 16


class Counter:
    """Counts what the compiler is asked for, through jax.monitoring.

    A listener cannot be taken back, so there is one for the life of the process.
    """

    def __init__(self):
        self.total = 0
        jax.monitoring.register_event_duration_secs_listener(self._event)

    def _event(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        self.total += "backend_compile" in event

    def during(self, work: Callable[[], object]) -> int:
        """Programs compiled while ``work()`` ran to its end."""
        before = self.total
        jax.block_until_ready(work())
        return self.total - before


def _fit(data, alpha: float, seed: int, loss: bj.AbstractLoss | None = None):
    objective = bj.Contrastive(alpha=alpha, loss=loss or bj.KL())
    blocks = bj.init(objective, data, rank=5, key=jax.random.key(seed))
    return bj.fit(objective, data, blocks, stop=bj.Stop(tol=1e-4, max_steps=50)).blocks


def _sweep(data, alphas: tuple[float, ...], seed: int):
    keys = jax.random.split(jax.random.key(seed), STARTS)
    return bj.sweep(
        bj.Contrastive, data, alphas=alphas, ranks=RANKS, keys=keys, loss=bj.KL()
    ).blocks


def first_fit() -> float:
    """Seconds of a first fit in this process, with compiling."""
    rng = np.random.default_rng(0)
    data = {k: rng.gamma(1.0, 1.0, (301, 81)).astype("float32") for k in ("target", "background")}
    clock = time.perf_counter()
    jax.block_until_ready(_fit(data, 0.5, 0))
    return time.perf_counter() - clock


def from_disk(about: dict) -> Row:
    """The first fit of a process, with and without programs that another has left on disk."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        without, with_them = (
            float(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.compile"], env={**os.environ, **kept},
                    check=True, stdout=subprocess.PIPE, text=True,
                ).stdout
            )
            for _ in range(2)
        )  # fmt: skip
    name, ratio = "first fit of a process, programs from disk", without / with_them
    return Row(name, with_them, without, ratio, "> 1", ratio > 1, "s", **about)


def rows() -> list[Row]:
    """Compilations of a first fit and a first sweep, and of the same with other values."""
    rng = np.random.default_rng(0)
    shapes = {"target": (300, 80), "background": (200, 80)}

    def draw():
        return {
            name: rng.gamma(1.0, 1.0, shape).astype("float32") for name, shape in shapes.items()
        }

    data, other = draw(), draw()
    counter = Counter()
    cases = [
        ("fit, first", None, lambda: _fit(data, 0.5, 0)),
        ("fit, another alpha", 0, lambda: _fit(data, 0.7, 0)),
        ("fit, another seed", 0, lambda: _fit(data, 0.5, 1)),
        ("fit, other data of the shape", 0, lambda: _fit(other, 0.5, 0)),
        ("sweep 3 x 3 x 16, first", None, lambda: _sweep(data, (0.5, 1.0, 1.5), 0)),
        ("sweep, other alphas and seeds", 0, lambda: _sweep(data, (0.6, 1.1, 1.7), 1)),
    ]
    about = {"machine": machine(), "versions": versions()}
    found = []
    for name, most, work in cases:
        n = counter.during(work)
        text, met = ("", None) if most is None else (f"<= {most}", n <= most)
        found.append(Row(name, n, None, None, text, met, "compilations", **about))
    for loss in (bj.Frobenius(), bj.KL()):
        # A shape of its own, and large enough to be visited in chunks.
        fresh = {k: rng.gamma(1.0, 1.0, (3001, 1001)).astype("float32") for k in shapes}
        clock = [time.perf_counter()]
        for _ in range(2):  # with compiling, and without
            jax.block_until_ready(_fit(fresh, 0.5, 0, loss))
            clock.append(time.perf_counter())
        took = (clock[1] - clock[0]) - (clock[2] - clock[1])
        name = f"init and fit of a new shape, {type(loss).__name__}: compiling"
        met = took <= SECONDS
        found.append(Row(name, took, None, None, f"<= {SECONDS:g}", met, "s", **about))
    return [*found, from_disk(about)]


if __name__ == "__main__":
    print(first_fit())
