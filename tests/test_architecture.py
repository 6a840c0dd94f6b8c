"""Imports point one way, the core is small, and importing it is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bcnmf_jax as bj

ROOT = Path(bj.__file__).parent
CORE = (
    "split", "losses", "penalties", "terms", "chunks", "checks", "data", "sharding", "objective",
    "change", "init", "solvers", "gradient", "diagnostics", "fit", "transform", "objectives",
    "sweep", "segments", "json_text",
    "checkpoint", "sources", "survey", "parts", "passes", "streamer", "resume", "sample", "stream",
    "stream_read", "deflation", "transitions", "residual", "quasi_newton", "exact", "projection",
)  # fmt: skip
CORE_PACKAGES = {"jax", "jaxlib", "equinox", "optax", "jaxtyping", "numpy"}
# Each layer may import those before it.
LAYERS = [
    *CORE, "extras", "compressed", "stores", "readers", "metrics", "baselines", "datasets",
    "resampling", "bootstrap", "consensus", "two_sets", "selection", "plan", "arrangements",
    "background", "automatic", "watch", "parameters", "restarts", "inputs", "model_files",
    "fitted", "estimator", "saved", "enrichment", "tabular", "run_forms", "run_folder",
    "tl", "pl", "report", "cli",
]  # fmt: skip
RECORDS_ONLY = ("experiments", "numpy", "pandas", "matplotlib")


def imported(path):
    """Modules that a file imports anywhere, with the names taken from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "bcnmf_jax." if node.module == "bcnmf_jax" else node.module or ""


def layer(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = [p for p in sorted(ROOT.rglob("*.py")) if p != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    mine = LAYERS.index(layer(path))
    for module in imported(path):
        # `import bcnmf_jax` alone is for its version.
        if module.startswith("bcnmf_jax."):
            other = module.split(".")[1]
            assert other in LAYERS[: mine + 1], f"{path.name} imports {module}"


@pytest.mark.parametrize(
    "path", [p for p in FILES if layer(p) in CORE], ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_core_imports_few_packages(path):
    allowed = CORE_PACKAGES | set(sys.stdlib_module_names) | {"bcnmf_jax"}
    assert {m.split(".")[0] for m in imported(path)} <= allowed


def test_one_file_per_objective_of_at_most_120_lines():
    for path in (ROOT / "objectives").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 120


def test_import_is_light():
    heavy = "('sklearn', 'pandas', 'matplotlib', 'anndata', 'scipy.sparse.linalg', 'torch')"
    code = f"import sys, bcnmf_jax; print(*[m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


def test_public_names_exist():
    assert all(hasattr(bj, name) for name in bj.__all__)
