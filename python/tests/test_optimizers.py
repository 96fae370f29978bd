# SPDX-License-Identifier: Apache-2.0
"""Optimizers of all kinds: each step of all parameters is one exchange, and the optimizer does what it does without us."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import sgp_torch as sgp

from nodes import run_nodes, run_script, seeded
from training import (
    assert_close,
    assert_same_bits,
    batches,
    lock_step,
    loss_of,
    mlp,
    one_node,
    plain_step,
    train,
    values,
    wrapped,
)


def lbfgs(parameters):
    return torch.optim.LBFGS(parameters, lr=0.1, max_iter=4, history_size=3)


OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
    "Adam foreach": lambda p: torch.optim.Adam(p, lr=0.01, foreach=True),
    "SGD foreach": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, foreach=True),
    "AdamW fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "SGD fused": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    "Adam tensor": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01)),
    "SGD tensor": lambda p: torch.optim.SGD(p, lr=torch.tensor(0.1)),
    "LBFGS": lbfgs,
}


def make(name):
    def of_model(model):
        try:
            return OPTIMIZERS[name](list(model.parameters()))
        except (RuntimeError, TypeError) as error:  # fused on the CPU came in 2.4
            pytest.skip(f"torch {torch.__version__} has no {name}: {error}")

    return of_model


def any_step(model, optimizer, batch):
    """With a closure where the optimizer needs one."""
    if not isinstance(optimizer, torch.optim.LBFGS):
        return plain_step(model, optimizer, batch)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        return loss

    return optimizer.step(closure)


@pytest.mark.parametrize("mode", ["alias", "delta"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_node_alone_is_plain_torch(mode, name):
    reference = seeded(mlp)
    optimizer = make(name)(reference)
    for batch in batches(0, 5):
        any_step(reference, optimizer, batch)

    def body(group):
        model = wrapped(group, mode=mode)
        optimizer = make(name)(model)
        for batch in batches(0, 5):
            any_step(model, optimizer, batch)
        return values(model), model.statistics()["steps"]

    found, steps = one_node(body)
    assert_same_bits(found, values(reference))
    assert steps == 5


@pytest.mark.parametrize("mode", ["alias", "delta"])
@pytest.mark.parametrize("name", ["AdamW", "SGD foreach", "AdamW fused", "Adam tensor", "LBFGS"])
def test_two_nodes_have_the_mean_of_their_steps(mode, name):
    make(name)(seeded(mlp))  # skips here, not in a thread

    def body(group):
        model = wrapped(group, mode=mode, second_moment="local")
        optimizer = make(name)(model)
        for batch in batches(group.rank, 5):
            any_step(model, optimizer, batch)
        return values(model)

    expected = lock_step(2, mlp, make(name), 5, any_step)
    for found in run_nodes(2, body):
        assert_close(found, expected, 1e-5)


def halves(model):
    """Two optimizers of one model."""
    parameters = list(model.parameters())
    return torch.optim.SGD(parameters[:3], lr=0.1), torch.optim.AdamW(parameters[3:], lr=0.01)


def step_halves(model, optimizers, batch):
    model.zero_grad()
    loss_of(model, batch).backward()
    for optimizer in optimizers:
        optimizer.step()


@pytest.mark.parametrize("options", [{}, {"mode": "delta"}])
def test_several_optimizers_make_one_exchange(options):
    def body(group):
        model = wrapped(group, second_moment="local", **options)
        optimizers = halves(model)
        for batch in batches(group.rank, 5):
            step_halves(model, optimizers, batch)
        return values(model), model.statistics()["steps"]

    expected = lock_step(2, mlp, halves, 5, step_halves)
    for found, steps in run_nodes(2, body):
        assert_close(found, expected)
        assert steps == 5


@pytest.mark.parametrize("options", [{}, {"algorithm": "osgp"}, {"mode": "delta"}, {"mode": "delta", "algorithm": "osgp"}])
def test_several_optimizers_move_the_mean_by_their_updates(options):
    """Whatever the weight is: the gradients are known, as the loss is linear."""

    def body(group):
        model = seeded(lambda: nn.Linear(3, 2))
        start = values(model)
        model = sgp.DistributedDataParallel(model, group=group, **options)
        optimizers = [torch.optim.SGD([p], lr=1.0) for p in model.parameters()]
        for _ in range(6):
            model.zero_grad()
            (model(torch.ones(1, 3)) * (group.rank + 1)).sum().backward()
            for optimizer in optimizers:
                optimizer.step()
        with model.averaged():
            return start, values(model)

    for start, found in run_nodes(4, body):
        assert_close(found, {name: tensor - 6 * 2.5 for name, tensor in start.items()}, 1e-5)


@pytest.mark.parametrize("options", [{}, {"mode": "delta"}])
def test_an_optimizer_of_a_part_exchanges_at_the_next_forward_pass(options):
    """The other parameters have a gradient, and nobody steps them."""

    def first_layer(model):
        return torch.optim.SGD(list(model.parameters())[:2], lr=0.1)

    def body(group):
        model = wrapped(group, **options)
        optimizer = first_layer(model)
        steps = []
        for batch in batches(group.rank, 4):
            plain_step(model, optimizer, batch)
            steps.append(model.statistics()["steps"])
        model.consensus()
        return values(model), [*steps, model.statistics()["steps"]]

    expected = lock_step(2, mlp, first_layer, 4)
    for found, steps in run_nodes(2, body):
        assert_close(found, expected)
        assert steps == [0, 1, 2, 3, 4]


def test_a_group_of_parameters_that_is_added_later_counts():
    def body(group):
        model = wrapped(group)
        parameters = list(model.parameters())
        optimizer = torch.optim.SGD(parameters[:2], lr=0.1)
        samples = batches(group.rank, 4)
        for batch in samples[:2]:
            plain_step(model, optimizer, batch)
        optimizer.add_param_group({"params": parameters[2:]})
        for batch in samples[2:]:
            plain_step(model, optimizer, batch)
        return values(model), model.statistics()["steps"]

    (first, steps), (second, _) = run_nodes(2, body)
    assert steps == 4
    assert_close(first, second, 1e-6)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("with_scheduler", [True, False])
def test_the_order_of_optimizer_scheduler_and_wrapper_is_free(before, with_scheduler):
    def body(group):
        module = seeded(mlp)
        model = None if before else sgp.DistributedDataParallel(module, group=group)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5) if with_scheduler else None
        model = model or sgp.DistributedDataParallel(module, group=group)
        for batch in batches(group.rank, 5):
            plain_step(model, optimizer, batch)
            if scheduler:
                scheduler.step()
        return values(model), model.statistics()["steps"]

    def scheduled(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5 if with_scheduler else 1.0)

    def step(model, pair, batch):
        plain_step(model, pair[0], batch)
        pair[1].step()

    expected = lock_step(2, mlp, scheduled, 5, step)
    for found, steps in run_nodes(2, body):
        assert_close(found, expected)
        assert steps == 5


class Delegating(torch.optim.Optimizer):
    """Has the optimizer inside as .optimizer, as Accelerate's has."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.param_groups = optimizer.param_groups
        self.defaults = optimizer.defaults
        self.state = optimizer.state

    def zero_grad(self, *arguments, **keywords):
        self.optimizer.zero_grad(*arguments, **keywords)

    def step(self, closure=None):
        return self.optimizer.step(closure)


