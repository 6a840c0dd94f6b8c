"""The core: its rooms, and the check of their annotations while tests run."""

from contextlib import contextmanager

from beartype import BeartypeConf, beartype
from jaxtyping import config, install_import_hook

CORE = ("data", "model", "solvers", "objectives", "fitting", "streaming")

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
