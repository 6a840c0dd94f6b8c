"""Put the file of a data set into the data folder: ``python -m experiments.prepare NAME PATH``.

Where the loaders read a published file as it is, PATH is a copy of that file: its sha256 is checked
and it is copied. For leukemia, mixseq_full and mdd, PATH is a folder in the source's own format,
from which the prepared file is built. The formats assumed are those of public analyses of these
sources; a folder that differs is an error that names what was looked for.
"""

import argparse
import csv
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import sparse

from bcnmf_jax.datasets.files import SOURCES, VARIABLE, advice, check, sha256
from bcnmf_jax.datasets.prepared import Cells, choose_genes, save_cells
from bcnmf_jax.datasets.tenx import TenX, open_text, read_counts, read_tenx, sizes
from bcnmf_jax.storage.files import whole_file

# The 24 lines of MIX-seq experiment 1 by TP53 status: 7 and 17, as in the file of 500 genes.
TP53_WILD_TYPE = frozenset(
    "CCFSTTG1_CENTRAL_NERVOUS_SYSTEM COV434_OVARY DKMG_CENTRAL_NERVOUS_SYSTEM "
    "LNCAPCLONEFGC_PROSTATE NCIH226_LUNG RCC10RGB_KIDNEY SNU1079_BILIARY_TRACT".split()
)
TP53_MUTANT = frozenset(
    "BICR31_UPPER_AERODIGESTIVE_TRACT BICR6_UPPER_AERODIGESTIVE_TRACT BT474_BREAST BT549_BREAST "
    "CAOV3_OVARY COLO680N_OESOPHAGUS IALM_LUNG LS1034_LARGE_INTESTINE NCIH2347_LUNG "
    "RCM1_LARGE_INTESTINE RERFLCAD1_LUNG SH10TC_STOMACH SKMEL2_SKIN SKMEL3_SKIN SQ1_LUNG "
    "TEN_ENDOMETRIUM UMUC1_URINARY_TRACT".split()
)


def _stack(parts: dict[str, TenX]) -> sparse.csr_array:
    """Put the cells of several matrices with the same genes below each other."""
    (first, one), *others = parts.items()
    for other, part in others:
        if not np.array_equal(one.ids, part.ids):
            raise ValueError(f"{first} and {other} list different genes, or in another order")
    return sparse.csr_array(sparse.vstack([part.counts for part in parts.values()]))


def _one(folder: Path, fragment: str) -> Path:
    """Find the only entry of `folder` whose name contains `fragment`, in any case."""
    held = sorted(folder.iterdir())
    found = [path for path in held if fragment in path.name.lower()]
    if len(found) != 1:
        names = [path.name for path in held]
        raise FileNotFoundError(
            f"expected one entry with {fragment!r} in its name in {folder}, which holds {names}"
        )
    return found[0]


def leukemia(folder: Path, n_genes: int = 3000) -> Cells:
    """Build leukemia from the three unpacked 10x archives; every cell, label 1 after transplant."""
    fragments = ("aml027_pre", "aml027_post", "healthy_donor1")
    parts = {fragment: read_tenx(_one(folder, fragment)) for fragment in fragments}
    origin = np.repeat(np.arange(3), [len(part.barcodes) for part in parts.values()])
    rows = {
        "target": origin < 2,
        "background": origin == 2,
        "labels": np.where(origin == 1, 1, 0),
        "groups": np.full(len(origin), ""),
    }
    return choose_genes(_stack(parts), parts[fragments[0]].names, n_genes, **rows)


