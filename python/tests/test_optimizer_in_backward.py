# SPDX-License-Identifier: Apache-2.0
"""optimizer_in_backward: the bits of lock step, whatever the buckets, the optimizer and the model."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import sgp_torch as sgp

from nodes import run_nodes, seeded
from training import VERSION, assert_same_bits, batches, bn_mlp, loss_of, mlp, one_node, plain_step, train, values, wrapped

pytestmark = pytest.mark.skipif(VERSION < (2, 1), reason="optimizer_in_backward needs torch 2.1")

BUCKETS = [1e-6, 3e-4, 4.0]  # MB: each tensor, some tensors, all


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=0.01)


def plain_loop(model, optimizer, samples):
    return train(model, optimizer, samples)


def run(size, make_model, make_optimizer, loop, count, in_backward, bucket_mb=1e-6, make_batches=batches, **options):
    """(what loop returns, values) of each node. make_optimizer(model) -> optimizer."""

    def body(group):
        model = seeded(make_model)
        if in_backward:
            model = sgp.DistributedDataParallel(
                model, group=group, optimizer_in_backward=make_optimizer(model), bucket_mb=bucket_mb, **options
            )
            optimizer = model.optimizer
        else:
            model = sgp.DistributedDataParallel(model, group=group, **options)
            optimizer = make_optimizer(model)
        returned = loop(model, optimizer, make_batches(group.rank, count))
        return returned, values(model), model.statistics()["steps"]

    return run_nodes(size, body)


def check(make_model, make_optimizer, loop=plain_loop, size=2, count=5, bucket_mb=1e-6, make_batches=batches, **options):
    """The same loop with the optimizer in the backward pass and after it gives the same bits."""
    common = {"make_batches": make_batches, **options}
    expected = run(size, make_model, make_optimizer, loop, count, False, **common)
    found = run(size, make_model, make_optimizer, loop, count, True, bucket_mb, **common)
    for (one, state, steps), (other, other_state, other_steps) in zip(expected, found):
        assert other == one
        assert_same_bits(other_state, state)
        assert other_steps == steps > 0


@pytest.mark.parametrize("bucket_mb", BUCKETS)
@pytest.mark.parametrize("optimizer", [sgd, adamw])
@pytest.mark.parametrize("make_model", [mlp, bn_mlp])
def test_the_bits_of_lock_step(make_model, optimizer, bucket_mb):
    check(make_model, lambda model: optimizer(model.parameters()), bucket_mb=bucket_mb)


@pytest.mark.parametrize(
    "options",
    [
        {"peers": 2},
        {"graph": "complete", "peers": 3},
        {"encoding": "bfloat16"},
        {"local_steps": 2},
        {"algorithm": "dpsgd"},
        {"rounds": 3, "encoding": "float16"},
    ],
)
def test_with_options_of_the_mixer(options):
    check(bn_mlp, lambda model: sgd(model.parameters()), size=4, bucket_mb=3e-4, **options)


def test_a_node_alone_is_plain_torch():
    reference = seeded(bn_mlp)
    losses = train(reference, adamw(reference.parameters()), batches(0, 5))

    def body(group):
        model = wrapped(group, bn_mlp, optimizer_in_backward=adamw)
        return train(model, model.optimizer, batches(0, 5)), values(model)

    found, state = one_node(body)
    assert found == losses
    assert_same_bits(state, values(reference))


def test_a_function_makes_the_optimizer_of_the_parameters():
    def body(group):
        given = []

        def make(parameters):
            given.extend(parameters)
            return sgd(given)

        model = wrapped(group, optimizer_in_backward=make)
        assert {id(p) for p in given} == {id(p) for p in model.parameters()}
        assert isinstance(model.optimizer, torch.optim.SGD)
        for batch in batches(group.rank, 3):
            loss_of(model, batch).backward()  # without any call of the optimizer
        model.optimizer.step()
        assert all(p.grad is None for p in model.parameters())
        model.consensus()
        return model.statistics()["steps"]

    assert run_nodes(2, body) == [3, 3]


def groups(model):
    """Settings of their own for weights and biases."""
    weights = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.1}, {"params": rest, "lr": 0.05, "weight_decay": 0.0}], lr=0.01
    )


@pytest.mark.parametrize("bucket_mb", BUCKETS)
def test_parameter_groups(bucket_mb):
    check(mlp, groups, bucket_mb=bucket_mb)


def test_variants_of_optimizers():
    for make in (
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, foreach=True),
        lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01)),
        lambda p: torch.optim.RMSprop(p, lr=0.01),
        lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True, foreach=True),
    ):
        check(mlp, lambda model, make=make: make(model.parameters()), count=3, bucket_mb=3e-4)


@pytest.mark.parametrize("before", [True, False])
def test_schedulers(before):
    def loop(model, optimizer, samples):
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        rates = []
        for batch in samples:
            if before:
                optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
            if not before:
                optimizer.zero_grad()
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the scheduler warns if it sees no step
        check(mlp, lambda model: sgd(model.parameters()), loop)


def test_accumulation():
    def loop(model, optimizer, samples):
        for k in range(0, len(samples), 3):
            optimizer.zero_grad()
            with model.no_sync():
                for batch in samples[k : k + 2]:
                    (loss_of(model, batch) / 3).backward()
            (loss_of(model, samples[k + 2]) / 3).backward()
            optimizer.step()

    check(bn_mlp, lambda model: sgd(model.parameters()), loop, count=9, bucket_mb=3e-4)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.middle = nn.Linear(6, 6)
        self.last = nn.Linear(6, 6)
        self.last.weight = self.first.weight

    def forward(self, x):
        return self.last(torch.tanh(self.middle(torch.tanh(self.first(x)))))[:, :3]


class Attention(nn.Module):
    """MultiheadAttention uses the weights of its out_proj without calling it."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        h = self.inner(x)[None]
        return self.last(self.attention(h, h, h, need_weights=False)[0][0] + h[0])


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.reentrant = reentrant
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(4))

    def half(self, first, x):
        for block in self.blocks[first : first + 2]:
            x = checkpoint(block, x, use_reentrant=self.reentrant)
        return x

    def forward(self, x):
        x = x.clone().requires_grad_(True)
        for first in (0, 2):
            x = checkpoint(self.half, first, x, use_reentrant=self.reentrant)
        return x[:, :3]


