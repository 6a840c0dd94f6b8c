"""The state of a streamed fit, to a checkpoint and back."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import bcnmf_jax.streaming._checkpoint as checkpoint
from bcnmf_jax.data.summaries import is_summary
from bcnmf_jax.streaming._streamer import State, Streamer

FORMAT = 2
"""Changes with the layout of `State`."""


def digest(tree: Any) -> str:
    """Short text of a pytree, the same for the same structure and the same numbers."""
    tree = jax.tree.map(lambda a: np.asarray(a) if eqx.is_array(a) else a, tree)
    text = hashlib.sha256(eqx.tree_pformat(tree).encode())
    for leaf in jax.tree.leaves(tree):
        text.update(np.asarray(leaf).tobytes())
    return text.hexdigest()[:16]


class Keeper:
    """Saves the state of a fit every few passes, and finds it again.

    Parameters
    ----------
    run : Streamer
    path : path, optional
        None keeps nothing.
    every : int
        Passes between checkpoints.
    start : dict
        What the start was made from.
    """

    def __init__(self, run: Streamer, path: str | Path | None, every: int, start: dict[str, Any]):
        self.run, self.path, self.every = run, path, every
        self.about = {
            "format": FORMAT,
            "objective": digest(run.objective),
            "solver": digest(run.solver),
            "stop": digest(run.stop),
            "rows": [p.samples for p in run.sets.parts],
            "chunk_rows": run.sets.reader.size,
            "dtype": str(run.sets.dtype),
            "mode": "exact" if run.online is None else list(run.online),
            **start,
        }
        known = jax.tree.leaves([p.known for p in run.sets.parts], is_leaf=is_summary)
        facts = [(k.total, k.sums, k.weights) for k in known]
        self.totals = [a for fact in facts for a in fact if a is not None]

    def save(self, state: State, last: bool) -> None:
        """Write a checkpoint where one is due, or is the last."""
        if self.path is not None and (last or state.epoch % self.every == 0):
            checkpoint.save_checkpoint(
                self.path, [*jax.tree.leaves(state), *self.totals], self.about
            )

    def load(self, width: int) -> State | None:
        """The state to go on from, or None; ``width`` is the number of components.

        Raises
        ------
        ValueError
            If the checkpoint is of another fit, or its arrays are not those of a state.
        """
        found = None if self.path is None else checkpoint.load_checkpoint(self.path)
        if found is None:
            return None
        arrays, about = found
        differ = [k for k in self.about if about.get(k) != self.about[k]]
        split = len(arrays) - len(self.totals)
        pairs = zip(arrays[max(split, 0) :], self.totals, strict=False)
        near = lambda a, b: (  # noqa: E731
            a.shape == b.shape and a.dtype.kind == "f" and np.allclose(a, b, rtol=1e-5, atol=0)
        )
        if not differ and not all(near(a, b) for a, b in pairs):
            differ = ["data"]
        if differ:
            raise ValueError(
                f"checkpoint {str(self.path)!r} is of another fit ({', '.join(differ)} differ); "
                "remove it or name another"
            )
        features = self.run.objective.features(self.run.sets.data)
        blank = jax.tree.map(lambda g: jnp.zeros((width, g), self.run.sets.dtype), features)
        begun = self.run.begin(blank)
        form = lambda a: (np.shape(a), np.asarray(a).dtype.kind)  # noqa: E731
        if list(map(form, jax.tree.leaves(begun))) != list(map(form, arrays[:split])):
            raise ValueError(
                f"checkpoint {str(self.path)!r} does not hold the arrays of this fit; remove it to "
                "begin anew"
            )
        state: State = jax.tree.unflatten(jax.tree.structure(begun), arrays[:split])
        on_device = lambda tree: jax.tree.map(jnp.asarray, tree)  # noqa: E731
        return state._replace(
            epoch=int(state.epoch),
            basis=on_device(state.basis),
            solver=on_device(state.solver),
            old_basis=on_device(state.old_basis),
            memory=on_device(state.memory),
            settled=bool(state.settled),
            finite=bool(state.finite),
        )
