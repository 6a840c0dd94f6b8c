"""From restarts to settings: quartiles, the default and the *oracle* setting."""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.core.formats import with_arguments
from experiments.core.records import IDENTITY, SCORES, RowError
from experiments.core.registry import LOSSES, METHODS

#: Orders in every table and figure; what is not listed follows, by name.
CONFIGS = (
    *("demo", "beta_series", "digits", "mnist01", "mnist10", "mouse", "mixseq"),
    *("kang_lymphocytes", "kang_cross_donor"),
)
RESULTS = ("converged", "max_steps", "collapsed", "nonfinite")
#: Experiments of all methods, whose best entries label-free choices are held against.
RIVALS = ("main", "families")
#: Experiments that are no ablations.
APART = (*RIVALS, "bounded")


def place(order: Iterable[str], name: str) -> tuple[int, str]:
    """Sort key: the position in `order`, then whatever is not in it, by name."""
    names = list(order)
    return (names.index(name), "") if name in names else (len(names), name)


def method_name(label: str, loss: str) -> str:
    """Name a method with its loss, where it has one."""
    name = LOSSES[loss].label if loss in LOSSES else loss
    return f"{label}, {name}" if loss else label


def arguments(text: str) -> dict[str, Any]:
    """Return the object in a ``data_args`` or ``options`` field."""
    return json.loads(text)


def differing(settings: pd.DataFrame) -> str:
    """Return the argument in which the data sets of one configuration differ, or ""."""
    held = [arguments(text) for text in settings["data_args"].unique()]
    keys = sorted({key for each in held for key in each})
    varying = [key for key in keys if len({json.dumps(each.get(key)) for each in held}) > 1]
    if len(varying) > 1:
        config = settings["config"].iloc[0]
        raise RowError(f"{config}: data sets differ in {', '.join(varying)}; they may in one")
    return varying[0] if varying else ""


def series(settings: pd.DataFrame) -> str:
    """Return that argument where it is a number for every data set, or ""."""
    key = differing(settings)
    held = [arguments(text).get(key) for text in settings["data_args"].unique()]
    return key if all(isinstance(value, int | float) for value in held) else ""


def _data_names(settings: pd.DataFrame) -> pd.Series:
    """Name each setting's data set: the configuration, or in ablations the function that made it.

    Arguments are added where they are needed to tell data sets apart.
    """
    names = pd.Series("", index=settings.index)
    main = settings["experiment"] == "main"
    for config, group in settings[main].groupby("config"):
        key = differing(group)
        held = [arguments(text) for text in group["data_args"]]
        names[group.index] = [
            f"{config}, {key} {each[key]}" if key in each else config for each in held
        ]
    for index, row in settings[~main].iterrows():
        names[index] = with_arguments(row["data"], arguments(row["data_args"]))
    return names


def setting_name(setting: pd.Series) -> str:
    """Say rank (target + shared components), contrast per sample and options of one setting."""
    extra = "" if np.isnan(setting["extra"]) or not setting["extra"] else f"+{setting['extra']:g}"
    parts = [f"K={setting['rank']}{extra}"]
    if setting["auto_alpha"]:
        parts.append(f"α=auto ({setting['alpha']:.3g})")
    elif not np.isnan(setting["alpha"]):
        parts.append(f"α={setting['alpha']:g}")
    options = sorted(arguments(setting["options"]).items())
    parts += [f"{key}={value}" for key, value in options if value != "auto"]
    return ", ".join(parts)


