"""The published training loop in PyTorch: the peer of the iteration benchmark.

A process of its own, under any interpreter that has torch and numpy (it imports nothing of this
project). Arrays are features x samples as in the authors' code, that is X (g, n), Y (g, m),
W (g, k), H (k, n), G (k, m), and ``a`` multiplies the sum over the background:

    squared error   H *= W'X / W'WH             W *= (XH' + a WGG') / (WHH' + a YG')
    Poisson         H *= W'(X/WH) / W'1         W *= ((X/WH)H' + a 1G') / (1H' + a (Y/WG)G')

and G as H with Y. The variant "published" keeps two habits of that loop: every iteration builds
matrices of ones for the products with 1, and computes the full loss. The variant "lean" does
neither: sums instead of ones, no loss, the same updates.

Usage: ``published.py ARRAYS.npz`` (X, Y, W, H, G, a). First line out: versions, or an error. Then
for each JSON line in, ``{"loss", "variant", "steps", "save"}``, one JSON line out: the median
seconds of an iteration over ``steps`` iterations from the start that ARRAYS holds. ``save`` names
a file for W at the end, or is null.
"""

import json
import statistics
import sys
import time

import numpy as np

FROBENIUS_EPS = 1e-10
KL_EPS = 1e-16


def frobenius(torch, d, w, h, g, published):
    """One iteration for squared error; returns W, H, G."""
    x, y, a, eps = d["X"], d["Y"], d["a"], FROBENIUS_EPS
    h = h * (w.T @ x) / (w.T @ w @ h + eps)
    g = g * (w.T @ y) / (w.T @ w @ g + eps)
    pull = x @ h.T + a * (w @ (g @ g.T))
    w = w * pull / (w @ (h @ h.T) + a * (y @ g.T) + eps)
    if published:
        float(((w @ h - x) ** 2).mean() + a * ((w @ g - y) ** 2).mean())
    return w, h, g


def kl(torch, d, w, h, g, published):
    """One iteration for the Poisson loss; returns W, H, G."""
    x, y, a, eps = d["X"], d["Y"], d["a"], KL_EPS

    def under_w(z):
        return w.T @ torch.ones(z.shape) if published else w.sum(0)[:, None]

    h = h * (w.T @ (x / (w @ h + eps))) / (under_w(x) + eps)
    g = g * (w.T @ (y / (w @ g + eps))) / (under_w(y) + eps)
    if published:
        sum_h, sum_g = torch.ones(x.shape) @ h.T, torch.ones(y.shape) @ g.T
    else:
        sum_h, sum_g = h.sum(1)[None, :], g.sum(1)[None, :]
    pull = (x / (w @ h + eps)) @ h.T + a * sum_g
    w = w * pull / (sum_h + a * ((y / (w @ g + eps)) @ g.T) + eps)
    if published:
        of_x, of_y = (w @ h).clamp_min(eps), (w @ g).clamp_min(eps)
        float((of_x - x * of_x.log()).mean() - a * (of_y - y * of_y.log()).mean())
    return w, h, g


def main(path):
    """Answer requests on standard input until it closes."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    with np.load(path, allow_pickle=False) as arrays:
        d = {name: torch.from_numpy(arrays[name]) for name in "XYWHG"}
        d["a"] = float(arrays["a"])
    print(json.dumps({"torch": torch.__version__}), flush=True)
    losses = {"frobenius": frobenius, "kl": kl}
    for line in sys.stdin:
        request = json.loads(line)
        step, seconds = losses[request["loss"]], []
        blocks = d["W"], d["H"], d["G"]
        for _ in range(request["steps"]):
            start = time.perf_counter()
            blocks = step(torch, d, *blocks, request["variant"] == "published")
            seconds.append(time.perf_counter() - start)
        if request["save"]:
            np.save(request["save"], blocks[0].numpy())
        print(json.dumps({"seconds": statistics.median(seconds)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
