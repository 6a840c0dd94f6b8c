"""Label-free choices as rows, and their table."""

import json

import pandas as pd
import pytest

from experiments.core.choices import ChoiceConfig
from experiments.core.config import ConfigError, load
from experiments.core.formats import printed
from experiments.core.records import ROOT
from experiments.paper import regret
from experiments.run import main

ROW = {
    "data": "one", "data_args": {"beta": 8}, "loss": "frobenius", "outcome": "contrast found",
    "objective": "sequential", "alpha": 0.0, "n_components": 2, "n_background_components": 6,
    "seconds": 12.3, "results": ["converged"] * 3,
    "scores": {"ari_primary": [0.8, 0.9, 1.0], "auc": [0.99, None, 0.99]},
}  # fmt: skip


def setting(method, ari, auc, failed=0.0, data="one"):
    return {
        "data": data, "data_args": '{"beta": 8}', "experiment": "main", "method": method,
        "loss": "frobenius", "label": method, "failed": failed, "ari_primary_median": ari,
        "auc_median": auc, "rank": 5, "extra": float("nan"), "alpha": float("nan"),
        "auto_alpha": False, "options": "{}",
    }  # fmt: skip


def test_regret_is_against_the_best_entry_that_did_not_fail():
    settings = pd.DataFrame(
        [setting("nmf", 0.3, 0.9), setting("cpca", 0.94, 0.98), setting("bcnmf", 1.0, 1.0, 0.9),
         setting("nmf", 1.0, 1.0, data="other")]
    )  # fmt: skip
    table = regret.regret_table([ROW], settings)
    line = dict(zip(table.header, table.body[0], strict=True))
    assert line["ARI"] == "0.900 [0.850, 0.950]" and line["≤ .05"] == "yes"
    assert table.body[0][5:9] == ["*0.940*", "0.040", "yes", "*0.300*"]
    assert table.body[0][9:14] == ["0.990", "*0.980*", "-0.010", "yes", "*0.900*"]
    assert "ARI: 1 of 1 choices are within 0.05 of the best entry, 0 more" in table.caption
    assert line["choice"] == "sequential K=2+6" and line["contrast"] == "found"
    assert table.numbers.loc[0, "auc_oracle_setting"].startswith("cpca")
    assert table.numbers.loc[0, "ari_primary_nmf"] == 0.3
    assert "sequential K=2+6" in printed(table) and "over 3 restarts" in table.caption
    alone = regret.regret_table([{**ROW, "data": "new"}], settings)
    assert alone.body[0][5] == "*–*" and alone.body[0][7] == ""


def test_configuration_of_choices_is_checked(tmp_path):
    config = load(ROOT / "configs" / "select.toml")
    assert isinstance(config, ChoiceConfig) and config.restarts == 20
    fewer = load(ROOT / "configs" / "select.toml", ["restarts=5"])
    assert fewer.hash != config.hash
    with pytest.raises(ConfigError, match=r"choice.splits"):
        load(ROOT / "configs" / "select.toml", ["choice.splits=1"])
    assert regret.read_choices(tmp_path / "none") == []


@pytest.mark.slow
def test_choices_are_run_once_and_printed(tmp_path, capsys):
    asked = [str(ROOT / "configs" / "select.toml"), "--quick", "--out", str(tmp_path)]
    assert main(asked) == 0
    said = capsys.readouterr()
    assert "beta_simulation" in said.out and "sequential" in said.out
    path = tmp_path / "select.jsonl"
    row = json.loads(path.read_text())
    assert len(row["results"]) == 2 and row["outcome"] and len(row["table"]) == 6
    before = path.read_text()
    assert main(asked) == 0 and path.read_text() == before
