"""Rows over devices, restarts over groups of devices: the answer of one device.

A process has one device here, so the cases run in a process of their own, as
``python -m tests.test_sharding CASE...``, which prints the largest differences.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import optax
import pytest

import bcnmf_jax as bj
from bcnmf_jax.fitting._devices import place_blocks
from bcnmf_jax.fitting.loop import run
from bcnmf_jax.model.penalties import L1, L2

KEY = jax.random.key(0)
STEPS = bj.Stop(0.0, 50)
TOLERANCE = {"float32": 1e-5, "float64": 1e-11}
LOSSES = {"frobenius": bj.Frobenius(), "kl": bj.KL()}
MAKES = {
    "nmf": lambda loss: bj.NMF(loss),
    "contrastive": lambda loss: bj.Contrastive(0.5, loss),
    "shared": lambda loss: bj.objectives.SharedTarget(2, 0.5, loss),
    "first": lambda loss: bj.BackgroundFirst(2, 0.5, loss),
}
CLIPPED = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2, weight_decay=0.5))


def data():
    """43 and 30 samples: neither divides by the number of devices."""
    rng = np.random.default_rng(0)
    return {"target": rng.gamma(1, 1, (43, 15)), "background": rng.gamma(1, 1, (30, 15))}


def apart(ours, theirs):
    """Largest difference of two trees, each array's over its largest entry."""
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    pairs = [(np.asarray(a, float), np.asarray(b, float)) for a, b in pairs]
    assert all(a.shape == b.shape and (np.isnan(a) == np.isnan(b)).all() for a, b in pairs)
    top = lambda a: np.nanmax(np.abs(a), initial=0)  # noqa: E731
    return max(float(top(a - b) / max(top(b), 1e-30)) for a, b in pairs)


def parts(fit):
    """What of a fit must agree: shares that are not explained, since those explained are small
    differences themselves, as are the changes in the trace."""
    found = {k: 1 - v if "explained" in k else v for k, v in fit.diagnostics.items()}
    return fit.blocks, fit.costs, found, fit.trace["cost"], fit.steps


def fits(objective, devices, solver=None, **options):
    """Difference of a fit, and of its start, over several devices."""
    start = bj.init(objective, data(), 3, KEY, **options)
    alone = bj.fit(objective, data(), start, solver=solver, stop=STEPS, **options)
    found = 0.0
    for count in devices:
        mesh = bj.fitting.row_mesh(jax.devices()[:count])
        spread = bj.init(objective, data(), 3, KEY, mesh=mesh, **options)
        fit = bj.fit(objective, data(), start, solver=solver, stop=STEPS, mesh=mesh, **options)
        error = max(apart(spread, start), apart(parts(fit), parts(alone)))
        assert count > 1 or error == 0, "one device is the same program"
        found = max(found, error)
    return found


def sweeps(make, loss, restarts, **options):
    """Difference of a sweep of an odd number of restarts."""
    options |= {"alphas": [0.2, 0.5], "ranks": [2, 3], "keys": jax.random.split(KEY, 5)}
    options |= {"loss": loss, "stop": bj.Stop(1e-3, 60)}
    mesh = bj.fitting.row_mesh(restarts=restarts)
    alone = bj.sweep(make, data(), **options)
    return apart(parts(bj.sweep(make, data(), mesh=mesh, **options)), parts(alone))


def once(loss):
    """Data placed once for several fits, values of the game over devices; no rows move."""
    mesh, objective = bj.fitting.row_mesh(), MAKES["contrastive"](loss)
    rows = bj.fitting.shard(data(), mesh)
    start = bj.init(objective, data(), 3, KEY)
    alone = bj.fit(objective, data(), start, stop=STEPS)
    fit = bj.fit(objective, rows, start, stop=STEPS, mesh=mesh)
    with jax.set_mesh(mesh):
        value = bj.reduced_objective(objective, rows, fit.blocks)
    placed = place_blocks(objective.terms(rows), start, mesh)
    with jax.set_mesh(mesh):
        lowered = eqx.filter_jit(run).lower(objective, rows, placed, bj.MU(), STEPS, STEPS.looks)
    text = lowered.compile().compiled.as_text()
    assert "all-reduce" in text
    assert not any(f" {moves}(" in text for moves in ("all-gather", "all-to-all"))
    return max(
        apart(parts(fit), parts(alone)),
        apart(value, bj.reduced_objective(objective, data(), alone.blocks)),
    )