def _table(path: Path, *columns: str) -> list[dict[str, str]]:
    """Read a CSV table, gzipped or not, that must have `columns`."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    with open_text(path) as stream:
        rows = list(csv.DictReader(stream))
    absent = [column for column in columns if not rows or column not in rows[0]]
    if absent:
        raise ValueError(f"{path} needs the columns {', '.join(columns)}; no {', '.join(absent)}")
    return rows


def mixseq_full(folder: Path, n_genes: int = 10_000) -> Cells:
    """Build full MIX-seq from two experiment folders of the figshare release.

    Cells with cell_quality "normal" in classifications.csv, matched by barcode; its singlet_ID is
    the cell line, and the line gives the label (1: TP53 wild type).
    """
    parts, keep, lines, is_target = {}, [], [], []
    for target, experiment in ((True, "Idasanutlin_24hr_expt1"), (False, "DMSO_24hr_expt1")):
        inner = folder / experiment
        if not inner.is_dir():
            raise FileNotFoundError(f"there is no folder {inner}")
        parts[experiment] = part = read_tenx(inner)
        table = _table(inner / "classifications.csv", "barcode", "singlet_ID", "cell_quality")
        by_barcode = {row["barcode"]: row for row in table}
        absent = [code for code in part.barcodes if code not in by_barcode]
        if absent:
            raise ValueError(
                f"{inner / 'classifications.csv'} lacks {len(absent)} barcodes of the matrix, "
                f"the first {absent[0]}"
            )
        matched = [by_barcode[code] for code in part.barcodes]
        keep += [row["cell_quality"] == "normal" for row in matched]
        lines += [row["singlet_ID"] for row in matched]
        is_target += [target] * len(matched)
    kept, line = np.array(keep), np.array(lines)
    unknown = set(line[kept].tolist()) - TP53_WILD_TYPE - TP53_MUTANT
    if unknown:
        raise ValueError(f"TP53 status is not known for the cell lines {sorted(unknown)}")
    target = np.array(is_target)[kept]
    rows = {
        "target": target,
        "background": ~target,
        "labels": np.isin(line[kept], list(TP53_WILD_TYPE)).astype(int),
        "groups": line[kept],
    }
    counts = sparse.csr_array(_stack(parts)[np.flatnonzero(kept)])
    return choose_genes(counts, parts["DMSO_24hr_expt1"].names, n_genes, **rows)


def mdd(folder: Path, n_genes: int = 3000) -> Cells:
    """Build MDD from the combined matrix of GSE213982 and the donors in donors.csv.

    Cells are named donor.barcode.type.subtype; a donor sequenced twice is M24 and M24_2. Kept are
    astrocytes (Ast) and oligodendrocytes (Oli) of the donors in donors.csv (columns donor, group;
    group Case or Control): all are target, those of controls also background.
    """
    group = {row["donor"]: row["group"] for row in _table(folder / "donors.csv", "donor", "group")}
    if set(group.values()) != {"Case", "Control"}:
        found = sorted(set(group.values()))
        raise ValueError(f"the groups in donors.csv must be Case and Control, found {found}")
    genes = np.array([row["x"] for row in _table(_one(folder, "genes_rows.csv"), "x")])
    names = [row["x"].split(".") for row in _table(_one(folder, "cells_columns.csv"), "x")]
    if any(len(name) < 4 for name in names):
        raise ValueError("cells_columns.csv: expected names such as F1.AAACCC-1.Ast.Ast1")
    donors = np.array([name[0].split("_")[0] for name in names])
    absent = sorted(set(group) - set(donors))
    if absent:
        raise ValueError(f"donors.csv names donors without cells: {', '.join(absent)}")
    kept = np.isin([name[-2] for name in names], ("Ast", "Oli")) & np.isin(donors, list(group))
    path = _one(folder, "matrix.mtx")
    counts = read_counts(path, kept)
    if (held := sizes(counts)[1]) != len(genes):
        raise ValueError(f"{path} holds {held} genes, genes_rows.csv {len(genes)}")
    control = np.array([group[donor] == "Control" for donor in donors[kept]], bool)
    rows = {
        "target": np.ones(len(control), bool),
        "background": control,
        "labels": (~control).astype(int),
        "groups": donors[kept],
    }
    return choose_genes(counts, genes, n_genes, **rows)


BUILDERS: dict[str, Callable[[Path], Cells]] = {
    "leukemia": leukemia,
    "mixseq_full": mixseq_full,
    "mdd": mdd,
}


def prepare(name: str, path: Path, out: Path) -> Path:
    """Put the file of data set `name` into the folder `out`, whole or not at all.

    Parameters
    ----------
    name : str
        A key of ``bcnmf_jax.datasets.files.SOURCES``.
    path : Path
        A copy of the file, or the source's folder for what is built.
    out : Path
        The data folder.

    Returns
    -------
    Path
        The file made.

    Raises
    ------
    FileNotFoundError, ValueError
        If something is missing or odd, with the format expected.
    """
    made = out / SOURCES[name].file
    if not (path.is_dir() if name in BUILDERS else path.is_file()):
        kind = "folder" if name in BUILDERS else "file"
        raise FileNotFoundError(f"there is no {kind} {path}. {advice(name)}")
    if name not in BUILDERS:
        check(name, path)
        with whole_file(made) as partial:
            shutil.copyfile(path, partial)
        return made
    try:
        cells = BUILDERS[name](path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. {advice(name)}") from error
    except (OSError, EOFError, ValueError) as error:  # damaged gzip files raise the first two
        raise ValueError(f"{path} cannot be used: {error}. {advice(name)}") from error
    save_cells(made, cells)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 if the file is there, 1 after a message that says why not."""
    parser = argparse.ArgumentParser(prog="python -m experiments.prepare", description=__doc__)
    parser.add_argument("name", choices=sorted(SOURCES), metavar="NAME", help=", ".join(SOURCES))
    parser.add_argument("path", type=Path, metavar="PATH", help="the file or the source's folder")
    parser.add_argument("--out", type=Path, help=f"the data folder (default: {VARIABLE})")
    given = parser.parse_args(arguments)
    out = given.out or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if out is None:
        print(f"no data folder: set {VARIABLE} or give --out", file=sys.stderr)
        return 1
    try:
        made = prepare(given.name, given.path, out)
    except (OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{made}\nsha256 {sha256(made)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
