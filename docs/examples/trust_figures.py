"""The pictures of docs/trust.md, of simulated cells: ``python docs/examples/trust_figures.py``."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import bcnmf_jax as bj
from bcnmf_jax.storage.files import whole_file

FIGURES = Path(__file__).parents[1] / "figures"
TARGET, BACKGROUND = "#D55E00", "#0072B2"
ALPHAS = np.array([0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.5, 2, 4, 8, 16, 32, 64])
CASES = {
    "beta": "two target programs",
    "none": "no target program",
    "small": "100 background cells",
}


def choice(axis: Axes, family: str) -> None:
    """What candidates gain on held-out target, and the null on the background."""
    data = bj.datasets.family_simulation(family, genes=1500).data()
    found = bj.select(data, objectives=["sequential"], ranks=[1, 2, 3, 4], criterion="gain")
    counts = [row["n_components"] for row in found.table]
    for name, colour in (("gain", TARGET), ("null", BACKGROUND)):
        axis.plot(counts, [row[name] for row in found.table], "o-", color=colour, label=name)
    nets, errors = ([row[name] for row in found.table] for name in ("net", "net_se"))
    axis.errorbar(counts, nets, errors, color="black", fmt="s:", capsize=3, label="net ± s.e.")
    if found.outcome == "contrast found":
        axis.axvline(found.n_components, color="grey", lw=6, alpha=0.25, label="chosen")
    axis.axhline(0, color="grey", lw=0.5)
    axis.set(title=f"{CASES[family]}:\n{found.outcome}", xlabel="target components", xticks=counts)


def choices() -> Figure:
    """One panel per case."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    axes = figure.subplots(1, len(CASES), sharey=True)
    for axis, family in zip(axes, CASES, strict=True):
        choice(axis, family)
    axes[0].set_ylabel("share of held-out\nvariance beyond the background")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def path() -> Figure:
    """Along alpha: what is explained, features that die, and fits that collapse."""
    data = bj.datasets.beta_simulation(beta=8, n=400, genes=1500).data()
    known = bj.inference.critical_alphas(data, background_rank=8)
    keys = jax.random.split(jax.random.key(0), 10)
    found = bj.sweep(bj.Contrastive, data, alphas=ALPHAS, ranks=[2], keys=keys)
    lost = (np.asarray(bj.result_name(found.result))[:, 0] == "collapsed").mean(1)
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in (("x_explained", TARGET), ("y_explained", BACKGROUND)):
        values = np.asarray(found.diagnostics[name])[:, 0]
        low, middle, high = np.nanquantile(np.maximum(values, 0), [0, 0.5, 1], axis=1)
        left.plot(ALPHAS, middle, "o-", ms=3, color=colour, label=f"{name} (0 and above)")
        left.fill_between(ALPHAS, low, high, color=colour, alpha=0.2, lw=0)
    dead = np.median(np.asarray(found.diagnostics["dead_features"])[:, 0], axis=1)
    right.plot(
        ALPHAS, dead / dead.max(), "o-", ms=3, color="#009E73", label="dead features, of the most"
    )
    right.plot(ALPHAS, lost, "s-", ms=3, color="black", label="share of starts that collapse")
    for axis in (left, right):
        axis.axvline(float(known.median), color="grey", ls="--", label="median")
        axis.axvline(float(known.largest), color="grey", ls=":", label="largest")
        axis.set(xscale="symlog", xlim=(0, None), xlabel="alpha")
    left.legend(*(a[:2] for a in left.get_legend_handles_labels()), frameon=False, fontsize=8)
    right.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.02))
    return figure


def main() -> None:
    """Draw both."""
    for name, draw in {"choice": choices, "alpha": path}.items():
        with whole_file(FIGURES / f"{name}.png") as partial:
            draw().savefig(partial, dpi=150)


if __name__ == "__main__":
    main()
