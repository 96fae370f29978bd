# SPDX-License-Identifier: Apache-2.0
"""torch.compile of the model, of the wrapper, and of the step: every step is still an exchange. The back end that changes
nothing ("eager") suffices: what matters is which Python code the compiler sees."""

from __future__ import annotations

import shutil
import threading

import pytest
import torch

import sgp_torch as sgp

from nodes import run_nodes, seeded
from training import (
    VERSION,
    assert_close,
    batches,
    bn_mlp,
    lock_step,
    loss_of,
    mlp,
    one_node,
    plain_step,
    sgd,
    train,
    values,
    wrapped,
)

pytestmark = pytest.mark.skipif(VERSION < (2, 0), reason="torch.compile came in torch 2.0")

_compiling = threading.Lock()  # nodes are threads here, and the compiler is for one thread at a time


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(thing, backend="eager"):
    return torch.compile(thing, backend=backend)


def plain(make_model=mlp, make_optimizer=sgd, count=4):
    reference = seeded(make_model)
    train(reference, make_optimizer(reference), batches(0, count))
    return values(reference)


def plain_names(state):
    return {name.replace("_orig_mod.", "").replace("module.", ""): tensor for name, tensor in state.items()}


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("options", [{}, {"mode": "delta"}, {"algorithm": "osgp"}])
@pytest.mark.parametrize("order", ["model before", "model in place", "wrapper"])
def test_a_compiled_model(order, options, backend):
    if order == "model in place" and VERSION < (2, 2):
        pytest.skip("Module.compile came in torch 2.2")

    def body(group):
        module = seeded(bn_mlp)
        if order == "model before":
            model = used = sgp.DistributedDataParallel(compiled(module, backend), group=group, **options)
        else:
            model = used = sgp.DistributedDataParallel(module, group=group, **options)
            if order == "wrapper":
                used = compiled(model, backend)
            else:
                module.compile(backend=backend)
        train(used, sgd(used), batches(0, 4))
        return plain_names(values(module)), model.statistics()["steps"]

    found, steps = one_node(body)
    assert steps == 4
    assert_close(found, plain(bn_mlp), 1e-5)


@pytest.mark.parametrize("options", [{}, {"mode": "delta"}, {"algorithm": "osgp"}])
@pytest.mark.parametrize("make_optimizer", [sgd, adamw])
def test_a_compiled_step(make_optimizer, options):
    def body(group):
        model = wrapped(group, **options)
        optimizer = make_optimizer(model)

        @torch.compile(backend="eager")
        def step():
            optimizer.step()

        for batch in batches(0, 4):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            step()
        return values(model), model.statistics()["steps"]

    found, steps = one_node(body)
    assert steps == 4
    assert_close(found, plain(mlp, make_optimizer), 1e-5)


def test_a_compiled_method_of_the_optimizer():
    def body(group):
        model = wrapped(group)
        optimizer = sgd(model)
        optimizer.step = torch.compile(optimizer.step, backend="eager")
        train(model, optimizer, batches(0, 4))
        return values(model), model.statistics()["steps"]

    found, steps = one_node(body)
    assert steps == 4
    assert_close(found, plain(), 1e-5)


def test_a_compiled_training_step():
    """Forward, backward and step in one compiled function."""

    def body(group):
        model = wrapped(group)
        optimizer = sgd(model)

        @torch.compile(backend="eager")
        def step(batch):
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            optimizer.step()
            return loss

        for batch in batches(0, 4):
            step(batch)
        return values(model), model.statistics()["steps"]

    found, steps = one_node(body)
    assert steps == 4
    assert_close(found, plain(), 1e-5)


