"""The recorded benchmarks in the pages and figures of docs/: ``python -m benchmarks.report``."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcnmf_jax.storage.files import write_bytes
from benchmarks.curves import draw

ROOT = Path(__file__).parents[1]
RESULTS, PAGES = Path(__file__).parent / "results", ROOT / "docs"
MARKED = re.compile(r"(<!-- benchmark: (\w+) -->\n).*?(<!-- /benchmark -->)", flags=re.S)
HEADER = ("name", "ours", "peer", "ratio", "target", "met", "unit")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table, then what they were measured on."""

    def cell(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)

    cells = [HEADER, *(tuple(cell(row[column]) for column in HEADER) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    versions = ", ".join(f"{name} {version}" for name, version in rows[0]["versions"].items())
    return "\n".join([*lines, "", f"machine: {rows[0]['machine']}; versions: {versions}"])


def save(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as JSON, one a line, or nothing."""
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    write_bytes(path, text.encode())


def filled(page: str, results: Path) -> str:
    """The page with the table of every benchmark that it marks, or that it has not been run."""

    def fill(mark: re.Match) -> str:
        path = results / f"{mark[2]}.json"
        command = f"`python -m benchmarks {mark[2]}`"
        if not path.exists():
            return f"{mark[1]}{command}: not run yet.\n{mark[3]}"
        return f"{mark[1]}{command}\n\n{table(json.loads(path.read_text()))}\n{mark[3]}"

    return MARKED.sub(fill, page)


def main() -> int:
    """Rewrite what stands between the markers of every page."""
    pages = [page for page in sorted(PAGES.glob("*.md")) if MARKED.search(page.read_text())]
    if not pages:
        print("no page of docs/ has <!-- benchmark: NAME --> markers", file=sys.stderr)
    for page in pages:
        write_bytes(page, filled(page.read_text(), RESULTS).encode())
    if (quality := RESULTS / "quality.json").exists():
        draw(json.loads(quality.read_text()), PAGES / "figures" / "quality.png")
    return 0 if pages else 1


if __name__ == "__main__":
    sys.exit(main())