class Lookahead(Delegating):
    """Makes the step of the optimizer inside, and then one of its own on the same parameters."""

    def __init__(self, base):
        super().__init__(base)
        self.base = self.optimizer
        del self.optimizer
        self._slow = [p.detach().clone() for group in self.param_groups for p in group["params"]]

    def zero_grad(self, *arguments, **keywords):
        self.base.zero_grad(*arguments, **keywords)

    @torch.no_grad()
    def step(self, closure=None):
        result = self.base.step(closure)
        for slow, p in zip(self._slow, (p for group in self.param_groups for p in group["params"])):
            slow.lerp_(p, 0.5)
            p.copy_(slow)
        return result


class NotAnOptimizer:
    """A plain object around an optimizer."""

    def __init__(self, optimizer):
        self.inner = optimizer

    def zero_grad(self):
        self.inner.zero_grad()

    def step(self):
        self.inner.step()


class ThroughSuper(torch.optim.SGD):
    def step(self, closure=None):
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.mul_(0.999)
        return super().step(closure)


@pytest.mark.parametrize("kind", [Delegating, Lookahead, NotAnOptimizer, ThroughSuper])
def test_an_optimizer_around_another_exchanges_once(kind):
    def build(model):
        if kind is ThroughSuper:
            return ThroughSuper(model.parameters(), lr=0.1)
        return kind(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))

    def body(group):
        model = wrapped(group)
        train(model, build(model), batches(group.rank, 5))
        return values(model), model.statistics()["steps"]

    expected = lock_step(2, mlp, build, 5)
    for found, steps in run_nodes(2, body):
        assert steps == 5
        assert_close(found, expected)


