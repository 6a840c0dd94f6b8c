"""Find the file of a data set, check it, say what to do when it is missing, fetch one by address.

A file is looked for in the folder named by the environment variable ``BCNMF_DATA``. It is
downloaded only where both its public address and its sha256 are known: a hash without an address
only checks, and an address without a hash would trust whatever arrives.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from bcnmf_jax.extras import require

VARIABLE = "BCNMF_DATA"


@dataclass(frozen=True)
class Source:
    """Source of one file.

    Attributes
    ----------
    file : str
        Its name in the data folder.
    origin : str
        Who publishes it.
    made_from : str
        What ``python -m experiments.prepare NAME PATH`` takes as PATH.
    sha256, url : str or None
        Checked, and downloaded, where known.
    """

    file: str
    origin: str
    made_from: str
    sha256: str | None = None
    url: str | None = None


_COPY = "a copy of that file, which is checked and put in place"

SOURCES = {
    "mouse_protein": Source(
        "Data_Cortex_Nuclear.csv",
        "UCI Machine Learning Repository, Mice Protein Expression (CC BY 4.0), as one CSV table",
        _COPY,
        "5ec490ae48bf7f2eb958fd33ef5036e58a2933cc05e816064c0ea3b14ad3903b",
    ),
    "mnist": Source(
        "mnist_70k.npz",
        "MNIST (CC BY-SA 3.0) in the order of OpenML's mnist_784, arrays images and labels",
        _COPY,
        "059536965a91bee50ece9120807fafe677e0b9b000cd0ce417c947dc6d16e712",
    ),
    "flowers": Source(
        "flowers28.npz",
        "ImageNet synset n11939491 (research only), 1,300 grey photographs of 28 x 28, array "
        "images",
        _COPY,
        "26eeccb55431af42c012130c42c7e9fa975f944593fd629bd56f212fa25f5edf",
    ),
    "mixseq": Source(
        "mixseq_idasanutlin_500.h5ad",
        "MIX-seq, McFarland et al. 2020 (figshare, CC BY 4.0), idasanutlin and DMSO, 500 genes",
        _COPY,
        "8d0c42269025827d2706fb4fa983b12682e9d715f5011400a4481bcdd0bd3f43",
    ),
    "kang_lymphocytes": Source(
        "kang_ifnb_sub.h5ad",
        "Kang et al. 2018 (GEO GSE96583), 2,000 PBMCs with and without interferon beta",
        _COPY,
        "dc4f69b765a43e202893f6da1e2bc856bb003b99054ac99090d719f5959970d2",
    ),
    "kang_cross_donor": Source(
        "kang_muscat.h5ad",
        "Kang et al. 2018 (GEO GSE96583), PBMCs of donors 101 and 107",
        _COPY,
        "9ee124e83be0ebd7384de2dcda83520f4d7203332ecab426c141500c80427795",
    ),
    "pbmc_cytometry": Source(
        "pbmc_fs.npz",
        "Bodenmiller et al. 2012, the subset of CATALYST (GPL >= 2), arrays X, marker, condition, "
        "patient",
        _COPY,
        "e2082e841096bd8ef637804878ce351758a0a44ff4fcd6290e6c9dc83c5dbda5",
    ),
    "mait_cells": Source(
        "maits.npz",
        "Finak et al. 2015, the MAIT cells of MAST (GPL >= 2), arrays X, cond, genes",
        _COPY,
        "6c1d3e7f1747688a3ac480fe2f04b4e8604e66eb2cdfc82eb605475c83521eb5",
    ),
    "leukemia": Source(
        "leukemia.npz",
        "10x Genomics, Zheng et al. 2017: filtered matrices of AML027 before and after transplant "
        "and of healthy donor 1 (frozen BMMC)",
        "a folder with one folder for each of the three unpacked archives, whose names contain "
        "aml027_pre, aml027_post and healthy_donor1",
    ),
    "mixseq_full": Source(
        "mixseq_full.npz",
        "MIX-seq, McFarland et al. 2020 (figshare, CC BY 4.0): the folders "
        "Idasanutlin_24hr_expt1 and DMSO_24hr_expt1",
        "a folder with both, each holding matrix.mtx, genes.tsv, barcodes.tsv and "
        "classifications.csv",
    ),
    "mdd": Source(
        "mdd.npz",
        "GEO GSE213982, Maitra et al. 2023: the combined counts matrix with its genes_rows and "
        "cells_columns tables",
        "a folder with those three files and donors.csv, which names the donors to use (columns "
        "donor and group, the latter Case or Control, from the sample records of GEO)",
    ),
}


def sha256(path: str | os.PathLike[str]) -> str:
    """Compute the sha256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def advice(name: str) -> str:
    """Say where the file of data set `name` comes from and how it gets into the data folder."""
    source = SOURCES[name]
    return (
        f"Source: {source.origin}. Set {VARIABLE} to the folder that holds {source.file}, or put "
        f"it there with: python -m experiments.prepare {name} PATH, where PATH is "
        f"{source.made_from}."
    )


def odd_file(name: str, path: Path, found: str) -> ValueError:
    """Make the error for a file of data set `name` that is not what it should be."""
    return ValueError(f"{path} is not usable for {name}: {found}. {advice(name)}")


def check(name: str, path: Path) -> None:
    """Compare the sha256 of a file with the one known for data set `name`, if one is.

    Raises
    ------
    ValueError
        If they differ.
    """
    expected = SOURCES[name].sha256
    if expected is not None and (found := sha256(path)) != expected:
        raise odd_file(name, path, f"its sha256 is {found}, expected {expected}")


def locate(name: str) -> Path:
    """Find the file of data set `name` in the data folder and check it.

    Raises
    ------
    FileNotFoundError
        If it is not there, with the source and the commands that put it there.
    ValueError
        If its sha256 is known and another was found.
    """
    source = SOURCES[name]
    folder = os.environ.get(VARIABLE)
    if folder and (path := Path(folder) / source.file).is_file():
        check(name, path)
        return path
    if source.url is not None and source.sha256 is not None:
        return fetch(source.url, source.sha256, source.file)
    where = f"{VARIABLE}={folder} holds no {source.file}" if folder else f"{VARIABLE} is not set"
    raise FileNotFoundError(f"{name} needs the file {source.file}, and {where}. {advice(name)}")


def fetch(url: str, sha256: str, name: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Download a file once, with a progress bar, and keep it only if its sha256 is right.

    Parameters
    ----------
    url : str
        The http or https address.
    sha256 : str
        64 hexadecimal digits; there is no download without them.
    name : str
        The name to keep it under.
    folder : path, optional
        Where to keep it; the user's cache folder for bcnmf_jax if not given.

    Returns
    -------
    Path
        The checked file. One already there with that sha256 is not downloaded again.

    Raises
    ------
    ValueError
        If `sha256` is no sha256, or what arrived has another; nothing is kept then.
    ConnectionError
        If the address cannot be reached or the transfer stops early.
    """
    if len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef"):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256!r}")
    pooch = require("pooch", "experiments")
    requests = require("requests", "experiments")
    try:
        path = pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256.lower()}",
            fname=name,
            path=folder if folder is not None else pooch.os_cache("bcnmf_jax"),
            downloader=pooch.HTTPDownloader(progressbar=True),
        )
    except requests.RequestException as error:
        raise ConnectionError(f"could not download {name} from {url}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{url} did not send the expected {name}: {error}") from error
    return Path(path)
