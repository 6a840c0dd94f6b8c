"""Multiplicative updates."""

import equinox as eqx
import jax

from bcnmf_jax.model.gradients import (
    basis_exponent,
    code_exponent,
    code_gradient,
)
from bcnmf_jax.solvers.alternating import AbstractAlternating, multiply


class MU(AbstractAlternating):
    """Multiplicative updates, Gauss-Seidel: the codes of every data set, then the basis.

    As published, but that an entry of 0 which its slope would raise is lifted (`multiply`).

    Parameters
    ----------
    damping : float
        Exponent in (0, 1] of every factor, times the one that descent asks for (1 for the
        published losses).
    inner_steps : int
        Code updates per basis update, at least 1. Squared error forms its products once per pass,
        so that further inner steps cost little.
    extrapolation : float
        Largest share, in [0, 1), of the basis' last move (where it grew) that is repeated before
        the next update; 0 is the plain update. The shares grow as Nesterov's, ``k / (k + 3)``
        (BMMe: Hien, Leplat & Gillis 2024), and start again where a step went uphill (O'Donoghue &
        Candes 2015). The basis alone runs ahead: codes of a background work against it, and
        moving both at once can oscillate.
    chunk : int, optional
        Rows visited at a time; by default what fits the caches.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    damping: float = eqx.field(default=1.0, static=True)
    inner_steps: int = eqx.field(default=1, static=True)
    extrapolation: float = eqx.field(default=0.0, static=True)
    chunk: int | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        if not 0 < self.damping <= 1:
            raise ValueError(f"MU(damping) must be in (0, 1], found {self.damping}")

    def move_codes(self, objective, path, group, rows, codes, basis):
        power = self.damping * code_exponent(objective, path, group)
        at = code_gradient(objective, group, rows, basis)
        for _ in range(self.inner_steps):
            codes = multiply(codes, at(codes), power)
        return codes

    def move_basis(self, objective, terms, stats, splits, basis):
        power = self.damping * basis_exponent(objective, terms)
        return jax.tree.map(lambda w, s: multiply(w, s, power), basis, splits)
