"""Seconds to a solution: the median time to a gap of 1 %, ours, plain MU, the published loop, NMF.

The gap of a basis W is ``(V(W) - V*) / (V(start) - V*)``, V the reduced objective (codes at their
optimum, outside the clock), V* the best that any program found from any start; *never* where the
median start does not get there within the steps. All starts of background first share the basis of
the background. A program that leaves the gap again by its last step never came. Compilation is
outside the clock. The published loop and scikit-learn's multiplicative updates make the steps of
plain MU, at their own seconds a step. FULL=1 takes 20 starts, else 3; MIX-seq and MNIST need
``BCNMF_DATA``.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sklearn

import bcnmf_jax as bj
from bcnmf_jax.solvers.default import default_solver
from benchmarks.peer import Peer
from benchmarks.timing import FULL, Row, machine, quiet, versions
from benchmarks.walks import GAP, GRID, Ours, Problem, Sklearn, arrivals, sklearn_fit
from benchmarks.walks import Path as Walk

STARTS, STEPS = 20 if FULL else 3, 200
LOOKS = [n for n in GRID if n <= STEPS]
RANK, BACKGROUND_RANK = 5, 15
VALUED = bj.Stop(tol=1e-5, max_steps=200)
"""How codes are re-optimised: it leaves V a little too high, for all programs alike."""
CURVES = 1 if not FULL else 3
"""Starts of which every look is valued, for the pictures."""
TIMED = 9
"""Steps of which a peer's seconds a step are the median, or the mean of five times as many."""
LOSSES: dict[str, bj.AbstractLoss] = {"frobenius": bj.Frobenius(), "kl": bj.KL()}


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


def starting(problem: Problem) -> list[dict]:
    """The starts; components that are frozen are those of the first."""
    objective, data = problem.objective, problem.data
    keys = (jax.random.key(i) for i in range(STARTS))
    starts = [bj.init(objective, data, rank=RANK, key=key) for key in keys]
    frozen = starts[0]["basis"][RANK:]
    return [{**s, "basis": jnp.concatenate([s["basis"][:RANK], frozen])} for s in starts]


def measure(problem: Problem, peer_seconds: float | None, about: dict) -> list[Row]:
    """Median seconds to the gap: ours, and how many times slower plain MU and the peer are."""
    fast = default_solver(problem.objective, bj.prepare(problem.data))
    quadratic = problem.loss == "kl"
    programs: dict[str, Ours | Sklearn] = {
        "ours": Ours(fast, quadratic),
        "plain MU": Ours(bj.MU()),
    }
    if problem.peer and problem.peer.startswith("scikit-learn") and problem.loss == "frobenius":
        programs[problem.peer] = Sklearn(sparse="sparse" in problem.peer)

    # Where the contrast is 0, the background adds nothing to V.
    alone = not np.any(getattr(problem.objective, "alpha", 0.0))
    valued = {"target": problem.data["target"]} if alone else problem.data

    def at(basis: np.ndarray) -> float:
        found = bj.reduced_objective(problem.objective, valued, {"basis": basis}, stop=VALUED)
        return float(found)

    starts = starting(problem)
    walks: dict[str, list[Walk]] = {name: [] for name in programs}
    for start in starts:  # in turn, so that all see the same neighbours
        for name, program in programs.items():
            walks[name].append(program.walk(problem, start, LOOKS))
    worst = [at(np.asarray(start["basis"])) for start in starts]
    looks, best = arrivals(walks, at, worst, whole=CURVES)
    times = {
        name: [
            np.inf if look is None else programs[name].seconds(problem, path, look, LOOKS)
            for path, look in zip(walks[name], looks[name], strict=True)
        ]
        for name in programs
    }
    if peer_seconds is not None:  # plain MU is the update of the peer: as many iterations
        name = "published loop" if problem.peer == "published" else str(problem.peer)
        steps = [np.inf if look is None else LOOKS[look] for look in looks["plain MU"]]
        times[name] = [n * peer_seconds for n in steps]
    curves = {name: curve(paths[:CURVES], at, worst, best) for name, paths in walks.items()}
    medians = {name: float(np.median(seconds)) for name, seconds in times.items()}
    return list(compare(problem, medians, about, curves))


def curve(paths: list[Walk], at, worst: list[float], best: float) -> list[tuple[float, float]]:
    """Median seconds and median gap at every look."""
    found = []
    for i in range(len(paths[0].bases)):
        gaps = [(p.value(i, at) - best) / (w - best) for p, w in zip(paths, worst, strict=False)]
        seconds = [p.seconds[i] for p in paths]
        found.append((float(np.median(seconds)), float(np.median(gaps))))
    return found


def compare(
    problem: Problem, times: dict[str, float], about: dict, curves: dict | None = None
) -> Iterator[Row]:
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
        drawn = {k: v for k, v in (curves or {}).items() if k in ("ours", name)}
        yield Row(
            title, shown[0], shown[1], ratio, text, met, f"s to {GAP:.0%}", **about, curves=drawn
        )


def step_seconds(problem: Problem, folder: Path) -> float | None:
    """Seconds of one step of a peer that makes the steps of plain MU; None where there is none."""
    if problem.peer is None or (problem.peer != "published" and problem.loss != "kl"):
        return None
    start = bj.init(problem.objective, problem.data, rank=RANK, key=jax.random.key(0))
    if problem.peer != "published":
        sparse = "sparse" in problem.peer
        took = [sklearn_fit(problem, start, TIMED, sparse)[0] for _ in range(5)]
        return float(np.median(took)) / TIMED
    x, y = problem.data["target"], problem.data["background"]
    arrays = {"X": x, "Y": y, "W": start["basis"], "H": start["target"], "G": start["background"]}
    a = float(problem.objective.alpha) * len(x) / len(y)
    with Peer({**arrays, "a": a}, folder) as peer:
        return peer.seconds(problem.loss, "published", steps=TIMED)


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
    peers = {"scikit-learn": sklearn.__version__}
    about = {"machine": machine(), "versions": versions(**peers)}
    with tempfile.TemporaryDirectory() as folder, quiet():
        begun = time.perf_counter()
        for problem in problems():
            found += measure(problem, step_seconds(problem, Path(folder)), about)
            spent = time.perf_counter() - begun
            print(f"{spent:5.0f} s  {problem.name}, {problem.loss}", file=sys.stderr, flush=True)
    return found
