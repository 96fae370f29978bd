# SPDX-License-Identifier: Apache-2.0
"""Gradients: exact means of them, accumulation, clipping, scaling, and several backward passes per step."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

import sgp_torch as sgp

from nodes import run_nodes, run_script, seeded
from training import (
    MODES,
    VERSION,
    assert_close,
    assert_same_bits,
    batches,
    lock_step,
    loss_of,
    mlp,
    plain_step,
    sgd,
    train,
    values,
    wrapped,
)

ALLREDUCE = {"algorithm": "allreduce"}


def mean_gradients(size, make_model, make_optimizer, count, gradient, make_batches=batches, before_step=None):
    """The reference of all-reduce in plain torch: gradient(model, batch) leaves a gradient in each of `size` models; the
    optimizer of one steps with their mean. A parameter that has none anywhere keeps None."""
    models = [seeded(make_model) for _ in range(size)]
    optimizer = make_optimizer(models[0])
    samples = [make_batches(rank, count) for rank in range(size)]
    for k in range(count):
        for model, mine in zip(models, samples):
            model.zero_grad(set_to_none=True)
            gradient(model, mine[k])
        with torch.no_grad():
            for same in zip(*(model.parameters() for model in models)):
                found = [p.grad for p in same if p.grad is not None]
                same[0].grad = sum(found) / size if found else None
        if before_step:
            before_step(models[0])
        optimizer.step()
        with torch.no_grad():
            for same in zip(*(model.parameters() for model in models)):
                for p in same[1:]:
                    p.copy_(same[0])
    return values(models[0])


def backward(model, batch):
    loss_of(model, batch).backward()


def clip(model):
    nn.utils.clip_grad_norm_(model.parameters(), 0.3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [2, 3])
def test_allreduce_steps_with_the_mean_gradient(size, mode):
    """With momentum and clipping."""

    def body(group):
        model = wrapped(group, mode=mode, **ALLREDUCE)
        optimizer = sgd(model)
        for batch in batches(group.rank, 5):
            optimizer.zero_grad()
            backward(model, batch)
            clip(model)
            optimizer.step()
        return values(model)

    expected = mean_gradients(size, mlp, sgd, 5, backward, before_step=clip)
    results = run_nodes(size, body)
    for found in results:
        assert_close(found, expected)
        assert_same_bits(found, results[0])


@pytest.mark.parametrize("encoding, tolerance", [("bfloat16", 2e-2), ("int8", 2e-2), ("int4", 0.2)])
def test_allreduce_in_fewer_bytes_keeps_the_nodes_together(encoding, tolerance):
    def body(group):
        model = wrapped(group, encoding=encoding, **ALLREDUCE)
        train(model, sgd(model), batches(group.rank, 8))
        return values(model)

    expected = mean_gradients(2, mlp, sgd, 8, backward)
    results = run_nodes(2, body)
    assert_same_bits(*results)
    assert_close(results[0], expected, tolerance)


@pytest.mark.parametrize("encoding", ["int8", "int4"])
def test_only_gradients_share_a_scale(encoding):
    """Statistics travel as in float32, and a parameter that no node has used has no gradient, whatever else is large."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)
            self.last = nn.Linear(3, 2)
            self.unused = nn.Parameter(torch.ones(5))

        def forward(self, x):
            return self.last(self.norm(x * torch.tensor([1000.0, 1.0, 1e-3])))

    def body(group, encoding):
        model = wrapped(group, make_model=Model, encoding=encoding, **ALLREDUCE)
        random = torch.Generator().manual_seed(group.rank)  # nodes are threads
        for _ in range(3):
            model(torch.randn(8, 3, generator=random)).square().sum().backward()
        norm = model.module.norm
        return [norm.running_mean.clone(), norm.running_var.clone(), model.module.unused.grad]

    found = run_nodes(3, lambda group: body(group, encoding))
    for now, exact in zip(found, run_nodes(3, lambda group: body(group, "float32"))):
        assert torch.equal(now[0], exact[0]) and torch.equal(now[1], exact[1])
        assert now[2] is None and exact[2] is None