class Direct(nn.Module):
    """Parameters of its own, and a child whose weight it uses without calling the child."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))
        self.child = nn.Linear(6, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        return self.last(torch.tanh(nn.functional.linear(x * self.scale, self.child.weight, self.child.bias)))


class Containers(nn.Module):
    """The nearest module that is called has no parameters of its own."""

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = nn.ParameterList([nn.Parameter(torch.eye(6)), nn.Parameter(torch.ones(6))])

        def forward(self, x):
            return torch.tanh(x @ self.tables[0] + self.tables[1])

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(self.Inner(), self.Inner())
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        return self.last(self.inner(x))


class Twice(nn.Module):
    """A layer that is called twice in a forward pass."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        return self.last(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


MODELS = {
    "tied": Tied,
    "attention": Attention,
    "checkpoint": lambda: Checkpointed(False),
    "reentrant checkpoint": lambda: Checkpointed(True),
    "direct": Direct,
    "containers": Containers,
    "twice": Twice,
}


@pytest.mark.parametrize("bucket_mb", BUCKETS)
@pytest.mark.parametrize("name", MODELS)
def test_models_of_all_kinds(name, bucket_mb):
    check(MODELS[name], lambda model: sgd(model.parameters()), bucket_mb=bucket_mb)


class Lists(nn.Module):
    """Layers whose parameters are in lists, which are modules that nobody calls. Calls are noted in `order`."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = nn.ParameterList([nn.Parameter(torch.eye(6))])

        def forward(self, x):
            self.order.append(self.number)
            return torch.tanh(x @ self.tables[0])

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(self.Layer() for _ in range(3)))
        self.order = []
        for number, layer in enumerate(self.layers):
            layer.number, layer.order = number, self.order

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("make_model", [Lists, lambda: nn.Sequential(Lists(), nn.Linear(6, 3))])
def test_a_layer_waits_for_its_own_parameters_alone(make_model):
    """Between the calls of two layers only the second one's bucket is waited for, wherever its parameters are."""

    def body(group):
        model = sgp.DistributedDataParallel(seeded(make_model), group=group, optimizer_in_backward=sgd, bucket_mb=1e-6)
        lists = next(module for module in model.modules() if isinstance(module, Lists))
        model(torch.ones(2, 6)).sum().backward()
        wait_part = model._runtime.mixer.wait_part
        offsets = {bucket.offset: i for i, bucket in enumerate(reversed(model._runtime.in_backward.buckets))}

        def noted(offset, count):
            lists.order.append(f"waits for {offsets[offset]}")
            wait_part(offset, count)

        model._runtime.mixer.wait_part = noted
        lists.order.clear()
        model(torch.ones(2, 6))
        assert lists.order[:6] == ["waits for 0", 0, "waits for 1", 1, "waits for 2", 2]

    run_nodes(2, body)


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.ways = nn.ModuleList(nn.Linear(6, 3) for _ in range(3))
        self.way = 0

    def forward(self, x):
        return self.ways[self.way](torch.tanh(self.first(x)))


