"""Tables of ablations: every setting a row, and a column for all that differs between them."""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false

import json
from typing import Any

import numpy as np
import pandas as pd

from experiments.core.columns import SCORE_COLUMNS, numbers, quartiles, restarts, score_cells
from experiments.core.formats import Table
from experiments.core.summary import arguments, method_name, pairs

TITLES = {
    "loss_solver": "loss and solver",
    "damping": "damping and inner code steps",
    "initialisation": "initialisation",
    "alpha_rank": "contrast and rank",
    "readout": "readout of the codes before clustering",
    "alpha_unit": "contrast per sample and in total",
    "objectives": "variants of the objective",
}
_FIXED = ("method", "K", "shared", "α", "a (total)")
_READOUTS = (
    *(quartiles("ARI", "ari_primary"), quartiles("ARI, raw", "ari_raw")),
    *(quartiles("ARI, row-normalised", "ari_row"), quartiles("NMI", "nmi_primary")),
    *(quartiles("NMI, raw", "nmi_raw"), quartiles("NMI, row-normalised", "nmi_row")),
)


def described(setting: pd.Series) -> dict[str, Any]:
    """Say all that an ablation may vary: method, rank, contrast, options."""
    fixed = {
        "method": method_name(setting["label"], setting["loss"]),
        "K": setting["rank"],
        "shared": setting["extra"] or np.nan,  # none, whether recorded as 0 or as null
        "α": "auto" if setting["auto_alpha"] else setting["alpha"],
    }
    if setting["experiment"] == "alpha_unit":
        fixed["a (total)"] = setting["alpha_total"]
    return fixed | arguments(setting["options"])


def varying(settings: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Split what settings say of themselves into what differs and what all share.

    Parameters
    ----------
    settings : DataFrame
        From `summarise`, the settings of one experiment.

    Returns
    -------
    (DataFrame, dict)
        Text of what differs, a line per setting ("–" where a setting does not have it); and the
        text of what is equal for all.
    """
    told = pd.DataFrame([described(row) for _, row in settings.iterrows()], index=settings.index)
    text = told.map(_text)
    named = [key for key in _FIXED if key in text]
    text = text[[*named, *sorted(set(text) - set(named))]]
    different = [key for key in text if text[key].nunique() > 1]
    shared = {key: text[key].iloc[0] for key in text if key not in different}
    return text[different], {key: value for key, value in shared.items() if value != "–"}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, dict)):
        return json.dumps(value, sort_keys=True)
    return "–" if pd.isna(value) else f"{value:.4g}"


def ablation_tables(settings: pd.DataFrame) -> list[Table]:
    """Make one table per experiment that is not "main"."""
    return [_ablation(str(name), group) for name, group in settings.groupby("experiment")]


def _ablation(experiment: str, settings: pd.DataFrame) -> Table:
    different, shared = varying(settings)
    columns = [each for each in SCORE_COLUMNS if each.shown(settings)]
    marked = bool(settings["default"].any())
    header = ["data", *different.columns, *(["default"] if marked else [])]
    body, last = [], None
    for index, setting in settings.iterrows():
        data = setting["data_name"]
        row = ["" if data == last else data, *different.loc[index]]
        row += [["", "yes"][int(setting["default"])]] if marked else []
        body.append([*row, *score_cells(setting, columns)])
        last = data
    equal = ", ".join(f"{key} {value}" for key, value in shared.items())
    caption = (
        f"{restarts(settings)} Every setting is shown, none was picked. "
        + (f"For all rows: {equal}. " if equal else "")
        + "KL is fitted to raw counts where there are any, squared error to log-normalised counts. "
        "Fits that were not finite have no scores and count under results only."
    )
    header += [column.header for column in columns]
    title = f"Ablation: {TITLES.get(experiment, experiment)}"
    return Table(f"ablation_{experiment}", title, caption, header, body, numbers(settings))


def readout_table(settings: pd.DataFrame) -> Table:
    """Tabulate k-means on three readouts of the same codes, for every default setting.

    Parameters
    ----------
    settings : DataFrame
        From `summarise`, main rows: each was scored on every readout.
    """
    columns = list(_READOUTS)
    body, records = [], []
    for data, group in settings.groupby("data_name", sort=False):
        name = str(data)
        for pair in pairs(group):
            if pair.default is None:
                continue
            body.append([name, pair.name, *score_cells(pair.default, columns)])
            name = ""
            names = [f"{c.score}_{part}" for c in columns for part in ("q1", "median", "q3")]
            records.append({"data": data, "method": pair.name} | dict(pair.default[names]))
    caption = (
        f"{restarts(settings)} The same fits under three readouts before k-means, default settings "
        "only. ARI and NMI without a further word: on the primary readout, the square "
        "root of each code's share of the full code (signed codes of the PCA family as they are)."
    )
    header = ["data", "method", *(column.header for column in columns)]
    frame = pd.DataFrame(records)
    return Table("readout", f"Ablation: {TITLES['readout']}", caption, header, body, frame)
