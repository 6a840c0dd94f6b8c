"""The circumstances of a run, which all its rows hold: commit, versions, device, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import jax

import bcnmf_jax as bj
from experiments.core.records import ROOT
from experiments.core.rows import Row

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "scikit-learn")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit() -> str | None:
    """The commit that is checked out, marked where files other than results differ from it."""
    at = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!paper")
    return f"{at}+changes" if at and changed else at


def machine() -> str:
    """Processor and number of cores, without a name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    return f"{platform.system()} {platform.machine()}, {model}, {os.cpu_count()} cores"


def circumstances(name: str) -> Row:
    """The fields that all rows of a run share."""
    devices = jax.devices()
    versions = {package: version(package) for package in PACKAGES}
    return {
        "config": name,
        "commit": commit(),
        "versions": {"python": platform.python_version(), "bcnmf_jax": bj.__version__, **versions},
        "device": {
            "platform": devices[0].platform,
            "kind": devices[0].device_kind,
            "count": len(devices),
            "jax_platforms": os.environ.get("JAX_PLATFORMS"),
        },
        "machine": machine(),
    }
