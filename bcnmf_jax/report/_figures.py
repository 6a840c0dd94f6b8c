"""The charts of a run, from its tables."""

from __future__ import annotations

import numpy as np

from bcnmf_jax.report._contents import Run
from bcnmf_jax.report._pictures import Chart, Series, chart
from bcnmf_jax.report._trust import FAILED, SAME_VALUE

PATH = {
    "x_explained": "target explained",
    "y_explained": "background explained",
    "dead_features": "dead features",
    "stability": "stability of components",
}


def path_charts(run: Run) -> list[Chart]:
    """Medians over restarts against alpha, a line for each number of components.

    Where more than half of the restarts failed, the point is a cross.
    """
    table = run.tables.get("path")
    if table is None or table["alpha"].nunique() < 2:
        return []
    table = table.assign(failed=table["result"].isin(FAILED).astype(float))
    cells = table.groupby(["n_components", "alpha"])
    alphas, ranks = sorted(table["alpha"].unique()), sorted(table["n_components"].unique())
    failed, charts = cells["failed"].mean(), []
    for column, label in PATH.items():
        if column not in table or not table[column].notna().any():
            continue
        middle, lines = cells[column].median(), []
        for rank in ranks:
            at = [(rank, alpha) for alpha in alphas]
            values = middle.reindex(at).to_numpy(float)
            crossed = failed.reindex(at).to_numpy(float) > 0.5
            lines.append(Series(f"{rank} components", values, failed=crossed))
        charts.append(chart(lines, [f"{alpha:g}" for alpha in alphas], "alpha", label))
    return charts


def by_score(run: Run) -> bool:
    """Whether a choice was made by separation, not by net gain."""
    table = run.tables.get("selection")
    return table is not None and "score" in table and bool(table["score"].notna().any())


def selection_chart(run: Run) -> Chart | None:
    """Scores of the candidates (where they were chosen by gain, net gains with their standard
    errors), a line per objective and alpha."""
    table = run.tables.get("selection")
    if table is None or not len(table):
        return None
    scored = by_score(run)
    table = table[table["score"].notna()] if scored else table
    ranks, lines = sorted(table["n_components"].unique()), []
    for (objective, alpha), rows in table.groupby(["objective", "alpha"], sort=False, dropna=False):
        at = rows.drop_duplicates("n_components").set_index("n_components").reindex(ranks)
        name = f"{objective}, alpha {alpha:g}"
        if scored:
            lines.append(Series(name, at["score"].to_numpy(float)))
        else:
            lines.append(Series(name, at["net"].to_numpy(float), at["net_se"].to_numpy(float)))
    label = "silhouette x specificity" if scored else "net gain beyond the background"
    return chart(lines, [f"{rank:g}" for rank in ranks], "target components", label)


def restarts_chart(run: Run) -> Chart | None:
    """Reduced objectives of the starts above the best one, as a share of it."""
    table = run.tables.get("restarts")
    if table is None or len(table) < 2 or not table["value"].notna().any():
        return None
    table = table.sort_values("value", kind="stable")
    failed = table["result"].isin(FAILED).to_numpy()
    values = table["value"].to_numpy(float)
    best = np.nanmin(np.where(failed, np.nan, values)) if not failed.all() else np.nanmin(values)
    values = (values - best) / (abs(best) or 1)
    line = Series("start", values, failed=failed, joined=False)
    positions = [str(i) for i in range(1, len(values) + 1)]
    return chart([line], positions, "start, the lowest first", "value above the best", SAME_VALUE)
