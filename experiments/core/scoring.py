"""Scores of fits, computed in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import connection
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bcnmf_jax.datasets import Dataset
from bcnmf_jax.metrics import score

SCORED = (
    *("ari_primary", "nmi_primary", "ari_raw", "nmi_raw", "ari_row", "nmi_row"),
    *("auc", "auc_chance", "auc_logistic", "auc_logistic_note", "cosine"),
)


def score_one(
    codes: np.ndarray,
    components: np.ndarray,
    shared: np.ndarray | None,
    known: dict[str, Any],
    seed: int,
) -> dict[str, Any]:
    """All scores of one fit; ``known`` holds labels, groups and truth of the data set."""
    with threadpool_limits(1):  # fits of this size lose more by threads than they win
        found = score(codes, components=components, shared=shared, random_state=seed, **known)
    return {name: found[name] for name in SCORED}


def known(dataset: Dataset) -> dict[str, Any]:
    """What scores compare with."""
    return {"labels": dataset.labels, "groups": dataset.groups, "truth": dataset.truth}


def _follow() -> None:
    """End this process when the one that started it ends, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def scorers(workers: int) -> Executor:
    """``workers`` processes, or for a single worker a thread of this process."""
    if workers == 1:
        return ThreadPoolExecutor(1)
    # Not forked: a fork of a process in which JAX has started threads can hang.
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawn, _follow)
