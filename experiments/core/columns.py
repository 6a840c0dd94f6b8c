"""Columns of tables of settings: scores, diagnostics, results."""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from experiments.core.formats import number, score, spread
from experiments.core.records import IDENTITY, SCORES
from experiments.core.summary import pairs


@dataclass(frozen=True)
class Column:
    """One column of a table: its header, the score it shows and how it writes it."""

    header: str
    score: str
    cell: Callable[[pd.Series], str]

    def shown(self, settings: pd.DataFrame) -> bool:
        """Whether any setting has the score."""
        return bool(settings[f"{self.score}_median"].notna().any())


def quartiles(header: str, score: str) -> Column:
    """Make the column of a score's median [first, third quartile]."""

    def cell(setting: pd.Series) -> str:
        return spread(*(setting[f"{score}_{part}"] for part in ("median", "q1", "q3")))

    return Column(header, score, cell)


def _median(header: str, score: str, write: Callable[[float], str]) -> Column:
    return Column(header, score, lambda setting: write(setting[f"{score}_median"]))


def _count(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:g}"


def _area(setting: pd.Series) -> str:
    values = [setting[f"auc_{part}"] for part in ("median", "q1", "q3")]
    return f"{spread(*values)} ({score(setting['auc_chance_median'])})"


#: The primary ARI comes first: published numbers are written below it.
SCORE_COLUMNS = (
    quartiles("ARI", "ari_primary"),
    quartiles("NMI", "nmi_primary"),
    quartiles("ARI, raw", "ari_raw"),
    quartiles("ARI, row-normalised", "ari_row"),
    Column("best component AUC (chance)", "auc", _area),
    quartiles("logistic AUC", "auc_logistic"),
    quartiles("cosine to truth", "cosine"),
    _median("X explained", "x_explained", number),
    _median("Y explained", "y_explained", number),
    _median("dead features", "dead_features", _count),
    _median("dead components", "dead_components", _count),
    Column("results", "ari_primary", lambda setting: setting["results"]),
    _median("steps", "steps", _count),
    _median("seconds", "seconds", number),
)


def score_cells(setting: pd.Series, columns: list[Column]) -> list[str]:
    """Write the cells of one setting."""
    return [column.cell(setting) for column in columns]


def italic(cells: list[str]) -> list[str]:
    """Emphasise every cell that has text."""
    return [f"*{cell}*" if cell else cell for cell in cells]


def restarts(settings: pd.DataFrame) -> str:
    """Say how many restarts the medians are over, for a caption."""
    least, most = settings["restarts"].min(), settings["restarts"].max()
    count = str(least) if least == most else f"{least} to {most}"
    return (
        f"Median [quartiles] over {count} restarts (a method without randomness: one fit, as many "
        "clustering seeds), the median alone where the three read alike and for diagnostics."
    )


def numbers(settings: pd.DataFrame) -> pd.DataFrame:
    """Give every setting with all its quartiles, for the CSV; ``oracle`` is 1 where it is one."""
    frame = settings.copy()
    frame["oracle"] = False
    main = frame[frame["experiment"] == "main"]
    for _, group in main.groupby(["config", "data", "data_args"], sort=False):
        best = [pair.oracle.name for pair in pairs(group) if pair.oracle is not None]
        frame.loc[best, "oracle"] = True
    scores = [f"{score}_{part}" for score in SCORES for part in ("q1", "median", "q3")]
    facts = ["label", "auto_alpha", "alpha_total", "n", "m", "g", "restarts", "results", "failed"]
    return frame[["data_name", *IDENTITY, "default", "oracle", *facts, *scores]]
