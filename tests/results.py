"""A recorder of results: what public calls return, to the bit, before and after a change.

``python -m tests.results record FILE.npz`` runs every call and stores all arrays, numbers and
strings; ``python -m tests.results compare FILE.npz`` runs them again, prints a line per call, and
exits with status 1 if anything differs. ``--only SUBSTRING`` runs the calls whose names hold it.
``same`` is equal to the bit, and holds between processes on one machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anndata
import jax
import mudata
import numpy as np
import optax
import pandas as pd
from scipy import sparse

import bcnmf_jax as bj

RENAMED = {
    "deflate": "fit_sequential", "survey": "summarize", "residual": "stationarity",
    "strata": "split_by_stratum", "transitions": "critical_alphas",
    "game_value": "reduced_objective",
}  # fmt: skip
NAMESPACES = (
    "losses", "penalties", "objectives", "solvers", "fitting", "inference", "data", "estimator",
)  # fmt: skip
LARGE = 100_000
"""Entries beyond which an array is stored as a digest and its first thousand entries."""


class Public:
    """The public names, by their old name or the new one, in the package or in a namespace.

    Results of a version before the renaming can be compared with those of one after it.
    """

    def __getattr__(self, name: str) -> Any:
        for known in (RENAMED.get(name, name), name):
            for place in (bj, *(getattr(bj, n, None) for n in NAMESPACES)):
                found = getattr(place, known, None)
                if found is not None and not isinstance(found, ModuleType):
                    return found
        raise AttributeError(f"no public name {name!r}")


b = Public()
NEW = hasattr(bj, "streaming")
HEARD = "on_progress" if NEW else "callback"
STREAMED = (
    {"transform": bj.streaming.transform, "value": bj.streaming.reduced_objective}
    if NEW
    else {"transform": b.stream_transform, "value": b.stream_value}
)


# Data


def counts(seed: int = 0, n: int = 60, m: int = 45, genes: int = 40) -> dict[str, Any]:
    """Counts of three shared programs, and of two that the target has to itself."""
    rng = np.random.default_rng(seed)
    basis = rng.gamma(0.3, 1, (5, genes))
    draw = lambda n, k: rng.poisson(4 * rng.gamma(0.5, 1, (n, k)) @ basis[:k] + 0.3)  # noqa: E731
    return {"target": draw(n, 5).astype("f4"), "background": draw(m, 3).astype("f4")}


DATA = counts()
X, Y = DATA["target"], DATA["background"]
TWO = DATA | {"background": [Y[:20], Y[20:]]}
BOTH = {k: {"rna": v, "protein": v[:, :8] + 1} for k, v in DATA.items()}
CSR = {k: sparse.csr_matrix(v) for k, v in DATA.items()}
MASK = {k: np.random.default_rng(1).random(v.shape) > 0.1 for k, v in DATA.items()}
WEIGHTS = {k: np.random.default_rng(2).uniform(0.5, 2, len(v)) for k, v in DATA.items()}
DONORS = {"groups": np.arange(60) % 4, "background_groups": np.arange(45) % 4}
KEY = jax.random.key(0)
GENES = [f"g{i}" for i in range(40)]


def cells() -> anndata.AnnData:
    """Cells of target, background and neither."""
    obs = pd.DataFrame({"stim": ["a"] * 60 + ["b"] * 45 + ["c"] * 5})
    obs["donor"] = [f"d{i % 4}" for i in range(110)]
    obs.index = [f"cell{i}" for i in range(110)]
    held = anndata.AnnData(np.log1p(np.concatenate([X, Y, X[:5]])), obs)
    held.var_names, held.var["used"] = GENES, np.arange(40) > 1
    return held


# Fits

OBJECTIVES: dict[str, tuple[Callable[[Any], Any], dict]] = {
    "nmf": (lambda loss: b.NMF(loss), DATA),
    "contrastive": (lambda loss: b.Contrastive(0.4, loss), DATA),
    "shared target": (lambda loss: b.SharedTarget(2, 0.3, loss), DATA),
    "background first": (lambda loss: b.BackgroundFirst(2, 0.3, loss), DATA),
    "two backgrounds": (lambda loss: b.Contrastive([0.1, 0.3], loss), TWO),
    "multimodal": (lambda loss: b.Multimodal(0.3, loss), BOTH),
    "combined": (lambda loss: b.CombinedBasis(1.0, loss), DATA),
}
LOSSES: dict[str, Callable[[], Any]] = {
    "frobenius": lambda: b.Frobenius(), "kl": lambda: b.KL(), "beta 1.5": lambda: b.Beta(1.5),
    "beta 3": lambda: b.Beta(3.0), "nb": lambda: b.NegativeBinomial(0.4),
}  # fmt: skip
SOLVERS: dict[str, Callable[[], Any]] = {
    "default": lambda: None, "mu": lambda: b.MU(), "hals": lambda: b.HALS(),
    "varpro": lambda: b.VarPro(), "optax": lambda: b.Optax(optax.adam(1e-2), "softplus"),
}  # fmt: skip


def fitted(make, data, solver=None, steps=30, x64=False, method="random", **options) -> dict:
    """A fit of three components, and everything that it says."""
    with jax.enable_x64(x64):
        given = jax.tree.map(lambda a: a.astype("f8" if x64 else "f4"), data)
        made, stop = make(), b.Stop(1e-4, steps)
        start = b.init(made, given, 3, KEY, method=method, **options)
        solver = solver() if solver else None
        found = b.fit(made, given, start, solver=solver, stop=stop, **options)
        return {"start": start, "fit": found, "result": b.result_name(found.result)}


@cache
def contrast(kind: str = "contrastive", loss: str = "frobenius") -> tuple[Any, Any]:
    """An objective and a fit of it, for the calls that read one."""
    make, data = OBJECTIVES[kind]
    made = make(LOSSES[loss]())
    return made, b.fit(made, data, b.init(made, data, 3, KEY), stop=b.Stop(1e-4, 30))


def fits() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Objectives by losses by solvers, and what else a fit can be given."""
    for name, (make, data) in OBJECTIVES.items():
        made = {loss: lambda make=make, loss=loss: make(LOSSES[loss]()) for loss in LOSSES}
        few = () if name in ("multimodal", "combined") else ("hals",)
        for solver in ("default", "mu", "varpro", "optax", *few):
            for loss in ("frobenius", "kl")[: 1 if solver == "hals" else 2]:
                yield (
                    f"{name}, {loss}, {solver}",
                    partial(fitted, made[loss], data, SOLVERS[solver]),
                )
    nmf, plain, first = (OBJECTIVES[k][0] for k in ("nmf", "contrastive", "background first"))
    for loss in ("beta 1.5", "beta 3", "nb"):
        yield f"nmf, {loss}", partial(fitted, lambda loss=loss: nmf(LOSSES[loss]()), DATA)
    yield (
        "first, nb",
        partial(fitted, lambda: first(b.NegativeBinomial(np.linspace(0.1, 1, 40))), DATA),
    )
    squared = lambda: plain(b.Frobenius())  # noqa: E731
    for name, make, data, options in (
        ("weights", squared, DATA, {"weights": WEIGHTS}),
        ("mask", squared, DATA, {"mask": MASK}),
        ("mask kl first", lambda: first(b.KL()), DATA, {"mask": MASK}),
        ("mesh", squared, DATA, {"mesh": b.row_mesh()}),
        ("nndsvd", squared, DATA, {"method": "nndsvd"}),
        ("x64", squared, DATA, {"x64": True}),
        ("x64 kl first", lambda: first(b.KL()), DATA, {"x64": True}),
        ("penalised", lambda: b.Contrastive(0.4, b.Frobenius(), penalties()), DATA, {}),
        ("overlap", lambda: b.Contrastive(0.4, b.KL(), (b.Overlap(0.5),)), DATA, {}),
        ("combined as published", lambda: b.CombinedBasis(1.0, normalised=False), DATA, {}),
        ("combined with l1", lambda: b.CombinedBasis(2.0, penalties=penalties()[:1]), DATA, {}),
        ("mu every option", squared, DATA, {"solver": lambda: b.MU(0.8, 2, 0.9, 16)}),
        ("hals every option", squared, DATA, {"solver": lambda: b.HALS(1, 0.0, 16)}),
        ("log", squared, DATA, {"solver": lambda: b.Optax(optax.sgd(1e-4), "log")}),
        ("collapsed", lambda: b.Contrastive(1e4), DATA, {}),
        ("refused", lambda: b.Contrastive(-1.0), DATA, {}),
    ):  # fmt: skip
        yield name, partial(fitted, make, data, **options)


