"""`DataSets`: the data set, chunk and codes of every term of an objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from bcnmf_jax.data.rows import Rows, is_rows
from bcnmf_jax.data.sources import Job, Reader, chunk_size
from bcnmf_jax.data.summaries import is_summary, sources
from bcnmf_jax.model.objective import AbstractObjective, Blocks, Data, check_structure
from bcnmf_jax.model.terms import by_codes


class Whole(Rows):
    """Stands for all rows of a data set, of which none is in memory: terms built of it have the
    weights that whole data sets give (``alpha n / m``).

    Attributes
    ----------
    samples : scalar
        Number of rows, weights counted.
    """

    samples: Any = 0

    @property
    def size(self):
        """Number of samples, weights counted."""
        return self.samples


def whole(known: PyTree, dtype: Any) -> Data:
    """Data of the structure of the summaries, without rows."""

    def stand_in(k):
        samples = k.shape[0] if k.weights is None else k.weights.sum()
        return Whole(jnp.zeros((0, k.shape[1]), dtype), samples=jnp.asarray(samples, dtype))

    return jax.tree.map(stand_in, known, is_leaf=is_summary)


class Part(NamedTuple):
    """One data set of a fit.

    Attributes
    ----------
    name : str
        ``"target"`` or ``"background"``: what the data set is called where it stands alone.
    index : int, optional
        Its place in a list of backgrounds.
    known : Summary, or dict of them by modality
    data : dict
        `whole` of this data set alone.
    codes : tuple of str
        Names of its blocks of codes.
    terms : tuple of int
        Which of the objective's terms are about it.
    """

    name: str
    index: int | None
    known: Any
    data: Data
    codes: tuple[str, ...]
    terms: tuple[int, ...]

    @property
    def samples(self) -> int:
        """Number of rows."""
        return jax.tree.leaves(self.known, is_leaf=is_summary)[0].shape[0]


def parts(objective: AbstractObjective, known: dict, data: Data) -> list[Part]:
    """The data sets that an objective reads, each as it is visited: alone.

    Raises
    ------
    ValueError
        If the terms of a data set depend on which others there are.
    """
    found, terms = [], objective.terms(data)
    for name, value in known.items():
        several = isinstance(value, list)
        for i, one in enumerate(value if several else [value]):
            rows = data[name][i] if several else data[name]
            own = [id(r) for r in jax.tree.leaves(rows, is_leaf=is_rows)]
            mine = tuple(j for j, t in enumerate(terms) if id(t.rows) in own)
            alone = objective.terms({name: rows})
            if [t.codes[0] for t in alone] != [terms[j].codes[0] for j in mine]:
                raise ValueError(
                    f"{type(objective).__name__} has other terms for data[{name!r}] alone than "
                    "beside the others; such an objective cannot be streamed, use fit"
                )
            if mine:
                codes = tuple(path[0] for path in by_codes(alone))
                index = i if several else None
                found.append(Part(name, index, one, {name: rows}, codes, mine))
    return found


class DataSets:
    """All data sets that an objective reads.

    Parameters
    ----------
    objective : AbstractObjective
    known : dict
        From `summarize`.
    chunk_rows : int

    Attributes
    ----------
    data : dict
        `whole` of them.
    parts : list of Part
    reader : Reader
        Of the sources of ``parts``.
    backgrounds : int, optional
        Their number where they are a list.
    """

    def __init__(self, objective: AbstractObjective, known: dict, chunk_rows: int):
        check_structure(objective, known)
        self.dtype = np.result_type(*(k.dtype for k in jax.tree.leaves(known, is_leaf=is_summary)))
        self.data = whole(known, self.dtype)
        self.parts = parts(objective, known, self.data)
        size = chunk_size([p.samples for p in self.parts], chunk_rows)
        self.reader = Reader(
            [sources(p.known) for p in self.parts],
            size,
            self.dtype,
            [[k.weights for k in jax.tree.leaves(p.known, is_leaf=is_summary)] for p in self.parts],
        )
        several = known.get("background")
        self.backgrounds = len(several) if isinstance(several, list) else None

    def by_term(self, per_part: list) -> list:
        """A value for every term of the whole data, from the list of every part."""
        found = {}
        for part, values in zip(self.parts, per_part, strict=True):
            values = [None] * len(part.terms) if values is None else values
            found |= dict(zip(part.terms, values, strict=True))
        return [found[j] for j in sorted(found)]

    def jobs(self) -> list[Job]:
        """All chunks of all data sets, in order."""
        return [job for i in range(len(self.parts)) for job in self.reader.jobs(i)]

    def weights(self, job: Job) -> Data:
        """`whole` of a chunk's data set, with the weights of the chunk's rows where it has any."""
        rows, tree = jax.tree.flatten(self.parts[job.number].data, is_leaf=is_rows)
        each = zip(rows, self.reader.weights[job.number], strict=True)
        weigh = self.reader.weigh
        return tree.unflatten(
            [r if w is None else replace(r, weights=weigh(job, w)) for r, w in each]
        )

    def chunk(self, codes: list[Blocks], job: Job) -> Blocks:
        """The codes of a chunk; 0 for rows that only fill it up."""
        found = {}
        for name, h in codes[job.number].items():
            found[name] = np.zeros((self.reader.size, h.shape[1]), h.dtype)
            found[name][: job.stop - job.start] = h[job.start : job.stop]
        return found

    def each_codes(self, width: int, compute: Callable[[Job, Data], Blocks]) -> list[Blocks]:
        """The codes that a function of a chunk's rows gives, for all rows, by one reading."""
        codes = [{k: np.empty((p.samples, width), self.dtype) for k in p.codes} for p in self.parts]

        def keep(job, found):
            for k, h in found.items():
                codes[job.number][k][job.start : job.stop] = h[: job.stop - job.start]

        def pick(job, rows):
            found = compute(job, rows)
            return {k: found[k] for k in codes[job.number]}

        self.reader.each(self.jobs(), pick, keep)
        return codes

    def blocks(self, basis: PyTree, codes: list[Blocks]) -> Blocks:
        """Blocks as a fit in memory has them, with the codes as NumPy arrays."""
        blocks: Blocks = {"basis": basis}
        for part, mine in zip(self.parts, codes, strict=True):
            for name, h in mine.items():
                if part.index is None:
                    blocks[name] = h
                else:
                    blocks.setdefault(name, []).append(h)
        return blocks

    def codes(self, blocks: Blocks) -> list[Blocks]:
        """Copies of the codes in blocks, per data set."""
        pick = lambda a, i: np.array(a if i is None else a[i], self.dtype)  # noqa: E731
        return [{k: pick(blocks[k], p.index) for k in p.codes} for p in self.parts]
