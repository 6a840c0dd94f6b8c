"""On the accelerator that jax finds: an iteration against the roofline, precisions, restarts.

Runs on a CPU too (smaller), which says that it works and nothing about an accelerator.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

import bcnmf_jax as bj
from benchmarks.iteration import LOSSES, PRODUCTS, TITLES, counts, disagreement
from benchmarks.timing import Row, machine, product_rate, versions

LARGE, SMALL = (60_000, 20_000, 3_000), (1_500, 500, 600)
RANKS = (20, 100)
PRECISIONS = ("highest", "tensorfloat32", "bfloat16")
CONTRAST = 0.25
READS = {"frobenius": 2, "kl": 1}
"""How often an iteration reads the data: squared error takes all rows at once, for the codes and
for the stats; KL visits chunks that stay in the cache."""
RESTARTS = 16
FEW, MANY = 10, 60
CHECKED = 50
"""Steps after which precisions are compared."""


def bandwidth(size: int = 2**28) -> float:
    """Rate at which the device reads and writes a large array, in GB/s (best of four)."""
    a = jnp.ones(size if jax.default_backend() != "cpu" else size // 16, "float32")
    double = jax.jit(lambda a: 2 * a)

    def once() -> float:
        start = time.perf_counter()
        double(a).block_until_ready()
        return time.perf_counter() - start

    once()
    return 2 * a.nbytes / min(once() for _ in range(4)) / 1e9


def _rate(precision: str) -> float:
    with jax.default_matmul_precision(precision):
        return product_rate()


def _stop(steps: int) -> bj.Stop:
    return bj.Stop(tol=0.0, max_steps=steps, every=10_000)


def _per_step(work) -> float:
    """Seconds of one step: the difference of a longer and a shorter run, median of three."""

    def timed(steps: int) -> float:
        start = time.perf_counter()
        jax.block_until_ready(work(steps).blocks)
        return time.perf_counter() - start

    timed(FEW)
    timed(MANY)
    return float(np.median([timed(MANY) - timed(FEW) for _ in range(3)])) / (MANY - FEW)


def rows() -> list[Row]:
    """Per loss, rank and precision: seconds against the roofline, and the loss of accuracy."""
    n, m, g = SMALL if jax.default_backend() == "cpu" else LARGE
    rng = np.random.default_rng(0)
    about = {"machine": machine(), "versions": versions()}
    memory, rates = bandwidth(), {p: _rate(p) for p in PRECISIONS}
    found = [
        Row("device: read and write", memory, None, None, "", None, "GB/s", **about),
        *(
            Row(f"device: product, {p}", rate, None, None, "", None, "GFLOP/s", **about)
            for p, rate in rates.items()
        ),
    ]
    for rank in RANKS:
        basis = rng.gamma(0.1, 1.0, (rank, g))
        data = {
            "target": jnp.asarray(counts(rng, n, basis)),
            "background": jnp.asarray(counts(rng, m, basis)),
        }
        for loss, title in TITLES.items():
            objective = bj.Contrastive(alpha=CONTRAST, loss=LOSSES[loss])
            start = bj.init(objective, data, rank=rank, key=jax.random.key(0))
            exact = None
            for precision in PRECISIONS:
                name = f"{title}, {n:,} + {m:,} x {g:,}, K = {rank}, {precision}"
                with jax.default_matmul_precision(precision):
                    fit = lambda steps: bj.fit(objective, data, start, stop=_stop(steps))  # noqa: E731, B023
                    seconds = _per_step(fit)
                    end = np.asarray(fit(CHECKED).blocks["basis"])
                exact = end if exact is None else exact
                bytes_ = 4 * (n + m) * g * READS[loss]
                work = 2 * PRODUCTS[loss] * (n + m) * g * rank
                least = max(bytes_ / memory, work / rates[precision]) / 1e9
                found += [
                    Row(name, seconds, least, least / seconds, "", None, "s, roofline", **about),
                    Row(
                        f"{name}: W against highest", disagreement(end, exact), None, None, "",
                        None, f"of max after {CHECKED}", **about,
                    ),
                ]  # fmt: skip
            found.append(_restarts(title, loss, data, rank, about))
    return found


def _restarts(title, loss, data, rank, about) -> Row:
    """Seconds of a restart's iteration in a sweep, against a single fit's."""
    objective = bj.Contrastive(alpha=CONTRAST, loss=LOSSES[loss])
    start = bj.init(objective, data, rank=rank, key=jax.random.key(0))
    keys = jax.random.split(jax.random.key(0), RESTARTS)
    many = _per_step(
        lambda steps: bj.sweep(
            bj.Contrastive, data, alphas=[CONTRAST], ranks=[rank], keys=keys, loss=LOSSES[loss],
            stop=_stop(steps),
        )
    )  # fmt: skip
    one = _per_step(lambda steps: bj.fit(objective, data, start, stop=_stop(steps)))
    ours, name = many / RESTARTS, f"{title}, K = {rank}: {RESTARTS} restarts, peer: a fit"
    return Row(name, ours, one, one / ours, "", None, "s/iteration", **about)
