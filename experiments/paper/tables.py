"""Tables of the paper from recorded rows: ``python -m experiments.paper.tables``.

Every number comes from ``paper/results/*.jsonl`` or, marked so, from ``paper/published.toml``. The
same rows give the same bytes.
"""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false

import argparse
import sys
from pathlib import Path

import pandas as pd

from experiments.core.columns import SCORE_COLUMNS, Column, italic, numbers, restarts, score_cells
from experiments.core.formats import Table, write
from experiments.core.records import RESULTS, ROOT, RowError, read_rows
from experiments.core.registry import read_modules
from experiments.core.study import ROWS
from experiments.core.study import tables as study_tables
from experiments.core.summary import (
    APART,
    Pair,
    arguments,
    method_name,
    own_defaults,
    pairs,
    series,
    setting_name,
    summarise,
)
from experiments.paper.ablations import ablation_tables, readout_table
from experiments.paper.bounded import bounded_table
from experiments.paper.overview import DEFAULT, ORACLE, overview_table, series_table
from experiments.paper.published import PUBLISHED, Number, Published, read_published
from experiments.paper.regret import CHOICES, read_choices, regret_table

TABLES = ROOT / "paper" / "tables"


def _defaults(own: dict[str, list[str]], config: str) -> str:
    """Say in a caption what the defaults of one configuration are."""
    if config in own:
        return f"{DEFAULT}; this configuration has its own of {'; '.join(own[config])}."
    return f"{DEFAULT}, the same for all data sets."


def _published_for(published: Published, config: str, at: float | None) -> list[Number]:
    return [each for each in published.numbers if each.data == config and each.at == at]


def data_table(settings: pd.DataFrame, published: Published, name: str, defaults: str) -> Table:
    """Tabulate one configuration: per data set and method its default, *oracle*, published rows.

    Parameters
    ----------
    settings : DataFrame
        From `summarise`, the main rows of one configuration.
    published : Published
    name : str
        The table's name.
    defaults : str
        A sentence on where the defaults come from.
    """
    config, key = settings["config"].iloc[0], series(settings)
    columns = [each for each in SCORE_COLUMNS if each.shown(settings)]
    lead = [key or "data"] if settings["data_args"].nunique() > 1 else []
    header = [*lead, "method", "row", "setting", *(c.header for c in columns)]
    body: list[list[str]] = []
    for data_args, group in settings.groupby("data_args", sort=False):
        at = arguments(str(data_args)).get(key)
        found = list(pairs(group))
        # Published numbers are of the first of several versions of the same data.
        left = [] if body and not key else _published_for(published, config, at)
        rows: list[list[str]] = []
        for pair in found:
            rows += _pair_rows(pair, columns)
            own = [each for each in left if (each.method, each.loss) == (pair.method, pair.loss)]
            left = [each for each in left if each not in own]
            rows += [["", *_published_cells(each, published, len(columns))] for each in own]
        for each in left:
            first = method_name(each.label, each.loss)
            rows.append([first, *_published_cells(each, published, len(columns))])
        told = f"{at:g}" if key else str(group["data_name"].iloc[0])
        body += [[told, *row] for row in rows] if lead else rows
    sizes = settings.iloc[0]
    caption = (
        f"{restarts(settings)} Target {sizes['n']}, background {sizes['m']} samples of "
        f"{sizes['g']} features. {defaults} {ORACLE} Published numbers come from other draws or "
        "genes and mostly from k-means after UMAP. Fits that were not finite have no scores and "
        "count under results only; collapsed fits are part of every median. Seconds are those of a "
        "sweep over the number of its fits. The CSV holds every setting."
    )
    return Table(name, f"{config}: all methods", caption, header, body, numbers(settings))


def _pair_rows(pair: Pair, columns: list[Column]) -> list[list[str]]:
    """Write the default and the oracle row of one method."""
    empty = ["–"] * (1 + len(columns))
    default = ["no rows of it", *empty[1:]]
    if pair.default is not None:
        default = [setting_name(pair.default), *score_cells(pair.default, columns)]
    oracle = ["more than half failed everywhere", *empty[1:]]
    if pair.oracle is not None:
        oracle = [setting_name(pair.oracle), *score_cells(pair.oracle, columns)]
    return [[pair.name, "default", *default], ["", *italic(["oracle", *oracle])]]


