"""Run a page at its full size and record what it prints.

``python docs/examples/page.py tutorials/interferon`` runs the cells of docs/tutorials/interferon.md
with ``SMALL = False`` and writes docs/recorded/interferon.txt. It needs the extra ``docs``.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

import bcnmf_jax
from bcnmf_jax.storage.files import write_bytes

DOCS = Path(__file__).parents[1]
PARTS = re.compile(
    r"^## (?P<title>[^\n]*)$|^```\{code-cell\} ipython3\n(?P<code>.*?)^```$", re.M | re.S
)
SMALL, FULL = "SMALL = True", "SMALL = False"


def cells(text: str) -> list[tuple[str, str]]:
    """The section and the code of every cell of a page."""
    found, title = [], ""
    for part in PARTS.finditer(text):
        if part["title"] is not None:
            title = part["title"]
        else:
            found.append((title, part["code"].replace(SMALL, FULL)))
    return found


def said(cell) -> str:
    """The text that a cell printed or ended with; pictures are left out."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif output.output_type == "execute_result" and "image/png" not in output.data:
            texts.append(output.data["text/plain"])
    return "\n".join(text.rstrip() for text in texts if text.strip())


def main() -> None:
    """Run, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", help="as tutorials/interferon")
    page = parser.parse_args().page
    parts = cells((DOCS / f"{page}.md").read_text(encoding="utf-8"))
    if not any(FULL in code for _, code in parts):
        sys.exit(f"{page} has no {SMALL}")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for _, code in parts]
    )
    with tempfile.TemporaryDirectory() as where:
        client = NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": where}})
        client.execute()
    lines = [f"bcnmf_jax {bcnmf_jax.__version__}, {page} with {FULL}"]
    before = ""
    for (title, _), cell in zip(parts, notebook.cells, strict=True):
        if text := said(cell):
            lines += ["", *([f"== {title}"] if title != before else []), text]
            before = title
    recorded = DOCS / "recorded" / f"{Path(page).name}.txt"
    write_bytes(recorded, ("\n".join(lines) + "\n").encode())
    print(recorded)


if __name__ == "__main__":
    main()