def penalties() -> tuple:
    """One of each kind on codes and basis."""
    return b.L1("target", 0.3), b.L2("background", 0.1), b.L1("basis", 0.2), b.L2("basis", 0.5)


# What reads fits


def swept(make: str = "Contrastive", **options) -> Any:
    """A sweep of contrasts, ranks and restarts."""
    given = {"alphas": [0.0, 0.4, 1.5], "ranks": [2, 3], "stop": b.Stop(1e-4, 30)} | options
    data = given.pop("data", DATA)
    return b.sweep(getattr(b, make), data, keys=jax.random.split(KEY, 3), **given)


def read_by(name: str, made: Callable[[], Any]) -> Any:
    """A function of an objective, data and blocks."""
    objective, found = made()
    return getattr(b, name)(objective, DATA, found.blocks)


def streamed(kind: str, data: dict, loss: str = "frobenius", **options) -> dict:
    """A fit by passes over chunks, and what it tells of them."""
    said: list = []
    made = OBJECTIVES[kind][0](LOSSES[loss]())
    given = {"rank": 3, "key": KEY, "stop": b.Stop(1e-4, 12), "chunk_rows": 16} | options
    found = b.stream(made, data, **{HEARD: lambda now: said.append(tuple(now)[:3])}, **given)
    return {"fit": found, "said": said}


