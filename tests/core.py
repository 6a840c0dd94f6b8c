"""The core: its modules, and the check of their annotations while tests run."""

from contextlib import contextmanager

from beartype import BeartypeConf, beartype
from jaxtyping import config, install_import_hook

CORE = (
    "split", "losses", "penalties", "terms", "chunks", "memory", "summary", "checks", "data",
    "sharding", "objective", "scale", "change", "init", "solvers", "gradient", "diagnostics",
    "fit", "transform", "objectives", "sweep", "segments", "json_text",
    "checkpoint", "sources", "survey", "parts", "passes", "streamer", "resume", "sample", "stream",
    "stream_read", "deflation", "transitions", "residual", "quasi_newton", "exact", "projection",
)  # fmt: skip

# An integer is a float, as type checkers have it.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_annotations():
    """Compare every call in the core with its annotations, shapes included; to be called before the
    package is imported."""
    install_import_hook([f"bcnmf_jax.{name}" for name in CORE], "tests.core.check")


@contextmanager
def unchecked():
    """A block whose arguments are wrong on purpose: the package itself says so, not this check."""
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)
