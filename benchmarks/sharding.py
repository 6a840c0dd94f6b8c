"""Rows over 1, 2, 4 and 8 devices of the host: time, agreement, and memory against the model.

The devices share the processor's cores, so that no speed is gained: what is timed is the cost of
spreading the rows. JAX learns the number of devices when it starts: a child process measures.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import bcnmf_jax as bj
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.fitting.loop import run
from benchmarks.iteration import LOSSES, TITLES, counts
from benchmarks.timing import BusyError, Row, alternate, machine, quiet, versions

TARGET, BACKGROUND, FEATURES, RANK, ALPHA = 6000, 2000, 1000, 20, 0.3
DEVICES = (1, 2, 4, 8)
FEW, MANY = 5, 25
"""Steps of the two fits whose difference is timed."""
STEPS, AGREEMENT = 50, 1e-5
SHAPES = ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2))
"""Multiples of rows, features and rank at which time and memory are set against the model."""
LARGE = (80_000, 40_000, 3000, 20)
"""Target, background, features and rank whose memory is asked of the compiler; nothing is run."""
BUSY = 2


def memory(target: int, background: int, features: int, rank: int, devices: int) -> float:
    """Bytes per device that the model expects of a fit in float32.

    The data; per row its codes as given, as found, and two more of them while the loop runs; the
    basis as often. A chunk's intermediate results (some times 4 MiB) are left out.
    """
    rows = (target + background) / devices
    data, blocks = rows * features, rows * rank + rank * features
    return 4 * (data + 4 * blocks)


def compiled_memory(loss, target, background, features, rank, devices) -> float:
    """Bytes per device that the compiler sets aside for a fit: arguments, results and work."""
    mesh = bj.fitting.row_mesh(jax.devices()[:devices])
    by_row, once = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("rows",), ()))

    def spread(count, width) -> Any:
        return jax.ShapeDtypeStruct((count, width), jnp.float32, sharding=by_row)

    sets = {"target": target, "background": background}
    data: dict[str, Any] = {name: Rows(spread(count, features)) for name, count in sets.items()}
    blocks: dict[str, Any] = {name: spread(count, rank) for name, count in sets.items()}
    blocks["basis"] = jax.ShapeDtypeStruct((rank, features), jnp.float32, sharding=once)
    objective, stop = bj.Contrastive(alpha=ALPHA, loss=loss), bj.Stop(0.0, STEPS)

    def fit(data, blocks):
        found = run(objective, data, blocks, bj.MU(), stop, stop.looks)
        return found.blocks, found.costs, found.diagnostics, found.trace

    with jax.set_mesh(mesh):
        used = jax.jit(fit).lower(data, blocks).compile().memory_analysis()
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return sum(getattr(used, part) for part in parts)


class Case:
    """A problem whose rows are on some devices, perhaps in another order."""

    def __init__(self, loss, times, devices, shuffled=False):
        rng = np.random.default_rng(0)
        rows, features, rank = times
        basis = rng.gamma(0.1, 1.0, (RANK, features * FEATURES))
        sets = {"target": rows * TARGET, "background": rows * BACKGROUND}
        self.mesh = bj.fitting.row_mesh(jax.devices()[:devices])
        drawn = {name: counts(rng, n, basis) for name, n in sets.items()}
        self.order = {n: rng.permutation(len(x)) for n, x in drawn.items()} if shuffled else {}
        drawn |= {name: drawn[name][order] for name, order in self.order.items()}
        self.data = bj.fitting.shard(drawn, self.mesh)
        self.objective = bj.Contrastive(alpha=ALPHA, loss=loss)
        self.start = bj.init(
            self.objective, self.data, rank * RANK, jax.random.key(0), mesh=self.mesh
        )

    def fit(self, steps: int):
        """Blocks after exactly ``steps`` steps, computed."""
        stop = bj.Stop(tol=0.0, max_steps=steps, every=1000)
        fit = bj.fit(self.objective, self.data, self.start, stop=stop, mesh=self.mesh)
        return jax.block_until_ready(fit.blocks)

    def apart(self, other: "Case") -> float:
        """Largest difference of two fits of the same rows, over each block's largest entry."""
        mine, theirs = ({k: np.asarray(v) for k, v in c.fit(STEPS).items()} for c in (self, other))
        theirs |= {name: theirs[name][order] for name, order in self.order.items()}
        return max(float(np.abs(mine[k] - b).max() / b.max()) for k, b in theirs.items())

    def seconds(self) -> float:
        """Seconds of one iteration: the difference of a longer and a shorter fit."""
        start = time.perf_counter()
        self.fit(FEW)
        middle = time.perf_counter()
        self.fit(MANY)
        return (time.perf_counter() - 2 * middle + start) / (MANY - FEW)