def _results(counts: pd.Series) -> str:
    """Say how many fits ended how: "18 collapsed, 2 converged"."""
    names = sorted(counts.index[counts > 0], key=lambda name: place(RESULTS, name))
    return ", ".join(f"{counts[name]} {name}" for name in names)


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Summarise the restarts of every setting.

    Parameters
    ----------
    rows : DataFrame
        From `read_rows`.

    Returns
    -------
    DataFrame
        One line per setting, in the order of tables: the fields of `IDENTITY`, label, default, n,
        m, g, auto_alpha, alpha_total, data_name; ``restarts``; ``results`` in words, ``failed``
        (share of fits that collapsed or were not finite); and for every score its ``_q1``,
        ``_median`` and ``_q3`` over the restarts that have it (NaN where none has). With
        ``auto_alpha``, alpha and alpha_total are medians too.
    """
    groups = rows.groupby("setting", sort=False)
    kept = ["label", "default", "n", "m", "g", "auto_alpha"]
    first = groups[[*IDENTITY, *kept]].first()
    # `first` skips missing values, which for these fields are the value.
    first[["alpha", "alpha_total", "extra"]] = groups[["alpha", "alpha_total", "extra"]].median()
    quartiles = groups[list(SCORES)].quantile([0.25, 0.5, 0.75]).unstack()
    names = {0.25: "q1", 0.5: "median", 0.75: "q3"}
    quartiles.columns = [f"{score}_{names[level]}" for score, level in quartiles.columns]
    counts = groups["result"].value_counts().unstack(fill_value=0)
    failed = [name for name in ("collapsed", "nonfinite") if name in counts]
    first["restarts"] = groups.size()
    first["results"] = counts.apply(_results, axis=1)
    first["failed"] = counts[failed].sum(axis=1) / first["restarts"]
    table = first.join(quartiles).reset_index()
    order = sorted(range(len(table)), key=lambda i: _order(table.iloc[i]))
    table = table.iloc[order].reset_index(drop=True)
    table["data_name"] = _data_names(table)
    return table


def _order(setting: pd.Series) -> tuple[Any, ...]:
    """Order of tables: data set, method, loss, options, then increasing rank and contrast."""
    return (
        *(place(CONFIGS, setting["config"]), setting["experiment"], setting["data"]),
        _natural_items(setting["data_args"]),
        *(place(METHODS, setting["method"]), place(("", *LOSSES), setting["loss"])),
        *(setting["rank"], natural(setting["extra"]), setting["auto_alpha"]),
        *(natural(setting["alpha"]), _natural_items(setting["options"]), setting["scale"]),
    )


def _natural_items(text: str) -> list[tuple[str, tuple[int, float, str]]]:
    return [(key, natural(value)) for key, value in sorted(arguments(text).items())]


def natural(value: Any) -> tuple[int, float, str]:
    """Sort key under which missing values come first, then numbers, then text."""
    if isinstance(value, (str, list, dict)):
        return (2, 0.0, value if isinstance(value, str) else json.dumps(value, sort_keys=True))
    if value is None or np.isnan(value):
        return (0, 0.0, "")
    return (1, float(value), "")


@dataclass(frozen=True)
class Pair:
    """One method with one loss on one data set: its default and its *oracle* setting.

    Attributes
    ----------
    method, loss, name : str
    default : Series or None
        The setting fixed in the configuration before the run; None where no row of it exists.
    oracle : Series or None
        The setting of highest median primary ARI among those with at most half of the fits
        collapsed or not finite; a tie goes to the default, then to the first in order. None where
        every setting failed so, or none has an ARI.
    """

    method: str
    loss: str
    name: str
    default: pd.Series | None
    oracle: pd.Series | None


def pairs(settings: pd.DataFrame) -> Iterator[Pair]:
    """Yield the `Pair` of every method and loss among the settings of one data set.

    Raises
    ------
    RowError
        If a method has two default settings.
    """
    for (method, loss), group in settings.groupby(["method", "loss"], sort=False):
        name = method_name(group["label"].iloc[0], loss)
        defaults = group[group["default"]]
        if len(defaults) > 1:
            found = "; ".join(setting_name(row) for _, row in defaults.iterrows())
            where = group["data_name"].iloc[0]
            raise RowError(f"{where}: {name} has {len(defaults)} default settings ({found})")
        usable = group[(group["failed"] <= 0.5) & group["ari_primary_median"].notna()]
        # A stable sort: equal medians stay in the order of tables.
        best = usable.sort_values(
            ["ari_primary_median", "default"], ascending=[False, False], kind="stable"
        )
        yield Pair(
            method,
            loss,
            name,
            defaults.iloc[0] if len(defaults) else None,
            best.iloc[0] if len(best) else None,
        )


def own_defaults(settings: pd.DataFrame) -> dict[str, list[str]]:
    """Find configurations whose default of a method is not that of most other configurations.

    Parameters
    ----------
    settings : DataFrame
        From `summarise`, main rows.

    Returns
    -------
    dict
        Configuration -> the methods and settings that are its own.
    """
    own: dict[str, list[str]] = {}
    defaults = settings[settings["default"]].assign(
        alpha=settings["alpha"].mask(settings["auto_alpha"])
    )
    for _, group in defaults.groupby(["method", "loss"], sort=False):
        once = group.drop_duplicates("config")
        told = once[["alpha", "rank", "extra", "options"]].astype(str).agg(" ".join, axis=1)
        usual = told.mode().iloc[0]
        for index in once.index[told != usual]:
            row = settings.loc[index]
            name = f"{method_name(row['label'], row['loss'])} {setting_name(row)}"
            own.setdefault(row["config"], []).append(name)
    return own
