"""What must hold of every objective, whoever wrote it: functions over one row of the table."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.fitting.start import start
from bcnmf_jax.model.blocks import truncate
from bcnmf_jax.model.gradients import basis_exponent, block_gradient, code_exponent
from bcnmf_jax.model.terms import by_codes, get, put
from bcnmf_jax.solvers.alternating import multiply
from tests.tables import Objective

ALPHA = 0.6


def problem(row: Objective, loss, seed=0, alpha=ALPHA, rank=3):
    """Objective, prepared data and positive random blocks."""
    rng = np.random.default_rng(seed)
    made, data = row.make(alpha, loss), bj.prepare(row.data(rng))
    # not those of `bj.init`: codes that have settled can be 0
    blocks = start(made, data, rank, jax.random.key(seed), "random")
    # a basis of unit rows, as fits have it: frozen rows are then left as they are
    shake = lambda a: jnp.asarray(np.where(a > 0, a * rng.uniform(0.5, 2, a.shape), 0))  # noqa: E731
    return made, data, jax.tree.map(shake, blocks)


def paths(made, data):
    """Paths of all blocks."""
    return [*by_codes(made.terms(data)), ("basis",)]


@eqx.filter_jit
def _splits_and_gradients(made, data, blocks):
    found = []
    for path in paths(made, data):

        def cost(a, path=path):
            return get(bj.fitting.block_costs(made, data, put(blocks, path, a)), path)

        auto = jax.grad(cost)(get(blocks, path))
        halves = jax.tree.leaves(
            block_gradient(made, data, blocks, path),
            is_leaf=lambda s: isinstance(s, bj.GradientParts),
        )
        found += zip(halves, jax.tree.leaves(auto), strict=True)
    return found


def split_is_gradient(row, loss, seed):
    """pos - neg equals the automatic derivative of the block's own cost; halves are nonnegative."""
    for s, g in _splits_and_gradients(*problem(row, loss, seed)):
        assert (s.positive >= 0).all() and (s.negative >= 0).all()
        np.testing.assert_allclose(s.grad, g, rtol=1e-8, atol=1e-8 * float(abs(g).max()))


@eqx.filter_jit
def _own_costs(made, data, blocks, damping, steps=8):
    """Costs of every block over multiplicative steps of that block alone."""
    groups, found = by_codes(made.terms(data)), []
    for path in paths(made, data):
        if path == ("basis",):
            power = basis_exponent(made, made.terms(data))
        else:
            power = code_exponent(made, path, groups[path])

        def step(now, _, path=path, power=power):
            split = block_gradient(made, data, now, path)
            update = lambda a, s: multiply(a, s, damping * power)  # noqa: E731
            new = put(now, path, jax.tree.map(update, get(now, path), split))
            return new, get(bj.fitting.block_costs(made, data, now), path)

        found.append(jax.lax.scan(step, blocks, length=steps)[1])
    return found


def own_step_descends(row, loss, seed, damping):
    """A multiplicative step of one block never raises that block's own cost."""
    for costs in _own_costs(*problem(row, loss, seed), jnp.asarray(damping)):
        slack = 1e-9 * np.abs(costs).max()
        assert (np.diff(costs) <= slack).all(), costs


def permutations_change_nothing(row, loss, seed):
    """Permuting samples, features or components permutes the fit."""
    made, data, blocks = problem(row, loss, seed)
    if made.extra:
        components = np.r_[1, 2, 0, 3 : 3 + made.extra]
    else:
        components = np.array([1, 2, 0])
    rng = np.random.default_rng(seed)
    order = {}

    def shuffle_rows(rows, name):
        mine = order.setdefault((name, rows.x.shape[0]), rng.permutation(rows.x.shape[0]))
        return bj.Rows(rows.x[mine][:, ::-1])

    is_rows = lambda r: isinstance(r, bj.Rows)  # noqa: E731
    moved = {
        k: jax.tree.map(lambda r, k=k: shuffle_rows(r, k), v, is_leaf=is_rows)
        for k, v in data.items()
    }

    def shuffle_codes(codes, name):
        source = "background" if name == "contrast" else name
        return codes[order[(source, codes.shape[0])]][:, components]

    start = {
        k: jax.tree.map(lambda c, k=k: shuffle_codes(c, k), v)
        for k, v in blocks.items()
        if k != "basis"
    }
    flip = lambda w: w[components][:, ::-1]  # noqa: E731
    start["basis"] = jax.tree.map(flip, blocks["basis"])
    stop = bj.Stop(tol=0.0, max_steps=20)
    # Coordinate descent takes components in turn: another order is another path.
    go = lambda data, blocks: bj.fit(made, data, blocks, solver=bj.MU(), stop=stop)  # noqa: E731
    one, two = go(data, blocks), go(moved, start)
    same(jax.tree.map(flip, one.blocks["basis"]), two.blocks["basis"], 1e-9)
    np.testing.assert_allclose(one.costs["basis"], two.costs["basis"], rtol=1e-9)