@pytest.mark.parametrize("options", [ALLREDUCE, {}, {"mode": "delta"}])
@pytest.mark.parametrize("with_no_sync", [True, False])
def test_accumulation(options, with_no_sync):
    """Three backward passes for a step, all but the last in no_sync(); or without it."""

    def threes(rank, count):
        samples = batches(rank, 3 * count)
        return [samples[3 * k : 3 * k + 3] for k in range(count)]

    def accumulate(model, three):
        for k, batch in enumerate(three):
            quiet = model.no_sync() if with_no_sync and k < 2 and hasattr(model, "no_sync") else contextlib.nullcontext()
            with quiet:
                (loss_of(model, batch) / 3).backward()

    def step(model, optimizer, three):
        optimizer.zero_grad()
        accumulate(model, three)
        optimizer.step()

    def body(group):
        model = wrapped(group, **options)
        optimizer = sgd(model)
        for three in threes(group.rank, 3):
            step(model, optimizer, three)
        assert model.require_backward_grad_sync
        return values(model), model.statistics()["steps"]

    if options == ALLREDUCE:
        expected = mean_gradients(2, mlp, sgd, 3, accumulate, make_batches=threes)
    else:
        expected = lock_step(2, mlp, sgd, 3, step, make_batches=threes)
    for found, steps in run_nodes(2, body):
        assert_close(found, expected)
        if options != ALLREDUCE:
            assert steps == 3


def test_the_flag_of_no_sync_is_that_of_torch():
    """Scripts set it themselves (nanoGPT), or nest no_sync() and leave it by an exception."""

    def body(group):
        model = wrapped(group, **ALLREDUCE)
        model.require_backward_grad_sync = False
        backward(model, batches(group.rank, 1)[0])
        own = model.module[0].weight.grad.clone()
        with pytest.raises(ZeroDivisionError), model.no_sync():
            raise ZeroDivisionError
        assert model.require_backward_grad_sync is False
        model.require_backward_grad_sync = True
        model.zero_grad()
        backward(model, batches(group.rank, 1)[0])
        return own, model.module[0].weight.grad

    (first, mean), (second, same) = run_nodes(2, body)
    assert not torch.equal(first, second)
    assert torch.equal(mean, same)
    torch.testing.assert_close(mean, (first + second) / 2)


class Branches(nn.Module):
    """Takes one of two ways; a third is never taken."""

    def __init__(self):
        super().__init__()
        self.ways = nn.ModuleList(nn.Linear(6, 3) for _ in range(3))
        self.way = 0

    def forward(self, x):
        return self.ways[self.way](x)


@pytest.mark.parametrize("options", [ALLREDUCE, {"algorithm": "allreduce", "mode": "delta"}, {}])
def test_parameters_that_one_node_does_not_use(options):
    """With all-reduce its gradient counts as zeros; one that no node uses stays None, so weight decay leaves it alone."""

    def decaying(model):
        return torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)

    def choose(rank, count):
        return [(rank if k % 2 else 0, batch) for k, batch in enumerate(batches(rank, count))]

    def gradient(model, chosen):
        getattr(model, "module", model).way = chosen[0]
        backward(model, chosen[1])

    def step(model, optimizer, chosen):
        optimizer.zero_grad(set_to_none=True)
        gradient(model, chosen)
        optimizer.step()

    def body(group):
        model = wrapped(group, Branches, **options)
        optimizer = decaying(model)
        for chosen in choose(group.rank, 4):
            step(model, optimizer, chosen)
        assert model.module.ways[2].weight.grad is None
        return values(model)

    if options:
        expected = mean_gradients(2, Branches, decaying, 4, gradient, make_batches=choose)
    else:
        expected = lock_step(2, Branches, decaying, 4, step, make_batches=choose)
    for found in run_nodes(2, body):
        assert_close(found, expected)