def from_files() -> dict:
    """Streams of an AnnData on disk, with a checkpoint from which the second goes on."""
    with tempfile.TemporaryDirectory() as folder:
        data = {}
        for name, values in CSR.items():
            anndata.AnnData(values).write_h5ad(f"{folder}/{name}.h5ad")
            data[name] = b.source(f"{folder}/{name}.h5ad")
        options = {"checkpoint": f"{folder}/fit.npz", "every": 2}
        one = streamed("contrastive", data, **options)
        return {"one": one, "two": streamed("contrastive", data, **options)}


def readings() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Sweeps, streams, and the functions that take a fit."""
    yield "sweep", swept
    yield "sweep first, kl", lambda: swept("BackgroundFirst", background_rank=2, loss=b.KL())
    yield "sweep two backgrounds", lambda: swept(data=TWO, alphas=[[0.0, 0.1], [0.2, 0.3]])
    yield "sweep item", lambda: swept()[1, 0, 1]
    yield "collapse_alpha", lambda: b.collapse_alpha(swept(), [0.0, 0.4, 1.5])
    sources = {k: b.source(v) for k, v in CSR.items()}
    for kind, loss in (
        ("contrastive", "frobenius"),
        ("background first", "kl"),
        ("nmf", "beta 1.5"),
    ):
        yield f"stream {kind}, {loss}", partial(streamed, kind, DATA, loss)
        yield f"stream csr {kind}, {loss}", partial(streamed, kind, sources, loss)
    yield "stream online", lambda: streamed("contrastive", DATA, mode="online")
    yield "stream online csr", lambda: streamed("nmf", sources, "kl", mode="online", decay=0.7)
    yield "stream two backgrounds", lambda: streamed("two backgrounds", TWO)
    yield "stream multimodal", lambda: streamed("multimodal", BOTH)
    yield "stream files", from_files
    for kind, loss in (
        ("contrastive", "frobenius"),
        ("background first", "kl"),
        ("combined", "kl"),
    ):
        made = partial(contrast, kind, loss)
        for name in ("game_value", "residual", "block_costs"):
            yield f"{name} {kind}", partial(read_by, name, made)
        yield f"transform {kind}", lambda made=made: b.transform(*made(), {"target": X[:9]})
    yield (
        "transform weights, mask",
        lambda: b.transform(*contrast(), DATA, weights=WEIGHTS, mask=MASK),
    )
    yield (
        "game_value mask",
        lambda: b.game_value(contrast()[0], DATA, contrast()[1].blocks, mask=MASK),
    )
    yield "stream_transform", lambda: STREAMED["transform"](*contrast(), sources, chunk_rows=16)
    yield (
        "stream_value",
        lambda: STREAMED["value"](contrast()[0], sources, contrast()[1].blocks, chunk_rows=16),
    )
    yield "survey", lambda: b.survey(sources, WEIGHTS, chunk_rows=16)
    yield "prepare", lambda: b.prepare(DATA, WEIGHTS, MASK)
    yield "transitions", lambda: b.transitions(DATA, background_rank=3)
    yield (
        "transitions kl",
        lambda: b.transitions(DATA, background_rank=3, loss=b.KL(), weights=WEIGHTS),
    )
    for refit in (True, False):
        yield (
            f"deflate, refit {refit}",
            lambda refit=refit: b.deflate(
                b.BackgroundFirst(2), DATA, 2, KEY, stop=b.Stop(1e-4, 30), refit=refit
            ),
        )
    for name, call in inferences():
        yield name, call


def inferences() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Resampling, agreement of restarts, checks and choices."""
    few = {"n_resamples": 20, "stop": b.Stop(1e-3, 30)}
    donors = {"target": DONORS["groups"], "background": DONORS["background_groups"]}
    yield "bootstrap", lambda: b.bootstrap(contrast()[0], DATA, contrast()[1], **few)
    yield "bootstrap donors", lambda: b.bootstrap(
        *(contrast("background first", "kl")[0], DATA, contrast("background first", "kl")[1]),
        groups=donors, **few,
    )  # fmt: skip
    yield "consensus", lambda: b.consensus(b.Contrastive(0.4), DATA, swept()[1, 1], n_components=3)
    counted = {"counts": DATA, "n_components": 2, **DONORS}
    yield "background_check", lambda: b.background_check(np.log1p(X), np.log1p(Y), **counted)
    yield "background_check csr", lambda: b.background_check(*CSR.values(), loss="kl")
    yield (
        "strata",
        lambda: [
            b.strata(Y, DONORS["background_groups"]),
            b.strata(CSR["background"], np.arange(45) % 3),
        ],
    )
    choice = {"ranks": (1, 2), "background_ranks": (2, 3), "splits": 2}
    more = counts(1, 90, 90)
    yield "select", lambda: b.select(more, **choice)
    yield "select kl", lambda: b.select(
        more, objectives=("contrastive", "background_first"), alphas=(0.4,), loss=b.KL(), **choice
    )  # fmt: skip
    yield "select without power", lambda: b.select(DATA, **choice)
    for level in ("group", "cell"):
        yield f"enrichment {level}", lambda level=level: b.enrichment(
            estimated(X, Y, told=False, objective="background_first", n_restarts=1),
            *(X, Y), **DONORS, level=level, n_permutations=5,
        )  # fmt: skip


