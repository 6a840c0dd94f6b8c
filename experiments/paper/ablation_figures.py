"""Figures of ablations: a dot and its quartiles per setting, or cells of contrast and rank."""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.core.style import COLLAPSED, cells, new_figure, style
from experiments.core.summary import method_name
from experiments.paper.ablations import TITLES, varying


def _title(settings: pd.DataFrame, what: str) -> str:
    """Say what was varied, what all settings share, what is drawn, and † where it is used."""
    experiment = settings["experiment"].iloc[0]
    _, shared = varying(settings)
    told = [value if key == "method" else f"{key} {value}" for key, value in shared.items()]
    title = f"Ablation: {TITLES.get(experiment, experiment)}; {what}"
    lines = [title, ", ".join(told), COLLAPSED if (settings["failed"] > 0.5).any() else ""]
    return "\n".join(line for line in lines if line)


def dots(settings: pd.DataFrame) -> Figure:
    """Draw primary ARI and best-component AUC of every setting, a row of panels per data set.

    Parameters
    ----------
    settings : DataFrame
        From `summarise`, the settings of one experiment.
    """
    different, _ = varying(settings)
    groups = list(settings.groupby("data_name", sort=False))
    most = max(len(group) for _, group in groups)
    figure, axes = new_figure(len(groups), 2, width=4.4, height=0.17 * most + 0.9)
    for row, (data, group) in zip(axes, groups, strict=True):
        places = np.arange(len(group))[::-1]
        labels = [
            _label(different.loc[index], default) for index, default in group["default"].items()
        ]
        for axis, score, name in zip(
            row, ("ari_primary", "auc"), ("ARI", "AUC of the best component"), strict=True
        ):
            for y, (_, setting) in zip(places, group.iterrows(), strict=True):
                look = style(setting["method"], setting["loss"])
                median = setting[f"{score}_median"]
                ends = [setting[f"{score}_q1"], setting[f"{score}_q3"]]
                axis.plot(ends, [y, y], color=look["color"], linewidth=1.5, alpha=0.6)
                axis.plot(median, y, **look)
                if setting["failed"] > 0.5:
                    axis.annotate("†", (1.03, y), va="center", annotation_clip=False)
            axis.set_xlim(-0.03 if score == "ari_primary" else 0.45, 1.03)
            axis.grid(axis="x", color="0.9", linewidth=0.6)
            axis.set_axisbelow(True)
            axis.set_xlabel(name)
            axis.set_ylim(-0.7, len(group) - 0.3)
        row[0].set_yticks(places, labels)
        row[1].set_yticks(places, [])
        row[0].set_title(str(data), loc="left", fontweight="bold")
    figure.suptitle(_title(settings, "median and quartiles"))
    return figure


def _label(different: pd.Series, default: bool) -> str:
    """Say what tells one setting from the others, leaving out what it does not have."""
    told = [(key, value) for key, value in different.items() if value != "–"]
    text = ", ".join(value if key == "method" else f"{key} {value}" for key, value in told)
    return f"{text} (default)" if default else text


def heat(settings: pd.DataFrame) -> Figure:
    """Draw median primary ARI over contrast and rank: data sets across, methods down.

    Parameters
    ----------
    settings : DataFrame
        From `summarise`, the settings of the experiment "alpha_rank".
    """
    data_names = list(settings["data_name"].unique())
    methods = list(dict.fromkeys(zip(settings["method"], settings["loss"], strict=True)))
    alphas, ranks = (sorted(settings[key].dropna().unique()) for key in ("alpha", "rank"))
    figure, axes = new_figure(
        len(methods),
        len(data_names),
        width=0.5 * len(alphas) + 0.8,
        height=0.32 * len(ranks) + 0.9,
    )
    for row, (method, loss) in zip(axes, methods, strict=True):
        for axis, data in zip(row, data_names, strict=True):
            chosen = settings[
                (settings["data_name"] == data)
                & (settings["method"] == method)
                & (settings["loss"] == loss)
            ]
            table = chosen.pivot(index="rank", columns="alpha", values="ari_primary_median")
            failed = chosen.pivot(index="rank", columns="alpha", values="failed") > 0.5
            table, failed = (each.reindex(index=ranks, columns=alphas) for each in (table, failed))
            name = method_name(settings.loc[settings["method"] == method, "label"].iloc[0], loss)
            names = [f"{alpha:g}" for alpha in alphas]
            marks = failed.eq(True).to_numpy()
            title = data if len(methods) == 1 else f"{data}: {name}"
            cells(axis, table.to_numpy(), marks, title, list(map(str, ranks)), names)
            axis.set(xlabel="α per sample", ylabel="rank K")
    figure.suptitle(_title(settings, "median ARI"))
    return figure
