"""Data read chunk by chunk: what a source is, what is known of it, and a reader that runs ahead.

A source is whatever has ``shape``, ``dtype`` and slices: ``source[start:stop]`` gives a dense array
of those rows. NumPy arrays, memory maps and HDF5 data sets are sources; `readers` makes sources of
sparse matrices. One that has ``rows_into(start, stop, out)`` too writes into the reader's memory.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from bcnmf_jax.data.checks import check_integer
from bcnmf_jax.data.memory import aligned
from bcnmf_jax.data.rows import Rows

CHUNK_ROWS = 2048
AHEAD = 4
"""Chunks in memory: one that is computed with, one that is next, the others being read."""


class Job(NamedTuple):
    """Rows to read: of the ``number``-th data set, from ``start`` to ``stop``."""

    number: int
    start: int
    stop: int


class Source(Protocol):
    """Rows that are read when they are needed, as what `source` gives."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        ...

    @property
    def dtype(self) -> Any:
        """Of the values."""
        ...

    def rows_into(self, start: int, stop: int, out: Float[np.ndarray, "rows g"]) -> None:
        """Write rows ``start`` to ``stop`` into an array."""
        ...


DENSE = 2**28
"""Bytes up to which data are fitted as arrays in memory: there all restarts run side by side."""


def as_floating(dtype: Any) -> np.dtype:
    """Type of values as they are read: single precision, in which counts are exact, unless they are
    floats."""
    real = np.dtype(dtype)
    return real if real.kind == "f" else np.dtype(np.float32)


class Sliced(ABC):
    """Rows of a source by index, as of an array."""

    shape: tuple[int, int]
    dtype: Any

    @abstractmethod
    def rows_into(self, start: int, stop: int, out: np.ndarray) -> None:
        """Write rows ``start`` to ``stop`` into ``out``."""

    def __getitem__(self, rows: Any) -> np.ndarray:
        return select(self._read, self.shape[0], rows)

    def _read(self, start: int, stop: int) -> np.ndarray:
        out = np.empty((stop - start, self.shape[1]), self.dtype)
        self.rows_into(start, stop, out)
        return out


class Stacked(Sliced):
    """Several sources, one below the other, as one."""

    def __init__(self, parts: Sequence[Any]):
        self.parts = list(parts)
        self.ends = np.cumsum([p.shape[0] for p in self.parts]).tolist()
        self.shape = (self.ends[-1], self.parts[0].shape[1])
        self.dtype = np.result_type(*(p.dtype for p in self.parts))

    def rows_into(self, start: int, stop: int, out: np.ndarray) -> None:
        """Write rows ``start`` to ``stop`` into ``out``."""
        for part, end in zip(self.parts, self.ends, strict=True):
            first = end - part.shape[0]
            a, b = max(start, first), min(stop, end)
            if a < b:
                fill(part, a - first, b - first, out[a - start : b - start])


class Times:
    """A source times a factor."""

    def __init__(self, source: Any, factor: float):
        self.source, self.shape, self.dtype = source, source.shape, source.dtype
        self.factor = factor

    def rows_into(self, start: int, stop: int, out: np.ndarray) -> None:
        """Write rows ``start`` to ``stop`` into ``out``."""
        fill(self.source, start, stop, out)
        out *= out.dtype.type(self.factor)


def select(read: Callable[[int, int], Any], count: int, rows: Any) -> Any:
    """Rows of a source that reads neighbours.

    Parameters
    ----------
    read : callable
        Gives the rows from ``start`` to ``stop``, an array or a CSR matrix.
    count : int
        Rows that there are.
    rows : slice, int, int array or bool array (count,)
        As an index of NumPy; what lies between the first and the last of them is read too.

    Raises
    ------
    IndexError
        For rows that there are not, as NumPy does.
    """
    if isinstance(rows, slice):
        near = range(count)[rows]
        if near.step == 1:
            return read(near.start, max(near.start, near.stop))
    at = np.arange(count)[rows]
    first, last = (int(at.min()), int(at.max())) if at.size else (0, -1)
    return read(first, last + 1)[at - first]


def fill(source: Any, start: int, stop: int, out: np.ndarray) -> None:
    """Write rows ``start`` to ``stop`` of a source into the head of ``out``, zeros below them."""
    head = out[: stop - start]
    if hasattr(source, "rows_into"):
        source.rows_into(start, stop, head)
    else:
        head[...] = source[start:stop]
    out[stop - start :] = 0