def test_a_closure_runs_as_often_as_without_us():
    def body(group):
        model = wrapped(group)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        calls = []

        def closure():
            calls.append(1)
            optimizer.zero_grad()
            loss = loss_of(model, batches(group.rank, 1)[0])
            loss.backward()
            return loss

        returned = [float(optimizer.step(closure).detach()), float(optimizer.step(closure=closure).detach())]
        return returned, len(calls), model.statistics()["steps"]

    reference = seeded(mlp)
    expected = train(reference, torch.optim.SGD(reference.parameters(), lr=0.1), batches(0, 1) * 2)
    assert one_node(body) == (expected, 2, 2)


class Fails(torch.optim.SGD):
    fail = False

    def step(self, closure=None):
        if self.fail:
            raise FloatingPointError("no step")
        return super().step(closure)


@pytest.mark.parametrize("options", [{}, {"algorithm": "osgp"}, {"mode": "delta"}, {"mode": "delta", "algorithm": "osgp"}])
def test_a_step_that_fails_and_is_caught_is_no_step(options):
    def body(group):
        model = wrapped(group, **options)
        optimizer = Fails(model.parameters(), lr=0.1)
        for k, batch in enumerate(batches(group.rank, 6)):
            optimizer.fail = k in (0, 3)
            if optimizer.fail:
                with pytest.raises(FloatingPointError):
                    plain_step(model, optimizer, batch)
            else:
                plain_step(model, optimizer, batch)
        with model.averaged():
            return values(model), model.statistics()["steps"]

    def some(rank, count):
        return [batch for k, batch in enumerate(batches(rank, 6)) if k not in (0, 3)]

    results = run_nodes(2, body)
    assert [steps for _, steps in results] == [4, 4]
    if "algorithm" not in options:
        expected = lock_step(2, mlp, lambda m: torch.optim.SGD(m.parameters(), lr=0.1), 4, make_batches=some)
        for found, _ in results:
            assert_close(found, expected)


def test_optimizers_of_other_models_are_none_of_our_business():
    def body(group):
        model, other = wrapped(group), seeded(mlp)
        reference = seeded(mlp)
        train(other, torch.optim.SGD(other.parameters(), lr=0.1), batches(group.rank, 3))
        train(reference, torch.optim.SGD(reference.parameters(), lr=0.1), batches(group.rank, 3))
        assert_same_bits(values(other), values(reference))
        return model.statistics()["steps"]

    assert run_nodes(2, body) == [0, 0]


def test_sparse_gradients_are_fine_where_parameters_are_averaged():
    def table():
        return nn.Embedding(7, 3, sparse=True)

    def step(model, optimizer, index):
        optimizer.zero_grad()
        (model(torch.tensor([index, index + 1])) ** 2).sum().backward()
        optimizer.step()

    def sparse_adam(model):
        return torch.optim.SparseAdam(list(model.parameters()), lr=0.1)

    def body(group):
        model = sgp.DistributedDataParallel(seeded(table), group=group)
        optimizer = sparse_adam(model)
        for k in range(4):
            step(model, optimizer, group.rank + k)
        return values(model)

    expected = lock_step(2, table, sparse_adam, 4, step, lambda rank, count: [rank + k for k in range(count)])
    for found in run_nodes(2, body):
        assert_close(found, expected)


def test_what_was_made_before_the_package_was_imported_is_seen():
    """In processes of their own: optimizer classes, optimizers and schedulers from before the import, and a step that was
    looked up in the class before the first wrapper."""
    script = """
    import torch
    class Early(torch.optim.SGD):
        def step(self, closure=None):
            return super().step(closure)
    torch.manual_seed(0)
    modules = [torch.nn.Linear(3, 2) for _ in range(3)]
    early = Early(modules[0].parameters(), lr=0.1)
    scheduled = torch.optim.Adam(modules[1].parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(scheduled, 2)
    import sgp_torch as sgp
    class Late(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {"lr": 0.1})
        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad, alpha=group["lr"])
    models = [sgp.DistributedDataParallel(module) for module in modules]
    late = Late(modules[2].parameters())
    for model, optimizer in zip(models, (early, scheduled, late)):
        for k in range(3):
            optimizer.zero_grad()
            model(torch.randn(2, 3) + sgp.rank()).sum().backward()
            optimizer.step()
            if optimizer is scheduled:
                scheduler.step()
        assert model.statistics()["steps"] == 3, (type(optimizer), model.statistics())
        assert model.consensus()["distance"] < 1e-6
    print(f"node {sgp.rank()} is done")
    """
    done = run_script(2, script)
    assert done.returncode == 0, done.stderr
    assert "node 0 is done" in done.stdout and "node 1 is done" in done.stdout
