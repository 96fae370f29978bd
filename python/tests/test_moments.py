# SPDX-License-Identifier: Apache-2.0
"""The second moment of Adam: that of the mean gradient, from one node's gradients alone (sgp_torch.moments)."""

from __future__ import annotations

import copy
import math

import pytest
import torch

import sgp_torch as sgp
from sgp_torch import moments
from sgp_torch.moments import SecondMoments, excess, fits

from nodes import run_nodes, seeded
from training import VERSION, assert_same_bits, batches, loss_of, mlp, train, values, wrapped

B1, B2 = 0.9, 0.99
KINDS = {
    "Adam": lambda p: torch.optim.Adam(p, betas=(B1, B2)),
    "Adam, weight decay": lambda p: torch.optim.Adam(p, betas=(B1, B2), weight_decay=0.3),
    "Adam, maximize": lambda p: torch.optim.Adam(p, betas=(B1, B2), weight_decay=0.3, maximize=True),
    "Adam, amsgrad": lambda p: torch.optim.Adam(p, betas=(B1, B2), amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, betas=(B1, B2), weight_decay=0.3),
    "NAdam": lambda p: torch.optim.NAdam(p, betas=(B1, B2), weight_decay=0.3),
    "RAdam": lambda p: torch.optim.RAdam(p, betas=(B1, B2), weight_decay=0.3),
    "foreach": lambda p: torch.optim.AdamW(p, betas=(B1, B2), foreach=True),
}


def corrected(nodes, optimizer, parameters, gradients):
    """Steps of the optimizer with the gradients [k][parameter], corrected."""
    correction = SecondMoments(nodes)
    trained = frozenset(id(p) for p in parameters)
    for step in gradients:
        for p, g in zip(parameters, step):
            p.grad = g.clone()
        correction.before_step(optimizer, trained)
        optimizer.step()
        correction.after_step()


def parameters_of(*shapes):
    generator = torch.Generator().manual_seed(3)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def gradients_of(parameters, steps, signal=0.0, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return [[signal + torch.randn(p.shape, generator=generator) for p in parameters] for _ in range(steps)]


@pytest.mark.parametrize("nodes", [2, 8])
@pytest.mark.parametrize("signal", [0.0, 0.5, 3.0])
def test_second_moment_is_that_of_the_mean_gradient(nodes, signal):
    """s^2 + r / n, where the optimizer alone has s^2 + r."""
    (p,) = parameters_of((20000,))
    optimizer = torch.optim.AdamW([p], lr=0.0, betas=(B1, B2))
    corrected(nodes, optimizer, [p], gradients_of([p], 400, signal))
    v = optimizer.state[p]["exp_avg_sq"].mean().item() / (1 - B2**400)
    assert v == pytest.approx(signal**2 + 1 / nodes, rel=0.02)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 40, 100])
@pytest.mark.parametrize("nodes", [2, 8, 1000])
def test_coefficients_are_unbiased(nodes, steps):
    """E (g^2 - e) is the exact value, or that of as many nodes as m can stand for; g^2 keeps a positive share."""
    of_g, of_m = excess(nodes, B1, steps)
    decayed = 1 - B1**steps
    c = sum(((1 - B1) * B1**i / decayed) ** 2 for i in range(steps))
    if (of_g, of_m) == (0, 0):
        assert steps < min(nodes, 3)
        return
    share = 1 - of_g
    assert share + of_m * decayed**2 == pytest.approx(1)
    assert share + of_m * decayed**2 * c == pytest.approx(max(1 / nodes, c + 0.01 * (1 - c)))
    assert share >= 0.009


def test_the_first_gradients_count_less():
    """A v of long memory keeps what the steps before m could tell signal from noise have made, as if of about three nodes."""
    (p,) = parameters_of((20000,))
    optimizer = torch.optim.AdamW([p], lr=0.0, betas=(B1, 0.999))
    corrected(8, optimizer, [p], gradients_of([p], 4))
    local = 1 - 0.999**3
    c = sum((B1**i / (1 + B1 + B1**2)) ** 2 for i in range(3))
    before = optimizer.state[p]["exp_avg_sq"].mean().item()
    assert before == pytest.approx((local + 0.001) * (c + 0.01 * (1 - c)), rel=0.05)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "Adam, maximize" or VERSION >= (2, 0)])
