"""A killed fit goes on to the same bits, and only from its own checkpoint."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.streaming import _checkpoint as checkpoint
from tests.contracts import same

KEY = jax.random.key(0)

KILLED = """
import sys
import jax, numpy as np, bcnmf_jax as bj

path, kill, mode = sys.argv[1], sys.argv[2], sys.argv[3]
rng = np.random.default_rng(0)
data = {"target": rng.poisson(2.0, (300, 20)) + 0.5, "background": rng.poisson(2.0, (200, 20))}

def tell(p):
    print(p.stage, p.epoch, flush=True)
    if f"{p.stage} {p.epoch}" == kill:
        sys.stdin.read()  # until killed

made = bj.BackgroundFirst(2, 0.5, bj.KL())
f = bj.stream(
    made, data, rank=3, key=jax.random.key(0), stop=bj.Stop(0.0, 24), chunk_rows=64, mode=mode,
    checkpoint=path, every=3, on_progress=tell,
)
np.savez(path + ".out.npz", *map(np.asarray, jax.tree.leaves((f.blocks, f.costs, f.trace))))
"""


@pytest.mark.parametrize("mode", ["exact", pytest.param("online", marks=pytest.mark.slow)])
def test_a_killed_fit_resumes_to_the_same_bits(tmp_path, mode):
    def start(name, kill):
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / name), kill, mode],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(bj.__file__).parents[1],
        )  # fmt: skip

    def kill_at(name, mark):
        process = start(name, mark)
        for line in process.stdout:
            if line.strip() == mark:
                break
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    def finish(name):
        told, _ = start(name, "never").communicate(timeout=300)
        return told.splitlines()

    whole = finish("whole")
    assert whole[-1] == "fit 24"
    kill_at("killed", "background 14")
    kill_at("killed", "fit 8")
    rest = finish("killed")
    # the background's fit is not done again, the last six passes are kept
    assert rest[0] == "fit 7" and rest[-1] == "fit 24"
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob("*.background"))
    with np.load(tmp_path / "whole.out.npz") as a, np.load(tmp_path / "killed.out.npz") as b:
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])


def test_a_checkpoint_of_another_fit_is_refused(holed, tmp_path):
    path = tmp_path / "fit"
    go = lambda alpha=0.5, data=holed, steps=4: bj.stream(  # noqa: E731
        bj.Contrastive(alpha), data, rank=2, key=KEY, stop=bj.Stop(0.0, steps), chunk_rows=16,
        checkpoint=path,
    )  # fmt: skip
    mine = tmp_path / "fit.background"
    mine.write_text("of the user: this objective fits no background first")
    same(go().blocks, go().blocks, 0)
    assert mine.exists()
    for other, word in (
        ({"alpha": 0.6}, "objective"), ({"steps": 5}, "stop"),
        ({"data": {**holed, "target": holed["target"] + 1}}, "data"),
        ({"data": {**holed, "target": holed["target"][::-1]}}, "data"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"another fit .*{word}"):
            go(**other)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="cannot be read"):
        go()
    with open(path, "wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(ValueError, match="cannot be read"):
        go()
    with pytest.raises(ValueError, match="folder"):
        bj.stream(bj.NMF(), holed, rank=2, key=KEY, checkpoint=tmp_path / "none" / "fit")


def test_checkpoints_are_whole_or_absent(tmp_path, monkeypatch):
    path = tmp_path / "c"
    assert checkpoint.load_checkpoint(path) is None
    checkpoint.save_checkpoint(path, [np.arange(3), jnp.ones(2)], {"a": [1, "b"]})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save_checkpoint(path, [np.zeros(9)], {})
    arrays, about = checkpoint.load_checkpoint(path)
    np.testing.assert_array_equal(arrays[0], [0, 1, 2])
    assert about == {"a": [1, "b"]} and [p.name for p in tmp_path.iterdir()] == ["c"]
    np.savez(tmp_path / "o.npz", about=np.array([{}], object))
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.load_checkpoint(tmp_path / "o.npz")