def test_allreduce_is_torchs_own_class():
    """Against DistributedDataParallel over Gloo, in processes: clipping, momentum, accumulation, batch norm in eval mode."""
    script = """
    import torch, torch.distributed as dist
    from torch import nn
    import sgp_torch as sgp
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    def train(wrap):
        torch.manual_seed(rank)  # node 0's values count in both
        model = wrap(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        generator = torch.Generator().manual_seed(rank)
        for _ in range(5):
            optimizer.zero_grad()
            with model.no_sync():
                model(torch.randn(4, 6, generator=generator)).square().mean().backward()
            model(torch.randn(4, 6, generator=generator)).square().mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
        return [p.detach().clone() for p in model.parameters()]
    theirs = train(nn.parallel.DistributedDataParallel)
    ours = train(lambda model: sgp.DistributedDataParallel(model, algorithm="allreduce"))
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    print(f"node {sgp.rank()} agrees")
    dist.destroy_process_group()
    """
    done = run_script(2, script)
    assert done.returncode == 0, done.stderr
    assert "node 0 agrees" in done.stdout and "node 1 agrees" in done.stdout


def test_workers_average_gradients_before_they_are_clipped():
    """4 processes, 2 a node, against 2 nodes that have the mean gradient of their workers."""

    def pairs(rank, count):
        return list(zip(batches(2 * rank, count), batches(2 * rank + 1, count)))

    def body(group):
        model = wrapped(group, workers_per_node=2)
        optimizer = sgd(model)
        for batch in batches(group.rank, 4):
            optimizer.zero_grad()
            backward(model, batch)
            clip(model)
            optimizer.step()
        return values(model)

    def step(model, optimizer, pair):
        optimizer.zero_grad()
        for batch in pair:
            (loss_of(model, batch) / 2).backward()
        clip(model)
        optimizer.step()

    expected = lock_step(2, mlp, sgd, 4, step, make_batches=pairs)
    for found in run_nodes(4, body):
        assert_close(found, expected, 1e-5)


# ---- GradScaler ----


def scaler():
    if VERSION < (2, 3):
        pytest.skip("GradScaler for the CPU came in torch 2.3")
    return torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1000)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("algorithm", ["sgp", "osgp"])
def test_a_scaler_that_skips_a_step_keeps_the_nodes_in_step(algorithm, mode):
    """Node 1 overflows in its third step, and skips it: the others' step is exchanged all the same."""
    scaler()

    def step(model, pair, batch):
        optimizer, scale = pair
        optimizer.zero_grad()
        scale.scale(loss_of(model, batch)).backward()
        scale.unscale_(optimizer)
        clip(model)
        scale.step(optimizer)
        scale.update()

    def some(rank, count):
        samples = batches(rank, count)
        if rank == 1:
            samples[2] = (samples[2][0] * float("inf"), samples[2][1])
        return samples

    def body(group):
        model = wrapped(group, mode=mode, algorithm=algorithm)
        pair = sgd(model), scaler()
        for batch in some(group.rank, 6):
            step(model, pair, batch)
        with model.averaged():
            return values(model), model.statistics()["steps"], pair[1].get_scale()

    expected = lock_step(2, mlp, lambda model: (sgd(model), scaler()), 6, step, make_batches=some)
    results = run_nodes(2, body)
    assert [(steps, scale) for _, steps, scale in results] == [(6, 4.0), (6, 2.0)]
    for found, _, _ in results:
        assert all(torch.isfinite(tensor).all() for tensor in found.values())
        if algorithm == "sgp":
            assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("options", [ALLREDUCE, {"workers_per_node": 2}])
def test_with_means_of_gradients_all_skip_together(options):
    """An overflow on one node makes the mean overflow: the scalers of all that share it do the same."""
    scaler()

    def body(group):
        model = wrapped(group, **options)
        optimizer, scale = sgd(model), scaler()
        for k, batch in enumerate(batches(group.rank, 6)):
            optimizer.zero_grad()
            loss = loss_of(model, batch) * (float("inf") if (k, group.rank) == (2, 1) else 1)
            scale.scale(loss).backward()
            scale.step(optimizer)
            scale.update()
        return values(model), scale.get_scale()

    results = run_nodes(4, body)
    together = 4 if options == ALLREDUCE else 2
    assert [scale for _, scale in results] == [2.0] * together + [4.0] * (4 - together)
    for found, _ in results:
        assert all(torch.isfinite(tensor).all() for tensor in found.values())
    for found, _ in results[1:together]:
        assert_close(found, {**results[0][0]}, 1e-6)


