"""Figures of the paper from recorded rows: ``python -m experiments.paper.figures``.

The same rows give the same bytes.
"""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.core.records import RESULTS, ROOT, RowError, read_rows
from experiments.core.registry import METHODS, read_modules
from experiments.core.style import COLLAPSED, band, cells, legend, look, new_figure, save, style
from experiments.core.summary import (
    APART,
    Pair,
    arguments,
    natural,
    pairs,
    place,
    series,
    summarise,
)
from experiments.paper.ablation_figures import dots, heat
from experiments.paper.published import PUBLISHED, Published, read_published

FIGURES = ROOT / "paper" / "figures"
#: Panels of an alpha path: what they show and the label of their axis.
_PATH = (
    ("ari_primary", "ARI"),
    ("auc", "AUC of the best component"),
    ("x_explained", "X explained (0 and above)"),
    ("failed", "share of fits collapsed\nor not finite"),
)


def overview(settings: pd.DataFrame) -> Figure:
    """Draw median primary ARI of all methods on all data sets, default beside *oracle*."""
    found = {data: list(pairs(rows)) for data, rows in settings.groupby("data_name", sort=False)}
    names = {(pair.method, pair.loss): pair.name for row in found.values() for pair in row}
    order = sorted(names, key=lambda pair: (place(METHODS, pair[0]), pair[1]))
    figure, axes = new_figure(1, 2, width=0.62 * len(order) + 1.1, height=0.3 * len(found) + 2.0)
    for axis, kind in zip(axes[0], ("default", "oracle"), strict=True):
        shape = (len(found), len(order))
        values, failed = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
        for i, row in enumerate(found.values()):
            for pair in row:
                setting: pd.Series | None = getattr(pair, kind)
                if setting is not None:
                    j = order.index((pair.method, pair.loss))
                    values[i, j] = setting["ari_primary_median"]
                    failed[i, j] = setting["failed"] > 0.5
        title = "default setting" if kind == "default" else "oracle: best in hindsight, labels seen"
        cells(axis, values, failed, title, list(found), [names[each] for each in order])
    axes[0, 1].set_yticklabels([])
    figure.suptitle("Median ARI (k-means on the primary readout); " + COLLAPSED)
    return figure


def alpha_path(settings: pd.DataFrame, title: str) -> Figure | None:
    """Draw scores against the contrast, every method at the ranks of its default.

    Parameters
    ----------
    settings : DataFrame
        From `summarise`, the main rows of one data set.
    title : str

    Returns
    -------
    Figure or None
        None where no method was run at several contrasts.
    """
    lines = [(pair, _path(settings, pair)) for pair in pairs(settings)]
    lines = [(pair, path) for pair, path in lines if len(path) > 1]
    if not lines:
        return None
    figure, axes = new_figure(1, len(_PATH), width=3.0, height=2.9)
    for axis, (score, label) in zip(axes[0], _PATH, strict=True):
        for pair, path in lines:
            if score == "failed":
                axis.plot(path["alpha"], path[score], **style(pair.method, pair.loss))
            else:
                band(axis, path["alpha"], path, score, pair.method, pair.loss)
        # Evenly spaced up to 2, where all transitions are, and by logarithm for cPCA beyond.
        axis.set_xscale("symlog", linthresh=2, linscale=1.6)
        largest = max(path["alpha"].max() for _, path in lines)
        ticks = [0, 0.5, 1, 1.5, 2, 10, 100, 1000]
        axis.set_xticks([tick for tick in ticks if tick <= largest])
        axis.set_xticklabels([f"{tick:g}" for tick in ticks if tick <= largest])
        axis.minorticks_off()
        axis.set_xlim(-0.05, largest * 1.05)
        axis.set_ylim(-0.04, 1.04)
        axis.set(xlabel="α per sample", ylabel=label)
    axes[0, 1].axhline(0.5, color="0.75", linewidth=0.8, zorder=0)
    figure.suptitle(f"{title}: median and quartiles against the contrast, at each default rank")
    legend(figure, [(f"{p.name} ({_rank(p.default)})", p.method, p.loss) for p, _ in lines])
    return figure


