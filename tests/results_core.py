"""The functional core's public calls whose results `tests.results` records, each under a name.

Only public names are used, the old or the new ones, so that these outlive a reorganisation.
"""

import tempfile
from functools import cache, partial
from operator import attrgetter
from types import ModuleType

import anndata
import jax
import numpy as np
import optax
from scipy import sparse

import bcnmf_jax as bj

RENAMED = {
    "deflate": "fit_sequential", "survey": "summarize", "residual": "stationarity",
    "strata": "split_by_stratum", "transitions": "critical_alphas",
    "game_value": "reduced_objective", "stream_transform": "streaming.transform",
    "stream_value": "streaming.reduced_objective",
}  # fmt: skip
NAMESPACES = (
    "losses", "penalties", "objectives", "solvers", "fitting", "inference", "data", "estimator",
)  # fmt: skip
HEARD = "on_progress" if hasattr(bj, "streaming") else "callback"


class Public:
    """Public names under the new name or the old one, in the package or one of its namespaces.

    Results of a version before the renaming can be compared with those of one after it.
    """

    def __getattr__(self, name):
        for known in (RENAMED.get(name, name), name):
            for place in (bj, *(getattr(bj, n, None) for n in NAMESPACES)):
                try:
                    found = attrgetter(known)(place)
                except AttributeError:
                    continue
                if not isinstance(found, ModuleType):
                    return found
        raise AttributeError(f"no public name {name!r}")


def counts(seed, n, m):
    """Counts of three shared programs, and of two that the target has to itself."""
    rng = np.random.default_rng(seed)
    basis = rng.gamma(0.3, 1, (5, 40))
    draw = lambda n, k: rng.poisson(4 * rng.gamma(0.5, 1, (n, k)) @ basis[:k] + 0.3)  # noqa: E731
    return {"target": draw(n, 5).astype("f4"), "background": draw(m, 3).astype("f4")}


b, KEY, GENES, DATA = Public(), jax.random.key(0), [f"g{i}" for i in range(40)], counts(0, 60, 45)
(X, Y), LOGS = DATA.values(), {k: np.log1p(v) for k, v in DATA.items()}
TWO = DATA | {"background": [Y[:20], Y[20:]]}
BOTH = {k: {"rna": v, "protein": v[:, :8] + 1} for k, v in DATA.items()}
CSR = {k: sparse.csr_matrix(v) for k, v in DATA.items()}
MASK = {k: np.random.default_rng(1).random(v.shape) > 0.1 for k, v in DATA.items()}
WEIGHTS = {k: np.random.default_rng(2).uniform(0.5, 2, len(v)) for k, v in DATA.items()}
DONORS = {"groups": np.arange(60) % 4, "background_groups": 9 + np.arange(45) % 4}
OBJECTIVES = {
    "nmf": (lambda loss: b.NMF(loss), DATA),
    "contrastive": (lambda loss: b.Contrastive(0.4, loss), DATA),
    "shared": (lambda loss: b.SharedTarget(2, 0.3, loss), DATA),
    "first": (lambda loss: b.BackgroundFirst(2, 0.3, loss), DATA),
    "two": (lambda loss: b.Contrastive([0.1, 0.3], loss), TWO),
    "multimodal": (lambda loss: b.Multimodal(0.3, loss), BOTH),
    "combined": (lambda loss: b.CombinedBasis(1.0, loss), DATA),
    "published": (lambda loss: b.CombinedBasis(1.0, loss, normalised=False), DATA),
    "combined l1": (lambda loss: b.CombinedBasis(2.0, loss, penalties=PENALTIES()[:1]), DATA),
    "penalised": (lambda loss: b.Contrastive(0.4, loss, PENALTIES()[:4]), DATA),
    "overlap": (lambda loss: b.Contrastive(0.4, loss, PENALTIES()[4:]), DATA),
    "collapsed": (lambda loss: b.Contrastive(1e4, loss), DATA),
    "refused": (lambda loss: b.Contrastive(-1.0, loss), DATA),
}
PENALTIES = lambda: (  # noqa: E731
    b.L1("target", 0.3), b.L2("background", 0.1), b.L1("basis", 0.2), b.L2("basis", 0.5),
    b.Overlap(0.5),
)  # fmt: skip
LOSSES = {
    "frobenius": lambda: b.Frobenius(), "kl": lambda: b.KL(), "beta 1.5": lambda: b.Beta(1.5),
    "beta 3": lambda: b.Beta(3.0), "nb": lambda: b.NegativeBinomial(0.4),
    "nb each": lambda: b.NegativeBinomial(np.linspace(0.1, 1, 40)),
}  # fmt: skip
SOLVERS = {
    "default": lambda: None, "mu": lambda: b.MU(), "varpro": lambda: b.VarPro(),
    "optax": lambda: b.Optax(optax.adam(1e-2), "softplus"), "hals": lambda: b.HALS(),
    "mu more": lambda: b.MU(0.8, 2, 0.9, 16), "hals more": lambda: b.HALS(1, 0.0, 16),
    "log": lambda: b.Optax(optax.sgd(1e-4), "log"),
}  # fmt: skip