class Reader:
    """Reads chunks of ``size`` rows on a thread of its own, ahead of whoever computes with them.

    Parameters
    ----------
    sets : list of pytrees of sources
        Data sets; a pytree has modalities of the same rows.
    size : int
        Rows in a chunk; a shorter one is filled up with zeros, whose weight in `Rows` is 0.
    dtype : dtype
    weights : list of lists of arrays (n, 1) or None, optional
        Per data set, the weights of the rows of each of its sources.
    """

    def __init__(
        self,
        sets: Sequence[PyTree],
        size: int,
        dtype: Any,
        weights: Sequence[Sequence[Any]] | None = None,
    ):
        self.sets, self.size, self.dtype = sets, size, dtype
        none = [[None] * len(jax.tree.leaves(s)) for s in sets]
        self.weights = none if weights is None else weights
        room = lambda s: aligned((size, s.shape[1]), dtype)  # noqa: E731
        self.rooms = [jax.tree.map(room, sets[0]) for _ in range(AHEAD)]
        self.ones = jnp.ones((size, 1), dtype)

    def jobs(self, number: int) -> list[Job]:
        """All chunks of a data set, in order."""
        n, size = jax.tree.leaves(self.sets[number])[0].shape[0], self.size
        return [Job(number, a, min(a + size, n)) for a in range(0, n, size)]

    def read(self, jobs: Sequence[Job]) -> Generator[tuple[Job, PyTree]]:
        """Every job with its `Rows`, which hold until the next but one is asked for."""
        free, ready = queue.SimpleQueue(), queue.SimpleQueue()
        for room in self.rooms:
            free.put(room)

        def work():
            try:
                for job in jobs:
                    room = free.get()
                    if room is None:
                        return
                    for source, out in zip(
                        *map(jax.tree.leaves, (self.sets[job.number], room)), strict=True
                    ):
                        fill(source, job.start, job.stop, out)
                    ready.put(room)
            except BaseException as error:
                ready.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        held: list[Any] = []
        try:
            for job in jobs:
                room = ready.get()
                if isinstance(room, BaseException):
                    raise room
                yield job, self._rows(job, room)
                held.append(room)
                if len(held) > 1:
                    free.put(held.pop(0))
        finally:
            free.put(None)
            thread.join()

    def each(
        self,
        jobs: Sequence[Job],
        compute: Callable[[Job, PyTree], Any],
        keep: Callable[[Job, Any], None],
    ) -> None:
        """Call ``keep(job, compute(job, rows))`` for every job; the next chunk's computation is
        started before the result of one is waited for."""
        waiting = None
        with closing(self.read(jobs)) as pieces:
            for job, rows in pieces:
                found = compute(job, rows)
                if waiting is not None:
                    keep(*waiting)
                waiting = job, found
        if waiting is not None:
            keep(*waiting)

    def _rows(self, job: Job, room: PyTree) -> PyTree:
        arrays, tree = jax.tree.flatten(room)
        each = zip(arrays, self.weights[job.number], strict=True)
        return tree.unflatten([Rows(jax.device_put(a), self.weigh(job, w)) for a, w in each])

    def weigh(self, job: Job, weights: Any) -> jax.Array:
        """The weights of a chunk's rows, 1 where none are given; 0 for what only fills it up."""
        count = job.stop - job.start
        if weights is None and count == self.size:
            return self.ones
        v = np.zeros((self.size, 1), self.dtype)
        v[:count] = 1 if weights is None else weights[job.start : job.stop]
        return jnp.asarray(v)


def chunk_size(counts: Sequence[int], most: int) -> int:
    """Rows in a chunk: not more than the largest data set has."""
    return min(check_integer(most, "chunk_rows"), max(counts))


class Online(NamedTuple):
    """Several updates of the basis in a pass, from decayed sums over the rows seen so far.

    Attributes
    ----------
    decay : float
        What is left of a sum at the next update, in [0, 1).
    updates : int
        Updates in a pass.
    seed : list of int
        Of the order of the chunks, which is another one in every pass.
    start_rows : int
        Rows of the sample whose fit is the start.
    """

    decay: float
    updates: int
    seed: list[int]
    start_rows: int

    def plan(self, reader: Reader, epoch: int) -> list[list[Job]]:
        """The chunks of a pass; after every list of them the basis is updated."""
        rng, count = np.random.default_rng([*self.seed, epoch]), self.updates
        plan: list[list[Job]] = [[] for _ in range(count)]
        for i in range(len(reader.sets)):
            own = reader.jobs(i)
            order = rng.permutation(len(own))
            # Rounded up: the first update has seen every data set.
            cuts = [-(-u * len(own) // count) for u in range(count + 1)]
            for u, piece in enumerate(plan):
                piece += [own[j] for j in order[cuts[u] : cuts[u + 1]]]
        return [piece for piece in plan if piece]
