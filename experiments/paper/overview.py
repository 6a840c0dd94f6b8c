"""Tables across data sets: one score of all methods on all of them, or against a series."""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false

import pandas as pd

from experiments.core.columns import numbers, restarts
from experiments.core.formats import Table, score, spread
from experiments.core.registry import METHODS
from experiments.core.summary import (
    arguments,
    method_name,
    natural,
    own_defaults,
    pairs,
    place,
    series,
    setting_name,
)
from experiments.paper.published import Published

ORACLE = (
    "*Oracle* rows show, for every method alike, the setting of highest median primary ARI in "
    "hindsight: they have seen the labels. Settings of which more than half of the fits collapsed "
    "or were not finite cannot be oracle."
)
DEFAULT = "The default is one setting per method, fixed before the run"


def _short(setting: pd.Series | None, of: str, *, quartiles: bool = False) -> str:
    """Write one score, with † where more than half of the fits failed."""
    if setting is None:
        return "–"
    values = [setting[f"{of}_{part}"] for part in ("median", "q1", "q3")]
    text = spread(*values) if quartiles else score(values[0])
    return text + ("†" if setting["failed"] > 0.5 else "")


def series_table(settings: pd.DataFrame, published: Published, defaults: str) -> Table:
    """Tabulate the primary ARI of a series of data sets against what tells them apart."""
    config, key = settings["config"].iloc[0], series(settings)
    points = sorted({arguments(text)[key] for text in settings["data_args"]}, key=natural)
    cells: dict[tuple[str, str], dict[tuple[str, str], dict[float | None, str]]] = {}
    names: dict[tuple[str, str], str] = {}
    for data_args, group in settings.groupby("data_args", sort=False):
        at = arguments(str(data_args))[key]
        for pair in pairs(group):
            rows = cells.setdefault((pair.method, pair.loss), {})
            names[pair.method, pair.loss] = pair.name
            text = _short(pair.default, "ari_primary", quartiles=True)
            rows.setdefault(("default", ""), {})[at] = text
            text = _short(pair.oracle, "ari_primary", quartiles=True)
            rows.setdefault(("*oracle*", ""), {})[at] = f"*{text}*"
    for each in published.numbers:
        if each.data == config and each.at in points:
            rows = cells.setdefault((each.method, each.loss), {})
            names.setdefault((each.method, each.loss), method_name(each.label, each.loss))
            rows.setdefault((published.kind(each), each.setting), {})[each.at] = each.text
    body = []
    for which in sorted(cells, key=lambda pair: (place(METHODS, pair[0]), pair[1])):
        name = names[which]
        for (kind, setting), row in cells[which].items():
            label = f"{kind}; {setting}" if setting else kind
            body.append([name, label, *(row.get(at, "–") for at in points)])
            name = ""
    caption = (
        f"{restarts(settings)} Primary ARI against {key}. {defaults} {ORACLE} The oracle is chosen "
        f"at each {key} anew; {config}_details says which, with all other scores. † More than half "
        "of the fits collapsed or were not finite."
    )
    header = ["method", "row", *(f"{key} {at:g}" for at in points)]
    return Table(config, f"{config}: ARI against {key}", caption, header, body, numbers(settings))


def _exceptions(settings: pd.DataFrame) -> str:
    """Say in a caption over all data sets which defaults are not the common ones."""
    own = own_defaults(settings)
    told = [f"{config} has its own of {'; '.join(names)}." for config, names in own.items()]
    return " ".join([f"{DEFAULT}, the same for all data sets{' but:' if own else '.'}", *told])


def overview_table(settings: pd.DataFrame, name: str, of: str, title: str) -> Table:
    """Tabulate one score, default / *oracle*, of all methods on all data sets."""
    found = {data: list(pairs(rows)) for data, rows in settings.groupby("data_name", sort=False)}
    names = {(p.method, p.loss): p.name for row in found.values() for p in row}
    columns = sorted(names, key=lambda pair: (place(METHODS, pair[0]), pair[1]))
    body, records = [], []
    for data, row in found.items():
        by_method = {(pair.method, pair.loss): pair for pair in row}
        cells = []
        for which in columns:
            pair = by_method.get(which)
            if pair is None:
                cells.append("")
                continue
            cells.append(f"{_short(pair.default, of)} / *{_short(pair.oracle, of)}*")
            for kind, setting in (("default", pair.default), ("oracle", pair.oracle)):
                if setting is not None:
                    held = {key: setting[f"{of}_{key}"] for key in ("q1", "median", "q3")}
                    said = {"setting": setting_name(setting), "failed": setting["failed"]}
                    records.append({"data": data, "method": pair.name, "row": kind} | held | said)
        body.append([str(data), *cells])
    caption = (
        f"{title}: default / *oracle*. {restarts(settings)} {_exceptions(settings)} {ORACLE} "
        "† More than half of the fits collapsed or were not finite."
    )
    header = ["data", *(names[which] for which in columns)]
    return Table(name, title, caption, header, body, pd.DataFrame(records))
