"""What a choice reads of its data: features with most to explain and rows from all over, in every
container, and what it says of the rest."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import bcnmf_jax as bj
from bcnmf_jax.data.top_features import Columns
from bcnmf_jax.inference._reading import read_some
from bcnmf_jax.inference.features import TOP, WIDE, count_taken
from bcnmf_jax.report.run_folder import read_config, read_table
from tests.commands import bcnmf  # noqa: F401 (a fixture)

FEATURES = 40
LOSS = bj.Frobenius()


def drawn(rows, features=FEATURES):
    return np.random.default_rng(rows).poisson(2, (rows, features)).astype("f4")


def both(form=np.asarray, rows=(60, 50), features=FEATURES):
    return {
        n: form(drawn(r, features)) for n, r in zip(("target", "background"), rows, strict=True)
    }


def read(data, groups=None, counts=None, most=None, objectives=("balanced",), loss=LOSS):
    return read_some(data, groups, counts, most, objectives, loss)


@pytest.mark.parametrize(
    "form",
    [sparse.csr_array, sparse.csc_matrix, sparse.coo_array, pd.DataFrame,
     lambda a: Columns(a, np.arange(a.shape[1]))],
    ids=["csr", "csc", "coo", "frame", "source"],
)  # fmt: skip
@pytest.mark.parametrize("most", [None, 12])
def test_what_is_read_does_not_depend_on_the_container(form, most):
    rows = (4300, 70)
    wanted, found = read(both(rows=rows), most=most), read(both(form, rows), most=most)
    assert wanted.said == found.said and "of 4300 rows of the target were read" in wanted.said[0]
    assert ("12 of 40 features were read" in wanted.said[0]) == (most == 12)
    for name, a in wanted.data.items():
        assert a.shape[1] == (most or FEATURES) and len(a) <= 4096
        np.testing.assert_array_equal(found.data[name], a)
    assert len(wanted.data["background"]) == 70


def test_groups_and_counts_follow_rows_and_features():
    counts = both(rows=(4300, 50))
    logged = {n: np.log1p(a) for n, a in counts.items()}
    groups = {n: np.arange(len(a)) for n, a in counts.items()}
    found = read(logged, groups, {n: sparse.csr_array(a) for n, a in counts.items()}, most=7)
    for name, a in found.data.items():
        np.testing.assert_allclose(np.log1p(found.counts[name]), a, rtol=1e-6)
        whole = logged[name][found.groups[name].astype(int)]
        assert all(set(some) <= set(every) for some, every in zip(a, whole, strict=True))


def test_nothing_is_said_where_everything_is_read():
    found = read(both(), most="auto")
    assert found.said == () and found.groups is None and found.counts is None
    few = bj.select(both(rows=(9, 9)), criterion="gain")
    assert len(few.reasons) == 1


def test_a_choice_says_what_it_read():
    data = both(sparse.csr_array, (9, 9), WIDE + 1)
    found = bj.select(data, criterion="gain", objectives=["sequential"])
    assert found.outcome == "no power"
    assert found.reasons[1:] == (
        f"in the choice {TOP} of {WIDE + 1} features were read, those with most to explain",
    )
    every = bj.select(data, criterion="gain", objectives=["sequential"], n_top_features=None)
    assert len(every.reasons) == 1


def test_features_are_chosen_among_where_they_can_be():
    assert count_taken("auto", WIDE + 1, ["balanced", "sequential"], LOSS) == TOP
    assert count_taken("auto", WIDE, ["balanced"], LOSS) is None
    assert count_taken(None, WIDE + 1, ["balanced"], LOSS) is None
    assert count_taken(9, 9, ["contrastive"], LOSS) is None
    each = bj.NegativeBinomial(np.full(WIDE + 1, 0.1))
    for objectives, loss in (
        (["balanced", "contrastive"], LOSS), ([bj.NMF()], LOSS), (["balanced"], each)
    ):  # fmt: skip
        assert count_taken("auto", WIDE + 1, objectives, loss) is None
        with pytest.raises(ValueError, match="n_top_features=9 cannot choose with"):
            count_taken(9, WIDE + 1, objectives, loss)


HOLES = drawn(60)
HOLES[3, 4] = np.nan


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"data": both() | {"target": HOLES}}, r"data\['target'\] has 1 values that are NaN"),
        ({"data": both() | {"target": sparse.csr_array(HOLES)}}, "NaN or infinite"),
        ({"data": both() | {"target": sparse.csr_array(-drawn(60))}}, "negative values"),
        ({"data": both() | {"target": np.ma.masked_invalid(HOLES)}}, "neither weights nor masked"),
        ({"data": both() | {"background": drawn(50, 39)}}, "has 39 features and the target 40"),
        ({"groups": {"target": ["a"], "background": ["b"] * 50}}, r"groups\['target'\] has shape"),
        ({"counts": both(rows=(59, 50))}, r"counts\['target'\] must be raw counts of shape"),
        ({"n_top_features": 0}, "n_top_features must be an integer"),
        ({"n_top_features": 9, "objectives": ["contrastive"]}, "cannot choose with objective"),
    ],
)
def test_what_a_choice_cannot_read_is_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        bj.select(**{"data": both()} | wrong)


def test_files_of_a_choice_are_closed(tmp_path):
    for name, a in both(rows=(9, 9)).items():
        ad.AnnData(a).write_h5ad(tmp_path / f"{name}.h5ad")
    sources = {n: bj.source(tmp_path / f"{n}.h5ad") for n in ("target", "background")}
    assert bj.select(sources, criterion="gain").outcome == "no power"
    with h5py.File(tmp_path / "target.h5ad", "r+") as file:
        assert "X" in file


@pytest.fixture
def wide(tmp_path):
    """Two csv files of few rows."""
    paths = [tmp_path / f"{name}.csv" for name in ("target", "background")]
    for path, a in zip(paths, both(rows=(12, 11)).values(), strict=True):
        pd.DataFrame(a / 2, columns=[f"g{i}" for i in range(FEATURES)]).to_csv(path, index=False)
    return paths


def test_the_command_of_a_choice_says_what_it_read(bcnmf, wide, tmp_path):
    out = tmp_path / "run"
    code, stdout, _ = bcnmf(
        "select", *wide, "--top-features", 15, "--criterion", "gain", "--out", out
    )
    assert code == 0 and "in the choice 15 of 40 features were read" in stdout
    assert read_config(out)["parameters"]["n_top_features"] == 15


def test_a_sweep_fits_and_measures_some_features_and_says_so(bcnmf, wide, tmp_path):
    out = tmp_path / "run"
    few = ["--ranks", "1", "--alphas", "0", "--restarts", "1", "--max-iter", "5"]
    beside = [*few, "--objective", "shared_target", "--n-background-components", "1"]
    code, stdout, stderr = bcnmf("sweep", *wide, *beside, "--top-features", 15, "--out", out)
    assert code == 0 and "15 of 40 features are fitted and measured" in stderr
    assert "of 15 of 40 features" in stdout and read_config(out)["result"]["fitted_features"] == 15
    assert read_table(out, "path")["effective_features"].max() <= 15
    assert "40 features (15 of them fitted)" in (out / "report.html").read_text()
    code, _, stderr = bcnmf("sweep", *wide, *few, "--top-features", 15, "--out", tmp_path / "no")
    assert code == 1 and "cannot choose with objective='contrastive'" in stderr
