"""The table of units of alpha, from recorded rows; imports no package."""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from typing import Any

import numpy as np
import pandas as pd

from experiments.formats import Table, with_arguments

PLACES = ("half", "collapse")


def spread(values: pd.Series) -> float:
    """The largest of some numbers over the smallest."""
    return float(values.max() / values.min())


def transition_table(rows: list[dict[str, Any]]) -> Table:
    """One line per data set, and one for how far they lie apart."""
    records = []
    for row in rows:
        record: dict[str, Any] = {"data": with_arguments(row["config"], row["data_args"])}
        for place in PLACES:
            at = np.nan if row[place] is None else row[place]
            record |= {f"{place}, {unit}": at / size for unit, size in row["units"].items()}
        records.append(record)
    frame = pd.DataFrame(records)
    numbers = frame.columns[1:]
    body = [[str(r["data"]), *(_cell(r[name]) for name in numbers)] for _, r in frame.iterrows()]
    body.append(["*largest / smallest*", *(f"*{spread(frame[name]):.2f}*" for name in numbers)])
    caption = (
        "Alpha at which the plain contrast (squared error, K = 5) explains half of the target "
        "variance that plain NMF does (*half*), and from which on most fits collapse (*collapse*; "
        "– where none do up to the end of the path), medians over 20 restarts. In units of: one "
        "sample (what `alpha` is); the ratio of centred variances per sample, target over "
        "background; the ratio of totals; `bcnmf_jax.inference.critical_alphas(...).median`, the "
        "contrast at which programs of the background should leave; and its `largest`. The last "
        "line is "
        "what a fixed alpha means on different data sets: 1 would be the same on all."
    )
    return Table("transitions", "Units of alpha", caption, ["data", *numbers], body, frame)


def _cell(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
