"""Settings and fixtures that several test files use."""

import gc
import os

# Nearly all of the suite's time is compilation. Without optimisation, with the older and simpler
# emitters and in one piece, it is much shorter; results differ by rounding alone (`make
# test-as-shipped` has users' settings). It must be set before JAX starts.
if not os.environ.get("BCNMF_TEST_OPTIMISED"):
    quick = (
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    )
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *quick])

# No value changes its type or its number of axes unless the code says so, nor in processes that
# tests start.
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# The command line would keep what the suite compiles.
os.environ["BCNMF_NO_CACHE"] = "1"

import jax
import numpy as np
import pytest

from tests.compiled import compiled
from tests.core import check_annotations

check_annotations()


@pytest.fixture(scope="module")
def x64():
    """Double precision for a module of tests; the global setting is left as it was."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def compilations():
    """Function that returns the number of programs that have been compiled so far."""

    def named(a):
        return a + 41

    jax.jit(named)(0)
    assert compiled()[-1:] == ["named"], "JAX tells of compilations by another name"
    return lambda: len(compiled())


@pytest.fixture(autouse=True)
def few_programs(compilations, _since=[0]):  # noqa: B006
    """Forget compiled programs now and then: each holds memory maps, of which a process has only
    so many (65,530 by default on Linux), and the compiler crashes when they are used up."""
    yield
    if compilations() - _since[0] > 300:
        jax.clear_caches()
        gc.collect()
        _since[0] = compilations()


@pytest.fixture
def counts():
    """Small counts with the same features in target and background."""
    rng = np.random.default_rng(0)
    basis = rng.gamma(0.3, 1, (4, 30))
    draw = lambda n: rng.poisson(5 * rng.gamma(0.5, 1, (n, 4)) @ basis) + 1  # noqa: E731
    return {"target": draw(40), "background": draw(30)}


@pytest.fixture(scope="module")
def holed():
    """Sparse counts with a row and a column of zeros: (45 + 31) x 30."""
    rng = np.random.default_rng(0)
    basis = rng.gamma(0.3, 1, (4, 30))
    draw = lambda n: rng.poisson(rng.gamma(0.5, 1, (n, 4)) @ basis).astype(float)  # noqa: E731
    data = {"target": draw(45), "background": draw(31)}
    data["target"][3] = 0
    return data
