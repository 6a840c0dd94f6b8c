"""Bad input gives an error that names the argument; doubtful input a warning."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import bcnmf_jax as bj
from tests.core import unchecked

GOOD = np.random.default_rng(0).gamma(1, 1, (8, 5))


def changed(value, at=(0, 0)):
    a = GOOD.copy()
    a[at] = value
    return a


BAD = {
    "NaN": (changed(np.nan), ValueError, "NaN or infinite"),
    "infinite": (changed(np.inf), ValueError, "NaN or infinite"),
    "negative": (changed(-1.0), ValueError, "negative"),
    "one dimension": (GOOD[0], ValueError, "two dimensions"),
    "three dimensions": (GOOD[None], ValueError, "two dimensions"),
    "no samples": (GOOD[:0], ValueError, "empty"),
    "no features": (GOOD[:, :0], ValueError, "empty"),
    "constant": (np.full((8, 5), 2.0), ValueError, "constant"),
    "half precision": (GOOD.astype(np.float16), TypeError, "float16"),
    "bfloat16": (jnp.asarray(GOOD, jnp.bfloat16), TypeError, "bfloat16"),
    "objects": (np.array([["a", "b"], ["c", None]], dtype=object), TypeError, "real numbers"),
    "text": (np.array([["1", "2"], ["3", "4"]]), TypeError, "real numbers"),
    "complex": (GOOD + 1j, TypeError, "real numbers"),
    "sparse": (scipy.sparse.csr_matrix(GOOD), TypeError, "sparse"),
}


@pytest.mark.parametrize(("bad", "error", "words"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("name", ["target", "background"])
def test_bad_array(bad, error, words, name):
    data = {"target": GOOD, "background": GOOD + GOOD[::-1], name: bad}
    with pytest.raises(error, match=words) as caught:
        bj.init(bj.Contrastive(), data, 2, jax.random.key(0))
    assert name in str(caught.value)


STRUCTURE = {
    "no dictionary": (lambda: bj.prepare(GOOD), TypeError, "dictionary"),
    "unknown name": (lambda: bj.prepare({"tarket": GOOD}), ValueError, "tarket"),
    "other features": (
        lambda: bj.prepare({"target": GOOD, "background": GOOD[:, :3]}),
        ValueError,
        "3 features",
    ),
    "no background in list": (
        lambda: bj.prepare({"target": GOOD, "background": []}),
        ValueError,
        "empty list",
    ),
    "other modalities": (
        lambda: bj.prepare({"target": {"a": GOOD}, "background": {"b": GOOD}}),
        ValueError,
        "modalities",
    ),
    "weights of another length": (
        lambda: bj.prepare({"target": GOOD}, weights={"target": np.ones(3)}),
        ValueError,
        "weights",
    ),
    "negative weights": (
        lambda: bj.prepare({"target": GOOD}, weights={"target": -np.ones(8)}),
        ValueError,
        "weights",
    ),
    "mask of another shape": (
        lambda: bj.prepare({"target": GOOD}, mask={"target": np.ones((8, 4))}),
        ValueError,
        "mask",
    ),
    "mask of unknown set": (
        lambda: bj.prepare({"target": GOOD}, mask={"other": np.ones((8, 5))}),
        ValueError,
        "mask",
    ),
}


@pytest.mark.parametrize(("call", "error", "words"), STRUCTURE.values(), ids=STRUCTURE.keys())
def test_bad_structure(call, error, words):
    with pytest.raises(error, match=words), unchecked():
        call()


def start(rank=2):
    return bj.init(bj.Contrastive(), {"target": GOOD, "background": GOOD + 1}, rank, KEY)


KEY = jax.random.key(0)
PARAMETERS = {
    "rank 0": (lambda: start(0), "rank"),
    "rank not an integer": (lambda: start(2.5), "rank"),
    "damping": (lambda: bj.MU(damping=0.0), "damping"),
    "inner steps": (lambda: bj.MU(inner_steps=0), "inner_steps"),
    "chunk": (lambda: bj.MU(chunk=0), "chunk"),
    "parametrisation": (lambda: bj.solvers.Optax(None, "exp"), "parametrisation"),
    "tol": (lambda: bj.Stop(tol=-1.0), "tol"),
    "tol NaN": (lambda: bj.Stop(tol=np.nan), "tol"),
    "max_steps": (lambda: bj.Stop(max_steps=1.5), "max_steps"),
    "every": (lambda: bj.Stop(every=0), "every"),
    "start": (
        lambda: bj.init(bj.NMF(), {"target": GOOD}, 2, KEY, method="pca"),
        "method",
    ),
    "no target": (lambda: bj.init(bj.NMF(), {"background": GOOD}, 2, KEY), "target"),
    "blocks of another shape": (
        lambda: bj.fit(bj.NMF(), {"target": GOOD[:4]}, start()),
        "blocks",
    ),
    "negative blocks": (
        lambda: bj.fit(bj.NMF(), {"target": GOOD}, {**start(), "basis": -start()["basis"]}),
        "blocks",
    ),
    "alpha": (lambda: bj.Contrastive(alpha=-1.0), "alpha"),
    "alpha NaN": (lambda: bj.objectives.SharedTarget(2, alpha=np.nan), "alpha"),
    "shared rank": (lambda: bj.objectives.SharedTarget(0), "shared_rank"),
    "penalised block": (lambda: bj.penalties.L1("codes", 1.0), "block"),
    "penalty weight": (lambda: bj.penalties.L2("basis", -1.0), "weight"),
    "infinite alphas": (lambda: sweep(alphas=[np.inf]), "alphas"),
    "start of a sweep": (lambda: sweep(method="pca"), "method"),
    "too few components": (
        lambda: bj.fit(bj.objectives.SharedTarget(2), {"target": GOOD}, start()),
        "components",
    ),
    "infinite blocks": (
        lambda: bj.fit(bj.NMF(), {"target": GOOD}, {**start(), "basis": start()["basis"] / 0}),
        "blocks",
    ),
    "modalities where there are none": (
        lambda: bj.init(bj.Contrastive(), {"target": {"a": GOOD}}, 2, KEY),
        "structure",
    ),
    "no modalities": (
        lambda: bj.init(bj.objectives.Multimodal(), {"target": GOOD}, 2, KEY),
        "modalities",
    ),
    "list of targets": (lambda: bj.init(bj.NMF(), {"target": [GOOD, GOOD]}, 2, KEY), "list"),
    "modalities of other samples": (
        lambda: bj.init(bj.objectives.Multimodal(), {"target": {"a": GOOD, "b": GOOD[:4]}}, 2, KEY),
        "samples",
    ),
    "weights of unknown modalities": (
        lambda: bj.prepare({"target": {"a": GOOD}}, weights={"target": {"z": np.ones(8)}}),
        "weights",
    ),
    "codes that do not exist": (
        lambda: bj.transform(bj.NMF(), start(), {"background": GOOD}),
        "no codes for",
    ),
    "missing block": (lambda: bj.fit(bj.NMF(), {"target": GOOD}, basis_alone()), "lack 'target'"),
    "no alphas": (lambda: sweep(alphas=[]), "alphas"),
    "negative alphas": (lambda: sweep(alphas=[-1.0]), "alphas"),
    "ranks": (lambda: sweep(ranks=[0]), "ranks"),
    "batch size": (lambda: sweep(batch_size=0), "batch_size"),
    "transform with other features": (
        lambda: bj.transform(bj.NMF(), start(), {"target": GOOD[:, :3]}),
        "features",
    ),
    "no background to fit first": (
        lambda: bj.init(bj.BackgroundFirst(2), {"target": GOOD}, 2, KEY),
        "background",
    ),
}


def sweep(**options):
    options = {"alphas": [1.0], "ranks": [2], "keys": jax.random.split(KEY, 2)} | options
    return bj.sweep(bj.Contrastive, {"target": GOOD, "background": GOOD + 1}, **options)


@pytest.mark.parametrize(("call", "words"), PARAMETERS.values(), ids=PARAMETERS.keys())
def test_bad_parameter(call, words):
    with pytest.raises(ValueError, match=words), unchecked():
        call()


def test_warns_of_constant_features_and_other_scales():
    same = changed(3.0, (slice(None), 0))
    with pytest.warns(bj.data.ConstantFeatureWarning, match="1 of 5"):
        bj.prepare({"target": same, "background": same})
    with pytest.warns(bj.data.ScaleWarning, match="times the target"):
        bj.prepare({"target": GOOD, "background": 255 * GOOD})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bj.prepare({"target": same, "background": GOOD})


def test_values_beyond_single_precision():
    with pytest.raises(ValueError, match="beyond float32"):
        bj.prepare({"target": GOOD * 1e39})


def test_a_single_empty_sample_can_be_read():
    codes = bj.transform(bj.NMF(), start(), {"target": np.zeros((1, 5))})
    np.testing.assert_array_equal(codes, 0)


def basis_alone():
    return {"basis": start()["basis"]}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bj.Contrastive(loss="kl"), "loss must be"),
        (lambda: bj.NMF(loss=bj.KL), "loss must be"),
        (lambda: bj.fit(bj.NMF, {"target": GOOD}, start()), "objective must be"),
        (lambda: bj.fit(bj.NMF(), {"target": GOOD}, start(), stop=100), "stop must be"),
        (lambda: bj.fit(bj.NMF(), {"target": GOOD}, start(), solver=bj.MU), "solver must be"),
        (lambda: bj.sweep(bj.NMF(), {"target": GOOD}, alphas=[0.0], ranks=[1], keys=[KEY]), "make"),
    ],
)
def test_objects_not_names_or_classes(call, words):
    with pytest.raises(TypeError, match=words), unchecked():
        call()


def test_frames_must_have_the_same_columns():
    frame = pd.DataFrame(GOOD).add_prefix("g")
    with pytest.raises(ValueError, match="another order"):
        bj.prepare({"target": frame, "background": frame[frame.columns[::-1]]})
    with pytest.raises(ValueError, match="g2"):
        bj.prepare({"target": frame, "background": frame.drop(columns="g2")})


def test_keys_must_be_keys():
    with pytest.raises(TypeError, match="keys"), unchecked():
        sweep(keys=np.arange(3))


def test_integers_and_jax_arrays_are_taken():
    counts = np.random.default_rng(1).poisson(3.0, (8, 5))
    rows = bj.prepare({"target": counts, "background": jnp.asarray(counts + 1)})
    assert rows["target"].x.dtype == rows["background"].x.dtype == jnp.float32
    np.testing.assert_array_equal(rows["target"].x, counts)
