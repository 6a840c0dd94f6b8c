"""The table of label-free choices: what each cost against the best entry of every other method.

Reads rows alone, and imports neither jax nor the package.
"""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.core.formats import Table, data_name, quartiles, score, spread
from experiments.core.records import ROOT, RowError
from experiments.core.registry import LOSSES
from experiments.core.summary import RIVALS, method_name, setting_name

CHOICES = ROOT / "paper" / "choices"
NEAR = {"auc": 0.03, "ari_primary": 0.05}
"""How far below the best entry a choice may be."""
SHORT = {"contrast found": "found", "no contrast found": "none", "no power": "no power"}


def read_choices(folder: Path = CHOICES) -> list[dict[str, Any]]:
    """Rows of every file of choices, in order; none where there is no folder.

    Raises
    ------
    RowError
        For rows of several configurations, or versions of the rule, in one file.
    """
    found = []
    for path in sorted(folder.glob("*.jsonl")) if folder.exists() else []:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        if len({row["config_hash"] for row in rows}) > 1:
            raise RowError(f"{path}: choices by several rules or configurations; keep those of one")
        found += rows
    return found


def rivals(settings: pd.DataFrame, row: dict[str, Any], of: str) -> pd.DataFrame:
    """Settings of all methods on the data of a choice that have a score and mostly did not fail."""
    told = json.dumps(row["data_args"], sort_keys=True)
    same = (settings["data"] == row["data"]) & (settings["data_args"] == told)
    usable = settings[same & settings["experiment"].isin(RIVALS) & (settings["failed"] <= 0.5)]
    return usable[usable[f"{of}_median"].notna()]


def best_entry(held: pd.DataFrame, of: str) -> tuple[float, str]:
    """The best median of a score over all methods and settings, and whose it is."""
    if not len(held):
        return np.nan, ""
    best = held.loc[held[f"{of}_median"].idxmax()]
    name = f"{method_name(best['label'], best['loss'])} {setting_name(best)}"
    return float(best[f"{of}_median"]), name


def plain_nmf(held: pd.DataFrame, row: dict[str, Any], of: str) -> float:
    """The best median of plain NMF with the loss of a choice."""
    own = held[(held["method"] == "nmf") & (held["loss"] == row["loss"])]
    return float(own[f"{of}_median"].max()) if len(own) else np.nan


def choice_name(row: dict[str, Any]) -> str:
    """What was chosen."""
    parts = f"K={row['n_components']}+{row['n_background_components']}"
    return f"{row['objective']} {parts}" + (f", α={row['alpha']:g}" if row["alpha"] else "")


def regret_table(choices: list[dict[str, Any]], settings: pd.DataFrame) -> Table:
    """One line per choice: its scores, the best entry of all methods, and the difference."""
    body, records = [], []
    for row in choices:
        cells = [
            data_name(row),
            LOSSES[row["loss"]].label,
            SHORT.get(row["outcome"], row["outcome"]),
        ]
        cells.append(choice_name(row))
        record = {"data": cells[0], "loss": row["loss"], "outcome": row["outcome"]}
        record |= {"choice": cells[3], "seconds": row["seconds"]}
        for of in ("ari_primary", "auc"):
            median, low, high = quartiles(row["scores"][of])
            held = rivals(settings, row, of)
            (best, who), nmf = best_entry(held, of), plain_nmf(held, row, of)
            lost = best - median
            near = "" if np.isnan(lost) else ("yes" if lost <= NEAR[of] else "no")
            cells += [spread(median, low, high), f"*{score(best)}*", score(lost), near]
            cells.append(f"*{score(nmf)}*")
            record |= {of: median, f"{of}_q1": low, f"{of}_q3": high, f"{of}_oracle": best}
            record |= {f"{of}_oracle_setting": who, f"{of}_nmf": nmf, f"{of}_regret": lost}
        body.append([*cells, f"{row['seconds']:.0f}"])
        records.append(record)
    header = ["data", "loss", "contrast", "choice"]
    for name, limit in (("ARI", "≤ .05"), ("AUC", "≤ .03")):
        header += [name, "*best*", "regret", limit, "*NMF*"]
    header.append("seconds")
    counts = sorted({len(row["results"]) for row in choices})
    restarts = " or ".join(map(str, counts))
    caption = (
        "Label-free choices (`bcnmf_jax.select`, one rule for all data sets) and their scores: "
        f"median [quartiles] over {restarts} restarts at what was chosen. *Best*: the highest "
        "median over all methods and settings on these data, both losses and cPCA's included, "
        "chosen with the labels; regret is how far below it the choice is. *Contrast* is the "
        "answer of the choice, *NMF* the best of plain NMF with the same loss, with the labels too "
        "(– where nothing of that was run; on simulated families, named with their seeds, one or "
        "two settings of each method). Seconds are those of the choice. "
    )
    frame = pd.DataFrame(records)
    caption += " ".join(
        counted(frame, of, name) for of, name in (("ari_primary", "ARI"), ("auc", "AUC"))
    )
    return Table("select", "Label-free choices", caption, header, body, frame)


def counted(frame: pd.DataFrame, of: str, name: str) -> str:
    """How many choices are near the best entry, and how many fall behind plain NMF."""
    held = frame[frame[f"{of}_regret"].notna()]
    near, behind = held[f"{of}_regret"] <= NEAR[of], held[f"{of}_nmf"] - held[of] > NEAR[of]
    return (
        f"{name}: {near.sum()} of {len(held)} choices are within {NEAR[of]:g} of the best entry, "
        f"{behind.sum()} more than that below plain NMF."
    )
