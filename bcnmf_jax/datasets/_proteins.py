"""Mouse cortex proteins: Down syndrome under the effects of learning."""

import csv
from typing import Literal

import numpy as np

from bcnmf_jax.datasets.dataset import Array, Dataset
from bcnmf_jax.datasets.files import locate, odd_file

_ANNOTATION = ("MouseID", "Genotype", "Treatment", "Behavior")


def _fill(values: Array, by: Array | float) -> tuple[Array, int]:
    """Replace missing values, and negative ones by 0, which are counted."""
    filled = np.where(np.isnan(values), by, values)
    return np.maximum(filled, 0.0).astype(np.float32), int((values < 0).sum())


def mouse_protein(missing: Literal["fill", "mask"] = "fill") -> Dataset:
    """Load the mouse protein data: target mice shocked before they explored, background not.

    Target: behaviour S/C, saline, genotypes Control and Ts65Dn (270 rows of 18 mice); background:
    C/S, saline, Control (135 rows of 9 mice). 77 proteins, 15 rows a mouse. A negative
    value becomes 0; the description counts these, and what is missing.

    Parameters
    ----------
    missing : {"fill", "mask"}
        A missing value becomes the median of that protein over its own set, or 0 under a mask.

    Returns
    -------
    Dataset
        Label 1 for Ts65Dn (Down syndrome), 0 for Control; groups are the mice. No counts.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or odd; the message says what to do. ValueError also for another
        word as ``missing``.

    References
    ----------
    Higuera, Gardiner & Cios, PLoS ONE 10 (2015) e0129126. The task: Abid et al., Nature
    Communications 9 (2018) 2134.
    """
    if missing not in ("fill", "mask"):
        raise ValueError(f"missing must be 'fill' or 'mask', found {missing!r}")
    path = locate("mouse_protein")
    with open(path, newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or (absent := set(_ANNOTATION) - set(rows[0])):
        found = f"it has no column {', '.join(sorted(absent))}" if rows else "it has no rows"
        raise odd_file("mouse_protein", path, found)
    columns = list(rows[0])
    proteins = columns[columns.index("MouseID") + 1 : columns.index("Genotype")]
    note = {key: np.array([row[key] for row in rows]) for key in _ANNOTATION}
    try:
        values = np.array([[float(row[p] or "nan") for p in proteins] for row in rows])
    except (TypeError, ValueError) as error:
        raise odd_file("mouse_protein", path, f"a protein level is no number ({error})") from error

    saline, control = note["Treatment"] == "Saline", note["Genotype"] == "Control"
    known = control | (note["Genotype"] == "Ts65Dn")
    sets = {
        "target": (note["Behavior"] == "S/C") & saline & known,
        "background": (note["Behavior"] == "C/S") & saline & control,
    }
    filled, mask, negative = {}, {}, {}
    for key, chosen in sets.items():
        if np.isnan(values[chosen]).all(axis=0).any():
            found = f"the {key} has no row, or a protein without any value there"
            raise odd_file("mouse_protein", path, found)
        mask[key] = ~np.isnan(values[chosen])
        by = np.nanmedian(values[chosen], axis=0) if missing == "fill" else 0.0
        filled[key], negative[key] = _fill(values[chosen], by)
    lost = {key: int((~seen).sum()) for key, seen in mask.items()}
    how = {"fill": "replaced by the median of the protein over its own set", "mask": "masked"}
    mice = np.array([mouse.split("_")[0] for mouse in note["MouseID"]])
    return Dataset(
        name="mouse_protein",
        target=filled["target"],
        background=filled["background"],
        labels=(~control[sets["target"]]).astype(int),
        feature_names=np.array(proteins),
        description=(
            "Protein levels in mouse cortex (UCI Mice Protein Expression): target S/C saline, "
            f"background C/S saline control; label: Ts65Dn. Missing values {how[missing]}: "
            f"{lost['target']} in the target, {lost['background']} in the background; "
            f"negative values set to 0: {negative['target']} and {negative['background']}. "
            "Rows of one mouse are repeats. There are no counts: both scales are these levels."
        ),
        groups=mice[sets["target"]],
        background_groups=mice[sets["background"]],
        mask=None if missing == "fill" else {k: m.astype(np.float32) for k, m in mask.items()},
    )
