"""`InMemory`: two data sets as arrays, the restarts of a plan on them, and their codes."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from bcnmf_jax.data.preparation import prepare
from bcnmf_jax.fitting.balanced import fit_balanced_restarts
from bcnmf_jax.fitting.callbacks import Callbacks
from bcnmf_jax.fitting.codes import SETTLED
from bcnmf_jax.fitting.fixed_basis import reduced_objective, transform
from bcnmf_jax.fitting.loop import fit
from bcnmf_jax.fitting.many import OnProgress, fit_restarts, part_of
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.fitting.result import Fit, result_name
from bcnmf_jax.fitting.sequential import fit_sequential, together
from bcnmf_jax.fitting.stop import NO_STEP, Stop
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.scale import restored, scaled
from bcnmf_jax.objectives import NMF, BackgroundFirst

MOST_RATIO = 1e6
"""Ratio of usages from which a component counts as absent from the background."""


class Restart(NamedTuple):
    """One fit, without its codes.

    Attributes
    ----------
    basis : ndarray (K, g)
        Target components first.
    usage : dict of ndarray (K,)
        Mean code of the samples of ``target``, and of ``background`` where the objective reads one.
    size : ndarray (K,)
        Squared norm of each component's part of the target, up to a common factor.
    diagnostics : dict
    steps : int
    result : str
    value : float
        Reduced objective; NaN where nothing is compared.
    """

    basis: np.ndarray
    usage: dict[str, np.ndarray]
    size: np.ndarray
    diagnostics: dict[str, Any]
    steps: int
    result: str
    value: float


class Sets(Protocol):
    """Target and background, ready to be fitted.

    Attributes
    ----------
    told : str
        Rows that the fit left out, in one line; empty where there are none.
    """

    told: str

    def restarts(
        self, plan: Plan, keys: Key[Array, " n"], stop: Stop, callbacks: Callbacks
    ) -> list:
        """A `Restart` from every key; ``callbacks`` is told how it goes."""
        ...

    def codes(self, reading: AbstractObjective, basis: np.ndarray) -> np.ndarray:
        """Codes of the target under a basis."""
        ...

    def explained(self, loss: AbstractLoss, basis: np.ndarray) -> float:
        """Explained variance of the target under a basis."""
        ...


class InMemory:
    """`Sets` of arrays: restarts are one compiled program."""

    def __init__(self, data: dict, weights: dict | None, mask: dict | None, *, new: bool = False):
        self.told, self.rows = "", prepare(data, weights, mask, constant=new)

    def restarts(self, plan, keys, stop, callbacks, *, compared: Stop | None = SETTLED):
        """As `Sets`; the codes that give a value stop by ``compared``, None for no value."""
        made, v = plan.build(), self.rows["target"].weights
        told = callbacks.stage("fitting")
        weights = None if v is None else np.asarray(v).max(1)
        if plan.objective == "balanced":
            return [summed_up(f, v, weights) for f, v in self._balanced(plan, keys, stop, told)]
        fits = self.fits(plan, keys, stop, told)
        values = [np.nan] * len(fits)
        if compared is not None:
            at = lambda f: float(reduced_objective(made, self.rows, f.blocks, stop=compared))  # noqa: E731
            values = [at(f) for f in fits]
        return [summed_up(f, v, weights) for f, v in zip(fits, values, strict=True)]

    def fits(
        self, plan: Plan, keys: Key[Array, " n"], stop: Stop, on_progress: OnProgress | None = None
    ) -> list[Fit]:
        """A fit from every key; ``on_progress`` is given the share that is done."""
        made, rank, count = plan.build(), plan.n_components, len(keys)
        if plan.objective == "balanced":
            return [f for f, _ in self._balanced(plan, keys, stop, on_progress)]
        if plan.objective != "sequential":
            found = fit_restarts(
                made, self.rows, rank, keys, stop, solver=plan.solver, on_progress=on_progress
            )
            return [found[r] for r in range(count)]
        assert isinstance(made, BackgroundFirst)
        if plan.start is not None:
            rows, unit = scaled(made, self.rows)
            one = together(made, rows, jnp.asarray(plan.start), plan.solver, stop, on_progress)
            return [restored(made, one, unit)]
        return [
            fit_sequential(
                made,
                self.rows,
                rank,
                key,
                solver=plan.solver,
                stop=stop,
                refit=plan.together,
                on_progress=part_of(on_progress, r, count),
            )
            for r, key in enumerate(keys)
        ]

    def _balanced(
        self, plan: Plan, keys: Key[Array, " n"], stop: Stop, on_progress: OnProgress | None
    ) -> list[tuple[Fit, float]]:
        made: Any = plan.build()
        return fit_balanced_restarts(
            made, self.rows, plan.n_components, keys, solver=plan.solver, stop=stop,
            background_rank=plan.n_background_components, on_progress=on_progress,
            basis=None if plan.start is None else jnp.asarray(plan.start),
        )  # fmt: skip

    def codes(self, reading, basis):
        return np.asarray(transform(reading, {"basis": basis}, self.rows))

    def explained(self, loss, basis):
        blocks = {"basis": basis, "target": self.codes(NMF(loss), basis)}
        found = fit(NMF(loss), self.rows, blocks, stop=NO_STEP)
        return float(found.diagnostics["x_explained"])


def summed_up(found: Fit, value: float, weights: np.ndarray | None) -> Restart:
    """A fit without its codes; ``weights (n,)`` of the target's samples, if any."""
    codes = jax.tree.map(np.asarray, found.blocks)
    basis, target = codes["basis"], codes["target"]
    v = np.ones(len(target)) if weights is None else weights
    usage = {"target": np.average(target, axis=0, weights=v)}
    # Where codes of the background leave the target components out, there are others that do not.
    background = codes.get("contrast", codes.get("background"))
    if background is not None:
        parts = background if isinstance(background, list) else [background]
        usage["background"] = np.concatenate(parts).mean(0)
    part = target / (target.max() or 1)  # squares of extreme codes are infinite
    size = np.einsum("n,nk,nk->k", v, part, part) * np.einsum("kg,kg->k", basis, basis)
    return Restart(
        basis, usage, size, {k: np.asarray(d)[()] for k, d in found.diagnostics.items()},
        int(found.steps), result_name(found.result), value,
    )  # fmt: skip


def best(restarts: list[Restart]) -> Restart:
    """The restart of lowest value among those with the best kind of result."""
    results = np.array([r.result for r in restarts])
    values = np.array([r.value for r in restarts])
    rank = np.select([results == "nonfinite", results == "collapsed"], [2, 1], 0)
    return restarts[np.lexsort((np.where(np.isfinite(values), values, np.inf), rank))[0]]


def by_ratio(target: np.ndarray, other: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The order of components by falling ratio of two usages; where the second is none, by size."""
    target, other = target.astype(float), other.astype(float)
    ratio = np.where(
        target > MOST_RATIO * other, MOST_RATIO, target / np.where(other > 0, other, 1)
    )
    return np.lexsort((-size, -ratio))


def ordered(restart: Restart, count: int) -> Restart:
    """A restart with its ``count`` target components by falling ratio of their usage in the target
    to that in the background; those without any there, or where there is none, by falling size."""
    target = restart.usage["target"][:count]
    other = restart.usage.get("background", np.zeros_like(target))[:count]
    order = np.arange(len(restart.basis))
    order[:count] = by_ratio(target, other, restart.size[:count])
    return restart._replace(
        basis=restart.basis[order],
        usage={k: u[order] for k, u in restart.usage.items()},
        size=restart.size[order],
    )
