"""Objectives, losses, penalties and solvers as names of classes and values of fields, and back.

A class of this package is named ``bcnmf_jax:KL``, another ``its.module:Name``. Reading imports
nothing: a class is taken from a module that has been imported already, which is how one says that
its code is trusted.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from bcnmf_jax import objectives, solvers
from bcnmf_jax.model import losses, penalties
from bcnmf_jax.model.loss import AbstractLoss
from bcnmf_jax.model.objective import AbstractObjective
from bcnmf_jax.model.penalties import AbstractPenalty
from bcnmf_jax.solvers.solver import AbstractSolver

PACKAGE = "bcnmf_jax"
KINDS = (AbstractLoss, AbstractObjective, AbstractPenalty, AbstractSolver)
NAMESPACES = (losses, objectives, penalties, solvers)


def is_object(value: Any) -> bool:
    """Whether a value is an objective, a loss, a penalty or a solver."""
    return isinstance(value, KINDS)


def class_name(value: Any) -> str:
    """Module and name of the class of an object.

    Raises
    ------
    ValueError
        For a class that cannot be found by them: of a script or notebook, or within a function.
    """
    kind = type(value)
    if any(getattr(place, kind.__name__, None) is kind for place in NAMESPACES):
        return f"{PACKAGE}:{kind.__name__}"
    named = f"{kind.__module__}:{kind.__qualname__}"
    if (
        kind.__module__ == "__main__"
        or getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is not kind
    ):
        raise ValueError(
            f"{named} cannot be stored: a class is found again by its module and name; define it "
            "at the top level of a module of its own, and import it from there"
        )
    return named


def described(value: Any, encode: Callable[[Any, str], Any]) -> dict[str, Any]:
    """Class and fields of an object; ``encode`` takes the value of a field and its name."""
    own = {f.name: encode(getattr(value, f.name), f.name) for f in fields(value) if f.init}
    return {"class": class_name(value), "fields": own}


def built(found: dict[str, Any], decode: Callable[[Any], Any]) -> Any:
    """The object of a class and fields.

    Raises
    ------
    ValueError
        For a class whose module has not been imported, or that is none of an objective, loss,
        penalty or solver.
    """
    module, _, name = str(found["class"]).partition(":")
    if module == PACKAGE:
        kinds = [getattr(place, name, None) for place in NAMESPACES]
        kind = next((k for k in kinds if isinstance(k, type)), None)
    elif module in sys.modules:
        kind = getattr(sys.modules[module], name, None)
    else:
        raise ValueError(
            f"it holds a {name} of the module {module!r}, which is not imported: import it, if you "
            "trust its code, and load again"
        )
    if not (isinstance(kind, type) and issubclass(kind, KINDS)):
        raise ValueError(f"{found['class']} is no objective, loss, penalty or solver")
    return kind(**{k: decode(v) for k, v in found["fields"].items()})


def to_text(value: Any) -> str:
    """An object as JSON, arrays as lists."""

    def encode(value: Any, name: str) -> Any:
        if is_object(value):
            return {"object": described(value, encode)}
        if isinstance(value, tuple):
            return {"tuple": [encode(v, name) for v in value]}
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        array = np.asarray(value) if hasattr(value, "dtype") else None
        if array is not None and array.dtype.kind in "fiub" and np.isfinite(array).all():
            return {"array": array.tolist(), "dtype": str(array.dtype)}
        raise ValueError(f"the field {name!r} cannot be stored: {value!r:.60}")

    return json.dumps(encode(value, "itself"))


def from_text(text: str) -> Any:
    """The object of `to_text`.

    Raises
    ------
    ValueError
        As `built`.
    """

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if "object" in value:
            return built(value["object"], decode)
        if "tuple" in value:
            return tuple(decode(v) for v in value["tuple"])
        return np.asarray(value["array"], value["dtype"])

    return decode(json.loads(text))
