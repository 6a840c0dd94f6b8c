"""Models on disk: a folder with numbers in safetensors and everything else in JSON. No pickle.

::

    FOLDER/model.safetensors     every array
    FOLDER/model.json            format, class, package and version, parameters, fitted values, and
                                 the sha256 of the arrays and of itself

A value in the JSON is a string, number, truth value or null, or an object of one key that says what
it is: ``{"array": its name in model.safetensors}``, ``{"strings": [...]}`` and ``{"names": [...]}``
(arrays of strings, and of objects that are strings), ``{"list": [...]}``, ``{"dict": {...}}``,
``{"float": "nan"}``, ``{"loss": {"name": ..., "values": {...}}}``, and ``{"object": {"class":
"module:Name", "fields": {...}}}`` (see `objects`), ``{"tuple": [...]}`` within.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load, save

from bcnmf_jax.estimator.objects import built, described, is_object
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.losses import KL, Beta, Frobenius, NegativeBinomial
from bcnmf_jax.storage.files import resolved, write_bytes
from bcnmf_jax.storage.folders import as_one, contents, replaced
from bcnmf_jax.storage.json_text import parsed
from bcnmf_jax.storage.locks import WAIT, locked

FORMAT = 1
"""Raised by a change that an older reader would misread."""
PACKAGE = "bcnmf_jax"
ENTRIES = DOCUMENT, ARRAYS = "model.json", "model.safetensors"
RUN_MODEL = "model"
"""Folder of the model within that of a run."""
LOSSES = {kind.__name__: kind for kind in (Frobenius, KL, Beta, NegativeBinomial)}


class Stored(NamedTuple):
    """Content of a folder: the name of a class, its parameters and its fitted attributes."""

    kind: str
    version: str
    parameters: dict[str, Any]
    fitted: dict[str, Any]


def write(folder: str | Path, stored: Stored) -> None:
    """Write a folder, whole or not at all; one that holds a model is replaced.

    Raises
    ------
    ValueError
        For a value that is neither a number, a string, a list or dictionary of them, an array nor
        one of the package's losses; for a folder that holds something else.
    OSError
        If it cannot be written, or another process writes it for long: what was there stays.
    """
    folder, arrays = resolved(folder), {}
    body = {
        "format": FORMAT,
        "package": PACKAGE,
        "version": stored.version,
        "class": stored.kind,
        "parameters": {k: _encode(v, k, arrays) for k, v in stored.parameters.items()},
        "fitted": {k: _encode(v, k, arrays) for k, v in stored.fitted.items()},
    }
    numbers = save(arrays)
    sums = {ARRAYS: hashlib.sha256(numbers).hexdigest(), DOCUMENT: _digest(body)}
    text = json.dumps(body | {"sha256": sums}, indent=1, allow_nan=False)
    if folder.exists() and not (folder.is_dir() and contents(folder) <= set(ENTRIES)):
        raise ValueError(f"{str(folder)!r} holds something else than a model; name a new folder")
    with locked(folder, WAIT), replaced(folder, ENTRIES) as new:
        write_bytes(new / ARRAYS, numbers)
        write_bytes(new / DOCUMENT, text.encode())


def read(folder: str | Path) -> Stored:
    """Content of a folder that `write` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it holds no model.
    ValueError
        For files that are not of this format, that a newer version wrote, or that were cut short or
        changed.
    OSError
        If other processes replace it for long.
    """
    folder = Path(folder)
    return as_one(folder, ENTRIES, lambda: _stored(folder))


def _stored(folder: Path) -> Stored:
    for name in ENTRIES:
        if not (folder / name).is_file():
            inner = folder / RUN_MODEL
            run = f"; it is a run, whose model is in {str(inner)!r}"
            raise FileNotFoundError(
                f"{str(folder)!r} is no folder with a model: it has no {name}"
                + run * (inner / DOCUMENT).is_file()
            )
    try:
        body = parsed((folder / DOCUMENT).read_bytes())
    except ValueError as error:
        raise ValueError(f"{folder / DOCUMENT} cannot be read as JSON: {error}") from error
    if not isinstance(body, dict) or body.get("package") != PACKAGE:
        raise ValueError(f"{folder / DOCUMENT} was not written by {PACKAGE}")
    number = body.get("format")
    if type(number) is not int or number < 1:
        raise ValueError(f"{folder / DOCUMENT} has the unknown format {number!r}")
    if number > FORMAT:
        raise ValueError(
            f"{folder / DOCUMENT} has format {number}, written by {PACKAGE} {body.get('version')}; "
            f"this version reads up to {FORMAT}: install a newer one"
        )
    sums, numbers = body.pop("sha256", None), (folder / ARRAYS).read_bytes()
    found = {ARRAYS: hashlib.sha256(numbers).hexdigest(), DOCUMENT: _digest(body)}
    for name, digest in found.items():
        if not isinstance(sums, dict) or sums.get(name) != digest:
            raise ValueError(
                f"{folder / name} is not what was saved: its sha256 differs; it was cut short or "
                "changed, save the model again"
            )
    try:
        arrays = load(numbers)
        parameters, fitted = (
            {k: _decode(v, arrays) for k, v in body[part].items()}
            for part in ("parameters", "fitted")
        )
        return Stored(body["class"], body["version"], parameters, fitted)
    except Exception as error:  # losses and safetensors raise many types for odd values
        raise ValueError(
            f"{str(folder)!r} does not hold a model as it is saved: {error}"
        ) from error


def loss_parts(loss: AbstractLoss) -> tuple[str, dict[str, Any]]:
    """The name of one of `LOSSES` and what it is made with."""
    return type(loss).__name__, {f.name: getattr(loss, f.name) for f in fields(loss)}


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _encode(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """A value for the JSON; arrays go into ``arrays`` under the name of where they stand."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, AbstractLoss) and type(value) in LOSSES.values():
        kind, values = loss_parts(value)
        encoded = {k: _encode(v, f"{name}/{k}", arrays) for k, v in values.items()}
        return {"loss": {"name": kind, "values": encoded}}
    if is_object(value):
        within = partial(_encode_field, name=name, arrays=arrays)
        return {"object": described(value, within)}
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"dict": {k: _encode(v, f"{name}/{k}", arrays) for k, v in value.items()}}
    if isinstance(value, list | tuple):
        return {"list": [_encode(v, f"{name}/{i}", arrays) for i, v in enumerate(value)]}
    array = np.asarray(value) if hasattr(value, "dtype") and hasattr(value, "shape") else None
    if array is not None and array.dtype.kind in "fiub":
        arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
        return {"array": name}
    if array is not None and array.ndim == 1 and all(isinstance(v, str) for v in array):
        return {"names" if array.dtype == object else "strings": [str(v) for v in array]}
    raise ValueError(
        f"{name} is a {type(value).__name__}, which a saved model cannot hold; it holds numbers, "
        "strings, arrays, objectives, losses and solvers: change it with set_params before save"
    )


def _encode_field(value: Any, field: str, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """A field of an object, which may be a tuple."""
    if isinstance(value, tuple):
        parts = [_encode_field(v, f"{field}/{i}", name, arrays) for i, v in enumerate(value)]
        return {"tuple": parts}
    return _encode(value, f"{name}/{field}", arrays)


def _decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        array = arrays[content]
        return array if array.ndim else array[()]
    if kind == "float":
        return float(content)
    if kind in ("strings", "names"):
        return np.array(content, dtype=str if kind == "strings" else object)
    if kind == "list":
        return [_decode(v, arrays) for v in content]
    if kind == "dict":
        return {k: _decode(v, arrays) for k, v in content.items()}
    if kind == "tuple":
        return tuple(_decode(v, arrays) for v in content)
    if kind == "object":
        return built(content, lambda v: _decode(v, arrays))
    if kind == "loss":
        values = {k: _decode(v, arrays) for k, v in content["values"].items()}
        return LOSSES[content["name"]](**values)
    raise KeyError(kind)