def test_state_is_as_defined(kind):
    """v of the optimizer is the mean of g^2 - e, element by element, in any of torch's optimizers with both moments."""
    parameters = parameters_of((5, 7), (3,), ())
    optimizer = KINDS[kind](parameters)
    correction = SecondMoments(4)
    trained = frozenset(id(p) for p in parameters)
    expected_m = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    expected_v = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    decay = 0.3 if "decay" in kind or "maximize" in kind or kind in ("NAdam", "RAdam") else 0.0
    for k, step in enumerate(gradients_of(parameters, 12, 0.4)):
        of_g, of_m = excess(4, B1, k)
        first = of_g > 0 and excess(4, B1, k - 1) == (0, 0)
        for p, g, m, v in zip(parameters, step, expected_m, expected_v):
            p.grad = g.clone()
            whole = (-g if "maximize" in kind else g).double() + decay * p.detach().double()
            if first:
                v.mul_(1 - of_g).add_(of_m * (1 - B2**k) * m**2)
            v.mul_(B2).add_((1 - B2) * ((1 - of_g) * whole**2 + of_m * m**2))
            m.lerp_(whole, 1 - B1)
        correction.before_step(optimizer, trained)
        optimizer.step()
        correction.after_step()
        for p, m, v in zip(parameters, expected_m, expected_v):
            torch.testing.assert_close(optimizer.state[p]["exp_avg"].double(), m, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(optimizer.state[p]["exp_avg_sq"].double(), v, rtol=1e-5, atol=1e-8)


def test_large_tensors_are_corrected_piece_by_piece():
    whole, flat = parameters_of((700, 300), (700, 300))
    flat.data = whole.data.flatten().clone()
    for p in (whole, flat):
        optimizer = torch.optim.AdamW([p])
        gradients = gradients_of([whole], 3)
        corrected(4, optimizer, [p], [[g.reshape(p.shape)] for (g,) in gradients])
    assert torch.equal(whole.detach().flatten(), flat.detach())


def test_an_accelerator_does_the_same_arithmetic():
    """Its way, run on the CPU."""
    parameters = parameters_of((5, 7), (3,), ())
    vs, gs, ms = ([one.abs() for one in each] for each in gradients_of(parameters, 3))
    expected = [v - 0.3 * g**2 + 0.2 * m**2 for v, g, m in zip(vs, gs, ms)]
    moments._correct_together(vs, gs, ms, 0.3, 0.2)
    for v, e in zip(vs, expected):
        torch.testing.assert_close(v, e)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e15])
def test_second_moment_stays_above_zero(scale):
    """Also where a gradient comes after many without, so that both moments are 0."""
    (p,) = parameters_of((1000,))
    optimizer = torch.optim.AdamW([p], betas=(B1, 0.999))
    gradients = [[g * scale * (torch.rand(1000) < 0.02)] for (g,) in gradients_of([p], 300)]
    correction, trained = SecondMoments(1000), frozenset([id(p)])
    for (g,) in gradients:
        p.grad = g
        correction.before_step(optimizer, trained)
        optimizer.step()
        correction.after_step()
        assert (optimizer.state[p]["exp_avg_sq"] >= 0).all()
    assert torch.isfinite(p).all()


@pytest.mark.skipif(VERSION < (2, 0), reason="torch 1.13 has no hooks of optimizers")
def test_hooks_that_change_the_gradients_are_safe():
    (p,) = parameters_of((1000,))
    optimizer = torch.optim.AdamW([p])

    def shrink(*_):
        p.grad.mul_(1e-3)

    optimizer.register_step_pre_hook(shrink)
    corrected(8, optimizer, [p], gradients_of([p], 30))
    assert (optimizer.state[p]["exp_avg_sq"] >= 0).all() and torch.isfinite(p).all()


def test_a_failed_step_leaves_no_negative_moment():
    (p,) = parameters_of((1000,))
    optimizer = torch.optim.AdamW([p])
    correction, trained = SecondMoments(8), frozenset([id(p)])
    for k, (g,) in enumerate(gradients_of([p], 21)):
        p.grad = g if k % 2 else g * 1e-3
        correction.before_step(optimizer, trained)
        if k % 2 and k > 2:
            continue  # the step raises
        optimizer.step()
        correction.after_step()
    assert (optimizer.state[p]["exp_avg_sq"] >= 0).all() and torch.isfinite(p).all()


def test_other_optimizers_and_precisions_stay_as_they_are():
    class Own(torch.optim.AdamW):
        def step(self, closure=None):
            return super().step(closure)

    class Inherits(torch.optim.AdamW):
        pass

    (p,) = parameters_of((3,))
    assert not fits(torch.optim.SGD([p], lr=1, momentum=0.9)) and not fits(torch.optim.RMSprop([p]))
    assert not fits(Own([p])) and fits(Inherits([p]))

    def states(nodes):
        (p,) = parameters_of((50,))
        p.data = p.data.bfloat16()
        optimizer = torch.optim.AdamW([p])
        corrected(nodes, optimizer, [p], [[g.bfloat16()] for (g,) in gradients_of([p], 5)])
        return optimizer.state[p]

    assert torch.equal(states(1)["exp_avg_sq"], states(8)["exp_avg_sq"])


# ---- in the wrapper ----


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01, betas=(B1, B2))


def moments_of(model, optimizer):
    return {name: optimizer.state[p]["exp_avg_sq"].clone() for name, p in model.module.named_parameters()}


