"""Largest differences between the package and independent transcriptions, after 50 iterations.

``python -m tests.parity`` prints them; `tests/test_parity.py` bounds them.
"""

import warnings

import jax
import numpy as np
from sklearn.decomposition import NMF as SklearnNMF
from sklearn.exceptions import ConvergenceWarning

import bcnmf_jax as bj
from tests import reference

STEPS = 50
STOP = bj.Stop(tol=0.0, max_steps=STEPS)
LOSSES = {"frobenius": bj.Frobenius, "kl": bj.KL}


def problem(seed=0, n=60, m=40, g=50, k=4):
    """Data and a start, all positive: ``X, Y, W, H, G``."""
    rng = np.random.default_rng(seed)
    sizes = ((n, g), (m, g), (k, g), (n, k), (m, k))
    return [rng.gamma(1, 1, s) if i < 2 else rng.random(s) + 0.1 for i, s in enumerate(sizes)]


def difference(fit, pairs):
    """Largest relative difference of reconstructions ``name -> H W``."""
    worst = 0.0
    for name, want in pairs.items():
        have = np.asarray(fit.blocks[name]) @ np.asarray(fit.blocks["basis"])
        worst = max(worst, float(np.abs(have - want).max() / want.max()))
    return worst


def contrastive(loss, damping=1.0, chunk=None, alpha=0.7):
    """Contrast in memory, or in row chunks."""
    X, Y, W, H, G = problem()
    f = bj.fit(
        bj.Contrastive(alpha, LOSSES[loss]()), {"target": X, "background": Y},
        {"basis": W, "target": H, "background": G}, solver=bj.MU(damping, chunk=chunk), stop=STOP,
    )  # fmt: skip
    for _ in range(STEPS):
        W, H, G = reference.contrastive(loss, X, Y, W, H, G, alpha * 60 / 40, damping)
    return difference(f, {"target": H @ W, "background": G @ W})


def vmapped(loss):
    """Contrast at several alphas at once."""
    X, Y, *start = problem()
    blocks = dict(zip(("basis", "target", "background"), start, strict=True))
    rows, alphas = bj.prepare({"target": X, "background": Y}), np.array([0.0, 0.4, 0.9])

    def run(a):
        objective = bj.Contrastive(a, LOSSES[loss]())
        return bj.fit(objective, rows, blocks, solver=bj.MU(), stop=STOP)

    fits, worst = jax.vmap(run)(alphas), 0.0
    for i, alpha in enumerate(alphas):
        W, H, G = start
        for _ in range(STEPS):
            W, H, G = reference.contrastive(loss, X, Y, W, H, G, alpha * 60 / 40)
        one = jax.tree.map(lambda leaf, i=i: leaf[i], fits)
        worst = max(worst, difference(one, {"target": H @ W, "background": G @ W}))
    return worst


def two_modalities(loss):
    """Two modalities with shared codes."""
    X1, Y1, W1, H, G = problem(0)
    X2, Y2, W2, *_ = problem(1, g=35)
    f = bj.fit(
        bj.objectives.Multimodal(0.7, LOSSES[loss]()),
        {"target": {"a": X1, "b": X2}, "background": {"a": Y1, "b": Y2}},
        {"basis": {"a": W1, "b": W2}, "target": H, "background": G}, solver=bj.MU(), stop=STOP,
    )  # fmt: skip
    Ws = [W1, W2]
    for _ in range(STEPS):
        Ws, H, G = reference.modalities(loss, [X1, X2], [Y1, Y2], Ws, H, G, 0.7 * 60 / 40)
    codes, worst = np.asarray(f.blocks["target"]), 0.0
    for name, W in zip("ab", Ws, strict=True):
        have = codes @ np.asarray(f.blocks["basis"][name])
        worst = max(worst, float(np.abs(have - H @ W).max() / (H @ W).max()))
    return worst


def combined(loss, damping=1.0):
    """The published combined basis; the exponent of its bases is what descent asks for."""
    X, Y, Ws, H, G = problem(0)
    Wt, lam = problem(1)[2], 0.05
    f = bj.fit(
        bj.objectives.CombinedBasis(lam, LOSSES[loss](), normalised=False),
        {"target": X, "background": Y},
        {"basis": {"shared": Ws, "target": Wt}, "target": H, "background": G},
        solver=bj.MU(damping), stop=STOP,
    )  # fmt: skip
    power = damping / (3 if loss == "frobenius" else 4)
    for _ in range(STEPS):
        Ws, Wt, H, G = reference.combined(loss, X, Y, Ws, Wt, H, G, lam, damping, power)
    basis = {k: np.asarray(v) for k, v in f.blocks["basis"].items()}
    bases = {"target": basis["shared"] + basis["target"], "background": basis["shared"]}
    worst = 0.0
    for name, want in (("target", H @ (Ws + Wt)), ("background", G @ Ws)):
        have = np.asarray(f.blocks[name]) @ bases[name]
        worst = max(worst, float(np.abs(have - want).max() / want.max()))
    return worst


def scikit_learn(loss):
    """alpha = 0, and plain NMF, against scikit-learn's multiplicative updates from one start."""
    X, Y, W, H, G = problem()
    model = SklearnNMF(
        4, init="custom", solver="mu", tol=0, max_iter=STEPS,
        beta_loss="kullback-leibler" if loss == "kl" else loss,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        codes = model.fit_transform(X, W=H.copy(), H=W.copy())
    # scikit-learn updates the codes first, as here
    want = {"target": codes @ model.components_}
    data = {"target": X, "background": Y}
    blocks = {"basis": W, "target": H, "background": G}
    at_zero = bj.fit(bj.Contrastive(0.0, LOSSES[loss]()), data, blocks, solver=bj.MU(), stop=STOP)
    plain = bj.fit(bj.NMF(LOSSES[loss]()), data, blocks, solver=bj.MU(), stop=STOP)
    return max(difference(at_zero, want), difference(plain, want))


def figures():
    """Name and largest relative difference of every comparison."""
    for loss in LOSSES:
        yield f"contrast, {loss}, in memory", contrastive(loss)
        yield f"contrast, {loss}, chunks of 7 rows", contrastive(loss, chunk=7)
        yield f"contrast, {loss}, vmapped over alpha", vmapped(loss)
        yield f"contrast, {loss}, damping 0.5", contrastive(loss, damping=0.5)
        yield f"two modalities, {loss}", two_modalities(loss)
        yield f"combined basis, {loss}", combined(loss)
        yield f"combined basis, {loss}, damping 0.5", combined(loss, damping=0.5)
        yield f"alpha = 0 and NMF against scikit-learn, {loss}", scikit_learn(loss)


def main():
    with jax.enable_x64(True):
        for name, value in figures():
            print(f"{name:52s} {value:.1e}")


if __name__ == "__main__":
    main()
