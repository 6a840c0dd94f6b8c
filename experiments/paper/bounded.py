"""The table of forms of the contrast on counts: its value, and whether it has one."""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false

from collections.abc import Iterable

import numpy as np
import pandas as pd

from experiments.core.formats import Table, score
from experiments.core.summary import method_name


def with_values(rows: pd.DataFrame, settings: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Settings with the median reduced objective under every floor, how far at most it moves
    between floors relative to itself (``moves``), and the most dead features (``dead``) of any
    restart; and the names of the columns of values."""
    held = rows["values"].dropna()
    values = pd.DataFrame(held.tolist(), index=held.index)
    values.columns = [f"V, eps {eps}" for eps in values]
    told = rows[["setting", "dead_features"]].join(values)
    told["moves"] = np.ptp(values, axis=1) / values.abs().max(axis=1)
    told.loc[values.index[values.isna().any(axis=1)], "moves"] = np.inf  # was not finite
    by_setting = told.groupby("setting")
    most = by_setting[["dead_features", "moves"]].max().rename(columns={"dead_features": "dead"})
    medians = by_setting[list(values)].median()
    return settings.set_index("setting").join([medians, most]), list(values)


def bounded_table(rows: pd.DataFrame, settings: pd.DataFrame) -> Table:
    """Tabulate a line per data set and form.

    Parameters
    ----------
    rows, settings : DataFrame
        From `read_rows` and `summarise`, the experiment "bounded".
    """
    table, names = with_values(rows, settings)
    body, last = [], None
    for (data, label, loss), group in table.groupby(["data_name", "label", "loss"], sort=False):
        group = group.sort_values("alpha")
        cells = [
            "" if data == last else str(data),
            method_name(str(label), str(loss)),
            joined(
                f"{share * n:.0f}"
                for share, n in zip(group["failed"], group["restarts"], strict=True)
            ),
            joined(f"{count:g}" for count in group["dead"]),
            *(valued(group[name].iloc[-1]) for name in names),
            f"{group['moves'].max():.0e}",
            joined(map(score, group["ari_primary_median"])),
            joined(map(score, group["auc_median"])),
        ]
        body.append(cells)
        last = data
    alphas = joined(f"{alpha:g}" for alpha in sorted(table["alpha"].unique()))
    several = "; cells with several numbers are at these α" if "/" in alphas else ""
    rank, count = table["rank"].iloc[0], table["restarts"].max()
    first = rows[rows["values"].notna()].groupby("setting").size().max()
    caption = (
        f"Forms of the contrast on raw counts, K = {rank}, α = {alphas}{several}. *Failed*: of "
        f"{count} restarts those that collapsed or were not finite. *Dead*: "
        "features of which less than 1 % of the observed total is explained, the most of all "
        "restarts. V is the reduced objective with settled codes at the largest α when the "
        "reconstruction "
        f"is floored at eps, the median of the first {first} restarts; *moves* is how far the "
        "values under the floors lie apart relative to the largest of them, the most of these and "
        "of α (inf where one is not finite). bcNMF under KL and the negative binomial stands "
        "beside one frozen component of the background; it and background first count the "
        "background by what target components add to frozen ones. "
        "ARI (primary readout) and AUC (best component): medians."
    )
    header = ["data", "form", "failed", "dead", *names, "moves", "ARI", "AUC"]
    kept = ["data_name", "label", "loss", "alpha", "extra", "restarts", "results", "dead", "moves"]
    scores = ["x_explained", "y_explained", "ari_primary", "auc"]
    kept += [*names, *(f"{of}_{part}" for of in scores for part in ("q1", "median", "q3"))]
    return Table("bounded", "Forms of the contrast on counts", caption, header, body, table[kept])


def valued(value: float) -> str:
    """A reduced objective of a few digits."""
    return f"{value:.5g}" if np.isfinite(value) else "–"


def joined(cells: Iterable[str]) -> str:
    """Several cells in one."""
    return " / ".join(cells)