def weights():
    rng = np.random.default_rng(1)
    return {name: rng.random(len(x)) for name, x in data().items()}


def mask():
    rng = np.random.default_rng(1)
    return {name: rng.random(x.shape) > 0.2 for name, x in data().items()}


QUICK = {
    "contrastive, frobenius": lambda: fits(MAKES["contrastive"](LOSSES["frobenius"]), [8]),
    "contrastive, kl": lambda: fits(MAKES["contrastive"](LOSSES["kl"]), [1, 2]),
    "first, kl": lambda: fits(MAKES["first"](LOSSES["kl"]), [8]),
    "sweep": lambda: sweeps(bj.Contrastive, LOSSES["kl"], 2),
}
MORE = {
    **{
        f"{make}, {loss}, devices": lambda make=make, loss=loss: fits(
            MAKES[make](LOSSES[loss]), [2, 4, 8]
        )
        for make in MAKES
        for loss in LOSSES
    },
    "clipped, softplus": lambda: fits(
        MAKES["contrastive"](LOSSES["kl"]), [8], bj.solvers.Optax(CLIPPED, "softplus")
    ),
    "placed once": lambda: once(LOSSES["kl"]),
    "clipped, projected": lambda: fits(
        MAKES["contrastive"](LOSSES["kl"]), [8], bj.solvers.Optax(CLIPPED)
    ),
    "penalised adam": lambda: fits(
        bj.Contrastive(0.5, bj.KL(), (L1("target", 0.3), L2("background", 0.1))),
        [8],
        bj.solvers.Optax(optax.adam(1e-2), "softplus"),
    ),
    "small chunks": lambda: fits(
        MAKES["shared"](LOSSES["kl"]), [8], bj.MU(chunk=2, inner_steps=2)
    ),
    "weights": lambda: fits(MAKES["contrastive"](LOSSES["kl"]), [8], weights=weights()),
    "mask": lambda: fits(MAKES["contrastive"](LOSSES["frobenius"]), [8], mask=mask()),
    "sweep of background first": lambda: sweeps(
        bj.BackgroundFirst, LOSSES["frobenius"], 4, background_rank=2
    ),
    "restarts alone": lambda: sweeps(bj.Contrastive, LOSSES["frobenius"], 8),
    "placed once, frobenius": lambda: once(LOSSES["frobenius"]),
}  # fmt: skip


def main(names):
    if names == ["--mesh"]:  # errors of a mesh that only several devices can show
        return print(_message(lambda: bj.fitting.row_mesh(restarts=3)))
    print(json.dumps({name: (QUICK | MORE)[name]() for name in names}))


def start(names, dtype="float32"):
    """Run cases among eight devices; what they print."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    env = os.environ | {"XLA_FLAGS": flags, "JAX_ENABLE_X64": str(int(dtype == "float64"))}
    env |= {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.test_sharding", *names]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def check(names, dtype):
    found = json.loads(start(names, dtype))
    assert set(found) == set(names)
    assert {n: e for n, e in found.items() if not e <= TOLERANCE[dtype]} == {}


def test_devices_agree_in_double_precision():
    check(list(QUICK), "float64")


def test_devices_agree_in_single_precision():
    check(["contrastive, frobenius", "contrastive, kl"], "float32")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_every_case_agrees(dtype):
    fitted = [n for n in MORE if "sweep" not in n and "alone" not in n]
    check(list(MORE) if dtype == "float64" else fitted, dtype)


def _message(call):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    return str(caught.value)


def test_errors_say_what_is_wrong(counts):
    said = start(["--mesh"])
    assert "restarts must divide the number of devices of a process, 8; found 3" in said
    assert "restarts must be an integer" in _message(lambda: bj.fitting.row_mesh(restarts=0))
    assert "found {}" in _message(lambda: bj.fitting.row_mesh([]))
    other = jax.make_mesh((1,), ("rows",))
    assert "mesh must come from bcnmf_jax.row_mesh" in _message(
        lambda: bj.fitting.shard(counts, other)
    )
    short = bj.init(bj.NMF(), counts, 2, KEY)
    short["target"] = short["target"][:-1]
    said = _message(lambda: bj.fit(bj.NMF(), counts, short, mesh=bj.fitting.row_mesh()))
    assert "blocks['target'] has shape (39, 2), the data ask for (40, 2)" in said


if __name__ == "__main__":
    main(sys.argv[1:])
