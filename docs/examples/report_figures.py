"""The pictures of a report in docs/figures: ``python docs/examples/report_figures.py``.

Simulated counts of eight donors, each with treated and control cells; two programs answer. The
report is that of ``bcnmf fit``, opened in Chromium (`make browser`).
"""

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from PIL import Image
from playwright.sync_api import sync_playwright

import bcnmf_jax as bj
from bcnmf_jax.storage.files import whole_file

FIGURES = Path(__file__).parents[1] / "figures"
CELLS, DONORS = 400, 8
FIT = (
    "fit cells.h5ad --condition-key condition --target treated --background control --group-key "
    "donor --n-components 2 --objective background_first --n-background-components 5 "
    "--out simulated"
).split()
WINDOWS = {"report": (1200, 3830), "report-narrow": (390, 3000)}
"""Size of what is shown, in pixels."""


def simulate(path: Path) -> None:
    """Write counts of treated and control cells."""
    d = bj.datasets.beta_simulation(beta=8, seed=0, n=CELLS, genes=1600)
    assert d.counts is not None
    obs = pd.DataFrame({"condition": np.repeat(["treated", "control"], CELLS)})
    obs["donor"] = [f"donor {i % DONORS + 1}" for i in range(2 * CELLS)]
    obs.index = [f"cell{i}" for i in range(2 * CELLS)]
    counts = np.concatenate([d.counts["target"], d.counts["background"]])
    var = pd.DataFrame(index=d.feature_names.astype(str))
    anndata.AnnData(counts, obs=obs, var=var).write_h5ad(path)


def main() -> None:
    """Fit, open the report, and keep the upper part of the page."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        simulate(Path(folder) / "cells.h5ad")
        subprocess.run([Path(sys.executable).with_name("bcnmf"), *FIT], cwd=folder, check=True)
        browser = p.chromium.launch(executable_path=shutil.which("chromium"))
        for name, (width, height) in WINDOWS.items():
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.goto((Path(folder) / "simulated" / "report.html").as_uri())
            part = {"x": 0, "y": 0, "width": width, "height": height}
            shot = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=part)))
            # This method keeps rare colours; a third of the size.
            kept = shot.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE)
            with whole_file(FIGURES / f"{name}.png") as partial:
                kept.save(partial, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
