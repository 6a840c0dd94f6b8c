"""A sweep of 64 restarts x 8 contrasts: seconds of a restart's iteration against a single fit's."""

import resource
import time

import jax
import numpy as np

import bcnmf_jax as bj
from benchmarks.iteration import LOSSES, PRODUCTS, TITLES, counts
from benchmarks.timing import Row, alternate, machine, quiet, versions

TARGET, BACKGROUND, FEATURES, RANK = 1000, 500, 1000, 20
ALPHAS, RESTARTS = np.linspace(0.05, 0.4, 8), 64
FEW, MANY = 2, 6
"""Steps of the two runs whose difference is timed."""
SINGLE = 20
"""How many times more steps the single fit takes, whose iteration is short."""
MOST = {"frobenius": 0.6, "kl": 1.0}
SHARE = 0.8
ROUNDS = 3


def _stop(steps: int) -> bj.Stop:
    return bj.Stop(tol=0.0, max_steps=steps, every=1000)


def _seconds(work, few: int, many: int) -> float:
    """Seconds of one step: the difference of ``work(many)`` and ``work(few)``."""
    times = []
    for steps in (few, many):
        start = time.perf_counter()
        jax.block_until_ready(work(steps).blocks)
        times.append(time.perf_counter() - start)
    return (times[1] - times[0]) / (many - few)


def rows() -> list[Row]:
    """Per loss: the share of a single fit's iteration, the rate, and memory by batch size.

    Raises
    ------
    BusyError
        If the machine's speed changed meanwhile.
    """
    rng = np.random.default_rng(0)
    basis = rng.gamma(0.1, 1.0, (RANK, FEATURES))
    data = {
        "target": jax.numpy.asarray(counts(rng, TARGET, basis)),
        "background": jax.numpy.asarray(counts(rng, BACKGROUND, basis)),
    }
    about = {"machine": machine(), "versions": versions()}
    found = _memory(data, about)
    with quiet() as rate:
        for loss in TITLES:
            found += _measure(loss, data, rate, about)
    return found


def _sweep(loss, data, steps, restarts=RESTARTS, batch=None):
    return bj.sweep(
        bj.Contrastive, data, alphas=ALPHAS, ranks=[RANK], loss=LOSSES[loss],
        keys=jax.random.split(jax.random.key(0), restarts), solver=bj.MU(), stop=_stop(steps),
        batch_size=batch,
    )  # fmt: skip


def _measure(loss, data, rate, about) -> list[Row]:
    objective = bj.Contrastive(alpha=ALPHAS[0], loss=LOSSES[loss])
    start = bj.init(objective, data, rank=RANK, key=jax.random.key(0))
    fits = len(ALPHAS) * RESTARTS

    def one(steps: int):
        return bj.fit(objective, data, start, solver=bj.MU(), stop=_stop(steps))

    took = alternate(
        {
            "sweep": lambda: _seconds(lambda n: _sweep(loss, data, n), FEW, MANY) / fits,
            "single": lambda: _seconds(one, SINGLE * FEW, SINGLE * MANY),
        },
        ROUNDS,
    )
    ours, single = (float(np.median(took[name])) for name in ("sweep", "single"))
    share = float(np.median(took["sweep"] / took["single"]))
    flops = 2 * PRODUCTS[loss] * (TARGET + BACKGROUND) * FEATURES * RANK / ours / 1e9
    met = bool(share <= MOST[loss] or (loss == "frobenius" and flops >= SHARE * rate))
    target = f"peer / ours >= {1 / MOST[loss]:.3g}"
    if loss == "frobenius":
        target += f", or {SHARE:.0%} of the product rate"
    name = f"{TITLES[loss]}, {RESTARTS} restarts x {len(ALPHAS)} contrasts"
    return [
        Row(f"{name}, peer: a fit", ours, single, 1 / share, target, met, "s/iteration", **about),
        Row(f"{name}, matrix product", flops, rate, flops / rate, "", None, "GFLOP/s", **about),
    ]


def _memory(data, about) -> list[Row]:
    """Growth of the peak resident memory, from narrow to wide batches."""
    found = []
    for batch in (1, None, RESTARTS):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        jax.block_until_ready(_sweep("kl", data, 1, batch=batch).blocks)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        name = f"KL, batch_size={batch}: further peak memory"
        found.append(Row(name, grown, None, None, "", None, "MiB", **about))
    return found
