"""Values, columns and sources of a run, as its folder names them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcnmf_jax.datasets.files import sha256
from bcnmf_jax.report.run_forms import OWN, is_taken


def plain(value: Any) -> Any:
    """The same as types of JSON; NaN and infinite as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def column_name(key: str) -> str:
    """Name in usage.tsv of a column of obs: its own, unless the table has it already."""
    return f"obs.{key}" if key in OWN else key


def column_names(keys: Sequence[str]) -> list[str]:
    """Names in usage.tsv of columns of obs, all different.

    Raises
    ------
    ValueError
        For a name that is empty, that of a component, or given to two columns.
    """
    names = list(map(column_name, keys))
    for key, name in zip(keys, names, strict=True):
        if is_taken(name):
            raise ValueError(
                f"column {key!r} of obs has a name that tables give to components; rename it"
            )
        if names.count(name) > 1:
            raise ValueError(f"two columns of obs would be called {name!r}; rename one")
    return names


def fingerprint(path: Path) -> str:
    """sha256 of a file; of a folder, that of the names and sha256 of its files."""
    if not path.is_dir():
        return sha256(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    lines = [f"{sha256(p)}  {p.relative_to(path).as_posix()}\n" for p in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def identity(config: dict[str, Any]) -> dict[str, Any]:
    """Identity of a run: command, data by content, parameters and version."""
    sources = [{"role": s["role"], "sha256": s["sha256"]} for s in config["sources"]]
    return plain(
        {key: config[key] for key in ("command", "data", "parameters", "columns")}
        | {"sources": sources, "version": config["versions"]["bcnmf_jax"]}
    )