def fitted(kind="contrastive", loss="frobenius", solver="default", x64=False, **more):
    """A fit of three components, and everything that it says."""
    with jax.enable_x64(x64):
        data = jax.tree.map(lambda a: a.astype("f8" if x64 else "f4"), OBJECTIVES[kind][1])
        made = OBJECTIVES[kind][0](LOSSES[loss]())
        start = b.init(made, data, 3, KEY, **more)
        more.pop("method", None)
        found = b.fit(made, data, start, solver=SOLVERS[solver](), stop=b.Stop(1e-4, 30), **more)
        return {"start": start, "fit": found, "result": b.result_name(found.result)}


@cache
def known(kind="contrastive", loss="frobenius"):
    """An objective and a fit of it, for the calls that read one."""
    return OBJECTIVES[kind][0](LOSSES[loss]()), fitted(kind, loss)["fit"]


def read(name, kind="contrastive", loss="frobenius", data=DATA, **more):
    """What a function of objective, data and blocks says of a known fit."""
    made, found = known(kind, loss)
    return getattr(b, name)(made, data, found.blocks, **more)


def swept(make="Contrastive", data=DATA, alphas=(0.0, 0.4, 1.5), **more):
    more |= {"keys": jax.random.split(KEY, 3), "stop": b.Stop(1e-4, 30), "ranks": [2, 3]}
    return b.sweep(getattr(b, make), data, alphas=alphas, **more)


def streamed(kind, loss="frobenius", data=None, **more):
    """A fit by passes over chunks, and what it tells of them."""
    said, made = [], OBJECTIVES[kind][0](LOSSES[loss]())
    more = {"rank": 3, "key": KEY, "stop": b.Stop(1e-4, 12), "chunk_rows": 16} | more
    data = data() if data else OBJECTIVES[kind][1]
    found = b.stream(made, data, **{HEARD: lambda now: said.append(str(tuple(now)[:3]))}, **more)
    return {"fit": found, "said": np.array(said)}


def from_files():
    """A stream of files, with a checkpoint."""
    with tempfile.TemporaryDirectory() as at:
        for name, values in CSR.items():
            anndata.AnnData(values).write_h5ad(f"{at}/{name}.h5ad")
        data = lambda: {k: b.source(f"{at}/{k}.h5ad") for k in CSR}  # noqa: E731
        return streamed("contrastive", data=data, checkpoint=f"{at}/fit.npz", every=2)


def resampled(*c, **more):
    return b.bootstrap(known(*c)[0], DATA, known(*c)[1], n_resamples=20, **more)


def sources():
    """Sparse rows, as `stream` takes them."""
    return {k: b.source(v) for k, v in CSR.items()}


def fits():
    """Objectives by losses by solvers, and what else a fit can be given."""
    kinds, solvers = list(OBJECTIVES), list(SOLVERS)
    every = [(k, v, s) for k in kinds[:7] for v in ("frobenius", "kl") for s in solvers[:4]]
    every += [(k, "frobenius", "hals") for k in kinds[:5]]
    every += [("contrastive", "frobenius", s) for s in solvers[5:]]
    every += [("nmf", v, "default") for v in ("beta 1.5", "beta 3", "nb")]
    every += [("first", "nb each", "default"), ("overlap", "kl", "default")]
    every += [(k, "frobenius", "default") for k in kinds[7:] if k != "overlap"]
    return {f"fit, {', '.join(c)}": partial(fitted, *c) for c in every} | {
        "fit, weights": partial(fitted, weights=WEIGHTS), "fit, mask": partial(fitted, mask=MASK),
        "fit, mask, first, kl": partial(fitted, "first", "kl", mask=MASK),
        "fit, x64": partial(fitted, x64=True),
        "fit, x64, first, kl": partial(fitted, "first", "kl", x64=True),
        "fit, mesh": lambda: fitted(mesh=b.row_mesh()),
        "fit, nndsvd": partial(fitted, method="nndsvd"),
    }  # fmt: skip


