"""bcNMF against PCA, contrastive PCA and NMF on simulated cells: ``python -m experiments.demo``.

Nothing is downloaded. Prints a table and leaves rows and a picture in the folder ``--out``.
"""

from __future__ import annotations

import argparse
import sys
from itertools import chain, count
from pathlib import Path

import numpy as np

from bcnmf_jax.datasets import Dataset
from bcnmf_jax.extras import require
from bcnmf_jax.metrics import readouts
from bcnmf_jax.storage.files import whole_file
from experiments.core.config import ConfigError, load_fits
from experiments.core.data import load_data
from experiments.core.methods import Fitted
from experiments.core.records import ROOT
from experiments.core.rows import ResultsError, Row
from experiments.run import run

CONFIG = ROOT / "configs" / "demo.toml"
COLOURS = ("#0072b2", "#d55e00")


def grouped(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by method, in the order of the configuration."""
    methods: dict[str, list[Row]] = {}
    for row in rows:
        methods.setdefault(row["label"], []).append(row)
    return methods


def table(rows: list[Row]) -> str:
    """Median and quartiles over restarts, a line per method."""
    lines = [
        f"{'':8} {'ARI, median [quartiles]':>26} {'best AUC':>9} {'cosine':>7} "
        f"{'X explained':>12}  results"
    ]
    for label, mine in grouped(rows).items():
        low, middle, high = np.percentile([row["ari_primary"] for row in mine], [25, 50, 75])
        auc, cosine = (np.median([row[key] for row in mine]) for key in ("auc", "cosine"))
        explained = [row["x_explained"] for row in mine if row["x_explained"] is not None]
        shown = f"{np.median(explained):.4f}" if explained else "–"
        ends = [row["result"] for row in mine]
        counts = ", ".join(f"{ends.count(end)} {end}" for end in dict.fromkeys(ends))
        ari = f"{middle:.3f} [{low:.3f}, {high:.3f}]"
        lines.append(f"{label:8} {ari:>26} {auc:>9.3f} {cosine:>7.3f} {shown:>12}  {counts}")
    return "\n".join(lines)


def picture(rows: list[Row], first: dict[str, Fitted], dataset: Dataset, path: Path) -> None:
    """ARI of every restart, and the codes of the first restart of each method."""
    matplotlib = require("matplotlib", "experiments")
    matplotlib.use("Agg")
    pyplot = require("matplotlib.pyplot", "experiments")
    methods = grouped(rows)
    figure, (left, *others) = pyplot.subplots(
        *(1, 1 + len(methods)), figsize=(3 * (1 + len(methods)), 3.2), layout="constrained"
    )
    rng = np.random.default_rng(0)
    for place, mine in enumerate(methods.values()):
        scores = [row["ari_primary"] for row in mine]
        left.plot(place + rng.uniform(-0.15, 0.15, len(mine)), scores, "o", ms=4, alpha=0.5)
        left.hlines(np.median(scores), place - 0.3, place + 0.3, color="black")
    left.set_xticks(range(len(methods)), list(methods))
    left.set(ylim=(-0.05, 1.05), ylabel="ARI of k-means", title="every restart, and the median")
    for axis, label in zip(others, methods, strict=True):
        codes = readouts(first[label].codes)["primary"]
        for value, colour in zip(np.unique(dataset.labels), COLOURS, strict=True):
            kept = dataset.labels == value
            axis.plot(*codes[kept, :2].T, ".", ms=3, color=colour, label=f"program {value}")
        axis.set(title=f"{label}, restart 0", xlabel="component 1", ylabel="component 2")
    others[-1].legend(markerscale=3)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=120)
    pyplot.close(figure)


def fresh(path: Path) -> Path:
    """The path, or where there is such a file already, with the first number that is free."""
    tried = (path.with_stem(f"{path.stem}-{i}") for i in count(2))
    return next(p for p in chain([path], tried) if not p.exists())


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 after the table and the picture."""
    parser = argparse.ArgumentParser(prog="python -m experiments.demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer restarts")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="default: runs/demo")
    given = parser.parse_args(arguments)
    # A demonstration shows a run, not what an earlier one left.
    path = fresh(given.out / "demo.jsonl")
    first: dict[str, Fitted] = {}

    def keep(row: Row, fitted: Fitted) -> None:
        if fitted.seed == 0:
            first[row["label"]] = fitted

    try:
        config = load_fits(CONFIG, quick=given.quick)
        rows = run("demo", config, path, visit=keep)
    except (ConfigError, ResultsError, OSError) as error:
        print(f"experiments.demo: {error}", file=sys.stderr)
        return 1
    dataset = load_data(config.data[0])
    picture(rows, first, dataset, given.out / "demo.png")
    print(f"\n{dataset.description}\n")
    print(
        f"{config.restarts} restarts; rank 2 and alpha 2 are chosen from the simulation's truth.\n"
    )
    print(table(rows))
    print(f"\nrows     {path}\npicture  {given.out / 'demo.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
