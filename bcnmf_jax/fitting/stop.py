"""The stopping rule: tolerance, most steps, steps between looks."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np

from bcnmf_jax.data.checks import MOST_INTEGER, check_integer
from bcnmf_jax.data.numbers import concrete, number, shown, traced

MOST_LOOKS = 2**20
"""Longest trace: 12 MiB in single precision."""


def _steps(a) -> Any:
    """A number of steps as an array of NumPy, which stays known while a program is traced."""
    if isinstance(a, jax.Array):
        return a
    return np.asarray(check_integer(a, "Stop(max_steps)", least=0), np.int32)


def most_steps(every: int = 10) -> int:
    """The largest number of steps whose trace can be held, with so many between looks."""
    return min(MOST_LOOKS * every, MOST_INTEGER)


class Stop(eqx.Module):
    """Stopping rule, the same for every solver.

    Parameters
    ----------
    tol : float
        Converged when no reconstruction has changed by more than this, relative to itself in the
        Frobenius norm, since the last look, nor the part of it that components explain which are
        not frozen; under `VarPro`, when the `stationarity` is below this. 0 runs every step.
    max_steps : int
        Most steps.
    every : int
        Steps between looks.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    tol: Any = eqx.field(default=1e-5, converter=number)
    max_steps: Any = eqx.field(default=500, converter=_steps)
    every: int = eqx.field(
        default=10, static=True, converter=lambda a: check_integer(a, "Stop(every)")
    )

    __repr__ = shown

    def __check_init__(self):
        tol, steps = concrete(self.tol), concrete(self.max_steps)
        if tol is not None and not tol >= 0:
            raise ValueError(f"Stop(tol) must be at least 0, found {tol}")
        if steps is not None:
            note = f" (with every={self.every}, which may be larger)"
            check_integer(steps, "Stop(max_steps)", 0, most_steps(self.every), note)

    @property
    def looks(self) -> int:
        """Room for the trace: a power of two, so that other step numbers compile nothing.

        Raises
        ------
        ValueError
            If ``max_steps`` is traced: the room must be known.
        """
        if traced(self.max_steps):
            raise ValueError("Stop(max_steps) must be a number, not traced by jit or vmap")
        looks = max(-(-int(self.max_steps) // self.every), 1)
        return 1 << (looks - 1).bit_length()


NO_STEP = Stop(max_steps=0)
"""Of fits that are only read."""
