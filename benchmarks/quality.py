"""Seconds to a solution: the median time to a gap of 1 %, ours, plain MU, the published loop, NMF.

The gap of a basis W is ``(V(W) - V*) / (V(start) - V*)``, V the game value (codes at their
optimum, outside the clock), V* the best that any solver found from any start; *never* where the
median start does not get there within the steps. FULL=1 takes 20
starts and 1,000 steps, else 3 and 300. MIX-seq and MNIST need ``BCNMF_DATA``.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import lax
from sklearn.decomposition import NMF as SklearnNMF

import bcnmf_jax as bj
from bcnmf_jax.solvers import extrapolated
from bcnmf_jax.transform import SETTLED
from benchmarks.peer import Peer
from benchmarks.timing import FULL, Row, machine, quiet, versions

STARTS, STEPS = (20, 1000) if FULL else (3, 300)
GRID = (1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30, 40, 55, 75, 100, 140, 200, 300, 420, 600, 1000)
LOOKS = [n for n in GRID if n <= STEPS]
GAP = 0.01
RANK, BACKGROUND_RANK = 5, 15
PLAIN = bj.MU()
FAST = {"frobenius": extrapolated(False), "kl": extrapolated(True)}
LOSSES: dict[str, bj.AbstractLoss] = {"frobenius": bj.Frobenius(), "kl": bj.KL()}


@dataclass(frozen=True)
class Problem:
    """What is minimised, on which data, and the program that others would use."""

    name: str
    loss: str
    objective: Any
    data: dict
    peer: str | None


def problems() -> Iterator[Problem]:
    """Squared error at two contrasts, KL where it is bounded, background first, plain NMF."""
    sources: list[Callable[[], Any]] = [lambda: bj.datasets.beta_simulation(beta=8)]
    if os.environ.get("BCNMF_DATA"):
        sources += [bj.datasets.mixseq, lambda: bj.datasets.mnist_on_photos(digits=2)]
    for source in sources:
        dataset = source()
        for loss, made in LOSSES.items():
            data = dataset.data("log" if loss == "frobenius" else "counts")
            for alpha in (0.9, 1.5) if loss == "frobenius" else (0.5,):
                held = bounded(data, alpha) if loss == "kl" else data
                name, objective = f"contrast {alpha}", bj.Contrastive(alpha=alpha, loss=made)
                yield Problem(f"{dataset.name}, {name}", loss, objective, held, "published")
            first = bj.BackgroundFirst(background_rank=BACKGROUND_RANK, loss=made)
            yield Problem(f"{dataset.name}, background first", loss, first, data, None)
            target = {"target": data["target"]}
            yield Problem(f"{dataset.name}, NMF", loss, bj.NMF(made), target, "scikit-learn")
    yield sparse_problem("frobenius")
    yield sparse_problem("kl")


def bounded(data: dict, alpha: float) -> dict:
    """The features whose background total, times the contrast, is below the target's."""
    x, y = data["target"], data["background"]
    keep = alpha * len(x) / len(y) * y.sum(0) <= x.sum(0)
    return {name: values[:, keep] for name, values in data.items()}


def sparse_problem(loss: str) -> Problem:
    """Plain NMF of 7 % dense counts, which scikit-learn takes as a sparse matrix."""
    rng = np.random.default_rng(0)
    mean = rng.gamma(0.3, 1.0, (4000, RANK)) @ rng.gamma(0.1, 1.0, (RANK, 2000))
    x = rng.poisson(mean * (0.08 / mean.mean())).astype("float32")
    x = x[:, x.any(0)]
    name = f"{(x > 0).mean():.0%} dense counts, NMF"
    return Problem(name, loss, bj.NMF(LOSSES[loss]), {"target": x}, "scikit-learn, sparse")


@eqx.filter_jit
def advance(objective, data, solver, blocks, state, count):
    """``count`` steps."""
    step = lambda _, c: solver.step(objective, data, *c)  # noqa: E731
    return lax.fori_loop(0, count, step, (blocks, state))


Path_ = list[tuple[float, np.ndarray]]
"""Seconds since the start and the basis, at every look."""


def walk(problem: Problem, solver: Any, start: dict) -> Path_:
    """The basis at every look."""
    rows = bj.prepare(problem.data)
    found, spent, before = [], 0.0, 0
    blocks, state = start, solver.init(problem.objective, rows, start)
    jax.block_until_ready(advance(problem.objective, rows, solver, blocks, state, jnp.asarray(1)))
    for steps in LOOKS:
        clock = time.perf_counter()
        blocks, state = jax.block_until_ready(
            advance(problem.objective, rows, solver, blocks, state, jnp.asarray(steps - before))
        )
        spent, before = spent + time.perf_counter() - clock, steps
        found.append((spent, np.asarray(blocks["basis"])))
    return found


