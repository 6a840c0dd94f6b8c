"""Time to the answer: from a new interpreter to scores of all cells, ours and of rivals.

Counts of `beta_simulation`, half of the cells target and half background, in h5ad files. Every
program runs once, in a process of its own, with its defaults, its own choices included; so are
imports, reading and compiling. Agreement is the area under the ROC curve by which the best of a
program's scores tells the cells that carry a planted program from all others, a mean over the two
programs; labels choose that score alone. `benchmarks.rivals` runs under the interpreter that
PEERS_PYTHON names (this one, where it is not set). QUICK=1 tries all on few cells, with few starts
and epochs.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

import bcnmf_jax as bj
from benchmarks.own import CONDITION, command, usage
from benchmarks.rivals import PACKAGES
from benchmarks.timing import Row, machine, quiet, versions

QUICK = os.environ.get("QUICK") == "1"
SIZES = ((200, 1500),) if QUICK else ((2000, 2000), (2000, 9000), (10_000, 3000))
"""Cells and genes of each data set."""
MOST = 1800.0
"""Seconds after which a program is ended."""
CLOCK, RIVALS = (Path(__file__).with_name(name) for name in ("clock.py", "rivals.py"))
CACHES = {"JAX_COMPILATION_CACHE_DIR", "BCNMF_NO_CACHE"}
"""What would bring compiled programs to a first call, or keep those of the command away."""
FIRST = "first call"
"""Our answer that rivals are compared with."""
LATE = f"not within {MOST / 60:g} min"
FIELDS = (("seconds", "", "s"), ("peak", ", peak", "GB"), ("agreement", ", agreement", "AUC"))
"""Of an answer: the field, what the row's name says of it, and its unit."""
HOW_TO_INSTALL = (
    "{name} is not installed for {python}: its rows say so. Install it in an environment of its "
    "own (python3 -m venv PEERS; PEERS/bin/pip install cnmf scanpy scvi-tools) and set "
    "PEERS_PYTHON=PEERS/bin/python"
)


