"""Reading recorded rows: one JSON object a line in ``<results>/<config>.jsonl``, checked."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent.parent
PAPER = ROOT / "paper"
#: Where ``python -m experiments.run`` leaves rows that tables and figures are made of.
RESULTS = PAPER / "results"
#: Scores and diagnostics of a fit: a number, or null where it is not available.
SCORES = (
    *("ari_primary", "nmi_primary", "ari_raw", "nmi_raw", "ari_row", "nmi_row"),
    *("auc", "auc_chance", "auc_logistic", "cosine"),
    *("x_explained", "y_explained", "dead_features", "dead_components", "effective_features"),
    *("value", "steps", "seconds"),
)
_TEXT = ("config", "config_hash", "data", "scale", "experiment", "method", "label", "result")
_WHOLE = ("n", "m", "g", "rank", "seed")
_OBJECTS = ("data_args", "options", "versions", "device")
#: What tells two settings of one method on one data set apart.
SETTING = ("method", "loss", "alpha", "rank", "extra", "options")
#: What tells two settings apart anywhere.
IDENTITY = ("config", "data", "data_args", "scale", "experiment", *SETTING)


class RowError(ValueError):
    """Recorded rows that tables cannot be made of; the message says which and what to do."""


def _kinds() -> dict[str, tuple[tuple[type, ...], str]]:
    """Map each field of a row to the types it may have and how an error calls them."""
    none = type(None)
    kinds: dict[str, tuple[tuple[type, ...], str]] = {"default": ((bool,), "true or false")}
    kinds |= {name: ((str,), "text") for name in _TEXT}
    kinds |= {name: ((str, none), "text or null") for name in ("loss", "commit")}
    kinds |= {name: ((int,), "a whole number") for name in _WHOLE}
    kinds |= {name: ((dict,), "an object") for name in _OBJECTS}
    numbers = ("alpha", "alpha_total", "extra", *SCORES)
    return kinds | {name: ((int, float, none), "a number or null") for name in numbers}


_KINDS = _kinds()


def _refuse(token: str) -> None:
    raise ValueError(f"{token} is not JSON; a value that is not available is null")


def _parse(line: str, stem: str) -> dict[str, Any]:
    """Return the row in `line` of ``<stem>.jsonl``; ValueError says what is wrong with it."""
    try:
        row = json.loads(line, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"not a whole JSON object ({error})") from None
    if not isinstance(row, dict):
        raise ValueError(f"found {type(row).__name__}, expected an object")
    missing = sorted(_KINDS.keys() - row.keys())
    if missing:
        raise ValueError(f"not a recorded row, it has no {', '.join(missing)}")
    for name, (types, wanted) in _KINDS.items():
        value = row[name]
        # bool is an int to Python, and a metric that says "true" is a mistake.
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ValueError(f"{name} is {value!r}, expected {wanted}")
    if row["config"] != stem:
        raise ValueError(f"the row belongs to config {row['config']!r}")
    return row


def _chose_alpha(row: dict[str, Any]) -> bool:
    return row["options"].get("alpha_mode") == "auto"


def _setting(row: dict[str, Any]) -> str:
    """Return what is equal for the restarts of one setting, and for no other rows.

    A contrast that the method chose is an outcome and no part of it.
    """
    told = {name: row[name] for name in IDENTITY if name != "alpha" or not _chose_alpha(row)}
    return json.dumps(told, sort_keys=True)


def _read_file(path: Path) -> list[dict[str, Any]]:
    """Read one file of rows, each once and all of one setting from one configuration."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RowError(f"{path}: not text in UTF-8 ({error})") from None
    # Not splitlines(), which also breaks at characters that a JSON text may hold.
    lines = text.removesuffix("\n").split("\n") if text else []
    rows: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    hashes: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _parse(line, path.stem)
            setting, own = _setting(row), row["config_hash"]
            first = seen.setdefault(f"{setting} {row['seed']}", number)
            if first != number:
                raise ValueError(f"the same fit as line {first}")
            known, first = hashes.setdefault(setting, (own, number))
            if own != known:
                raise ValueError(
                    f"config_hash {own} differs from line {first}, which is of the same setting; "
                    "move the rows of the other configuration away"
                )
        except ValueError as error:
            raise RowError(f"{path}, line {number}: {error}") from None
        rows.append(row)
    if not rows:
        raise RowError(f"{path}: no rows; run its configuration or remove the file")
    return rows


def read_rows(folder: Path = RESULTS) -> pd.DataFrame:
    """Read every recorded row.

    Parameters
    ----------
    folder : Path
        Holds one ``<config>.jsonl`` per configuration.

    Returns
    -------
    DataFrame
        One line per fit, columns as the row's fields. A loss of null is ""; objects are JSON text
        with sorted keys; other nulls are NaN. ``setting`` is equal for restarts of one setting. The
        contrast that a method chose itself (an option "auto") is no part of its setting.

    Raises
    ------
    RowError
        If there are no rows, or a line is torn, foreign, recorded twice or of another
        configuration than the file; the message names file and line.
    """
    paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        raise RowError(
            f"{folder}: no recorded rows; "
            f"make some with: python -m experiments.run configs/NAME.toml --out {folder}"
        )
    rows = [row for path in paths for row in _read_file(path)]
    for row in rows:
        row["setting"] = _setting(row)
        row["auto_alpha"] = _chose_alpha(row)
        row["loss"] = row["loss"] or ""
        for name in _OBJECTS:
            row[name] = json.dumps(row[name], sort_keys=True)
    table = pd.DataFrame(rows)
    numbers = ["alpha", "alpha_total", "extra", *SCORES]
    table[numbers] = table[numbers].astype("float64")
    disagreeing = table.groupby("setting")["default"].nunique()
    if (disagreeing > 1).any():
        raise RowError(f"rows of one setting disagree on default: {disagreeing.idxmax()}")
    return table


def read_lines_of(path: Path) -> list[dict[str, Any]]:
    """Rows of one file that are no fits, in order.

    Raises
    ------
    RowError
        For a line that is no JSON object; a last one that a killed run left is none.
    """
    # Imported here: what reads rows of fits needs neither the package nor jax.
    from bcnmf_jax.storage.lines import read_lines

    try:
        return list(read_lines(path).values())
    except ValueError as error:
        raise RowError(str(error)) from None
