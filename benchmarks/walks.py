"""Programs that walk from a start to a solution, and what the game is worth along the way."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax import lax
from sklearn.decomposition import NMF as SklearnNMF

import bcnmf_jax as bj
from bcnmf_jax.fitting.start import about_independence

GRID = (1, 2, 3, 4, 6, 8, 10, 13, 17, 22, 30, 40, 55, 75, 100, 140, 200, 300)
GAP = 0.01
DESCENT = 75
"""Most steps of scikit-learn's coordinate descent, each of which is a sweep over all entries."""


@dataclass(frozen=True)
class Problem:
    """What is minimised, on which data, and the program that others would use."""

    name: str
    loss: str
    objective: Any
    data: dict
    peer: str | None


@dataclass
class Path:
    """Seconds since the start and the basis, at every look; values are filled in as asked for."""

    start: dict
    seconds: list[float]
    bases: list[np.ndarray]
    values: dict[int, float] = field(default_factory=dict)

    def value(self, look: int, at: Callable[[np.ndarray], float]) -> float:
        """The reduced objective at a look (-1 for the last)."""
        look %= len(self.bases)
        if look not in self.values:
            self.values[look] = at(self.bases[look])
        return self.values[look]


@eqx.filter_jit
def advance(objective, data, solver, blocks, state, count):
    """``count`` steps."""
    step = lambda _, c: solver.step(objective, data, *c)  # noqa: E731
    return lax.fori_loop(0, count, step, (blocks, state))


@eqx.filter_jit
def begun(objective, data, blocks):
    """The quadratic start, from the blocks of a random one."""
    return about_independence(objective, data, blocks)


class Ours:
    """One of this package's solvers; ``quadratic`` where the quadratic start goes before it, on the
    clock."""

    def __init__(self, solver: Any, quadratic: bool = False):
        self.solver, self.quadratic = solver, quadratic

    def walk(self, problem: Problem, start: dict, looks: Sequence[int]) -> Path:
        """The basis at every look, and the seconds to it."""
        rows, solver = bj.prepare(problem.data), self.solver
        path, spent, before, blocks = Path(start, [], []), 0.0, 0, start
        if self.quadratic:
            jax.block_until_ready(begun(problem.objective, rows, start))
            clock = time.perf_counter()
            blocks = jax.block_until_ready(begun(problem.objective, rows, start))
            spent = time.perf_counter() - clock
            path.seconds.append(spent)
            path.bases.append(np.asarray(blocks["basis"]))
        state, one = solver.init(problem.objective, rows, blocks), jnp.asarray(1)
        jax.block_until_ready(advance(problem.objective, rows, solver, blocks, state, one))
        for steps in looks:
            count = jnp.asarray(steps - before)
            clock = time.perf_counter()
            blocks, state = jax.block_until_ready(
                advance(problem.objective, rows, solver, blocks, state, count)
            )
            spent, before = spent + time.perf_counter() - clock, steps
            path.seconds.append(spent)
            path.bases.append(np.asarray(blocks["basis"]))
        return path

    def seconds(self, problem: Problem, path: Path, look: int, looks: Sequence[int]) -> float:
        """Seconds to a look."""
        return path.seconds[look]


class Sklearn:
    """scikit-learn's coordinate descent for squared error."""

    def __init__(self, sparse: bool):
        self.sparse = sparse

    def walk(self, problem: Problem, start: dict, looks: Sequence[int]) -> Path:
        """Look after look, each from where the last one ended: the solver has no memory."""
        path, at, spent, before = Path(start, [], []), start, 0.0, 0
        for steps in [n for n in looks if n <= DESCENT]:
            took, at = sklearn_fit(problem, at, steps - before, self.sparse)
            spent, before = spent + took, steps
            path.seconds.append(spent)
            path.bases.append(at["basis"])
        return path

    def seconds(self, problem: Problem, path: Path, look: int, looks: Sequence[int]) -> float:
        """Seconds of one fit to a look, without the calls in between."""
        return min(
            path.seconds[look], sklearn_fit(problem, path.start, looks[look], self.sparse)[0]
        )


def sklearn_fit(problem: Problem, start: dict, steps: int, sparse: bool) -> tuple[float, dict]:
    """Seconds of scikit-learn's NMF from a start (coordinate descent, or multiplicative updates for
    KL), and where it ends."""
    x: Any = problem.data["target"]
    x = scipy.sparse.csr_matrix(x) if sparse else x
    kind = {"frobenius": "cd", "kl": "mu"}[problem.loss]
    loss = {"frobenius": "frobenius", "kl": "kullback-leibler"}[problem.loss]
    model = SklearnNMF(
        len(start["basis"]), init="custom", solver=kind, beta_loss=loss, tol=0, max_iter=steps
    )
    h, w = (np.array(start[k], "float32") for k in ("target", "basis"))
    clock = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        h = model.fit_transform(x, W=h, H=w)
    return time.perf_counter() - clock, {"target": h, "basis": model.components_}


def arrival(values: Callable[[int], float], count: int, best: float, worst: float) -> int | None:
    """A look with a small gap where the one before has none, found by halving; None if the end has
    no small gap."""
    near = lambda i: values(i) - best <= GAP * (worst - best)  # noqa: E731
    if not near(count - 1):
        return None
    before, at = -1, count - 1
    while at - before > 1:
        middle = (before + at) // 2
        before, at = (before, middle) if near(middle) else (middle, at)
    return at


def arrivals(
    paths: dict[str, list[Path]],
    at: Callable[[np.ndarray], float],
    worst: Sequence[float],
    whole: int = 0,
) -> tuple[dict[str, list[int | None]], float]:
    """For every program and start the look at which it arrives, and the best value of all.

    Values are taken on the way to the arrival, and at the end (of the first ``whole`` starts at
    every look); what is found lower is the new best.
    """
    every = [path for many in paths.values() for path in many]
    for path in every:
        path.value(-1, at)
    for path in [path for many in paths.values() for path in many[:whole]]:
        for look in range(len(path.bases)):
            path.value(look, at)
    while True:
        best = min(min(path.values.values()) for path in every)
        found = {
            name: [
                arrival(lambda i, p=p: p.value(i, at), len(p.bases), best, w)
                for p, w in zip(many, worst, strict=True)
            ]
            for name, many in paths.items()
        }
        if min(min(path.values.values()) for path in every) >= best:
            return found, best
