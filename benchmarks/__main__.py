"""Run a benchmark and print its rows: ``python -m benchmarks NAME [--json]``.

Exit codes: 0 measured (whether or not a target was met: the row says), 1 something is missing,
2 the machine was too busy to measure.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from benchmarks import compile, iteration
from benchmarks.timing import BusyError, Row

NAMES = {"iteration": iteration.rows, "compile": compile.rows}
HEADER = ("name", "ours", "peer", "ratio", "target", "met", "unit")


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table, then what they were measured on."""

    def cell(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)

    cells = [HEADER, *(tuple(cell(getattr(row, column)) for column in HEADER) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    versions = ", ".join(f"{name} {version}" for name, version in rows[0].versions.items())
    return "\n".join([*lines, "", f"machine: {rows[0].machine}", f"versions: {versions}"])


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run, print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES, help="the benchmark to run")
    parser.add_argument("--json", action="store_true", help="print one JSON object per row")
    arguments = parser.parse_args(argv)
    try:
        rows = NAMES[arguments.name]()
    except BusyError as busy:
        print(f"machine busy: not measured ({busy})", file=sys.stderr)
        return 2
    if arguments.json:
        print("\n".join(json.dumps(dataclasses.asdict(row)) for row in rows))
    else:
        print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
