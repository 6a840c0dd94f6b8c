"""Configurations of experiments: TOML files, checked before anything runs.

``include`` takes the keys of another file that the including one does not set itself.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bcnmf_jax.datasets.files import sha256
from experiments.core.choices import ChoiceConfig
from experiments.core.registry import read_modules
from experiments.core.schema import Config

# Not only its own error: also of text that is not UTF-8, too long numbers, and too deep nesting.
_NOT_TOML = (ValueError, RecursionError)


class ConfigError(ValueError):
    """A configuration that cannot be used; one line that names the key."""

    def __init__(self, said: str):
        super().__init__(" ".join(said.split()))


def _read(path: Path, *including: Path) -> dict[str, Any]:
    """The keys of a file, and of the file that it includes."""
    if path.resolve() in including:
        raise ConfigError(f"{path}: include: it includes itself")
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except _NOT_TOML as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    if "include" not in own:
        return own
    included = own.pop("include")
    if not isinstance(included, str):
        raise ConfigError(f"{path}: include: must be the name of a file, found {included!r}")
    return _read(path.parent / included, path.resolve(), *including) | own


def _assign(keys: Any, assignment: str) -> None:
    """Apply one ``key=value``: a dotted key (numbers index lists) and a TOML value."""
    name, equals, text = assignment.partition("=")
    if not equals:
        raise ConfigError(f"--set {assignment}: must be key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except _NOT_TOML:
        value = text  # a bare word is a string
    *path, last = [int(part) if part.isdecimal() else part for part in name.split(".")]
    try:
        for part in path:
            keys = keys.setdefault(part, {}) if isinstance(keys, dict) else keys[part]
        keys[last] = value
    except (AttributeError, IndexError, TypeError) as error:
        raise ConfigError(f"--set {name}: there is no such key") from error


def _outside(keys: dict[str, Any], folder: Path) -> None:
    """Register the methods of a configuration's modules, and take the sha256 of its files."""
    modules, data = keys.get("modules", []), keys.get("data", [])
    if isinstance(modules, list):
        read_modules([folder / name for name in modules if isinstance(name, str)])
    sets = [d for d in data if isinstance(d, dict)] if isinstance(data, list) else []
    for file in [d["file"] for d in sets if isinstance(d.get("file"), dict)]:
        paths = [file[name] for name in ("path", "background_path") if name in file]
        digests = [sha256(folder / p) for p in paths if isinstance(p, str)]
        file |= {"folder": folder, "sha256": " ".join(digests)}


def load(
    path: Path, assignments: list[str] | None = None, *, quick: bool = False
) -> Config | ChoiceConfig:
    """Read and check a configuration: of fits, or with a ``[choice]`` table of choices.

    Parameters
    ----------
    path : Path
    assignments : list of str
        ``key=value`` in TOML, as ``restarts=5``, ``stop.tol=1e-4``, ``data.0.args.beta=4``.
    quick : bool
        Few restarts, few steps, and the default settings alone.

    Raises
    ------
    ConfigError
        One line that names the file, the key and what is wrong with it.
    """
    keys = _read(path)
    for assignment in assignments or []:
        _assign(keys, assignment)
    try:
        _outside(keys, path.parent)
        config = (ChoiceConfig if "choice" in keys else Config).model_validate(keys)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{path}: {where}: unknown key") from None
        if first["type"] == "missing":
            raise ConfigError(f"{path}: {where}: this key is missing") from None
        said = first["msg"].removeprefix("Value error, ")
        found = "" if first["type"] == "value_error" else f", found {first['input']!r}"
        raise ConfigError(f"{path}: {where}: {said}{found}") from None
    except (OSError, ValueError) as error:  # of a module or a file that the configuration names
        raise ConfigError(f"{path}: {error}") from error
    return config.quickened() if quick else config


def load_fits(path: Path, *, quick: bool = False) -> Config:
    """`load` of a configuration that must be one of fits.

    Raises
    ------
    ConfigError
        Also for one of choices.
    """
    config = load(path, quick=quick)
    if isinstance(config, ChoiceConfig):
        raise ConfigError(f"{path}: choice: this is a configuration of choices, not of fits")
    return config
