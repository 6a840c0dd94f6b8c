"""Every method on every data set: what a user would take, beside what "auto" does.

Every method has the same three numbers of components, with its own automatic contrast where it has
one. Each is read as its authors do and, where it has nonnegative components, beside one small basis
of the background, of six components. A data set or draw has rows of all rivals, of bcNMF at its
published settings where there are any, and of "auto", so that a rule that changes is run again
alone (``--only auto``).

A data set is *seen* if its labels were looked at while a rule of "auto" was made, and *unseen* if
the rule was fixed before.
"""

# To pandas' own annotations every selection is a Series or a DataFrame and every cell anything.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import json
import time
import warnings
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from scipy.stats import rankdata, ttest_1samp, wilcoxon

import bcnmf_jax as bj
from bcnmf_jax import baselines
from bcnmf_jax.fitting.balanced import contrast
from bcnmf_jax.inference.selection import separation
from bcnmf_jax.metrics import component_auc, readouts
from experiments.core.data import load_data
from experiments.core.data_schema import Data
from experiments.core.formats import Table, data_name, score
from experiments.core.rows import Job, Row
from experiments.core.study import Study, digest

RANKS, SHARED, GENES, DRAWS = (2, 5, 10), 6, 50, 30
FAMILIES = ("beta", "proportions", "rare", "leak", "small", "batch")
LOOKED, SEEN_DRAWS = 2, 18
"""First draws of each family that were looked at before rivals were recorded, and before the
present rule was fixed."""
SEEN = (
    Data(name="kang_lymphocytes"),
    Data(name="kang_cross_donor"),
    Data(name="mixseq"),
    Data(name="mnist_on_photos", args={"digits": 2}),
    Data(name="mnist_on_photos", args={"digits": 10}),
    Data(name="digits_on_photos"),
    Data(name="mouse_protein"),
    Data(name="beta_simulation", args={"beta": 8}),
    Data(name="beta_simulation", args={"beta": 16}),
    Data(name="pbmc_cytometry"),
    Data(name="mait_cells"),
)
PAIRS = tuple(
    Data(name="mnist_on_photos", args={"digits": pair})
    for pair in ("38", "49", "56", "27", "17", "35", "08", "69", "12", "78", "45", "03")
)
"""Unseen by earlier rules, whose results on them were looked at."""
UNSEEN = tuple(
    Data(name="mnist_on_photos", args={"digits": pair}) for pair in ("02", "14", "57", "68")
)
PUBLISHED = {
    "mnist_on_photos, 2": (2, 1.54),
    "mnist_on_photos, 10": (16, 1.54),
    "mouse_protein": (5, 3.0),
    "mixseq": (2, 1.15),
    "beta_simulation": (2, 2.0),
}
"""Components, and contrast in units of the sum over all background rows, that the authors give (of
the mice those of the first version; of MNIST on one scale of both sets)."""
RIVALS = digest(RANKS, SHARED, GENES, 1)
AUTO = f"auto-{digest(separation.VERSION)}"
AUTHORS = f"published-{digest(PUBLISHED)}"


