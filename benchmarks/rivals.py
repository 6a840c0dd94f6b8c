"""What users run instead of bcNMF: a program of the answer benchmark.

A process of its own, under any interpreter that has what it imports (nothing of this project).

Usage: ``rivals.py NAME FOLDER SETTINGS``. FOLDER has cells.h5ad (log-normalised) and counts.h5ad,
both with the column "condition" ("target", "background") in ``obs``; SETTINGS is a JSON object with
"ks", "starts" and "epochs". Scores of all cells, (cells, scores), are left in FOLDER as scores.npy.
``rivals.py versions`` prints a JSON object in its last line: for each name the version of its
package, or null where that cannot be imported.
"""

import importlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

PACKAGES = {
    "cNMF": ("cnmf", "cnmf"),
    "contrastiveVI": ("scvi.external", "scvi-tools"),
    "Wilcoxon": ("scanpy", "scanpy"),
}
"""The module that a program imports, and the package that it is of."""
GENES = 50
"""How many of the top genes of a test make the score."""
SEED = 14
"""That of cNMF's tutorial."""


def cnmf(folder, settings):
    """Usages of cNMF in the steps of its tutorial, at the K whose programs are most stable."""
    from cnmf import cNMF, load_df_from_npz  # pyright: ignore[reportMissingImports]

    run = cNMF(output_dir=str(folder), name="cnmf")
    run.prepare(
        counts_fn=str(folder / "counts.h5ad"), components=np.array(settings["ks"]),
        n_iter=settings["starts"], seed=SEED, num_highvar_genes=2000,
    )  # fmt: skip
    run.factorize(worker_i=0, total_workers=1)
    run.combine()
    run.k_selection_plot(close_fig=True)
    stats = load_df_from_npz(run.paths["k_selection_stats"])
    k = int(stats.k[stats.silhouette.idxmax()])
    run.consensus(k=k, close_clustergram_fig=True)
    usage, *_ = run.load_results(K=k, density_threshold=0.5)
    return usage.fillna(0.0).to_numpy()  # a cell without any usage has no shares


def contrastivevi(folder, settings):
    """Salient representation of contrastiveVI; None epochs are as many as it takes by itself."""
    import anndata  # pyright: ignore[reportMissingImports]
    import scvi  # pyright: ignore[reportMissingImports]

    scvi.settings.seed = 0
    cells = anndata.read_h5ad(folder / "counts.h5ad")
    scvi.external.ContrastiveVI.setup_anndata(cells)
    model = scvi.external.ContrastiveVI(cells)
    rows = {
        f"{name}_indices": np.flatnonzero(cells.obs["condition"] == name).tolist()
        for name in ("background", "target")
    }
    model.train(**rows, max_epochs=settings["epochs"])
    return model.get_latent_representation(representation_kind="salient")


def wilcoxon(folder, settings):
    """Score of the genes that Wilcoxon's test of target against background ranks first."""
    import anndata  # pyright: ignore[reportMissingImports]
    import scanpy as sc  # pyright: ignore[reportMissingImports]

    cells = anndata.read_h5ad(folder / "cells.h5ad")
    sc.tl.rank_genes_groups(
        cells, "condition", groups=["target"], reference="background", method="wilcoxon"
    )
    first = sc.get.rank_genes_groups_df(cells, "target")["names"][:GENES]
    sc.tl.score_genes(cells, list(first))
    return cells.obs[["score"]].to_numpy()


def versions():
    """For each program the version of its package, or None where that cannot be imported."""
    found = {}
    for name, (module, package) in PACKAGES.items():
        try:
            importlib.import_module(module)
            found[name] = version(package)
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)
            found[name] = None
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["versions"]:
        print(json.dumps(versions()))
    else:
        programs = {"cNMF": cnmf, "contrastiveVI": contrastivevi, "Wilcoxon": wilcoxon}
        scores = programs[sys.argv[1]](Path(sys.argv[2]), json.loads(sys.argv[3]))
        np.save(Path(sys.argv[2]) / "scores.npy", scores, allow_pickle=False)
