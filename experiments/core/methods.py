"""Methods by name: `fits` gives the fits of a `Unit`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import monitoring

import bcnmf_jax as bj
from bcnmf_jax import baselines
from bcnmf_jax.datasets import Dataset
from bcnmf_jax.fitting.plan import Plan
from experiments.core.config import ConfigError
from experiments.core.floored import Floored
from experiments.core.registry import METHODS
from experiments.core.schema import Alpha, Config, Solver, Stop
from experiments.core.units import FITTED, Unit, values

NAMES = {"nmf": "nmf", "bcnmf": "contrastive", "published": "published"}
NAMES |= {"shared_target": "shared_target", "background_first": "background_first"}
"""Methods as the estimator calls their objectives."""
VALUED = bj.Stop(tol=1e-5, max_steps=30)
"""How codes are settled before the reduced objective is taken."""


def _combined(alpha: Any, loss: bj.AbstractLoss, overlap: Any, normalised: bool):
    return bj.objectives.CombinedBasis(overlap=overlap, loss=loss, normalised=normalised)


def maker(unit: Unit, data: dict) -> tuple[Callable[..., bj.AbstractObjective], dict[str, Any]]:
    """The objective of a unit as a function of alpha and loss, and its other arguments."""
    method = unit.method
    if method.method == "floored":
        return Floored, {}
    if method.method == "combined":
        misfit = 0.5 * np.square(data["target"]).sum()
        overlap = jnp.asarray(method.overlap * misfit)
        return _combined, {"overlap": overlap, "normalised": method.normalised}
    loss = FITTED[unit.loss or "frobenius"]
    plan = Plan(NAMES[method.method], 0.0, 1, method.extra, loss)
    return plan.make, plan.extra


@dataclass(frozen=True)
class Fitted:
    """One fit: the fields of its row that say what came out, and what is scored."""

    rank: int
    alpha: Alpha
    seed: int
    found: dict[str, Any]
    codes: np.ndarray
    components: np.ndarray
    shared: np.ndarray | None = None


def restart_keys(config: Config) -> jax.Array:
    """Restart r has ``fold_in(key, r)``: more restarts change none of the first ones."""
    key = jax.random.key(config.seed)
    return jax.vmap(lambda r: jax.random.fold_in(key, r))(jnp.arange(config.restarts))


def fits(unit: Unit, dataset: Dataset, keys: jax.Array, stop: Stop) -> Iterator[Fitted]:
    """Fit a unit at every restart."""
    its = METHODS[unit.method.method]
    if its.function is not None:
        yield from _outside(its.function, unit, dataset, keys)
    elif its.closed:
        yield from _linear(unit, dataset, len(keys))
    else:
        yield from _swept(unit, dataset, keys, stop)


def _outside(
    function: Callable[..., Any], unit: Unit, dataset: Dataset, keys: jax.Array
) -> Iterator[Fitted]:
    """A registered function at every setting and restart."""
    data = values(dataset, unit.scale)
    n, g = data["target"].shape
    for rank, alpha in unit.settings:
        own = unit.identity(dataset, rank, alpha)["alpha"]
        given = unit.method.settings | ({} if own is None else {"alpha": own})
        for seed in range(len(keys)):
            # Copies: the method may write into them, and others are fitted after it.
            target, background = (data[name].copy() for name in ("target", "background"))
            start = time.perf_counter()
            found = function(target, background, keys[seed], rank=rank, **given)
            pair = isinstance(found, list | tuple) and len(found) == 2 and np.ndim(found[0]) == 2
            try:
                codes = np.asarray(found[0] if pair else found, float)
                components = np.asarray(found[1] if pair else np.zeros((0, g)), float)
            except (TypeError, ValueError) as error:
                raise ConfigError(
                    f"{unit.method.method}: must give codes, or codes and components ({error})"
                ) from error
            spent = time.perf_counter() - start
            for name, made, shape in (
                ("codes", codes, (n, rank)), ("components", components, (len(components), g))
            ):  # fmt: skip
                if made.shape != shape:
                    raise ConfigError(
                        f"{unit.method.method}: {name} have shape {made.shape}, expected {shape}"
                    )
            finite = bool(np.isfinite(codes).all() and np.isfinite(components).all())
            said = {"result": "converged" if finite else "nonfinite", "steps": None}
            yield Fitted(rank, alpha, seed, said | {"seconds": spent}, codes, components)


def _linear(unit: Unit, dataset: Dataset, restarts: int) -> Iterator[Fitted]:
    """Closed forms: fitted once, at the largest rank, of which a smaller one has the first
    components; the restarts are those of the scores."""
    start = time.perf_counter()
    x, y = dataset.target, dataset.background
    widest = max(rank for rank, _ in unit.settings)
    if unit.method.method == "cpca":
        found = _cpca(unit, dataset, widest)
    else:
        form = {"pca": baselines.pca, "gcpca": baselines.gcpca}[unit.method.method]
        one = form(x, y, widest)
        found = {(rank, alpha): one for rank, alpha in unit.settings}
    spent = (time.perf_counter() - start) / len(unit.settings)
    for rank, alpha in unit.settings:
        fit = found[rank, alpha]
        said: dict[str, Any] = {"result": "converged", "steps": None, "seconds": spent}
        if alpha == "auto":
            ratio = len(x) / len(y)
            said |= {"alpha": fit.alpha, "alpha_total": fit.alpha * ratio}
        for seed in range(restarts):
            yield Fitted(rank, alpha, seed, said, fit.codes[:, :rank], fit.components[:rank])


def _cpca(unit: Unit, dataset: Dataset, widest: int) -> dict[tuple[int, Alpha], Any]:
    """One path for all contrasts; "auto" as `bcnmf_jax.baselines.cpca` has it: the middle one of
    the proposals at that rank, found without labels."""
    asked = [alpha for _, alpha in unit.settings if alpha != "auto"]
    auto = len(asked) < len(unit.settings)
    grid = list(baselines.CPCA_GRID) if auto else []
    alphas = [*grid, *(a for a in dict.fromkeys(asked) if a not in grid)]
    path = baselines.cpca_path(dataset.target, dataset.background, widest, alphas)
    found = {}
    for rank, alpha in unit.settings:
        at = alphas.index(alpha) if alpha != "auto" else _middle(path[: len(grid)], rank)
        found[rank, alpha] = path[at]
    return found


def _middle(path: list[baselines.Baseline], rank: int) -> int:
    cut = [baselines.Baseline(f.codes[:, :rank], f.components[:rank], f.alpha) for f in path]
    medoids = baselines.cpca_medoids(cut)
    return medoids[(len(medoids) - 1) // 2]


@lru_cache
def _solver(solver: Solver) -> bj.AbstractSolver:
    """One object per solver: optax's transformations are functions, and a new one compiles anew."""
    if solver.name == "mu":
        return bj.MU(damping=solver.damping, inner_steps=solver.inner_steps)
    return bj.solvers.Optax(optax.adam(solver.learning_rate), solver.parametrisation)


