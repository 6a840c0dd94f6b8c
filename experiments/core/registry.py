"""Methods, losses and data sets by name: label, colour and marker of each, in one place.

A method of one's own is a registered function in a file of one's own; see `method`. Imports neither
jax nor the package, so that tables are made without them.
"""

from __future__ import annotations

import hashlib
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

GREY, STAR = "#666666", "*"
"""Colour and marker of a method that is not registered, as in rows recorded elsewhere."""


@dataclass(frozen=True)
class KnownMethod:
    """A method that a configuration may name.

    Attributes
    ----------
    label : str
        Name in tables and figures.
    colour, marker : str
        Of its lines, as matplotlib takes them.
    closed : bool
        A closed form: without a loss, and fitted once for all restarts.
    contrast : bool
        Takes alphas.
    extra : bool
        Needs shared or background components.
    function : callable or None
        Of a method from outside; None for those in `experiments.core.methods`.
    scale : {"log", "counts"}
        Of the data that ``function`` is given.
    source : str
        The sha256 of the file of ``function``: rows of one that has changed are told apart.
    """

    label: str
    colour: str = GREY
    marker: str = STAR
    closed: bool = False
    contrast: bool = False
    extra: bool = False
    function: Callable[..., Any] | None = None
    scale: Literal["log", "counts"] = "log"
    source: str = ""


# The palette of Okabe and Ito (2008), which colour-blind readers can tell apart, and a marker each.
#: In the order of tables and figures.
METHODS: dict[str, KnownMethod] = {
    "pca": KnownMethod("PCA", "#000000", "v", closed=True),
    "cpca": KnownMethod("cPCA", "#E69F00", "s", closed=True, contrast=True),
    "gcpca": KnownMethod("gcPCA", "#9A6A00", "D", closed=True),
    "nmf": KnownMethod("NMF", "#56B4E9", "^"),
    "bcnmf": KnownMethod("bcNMF", "#0072B2", "o", contrast=True),
    "published": KnownMethod("bcNMF as published", "#332288", "d", contrast=True),
    "floored": KnownMethod("bcNMF, background over a floor", "#999999", "h", contrast=True),
    "shared_target": KnownMethod("shared + target", "#CC79A7", "P", contrast=True, extra=True),
    "background_first": KnownMethod("background first", "#009E73", "X", contrast=True, extra=True),
    "combined": KnownMethod("combined basis", "#D55E00", "p"),
}


@dataclass(frozen=True)
class KnownLoss:
    """A loss that a configuration may name: its label, and the scale of its data."""

    label: str
    scale: Literal["log", "counts", "roots"]


#: In the order of tables and figures.
LOSSES: dict[str, KnownLoss] = {
    "frobenius": KnownLoss("squared error", "log"),
    "kl": KnownLoss("KL", "counts"),
    "negative_binomial": KnownLoss("negative binomial", "counts"),
    "beta": KnownLoss("beta 1.5", "counts"),
    "roots": KnownLoss("squared error of roots", "roots"),
}
#: Functions of ``bcnmf_jax.datasets`` that a configuration may name.
DATASETS = (
    *("beta_simulation", "digits_on_photos", "family_simulation", "kang_cross_donor"),
    *("kang_lymphocytes", "leukemia", "mait_cells", "mdd", "mixseq", "mixseq_full"),
    *("mnist_on_photos", "mouse_protein", "pbmc_cytometry"),
)


def known(name: str) -> KnownMethod:
    """The method of a name, or one that is labelled by the name itself."""
    return METHODS.get(name, KnownMethod(name))


def method(
    name: str,
    *,
    label: str,
    colour: str = GREY,
    marker: str = STAR,
    scale: Literal["log", "counts"] = "log",
    contrast: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as a method of configurations.

    The function is called as ``function(target, background, key, rank=..., alpha=..., **settings)``
    with arrays (n, g) and (m, g), a jax key per restart, and the ``settings`` of the configuration;
    ``alpha`` only with ``contrast``. It returns codes (n, rank), or codes and components (rank, g).

    Parameters
    ----------
    name : str
        In ``[[method]]`` of a configuration.
    label : str
        In tables and figures.
    colour, marker : str
        Of its lines.
    scale : {"log", "counts"}
        Of the data it is given.
    contrast : bool
        Takes ``alphas``.

    Raises
    ------
    ValueError
        If another method has the name.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        held, file = METHODS.get(name), function.__code__.co_filename
        # The same file may be read again, as by a second configuration.
        if held and not (held.function and held.function.__code__.co_filename == file):
            raise ValueError(f"a method {name!r} is registered already; choose another name")
        source = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        METHODS[name] = KnownMethod(
            label, colour, marker,
            contrast=contrast, function=function, scale=scale, source=source,
        )  # fmt: skip
        return function

    return register


def read_modules(paths: list[Path]) -> None:
    """Run files that register methods.

    Raises
    ------
    FileNotFoundError
        If one is not there.
    ValueError
        If one cannot be run.
    """
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"modules: there is no file {path}")
        run_file(path)


def run_file(path: Path) -> dict[str, Any]:
    """Names that a file of one's own defines.

    Raises
    ------
    ValueError
        If it cannot be run; the message names the file.
    """
    try:
        return runpy.run_path(str(path), run_name=path.stem)
    except Exception as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
