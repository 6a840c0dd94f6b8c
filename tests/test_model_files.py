"""Saved models come back as they were, and files that were not saved so are refused."""

import hashlib
import json
import os
import pickle
import threading
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save

import bcnmf_jax as bj
from bcnmf_jax.estimator import model_files
from bcnmf_jax.estimator.model_files import Stored
from bcnmf_jax.storage import folders
from bcnmf_jax.storage.locks import InUseError

OPTIONS = {
    "n_components": 2,
    "alpha": np.float64(0.5),
    "objective": "background_first",
    "n_background_components": 2,
    "n_restarts": np.int64(1),
    "random_state": 0,
    "max_iter": 20,
}


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.gamma(1, 1, (30, 12)), columns=[f"gène {i}" for i in range(12)])
    return frame, rng.gamma(1, 1, (25, 12))


@pytest.fixture(scope="module")
def model(sets):
    X, Y = sets
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bj.BCNMF(**OPTIONS).fit(X, background=Y)


def copy(model, **parameters):
    return pickle.loads(pickle.dumps(model)).set_params(**parameters)


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def same(one, two):
    """The same values of the same types; NumPy's scalars may come back as Python's."""
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(*map(jax.tree.leaves, (one, two)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def test_comes_back_as_it_was(sets, model, tmp_path):
    X, _ = sets
    row = {"objective": "nmf", "alpha": 0.0, "gain": np.float32(0.25), "certain": float("nan")}
    model = copy(model)
    model.selection_ = bj.inference.Selection("no power", ("why",), "nmf", 0.0, 2, 3, (row,), ())
    model.save(str(tmp_path / "there" / "model"))
    found = bj.load(tmp_path / "there" / "model")
    assert type(found) is bj.BCNMF and set(vars(found)) == set(vars(model))
    assert repr(found.selection_.to_dict()) == repr(model.selection_.to_dict())
    for name in set(vars(model)) - {"selection_"}:
        same(vars(found)[name], vars(model)[name])
    np.testing.assert_array_equal(found.transform(X, full=True), model.transform(X, full=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", bj.Beta(1.5)),
        ("loss", bj.NegativeBinomial(np.linspace(0.1, 1, 12))),
        ("alpha", [0.5, 2]),
        ("background", np.eye(12)),
        ("random_state", None),
    ],
)
def test_parameters_come_back(model, tmp_path, name, value):
    copy(model, **{name: value}).save(tmp_path / "model")
    found = getattr(bj.load(tmp_path / "model"), name)
    assert type(found) is type(value)
    same(found, value)


def test_readable_without_this_package(folder, model):
    about = json.loads((folder / "model.json").read_text())
    assert about["format"] == 1 and about["class"] == "BCNMF"
    assert about["version"] == bj.__version__
    assert about["parameters"]["tol"] == 1e-4 and about["fitted"]["result_"] == model.result_
    assert about["fitted"]["feature_names_in_"]["names"][3] == "gène 3"
    numbers = (folder / "model.safetensors").read_bytes()
    assert about["sha256"]["model.safetensors"] == hashlib.sha256(numbers).hexdigest()


def test_replaces_a_model_and_nothing_else(folder, model):
    copy(model, tol=0.5).save(folder)
    assert bj.load(folder).tol == 0.5
    (folder / "notes.txt").write_text("mine")
    for path in (folder, folder / "notes.txt"):
        with pytest.raises(ValueError, match="something else"):
            model.save(path)
    assert (folder / "notes.txt").read_text() == "mine" and bj.load(folder).tol == 0.5


def test_a_save_that_fails_leaves_what_was_there(folder, model, monkeypatch):
    def full(path, content):
        path.write_bytes(content[:5])
        raise OSError("no space left on device")

    before = sorted(folder.parent.rglob("*"))
    monkeypatch.setattr(model_files, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        model.save(folder)
    assert sorted(folder.parent.rglob("*")) == before
    np.testing.assert_array_equal(bj.load(folder).components_, model.components_)


def test_a_reader_beside_a_writer_finds_the_old_or_the_new(folder, model, monkeypatch):
    own, saved = Path.read_bytes, []

    def meanwhile(path):
        if path.name == "model.safetensors" and len(saved) < 2:
            saved.append(copy(model, tol=0.5 + len(saved)).save(folder))
        return own(path)

    monkeypatch.setattr(Path, "read_bytes", meanwhile)
    assert bj.load(folder).tol == 1.5 and len(saved) == 2
    monkeypatch.setattr(folders, "WAIT", -1.0)
    saved.clear()
    with pytest.raises(InUseError, match="replaced again and again"):
        bj.load(folder)


def test_a_reader_waits_for_entries_that_are_being_moved(folder, model, monkeypatch):
    own, moving, go_on = os.replace, threading.Event(), threading.Event()

    def replace(source, target):
        own(source, target)
        if Path(source) == folder / "model.json":
            moving.set()
            assert go_on.wait(10)

    monkeypatch.setattr(os, "replace", replace)
    writer = threading.Thread(target=copy(model, tol=0.5).save, args=(folder,))
    writer.start()
    assert moving.wait(10) and not (folder / "model.json").exists()
    threading.Timer(0.1, go_on.set).start()
    assert bj.load(folder).tol == 0.5
    writer.join()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("random_state", np.random.RandomState(0)),
        ("background", pd.DataFrame(np.eye(12))),
        ("verbose", object()),
    ],
)
def test_what_cannot_be_saved_is_said(model, tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} is a .*set_params"):
        copy(model, **{name: value}).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def change(**new):
    """Rewrite the JSON with other entries."""
    return lambda folder: (folder / "model.json").write_text(
        json.dumps(json.loads((folder / "model.json").read_text()) | new)
    )


def shorten(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def swap(folder):
    (folder / "model.safetensors").write_bytes(save({"components_": np.eye(3)}))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (shorten, "model.safetensors is not what was saved"),
        (swap, "model.safetensors is not what was saved"),
        (change(parameters={"alpha": 2.0}), "model.json is not what was saved"),
        (change(sha256=None), "is not what was saved"),
        (change(format=2, version="9.9"), "format 2, written by bcnmf_jax 9.9.*newer"),
        (change(format="one"), "unknown format 'one'"),
        (change(format=0), "unknown format 0"),
        (change(package="another"), "was not written by bcnmf_jax"),
        (lambda folder: (folder / "model.json").write_text("[1]"), "was not written by"),
        (lambda folder: (folder / "model.json").write_bytes(b"\x80\x04N."), "cannot be read"),
        (lambda folder: (folder / "model.json").write_text('{"a'), "cannot be read"),
    ],
)
def test_other_files_are_refused(folder, harm, words):
    harm(folder)
    with pytest.raises(ValueError, match=words):
        bj.load(folder)


