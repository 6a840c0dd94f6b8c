"""Many steps: starts, the loop, batches of fits and their diagnostics; imports `objectives`,
`solvers` and what is below them."""

from bcnmf_jax.fitting._devices import row_mesh, shard
from bcnmf_jax.fitting._stationary import stationarity
from bcnmf_jax.fitting.balanced import fit_balanced
from bcnmf_jax.fitting.fixed_basis import block_costs, reduced_objective, transform
from bcnmf_jax.fitting.grid import sweep
from bcnmf_jax.fitting.loop import fit
from bcnmf_jax.fitting.result import RESULTS, Fit, result_name
from bcnmf_jax.fitting.row_weights import balance
from bcnmf_jax.fitting.sequential import fit_sequential
from bcnmf_jax.fitting.start import init
from bcnmf_jax.fitting.stop import Stop

__all__ = [
    "RESULTS", "Fit", "Stop", "balance", "block_costs", "fit", "fit_balanced", "fit_sequential",
    "init", "reduced_objective", "result_name", "row_mesh", "shard", "stationarity", "sweep",
    "transform",
]  # fmt: skip
