"""Run a study: ``python -m experiments.study NAME`` or a file ``.py`` that holds ``STUDY``.

Every row is appended to ``NAME.jsonl`` in the folder ``--out`` as it comes; a run that was
interrupted goes on where it stopped. Prints the table.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.core.circumstances import circumstances
from experiments.core.formats import printed
from experiments.core.records import RowError
from experiments.core.rows import Job, ResultsError, recorded
from experiments.core.study import ROWS, find, names

OUTSIDE = Path("runs") / "studies"


def some(jobs: Sequence[Job], most: int | None) -> list[Job]:
    """The first jobs of every ``config_hash``."""
    seen: Counter[Any] = Counter()
    kept = []
    for about, work in jobs:
        seen[about.get("config_hash")] += 1
        if most is None or seen[about.get("config_hash")] <= most:
            kept.append((about, work))
    return kept


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 after the table, 2 for a study or file that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m experiments.study", description=__doc__)
    parser.add_argument("study", metavar="NAME", help=f"{', '.join(names())}, or a file .py")
    parser.add_argument("--most", type=int, help="rows of each config_hash, at most")
    parser.add_argument("--only", default="", help="beginning of the config_hash of what is run")
    parser.add_argument(
        "--out", type=Path, help="folder of rows (paper/studies; of a file .py runs/studies)"
    )
    given = parser.parse_args(arguments)
    if given.most is not None and given.most < 1:
        parser.error(f"--most must be at least 1, found {given.most}")
    try:
        study = find(given.study)
        folder = given.out or (OUTSIDE if given.study.endswith(".py") else ROWS)
        jobs, path = some(study.jobs(), given.most), folder / f"{study.name}.jsonl"
        rows = recorded(path, jobs, circumstances(study.name), given.only, study.past)
    except (ResultsError, RowError) as error:
        print(f"experiments.study: {error}", file=sys.stderr)
        return 2
    print(printed(study.table(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
