"""`Streamed`: two data sets that are read chunk by chunk, the restarts of a plan on them, and their
codes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from bcnmf_jax.data.readers import source
from bcnmf_jax.data.rows import is_rows
from bcnmf_jax.data.sources import CHUNK_ROWS
from bcnmf_jax.data.summaries import summarize
from bcnmf_jax.fitting.callbacks import Callbacks
from bcnmf_jax.fitting.plan import Plan
from bcnmf_jax.fitting.result import Fit
from bcnmf_jax.fitting.stop import NO_STEP, Stop
from bcnmf_jax.inference.restarts import InMemory, Restart, best, summed_up
from bcnmf_jax.objectives import NMF
from bcnmf_jax.streaming.balanced import balanced_of
from bcnmf_jax.streaming.driver import Progress, check_streamed, stream
from bcnmf_jax.streaming.fixed_basis import COMPARED, reduced_objective, transform
from bcnmf_jax.streaming.parts import DataSets
from bcnmf_jax.streaming.sample import sample, sample_rows, weighs_more

PASSES = 10
"""Most passes over all rows by which the fit of a sample settles."""
LOOK = 5
"""Passes between looks."""


class Streamed:
    """`Sets` of which some are sparse, in files, or of many rows, which are never all made dense.

    Restarts are fits in memory: of all rows where these are few (`sample_rows`), else of a sample,
    of which the best settles by a few passes over all rows. Where these are many and a penalty
    would weigh more on fewer, every restart is a fit by passes.
    """

    def __init__(self, data: dict, weights: dict | None, *, new: bool = False):
        self.told = ""
        self.known = summarize(jax.tree.map(source, data), weights, constant=new)

    def restarts(self, plan, keys, stop, callbacks):
        made = plan.build()
        sets = DataSets(made, self.known, CHUNK_ROWS)
        total, most = sum(p.samples for p in sets.parts), sample_rows(sets)
        if most < total:
            check_streamed(plan.solver)
            if weighs_more(made):
                return self._each_by_passes(plan, keys, stop, callbacks)
        words = [int(a) for a in np.ravel(jax.random.key_data(keys[0]))]
        data = sample(sets, most, words)
        own = InMemory(data, None, None)
        if most >= total:
            return own.restarts(plan, keys, stop, callbacks)
        compared = COMPARED if len(keys) > 1 else None
        found = own.restarts(plan, keys, stop, callbacks, compared=compared)
        read = sum(r.x.shape[0] for r in jax.tree.leaves(data, is_leaf=is_rows))
        del data, own
        self.told = f"{read} of {total} rows are fitted, which settles by passes over all"
        callbacks.log(self.told)
        chosen = best(found)
        # Components that were found apart stay so: all rows are read for their codes alone.
        most = min(PASSES, int(stop.max_steps)) if plan.together else 0
        some = Stop(stop.tol, most, every=LOOK)
        plan = plan._replace(start=chosen.basis)
        last = self._summed_up(self._by_passes(plan, keys[0], some, callbacks), chosen.value)
        # It has converged where the sample's fit has: the passes are few, whatever they change.
        result = chosen.result if last.result in ("converged", "max_steps") else last.result
        last = last._replace(result=result, steps=chosen.steps + last.steps)
        return [last if one is chosen else one for one in found]

    def _each_by_passes(self, plan, keys, stop, callbacks) -> list[Restart]:
        made, found = plan.build(), []
        for r, key in enumerate(keys):
            one = self._by_passes(plan, key, stop, callbacks, r, len(keys))
            value = np.nan
            if len(keys) > 1:
                value = float(reduced_objective(made, self.known, one.blocks, stop=COMPARED))
            found.append(self._summed_up(one, value))
        return found

    def _by_passes(
        self,
        plan: Plan,
        key: Any,
        stop: Stop,
        callbacks: Callbacks,
        number: int = 0,
        count: int = 1,
    ) -> Fit:
        """Fit ``number`` of ``count`` by passes over all rows, from the plan's basis if it has
        one."""
        told = callbacks.stage("passes over all rows")

        def on_progress(now: Progress):
            if told and now.stage == "fit":
                told((number + now.epoch / now.epochs) / count)
            if now.epoch % stop.every == 0:
                callbacks.log(
                    f"{now.stage}: pass {now.epoch} of at most {now.epochs}, "
                    f"{now.seconds_left:.0f} s left at most"
                )

        given: dict[str, Any] = {
            "key": key, "solver": plan.solver, "stop": stop, "on_progress": on_progress,
            "checkpoint": callbacks.folder and callbacks.folder / f"restart{number}.npz",
        }  # fmt: skip
        made: Any = plan.build()
        if plan.objective == "balanced":
            return balanced_of(
                made, self.known, plan.n_components, basis=plan.start,
                background_rank=plan.n_background_components, **given,
            )  # fmt: skip
        if plan.start is not None:
            return stream(made, self.known, blocks={"basis": plan.start}, **given)
        return stream(made, self.known, rank=plan.n_components, **given)

    def _summed_up(self, found: Fit, value: float) -> Restart:
        weights = self.known["target"].weights
        return summed_up(found, value, None if weights is None else weights[:, 0])

    def codes(self, reading, basis):
        return transform(reading, {"basis": basis}, self.known)

    def explained(self, loss, basis):
        blocks = {"basis": basis, "target": self.codes(NMF(loss), basis)}
        found = stream(NMF(loss), self.known, blocks=blocks, stop=NO_STEP)
        return float(found.diagnostics["x_explained"])