def trained_moments(size, steps=20, in_backward=False, **options):
    def body(group):
        if in_backward:
            make = {"optimizer_in_backward": lambda p: torch.optim.AdamW(p, lr=0.01, betas=(B1, B2))}
            model = sgp.DistributedDataParallel(seeded(mlp), group=group, **make, **options)
            optimizer = model.optimizer
        else:
            model = sgp.DistributedDataParallel(seeded(mlp), group=group, **options)
            optimizer = adamw(model)
        train(model, optimizer, batches(group.rank, steps))
        model.average_()
        return values(model), moments_of(model, optimizer)

    return run_nodes(size, body)


def size_of(second):
    return sum(v.sum().item() for v in second.values())


@pytest.mark.parametrize(
    "options", [{}, {"algorithm": "osgp"}, {"mode": "delta"}, {"algorithm": "dpsgd"}, {"algorithm": "adpsgd"}]
)
def test_the_wrapper_corrects_by_default(options):
    for (_, mean), (_, local) in zip(trained_moments(2, **options), trained_moments(2, second_moment="local", **options)):
        assert 0.4 < size_of(mean) / size_of(local) < 0.9


def test_one_node_and_exact_gradients_stay_as_they_are():
    for size, options in ((1, {}), (2, {"algorithm": "allreduce"}), (2, {"workers_per_node": 2})):
        both = [trained_moments(size, second_moment=kind, **options) for kind in ("mean", "local")]
        for mean, local in zip(*both):
            for found, expected in zip(mean, local):
                assert_same_bits(found, expected)


@pytest.mark.skipif(VERSION < (2, 1), reason="optimizer_in_backward needs torch 2.1")
def test_optimizer_in_backward_has_the_same_moments():
    for (_, found), (_, expected) in zip(trained_moments(2, in_backward=True), trained_moments(2)):
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-9)


def test_a_resumed_run_has_the_same_bits():
    """The correction has no state beside the optimizer's."""

    def body(group):
        samples = batches(group.rank, 8)
        model = wrapped(group, second_moment="mean")
        optimizer = adamw(model)
        train(model, optimizer, samples[:4])
        mixer = model.mixer_state_dict()
        saved = values(model), copy.deepcopy(optimizer.state_dict())
        train(model, optimizer, samples[4:])
        expected = values(model)
        model.close()
        again = wrapped(group, second_moment="mean")
        again.load_state_dict(saved[0])
        again.load_mixer_state_dict(mixer)
        optimizer = adamw(again)
        optimizer.load_state_dict(saved[1])
        train(again, optimizer, samples[4:])
        return expected, values(again)

    for expected, found in run_nodes(2, body):
        assert_same_bits(found, expected)


def _scaler(**options):
    if VERSION >= (2, 3):
        return torch.amp.GradScaler("cpu", **options)
    pytest.skip("GradScaler on the CPU needs torch 2.3")
    return None


def test_a_skipped_step_changes_no_moment():
    def body(group):
        model = wrapped(group, second_moment="mean")
        optimizer = adamw(model)
        scaler = _scaler(init_scale=4.0)
        for k, batch in enumerate(batches(group.rank, 6)):
            optimizer.zero_grad()
            scaler.scale(loss_of(model, batch)).backward()
            if k == 4 and group.rank == 1:
                next(iter(model.parameters())).grad.fill_(math.inf)
            before = moments_of(model, optimizer) if k else {}
            scaler.step(optimizer)
            scaler.update()
            if k == 4 and group.rank == 1:
                assert_same_bits(moments_of(model, optimizer), before)
        return [v.min().item() for v in moments_of(model, optimizer).values()]

    for least in run_nodes(2, body):
        assert all(value >= 0 for value in least)


@pytest.mark.skipif(VERSION < (2, 3), reason="a fused optimizer on the CPU needs torch 2.3")
def test_a_fused_optimizer_that_takes_the_scale_off_itself():
    def optimizer_of(fused, scale, found):
        parameters = parameters_of((40,))
        optimizer = torch.optim.AdamW(parameters, betas=(B1, B2), fused=fused)
        correction = SecondMoments(4)
        for k, (g,) in enumerate(gradients_of(parameters, 6)):
            parameters[0].grad = g * scale
            skip = k == 3 and found
            if fused:
                optimizer.grad_scale, optimizer.found_inf = torch.tensor(scale), torch.tensor(float(skip))
            if not skip or fused:
                correction.before_step(optimizer, frozenset([id(parameters[0])]))
                optimizer.step()
                correction.after_step()
        return optimizer.state[parameters[0]]["exp_avg_sq"]

    for found in (False, True):
        torch.testing.assert_close(optimizer_of(True, 1024.0, found), optimizer_of(False, 1.0, found))


def test_an_unknown_value_is_refused():
    def body(group):
        with pytest.raises(sgp.Error, match="second_moment='exact': must be one of mean, local"):
            wrapped(group, second_moment="exact")

    run_nodes(1, body)
