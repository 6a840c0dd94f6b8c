"""The command with its subcommands, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

import bcnmf_jax
from bcnmf_jax.cli import _show as show
from bcnmf_jax.cli._apply import report, transform
from bcnmf_jax.cli._compare import compare
from bcnmf_jax.cli._data import data
from bcnmf_jax.cli._expand import expanded
from bcnmf_jax.cli._fit import fit
from bcnmf_jax.cli._select import select
from bcnmf_jax.cli._sweep import sweep

TRACEBACK = "BCNMF_TRACEBACK"
"""A variable that shows where an error comes from."""
MISTAKES = (OSError, ValueError, TypeError, KeyError, ImportError, MemoryError, RuntimeError)
"""Errors of a wrong file or option, and of a machine that is too small."""

app = typer.Typer(
    name="bcnmf",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"bcnmf_jax {bcnmf_jax.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Background-contrastive NMF: what a target holds that a background lacks.

    Begin with **bcnmf fit TARGET BACKGROUND --out RUN**, where both are samples x features (csv,
    h5ad, 10x, mtx, npz), and open RUN/report.html. Not sure of alpha and the number of components?
    **bcnmf select** chooses them, or says that there is nothing to find. No data yet? **bcnmf
    data beta_simulation --out DEMO**.

    Exit codes: 0 done, 1 a mistake in a file or an option, 2 a mistake in the command, 130
    interrupted.
    """


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with an error in one line and exit codes of its own."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            show.say("interrupted")
            raise typer.Exit(130) from None
        except MISTAKES as error:
            if os.environ.get(TRACEBACK):
                raise
            show.say(f"error: {describe(error)}")
            raise typer.Exit(1) from None

    return run


for command in (fit, select, sweep, compare, transform, report):
    app.command(no_args_is_help=True)(guarded(expanded(command)))
app.command()(guarded(expanded(data)))


def run() -> None:
    """Run the command and end the process."""
    code = 0
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    # A computation that was interrupted still runs on its thread, and is not waited for.
    os._exit(code)


def describe(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "memory is full; keep fewer features or samples, or fewer restarts at a time"
    return str(error) or type(error).__name__