FIRST = 2
"""Restarts whose reduced objective is taken under several floors: it takes longer than the fit."""

_compiled = [0.0]
"""Seconds that this process has spent in the compiler, so that times are those of fits."""


def _listen(event: str, duration_secs: float, **_: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _compiled[0] += duration_secs


monitoring.register_event_duration_secs_listener(_listen)


def _swept(unit: Unit, dataset: Dataset, keys: jax.Array, stop: Stop) -> Iterator[Fitted]:
    """Ranks x restarts (and alphas, where they are fitted together) in one compiled sweep."""
    method, data = unit.method, values(dataset, unit.scale)
    ranks = sorted({rank for rank, _ in unit.settings})
    alphas: list[Alpha] = list(dict.fromkeys(alpha for _, alpha in unit.settings))
    said = [unit.identity(dataset, ranks[0], alpha)["alpha"] for alpha in alphas]
    (make, more), loss = maker(unit, data), FITTED[unit.loss or "frobenius"]
    start, compiled = time.perf_counter(), _compiled[0]
    fit = bj.sweep(
        make,
        data,
        alphas=[0.0 if alpha is None else alpha for alpha in said],
        ranks=ranks,
        keys=keys,
        loss=loss,
        solver=_solver(unit.solver),
        stop=bj.Stop(tol=stop.tol, max_steps=stop.max_steps),
        method=unit.init,
        mask=dataset.mask,
        **more,
    )
    arrays, static = eqx.partition(jax.block_until_ready(fit), eqx.is_array)
    spent = time.perf_counter() - start - (_compiled[0] - compiled)
    fit = eqx.combine(jax.device_get(arrays), static)
    results, basis = bj.result_name(fit.result), fit.blocks["basis"]
    basis = basis["target"] if method.method == "combined" else basis
    for rank, alpha in unit.settings:
        for seed in range(len(keys)):
            at = (alphas.index(alpha), ranks.index(rank), seed)
            told = {k: v[at].item() for k, v in fit.diagnostics.items() if k != "collapsed"}
            told |= {"result": str(results[at]), "steps": fit.steps[at].item()}
            told["seconds"] = spent / results.size
            if method.floors and seed < FIRST:
                objective = make(alpha=said[at[0]], loss=loss, **more)
                told["values"] = at_floors(objective, data, fit.blocks["basis"][at], method.floors)
            codes = fit.blocks["target"][at]
            yield Fitted(
                rank,
                alpha,
                seed,
                told,
                codes[:, :rank],
                basis[at][:rank],
                codes[:, ranks[-1] :] if unit.extra else None,
            )


def at_floors(
    objective: bj.AbstractObjective, data: dict, basis: np.ndarray, floors: list[float]
) -> dict[str, float]:
    """The reduced objective of a basis under each floor of the reconstruction."""

    def value(eps: float) -> float:
        loss = dataclasses.replace(objective.loss, eps=eps)  # pyright: ignore
        held = dataclasses.replace(objective, loss=loss)
        return float(bj.reduced_objective(held, data, {"basis": basis}, stop=VALUED))

    return {f"{eps:g}": value(eps) for eps in floors}
