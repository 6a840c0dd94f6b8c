"""Forms of the files of a run, config.json and tables, checked where they are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

LARGEST = 1e100
"""Numbers beyond this are a mistake, and would overflow in what is computed of them."""
COMPONENT = re.compile(r"(bcnmf|background)\d+")
"""Names of components in tables."""
OWN = ("sample", "set")
"""Columns of usage.tsv beside those of obs and of components."""


class RunFolderError(ValueError):
    """A folder that is no run, a run of something else, or one that may not be written over."""


class Form(NamedTuple):
    """A kind of value of JSON: what it is called, and whether something is one."""

    name: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and abs(value) <= LARGEST


def _is_moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False


def _or_none(form: Form) -> Form:
    return Form(f"{form.name} or null", lambda v: v is None or form.holds(v))


def _list_of(form: Form) -> Form:
    holds = lambda v: isinstance(v, list) and all(map(form.holds, v))  # noqa: E731
    return Form(f"a list, each {form.name}", holds)


def _either(*forms: Form) -> Form:
    return Form(" or ".join(f.name for f in forms), lambda v: any(f.holds(v) for f in forms))


TEXT = Form("text", lambda v: isinstance(v, str))
NUMBER = Form("a number", _is_number)
COUNT = Form("a whole number", lambda v: _is_number(v) and isinstance(v, int) and v >= 0)
MOMENT = Form("a date and time", _is_moment)
OBJECT = Form("an object", lambda v: isinstance(v, dict))
COMMAND = Form("a command", lambda v: v in ("fit", "sweep", "select", "compare"))
TEXTS = Form("an object of texts", lambda v: OBJECT.holds(v) and all(map(TEXT.holds, v.values())))
ALPHA = _either(NUMBER, _list_of(NUMBER))
SHARE = _or_none(NUMBER)

BEGUN: dict[str, Any] = {
    "format": COUNT,
    "command": COMMAND,
    "versions": {"bcnmf_jax": TEXT},
    "sources": [{"role": TEXT, "path": TEXT, "sha256": TEXT}],
    "data": OBJECT,
    "parameters": OBJECT,
    "columns": _list_of(TEXT),
    "line?": TEXT, "started?": MOMENT, "seconds?": NUMBER, "device?": TEXT,
}  # fmt: skip
"""Keys of config.json from the beginning; one with a question mark may lack."""
ENDED: dict[str, Any] = {
    "samples": {"target": COUNT, "background": COUNT},
    "features": COUNT,
    "scale": {"applied": TEXT, "why": TEXT},
    "warnings": _list_of(TEXT),
}
"""Keys that are added at the end, all or none."""
OUTCOME: dict[str, Any] = {"outcome": _or_none(TEXT), "reasons": _or_none(_list_of(TEXT))}
SIZES: dict[str, Any] = {
    "alpha": ALPHA, "objective": TEXT, "n_components": COUNT, "n_background_components": COUNT,
}  # fmt: skip
RESULTS: dict[str, dict[str, Any]] = {
    "fit": OUTCOME | SIZES | {
        "result": TEXT,
        "steps": _or_none(COUNT),
        "fitted_features?": COUNT,
        "diagnostics": {
            "x_explained?": SHARE, "y_explained?": _either(SHARE, _list_of(SHARE)),
            "dead_features?": SHARE, "dead_components?": SHARE,
        },
    },
    "select": {"outcome": TEXT, "reasons": _list_of(TEXT)} | SIZES,
    "sweep": {"fits": COUNT, "fitted_features?": COUNT, "results": Form(
        "numbers of fits", lambda v: OBJECT.holds(v) and all(map(COUNT.holds, v.values()))
    )},
    "compare": {},
}  # fmt: skip
"""Keys of ``result``, by command."""

WORD, NAME, VALUE, KNOWN = "text", "text in each row", "numbers", "a number in each row"
TABLES: dict[str, dict[str, str]] = {
    "components": {"feature": NAME},
    "usage": {"sample": NAME, "set": NAME},
    "restarts": {"value": VALUE, "result": NAME},
    "path": {
        "alpha": KNOWN, "n_components": KNOWN, "result": NAME, "x_explained": VALUE,
        "y_explained": VALUE, "dead_features": VALUE,
    },
    "selection": {
        "objective": NAME, "alpha": KNOWN, "n_components": KNOWN, "net": VALUE, "net_se": VALUE,
    },
    "enrichment": {"component": NAME, "kind": NAME, "level": NAME, "q": VALUE, "note": WORD},
    "background": {"name": NAME, "level": NAME, "advice": WORD},
    "comparison": {"method": NAME},
}  # fmt: skip
"""Tables of a run, and their columns that are read by name."""
ALSO = {"stability": VALUE, "score": VALUE}
"""Columns that a table may lack."""


def is_taken(column: str) -> bool:
    """Whether usage.tsv has no room for a column of obs of this name."""
    return not column or column in OWN or COMPONENT.fullmatch(column) is not None


def check_config(config: Any, where: str) -> dict[str, Any]:
    """The content of config.json, of which everything that is read by name is what it should be.

    Raises
    ------
    RunFolderError
        Where it is not, naming the key.
    """
    needed = [key for key in BEGUN if not key.endswith("?")]
    if not isinstance(config, dict) or any(key not in config for key in needed):
        raise RunFolderError(f"{where} is not of bcnmf: it lacks one of {', '.join(needed)}")
    _check(config, BEGUN, where, "")
    ended = [key for key in ENDED if key in config]
    _check(config, ENDED if ended else {}, where, "")
    if odd := [c for c in config["columns"] if is_taken(c) or config["columns"].count(c) > 1]:
        raise RunFolderError(f"{where}: columns has {odd[0]!r}, the name of another column")
    if config.get("result") is not None:
        _check(config, {"result": RESULTS[config["command"]]}, where, "")
    return config


def _check(value: Any, form: Any, where: str, key: str) -> None:
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise RunFolderError(f"{where}: {key or 'it'} must be an object, found {value!r:.60}")
        for name, inner in form.items():
            if (may := name.removesuffix("?")) != name and may not in value:
                continue
            name = may
            at = f"{key}.{name}" if key else name
            if name not in value:
                raise RunFolderError(f"{where}: {at} is missing")
            _check(value[name], inner, where, at)
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise RunFolderError(f"{where}: {key} must be a list, found {value!r:.60}")
        for i, one in enumerate(value):
            _check(one, form[0], where, f"{key}[{i}]")
    elif not form.holds(value):
        raise RunFolderError(f"{where}: {key} must be {form.name}, found {value!r:.60}")


def texts_of(name: str) -> list[str]:
    """Columns of a table that are read as they stand: "01" is no number."""
    return [column for column, kind in TABLES.get(name, {}).items() if kind in (WORD, NAME)]


def check_table(frame: Any, name: str, where: str) -> Any:
    """A table of which every column that is read by name is what it should be.

    Infinite numbers, of fits that were lost, are missing in it.

    Raises
    ------
    RunFolderError
        Where one is not, naming the column.
    """
    columns = dict(TABLES.get(name, {}))
    columns |= {column: kind for column, kind in ALSO.items() if column in frame}
    if name in ("components", "usage"):
        columns |= {c: VALUE for c in frame.columns if COMPONENT.fullmatch(c)}
    if not len(frame):
        raise RunFolderError(f"{where} has no rows")
    for column, kind in columns.items():
        if column not in frame:
            raise RunFolderError(f"{where} has no column {column!r}")
        if kind in (VALUE, KNOWN):
            frame[column] = _numbers(frame[column], f"{where}: column {column!r}")
        if kind in (NAME, KNOWN) and (lost := frame[column].isna()).any():
            raise RunFolderError(
                f"{where}: column {column!r} must have {kind}; row {lost.argmax() + 1} is empty"
            )
    return frame


def _numbers(column: Any, where: str) -> Any:
    if column.dtype.kind not in "iuf":
        raise RunFolderError(f"{where} must hold numbers, found {column.dtype}")
    values = column.to_numpy(float)
    values = np.where(np.isinf(values), np.nan, values)
    if (np.abs(values) > LARGEST).any():
        raise RunFolderError(f"{where} has numbers beyond {LARGEST:g}")
    return values if np.isnan(values).any() or column.dtype.kind == "f" else column
