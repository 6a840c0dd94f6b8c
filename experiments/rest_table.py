"""The table of fits that come to rest, from recorded rows; imports no package."""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from typing import Any

import numpy as np
import pandas as pd

from experiments.formats import Table, with_arguments


def ended(walk: dict[str, Any]) -> str:
    """At rest, degenerate, or neither within the steps."""
    if walk["rest"]:
        return "at rest"
    return "degenerate" if walk["stuck"] else "steps used up"


def rest_table(rows: list[dict[str, Any]]) -> Table:
    """One line per data set and objective."""
    body, records = [], []
    keys = dict.fromkeys((row["config"], str(row["data_args"]), row["objective"]) for row in rows)
    for key in keys:
        mine = [r for r in rows if (r["config"], str(r["data_args"]), r["objective"]) == key]

        def median(solver: str, of: str, mine: list = mine) -> float:
            """Of all starts; what was never reached is infinite."""
            found = [row[solver][of] for row in mine]
            return float(np.median([np.inf if v is None else v for v in found]))

        ends = [ended(row["varpro"]) for row in mine]
        record = {
            "data": with_arguments(key[0], mine[0]["data_args"]),
            "objective": key[2],
            "ended": ", ".join(f"{ends.count(e)} {e}" for e in dict.fromkeys(ends)),
            "residual": median("varpro", "residual"),
            "residual, MU": median("mu", "residual"),
            "rise": max(row["varpro"]["rise"] for row in mine),
            "rise, MU": max(row["mu"]["rise"] for row in mine),
            "below MU": median("varpro", "below"),
            "MU, s": median("mu", "seconds"),
            "VarPro, s": median("varpro", "seconds"),
        }
        record["VarPro / MU"] = record["VarPro, s"] / record["MU, s"]
        records.append(record)
        numbers = [record[name] for name in list(record)[3:]]
        body.append([record["data"], record["objective"], record["ended"], *map(cell, numbers)])
    caption = (
        "`VarPro` and plain multiplicative updates (MU) from the same starts, K = 5, in single "
        "precision: how VarPro ended; the residual of stationarity where it ended and after 500 "
        "steps of MU, with codes settled anew; the largest rise of the value from one look to the "
        "next, ten steps later, of either, and how far below MU's best value VarPro ended, as "
        "shares of the way from the start to MU's best; seconds to MU's best value (to a "
        "ten-thousandth of that way; – where a solver does not get there), without compilation. "
        "Medians over starts: "
        f"{max(row['start'] for row in rows) + 1}."
    )
    header = list(records[0])
    return Table("rest", "Fits that come to rest", caption, header, body, pd.DataFrame(records))


def cell(value: float) -> str:
    """A number of a few digits."""
    return f"{value:.2g}" if np.isfinite(value) else "–"