def scaling_changes_nothing(row, loss, seed, factor):
    """Multiplying all data by a number multiplies the codes and leaves the basis."""
    made, data, blocks = problem(row, loss, seed)
    scaled = jax.tree.map(lambda x: x * factor, data)
    start = {k: v if k == "basis" else jax.tree.map(lambda c: c * factor, v)
             for k, v in blocks.items()}  # fmt: skip
    stop = bj.Stop(tol=0.0, max_steps=20)
    one, two = bj.fit(made, data, blocks, stop=stop), bj.fit(made, scaled, start, stop=stop)
    same(one.blocks["basis"], two.blocks["basis"], 1e-8)
    for name in ("x_explained", "y_explained"):
        np.testing.assert_allclose(one.diagnostics[name], two.diagnostics[name], rtol=1e-6)


def solver_keeps_its_promises(row, loss, solver, seed):
    """Blocks stay nonnegative and finite, zeros stay zero, steps are counted."""
    made, data, blocks = problem(row, loss, seed, rank=4)
    blocks = truncate(made, blocks, 3)
    if refuses(made, data, blocks, solver):
        return
    f = bj.fit(made, data, blocks, solver=solver, stop=bj.Stop(tol=0.0, max_steps=3, every=2))
    for before, after in zip(*map(jax.tree.leaves, (blocks, f.blocks)), strict=True):
        assert bool(jnp.all(after >= 0)) and bool(jnp.all(jnp.isfinite(after)))
        assert bool(jnp.all(after[before == 0] == 0))
        assert not bool(jnp.all(after == before))
    assert int(f.steps) == 3
    if made.frozen:
        still = [b["basis"][-made.frozen :] for b in (blocks, f.blocks)]
        np.testing.assert_array_equal(*still)


def every_set_transforms_alone(row, loss, seed):
    """Codes of one data set need no other, and are those that both give together."""
    made, data, blocks = problem(row, loss, seed)
    together = bj.transform(made, blocks, data)
    for name in together:
        alone = bj.transform(made, blocks, {name: data[name]})
        same(alone, together[name], 1e-3)


def jit_equals_eager(row, loss, solver, seed):
    """One step, operation by operation, is the compiled step."""
    made, data, blocks = problem(row, loss, seed)
    if refuses(made, data, blocks, solver):
        return
    state = solver.init(made, data, blocks)
    compiled = eqx.filter_jit(solver.step)(made, data, blocks, state)[0]
    same(compiled, solver.step(made, data, blocks, state)[0], 1e-10)


def refuses(made, data, blocks, solver):
    """Coordinate descent takes quadratics alone, variable projection no penalty on codes; both say
    so."""
    quadratic = isinstance(made.loss, bj.losses.AbstractQuadraticLoss)
    exact = quadratic or isinstance(made.loss, bj.KL | dict)
    free = all(p.block == "basis" for p in made.penalties)
    if isinstance(solver, bj.solvers.VarPro) and not (exact and free):
        with pytest.raises(TypeError, match="VarPro needs squared error or KL without a penalty"):
            solver.init(made, data, blocks)
        return True
    if not isinstance(solver, bj.HALS):
        return False
    plain = not isinstance(blocks["basis"], dict) and not made.penalties
    if plain and quadratic:
        return False
    with pytest.raises(TypeError, match="HALS needs squared error"):
        solver.init(made, data, blocks)
    return True


def same(one, two, tolerance):
    """Pytrees equal to a tolerance relative to the largest entry of each leaf."""
    for a, b in zip(*map(jax.tree.leaves, (one, two)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * float(jnp.abs(a).max()))
