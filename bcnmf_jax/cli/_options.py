"""Options that commands share: of the data, the model and the run."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bcnmf_jax.extras import require

DATA, MODEL, RUN = "Data", "Model", "Run"
CACHED = 2**30
"""Most bytes of compiled programs."""


def values(text: str, kind: Callable[[str], Any], option: str) -> list[Any]:
    """The values of a list such as "0,0.5,1".

    Raises
    ------
    typer.BadParameter
        For an entry that is no such value.
    """
    try:
        return [kind(entry) for entry in text.split(",")]
    except ValueError:
        name = {int: "whole numbers", float: "numbers"}[kind]
        raise typer.BadParameter(
            f"{text!r} is not {name} with commas between", param_hint=option
        ) from None


def value_or_auto(text: str, kind: Callable[[str], Any], option: str) -> Any:
    """A number, or "auto".

    Raises
    ------
    typer.BadParameter
        For anything else.
    """
    if text == "auto":
        return text
    try:
        return kind(text)
    except ValueError:
        name = {int: "a whole number", float: "a number"}[kind]
        raise typer.BadParameter(
            f"{text!r} is neither {name} nor auto", param_hint=option
        ) from None


def features_asked(text: str) -> int | str | None:
    """``n_top_features`` of --top-features.

    Raises
    ------
    typer.BadParameter
        For what is no number, auto or all.
    """
    return None if text == "all" else value_or_auto(text, int, "--top-features")


TopFeatures = Annotated[
    str,
    typer.Option(
        metavar="N|auto|all",
        help="Features that are read, those with most to explain; auto: 3,000 of over 5,000.",
        rich_help_panel=MODEL,
    ),
]
GroupKey = Annotated[
    str | None,
    typer.Option(
        help="Column of obs with donors, mice, cell lines, which are the independent units.",
        rich_help_panel=DATA,
    ),
]


@dataclass(frozen=True)
class DataOptions:
    """Two files, or one whose samples are told apart by a column."""

    file: Annotated[
        Path, typer.Argument(metavar="TARGET", help="Target; or all samples, with --condition-key.")
    ]
    background_file: Annotated[
        Path | None,
        typer.Argument(metavar="BACKGROUND", help="Background, features as the target."),
    ] = None
    condition_key: Annotated[
        str | None,
        typer.Option(
            help="Column of obs (.h5ad) that tells target and background apart.",
            rich_help_panel=DATA,
        ),
    ] = None
    target: Annotated[
        list[str] | None,
        typer.Option(help="A condition of the target; may be repeated.", rich_help_panel=DATA),
    ] = None
    background: Annotated[
        list[str] | None,
        typer.Option(help="A condition of the background; may be repeated.", rich_help_panel=DATA),
    ] = None
    layer: Annotated[
        str | None, typer.Option(help="Layer of the .h5ad; by default X.", rich_help_panel=DATA)
    ] = None
    scale: Annotated[
        str,
        typer.Option(
            help="log: each sample to a total of 10,000, then log(1 + x). none: as they are. auto: "
            "log for squared error where all values are whole numbers, else none.",
            metavar="auto|none|log",
            rich_help_panel=DATA,
        ),
    ] = "auto"
    common: Annotated[
        bool,
        typer.Option("--common", help="Use the features that both have.", rich_help_panel=DATA),
    ] = False

    def __post_init__(self):
        conditions = self.condition_key, self.target, self.background
        if self.background_file is None and not all(conditions):
            raise typer.BadParameter(
                "give TARGET and BACKGROUND, or one .h5ad file with --condition-key, --target and "
                "--background"
            )
        if self.background_file is not None and any(conditions):
            raise typer.BadParameter(
                "--condition-key, --target and --background split one file; leave BACKGROUND out"
            )
        if self.scale not in ("auto", "none", "log"):
            raise typer.BadParameter(
                f"{self.scale!r} is not auto, none or log", param_hint="--scale"
            )


@dataclass(frozen=True)
class FitOptions:
    """Options that a single fit and a sweep share."""

    objective: Annotated[
        str | None,
        typer.Option(
            help="auto: the right one of balanced and sequential; the default, unless the number "
            "of components and alpha are given. balanced: components that pay for what they "
            "explain of a background whose shared programs have the strength that they have in the "
            "target. contrastive: the same of the background as it is. "
            "background_first: beyond components of the background; sequential: so, one after "
            "the other. shared_target: beside shared components. nmf: the target alone. "
            "published: contrastive as published.",
            metavar="NAME",
            rich_help_panel=MODEL,
        ),
    ] = None
    loss: Annotated[
        str,
        typer.Option(
            help="Squared error, for log-normalised and continuous data, or KL, for counts.",
            metavar="frobenius|kl",
            rich_help_panel=MODEL,
        ),
    ] = "frobenius"
    n_background_components: Annotated[
        int, typer.Option(help="Shared or background components.", min=1, rich_help_panel=MODEL)
    ] = 8
    restarts: Annotated[int, typer.Option(help="Random starts.", min=1, rich_help_panel=MODEL)] = 8
    seed: Annotated[
        int, typer.Option(help="Of the starts.", min=0, max=2**32 - 1, rich_help_panel=MODEL)
    ] = 0
    max_iter: Annotated[int, typer.Option(help="Most steps.", min=1, rich_help_panel=MODEL)] = 500
    tol: Annotated[
        float, typer.Option(help="Stop below this change of the fit.", rich_help_panel=MODEL)
    ] = 1e-4

    def parameters(self) -> dict[str, Any]:
        """As `BCNMF` takes them."""
        return {
            "objective": self.objective,
            "loss": self.loss,
            "n_background_components": self.n_background_components,
            "n_restarts": self.restarts,
            "random_state": self.seed,
            "max_iter": self.max_iter,
            "tol": self.tol,
        }


@dataclass(frozen=True)
class RunOptions:
    """Options of the output."""

    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the run: new, empty, or of a run to go on with.",
            rich_help_panel=RUN,
        ),
    ]
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another run at --out.", rich_help_panel=RUN)
    ] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=RUN)
    ] = False
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder in which compiled programs stay, so that the next run starts at once; by "
            "default one of this machine among the user's caches.",
            envvar="JAX_COMPILATION_CACHE_DIR",
            rich_help_panel=RUN,
        ),
    ] = None
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache",
            help="Keep no compiled programs.",
            envvar="BCNMF_NO_CACHE",
            rich_help_panel=RUN,
        ),
    ] = False

    def __post_init__(self):
        keep_programs(None if self.no_cache else self.cache or default_cache())


def default_cache() -> Path:
    """Folder of compiled programs: one for each machine, since those of another may use
    instructions that this one lacks."""
    require("platformdirs", "cli")
    from platformdirs import user_cache_path

    return user_cache_path("bcnmf_jax") / "programs" / platform.node()


def keep_programs(folder: Path | None) -> None:
    """Let JAX keep what it compiles in a folder that can be written, or nowhere. Of our own folder
    at most `CACHED` bytes of what was used last stay; that of others has no limit of ours."""
    import jax

    if folder is None or not _writable(folder):
        jax.config.update("jax_compilation_cache_dir", None)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if folder == default_cache():
        jax.config.update("jax_compilation_cache_max_size", CACHED)


def _writable(folder: Path) -> bool:
    """Whether files can be written to a folder, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