def test_what_is_not_there_is_said(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder with a model"):
        bj.load(tmp_path / "nothing")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no folder with a model"):
        bj.load(folder)


@pytest.mark.parametrize(
    "stored",
    [
        Stored("PCA", "0.1.0", {}, {"components_": np.eye(2), "selection_": None}),
        Stored("BCNMF", "0.1.0", {}, {"selection_": None}),
        Stored("BCNMF", "0.1.0", {"beta": 1}, {"components_": np.eye(2), "selection_": None}),
        Stored("BCNMF", "0.1.0", {}, {"components_": np.eye(2), "fit": 1}),
        Stored("BCNMF", "0.1.0", {}, {"components_": np.eye(2), "__dict__": {"a": 1}}),
    ],
    ids=["class", "not fitted", "parameter", "attribute", "special attribute"],
)
def test_another_model_is_refused(tmp_path, stored):
    model_files.write(tmp_path / "model", stored)
    with pytest.raises(ValueError, match="does not know"):
        bj.load(tmp_path / "model")


def test_the_first_format_stays_readable(tmp_path):
    numbers = save({"components_": np.eye(2, 3), "background_components_": np.ones((1, 3))})
    body = {
        "format": 1, "package": "bcnmf_jax", "version": "0.1.0", "class": "BCNMF",
        "parameters": {
            "n_components": 2, "alpha": {"list": [0.5, 1.0]}, "random_state": None,
            "loss": {"loss": {"name": "KL", "values": {"eps": 1e-10}}},
        },
        "fitted": {
            "components_": {"array": "components_"},
            "background_components_": {"array": "background_components_"},
            "restarts_": {"dict": {"result": {"strings": ["converged", "collapsed"]}}},
            "feature_names_in_": {"names": ["a", "b", "c"]}, "selection_": None,
            "n_features_in_": 3, "result_": "converged",
        },
    }  # fmt: skip
    text = json.dumps(body, sort_keys=True).encode()
    pairs = (("model.safetensors", numbers), ("model.json", text))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in pairs}
    (tmp_path / "model.safetensors").write_bytes(numbers)
    (tmp_path / "model.json").write_text(json.dumps({"sha256": sums} | body))
    model = bj.load(tmp_path)
    assert model.alpha == [0.5, 1.0] and model.loss == bj.KL(eps=1e-10)
    assert model.restarts_["result"].tolist() == ["converged", "collapsed"]
    np.testing.assert_array_equal(model.inverse_transform([[1.0, 2, 3]]), [[4, 5, 3]])


def test_every_kind_of_value_comes_back(tmp_path):
    values = {
        "a": None, "b": True, "c": 3, "d": 0.1, "e": float("inf"), "f": "α", "g": [1, [2.5, None]],
        "h": {"i": {"j": [float("-inf")]}}, "k": bj.KL(eps=1e-9),
    }  # fmt: skip
    arrays = {
        "x": np.arange(6).reshape(2, 3).T, "y": np.array(["a", "b"], object), "z": np.float32(2),
        "u": np.array(["a", "bc"]), "nan": np.array([np.nan, 1]), "flags": np.array([True, False]),
        "empty": np.zeros((0, 4)),
    }  # fmt: skip
    model_files.write(tmp_path / "m", Stored("K", "0", values, arrays))
    found = model_files.read(tmp_path / "m")
    assert found.parameters == values and repr(found.parameters) == repr(values)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.fitted[name], array)
        assert found.fitted[name].dtype == array.dtype
