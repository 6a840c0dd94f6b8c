"""Break one line of the core at a time, in a copy of the tree, and name the test that fails.

``python -m tests.mutations`` (or ``make mutations``) prints a table; it ends with 1 if a mistake
goes unseen, or if a line that it would break is not there any more.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Mutation(NamedTuple):
    """A mistake: text of a file, what stands in its place, and where a test may notice."""

    what: str
    path: str
    old: str
    new: str
    tests: str


MUTATIONS = (
    Mutation(
        "the contrast attracts (a sign)", "objectives/_contrastive.py",
        "weight=-a)", "weight=a)", "test_parity test_objectives",
    ),
    Mutation(
        "alpha is of the sum, not per sample (a factor)", "objectives/_contrastive.py",
        '* data["target"].size / r.size', "* 1", "test_parity test_objectives",
    ),
    Mutation(
        "a negative weight does not swap the parts", "model/gradient_parts.py",
        "jnp.asarray(c) >= 0", "jnp.asarray(c) == c", "test_parity test_objectives",
    ),
    Mutation(
        "codes of KL are not divided by the sums of the basis", "model/losses.py",
        "weigh(w.sum(1)[None], weights)", "weigh(w.max(1)[None], weights)", "test_losses",
    ),
    Mutation(
        "squared error without its half", "model/losses.py",
        "(0.5 * self.scale)", "self.scale", "test_losses",
    ),
    Mutation(
        "no step normalises the basis", "model/blocks.py",
        "by_column, by_row = total[None], total[:, None]",
        "by_column, by_row = (jnp.ones_like(a) for a in (total[None], total[:, None]))", "test_fit",
    ),
    Mutation(
        "a solver moves frozen rows", "model/blocks.py",
        'return {**blocks, "basis": jax.tree.map(keep, given, blocks["basis"])}', "return blocks",
        "test_fit test_objectives",
    ),
    Mutation(
        "the stop fires early", "fitting/loop.py",
        "(distance < stop.tol", "(distance < 30 * stop.tol",
        "test_fit test_known_good",
    ),
    Mutation(
        "the stop does not look at the part that moves", "fitting/change.py",
        "if not frozen:", "if True:", "test_fit test_known_good",
    ),
    Mutation(
        "updates leave no zero", "solvers/alternating.py",
        "locked = (a == 0) &", "locked = (a < 0) &", "test_fit test_known_good",
    ),
    Mutation(
        "a rank keeps one component too many", "model/blocks.py",
        "live = (j < rank)", "live = (j <= rank)", "test_fit test_objectives",
    ),
    Mutation(
        "a collapsed fit does not say so", "fitting/result.py",
        "RESULTS.where(collapsed, RESULTS.collapsed, result)", "result", "test_fit",
    ),
    Mutation(
        "explained variance of the wrong null", "fitting/diagnostics.py",
        "return 1 - value / null", "return 1 - value / (2 * null)", "test_fit test_known_good",
    ),
    Mutation(
        "every restart starts alike", "fitting/start.py",
        "jax.random.fold_in(key, j), (features,)", "jax.random.key(0), (features,)", "test_fit",
    ),
    Mutation(
        "streamed codes miss the scale that left the basis", "streaming/_streamer.py",
        "scales *= np.asarray(unit)", "pass", "test_stream",
    ),
    Mutation(
        "codes stay in the unit of extreme data", "model/scale.py",
        "jax.tree.map(lambda h: _times(h, factor), codes)", "codes", "test_scale",
    ),
    Mutation(
        "swept numbers in single precision", "data/numbers.py",
        "np.array(a, np.float64)", "np.array(a, np.float32)", "test_numbers",
    ),
    Mutation(
        "coordinate descent overshoots", "solvers/hals.py",
        "jnp.maximum(moved[j] - step, 0)", "jnp.maximum(moved[j] - 1.9 * step, 0)", "test_solvers",
    ),
)  # fmt: skip


def first_failure(tree: Path, tests: str) -> str:
    """Name of the first test that fails in a tree, or an empty text."""
    files = [f"tests/{name}.py" for name in tests.split()]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    ran = subprocess.run(
        [*command, *files], cwd=tree, env=environment, capture_output=True, text=True
    )
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.MULTILINE)
    if ran.returncode and not found:
        raise RuntimeError(ran.stdout[-2000:] + ran.stderr[-2000:])
    return found[1].removeprefix("tests/") if found else ""


def main() -> int:
    unseen = 0
    print("| mistake | file | test that fails first |\n| --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        hidden = shutil.ignore_patterns(".*", "__pycache__", "paper", "docs")
        shutil.copytree(ROOT, tree, ignore=hidden)
        for m in MUTATIONS:
            path = tree / "bcnmf_jax" / m.path
            text = path.read_text()
            if text.count(m.old) != 1:
                raise LookupError(f"{m.path} has {m.old!r} {text.count(m.old)} times")
            path.write_text(text.replace(m.old, m.new))
            failed = first_failure(tree, m.tests)
            path.write_text(text)
            unseen += not failed
            print(f"| {m.what} | {m.path} | {failed or 'none'} |", flush=True)
    return int(unseen > 0)


if __name__ == "__main__":
    sys.exit(main())