def walk_sklearn(problem: Problem, start: dict) -> Path_:
    """scikit-learn's NMF from the same start, fitted anew up to every look."""
    x: Any = problem.data["target"]
    if problem.peer == "scikit-learn, sparse":
        x = scipy.sparse.csr_matrix(x)
    kind = {"frobenius": "cd", "kl": "mu"}[problem.loss]
    loss = {"frobenius": "frobenius", "kl": "kullback-leibler"}[problem.loss]
    found = []
    for steps in LOOKS:
        model = SklearnNMF(
            len(start["basis"]), init="custom", solver=kind, beta_loss=loss, tol=0, max_iter=steps
        )
        h, w = (np.array(start[k], "float32") for k in ("target", "basis"))
        clock = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            model.fit_transform(x, W=h, H=w)
        found.append((time.perf_counter() - clock, model.components_))
    return found


def value(problem: Problem, basis: np.ndarray) -> float:
    """The game value at a basis."""
    return float(bj.game_value(problem.objective, problem.data, {"basis": basis}, stop=SETTLED))


def arrival(values: Sequence[float], best: float, worst: float) -> int | None:
    """The first look with a small gap; None if there is none. V may rise along a path."""
    near = (i for i, v in enumerate(values) if v - best <= GAP * (worst - best))
    return next(near, None)


def median_seconds(paths: list[Path_], looks: list[int | None]) -> float:
    """Median over starts of the seconds to the gap; infinite for one that never got there."""
    pairs = zip(paths, looks, strict=True)
    return float(np.median([np.inf if at is None else path[at][0] for path, at in pairs]))


def measure(problem: Problem, peer_seconds: float | None, about: dict) -> list[Row]:
    """Median seconds to the gap: ours, and how many times slower plain MU and the peer are."""
    programs: dict[str, Callable[[dict], Path_]] = {
        "ours": lambda start: walk(problem, FAST[problem.loss], start),
        "plain MU": lambda start: walk(problem, PLAIN, start),
    }
    if problem.peer and problem.peer.startswith("scikit-learn"):
        programs[problem.peer] = lambda start: walk_sklearn(problem, start)
    starts = [
        bj.init(problem.objective, problem.data, rank=RANK, key=jax.random.key(i))
        for i in range(STARTS)
    ]
    walks: dict[str, list[Path_]] = {name: [] for name in programs}
    for start in starts:  # in turn, so that all see the same neighbours
        for name, program in programs.items():
            walks[name].append(program(start))
    values = {
        name: [[value(problem, basis) for _, basis in path] for path in paths]
        for name, paths in walks.items()
    }
    best = min(v for paths in values.values() for path in paths for v in path)
    worst = [value(problem, np.asarray(start["basis"])) for start in starts]
    looks = {
        name: [arrival(v, best, w) for v, w in zip(paths, worst, strict=True)]
        for name, paths in values.items()
    }
    times = {name: median_seconds(walks[name], looks[name]) for name in walks}
    if peer_seconds is not None:  # plain MU is the published update: as many iterations
        steps = [np.inf if at is None else LOOKS[at] for at in looks["plain MU"]]
        times["published loop"] = float(np.median(steps)) * peer_seconds
    return list(compare(problem, times, about))


def compare(problem: Problem, times: dict[str, float], about: dict) -> Iterator[Row]:
    """Rows of ours against every other program; a target is judged only where one of both came."""
    ours = times.pop("ours")
    asked: dict[str, float | None] = {"plain MU": 2.0, "published loop": 50.0}
    if problem.peer and problem.peer.startswith("scikit-learn"):
        asked = {"plain MU": None, problem.peer: 1.0}
    for name, theirs in times.items():
        came, target = np.isfinite([ours, theirs]), asked[name]
        text = "" if target is None else f">= {target:g}"
        met = None if target is None or not came.any() else bool(theirs >= target * ours)
        title = f"{problem.name}, {problem.loss}: {name}"
        title += "" if came.all() else f" ({('ours', name)[int(came[0])]} not within the steps)"
        ratio = theirs / ours if came.all() else None
        shown = [t if ok else None for t, ok in zip((ours, theirs), came, strict=True)]
        yield Row(title, shown[0], shown[1], ratio, text, met, f"s to {GAP:.0%}", **about)


def published_seconds(problem: Problem, folder: Path) -> float:
    """Seconds of one iteration of the published loop on a problem's data."""
    start = bj.init(problem.objective, problem.data, rank=RANK, key=jax.random.key(0))
    x, y = problem.data["target"], problem.data["background"]
    arrays = {"X": x, "Y": y, "W": start["basis"], "H": start["target"], "G": start["background"]}
    a = float(problem.objective.alpha) * len(x) / len(y)
    with Peer({**arrays, "a": a}, folder) as peer:
        return peer.seconds(problem.loss, "published", steps=7)


def rows() -> list[Row]:
    """All problems.

    Raises
    ------
    BusyError
        If the machine's speed changed meanwhile.
    SystemExit
        If there is no PyTorch to time against.
    """
    found: list[Row] = []
    about = {"machine": machine(), "versions": versions()}
    with tempfile.TemporaryDirectory() as folder, quiet():
        for problem in problems():
            published = problem.peer == "published"
            seconds = published_seconds(problem, Path(folder)) if published else None
            found += measure(problem, seconds, about)
    return found