def readings():
    """Sweeps, streams, and the functions that take a fit."""
    pairs = (("contrastive", "frobenius"), ("first", "kl"), ("combined", "kl"))
    names, new = ("game_value", "residual", "block_costs"), {"target": X[:9]}
    streams = (*pairs[:2], ("nmf", "beta 1.5"), ("two", "frobenius"), ("multimodal", "kl"))
    deflated = lambda refit: b.deflate(b.BackgroundFirst(2), DATA, 2, KEY, refit=refit)  # noqa: E731
    return {
        "sweep": swept, "sweep, item": lambda: swept()[1, 0, 1],
        "sweep, first, kl": lambda: swept("BackgroundFirst", background_rank=2, loss=b.KL()),
        "sweep, two": lambda: swept(data=TWO, alphas=[[0.0, 0.1], [0.2, 0.3]]),
        "collapse_alpha": lambda: b.collapse_alpha(swept(), [0.0, 0.4, 1.5]),
        **{f"stream, {', '.join(c)}": partial(streamed, *c) for c in streams},
        **{f"stream, csr, {', '.join(c)}": partial(streamed, *c, sources) for c in streams[:3]},
        "stream, online": partial(streamed, "contrastive", mode="online"),
        "stream, online, csr": partial(streamed, "nmf", "kl", sources, mode="online", decay=0.7),
        "stream, files": from_files,
        **{f"{n}, {c[0]}": partial(read, n, *c) for c in pairs for n in names},
        "game_value, mask": partial(read, "game_value", mask=MASK),
        "block_costs, weights": partial(read, "block_costs", weights=WEIGHTS),
        **{f"transform, {c[0]}": lambda c=c: b.transform(*known(*c), new) for c in pairs},
        "transform, weights, mask": lambda: b.transform(*known(), DATA, weights=WEIGHTS, mask=MASK),
        "stream_transform": lambda: b.stream_transform(*known(), sources(), chunk_rows=16),
        "stream_value": lambda: read("stream_value", data=sources(), chunk_rows=16),
        "survey": lambda: b.survey(sources(), WEIGHTS, chunk_rows=16),
        "prepare": lambda: b.prepare(DATA, WEIGHTS, MASK),
        "transitions": lambda: b.transitions(DATA, background_rank=3),
        "transitions, kl": lambda: b.transitions(
            DATA, background_rank=3, loss=b.KL(), weights=WEIGHTS),
        "deflate": partial(deflated, True), "deflate, no refit": partial(deflated, False),
    }  # fmt: skip


def inferences():
    """Resampling, agreement of restarts, checks and choices."""
    donors = dict(zip(DATA, DONORS.values(), strict=True))
    small = {k: v[:20] for k, v in DATA.items()}
    choose = lambda data, **more: b.select(data, ranks=(1, 2), splits=2, **more)  # noqa: E731
    return {
        "bootstrap": resampled,
        "bootstrap, donors": partial(resampled, "first", "kl", groups=donors),
        "consensus": lambda: b.consensus(b.Contrastive(0.4), DATA, swept()[1, 1], n_components=3),
        "background_check": lambda: b.background_check(
            *LOGS.values(), counts=DATA, n_components=2, **DONORS),
        "background_check, csr": lambda: b.background_check(*CSR.values(), loss="kl"),
        "strata": lambda: [b.strata(y, np.arange(45) % 3) for y in (Y, CSR["background"])],
        "select": lambda: choose(DATA, background_ranks=(2, 3)),
        "select, kl": lambda: choose(
            DATA, background_ranks=(2,), objectives=["contrastive"], alphas=[0.4], loss=b.KL()),
        "select, few": lambda: choose(small, background_ranks=(2,)),
    }  # fmt: skip


CALLS = fits() | readings() | inferences()
