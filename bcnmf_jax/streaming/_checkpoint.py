"""Files of checkpoints, written whole or not at all; `resume` says what they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcnmf_jax.storage.files import whole_file
from bcnmf_jax.storage.json_text import parsed


def save_checkpoint(path: str | Path, arrays: Sequence[Any], about: dict[str, Any]) -> None:
    """Write arrays and a description; a file of that name is replaced when all is on disk.

    Parameters
    ----------
    path : path
        Missing folders are made.
    arrays : sequence of arrays
    about : dict
        What JSON can hold.

    Raises
    ------
    ValueError
        For a description with NaN or an infinite number; nothing is written.
    OSError
        As `whole_file`.
    """
    named = {str(i): np.asarray(a) for i, a in enumerate(arrays)}
    text = json.dumps(about, allow_nan=False)
    with whole_file(path) as partial, open(partial, "wb") as file:
        np.savez(file, about=np.array(text), **named)  # pyright: ignore


def load_checkpoint(path: str | Path) -> tuple[list[np.ndarray], dict[str, Any]] | None:
    """Arrays and description, or None where there is no such file. Nothing is unpickled.

    Raises
    ------
    ValueError
        If the file is no checkpoint.
    """
    if not Path(path).exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = dict(parsed(str(stored["about"])))
            return [stored[str(i)] for i in range(len(stored.files) - 1)], about
    except Exception as error:  # readers of zip and npy raise many types
        raise ValueError(
            f"checkpoint {str(path)!r} cannot be read ({error}); remove it to begin anew"
        ) from error