def scored(codes: np.ndarray, labels: np.ndarray, shared: np.ndarray | None = None) -> Row:
    """AUC of the best component and of the summed share, ARI on the readout and on that share."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    count = len(np.unique(labels))

    def ari(points: np.ndarray) -> float:
        found = KMeans(count, n_init=10, random_state=0).fit_predict(points)
        return float(adjusted_rand_score(labels, found))

    row = component_auc(codes, labels) | {"ari": ari(readouts(codes, shared)["primary"])}
    if shared is not None and count == 2:
        total = np.maximum(codes.sum(1) + shared.sum(1), 1e-30)
        summed = (codes.sum(1) / total)[:, None]
        row |= {"auc_sum": component_auc(summed, labels)["auc"], "ari_sum": ari(np.sqrt(summed))}
    return {name: float(value) for name, value in row.items()}


def gene_score(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Codes (n, 1): mean of the features most up in the target less that of those most down, by the
    rank-sum test between the sets (Wilcoxon), standardised."""
    both = np.concatenate([x, y])
    ranks = rankdata(both, axis=0)[: len(x)].mean(0)
    order, most = np.argsort(ranks, kind="stable"), min(GENES, x.shape[1] // 4)
    spread = both.std(0)
    scaled = (x - both.mean(0)) / np.where(spread > 0, spread, 1)
    return (scaled[:, order[-most:]].mean(1) - scaled[:, order[:most]].mean(1))[:, None]


class Problem(NamedTuple):
    """Both sets, log-transformed, and labels of the target as integers."""

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray


def problem(data: Data) -> Problem:
    """The sets of a data set or draw."""
    if data.name != "family_simulation":
        jax.clear_caches()  # programs of other shapes: memory for thousands of them runs out
    dataset = load_data(data)
    x, y = (np.asarray(dataset.data("log")[n], np.float32) for n in ("target", "background"))
    return Problem(x, y, np.unique(dataset.labels, return_inverse=True)[1])


def row_of(sets: Problem, entries: dict[str, Row]) -> Row:
    """A row of scores."""
    return {"n": len(sets.x), "m": len(sets.y), "g": sets.x.shape[1], "entries": entries}


def rivals(data: Data) -> Row:
    """Scores of every method at every number of components."""
    sets = problem(data)
    x, y, labels = sets
    key, plain = jax.random.key(0), bj.NMF()
    frozen = bj.fit(plain, {"target": y}, bj.init(plain, {"target": y}, SHARED, key)).blocks[
        "basis"
    ]
    entries = {"gene score": scored(gene_score(x, y), labels)}

    def beside(name: str, basis: Any) -> None:
        whole = {"basis": jnp.concatenate([jnp.asarray(basis), frozen])}
        codes = np.asarray(bj.transform(plain, whole, {"target": x}))
        entries[f"{name}, beside"] = scored(codes[:, : len(basis)], labels, codes[:, len(basis) :])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nested = closed(x, y)
        for rank in (k for k in RANKS if k <= min(x.shape[1], *map(len, (x, y))) // 2):
            entries |= {
                f"{name}, K={rank}": scored(codes[:, :rank], labels)
                for name, codes in nested.items()
            }
            rows = {"target": x, "background": y}
            for name, objective in {"NMF": plain, "bcNMF": bj.Contrastive(1.0)}.items():
                own = {"target": x} if name == "NMF" else rows
                found = bj.fit(objective, own, bj.init(objective, own, rank, key))
                basis = np.asarray(found.blocks["basis"])
                codes = np.asarray(bj.transform(plain, {"basis": basis}, {"target": x}))
                entries[f"{name}, K={rank}"] = scored(codes, labels)
                beside(f"{name}, K={rank}", basis)
            first = bj.BackgroundFirst(SHARED)
            for name, found in (
                ("balanced", bj.fit_balanced(contrast(plain.loss), rows, rank, key)),
                ("sequential", bj.fit_sequential(first, rows, rank, key)),
            ):
                codes = np.asarray(found.blocks["target"])
                entries[f"{name}, K={rank}"] = scored(codes[:, :rank], labels, codes[:, rank:])
    return row_of(sets, entries)


def published(data: Data, rank: int, total: float) -> Row:
    """Scores of bcNMF as published: multiplicative updates, read on its basis alone."""
    sets = problem(data)
    rows = {"target": sets.x, "background": sets.y}
    objective = bj.Contrastive(total * len(sets.y) / len(sets.x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = bj.init(objective, rows, rank, jax.random.key(0))
        codes = np.asarray(bj.fit(objective, rows, begun, solver=bj.MU()).blocks["target"])
    return row_of(sets, {"bcNMF, published": scored(codes, sets.labels)})


def auto(data: Data) -> Row:
    """Scores of "auto", and what it chose."""
    sets = problem(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.perf_counter()
        model = bj.BCNMF(random_state=0, verbose=False).fit(sets.x, background=sets.y)
        seconds, codes = time.perf_counter() - began, model.transform(sets.x, full=True)
    count, choice = len(model.components_), model.selection_
    assert choice is not None
    return row_of(sets, {"auto": scored(codes[:, :count], sets.labels, codes[:, count:])}) | {
        "seconds": seconds, "outcome": choice.outcome, "objective": model.objective_,
        "n_components": count, "reasons": list(choice.reasons), "rule": separation.VERSION,
    }  # fmt: skip


def closed(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Codes of as many components as are compared, of the methods whose components are nested; a
    method that these data do not allow is left out. The contrast of cPCA is its automatic one at
    two components."""
    most, found = max(RANKS), {}
    varies, dims = (x.std(0) > 0) & (y.std(0) > 0), min(500, len(y) - 1)

    def contrastive(standardize: bool) -> np.ndarray:
        path = baselines.cpca_path(x, y, most, standardize=standardize)
        two = [replace(one, codes=one.codes[:, :2], components=one.components[:2]) for one in path]
        return path[sorted(baselines.cpca_medoids(two))[1]].codes

    calls = {
        "PCA": lambda: baselines.pca(x, y, most).codes,
        "cPCA": lambda: contrastive(True),
        "cPCA, unscaled": lambda: contrastive(False),
        "gcPCA": lambda: baselines.gcpca(x[:, varies], y[:, varies], most, dims=dims).codes,
    }
    for name, call in calls.items():
        try:
            found[name] = call()
        except ValueError:
            continue
    return found


def jobs() -> list[Job]:
    """Every data set and draw with all rivals, as published, and with "auto".

    A row of rivals says whether its data were unseen when it was recorded, which nothing else
    depends on; one of "auto", whether its rule had not seen them.
    """
    draws = [
        (Data(name="family_simulation", args={"family": f, "seed": s, "genes": 1500}), s)
        for s in range(DRAWS)
        for f in FAMILIES
    ]
    every = [(d, False, False) for d in SEEN] + [(d, True, False) for d in PAIRS]
    every += [(d, True, True) for d in UNSEEN]
    every += [(d, s >= LOOKED, s >= SEEN_DRAWS) for d, s in draws]
    work = [(RIVALS, d, before, rivals) for d, before, _ in every]
    for d in SEEN:
        names = d.name, f"{d.name}, {d.args.get('digits')}"
        if asked := next((PUBLISHED[name] for name in names if name in PUBLISHED), None):
            work.append((AUTHORS, d, False, partial(published, rank=asked[0], total=asked[1])))
    work += [(AUTO, d, unseen, auto) for d, _, unseen in every]
    return [
        (
            {"config_hash": h, "data": d.name, "data_args": d.args, "unseen": unseen},
            partial(call, d),
        )
        for h, d, unseen, call in work
    ]


def merged(rows: list[Row]) -> list[Row]:
    """One row per data set or draw that has rivals and "auto" by the present rule, of which all but
    the entries is that of "auto"."""
    found: dict[str, Row] = {}
    now = [row for row in rows if row["config_hash"] not in PAST]
    for row in sorted(now, key=lambda row: row["config_hash"] == AUTO):
        about = json.dumps([row["data"], row["data_args"]], sort_keys=True)
        before = found.get(about, {"entries": {}})
        found[about] = before | row | {"entries": before["entries"] | row["entries"]}
    return [row for row in found.values() if {"auto", "gene score"} <= set(row["entries"])]


def values(entry: Row) -> tuple[float, float]:
    """AUC and ARI of an entry: of the best component or readout, or of the summed share."""
    return max(entry["auc"], entry.get("auc_sum", 0)), max(entry["ari"], entry.get("ari_sum", -1))


def rows_of(group: list[Row]) -> dict[str, Any]:
    """Medians over draws of "auto", of the best entry, and of what users would take."""
    names = sorted(set.intersection(*(set(row["entries"]) for row in group)))
    middle = {
        name: np.median([values(row["entries"][name]) for row in group], axis=0) for name in names
    }
    rivals = {name: v for name, v in middle.items() if name != "auto"}
    auc, ari = (max(rivals, key=lambda n, i=i: rivals[n][i]) for i in (0, 1))
    simple = [n for n in rivals if n.startswith(("NMF, K", "gene")) and "beside" not in n]
    chosen = pd.Series([f"{r['objective']}, {r['n_components']}" for r in group]).mode()[0]
    told = {
        "auto AUC": middle["auto"][0], "best AUC": rivals[auc][0], "best by AUC": auc,
        "NMF or genes AUC": max(rivals[n][0] for n in simple), "auto ARI": middle["auto"][1],
        "best ARI": rivals[ari][1], "best by ARI": ari,
    }  # fmt: skip
    found = sum(row["outcome"] == "contrast found" for row in group)
    return told | {"chosen": chosen, "found": f"{found}/{len(group)}", "draws": len(group)}


def above_nmf(group: list[Row]) -> tuple[float, float, float, float] | None:
    """Mean difference of AUC between "auto" and NMF of 5 components over draws, its 95 % interval
    (Student's t) and the p-value of Wilcoxon's signed ranks; None of fewer than 5 draws."""
    pairs = [
        [values(row["entries"][name])[0] for name in ("auto", "NMF, K=5")]
        for row in group
        if "NMF, K=5" in row["entries"]
    ]
    if len(pairs) < 5:
        return None
    differences = np.subtract(*np.transpose(pairs))
    low, high = ttest_1samp(differences, 0).confidence_interval(0.95)
    p = float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0
    return float(differences.mean()), float(low), float(high), p


def comparison_table(rows: list[dict[str, Any]]) -> Table:
    """One line per data set or family, seen and unseen apart."""
    groups: dict[tuple[bool, str], list[Row]] = {}
    rows = merged(rows)
    for row in rows:
        args = {k: v for k, v in row["data_args"].items() if k != "seed"}
        family = args.get("family")
        name = f"simulated: {family}" if family else data_name(row | {"data_args": args})
        groups.setdefault((row["unseen"], name), []).append(row)
    body, records = [], []
    for (unseen, name), group in sorted(groups.items(), key=lambda one: one[0][0]):
        told = rows_of(group)
        record = {"data": name, "unseen": unseen} | told
        above = above_nmf(group)
        if above is not None:
            record |= dict(zip(("above NMF", "2.5 %", "97.5 %", "p"), above, strict=True))
        within = told["auto AUC"] >= told["best AUC"] - 0.03
        within_ari = told["auto ARI"] >= told["best ARI"] - 0.05
        cells = [
            f"{name}{' ×' + str(told['draws']) if told['draws'] > 1 else ''}",
            "unseen" if unseen else "seen", told["chosen"], told["found"],
            score(told["auto AUC"]) if within else f"*{score(told['auto AUC'])}*",
            f"{score(told['best AUC'])} ({told['best by AUC']})", score(told["NMF or genes AUC"]),
            score(told["auto ARI"]) if within_ari else f"*{score(told['auto ARI'])}*",
            f"{score(told['best ARI'])} ({told['best by ARI']})",
            "" if above is None else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*above[:3]),
        ]  # fmt: skip
        body.append(cells)
        records.append(record)
    entries = max((len(row["entries"]) for row in rows), default=1)
    caption = (
        'What "auto" chooses and scores beside the best of all other entries, picked with the '
        f"labels in view ({entries - 1} entries, medians over draws). AUC: of the "
        "best component, or of the summed share of the target components; of ten digits the mean "
        "of one against the rest. ARI: k-means on the primary readout, or on the summed share. *In "
        "italics* where it falls short by more than .03 (AUC) or .05 (ARI). *seen*: labels were "
        f"looked at while the rule was made; *unseen*: the rule (version {separation.VERSION}) was "
        "fixed before. Above NMF: the "
        "mean over draws of the AUC less that of NMF with 5 components, with its 95 % interval."
    )
    header = ["data", "", '"auto"', "found", "AUC", "best AUC", "NMF or genes", "ARI", "best ARI"]
    header.append("above NMF")
    return Table("comparison", 'What "auto" reaches', caption, header, body, pd.DataFrame(records))


PAST = frozenset(f"auto-{digest(version)}" for version in range(1, separation.VERSION))
"""Rows of earlier rules."""
STUDY = Study("comparison", jobs, comparison_table, PAST)
