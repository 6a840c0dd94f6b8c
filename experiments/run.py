"""Run a configuration: ``python -m experiments.run configs/NAME.toml [--quick] [--set KEY=VALUE]``.

Every fit becomes a row of ``NAME.jsonl`` in the folder ``--out``. A run that was interrupted goes
on where it stopped when it is started again; what is there is not fitted again. Rows of changed
configurations (``--quick``, ``--set``) go to the folder ``runs`` unless ``--out`` says otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bcnmf_jax.datasets import Dataset
from experiments.core import choices
from experiments.core.choices import ChoiceConfig
from experiments.core.circumstances import circumstances
from experiments.core.config import ConfigError, load
from experiments.core.data import load_data
from experiments.core.data_schema import Data
from experiments.core.formats import printed
from experiments.core.methods import Fitted, fits, restart_keys
from experiments.core.records import RESULTS, RowError, read_rows
from experiments.core.registry import METHODS
from experiments.core.rows import Results, ResultsError, Row, key, plain
from experiments.core.schema import Config
from experiments.core.scoring import known, score_one, scorers
from experiments.core.summary import summarise
from experiments.core.units import Unit, units
from experiments.paper.regret import CHOICES, regret_table

#: Fields that only iterative methods have.
FITTED = ("x_explained", "y_explained", "dead_features", "dead_components", "effective_features")


def identify(
    config: Config, data: Data, dataset: Dataset, unit: Unit, rank: int, alpha: Any, seed: int
) -> Row:
    """The fields that say what a row is about."""
    (n, g), m = dataset.target.shape, len(dataset.background)
    about = {"data": data.name, "data_args": data.described, "scale": unit.scale}
    about |= {"n": n, "m": m, "g": g, **unit.identity(dataset, rank, alpha), "seed": seed}
    about |= {
        "label": METHODS[unit.method.method].label,
        "config_hash": config.hash(unit.method, data),
    }
    return plain(about)


def suited(todo: list[Unit], dataset: Dataset) -> list[Unit]:
    """Units that a data set allows: neither closed forms nor methods from outside take missing
    values."""
    if dataset.mask is None:
        return todo
    known = [METHODS[unit.method.method] for unit in todo]
    return [u for u, its in zip(todo, known, strict=True) if not (its.closed or its.function)]


Pending = list[tuple[Row, Fitted, Future[dict[str, Any]]]]


def run(
    name: str,
    config: Config,
    path: Path,
    *,
    workers: int = 2,
    visit: Callable[[Row, Fitted], None] | None = None,
) -> list[Row]:
    """Fit and score whatever of a configuration the results do not hold yet.

    Parameters
    ----------
    name : str
        Of the configuration, as the rows have it.
    config : Config
    path : Path
        The results file.
    workers : int
        Processes that score, while the next fits run.
    visit : callable, optional
        Is given every new row and its fit.

    Returns
    -------
    list of dict
        All rows, old and new.
    """
    keys, todo, shared = restart_keys(config), units(config), circumstances(name)
    hashes = {config.hash(method, data) for method in config.method for data in config.data}
    per_data = config.restarts * sum(len(unit.settings) for unit in todo)

    def finish(pending: Pending) -> None:
        made = []
        for about, fitted, scores in pending:
            empty = dict.fromkeys(FITTED)
            made.append(plain(shared | about | empty | fitted.found | {"value": None}))
            made[-1] |= plain(scores.result())
        results.append(made)
        bar.update(len(made))
        for row, (_, fitted, _) in zip(made, pending, strict=True):
            if visit is not None:
                visit(row, fitted)

    with (
        Results(path, hashes) as results,
        scorers(workers) as pool,
        tqdm(total=per_data * len(config.data), initial=len(results.done), unit="fit") as bar,
    ):
        pending: Pending = []
        for data in config.data:
            dataset = load_data(data)
            truth = known(dataset)
            for unit in suited(todo, dataset):
                wanted = {
                    (rank, alpha, seed): about
                    for rank, alpha in unit.settings
                    for seed in range(config.restarts)
                    if key(about := identify(config, data, dataset, unit, rank, alpha, seed))
                    not in results.done
                }
                if not wanted:
                    continue
                bar.set_description(f"{data.name} {unit.method.method} {unit.loss or ''}".strip())
                found = [
                    fit
                    for fit in fits(unit, dataset, keys, config.stop)
                    if (fit.rank, fit.alpha, fit.seed) in wanted
                ]
                started: Pending = [
                    (
                        wanted[fit.rank, fit.alpha, fit.seed],
                        fit,
                        pool.submit(
                            score_one, fit.codes, fit.components, fit.shared, truth, fit.seed
                        ),
                    )
                    for fit in found
                ]
                # The scores of these are waited for only when the next ones are fitted.
                if pending:
                    finish(pending)
                pending = started
        if pending:
            finish(pending)
        return results.rows


def choose(name: str, config: ChoiceConfig, folder: Path) -> int:
    """Run a configuration of choices, and print their table."""
    shared = circumstances(name) | {"config_hash": config.hash}
    rows = choices.run(config, folder / f"{name}.jsonl", shared, load_data)
    print(printed(regret_table(rows, summarise(read_rows()))))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 when all rows are there, 2 for a wrong configuration, 1 for wrong data."""
    parser = argparse.ArgumentParser(prog="python -m experiments.run", description=__doc__)
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
    parser.add_argument("--quick", action="store_true", help="default settings, few restarts")
    parser.add_argument(
        *("--set", "-s"), action="append", default=[], metavar="KEY=VALUE", help="as stop.tol=1e-4"
    )
    parser.add_argument("--out", type=Path, help="folder of the rows (paper/results, or runs)")
    parser.add_argument("--workers", type=int, default=2, help="processes that score (default 2)")
    given = parser.parse_args(arguments)
    if given.workers < 1:
        parser.error(f"--workers must be at least 1, found {given.workers}")
    changed = given.quick or given.set
    folder = given.out or (
        Path("runs") / ("quick" if given.quick else "set") if changed else RESULTS
    )
    try:
        config = load(given.config, given.set, quick=given.quick)
        if isinstance(config, ChoiceConfig):
            return choose(given.config.stem, config, folder if changed or given.out else CHOICES)
        path = folder / f"{given.config.stem}.jsonl"
        rows = run(given.config.stem, config, path, workers=given.workers)
    except (ConfigError, ResultsError, RowError) as error:
        print(f"experiments.run: {error}", file=sys.stderr)
        return 2
    except (OSError, ImportError) as error:
        print(f"experiments.run: {error}", file=sys.stderr)
        return 1
    print(f"{len(rows)} rows in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
