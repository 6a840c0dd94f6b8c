"""Tables of studies, from rows as they are recorded."""

import numpy as np

from experiments.studies.convergence import convergence_table
from experiments.studies.critical_alphas import critical_alphas_table
from experiments.studies.joint_readout import joint_readout_table, redundancy


def line(table, at=0):
    return dict(zip(table.header, table.body[at], strict=True))


def test_codes_alone_and_beside():
    scores = {"auc": [0.7, 0.8, 0.9], "ari_primary": [0.0, 0.1, None]}
    row = {
        "data": "one", "data_args": {"beta": 8}, "alpha": 0.5,
        "results": ["converged", "collapsed", "converged"], "redundancy": [0.5, 0.6, 0.7],
        "alone": scores, "beside": {"auc": [1.0] * 3, "ari_primary": [0.9] * 3},
    }  # fmt: skip
    table = joint_readout_table([row, {**row, "alpha": 1.0}])
    assert line(table)["collapsed"] == "1"
    assert line(table)["AUC, alone"] == "0.800" and line(table)["ARI, alone"] == "0.050"
    assert line(table)["AUC, beside"] == "1.000" and line(table)["data"] == "one, beta 8"
    assert line(table, 1)["data"] == "" and line(table, 1)["α"] == "1"
    assert redundancy(np.eye(3)) == 0 and redundancy(np.ones((3, 2))) > 0.999


def test_what_is_never_reached_is_a_dash():
    walk = {"rest": True, "stuck": False, "residual": 5e-5, "rise": 0.0, "below": 0.01}
    slow = {**walk, "rest": False, "residual": 1e-3, "below": 0.0, "seconds": 2.0}
    about = {"config": "one", "data_args": {}, "objective": "contrast"}
    rows = [
        {**about, "start": start, "mu": slow, "varpro": {**walk, "seconds": seconds}}
        for start, seconds in enumerate([1.0, 3.0, None])
    ]
    found = line(convergence_table(rows))
    assert found["ended"] == "3 at rest" and found["VarPro / MU"] == "1.5"
    never = [{**row, "varpro": {**row["varpro"], "seconds": None}} for row in rows]
    assert line(convergence_table(never))["VarPro, s"] == "–"


def test_units_divide_where_something_happens():
    row = {
        "config": "one", "data_args": {}, "half": 1.0, "collapse": None,
        "units": {"sample": 1.0, "transition": 0.5},
    }  # fmt: skip
    table = critical_alphas_table(
        [row, {**row, "half": 3.0, "units": {"sample": 1.0, "transition": 1}}]
    )
    assert line(table)["half, transition"] == "2.00" and line(table)["collapse, sample"] == "–"
    assert line(table, 2)["half, sample"] == "*3.00*"
    assert line(table, 2)["half, transition"] == "*1.50*"
