"""Recorded rows that tests make, as an experiment would leave them."""

import json

from experiments.core.records import SCORES

LABELS = {"pca": "PCA", "cpca": "cPCA", "bcnmf": "bcNMF", "background_first": "background first"}


def row(config="mnist01", method="bcnmf", seed=0, ari=0.5, **changes):
    """Make one row; `changes` are fields."""
    scores = dict.fromkeys(SCORES) | {"ari_primary": ari, "auc": 0.9, "auc_chance": 0.55}
    plain = {
        **{"config": config, "config_hash": "h1", "commit": "c1", "versions": {"jax": "0"}},
        **{"device": {"platform": "cpu"}, "machine": "m", "data": "digits", "data_args": {}},
        **{"scale": "log", "n": 30, "m": 20, "g": 7, "experiment": "main", "method": method},
        **{"label": LABELS[method], "loss": None if "pca" in method else "frobenius"},
        **{"alpha": 1.0, "alpha_total": 1.5, "rank": 5, "extra": None, "seed": seed},
        **{"options": {}, "default": True, "result": "converged"},
    }
    made = plain | scores | changes
    return made | {key: None for key in SCORES if made["result"] == "nonfinite"}


def restarts(aris, **changes):
    """Make the rows of one setting, one per primary ARI."""
    return [row(seed=seed, ari=ari, **changes) for seed, ari in enumerate(aris)]


def write(folder, *rows):
    """Write rows into one file per configuration, and return the folder."""
    folder.mkdir(exist_ok=True)
    for config in {each["config"] for each in rows}:
        lines = [json.dumps(each) + "\n" for each in rows if each["config"] == config]
        (folder / f"{config}.jsonl").write_text("".join(lines))
    return folder


def everything():
    """Make rows of a data set, a series and two ablations."""
    rows = restarts([0.1, 0.2, 0.3]) + restarts([0.7, 0.8, 0.9], alpha=2.0, default=False)
    rows += restarts([0.4] * 3, method="pca", alpha=None, alpha_total=None)
    for beta in (0, 8):
        same = {"config": "beta_series", "data_args": {"beta": beta}}
        rows += restarts([1.0, 0.9, 0.8], **same)
        rows += restarts([0.5] * 3, alpha=2.0, default=False, **same)
        rows += restarts([0.0] * 3, loss="kl", result="collapsed", **same)
    ablation = {"config": "ablations", "default": False}
    for inner in (1, 5, 10):
        same = {"experiment": "damping", "options": {"inner_steps": inner}}
        rows += restarts([0.3, 0.4], **same, **ablation)
    for alpha in (0.5, 1.0):
        for rank in (2, 5):
            collapsed = "collapsed" if alpha == 1.0 and rank == 5 else "converged"
            same = {"experiment": "alpha_rank", "alpha": alpha, "rank": rank, "result": collapsed}
            rows += restarts([0.3, 0.4], **same, **ablation)
    return rows