def test_a_scaler_that_is_disabled_changes_nothing():
    def body(group):
        model = wrapped(group)
        scale = torch.cuda.amp.GradScaler(enabled=False)
        optimizer = sgd(model)
        for batch in batches(group.rank, 4):
            optimizer.zero_grad()
            scale.scale(loss_of(model, batch)).backward()
            scale.unscale_(optimizer)
            scale.step(optimizer)
            scale.update()
        return values(model), model.statistics()["steps"]

    expected = lock_step(2, mlp, sgd, 4)
    for found, steps in run_nodes(2, body):
        assert_close(found, expected)
        assert steps == 4


@pytest.mark.parametrize("options", [{}, ALLREDUCE])
def test_autocast(options):
    def gradient(model, batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model, batch)
        loss.backward()

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        gradient(model, batch)
        optimizer.step()

    def body(group):
        model = wrapped(group, **options)
        optimizer = sgd(model)
        for batch in batches(group.rank, 4):
            step(model, optimizer, batch)
        assert all(p.dtype == torch.float32 for p in model.parameters())
        return values(model)

    expected = mean_gradients(2, mlp, sgd, 4, gradient) if options else lock_step(2, mlp, sgd, 4, step)
    for found in run_nodes(2, body):
        assert_close(found, expected, 1e-2)


# ---- adversarial training ----


class Pair(nn.Module):
    """A generator of 6 numbers from 2, and a discriminator."""

    def __init__(self):
        super().__init__()
        self.g = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 6))
        self.d = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, x, generate):
        return self.d(self.g(x) if generate else x)


def d_step(g, d, optimizer, batch):
    optimizer.zero_grad()
    (d(g(batch[1][:, :2]).detach()).mean() - d(batch[0]).mean()).backward()
    optimizer.step()


def g_step(g, d, optimizer, batch):
    optimizer.zero_grad()
    (-d(g(batch[1][:, :2])).mean()).backward()
    optimizer.step()


def optimizers_of(g, d):
    return torch.optim.SGD(g.parameters(), lr=0.1), torch.optim.Adam(d.parameters(), lr=0.01)


def adversarial(size, count):
    """In plain torch: the mean after each step of either."""
    pairs = [seeded(Pair) for _ in range(size)]
    optimizers = [optimizers_of(pair.g, pair.d) for pair in pairs]
    for k in range(count):
        for which, step in ((1, d_step), (0, g_step)):
            for rank, (pair, both) in enumerate(zip(pairs, optimizers)):
                step(pair.g, pair.d, both[which], batches(rank, count)[k])
            with torch.no_grad():
                for same in zip(*(pair.parameters() for pair in pairs)):
                    middle = sum(same) / size
                    for p in same:
                        p.copy_(middle)
    return values(pairs[0])


@pytest.mark.parametrize("mode", MODES)
def test_two_wrappers_for_generator_and_discriminator(mode):
    def body(group):
        pair = seeded(Pair)
        g = sgp.DistributedDataParallel(pair.g, group=group, mode=mode, second_moment="local")
        d = sgp.DistributedDataParallel(pair.d, group=group, mode=mode, second_moment="local")
        both = optimizers_of(g, d)
        for batch in batches(group.rank, 4):
            d_step(g, d, both[1], batch)
            g_step(g, d, both[0], batch)
        return values(pair)

    expected = adversarial(2, 4)
    for found in run_nodes(2, body):
        assert_close(found, expected)


@pytest.mark.parametrize("mode", MODES)
def test_one_wrapper_with_two_optimizers_and_toggled_gradients(mode):
    """The part that is not trained is frozen for the time of a step (Lightning's toggle_optimizer)."""

    def body(group):
        model = sgp.DistributedDataParallel(seeded(Pair), group=group, mode=mode, second_moment="local")
        pair = model.module
        both = optimizers_of(pair.g, pair.d)

        def toggle(trained, frozen):
            trained.requires_grad_(True)
            frozen.requires_grad_(False)

        for x, y in batches(group.rank, 4):
            toggle(pair.d, pair.g)
            both[1].zero_grad()
            (model(y[:, :2], True).mean() - model(x, False).mean()).backward()
            both[1].step()
            toggle(pair.g, pair.d)
            both[0].zero_grad()
            (-model(y[:, :2], True).mean()).backward()
            both[0].step()
        model.consensus()
        return values(model), model.statistics()["steps"]

    expected = adversarial(2, 4)
    for found, steps in run_nodes(2, body):
        assert_close(found, expected)
        assert steps == 8


