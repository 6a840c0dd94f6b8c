"""The other end of `benchmarks.published`: starts that process and asks it for times."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

PROGRAM = Path(__file__).with_name("published.py")
HOW_TO_INSTALL = (
    "the iteration benchmark times against PyTorch, which {python} does not have ({error}). Either "
    "install it there: {python} -m pip install -e '.[bench]', or set TORCH_PYTHON to an "
    "interpreter that has torch and numpy"
)


class Peer:
    """The published loop on given arrays, in a process that lives as long as the context.

    Parameters
    ----------
    arrays : mapping
        X (n, g), Y (m, g), W (k, g), H (n, k), G (m, k), rows being samples, and the number a.
    folder : path
        Where the arrays are handed over, an existing folder.

    Raises
    ------
    SystemExit
        On entering, if the interpreter that TORCH_PYTHON names (this one, where it is not set)
        has no PyTorch.
    """

    def __init__(self, arrays: Mapping[str, Any], folder: Path):
        self.folder = folder
        self.python = os.environ.get("TORCH_PYTHON") or sys.executable
        turned = {k: np.array(np.asarray(v).T, "float32", order="C") for k, v in arrays.items()}
        np.savez(folder / "arrays.npz", allow_pickle=False, **turned)

    def __enter__(self) -> "Peer":
        command = [self.python, str(PROGRAM), str(self.folder / "arrays.npz")]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise SystemExit(HOW_TO_INSTALL.format(python=self.python, error=error)) from error
        hello = self._answer()
        if "error" in hello:
            self.__exit__()
            raise SystemExit(HOW_TO_INSTALL.format(python=self.python, error=hello["error"]))
        self.torch = hello["torch"]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()  # closes its input, which ends it

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.python} {PROGRAM.name} ended early; its message is above")
        return json.loads(line)

    def seconds(self, loss: str, variant: str, steps: int = 3) -> float:
        """Seconds of an iteration, the median over ``steps`` from the start."""
        return self._ask(loss, variant, steps, None)["seconds"]

    def basis(self, loss: str, variant: str, steps: int) -> np.ndarray:
        """W (k, g) after ``steps`` iterations from the start."""
        path = self.folder / "basis.npy"
        self._ask(loss, variant, steps, str(path))
        return np.load(path, allow_pickle=False).T

    def _ask(self, loss: str, variant: str, steps: int, save: str | None) -> dict[str, Any]:
        assert self.process.stdin is not None
        request = {"loss": loss, "variant": variant, "steps": steps, "save": save}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self._answer()
