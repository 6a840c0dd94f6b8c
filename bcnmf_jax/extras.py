"""Other packages: optional ones, imported where they are used, and the versions of all."""

import importlib
import platform
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import bcnmf_jax

PACKAGES = ("jax", "jaxlib", "equinox", "numpy", "scipy", "scikit-learn", "pandas", "anndata")


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package, or say which command installs it.

    Parameters
    ----------
    module
        Name to import, for example ``"pandas"`` or ``"matplotlib.pyplot"``.
    extra
        The extra of this package that brings it, a key of ``[project.optional-dependencies]`` in
        pyproject.toml.

    Returns
    -------
    The imported module (for a dotted name the submodule, as :func:`importlib.import_module`).

    Raises
    ------
    ImportError
        Where the package is not installed; the message holds the command that installs it. An
        installed package that fails to import something else of its own raises what it raises:
        reinstalling the extra would not help there.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name != package:
            raise
        raise ImportError(
            f"bcnmf_jax needs {package} here; install it with: pip install 'bcnmf_jax[{extra}]'",
            name=package,
        ) from error


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the packages that a result can hang on."""
    found = {"bcnmf_jax": bcnmf_jax.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
