"""What the benchmarks share: alternating rounds, the row, the machine and whether it was quiet."""

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import bcnmf_jax as bj

QUIET = 0.25
"""Largest relative change of the product rate, before to after, on a machine called quiet."""


FULL = os.environ.get("FULL") == "1"
"""Whether the long version is asked for."""


class BusyError(RuntimeError):
    """The machine's speed changed while it was measured."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured figure.

    Parameters
    ----------
    name : str
        What was measured.
    ours, peer : float or int, and None where there is none, or it never came
        Medians, in ``unit``.
    ratio : float or None
        How many times better ours is (median over the rounds of each round's ratio).
    target : str
        What the project asks of the row, such as ``">= 12"``; empty where it asks nothing.
    met : bool or None
        Whether it holds.
    unit : str
    machine : str
    versions : dict of str to str
    curves : dict of str to list of (seconds, gap), optional
        How each program came to its figure, for a picture.
    """

    name: str
    ours: float | None
    peer: float | None
    ratio: float | None
    target: str
    met: bool | None
    unit: str
    machine: str
    versions: Mapping[str, str]
    curves: Mapping[str, list] = dataclasses.field(default_factory=dict)


def alternate(
    measures: Mapping[str, Callable[[], float]], rounds: int = 5
) -> dict[str, np.ndarray]:
    """Take each measure once per round, so that all see the same neighbours.

    Parameters
    ----------
    measures : mapping of str to callable
        Each measures something once and returns seconds. All are called once before, unrecorded.
    rounds : int

    Returns
    -------
    dict of str to array (rounds,)
    """
    for measure in measures.values():
        measure()
    seconds = np.array([[measure() for measure in measures.values()] for _ in range(rounds)])
    return dict(zip(measures, seconds.T, strict=True))


def product_rate(size: int = 4096) -> float:
    """Rate of a large float32 matrix product on the default device, in GFLOP/s (best of four)."""
    a = jnp.ones((size, size), "float32")
    multiply = jax.jit(lambda a: a @ a)

    def once() -> float:
        start = time.perf_counter()
        multiply(a).block_until_ready()
        return time.perf_counter() - start

    once()
    return 2 * size**3 / min(once() for _ in range(4)) / 1e9


@contextmanager
def quiet() -> Iterator[float]:
    """Measure inside, on a quiet machine: gives the product rate before, in GFLOP/s.

    Raises
    ------
    BusyError
        If that rate is more than `QUIET` away afterwards.
    """
    before = product_rate()
    yield before
    after = product_rate()
    if not 1 - QUIET <= after / before <= 1 / (1 - QUIET):
        raise BusyError(
            f"a large matrix product ran at {before:.0f} GFLOP/s before and {after:.0f} after; "
            "stop what else is running and measure again"
        )


def machine() -> str:
    """Processor, cores and, where it is not the processor, the device that jax computes on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [s for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    device = jax.devices()[0]
    accelerator = "" if device.platform == "cpu" else f", {device.device_kind}"
    return f"{model}, {os.cpu_count()} cores, {platform.system()}{accelerator}"


def versions(**others: str) -> dict[str, str]:
    """Versions of what computes, and of peers given by name."""
    ours = {
        "bcnmf_jax": bj.__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    return {**ours, **others}
