"""The results in the README, from the tables: ``python -m experiments.paper.readme``."""

import re
import sys
from pathlib import Path

from bcnmf_jax.storage.files import write_bytes
from experiments.core.records import ROOT

README, TABLES = ROOT / "README.md", ROOT / "paper" / "tables"
MARKED = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", flags=re.S)
SHOWN = ("overview", "overview_auc")
PICTURE = "![ARI of every method on every data set](paper/figures/overview.png)"


def results(tables: Path) -> str:
    """Overview tables and picture, as Markdown."""
    # the tables' titles stand below the README's own heading
    parts = ["##" + (tables / f"{name}.md").read_text().strip() for name in SHOWN]
    return "\n\n".join([*parts, PICTURE]) + "\n"


def main() -> int:
    """Rewrite what stands between the README's markers."""
    try:
        new = results(TABLES)
    except FileNotFoundError as error:
        print(
            f"{error.filename} is missing; run: python -m experiments.paper.tables", file=sys.stderr
        )
        return 1
    text = README.read_text()
    if not MARKED.search(text):
        print("README.md has no <!-- results --> markers", file=sys.stderr)
        return 1
    write_bytes(README, MARKED.sub(lambda m: m[1] + new + m[2], text).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