# The estimator, AnnData, the command line


def estimated(x: Any, y: Any, told: bool = True, fit: dict | None = None, **more) -> Any:
    """A fitted `BCNMF`, or all that it says."""
    given = {"n_components": 3, "alpha": 0.4, "n_background_components": 2, "n_restarts": 2}
    given |= {"max_iter": 40, "random_state": 0}
    model = b.BCNMF(**given | more).fit(x, background=y, **fit or {})
    return everything(model, x) if told else model


def everything(model: Any, x: Any) -> dict:
    """Fitted attributes and the answers of a model."""
    found = {k: v for k, v in vars(model).items() if k.endswith("_") and not k.startswith("_")}
    codes = model.transform(x)
    return found | {
        "codes": codes, "full": model.transform(x, full=True), "score": model.score(x),
        "inverse": model.inverse_transform(codes), "names": model.get_feature_names_out(),
    }  # fmt: skip


def loaded() -> dict:
    """What a model says that was saved and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        estimated(X, Y, told=False).save(f"{folder}/model")
        return everything(b.load(f"{folder}/model"), X)


def stored(data: Any) -> dict:
    """What was written into an AnnData or a MuData."""
    uns = {k: v for k, v in data.uns.get("bcnmf", {}).items() if k not in ("params", "versions")}
    found = {"obsm": dict(data.obsm), "varm": dict(data.varm), "obs": data.obs, "uns": uns}
    parts = getattr(data, "mod", {})
    return found | {k: stored(v) for k, v in parts.items()} | dict(getattr(data, "layers", {}))


def on_cells(objective: str = "background_first", **more) -> dict:
    """The tools on an AnnData."""
    held = cells()
    few = {"n_components": 2, "alpha": 0.4, "n_background_components": 2, "max_iter": 40}
    few |= {"objective": objective, "n_restarts": 2, "mask_var": "used", "group_key": "donor"}
    bj.tl.bcnmf(held, "stim", "a", "b", **few | more)
    found = {"path": bj.tl.alpha_path(held, [0.0, 0.5]), "programs": bj.tl.rank_programs(held, 9)}
    found["check"] = bj.tl.background_check(held, "stim", "a", "b", group_key="donor")
    if objective == "background_first":
        bj.tl.subtract(held)
        found["enrichment"] = bj.tl.enrichment(held, "donor", n_permutations=5)
        with tempfile.TemporaryDirectory() as folder:
            sets = ["\t".join([f"s{i}", "-", *GENES[i : i + 9]]) for i in (3, 11, 25)]
            Path(folder, "sets.gmt").write_text("\n".join(sets))
            asked = {"n_genes": 12, "permutations": 20}
            found["sets"] = bj.tl.gene_sets(held, f"{folder}/sets.gmt", **asked)
    return found | {"adata": stored(held)}


def on_modalities() -> dict:
    """The tool on a MuData."""
    held = cells()
    parts = {"rna": held[:, :30].copy(), "protein": held[:, 30:].copy()}
    made = mudata.MuData(parts)
    made.obs["stim"] = held.obs["stim"].to_numpy()
    few = {"n_components": 2, "alpha": 0.3, "n_restarts": 2, "max_iter": 40}
    bj.tl.multimodal(made, "stim", "a", "b", mask_var="used", **few)
    return stored(made)


def command(name: str, *options: str) -> dict:
    """The tables of a run of the command, and codes that it reads from it where it is a fit."""
    root = Path(__file__).parents[1]
    module, main = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"][
        "bcnmf"
    ].split(":")
    start = [sys.executable, "-c", f"from {module} import {main}; {main}()"]
    with tempfile.TemporaryDirectory() as folder:
        for role, values in DATA.items():
            index = [f"{role}{i}" for i in range(len(values))]
            pd.DataFrame(values.astype(int), index, GENES).to_csv(f"{folder}/{role}.csv")
        x, y, out, codes = (
            f"{folder}/{n}" for n in ("target.csv", "background.csv", "run", "codes.tsv")
        )
        runs = [[name, x, y, *options, "--max-iter", "40", "--restarts", "2", "--out", out]]
        runs += [["transform", out, y, "--out", codes]] * (name == "fit")
        for run in runs:
            env = os.environ | {"PYTHONPATH": str(root)}
            ended = subprocess.run([*start, *run], env=env, capture_output=True, text=True)
            if ended.returncode:
                raise RuntimeError(ended.stderr[-300:].replace(folder, ""))
        files = sorted(Path(out, "tables").iterdir()) + [Path(codes)] * (name == "fit")
        return {f.stem: pd.read_csv(f, sep="\t") for f in files}


def surroundings() -> Iterator[tuple[str, Callable[[], Any]]]:
    """The estimator, AnnData, baselines, scores, data sets and the command line."""
    for objective in (
        "contrastive",
        "published",
        "shared_target",
        "background_first",
        "sequential",
        "nmf",
    ):
        yield f"BCNMF {objective}", partial(estimated, X, Y, objective=objective)
        if objective != "published":
            yield f"BCNMF {objective}, kl", partial(estimated, X, Y, objective=objective, loss="kl")
    holes = [np.where(MASK[k], DATA[k], np.nan) for k in DATA]
    big = counts(3, 240, 240)
    auto = {"n_components": "auto", "alpha": "auto", "objective": "auto", "n_restarts": 1}
    for name, x, y, more in (
        ("csr", *CSR.values(), {}),
        ("csr kl", *CSR.values(), {"loss": "kl", "objective": "background_first", "n_restarts": 1}),
        ("mask", *holes, {"missing": "mask"}),
        ("weights", X, Y, {"fit": {"sample_weight": WEIGHTS["target"]}}),
        ("two backgrounds", X, TWO["background"], {"alpha": [0.1, 0.3]}),
        ("x64", X.astype(float), Y.astype(float), {}),
        ("no background", X, None, {}),
        ("auto", *big.values(), auto),
    ):
        yield f"BCNMF {name}", partial(estimated, x, y, **more)
    yield "save and load", loaded
    yield "tl", on_cells
    yield "tl contrastive, kl", lambda: on_cells("contrastive", loss="kl")
    yield "tl multimodal", on_modalities
    yield "bcnmf fit", lambda: command("fit", "--n-components", "2", "--no-report")
    yield "bcnmf sweep", lambda: command("sweep", "--alphas", "0,1", "--ranks", "2")
    base, score = bj.baselines, bj.metrics
    for name in ("pca", "nmf", "gcpca", "cpca", "cpca_auto_alphas"):
        yield f"baselines.{name}", lambda name=name: getattr(base, name)(X, Y, 3)
    path = lambda: base.cpca_path(X, Y, 3, [0.0, 0.5, 1.0, 2.0, 8.0, 50.0])  # noqa: E731
    yield "baselines.cpca_path", path
    yield "baselines.cpca_medoids", lambda: base.cpca_medoids(path())
    rng = np.random.default_rng(4)
    labels, h, w = np.arange(60) % 2, rng.gamma(1, 1, (60, 3)), rng.gamma(1, 1, (3, 40))
    h[:, 0] += labels
    for name in ("clustering", "component_auc", "logistic_auc", "readouts"):
        few = () if name == "readouts" else (labels,)
        yield f"metrics.{name}", lambda n=name, few=few: getattr(score, n)(h, *few)
    yield "metrics.recovery", lambda: score.recovery(w, w[::-1][:2] + 0.3)
    who = DONORS["groups"] + labels * 4
    yield "metrics.score", lambda: score.score(h, labels, who, w, w[:2] + 0.3, shared=h[:, :1])
    made = bj.datasets
    yield "datasets.beta_simulation", lambda: made.beta_simulation(beta=4, n=30, genes=1500)
    yield "datasets.digits_on_photos", lambda: made.digits_on_photos()
    yield "datasets.log_normalise", lambda: made.log_normalise(X)
    for name in ("beta", "proportions", "rare", "leak", "small", "batch", "none"):
        yield f"datasets.{name}", lambda name=name: made.family_simulation(name, genes=1490)


# Records


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Arrays, numbers and strings of a result: keys of dictionaries, all else by number."""
    if isinstance(value, pd.DataFrame):
        kept = {str(k): v.to_numpy() for k, v in value.items() if "seconds" not in str(k)}
        value = {"index": value.index.to_numpy()} | kept
    if sparse.issparse(value):
        value = value.tocsr()
        value = (value.data, value.indices, value.indptr)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, f.name) for f in dataclasses.fields(value)]
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from leaves(part, f"{path}/{i}")
    elif isinstance(value, np.ndarray | np.generic | jax.Array | str | int | float | None):
        array = np.asarray("None" if value is None else value)
        array = array.astype(str) if array.dtype.kind == "O" else array
        if array.size > LARGE:
            yield f"{path}/sha256", np.asarray(hashlib.sha256(array.tobytes()).hexdigest())
            array = array.ravel()[:1000]
        yield path, array
    elif not callable(value):
        yield path, np.asarray("something else")