def test_gradients_of_gradients():
    """A gradient penalty: autograd.grad inside the loss."""

    def gradient(model, batch):
        x = batch[0].clone().requires_grad_(True)
        (inner,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        (loss_of(model, batch) + inner.square().mean()).backward()

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        gradient(model, batch)
        optimizer.step()

    def body(options):
        def of_group(group):
            model = wrapped(group, **options)
            optimizer = sgd(model)
            for batch in batches(group.rank, 4):
                step(model, optimizer, batch)
            return values(model)

        return of_group

    for found in run_nodes(2, body({})):
        assert_close(found, lock_step(2, mlp, sgd, 4, step))
    for found in run_nodes(2, body(ALLREDUCE)):
        assert_close(found, mean_gradients(2, mlp, sgd, 4, gradient))


class Fails(torch.autograd.Function):
    """The identity, with a backward pass that fails."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise ZeroDivisionError


@pytest.mark.parametrize("options", [ALLREDUCE, {"workers_per_node": 2}])
def test_a_backward_pass_that_failed_leaves_the_next_one_whole(options):
    """On all nodes, after the first gradients: they are averaged from the next pass on as ever."""

    def fails(model, batch):
        module = model.module
        inner = Fails.apply(module[:3](batch[0]))
        (module[4](torch.tanh(inner)) - batch[1]).square().mean().backward()

    def body(group):
        model = wrapped(group, **options)
        optimizer = sgd(model)
        for k, batch in enumerate(batches(group.rank, 4)):
            if k == 1:
                with pytest.raises(ZeroDivisionError):
                    fails(model, batch)
            else:
                plain_step(model, optimizer, batch)
        return values(model)

    if VERSION < (2, 0):
        pytest.skip("torch 1.13 does not number the backward passes")
    first, second = run_nodes(2, body)
    assert_close(first, {**second}, 1e-7)
    expected = mean_gradients(2, mlp, sgd, 3, backward, make_batches=lambda rank, count: [batches(rank, 4)[k] for k in (0, 2, 3)])
    assert_close(first, expected)


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpoints(reentrant):
    """A reentrant one makes backward passes within the backward pass."""
    from torch.utils.checkpoint import checkpoint

    def gradient(model, batch):
        module = getattr(model, "module", model)
        x = batch[0].clone().requires_grad_(True)
        middle = checkpoint(module[:2], x, use_reentrant=reentrant)
        out = checkpoint(module[2:], middle, use_reentrant=reentrant)
        (out - batch[1]).square().mean().backward()

    def body(group):
        model = wrapped(group, **ALLREDUCE)
        optimizer = sgd(model)
        for batch in batches(group.rank, 4):
            optimizer.zero_grad()
            gradient(model, batch)
            optimizer.step()
        return values(model)

    expected = mean_gradients(2, mlp, sgd, 4, gradient)
    for found in run_nodes(2, body):
        assert_close(found, expected)


def test_plain_steps_of_the_reference_are_plain():
    """The references of this file agree with torch where there is one node."""
    model = seeded(mlp)
    optimizer = sgd(model)
    for batch in batches(0, 3):
        plain_step(model, optimizer, batch)
    assert_close(mean_gradients(1, mlp, sgd, 3, backward), values(model))
    assert_close(lock_step(1, mlp, sgd, 3), values(model))


def test_workers_wait_as_long_as_asked():
    """The time limit holds for a worker that another one keeps waiting, too."""

    def node(group):
        model = sgp.DistributedDataParallel(mlp(), group=group, workers_per_node=2, timeout=0.3)
        raised = None
        if group.rank == 0:
            with pytest.raises(sgp.Error) as caught:
                backward(model, batches(0, 1)[0])
            raised = caught.value.status
        group.barrier()
        return raised

    assert run_nodes(2, node) == ["SGP_ERR_TIMEOUT", None]