class FailedError(RuntimeError):
    """A program ended without an answer."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much the rivals do: cNMF as in its tutorial, contrastiveVI as it does by itself.

    Parameters
    ----------
    ks : tuple of int
        Numbers of components that cNMF chooses from.
    starts : int
        Factorizations for each of them.
    epochs : int or None
        Of contrastiveVI; None leaves them to it.
    """

    ks: tuple[int, ...] = tuple(range(5, 11))
    starts: int = 20
    epochs: int | None = None

    def titles(self) -> dict[str, str]:
        """What the rows call each rival."""
        epochs = "default" if self.epochs is None else f"{self.epochs}"
        return {
            "cNMF": f"cNMF, K {self.ks[0]} to {self.ks[-1]} x {self.starts} starts",
            "contrastiveVI": f"contrastiveVI, {epochs} epochs",
            "Wilcoxon": "Wilcoxon and a gene score",
        }


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a program took and gave.

    Parameters
    ----------
    seconds, peak : float
        Wall seconds and the most memory held, in GB.
    agreement : float
        Area under the ROC curve, a mean over the planted programs.
    """

    seconds: float
    peak: float
    agreement: float


def write(folder: Path, cells: int, genes: int) -> np.ndarray:
    """Leave cells.h5ad and counts.h5ad in a folder; return the program of each cell, or -1."""
    import anndata
    import pandas as pd
    import scipy.sparse

    made = bj.datasets.beta_simulation(n=cells // 2, genes=genes)
    assert made.labels is not None and made.counts is not None
    condition = np.repeat(["target", "background"], cells // 2)
    obs = pd.DataFrame({CONDITION: condition}, [f"cell{i}" for i in range(cells)])
    var = pd.DataFrame(index=made.feature_names)
    counts = made.counts["target"], made.counts["background"]
    for name, parts in (("cells", (made.target, made.background)), ("counts", counts)):
        x = scipy.sparse.csr_matrix(np.concatenate(parts))
        anndata.AnnData(x, obs, var).write_h5ad(folder / f"{name}.h5ad")
    return np.concatenate([made.labels, np.full(cells // 2, -1)])


def agreement(scores: np.ndarray, carried: np.ndarray) -> float:
    """How well the best score tells a planted program's cells from all others, as in `Answer`.

    Parameters
    ----------
    scores : (cells, scores) array
    carried : (cells,) array of int
        The program of each cell, -1 for none.
    """
    programs = np.unique(carried[carried >= 0])
    areas = [bj.metrics.component_auc(scores, carried == p)["auc"] for p in programs]
    return float(np.mean(areas))


def clocked(command: Sequence[str], log: Path) -> tuple[float, float] | None:
    """Seconds and peak of a command whose output goes into a file; None if it was ended.

    FailedError where the command fails.
    """
    kept = {k: v for k, v in os.environ.items() if k not in CACHES}
    with open(log, "w") as file:
        run = subprocess.run(
            [sys.executable, str(CLOCK), f"{MOST}", *command],
            env={**kept, "MPLBACKEND": "Agg"}, check=True,
            stdout=subprocess.PIPE, stderr=file, text=True,
        )  # fmt: skip
    found = json.loads(run.stdout)
    if found["code"]:
        said = log.read_text(errors="replace")[-2000:]
        raise FailedError(f"{' '.join(command)} ended with exit code {found['code']}:\n{said}")
    return None if found["code"] is None else (found["seconds"], found["peak"])


def answered(
    command: Sequence[str], folder: Path, carried: np.ndarray, run: str | None = None
) -> Answer | None:
    """The answer of a command, which leaves its scores in a folder, or in a run of `bcnmf` there;
    None if it did not come in time."""
    took = clocked(command, folder / "log")
    if took is None:
        return None
    left = usage(folder / run) if run else np.load(folder / "scores.npy", allow_pickle=False)
    return Answer(*took, agreement(left, carried))


def ours(folder: Path, carried: np.ndarray) -> dict[str, Answer | None]:
    """Our answers: `FIRST`, a second call in a process, and the command line, run before."""
    program = [sys.executable, "-m", "benchmarks.own", str(folder)]
    found = {FIRST: answered([*program, "1"], folder, carried)}
    again = answered([*program, "2"], folder, carried)
    if again is not None:
        seconds = float(np.load(folder / "seconds.npy", allow_pickle=False)[-1])
        again = dataclasses.replace(again, seconds=seconds)
    found["second call in a process"] = again
    clocked(command(folder, "before"), folder / "log")
    found["command line, second run"] = answered(command(folder, "run"), folder, carried, "run")
    return found


def rival(program: Sequence[str], folder: Path, carried: np.ndarray) -> Answer | str:
    """The answer of a rival, or why there is none; what a failed one said goes to stderr."""
    try:
        return answered(program, folder, carried) or LATE
    except FailedError as error:
        print(error, file=sys.stderr)
        return "failed"


def installed(python: str) -> dict[str, str | None]:
    """Version of each rival's package under an interpreter, or None where it lacks it.

    SystemExit where the interpreter cannot be started.
    """
    try:
        run = subprocess.run(
            [python, str(RIVALS), "versions"], check=True, stdout=subprocess.PIPE, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"PEERS_PYTHON: {python!r} cannot be run ({error}); name a Python interpreter"
        ) from error
    return json.loads(run.stdout.splitlines()[-1])


def compare(
    data: str, mine: Mapping[str, Answer | None], theirs: Mapping[str, Answer | str], about: dict
) -> Iterator[Row]:
    """Rows of one data set: `FIRST` against each rival, then our other answers.

    Parameters
    ----------
    data : str
        What the rows call the data set.
    mine : dict of str to Answer, or None where none came in time
    theirs : dict of str to Answer, or str
        The answer of each rival, or why there is none.
    about : dict
        Machine and versions, as in `Row`.
    """
    rest = dict(mine)
    first = rest.pop(FIRST)
    for name, answer in theirs.items():
        if isinstance(answer, str):
            yield from lines(f"{data}: {name} ({answer})", first, None, about)
        else:
            yield from lines(f"{data}: {name}", first, answer, about)
    for name, answer in rest.items():
        yield from lines(f"{data}: ours, {name}", answer, None, about)


def lines(name: str, mine: Answer | None, theirs: Answer | None, about: dict) -> Iterator[Row]:
    """Seconds, peak and agreement of two answers, as far as they came."""
    name += f" (ours {LATE})" if mine is None else ""
    for field, title, unit in FIELDS:
        ours, peer = (None if a is None else getattr(a, field) for a in (mine, theirs))
        better = None if ours is None or peer is None or unit == "AUC" else peer / ours
        yield Row(f"{name}{title}", ours, peer, better, "", None, unit, **about)


def rows(sizes: Sequence[tuple[int, int]] = SIZES, settings: Settings | None = None) -> list[Row]:
    """Per data set seconds, peak memory and agreement of our answers and of each rival's.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Cells and genes.
    settings : Settings, optional
        By default those of the tutorial, or few where the environment has QUICK=1.

    Raises
    ------
    BusyError
        If the machine's speed changed meanwhile.
    FailedError
        If a program of ours fails; of a rival that fails the row says so.
    SystemExit
        If the interpreter that PEERS_PYTHON names cannot be started.
    """
    if settings is None:
        settings = Settings(ks=(5, 6), starts=7, epochs=2) if QUICK else Settings()
    asked = json.dumps(dataclasses.asdict(settings))
    python = os.environ.get("PEERS_PYTHON") or sys.executable
    found, peers, begun = [], installed(python), time.perf_counter()
    for name in (name for name, version in peers.items() if version is None):
        print(HOW_TO_INSTALL.format(name=name, python=python), file=sys.stderr)
    about = {
        "machine": machine(),
        "versions": versions(**{PACKAGES[k][1]: v for k, v in peers.items() if v is not None}),
    }

    def say(what: str) -> None:
        print(f"{time.perf_counter() - begun:5.0f} s  {what}", file=sys.stderr, flush=True)

    for cells, genes in sizes:
        data = f"{cells:,} x {genes:,}"
        with tempfile.TemporaryDirectory() as held, quiet():
            folder, theirs = Path(held), {}
            carried = write(folder, cells, genes)
            mine = ours(folder, carried)
            say(f"{data}: ours")
            for name, title in settings.titles().items():
                program = [python, str(RIVALS), name, held, asked]
                theirs[title] = rival(program, folder, carried) if peers[name] else "not installed"
                say(f"{data}: {title}")
        found += compare(data, mine, theirs, about)
    return found
