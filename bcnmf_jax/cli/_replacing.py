"""Output files and folders that are there already: refused, or replaced where that is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from bcnmf_jax.storage.folders import contents

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out.")]


def check_file(out: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse a file that is there, unless it may be replaced; always one that is read.

    Parameters
    ----------
    out : Path
    inputs : iterable of Path
        Files and folders that the command reads.
    overwrite : bool

    Raises
    ------
    FileExistsError
        For a file that may not be replaced.
    """
    if not out.is_file():
        return
    places = (found := out.resolve(), *found.parents)
    if any(p.samefile(source) for source in inputs if source.exists() for p in places):
        raise FileExistsError(f"{out} is what this command reads; choose another file for --out")
    if not overwrite:
        raise FileExistsError(
            f"{out} is there already; choose another file for --out, or pass --overwrite"
        )


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless files in it may be replaced.

    Raises
    ------
    NotADirectoryError
        For a file.
    FileExistsError
        For a folder that holds something.
    """
    if out.is_file():
        raise NotADirectoryError(f"{out} is a file; name a folder for --out")
    if out.is_dir() and contents(out) and not overwrite:
        raise FileExistsError(
            f"{out} is not empty; choose another folder for --out, or pass --overwrite"
        )