@pytest.mark.parametrize("bucket_mb", BUCKETS)
def test_parameters_that_a_node_does_not_use(bucket_mb):
    """Node 0 takes the first way, node 1 the first and the second in turn; nobody takes the third."""

    def loop(model, optimizer, samples):
        for way, batch in samples:
            model.module.way = way
            plain_step(model, optimizer, batch)

    def choose(rank, count):
        return [(rank * (k % 2), batch) for k, batch in enumerate(batches(rank, count))]

    check(Branches, lambda model: sgd(model.parameters()), loop, bucket_mb=bucket_mb, make_batches=choose, count=6)


def test_evaluation_and_states_between_steps():
    """All that reads the model sees it as after the step."""

    def loop(model, optimizer, samples):
        seen = []
        for k, batch in enumerate(samples):
            plain_step(model, optimizer, batch)
            if k == 1:
                seen.append({name: tensor.tolist() for name, tensor in model.state_dict().items()})
            if k == 2:
                model.eval()
                with torch.no_grad():
                    seen.append(float(loss_of(model, batch)))
                model.train()
            if k == 3:
                with model.averaged():
                    seen.append(float(loss_of(model, batch).detach()))
            if k == 4:
                seen.append(model.consensus()["w_total"])
                model.average_()
            if k == 5:
                state = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
                model.load_state_dict({name: 0.5 * t if t.is_floating_point() else t for name, t in state.items()})
        return seen

    check(bn_mlp, lambda model: sgd(model.parameters()), loop, count=8, bucket_mb=3e-4)


def test_a_resume():
    def first(group):
        model = wrapped(group, bn_mlp, optimizer_in_backward=adamw, bucket_mb=3e-4)
        samples = batches(group.rank, 6)
        train(model, model.optimizer, samples[:3])
        saved = {"mixer": model.mixer_state_dict(), "model": values(model), "optimizer": model.optimizer.state_dict()}
        saved["optimizer"] = torch.utils._pytree.tree_map(lambda t: t.clone() if torch.is_tensor(t) else t, saved["optimizer"])
        return saved, train(model, model.optimizer, samples[3:]), values(model)

    runs = run_nodes(2, first)

    def second(group):
        saved = runs[group.rank][0]
        model = wrapped(group, bn_mlp, optimizer_in_backward=adamw, bucket_mb=3e-4)
        model.load_state_dict(saved["model"])
        model.optimizer.load_state_dict(saved["optimizer"])
        model.load_mixer_state_dict(saved["mixer"])
        return train(model, model.optimizer, batches(group.rank, 6)[3:]), values(model)

    for (_, losses, expected), (again, found) in zip(runs, run_nodes(2, second)):
        assert again == losses
        assert_same_bits(found, expected)


@pytest.mark.parametrize("together", [False, True])
def test_two_models_in_a_group(together):
    """Each with its own optimizer; with a backward pass each, or one for both losses."""

    def trained(in_backward):
        def body(group):
            models = [seeded(mlp), seeded(bn_mlp)]
            if in_backward:
                models = [sgp.DistributedDataParallel(m, group=group, optimizer_in_backward=sgd, bucket_mb=1e-6) for m in models]
                optimizers = [model.optimizer for model in models]
            else:
                models = [sgp.DistributedDataParallel(model, group=group) for model in models]
                optimizers = [sgd(model.parameters()) for model in models]
            for batch in batches(group.rank, 4):
                losses = [loss_of(model, batch) for model in models]
                if together:
                    sum(losses).backward()
                else:
                    for loss in losses:
                        loss.backward()
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
            return [values(model) for model in models]

        return run_nodes(2, body)

    for found, expected in zip(trained(True), trained(False)):
        for one, other in zip(found, expected):
            assert_same_bits(one, other)


def test_memory_of_gradients_is_freed():
    """No gradient is left after the backward pass."""

    def body(group):
        model = wrapped(group, optimizer_in_backward=sgd, bucket_mb=1e-6)
        loss_of(model, batches(0, 1)[0]).backward()
        return [p.grad for p in model.parameters()]

    assert all(gradient is None for gradients in run_nodes(2, body) for gradient in gradients)