def _path(settings: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """Select the settings of a method that differ from its default in alpha alone."""
    if pair.default is None:
        return settings.iloc[:0]
    same = (settings["method"] == pair.method) & (settings["loss"] == pair.loss)
    same &= settings["rank"] == pair.default["rank"]
    same &= settings["extra"].fillna(0) == np.nan_to_num(pair.default["extra"])
    # A contrast that the method chose itself is one setting and not a point of the path.
    own = "{}" if pair.default["auto_alpha"] else pair.default["options"]
    same &= (settings["options"] == own) & settings["alpha"].notna()
    return settings[same].sort_values("alpha")


def _rank(setting: pd.Series | None) -> str:
    if setting is None:
        return ""
    extra = np.nan_to_num(setting["extra"])
    return f"K={setting['rank']}" + (f"+{extra:g}" if extra else "")


def series_curve(settings: pd.DataFrame, published: Published) -> Figure:
    """Draw primary ARI against what tells the data sets of a series apart, with published points.

    The values are spaced evenly, in order, since they are often powers of two and zero.
    """
    config, key = settings["config"].iloc[0], series(settings)
    points = sorted({arguments(text)[key] for text in settings["data_args"]}, key=natural)
    found = {
        points.index(arguments(str(text))[key]): list(pairs(group))
        for text, group in settings.groupby("data_args", sort=False)
    }
    names = {(pair.method, pair.loss): pair.name for row in found.values() for pair in row}
    order = sorted(names, key=lambda pair: (place(METHODS, pair[0]), pair[1]))
    figure, axes = new_figure(1, 2, width=4.2, height=3.2)
    for axis, kind in zip(axes[0], ("default", "oracle"), strict=True):
        for method, loss in order:
            rows = {
                position: getattr(pair, kind)
                for position, row in sorted(found.items())
                for pair in row
                if (pair.method, pair.loss) == (method, loss) and getattr(pair, kind) is not None
            }
            if rows:  # a method that collapsed at every setting has no oracle
                chosen = pd.DataFrame(list(rows.values()))
                band(axis, list(rows), chosen, "ari_primary", method, loss)
        for each in published.numbers:
            if each.data == config and each.kind == "published" and each.at in points:
                large = {"linestyle": "none", "markersize": 8, "markerfacecolor": "none"}
                line = style(each.method, each.loss) | large
                axis.plot(points.index(each.at), each.least, **line)
        axis.set_xticks(range(len(points)), [f"{point:g}" for point in points])
        axis.set(xlabel=key, ylim=(-0.05, 1.05))
        axis.set_title("default setting" if kind == "default" else "oracle: best in hindsight")
    axes[0, 0].set_ylabel("ARI, median and quartiles")
    figure.suptitle(f"{config}; large open markers: {published.mark}")
    legend(figure, [(names[each], *each) for each in order])
    return figure


def build(rows: pd.DataFrame, published: Published) -> Iterator[tuple[str, Figure]]:
    """Yield name and figure of everything that the rows allow."""
    settings = summarise(rows)
    main = settings[settings["experiment"] == "main"]
    if len(main):
        yield "overview", overview(main)
    for config, group in main.groupby("config", sort=False):
        if series(group):
            yield str(config), series_curve(group, published)
    for data, group in main.groupby("data_name", sort=False):
        figure = alpha_path(group, str(data))
        if figure is not None:
            yield f"alpha_path_{data}".replace(", ", "_").replace(" ", "_"), figure
    ablations = settings[~settings["experiment"].isin(APART)]
    for experiment, group in ablations.groupby("experiment"):
        cell = ["data_name", "method", "loss", "alpha", "rank"]
        one_each = not group.duplicated(cell).any() and group["alpha"].notna().all()
        draw = heat if experiment == "alpha_rank" and one_each else dots
        yield f"ablation_{experiment}", draw(group)


def main(argv: list[str] | None = None) -> None:
    """Read rows, write figures; a message and exit status 1 where rows are missing or wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.paper.figures", description=__doc__
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of recorded rows")
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="published numbers")
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder for figures")
    parser.add_argument(
        "--modules", type=Path, nargs="*", default=[], help="files that register methods"
    )
    options = parser.parse_args(argv)
    try:
        read_modules(options.modules)
    except (OSError, ValueError) as error:
        sys.exit(f"experiments.paper.figures: {error}")
    try:
        rows, published = read_rows(options.results), read_published(options.published)
        with look():
            names = [save(figure, name, options.out) for name, figure in build(rows, published)]
    except RowError as error:
        sys.exit(f"experiments.paper.figures: {error}")
    print(f"{len(names)} figures in {options.out}")
    stale = sorted({path.stem for path in options.out.glob("*.*")} - set(names))
    if stale:
        told = ", ".join(stale)
        print(f"left from earlier rows, not redrawn; delete them: {told}", file=sys.stderr)


if __name__ == "__main__":
    main()