def test_eager_steps_after_something_was_compiled():
    """Some versions of the compiler take hooks off optimizers when they meet one."""

    def body(group):
        model, other = wrapped(group), seeded(mlp)
        optimizer, others = sgd(model), sgd(other)
        samples = batches(0, 4)
        train(model, optimizer, samples[:1])

        @torch.compile(backend="eager")
        def step(which):
            which.step()

        others.zero_grad()
        loss_of(other, samples[0]).backward()
        step(others)
        train(model, optimizer, samples[1:2])
        optimizer.zero_grad()
        loss_of(model, samples[2]).backward()
        step(optimizer)
        train(model, optimizer, samples[3:])
        return values(model), model.statistics()["steps"]

    found, steps = one_node(body)
    assert steps == 4
    assert_close(found, plain(), 1e-5)


@pytest.mark.parametrize("options", [{}, {"algorithm": "osgp"}])
def test_two_nodes_that_compile_the_model_and_the_step(options):
    def body(group):
        model = wrapped(group, bn_mlp, **options)
        used = compiled(model)
        optimizer = sgd(model)
        for batch in batches(group.rank, 4):
            optimizer.zero_grad()
            with _compiling:
                loss = loss_of(used, batch)
            loss.backward()
            optimizer.step()
        distance = model.consensus()["distance"]
        return values(model), distance, model.statistics()["steps"]

    expected = lock_step(2, bn_mlp, sgd, 4)
    for found, distance, steps in run_nodes(2, body):
        assert steps == 4
        if not options:
            assert distance < 1e-6
            assert_close(found, expected, 1e-5)


def test_several_optimizers_with_a_compiled_wrapper():
    """The exchange of a step of a part takes place in the forward pass, which is compiled."""

    def body(group):
        model = wrapped(group)
        used = compiled(model)
        optimizer = torch.optim.SGD(list(model.parameters())[:2], lr=0.1)
        for batch in batches(0, 4):
            plain_step(used, optimizer, batch)
        model.consensus()
        return values(model), model.statistics()["steps"]

    def part(model):
        return torch.optim.SGD(list(model.parameters())[:2], lr=0.1)

    found, steps = one_node(body)
    assert steps == 4
    assert_close(found, plain(mlp, part), 1e-5)


def test_allreduce_of_a_compiled_model():
    def body(group):
        model = wrapped(group, algorithm="allreduce")
        used = compiled(model, "aot_eager")
        optimizer = sgd(model)
        for batch in batches(group.rank, 3):
            optimizer.zero_grad()
            with _compiling:
                loss = loss_of(used, batch)
            loss.backward()
            optimizer.step()
        return values(model)

    first, second = run_nodes(2, body)
    assert_close(first, {**second}, 1e-7)


def test_optimizer_in_backward_refuses_a_compiled_model():
    if VERSION < (2, 1):
        pytest.skip("optimizer_in_backward needs torch 2.1")

    def body(group):
        with pytest.raises(sgp.Error, match=r"torch\.compile"):
            sgp.DistributedDataParallel(
                compiled(seeded(mlp)), group=group, optimizer_in_backward=lambda p: torch.optim.SGD(p, lr=0.1)
            )
        model = wrapped(group, optimizer_in_backward=lambda p: torch.optim.SGD(p, lr=0.1))
        with pytest.raises(sgp.Error, match=r"torch\.compile"):
            compiled(model)(torch.zeros(1, 6))

        @torch.compile(backend="eager")
        def step(x):
            return model(x).sum()

        with pytest.raises(sgp.Error, match=r"torch\.compile"):
            step(torch.zeros(1, 6))
        model(torch.zeros(1, 6))

    one_node(body)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ for its code")
def test_generated_code():
    """The compiler's own back end, once."""
    pytest.importorskip("torch.utils.cpp_extension", reason="torch.compile needs setuptools")

    def body(group):
        model = wrapped(group)
        used = compiled(model, "inductor")
        train(used, sgd(model), batches(0, 3))
        return values(model), model.statistics()["steps"]

    found, steps = one_node(body)
    assert steps == 3
    assert_close(found, plain(count=3), 1e-4)
