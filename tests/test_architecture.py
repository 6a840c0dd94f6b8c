"""Imports point one way, the core is small, and importing it is cheap."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bcnmf_jax as bj
from tests.core import CORE
from tests.mutations import MUTATIONS

ROOT = Path(bj.__file__).parent
CORE_PACKAGES = {"jax", "jaxlib", "equinox", "optax", "jaxtyping", "numpy"}
BESIDE = {"data": {"scipy"}, "storage": {"filelock"}}
"""Sparse matrices, and locks."""
# Interfaces that may move between releases, and the one file of the package that uses each.
MOVING = ("jax.core", "jax.experimental", "jax.extend", "jax.interpreters", "jax.lib")
USED = {
    "numbers.py": "jax.core",  # jax has no public name for "is traced"
    "_devices.py": "jax.experimental",  # nor one that gathers the values of all processes
}


def imported(path):
    """Modules that a file imports anywhere, with the names taken from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "bcnmf_jax." if node.module == "bcnmf_jax" else node.module or ""


FILES = [p for p in sorted(ROOT.rglob("*.py")) if p != ROOT / "__init__.py"]


@pytest.mark.parametrize("room", [*CORE, "storage"])
def test_the_core_imports_few_packages(room):
    allowed = CORE_PACKAGES | set(sys.stdlib_module_names) | {"bcnmf_jax"} | BESIDE.get(room, set())
    for path in (ROOT / room).rglob("*.py"):
        assert {m.split(".")[0] for m in imported(path)} <= allowed, path


def foreign(tree):
    """Dotted names that a module imports from other packages, or reads from an object."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if not a.name.startswith("bcnmf_jax"))
        elif isinstance(node, ast.ImportFrom) and not node.module.startswith("bcnmf_jax"):
            yield from (f"{node.module}.{a.name}" for a in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield ast.unparse(node)


def own(tree):
    """Names that a module gives to functions, methods, fields and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.attr if isinstance(node, ast.Attribute) else node.id


def test_no_private_or_moving_interface_of_another_package():
    trees = {path: ast.parse(path.read_text()) for path in FILES}
    ours = {"_replace", "_exit"}  # public: of named tuples, of os
    ours |= {name for tree in trees.values() for name in own(tree)}
    used = {}
    for path, tree in trees.items():
        for name in foreign(tree):
            parts = name.split(".")
            private = [p for p in parts if re.match(r"_[a-z]\w*$", p) and p not in ours]
            assert not private, f"{path.name} uses {private} of another package: {name}"
            used.update((path.name, m) for m in MOVING if f"{name}.".startswith(f"{m}."))
    assert used == USED


def test_rooms_and_files_are_small():
    entries = {p.name for p in ROOT.iterdir()} - {"__pycache__", "py.typed"}
    assert len(entries) <= 18, sorted(entries)
    long = {p.name: n for p in FILES if (n := len(p.read_text().splitlines())) > 300}
    assert not long


def test_functions_fit_a_screen():
    """Beside their docstring."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                said = ast.get_docstring(node, clean=False) or ""
                lines = node.end_lineno - node.lineno + 1 - len(said.splitlines())
                assert lines <= 60, f"{path}: {node.name} has {lines} lines"


def test_every_room_says_what_it_is_for():
    for room in sorted(p for p in ROOT.iterdir() if (p / "__init__.py").exists()):
        text = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
        assert text and len(text.split(". ")[0].split()) > 4, room


def test_lines_that_are_broken_on_purpose_are_there():
    for m in MUTATIONS:
        assert (ROOT / m.path).read_text().count(m.old) == 1, m.what


def test_one_file_per_objective_of_at_most_120_lines():
    lines = [len(p.read_text().splitlines()) for p in (ROOT / "objectives").glob("*.py")]
    assert len(lines) > 6 and max(lines) <= 120


def test_import_is_light():
    heavy = "('sklearn', 'pandas', 'matplotlib', 'anndata', 'scipy.sparse.linalg', 'torch')"
    code = f"import sys, bcnmf_jax; print(*[m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


def test_public_names_exist():
    assert all(hasattr(bj, name) for name in bj.__all__)


def test_private_modules_are_those_that_no_other_room_imports():
    """A module that is used in its own room alone begins with an underscore, and no other does."""
    repository = ROOT.parent
    modules = {".".join(p.relative_to(repository).with_suffix("").parts): p for p in FILES}
    modules = {name: p for name, p in modules.items() if len(p.relative_to(ROOT).parts) > 1}
    foreign = set()
    for folder in ("bcnmf_jax", "experiments", "benchmarks"):
        for path in (repository / folder).rglob("*.py"):
            own = path.relative_to(repository).parts[:2]
            used = {name for name in imported_modules(path) if name in modules}
            foreign |= {name for name in used if tuple(name.split(".")[:2]) != own}
    for name, path in modules.items():
        if not path.name.startswith("__"):
            assert path.name.startswith("_") == (name not in foreign), path


def imported_modules(path):
    """Dotted names that may be modules: what is imported from, and that with each name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{a.name}" for a in node.names)