def run(call: Callable[[], Any]) -> dict[str, np.ndarray]:
    """What a call gives, or how it fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(leaves(call()))
    except Exception as error:
        return {"raised": np.asarray(f"{type(error).__name__}: {error}")}


def difference(old: np.ndarray, new: np.ndarray) -> str:
    """How two arrays differ; nothing where they are equal to the bit."""
    if "U" in (old.dtype.kind, new.dtype.kind):
        return "" if old.tolist() == new.tolist() else f"{old!s:.150} became {new!s:.150}"
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"{old.dtype}{old.shape} became {new.dtype}{new.shape}"
    if old.tobytes() == new.tobytes():
        return ""
    with np.errstate(all="ignore"):
        one, two = old.astype(float), new.astype(float)
        gap = np.where((one == two) | (np.isnan(one) & np.isnan(two)), 0, np.abs(one - two))
        return f"by {gap.max():.3g}, relative {(gap / np.maximum(abs(one), 1e-300)).max():.3g}"


def verdict(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> str:
    """A line about a call."""
    said = []
    lost, found = [k for k in old if k not in new], [k for k in new if k not in old]
    for name in lost:
        alike = (k for k in found if not difference(old[name], new[k]))
        if (other := next(alike, None)) is not None:
            found.remove(other)
        said.append(f"{name} is missing" if other is None else f"{name} is now {other}")
    said += [f"{name} is new" for name in found]
    both = [(k, difference(old[k], new[k])) for k in old if k in new]
    said += [f"{name} {how}" for name, how in both if how]
    more = f"; and {len(said) - 9} more" if len(said) > 9 else ""
    raised = f" ({new['raised']})"[:150] if "raised" in new else ""
    return "; ".join(said[:9]) + more + ("" if said else "same") + raised


def main() -> int:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", default="", help="run the calls whose names hold this")
    asked = parser.parse_args()
    old: dict[str, dict[str, np.ndarray]] = {}
    if asked.command == "compare":
        for key, array in np.load(asked.file).items():
            call, _, path = key.partition("|")
            old.setdefault(call, {})[path] = array
    calls = dict([*fits(), *readings(), *surroundings()])
    kept, bad = {}, 0
    for i, name in enumerate(k for k in [*calls, *(set(old) - set(calls))] if asked.only in k):
        if i % 40 == 39:
            jax.clear_caches()  # programs hold memory maps, of which a process has so many
        start = time.perf_counter()
        new = run(calls[name]) if name in calls else {}
        kept |= {f"{name}|{path}": array for path, array in new.items()}
        said = f"{len(new)} arrays" + (f" ({new['raised']})"[:150] if "raised" in new else "")
        if asked.command == "compare":
            said = verdict(old.get(name, {}), new)
            bad += not said.startswith("same")
        print(f"{name}: {said}  [{time.perf_counter() - start:.1f} s]", flush=True)
    if asked.command == "record":
        np.savez_compressed(asked.file, **kept)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