def test_after_close_the_optimizer_is_an_ordinary_one():
    def body(group):
        model = wrapped(group, optimizer_in_backward=sgd, bucket_mb=1e-6)
        optimizer = model.optimizer
        samples = batches(group.rank, 5)
        train(model, optimizer, samples[:3])
        model.close()
        before = values(model)
        loss_of(model, samples[3]).backward()
        assert_same_bits(values(model), before)
        optimizer.step()
        assert not torch.equal(values(model)["0.weight"], before["0.weight"])

    run_nodes(2, body)


class Fails(torch.autograd.Function):
    """The identity; its backward pass fails once."""

    failures = 0

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if Fails.failures:
            Fails.failures -= 1
            raise ZeroDivisionError
        return gradient


class FailsInTheMiddle(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        return self.last(Fails.apply(self.first(x)))


def test_a_step_that_has_begun_cannot_be_given_up():
    def body(group):
        model = wrapped(group, FailsInTheMiddle, optimizer_in_backward=sgd, bucket_mb=1e-6)
        batch = batches(0, 1)[0]
        loss_of(model, batch).backward()
        Fails.failures = 1
        with pytest.raises(ZeroDivisionError):
            loss_of(model, batch).backward()
        with pytest.raises(sgp.Error, match="backward pass failed"):
            loss_of(model, batch)
        group.abort()

    one_node(body)


# ---- errors ----


def refused(match, make_model=mlp, optimizer=sgd, **options):
    def body(group):
        with pytest.raises(sgp.Error, match=match):
            wrapped(group, make_model, optimizer_in_backward=optimizer, **options)

    one_node(body)


@pytest.mark.parametrize(
    ("match", "options"),
    [
        ("lock step", {"algorithm": "osgp"}),
        ("lock step", {"algorithm": "adpsgd"}),
        ("lock step", {"algorithm": "allreduce"}),
        ("lock step", {"overlap": 1}),
        ("lock step", {"overlap": "async"}),
        ("lock step", {"slow_momentum": 0.5, "slow_every": 4}),
        ("alias", {"mode": "delta"}),
        ("bucket_mb=0", {"bucket_mb": 0}),
    ],
)
def test_options_that_do_not_go_with_it(match, options):
    refused(match, **options)


def test_workers_do_not_go_with_it():
    def body(group):
        with pytest.raises(sgp.Error, match="one worker"):
            wrapped(group, optimizer_in_backward=sgd, workers_per_node=2)

    run_nodes(2, body)


def test_optimizers_that_do_not_fit():
    refused("lacks 4.bias", optimizer=lambda p: sgd(list(p)[:-1]))
    refused("not trained", optimizer=lambda p: sgd([*p, torch.zeros(2, requires_grad=True)]))
    refused("no torch.optim.Optimizer", optimizer=lambda p: list(p))
    refused("alias", make_model=lambda: mlp().double())


def test_a_closure_or_another_optimizer_is_refused():
    def body(group):
        model = wrapped(group, optimizer_in_backward=sgd)
        with pytest.raises(sgp.Error, match="closure"):
            model.optimizer.step(lambda: None)
        other = sgd(model.parameters())
        with pytest.raises(sgp.Error, match=r"model\.optimizer"):
            other.step()

    one_node(body)


@pytest.mark.skipif(VERSION < (2, 3), reason="GradScaler for the CPU came in torch 2.3")
def test_a_scaler_is_refused():
    def body(group):
        model = wrapped(group, optimizer_in_backward=sgd)
        scaler = torch.amp.GradScaler("cpu")
        with pytest.raises(sgp.Error, match="GradScaler"):
            scaler.step(model.optimizer)

    one_node(body)


def test_a_parameter_that_is_used_behind_its_modules_back_is_an_error():
    """The first forward pass shows which modules are called; a later one that calls fewer would read what is being averaged."""

    class Sneaky(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 3)
            self.direct = False

        def forward(self, x):
            if self.direct:
                return nn.functional.linear(x, self.first.weight, self.first.bias)
            return self.first(x)

    def body(group):
        model = wrapped(group, Sneaky, optimizer_in_backward=sgd, bucket_mb=1e-6)
        batch = batches(group.rank, 1)[0]
        for _ in range(2):
            loss_of(model, batch).backward()
        model.module.direct = True
        with pytest.raises(sgp.Error, match="was not called"):
            loss_of(model, batch).backward()
            loss_of(model, batch).backward()
        group.abort()

    run_nodes(1, body)