def _published_cells(each: Number, published: Published, width: int) -> list[str]:
    """Write a published number: its mark, setting and ARI, which is the first score column."""
    return [published.kind(each), each.setting or "–", each.text, *[""] * (width - 1)]


def published_table(published: Published) -> Table:
    """Tabulate every published and checked number, also of data that is not run here."""
    body, records = [], []
    for each in published.numbers:
        data = each.data if each.at is None else f"{each.data}, {each.series} {each.at:g}"
        name = method_name(each.label, each.loss)
        body.append([data, name, published.kind(each), each.setting or "–", each.text])
        records.append({"data": data, "method": name, **vars(each)})
    notes = {f"{each.data} ({each.about}): {each.note}" for each in published.numbers if each.note}
    caption = (
        "Adjusted Rand index as published, or as checked with the authors' code or files; not from "
        "this project's rows. " + " ".join(f"{note}." for note in sorted(notes))
    )
    header = ["data", "method", "row", "setting", "ARI"]
    frame = pd.DataFrame(records).drop(columns=["label"])
    return Table("published", "Published numbers", caption, header, body, frame)


def runs_table(rows: pd.DataFrame) -> Table:
    """Tabulate where the rows come from: configuration, commit, versions, device."""
    keys = ["config", "commit", "device", "versions"]
    frame = rows[keys].fillna("none").groupby(keys).size().rename("rows").reset_index()
    text = frame.astype(str).replace({r'["{}]': ""}, regex=True)
    caption = "Recorded rows by configuration, commit, device and versions."
    body = text.to_numpy().tolist()
    return Table("runs", "Recorded runs", caption, [*keys, "rows"], body, frame)


def build(rows: pd.DataFrame, published: Published) -> list[Table]:
    """Make every table that the rows allow."""
    settings = summarise(rows)
    tables = [runs_table(rows), published_table(published)]
    main = settings[settings["experiment"] == "main"]
    if len(main):
        tables += [
            overview_table(main, "overview", "ari_primary", "Primary ARI on all data sets"),
            overview_table(
                main, "overview_auc", "auc", "AUC of the best component (oracle by ARI)"
            ),
            readout_table(main),
        ]
    own = own_defaults(main)
    for config, group in main.groupby("config", sort=False):
        name, defaults = str(config), _defaults(own, str(config))
        if series(group):
            tables.append(series_table(group, published, defaults))
            name = f"{config}_details"
        tables.append(data_table(group, published, name, defaults))
    bounded = settings["experiment"] == "bounded"
    if bounded.any():
        own = rows[rows["experiment"] == "bounded"]
        tables.append(bounded_table(own, settings[bounded]))
    return tables + ablation_tables(settings[~settings["experiment"].isin(APART)])


def main(argv: list[str] | None = None) -> None:
    """Read rows, write tables; a message and exit status 1 where rows are missing or wrong."""
    parser = argparse.ArgumentParser(prog="python -m experiments.paper.tables", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of recorded rows")
    parser.add_argument(
        "--choices", type=Path, default=CHOICES, help="folder of label-free choices"
    )
    parser.add_argument("--studies", type=Path, default=ROWS, help="folder of rows of studies")
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="published numbers")
    parser.add_argument("--out", type=Path, default=TABLES, help="folder for tables")
    parser.add_argument(
        "--modules", type=Path, nargs="*", default=[], help="files that register methods"
    )
    options = parser.parse_args(argv)
    try:
        read_modules(options.modules)
    except (OSError, ValueError) as error:
        sys.exit(f"experiments.paper.tables: {error}")
    try:
        rows = read_rows(options.results)
        tables = build(rows, read_published(options.published))
        if choices := read_choices(options.choices):
            tables.append(regret_table(choices, summarise(rows)))
        tables += study_tables(options.studies)
    except RowError as error:
        sys.exit(f"experiments.paper.tables: {error}")
    written = [path for table in tables for path in write(table, options.out)]
    stale = sorted(set(options.out.glob("*.*")) - set(written))
    print(f"{len(tables)} tables in {options.out}")
    if stale:
        names = ", ".join(path.name for path in stale)
        print(f"left from earlier rows, not rebuilt; delete them: {names}", file=sys.stderr)


if __name__ == "__main__":
    main()