def _measure(loss: str) -> list[Row]:
    about = {"machine": machine(), "versions": versions()}
    title, unit = TITLES[loss], "s/iteration"
    cases = {str(d): Case(LOSSES[loss], SHAPES[0], d) for d in DEVICES}
    took = alternate({name: case.seconds for name, case in cases.items()})
    shuffled = Case(LOSSES[loss], SHAPES[0], 1, shuffled=True).apart(cases["1"])
    found = []
    for name, case in cases.items():
        if name == "1":
            continue
        ours, peer = (float(np.median(took[n])) for n in (name, "1"))
        ratio = float(np.median(took["1"] / took[name]))
        row = f"{title}, {name} devices on the same cores, peer: one"
        found.append(Row(row, ours, peer, ratio, "", None, unit, **about))
        apart, within = case.apart(cases["1"]), f"<= {AGREEMENT:g}"
        row, unit_apart = f"{title}, {name} devices, largest difference", f"of max after {STEPS}"
        row += ", peer: one device, rows in another order"
        met = apart <= AGREEMENT
        found.append(Row(row, apart, shuffled, shuffled / apart, within, met, unit_apart, **about))
    grown = {str(times): Case(LOSSES[loss], times, 2) for times in SHAPES}
    took = alternate({name: case.seconds for name, case in grown.items()})
    base = took[str(SHAPES[0])]
    for times in SHAPES[1:]:
        name = f"{title}, twice the " + ("rows", "features", "rank")[times.index(2)]
        ours, peer = float(np.median(took[str(times)])), 2 * float(np.median(base))
        ratio = float(np.median(2 * base / took[str(times)]))
        name += ", 2 devices, peer: twice the time"
        found.append(Row(name, ours, peer, ratio, "", None, unit, **about))
    for times in SHAPES:
        n, m, g, k = (a * b for a, b in zip(LARGE, (times[0], *times), strict=True))
        ours = compiled_memory(LOSSES[loss], n, m, g, k, max(DEVICES)) / 2**20
        peer = memory(n, m, g, k, max(DEVICES)) / 2**20
        name = f"{title}, ({n} + {m}) x {g}, K = {k}, one of {max(DEVICES)} devices, peer: model"
        found.append(Row(name, ours, peer, peer / ours, "", None, "MiB", **about))
    return found


def rows() -> list[Row]:
    """Rows measured by a process with eight devices.

    Raises
    ------
    BusyError
        If the machine's speed changed meanwhile.
    subprocess.CalledProcessError
        If the measuring process failed.
    """
    flags = f"--xla_force_host_platform_device_count={max(DEVICES)}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "benchmarks.sharding"]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode == BUSY:
        raise BusyError(done.stdout.strip())
    done.check_returncode()
    return [Row(**row) for row in json.loads(done.stdout)]


def main() -> int:
    """Measure, and print the rows as JSON."""
    try:
        with quiet():
            found = [row for loss in TITLES for row in _measure(loss)]
    except BusyError as busy:
        print(busy)
        return BUSY
    print(json.dumps([dataclasses.asdict(row) for row in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
