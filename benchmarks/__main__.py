"""Run a benchmark and print its rows: ``python -m benchmarks NAME [--json] [--out DIR]``.

Exit codes: 0 measured (whether or not a target was met: the row says), 1 something is missing,
2 the machine was too busy to measure.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import answer, compile, gpu, iteration, quality, restarts, sharding, stream
from benchmarks.report import save, table
from benchmarks.timing import BusyError

NAMES = {
    "iteration": iteration.rows,
    "compile": compile.rows,
    "restarts": restarts.rows,
    "stream": stream.rows,
    "quality": quality.rows,
    "sharding": sharding.rows,
    "answer": answer.rows,
    "gpu": gpu.rows,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run, print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES, help="the benchmark to run")
    parser.add_argument("--json", action="store_true", help="print one JSON object per row")
    parser.add_argument("--out", type=Path, help="record the rows in this folder, as NAME.json")
    arguments = parser.parse_args(argv)
    try:
        rows = NAMES[arguments.name]()
    except BusyError as busy:
        print(f"machine busy: not measured ({busy})", file=sys.stderr)
        return 2
    found = [dataclasses.asdict(row) for row in rows]
    print("\n".join(map(json.dumps, found)) if arguments.json else table(found))
    if arguments.out:
        save(found, arguments.out / f"{arguments.name}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
