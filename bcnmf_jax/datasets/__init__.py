"""Data sets, each behind one function that returns a :class:`Dataset`, and the files that they are
read from; imports `data` and `storage`.

Simulated or built from what scikit-learn ships, so nothing to download: :func:`beta_simulation`,
:func:`family_simulation`, :func:`digits_on_photos`. From files in the folder named by the
environment variable ``BCNMF_DATA``: all others. ``python -m experiments.prepare NAME PATH`` puts a
file there, checked or built from its source's own format.
"""

from bcnmf_jax.datasets._cells import (
    kang_cross_donor,
    kang_lymphocytes,
    leukemia,
    mdd,
    mixseq,
    mixseq_full,
)
from bcnmf_jax.datasets._families import family_simulation
from bcnmf_jax.datasets._images import digits_on_photos, mnist_on_photos
from bcnmf_jax.datasets._proteins import mouse_protein
from bcnmf_jax.datasets._simulate import beta_simulation
from bcnmf_jax.datasets._stimulated import mait_cells, pbmc_cytometry
from bcnmf_jax.datasets.dataset import Dataset, log_normalise
from bcnmf_jax.datasets.files import fetch

__all__ = [
    "Dataset",
    "beta_simulation",
    "digits_on_photos",
    "family_simulation",
    "fetch",
    "kang_cross_donor",
    "kang_lymphocytes",
    "leukemia",
    "log_normalise",
    "mait_cells",
    "mdd",
    "mixseq",
    "mixseq_full",
    "mnist_on_photos",
    "mouse_protein",
    "pbmc_cytometry",
]
