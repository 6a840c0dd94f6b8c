"""`Streamer`: the start of a fit, a pass, the end, each as a change of a `State`."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

import bcnmf_jax.streaming._passes as passes
from bcnmf_jax.data.memory import owned
from bcnmf_jax.data.rows import Rows
from bcnmf_jax.data.sources import Online
from bcnmf_jax.data.summaries import is_summary
from bcnmf_jax.fitting.codes import solved as solve_chunk
from bcnmf_jax.fitting.loop import has_settled, is_running, new_trace, noted
from bcnmf_jax.fitting.result import Fit, outcome
from bcnmf_jax.fitting.start import SETTLED_START
from bcnmf_jax.fitting.stop import Stop
from bcnmf_jax.model.costs import assemble
from bcnmf_jax.model.objective import AbstractObjective, Blocks
from bcnmf_jax.solvers.alternating import AbstractAlternating
from bcnmf_jax.streaming.parts import DataSets, Part


class State(NamedTuple):
    """All that a fit is between two passes; a pass changes the codes where they are."""

    epoch: Any
    basis: PyTree
    solver: PyTree
    codes: list[Blocks]
    old_basis: PyTree
    old_codes: list[Blocks]
    trace: dict[str, np.ndarray]
    memory: tuple[Any, list] | None
    started: Any
    settled: Any
    finite: Any


class Streamer:
    """A fit by passes: from one `State` to the next, and to a `Fit`."""

    def __init__(
        self,
        objective: AbstractObjective,
        sets: DataSets,
        solver: AbstractAlternating,
        stop: Stop,
        online: Online | None = None,
    ):
        self.objective, self.sets, self.solver, self.stop = objective, sets, solver, stop
        self.online = online

    def begin(self, basis: PyTree, codes: list[Blocks] | None = None) -> State:
        """The state before the first pass; codes that are not given start from row totals."""
        basis = jax.tree.map(lambda w: owned(w, self.sets.dtype), basis)
        codes = [self._start(p, basis) for p in self.sets.parts] if codes is None else codes
        trace = new_trace(self.stop.looks, self.sets.dtype)
        started = sum(np.asarray(w).sum(1) for w in jax.tree.leaves(basis)) > 0
        solver = self.solver.init(self.objective, self.sets.data, {"basis": basis})
        memory = None
        if self.online is not None:
            shapes = [
                self._stats_shapes(p, basis, h) for p, h in zip(self.sets.parts, codes, strict=True)
            ]
            zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
            seen = [[jnp.zeros((), self.sets.dtype)] * len(p.terms) for p in self.sets.parts]
            memory = self.sets.by_term(zeros), self.sets.by_term(seen)
        old, finite = jax.tree.map(np.copy, codes), _finite(basis, codes)
        return State(0, basis, solver, codes, basis, old, trace, memory, started, False, finite)

    def settled(self, basis: PyTree) -> list[Blocks] | None:
        """The codes that a fit starts from, by a pass over all rows; None where they need none."""
        return self.solved(basis, SETTLED_START) if self.objective.settled_start else None

    def solved(self, basis: PyTree, stop: Stop) -> list[Blocks]:
        """The codes of a basis, by a pass over all rows."""
        basis = jax.tree.map(lambda w: owned(w, self.sets.dtype), basis)

        def compute(job, rows):
            data = {self.sets.parts[job.number].name: rows}
            return solve_chunk(self.objective, data, basis, stop)

        return self.sets.each_codes(jax.tree.leaves(basis)[0].shape[0], compute)

    def _start(self, part: Part, basis: PyTree) -> Blocks:
        rows = lambda k: Rows(jnp.asarray(k.sums[:, None], self.sets.dtype))  # noqa: E731
        data = {part.name: jax.tree.map(rows, part.known, is_leaf=is_summary)}
        return {k: np.array(h) for k, h in passes.begin(self.objective, data, basis).items()}

    def _stats_shapes(self, part: Part, basis: PyTree, codes: Blocks) -> list:
        def stats(data, basis, codes):
            return self.solver.codes(self.objective, data, {"basis": basis, **codes})[2]

        return jax.eval_shape(stats, part.data, basis, {k: h[:0] for k, h in codes.items()})

    def running(self, s: State) -> bool:
        """Whether there is a pass to do."""
        going = np.asarray(s.finite)
        return bool(is_running(int(self.stop.max_steps), s.epoch, np.asarray(s.settled), going))

    def epoch(self, s: State) -> State:
        """The state after a pass over all rows.

        The cost of the last look is summed on the way: no pass is made for it.
        """
        sets, every = self.sets, self.stop.every
        looked = s.epoch > 0 and s.epoch % every == 0
        plan = [sets.jobs()] if self.online is None else self.online.plan(sets.reader, s.epoch)
        basis, solver, memory = s.basis, s.solver, s.memory
        size, width = sets.reader.size, jax.tree.leaves(basis)[0].shape[0]
        # Factors by which the codes of a chunk are still to be multiplied.
        late = [np.ones((len(sets.reader.jobs(i)), width), sets.dtype) for i in range(len(s.codes))]
        spent = [np.zeros(len(p.terms)) for p in sets.parts]
        for jobs in plan:
            seen = [sum(j.stop - j.start for j in jobs if j.number == i) for i in range(len(late))]
            ahead = passes.ahead(self.solver, basis, solver)
            stats: list[Any] = [None] * len(sets.parts)

            def visit(job, rows, ahead=ahead, stats=stats, basis=basis):
                i, scale = job.number, late[job.number][job.start // size]
                old = {k: h * scale for k, h in sets.chunk(s.codes, job).items()}
                scale[...] = 1
                now = basis if looked else None
                data = {sets.parts[i].name: rows}
                codes, more, values = passes.visit(
                    self.objective, self.solver, data, now, ahead, old
                )
                stats[i] = more if stats[i] is None else passes.add(stats[i], more)
                return codes, values

            def keep(job, found):
                codes, values = found
                for k, h in codes.items():
                    s.codes[job.number][k][job.start : job.stop] = h[: job.stop - job.start]
                if looked:
                    spent[job.number] += np.asarray(values)

            sets.reader.each(jobs, visit, keep)
            stats = sets.by_term(stats)
            past = None if memory is None else self._past(memory, seen)
            basis, unit, solver, sums = passes.learn(
                self.objective, self.solver, sets.data, basis, ahead, solver, stats, past
            )
            memory = None if past is None else (sums, past[1])
            for scales in late:
                scales *= np.asarray(unit)
        for codes, scales, part in zip(s.codes, late, sets.parts, strict=True):
            for h in codes.values():
                h *= np.repeat(scales, size, axis=0)[: part.samples]
        if looked:
            values = sets.by_term([list(a.astype(sets.dtype)) for a in spent])
            cost = passes.price(self.objective, sets.data, values, s.basis)
            s = s._replace(trace=noted(s.trace, s.epoch // every - 1, cost=cost))
        s = s._replace(epoch=s.epoch + 1, basis=basis, solver=solver, memory=memory)
        return self._look(s) if s.epoch % every == 0 or s.epoch == self.stop.max_steps else s

    def _past(self, memory: tuple[Any, list], seen: list[int]) -> tuple[list, list, Array]:
        """Sums of before this update, the shares of all rows that they and it stand for, decay."""
        assert self.online is not None
        new = [[n / p.samples] * len(p.terms) for n, p in zip(seen, self.sets.parts, strict=True)]
        shares = zip(memory[1], self.sets.by_term(new), strict=True)
        decay = jnp.asarray(self.online.decay, self.sets.dtype)
        grown = [decay * old + share if share else old for old, share in shares]
        return memory[0], grown, decay

    def _look(self, s: State) -> State:
        """Trace and stopping rule, as in a fit in memory."""
        grams, sets = [], self.sets
        for i in range(len(sets.parts)):
            total = None
            for job in sets.reader.jobs(i):
                old, new = (sets.chunk(codes, job) for codes in (s.old_codes, s.codes))
                more = passes.moved(self.objective, sets.weights(job), old, new)
                total = more if total is None else passes.add(total, more)
            grams.append(total)
        change = passes.largest_change(
            self.objective, sets.data, sets.by_term(grams), s.old_basis, s.basis
        )
        trace = noted(s.trace, (s.epoch - 1) // self.stop.every, step=s.epoch, change=change)
        distance, stuck = self.solver.progress(s.solver, change)
        settled = has_settled(self.stop, distance, s.epoch % self.stop.every == 0)
        for old, new in zip(*map(jax.tree.leaves, (s.old_codes, s.codes)), strict=True):
            old[...] = new
        return s._replace(
            old_basis=s.basis,
            trace=trace,
            settled=bool(settled),
            finite=_finite(s.basis, s.codes) and not bool(stuck),
        )

    def finish(self, s: State) -> Fit:
        """Costs, diagnostics and result, with one more reading of the data."""
        basis, sets = s.basis, self.sets
        if self.objective.scale_free:
            basis, unit = passes.normalise(self.objective, basis)
            for h in jax.tree.leaves(s.codes):
                h *= np.asarray(unit)
        tallies: list[Any] = [None] * len(sets.parts)
        columns = [passes.columns(p, sets.dtype) for p in sets.parts]

        def compute(job, rows):
            data = {sets.parts[job.number].name: rows}
            blocks = {"basis": basis, **sets.chunk(s.codes, job)}
            return passes.tally(self.objective, data, blocks, columns[job.number])

        def keep(job, found):
            found = jax.tree.map(lambda a: np.asarray(a, np.float64), found)
            old = tallies[job.number]
            tallies[job.number] = found if old is None else jax.tree.map(np.add, old, found)

        sets.reader.each(sets.jobs(), compute, keep)
        tallies = jax.tree.map(lambda a: jnp.asarray(a, sets.dtype), tallies)
        values, nulls = (sets.by_term([t[k] for t in tallies]) for k in ("values", "nulls"))
        sums = next(t["sums"] for t in tallies if t["sums"] is not None)
        found = passes.diagnosed(
            self.objective,
            sets.data,
            values,
            nulls,
            sums,
            basis,
            s.started,
            sets.backgrounds,
        )
        blocks = sets.blocks(basis, s.codes)
        spent = assemble(self.objective, self.objective.terms(sets.data), values, blocks)
        trace = s.trace
        if s.epoch:
            trace = noted(trace, (s.epoch - 1) // self.stop.every, cost=spent["basis"])
        finite = _finite(basis, s.codes) and not bool(jnp.isnan(found["x_explained"]))
        flags = map(jnp.asarray, (s.settled, s.finite, found["collapsed"], finite))
        trace = jax.tree.map(jnp.asarray, trace)
        return Fit(blocks, spent, found, trace, jnp.asarray(s.epoch, jnp.int32), outcome(*flags))


def _finite(basis: PyTree, codes: list[Blocks]) -> bool:
    return all(bool(np.isfinite(a).all()) for a in jax.tree.leaves((basis, codes)))
