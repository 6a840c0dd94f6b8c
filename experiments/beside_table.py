"""The table of codes read alone and beside a basis of the background; imports no package."""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from typing import Any

import pandas as pd

from experiments.formats import Table, score
from experiments.regret import data_name, quartiles


def beside_table(rows: list[dict[str, Any]]) -> Table:
    """One line per data set and alpha."""
    body, records, last = [], [], ""
    for row in rows:
        record: dict[str, Any] = {"data": data_name(row), "alpha": row["alpha"]}
        record["collapsed"] = row["results"].count("collapsed")
        measured = {"cosine of components": row["redundancy"]}
        for name, of in (("AUC", "auc"), ("ARI", "ari_primary")):
            measured |= {f"{name}, {readout}": row[readout][of] for readout in ("alone", "beside")}
        for name, values in measured.items():
            median, low, high = quartiles(values)
            record |= {name: median, f"{name}, q1": low, f"{name}, q3": high}
        shown = "" if record["data"] == last else record["data"]
        cells = [shown, f"{row['alpha']:g}", str(record["collapsed"])]
        body.append([*cells, *(score(record[name]) for name in measured)])
        records.append(record)
        last = record["data"]
    caption = (
        "The plain contrast (squared error, K = 5), medians over "
        f"{len(rows[0]['redundancy'])} restarts (and how many of them *collapsed*): the mean "
        "cosine between its components (1: copies of one another), and AUC of the best component "
        "and primary ARI of codes that are read on its components *alone*, as published, and "
        "*beside* a plain basis of the background. α = 0 is plain NMF of the target."
    )
    header = ["data", "α", "collapsed", "cosine of components"]
    header += ["AUC, alone", "AUC, beside", "ARI, alone", "ARI, beside"]
    return Table(
        "beside", "Why the plain contrast fails", caption, header, body, pd.DataFrame(records)
    )
