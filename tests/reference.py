"""The published equations in plain NumPy, double precision, one iteration each.

Transcribed from the mathematics of Li, Yang & Li (arXiv 2602.22387) and of multiplicative updates
(Lee & Seung 2001; Fevotte & Idier 2011), independently of the package: rows are samples, there is
no epsilon, no chunk and no normalisation. ``power`` is the exponent of every ratio.
"""

import numpy as np


def code_ratio(loss, pairs, H):
    """Factor of codes that explain every ``(X, W)`` of ``pairs``: halves add over modalities."""
    if loss == "frobenius":
        return sum(X @ W.T for X, W in pairs) / sum(H @ W @ W.T for X, W in pairs)
    return sum((X / (H @ W)) @ W.T for X, W in pairs) / sum(W.sum(1) for _, W in pairs)


def basis_halves(loss, X, H, W):
    """Positive and negative half of the gradient of D(X | H W) with respect to W."""
    if loss == "frobenius":
        return H.T @ H @ W, H.T @ X
    return np.repeat(H.sum(0)[:, None], X.shape[1], 1), H.T @ (X / (H @ W))


def contrastive(loss, X, Y, W, H, G, a, power=1.0):
    """One iteration of the contrast: the background's halves enter W swapped."""
    H = H * code_ratio(loss, [(X, W)], H) ** power
    G = G * code_ratio(loss, [(Y, W)], G) ** power
    pos, neg = basis_halves(loss, X, H, W)
    pos_y, neg_y = basis_halves(loss, Y, G, W)
    return W * ((neg + a * pos_y) / (pos + a * neg_y)) ** power, H, G


def modalities(loss, Xs, Ys, Ws, H, G, a, power=1.0):
    """The same for several modalities with shared codes."""
    H = H * code_ratio(loss, list(zip(Xs, Ws, strict=True)), H) ** power
    G = G * code_ratio(loss, list(zip(Ys, Ws, strict=True)), G) ** power
    new = []
    for X, Y, W in zip(Xs, Ys, Ws, strict=True):
        pos, neg = basis_halves(loss, X, H, W)
        pos_y, neg_y = basis_halves(loss, Y, G, W)
        new.append(W * ((neg + a * pos_y) / (pos + a * neg_y)) ** power)
    return new, H, G


def combined(loss, X, Y, Ws, Wt, H, G, lam, power=1.0, basis_power=1.0):
    """One iteration of D(X | H (Ws + Wt)) + D(Y | G Ws) + lam ||Ws Wt'||_F^2."""
    H = H * code_ratio(loss, [(X, Ws + Wt)], H) ** power
    G = G * code_ratio(loss, [(Y, Ws)], G) ** power
    pos, neg = basis_halves(loss, X, H, Ws + Wt)
    pos_y, neg_y = basis_halves(loss, Y, G, Ws)
    shared = (neg + neg_y) / (pos + pos_y + 2 * lam * Ws @ Wt.T @ Wt)
    target = neg / (pos + 2 * lam * Wt @ Ws.T @ Ws)
    return Ws * shared**basis_power, Wt * target**basis_power, H, G
