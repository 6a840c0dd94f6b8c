"""A table in three forms: Markdown to read, LaTeX to print, CSV with every number."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_TEX = {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"α": r"$\alpha$", "β": r"$\beta$", "×": r"$\times$", "–": "--", "†": r"\textdagger{}"},
    **{"<": r"$<$", ">": r"$>$", "≤": r"$\leq$", "·": r"$\cdot$"},
}
_EMPHASIS = re.compile(r"\*([^*]+)\*")


@dataclass(frozen=True)
class Table:
    """One table of the paper.

    Attributes
    ----------
    name : str
        File name without ending.
    title, caption : str
        Plain text, in which ``*...*`` is emphasis.
    header : list of str
    body : list of list of str
        Cells as text, with the same emphasis.
    numbers : DataFrame
        What the CSV holds: all digits, one column per quantity.
    """

    name: str
    title: str
    caption: str
    header: list[str]
    body: list[list[str]]
    numbers: pd.DataFrame

    def __post_init__(self) -> None:
        ragged = [row for row in self.body if len(row) != len(self.header)]
        if ragged:
            raise ValueError(f"{self.name}: a row of {len(ragged[0])} for {len(self.header)} cells")


def number(value: float) -> str:
    """Format a diagnostic: three decimals, none above 100, a power of ten below .001; – if none."""
    if np.isnan(value):
        return "–"
    if value == 0 or 0.001 <= abs(value) < 100:
        return f"{value:.3f}"
    if abs(value) < 0.001:
        return f"{value:.0e}"
    return f"{value:.0f}"


def score(value: float) -> str:
    """Format a score for a cell: three decimals; – if none."""
    # Adding zero turns -0.0, which rounding makes of small negative scores, into 0.0.
    return "–" if np.isnan(value) else f"{round(value, 3) + 0.0:.3f}"


def spread(median: float, q1: float, q3: float) -> str:
    """Format as ``median [q1, q3]``; only the median where the three read alike."""
    texts = [score(value) for value in (median, q1, q3)]
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def markdown(table: Table) -> str:
    """Write as GitHub Markdown."""
    rows = [table.header, ["---"] * len(table.header), *table.body]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"# {table.title}", "", *lines, "", table.caption, ""])


def _tex(text: str) -> str:
    escaped = "".join(_TEX.get(character, character) for character in text)
    return _EMPHASIS.sub(r"\\emph{\1}", escaped)


def latex(table: Table) -> str:
    """Write as a LaTeX float for booktabs and graphicx, fitted to the width of the text."""
    lines = [" & ".join(_tex(cell) for cell in row) + r" \\" for row in table.body]
    return "\n".join(
        [
            "% Made by make paper; needs the packages booktabs and graphicx.",
            r"\begin{table}[p]",
            r"\centering",
            rf"\caption{{\textbf{{{_tex(table.title)}.}} {_tex(table.caption)}}}",
            rf"\label{{tab:{table.name}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{{'l' * len(table.header)}}}",
            r"\toprule",
            " & ".join(_tex(cell) for cell in table.header) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def write(table: Table, folder: Path) -> list[Path]:
    """Write ``<name>.md``, ``.tex`` and ``.csv`` into `folder`; equal tables give equal bytes."""
    # Imported here: what reads rows needs neither the package nor jax.
    from bcnmf_jax.storage.files import write_bytes

    # Six significant digits: enough for any reader, and no noise of the last bits.
    text = table.numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    paths = []
    for ending, content in (("md", markdown(table)), ("tex", latex(table)), ("csv", text)):
        path = folder / f"{table.name}.{ending}"
        write_bytes(path, content.encode())
        paths.append(path)
    return paths


def with_arguments(name: str, arguments: dict[str, Any]) -> str:
    """A data set or configuration, with the arguments that tell it from its like."""
    return ", ".join([name, *(f"{key} {value}" for key, value in sorted(arguments.items()))])


def quartiles(values: list[float | None]) -> tuple[float, float, float]:
    """Median, lower and upper quartile of what is there."""
    held = [v for v in values if v is not None]
    if not held:
        return np.nan, np.nan, np.nan
    low, median, high = (float(np.quantile(held, level)) for level in (0.25, 0.5, 0.75))
    return median, low, high


def data_name(row: dict[str, Any]) -> str:
    """The data set of a row, with its arguments; of a simulated family what tells it from the
    others."""
    if row["data"] == "family_simulation":
        return f"simulated: {row['data_args']['family']}, {row['data_args']['seed']}"
    return with_arguments(row["data"], row["data_args"])


def printed(table: Table) -> str:
    """The table as text."""
    rows = [table.header, *table.body]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.header))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*lines, "", table.caption])
