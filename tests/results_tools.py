"""Public calls around the core whose results `tests.results` records, each under a name.

The estimator, AnnData and MuData, the command line, baselines, scores and data sets.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from functools import partial
from pathlib import Path

import anndata
import mudata
import numpy as np
import pandas as pd

import bcnmf_jax as bj
from tests.results_core import CSR, DATA, DONORS, GENES, MASK, TWO, WEIGHTS, X, Y, b, counts


def estimated(x, y, told=True, fit=(), **more):
    """A fitted `BCNMF`, or all that it says."""
    given = {"n_components": 3, "alpha": 0.4, "n_background_components": 2, "n_restarts": 2}
    given |= {"max_iter": 40, "random_state": 0}
    model = b.BCNMF(**given | more).fit(x, background=y, **dict(fit))
    return everything(model, x) if told else model


def everything(model, x):
    """Fitted attributes and the answers of a model."""
    found = {k: v for k, v in vars(model).items() if k.endswith("_") and k[0] != "_"}
    codes, full = model.transform(x), model.transform(x, full=True)
    back = model.inverse_transform(codes), model.inverse_transform(full)
    return found | {"codes": codes, "full": full, "score": model.score(x), "inverse": back}


def loaded():
    with tempfile.TemporaryDirectory() as at:
        estimated(X, Y, False).save(f"{at}/model")
        return everything(b.load(f"{at}/model"), X)


def enriched(level):
    model = estimated(X, Y, False, objective="background_first", n_restarts=1)
    return b.enrichment(model, X, Y, **DONORS, n_permutations=5, level=level)


def cells():
    """Cells of target, background and neither."""
    obs = pd.DataFrame({"stim": ["a"] * 60 + ["b"] * 45 + ["c"] * 5})
    obs["donor"] = [f"{s}{i % 4}" for i, s in enumerate(obs["stim"])]
    held = anndata.AnnData(
        np.log1p(np.concatenate([X, Y, X[:5]])), obs.set_axis(map(str, obs.index))
    )
    held.var_names, held.var["used"] = GENES, np.arange(40) > 1
    return held


def stored(data):
    """What was written into an AnnData or a MuData."""
    uns = {k: v for k, v in data.uns.get("bcnmf", {}).items() if k not in ("params", "versions")}
    parts = {k: stored(v) for k, v in getattr(data, "mod", {}).items()}
    layers = dict(getattr(data, "layers", None) or {})
    return [dict(data.obsm), dict(data.varm), data.obs, uns, parts, layers]


def on_cells(**more):
    """The tools on an AnnData, those that need components of the background where it has such."""
    held, few = cells(), {"n_components": 2, "n_background_components": 2, "max_iter": 40}
    few |= {"alpha": 0.4, "n_restarts": 2, "mask_var": "used", "group_key": "donor"}
    bj.tl.bcnmf(held, "stim", "a", "b", **few | more)
    found = [bj.tl.alpha_path(held, [0.0, 0.5]), bj.tl.rank_programs(held, 9)]
    found += [bj.tl.background_check(held, "stim", "a", "b", group_key="donor")]
    if more["objective"] == "background_first":
        bj.tl.subtract(held)
        found += [bj.tl.enrichment(held, "donor", n_permutations=5)]
        with tempfile.TemporaryDirectory() as at:
            sets = ["\t".join([f"s{i}", "-", *GENES[i : i + 9]]) for i in (3, 11, 25)]
            Path(at, "sets.gmt").write_text("\n".join(sets))
            found += [bj.tl.gene_sets(held, f"{at}/sets.gmt", n_genes=12, permutations=20)]
    return [*found, stored(held)]


def on_modalities():
    held, few = cells(), {"n_components": 2, "alpha": 0.3, "n_restarts": 2, "max_iter": 40}
    made = mudata.MuData({"rna": held[:, :30].copy(), "protein": held[:, 30:].copy()})
    made.obs["stim"] = held.obs["stim"].to_numpy()
    bj.tl.multimodal(made, "stim", "a", "b", mask_var="used", **few)
    return stored(made)


def command(name, *options):
    """The tables of a run of the command, and codes that `transform` reads from that of a fit."""
    root, main = Path(__file__).parents[1], "--max-iter 40 --restarts 2 --out run".split()
    script = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]["bcnmf"]
    module, _, function = script.partition(":")
    start = [sys.executable, "-c", f"from {module} import {function}; {function}()"]
    runs = [[name, "target.csv", "background.csv", *options, *main]]
    if name == "fit":
        runs += [["transform", "run", "target.csv", "--out", "run/tables/codes.tsv"]]
    with tempfile.TemporaryDirectory() as at:
        for role, values in DATA.items():
            index = [f"{role}{i}" for i in range(len(values))]
            pd.DataFrame(values.astype(int), index, GENES).to_csv(f"{at}/{role}.csv")
        for run in runs:
            env = os.environ | {"PYTHONPATH": str(root)}
            ended = subprocess.run([*start, *run], cwd=at, env=env, capture_output=True, text=True)
            if ended.returncode:
                raise RuntimeError(ended.stderr[-300:])
        files = sorted(Path(at, "run", "tables").iterdir())
        return {f.stem: pd.read_csv(f, sep="\t") for f in files}


def estimates():
    """The estimator with every objective and kind of data."""
    kinds = ("contrastive", "published", "shared_target", "background_first", "sequential", "nmf")
    holes = [np.where(MASK[k], DATA[k], np.nan) for k in DATA]
    auto = dict.fromkeys(("n_components", "alpha", "objective"), "auto") | {"n_restarts": 1}
    more = {
        "csr": (*CSR.values(), {}), "csr, kl": (*CSR.values(), {"loss": "kl", "n_restarts": 1}),
        "mask": (*holes, {"missing": "mask"}), "alone": (X, None, {}),
        "weights": (X, Y, {"fit": {"sample_weight": WEIGHTS["target"]}}),
        "two": (X, TWO["background"], {"alpha": [0.1, 0.3]}),
        "x64": (X.astype(float), Y.astype(float), {"n_restarts": 1}),
        "auto": (*counts(3, 100, 100).values(), auto),
    } | {k: (X, Y, {"objective": k}) for k in kinds} | {
        f"{k}, kl": (X, Y, {"objective": k, "loss": "kl"}) for k in kinds if k != "published"
    }  # fmt: skip
    return {f"BCNMF, {k}": partial(estimated, x, y, **m) for k, (x, y, m) in more.items()}


def others():
    """Tools, the command line, baselines, scores and data sets."""
    base, score, made = bj.baselines, bj.metrics, bj.datasets
    rng, labels = np.random.default_rng(4), np.arange(60) % 2
    w, h = rng.gamma(1, 1, (3, 40)), rng.gamma(1, 1, (60, 3)) + labels[:, None] * [1, 0, 0]
    who, near = np.arange(60) % 4 + labels * 4, w[::-1][:2] + 0.3
    path = lambda: base.cpca_path(X, Y, 3, [0.0, 0.5, 1.0, 2.0, 8.0, 50.0])  # noqa: E731
    spectral = ("pca", "nmf", "gcpca", "cpca", "cpca_auto_alphas")
    family = lambda k: made.family_simulation(k, genes=1490)  # noqa: E731
    families = ("beta", "proportions", "rare", "leak", "small", "batch", "none")
    return {
        "enrichment": partial(enriched, "group"), "enrichment, cell": partial(enriched, "cell"),
        "tl": partial(on_cells, objective="background_first"),
        "tl, kl": partial(on_cells, objective="contrastive", loss="kl"),
        "tl, multimodal": on_modalities,
        "bcnmf fit": partial(command, "fit", "--n-components", "2", "--no-report"),
        "bcnmf sweep": partial(command, "sweep", "--alphas", "0,1", "--ranks", "2"),
        **{f"baselines, {n}": lambda n=n: getattr(base, n)(X, Y, 3) for n in spectral},
        "baselines, cpca 2": lambda: base.cpca(X, Y, 3, alpha=2.0, standardize=True),
        "baselines, cpca_path": path, "baselines, cpca_medoids": lambda: base.cpca_medoids(path()),
        "metrics, clustering": lambda: score.clustering(h, labels, shared=h[:, :1]),
        "metrics, component_auc": lambda: score.component_auc(h, labels),
        "metrics, logistic_auc": lambda: score.logistic_auc(h, labels, who),
        "metrics, readouts": lambda: score.readouts(h, h[:, :1]),
        "metrics, recovery": lambda: score.recovery(w, near),
        "metrics, score": lambda: score.score(h, labels, who, w, near),
        "datasets, beta": lambda: made.beta_simulation(beta=4, n=30, genes=1500),
        "datasets, digits": lambda: made.digits_on_photos(),
        "datasets, log_normalise": lambda: made.log_normalise(X),
        **{f"datasets, family {k}": partial(family, k) for k in families},
    }  # fmt: skip


CALLS = estimates() | others()
