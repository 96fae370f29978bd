# SPDX-License-Identifier: Apache-2.0
"""Bad input: one sgp.Error each, which says what is wrong, with the value, and what to do. Also unusual models that work."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess

import pytest
import torch
from torch import nn

import sgp_torch as sgp
from sgp_torch import library, options

from nodes import errors_of_nodes, run_nodes, seeded

TORCH = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])


def linear(*_):
    return seeded(lambda: nn.Linear(3, 4))


class Tensors(nn.Module):
    """Parameters p0, p1, ... and buffers b0, b1, ..."""

    def __init__(self, *parameters, buffers=()):
        super().__init__()
        for i, tensor in enumerate(parameters):
            parameter = tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor)
            self.register_parameter(f"p{i}", parameter)
        for i, tensor in enumerate(buffers):
            self.register_buffer(f"b{i}", tensor)


def frozen(tensor):
    return nn.Parameter(tensor, requires_grad=False)


def train(model, steps=3, **options):
    """Some steps of SGD on ones."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
    return optimizer


def alone(body):
    """body(group) on a group of one node."""
    return run_nodes(1, body)[0]


def refused(body, *texts, size=1, status="SGP_ERR_INVALID"):
    """Every node raises an Error with these texts."""
    errors = errors_of_nodes(size, body)
    for error in errors:
        assert type(error) is sgp.Error, repr(error)
        for text in texts:
            assert text in str(error), str(error)
        assert error.status == status
    return str(errors[0])


def errors_with_loss(size, body, **options):
    """The exception of each node; one that fails ends its part, as a process with an exception does."""
    found = [None] * size

    def caught(group):
        try:
            body(group)
        except Exception as error:
            found[group.rank] = error
            raise

    with pytest.raises(Exception):  # noqa: B017
        run_nodes(size, caught, **options)
    return found


# ---- nodes that differ ----


class Named(nn.Module):
    """Layers of the same shape, in the order of their names."""

    def __init__(self, names):
        super().__init__()
        for name in names:
            setattr(self, name, nn.Linear(2, 2))


def frozen_bias(rank):
    model = nn.Linear(3, 4)
    model.bias.requires_grad_(rank == 0)
    return model


# name: (the model of a rank, what node 1 has, what node 0 has)
MODELS = {
    "shapes": (lambda r: nn.Linear(3, 4 + r), "weight: float32 (5, 3), trained", "weight: float32 (4, 3), trained"),
    "a layer more": (lambda r: Named("abc"[: 2 + r]), "c.weight: float32 (2, 2), trained", "nothing more"),
    "a layer less": (lambda r: Named("abc"[: 3 - r]), "nothing more", "c.weight: float32 (2, 2), trained"),
    "order": (lambda r: Named(("ab", "ba")[r]), "b.weight: float32 (2, 2)", "a.weight: float32 (2, 2)"),
    "dtypes": (lambda r: nn.Linear(3, 4).to((torch.float32, torch.float64)[r]), "weight: float64", "weight: float32"),
    "layouts": (
        lambda r: nn.Conv2d(3, 4, 3).to(memory_format=(torch.contiguous_format, torch.channels_last)[r]),
        "weight: float32 (4, 3, 3, 3), strides (27, 1, 9, 3)",
        "weight: float32 (4, 3, 3, 3), trained",
    ),
    "trained": (frozen_bias, "bias: float32 (4,)", "bias: float32 (4,), trained"),
    "buffers": (lambda r: Tensors(torch.ones(3), buffers=[torch.ones(2 + r)]), "b0: float32 (3,)", "b0: float32 (2,)"),
}


@pytest.mark.parametrize("case", MODELS)
def test_different_models(case):
    make, theirs, ours = MODELS[case]
    text = refused(lambda group: sgp.DistributedDataParallel(make(group.rank), group=group), size=2, status="SGP_ERR_MISMATCH")
    assert "the model and options must be the same on every node" in text
    assert re.search(rf"node 1 has {re.escape(theirs)}.* where node 0 has {re.escape(ours)}", text), text


OPTIONS = [
    ("algorithm", "sgp", "osgp"),
    ("graph", "ring", "exponential"),
    ("overlap", 0, "async"),
    ("encoding", "float32", "bfloat16"),
    ("local_steps", 1, 2),
    ("rounds", 1, "auto"),
    ("slow_every", 0, 4),
    ("seed", 0, 1),
    ("init_sync", True, False),
    ("mode", "alias", "delta"),
]


@pytest.mark.parametrize("name, ours, theirs", OPTIONS)
def test_different_options(name, ours, theirs):
    refused(
        lambda group: sgp.DistributedDataParallel(linear(), group=group, **{name: (ours, theirs)[group.rank]}),
        f"node 1 has {name}={theirs!r} where node 0 has {name}={ours!r}",
        size=2,
        status="SGP_ERR_MISMATCH",
    )


def test_optimizer_in_backward_on_one_node_alone():
    def body(group):
        make = functools.partial(torch.optim.SGD, lr=0.1) if group.rank == 1 else None
        sgp.DistributedDataParallel(linear(), group=group, optimizer_in_backward=make)

    refused(body, "node 1 has an optimizer_in_backward where node 0 has no", size=2, status="SGP_ERR_MISMATCH")


SGD, Adam = functools.partial(torch.optim.SGD, lr=0.1), functools.partial(torch.optim.Adam, lr=0.1)
OPTIMIZERS = {
    "classes": ((SGD, Adam), "the optimizer Adam", "the optimizer SGD"),
    "settings": ((SGD, functools.partial(SGD, momentum=0.5)), "momentum=0.5 in parameter group 0", "momentum=0"),
    "betas": ((Adam, functools.partial(Adam, betas=(0.9, 0.95))), "betas=(0.9, 0.95)", "betas=(0.9, 0.999)"),
    "order": ((SGD, lambda p: SGD(list(p)[::-1])), "bias in place 0 of parameter group 0", "weight in place 0"),
    "a part": ((SGD, lambda p: SGD(list(p)[:1])), "nothing more", "bias in place 1"),
    "groups": ((SGD, lambda p: SGD([{"params": [q]} for q in p])), "dampening=0 in parameter group 1", "bias in place 1"),
}


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_different_optimizers(case):
    (ours, theirs), text, other = OPTIMIZERS[case]

    def body(group):
        model = sgp.DistributedDataParallel(linear(), group=group)
        optimizer = (ours, theirs)[group.rank](model.parameters())
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()

    found = refused(body, "the optimizer and its settings must be the same on every node", size=2, status="SGP_ERR_MISMATCH")
    if case != "groups":
        assert re.search(rf"node 1 has {re.escape(text)}.* where node 0 has {re.escape(other)}", found), found


def test_learning_rates_may_differ():
    def body(group):
        model = sgp.DistributedDataParallel(linear(), group=group)
        SGD(model.parameters(), lr=group.rank).step()

    run_nodes(2, body)


def test_two_of_four_nodes_differ():
    refused(
        lambda group: sgp.DistributedDataParallel(nn.Linear(3, 4 + group.rank % 2), group=group),
        ": nodes 1 and 3 have weight: float32 (5, 3), trained where node 0 has",
        size=4,
        status="SGP_ERR_MISMATCH",
    )
    refused(
        lambda group: sgp.DistributedDataParallel(nn.Linear(3, 4 + group.rank // 2), group=group, peers=1 + (group.rank == 1)),
        "node 1 has peers=2 where node 0 has peers=1; nodes 2 and 3 have weight: float32 (5, 3)",
        size=4,
        status="SGP_ERR_MISMATCH",
    )


def test_different_tensors_of_a_mixer():
    def body(group):
        sgp.Mixer({("a", "b")[group.rank]: torch.zeros(3)}, group=group)

    refused(body, "the tensors and options", "node 1 has b: float32 (3,) where node 0 has a", size=2, status="SGP_ERR_MISMATCH")


def test_different_broadcasts():
    def body(group):
        group.broadcast(torch.zeros(3 + group.rank))

    text = refused(body, size=2, status="SGP_ERR_MISMATCH")
    assert re.search("node 0 broadcasts 12 .*node 1 broadcasts 16 |node 1 broadcasts 16 .*node 0 broadcasts 12 ", text), text


# ---- tensors and modules ----

NO_VALUES = ["meta device", "to_empty"]
# name: (model, texts)
REFUSED = {
    "meta": (lambda: nn.Linear(3, 4, device="meta"), ["weight", *NO_VALUES]),
    "frozen meta": (lambda: Tensors(torch.ones(3), frozen(torch.ones(3, device="meta"))), ["p1", *NO_VALUES]),
    "lazy": (lambda: nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(4)), ["1.weight has no shape yet", "one forward pass"]),
    "complex": (lambda: nn.Linear(3, 4, dtype=torch.complex64), ["weight is torch.complex64", "view_as_real"]),
    "sparse": (lambda: Tensors(torch.eye(3).to_sparse()), ["p0 has the layout torch.sparse_coo", ".to_dense()"]),
    "sparse buffer": (
        lambda: Tensors(torch.ones(3), buffers=[torch.eye(3).to_sparse()]),
        ["b0 has the layout torch.sparse_coo", "init_sync=False"],
    ),
    "expanded buffer": (lambda: Tensors(torch.ones(3), buffers=[torch.ones(1).expand(3)]), ["b0", "clone()"]),
    "nothing trained": (lambda: nn.Linear(3, 4).requires_grad_(False), ["no trained parameter", "requires_grad"]),
    "no parameter": (nn.ReLU, ["no trained parameter"]),
    "nothing inside": (lambda: Tensors(torch.ones(0)), ["nothing to average"]),
    "shared memory": (
        lambda: (lambda t: Tensors(nn.Parameter(t[:4]), nn.Parameter(t[2:])))(torch.ones(6)),
        ["p0 and p1 share memory", "the same Parameter"],
    ),
    "gaps": (lambda: Tensors(torch.ones(6, 4)[:, :2]), ["p0", "(6, 2)", "(4, 1)", "contiguous"]),
    "expanded": (lambda: Tensors(torch.ones(1).expand(4)), ["p0", "strides (0,)", "contiguous"]),
    "no module": (lambda: [torch.ones(3)], ["the model is a list", "torch.nn.Module"]),
    "DataParallel": (lambda: nn.DataParallel(nn.Linear(3, 4)), ["DataParallel of torch", ".module"]),
    "DataParallel inside": (
        lambda: nn.Sequential(nn.Linear(3, 3), nn.DataParallel(nn.Linear(3, 4))),
        ["the submodule 1 is a DataParallel of torch", ".module"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_models(case):
    make, texts = REFUSED[case]
    refused(lambda group: sgp.DistributedDataParallel(make(), group=group), *texts)


def test_integer_parameters_are_refused_when_a_mixer_gets_them():
    refused(lambda group: sgp.Mixer([torch.arange(3)], group=group), "tensor 0 is torch.int64", "floating-point")


@pytest.mark.parametrize(
    "given, texts",
    [
        (torch.ones(3, 4), ["a Tensor", "list", "dict"]),
        ([], ["nothing to average"]),
        ([1.0], ["tensor 0 is a float"]),
        ([torch.ones(3)] * 2, ["tensor 0 and tensor 1 are the same tensor"]),
    ],
)
def test_refused_tensors_of_a_mixer(given, texts):
    refused(lambda group: sgp.Mixer(given, group=group), *texts)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_alias_is_for_float32(dtype):
    text = refused(lambda group: sgp.DistributedDataParallel(nn.Linear(3, 4).to(dtype), group=group, mode="alias"), size=2)
    assert text.startswith(f"weight is {dtype} on cpu; mode='alias' is for float32 on the CPU")
    assert "mode='delta'" in text


def test_local_tensors_of_all_kinds_start_as_those_of_node_0():
    """Parameters that are not trained, and buffers, are not averaged. Integers, complex numbers and so on are fine."""

    def body(group):
        own = 1 + group.rank
        kinds = (torch.int64, torch.bool, torch.float16, torch.complex64, torch.uint8)
        local = [torch.full((2, 3), own).to(kind) for kind in kinds]
        local += [torch.tensor(own), torch.ones(0), torch.full((3, 2), float(own)).t()]
        model = Tensors(torch.full((3,), float(own)), *(frozen(t) for t in local), buffers=[t.clone() for t in local])
        wrapper = sgp.DistributedDataParallel(model, group=group)
        assert wrapper.mixer.mode == "alias"
        for i, tensor in enumerate(local):
            for found in (getattr(model, f"p{1 + i}"), getattr(model, f"b{i}")):
                assert torch.equal(found, torch.ones_like(tensor)), i
                assert found.dtype == tensor.dtype
                found.data.copy_(tensor)
        model.p0.grad = torch.ones(3)
        SGD(model.parameters()).step()
        assert all(torch.equal(getattr(model, f"b{i}"), tensor) for i, tensor in enumerate(local))

    run_nodes(2, body)


def test_without_init_sync_local_tensors_may_be_sparse():
    def body(group):
        model = Tensors(torch.ones(3), buffers=[torch.eye(3).to_sparse(), torch.ones(1).expand(3)])
        sgp.DistributedDataParallel(model, group=group, init_sync=False)

    run_nodes(2, body)


def test_memory_shared_with_a_buffer_stays_shared():
    def body(group):
        values = torch.ones(3)
        model = Tensors(nn.Parameter(values), buffers=[values])
        wrapper = sgp.DistributedDataParallel(model, group=group)
        model.p0.grad = torch.full((3,), 1.0 + group.rank)
        SGD(model.parameters()).step()
        assert wrapper.mixer.mode == "delta"
        assert torch.equal(model.p0, model.b0)
        assert not torch.equal(model.b0, torch.ones(3))

    run_nodes(2, body)


def test_float64_is_exchanged_as_float32_and_keeps_its_precision():
    """Mode delta: what is exchanged is rounded to float32; what a node does not exchange keeps its bits."""

    def body(group):
        model = seeded(lambda: nn.Linear(3, 4)).double()
        before = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            model.weight.copy_(before)
        wrapper = sgp.DistributedDataParallel(model, group=group)
        assert wrapper.mixer.mode == "delta"
        model.weight.grad, model.bias.grad = torch.zeros(4, 3).double(), torch.zeros(4).double()
        SGD(model.parameters()).step()
        assert model.weight.dtype == torch.float64
        torch.testing.assert_close(model.weight.detach(), before, rtol=0, atol=1e-12)
        model.weight.grad += 1 + group.rank
        SGD(model.parameters()).step()
        return before, model.weight.detach().clone()

    for before, after in run_nodes(2, body):
        torch.testing.assert_close(after, before - 0.15, rtol=0, atol=1e-6)


# ---- gradients ----


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 4, sparse=True)

    def forward(self, words):
        return self.embedding(words)


def step_words(model):
    optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=0.1)
    model(torch.tensor([1, 2])).sum().backward()
    assert model.module.embedding.weight.grad.is_sparse
    optimizer.step()


def test_sparse_gradients():
    """Where parameters are averaged they are fine; exact averages of gradients refuse them."""

    def body(group):
        model = sgp.DistributedDataParallel(seeded(Words), group=group)
        step_words(model)
        return model.module.embedding.weight.detach().clone()

    one, other = run_nodes(2, body)
    assert torch.equal(one, other)

    texts = ["embedding.weight is sparse", "sparse=False", "sgp"]
    refused(lambda g: step_words(sgp.DistributedDataParallel(Words(), group=g, algorithm="allreduce")), *texts, size=2)
    refused(lambda g: step_words(sgp.DistributedDataParallel(Words(), group=g, workers_per_node=2)), *texts, size=2)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(3, 4), nn.Linear(3, 4)

    def forward(self, x):
        return self.used(x)


@pytest.mark.parametrize("algorithm", ["sgp", "allreduce"])
@pytest.mark.parametrize("find", [False, True])
def test_unused_parameters(algorithm, find):
    """They stay as they are; find_unused_parameters has no effect."""

    def body(group):
        model = seeded(Unused)
        before = model.unused.weight.detach().clone()
        train(sgp.DistributedDataParallel(model, group=group, algorithm=algorithm, find_unused_parameters=find))
        assert torch.equal(model.unused.weight, before)
        return model.used.weight.detach().clone()

    one, other = run_nodes(2, body)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


WAYS = {
    "sgp": {},
    "osgp": {"algorithm": "osgp"},
    "delta": {"mode": "delta"},
    "delta beside the computation": {"mode": "delta", "algorithm": "osgp"},
    "allreduce": {"algorithm": "allreduce"},
    "in backward": {"optimizer_in_backward": functools.partial(torch.optim.SGD, lr=0.1)},
}


@pytest.mark.parametrize("way", WAYS)
def test_not_finite(way):
    """The node is told which tensor it is; the other node, which one is lost."""
    if way == "in backward" and TORCH < (2, 1):
        pytest.skip("optimizer_in_backward needs torch 2.1")

    def body(group):
        model = sgp.DistributedDataParallel(
            seeded(lambda: nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))), group=group, **WAYS[way]
        )
        optimizer = model.optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(4):
            optimizer.zero_grad()
            loss = model(torch.ones(2, 3)).sum()
            if group.rank == 1 and step == 1:
                loss = loss + model.module[1].bias.sum() * float("nan")
            loss.backward()
            optimizer.step()
        group.barrier()

    other, failed = errors_with_loss(2, body)
    assert failed.status == "SGP_ERR_NOT_FINITE"
    assert re.search(r"\b1\.bias has an infinity or a NaN on node 1", str(failed)), failed
    assert "learning rate" in str(failed)
    assert other.status == "SGP_ERR_PEER_LOST"
    assert "node 1" in str(other)


# ---- the model changes after it was wrapped ----


def step_after(change):
    """Wraps, steps, changes the model, and steps again."""

    def body(group):
        model = sgp.DistributedDataParallel(nn.Sequential(nn.Linear(3, 3), frozen_bias(1).requires_grad_(False)), group=group)
        optimizer = SGD(model.module[0].parameters())
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).sum().backward()
            optimizer.step()
            change(model.module, optimizer)

    return body


def unfreeze(model, _):
    model[1].weight.requires_grad_(True)


def add(model, _):
    model.add_module("2", nn.Linear(4, 4))


def add_to_optimizer(model, optimizer):
    add(model, optimizer)
    optimizer.add_param_group({"params": list(model[2].parameters())})


def freeze(model, _):
    model[0].bias.requires_grad_(False)


def remove(model, _):
    model[0].bias = None


def resize(model, _):
    model[0].bias = nn.Parameter(torch.ones(1))


@pytest.mark.parametrize(
    "change, texts",
    [
        (unfreeze, ["1.weight", "only since the model was wrapped", "wrap model.module again"]),
        (add, ["2.weight", "was added", "wrap model.module again"]),
        (add_to_optimizer, ["2.weight", "wrap model.module again"]),
        (freeze, ["0.bias was frozen", "after the model was wrapped", "freeze before"]),
        (remove, ["0.bias was removed", "wrap the model again"]),
        (resize, ["0.bias has the shape (1,) now, and had (3,)", "wrap the model again"]),
    ],
)
def test_changed_after_wrapping(change, texts):
    refused(step_after(change), *texts)


# ---- wrapping twice ----


def test_wrapping_twice():
    def both(first, second):
        def body(group):
            inner = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
            wrapper = sgp.DistributedDataParallel(first(inner), group=group)
            with pytest.raises(sgp.Error) as caught:
                sgp.DistributedDataParallel(second(wrapper, inner), group=group)
            wrapper.close()
            sgp.DistributedDataParallel(inner, group=group)
            return str(caught.value)

        return alone(body)

    for of_wrapper in (lambda w, m: w, lambda w, m: nn.Sequential(nn.Linear(3, 3), w)):
        text = both(lambda m: m, of_wrapper)
        assert "is wrapped already" in text
        assert "close()" in text
    belongs = "belongs to a wrapper already"
    assert f"0.weight {belongs}" in both(lambda m: m, lambda w, m: m)
    assert f"weight {belongs}" in both(lambda m: m, lambda w, m: m[1])
    assert f"1.weight {belongs}" in both(lambda m: m[1], lambda w, m: m)


def test_a_wrapper_that_was_dropped_does_not_count():
    for algorithm in ("sgp", "osgp", "allreduce"):

        def body(group, algorithm=algorithm):
            model = linear()
            train(sgp.DistributedDataParallel(model, group=group, algorithm=algorithm))
            train(sgp.DistributedDataParallel(model, group=group))

        run_nodes(2, body)


def test_the_wrapper_of_torch(tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(nn.Linear(3, 4))
        refused(lambda group: sgp.DistributedDataParallel(model, group=group), "of torch", "wrap its .module")
    finally:
        torch.distributed.destroy_process_group()


# ---- options ----

WRONG_OPTIONS = [
    ("algorithm", "sgd", "one of sgp, osgp, dpsgd, adpsgd, allreduce, server"),
    ("graph", "torus", "one of exponential"),
    ("graph", 3, "one of exponential"),
    ("peers", 0, "1 or more"),
    ("peers", 1.5, "a whole number"),
    ("peers", 2**40, "1 or more"),
    ("overlap", -1, '0 or more steps, or "async"'),
    ("overlap", "late", '0 or more steps, or "async"'),
    ("encoding", "int7", "one of float32, bfloat16, float16"),
    ("local_steps", 0, "1 or more"),
    ("slow_momentum", 1.0, "at least 0 and below 1"),
    ("slow_momentum", float("nan"), "at least 0 and below 1"),
    ("slow_every", -1, "0 or more"),
    ("outer_lr", 11, "at most 10"),
    ("outer_momentum", 1.0, "at least 0 and below 1"),
    ("mode", "copy", "one of auto, alias, delta"),
    ("workers_per_node", 0, "1 or more"),
    ("timeout", 0, "seconds above 0"),
    ("timeout", float("inf"), "seconds above 0"),
    ("timeout", "soon", "a number"),
    ("timeout", True and [1], "a number"),
    ("seed", -1, "from 0 to"),
]


@pytest.mark.parametrize("name, value, text", WRONG_OPTIONS)
def test_options_out_of_range(name, value, text):
    with pytest.raises(sgp.Error) as caught:
        options.collect({name: value}, {})
    assert str(caught.value).startswith(f"{name}={value!r}: must be ")
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "name, value", [("ALGORITHM", "sgd"), ("PEERS", "0"), ("PEERS", "two"), ("OVERLAP", "1.5"), ("TIMEOUT", "-1")]
)
def test_wrong_values_in_the_environment(monkeypatch, name, value):
    monkeypatch.setenv(f"SGP_TORCH_{name}", value)
    refused(lambda group: sgp.DistributedDataParallel(linear(), group=group), f"SGP_TORCH_{name}={value!r}: must be ")


def test_unknown_names(monkeypatch):
    refused(
        lambda group: sgp.DistributedDataParallel(linear(), group=group, algoritm="sgp"),
        "algoritm: unknown option; did you mean algorithm?",
    )
    refused(lambda group: sgp.Mixer([torch.ones(3)], group=group, colour=1), "colour: unknown option; one of algorithm, ")
    refused(
        lambda group: sgp.DistributedDataParallel(linear(), group=group, bucket_mbs=1),
        "bucket_mbs: unknown option; did you mean bucket_mb?",
    )
    monkeypatch.setenv("SGP_TORCH_FAVOURITE", "somebody else's")
    options.collect({})
    monkeypatch.setenv("SGP_TORCH_ALGORITM", "osgp")
    with pytest.raises(sgp.Error, match=r"SGP_TORCH_ALGORITM: .*did you mean SGP_TORCH_ALGORITHM"):
        options.collect({})


@pytest.mark.parametrize(
    "given, texts",
    [
        ({"process_group": object()}, ["process_group", "group=sgp_torch.Group"]),
        ({"mixed_precision": object()}, ["mixed_precision", "leave it out"]),
        ({"device_mesh": object()}, ["device_mesh", "leave it out"]),
        ({"device_ids": [0, 1]}, ["device_ids=[0, 1]", "one device"]),
        ({"device_ids": ["meta"]}, ["to meta", "weight is on cpu", "device_ids"]),
        ({"bucket_mb": 0}, ["bucket_mb=0", "more than 0"]),
        ({"slow_momentum": 0.5}, ["slow momentum 0.5", "slow_every"]),
        ({"outer_momentum": 0.5}, ["outer momentum 0.5", "outer_lr"]),
        ({"outer_lr": 0.5, "algorithm": "osgp"}, ["outer steps with an overlap", "overlap 0"]),
        ({"algorithm": "allreduce", "overlap": 1}, ["overlap=1", "allreduce"]),
        ({"algorithm": "allreduce", "local_steps": 4}, ["local_steps=4", "allreduce"]),
        ({"algorithm": "allreduce", "rounds": 2}, ["rounds=2", "allreduce"]),
        ({"algorithm": "osgp", "rounds": 2}, ["rounds", "sgp and dpsgd"]),
        ({"workers_per_node": 2}, ["1 processes is not a whole number of nodes of 2 workers"]),
    ],
)
def test_refused_keywords(given, texts):
    refused(lambda group: sgp.DistributedDataParallel(linear(), group=group, **given), *texts)


def test_more_peers_than_nodes():
    refused(lambda group: sgp.DistributedDataParallel(linear(), group=group, peers=7), "7 peers among 2 nodes", size=2)


def test_the_group_must_be_ours():
    with pytest.raises(sgp.Error, match=r"group='world': must be a sgp_torch\.Group"):
        sgp.DistributedDataParallel(linear(), group="world")
    with pytest.raises(sgp.Error, match=r"group='world': must be a sgp_torch\.Group"):
        sgp.Mixer([torch.ones(3)], group="world")


# ---- groups ----


@pytest.mark.parametrize(
    "given, text",
    [
        ({"rank": 2, "size": 2}, "rank=2: must be 0 to 1"),
        ({"rank": -1, "size": 2}, "rank=-1: must be"),
        ({"rank": 1}, "rank=1 without size"),
        ({"rank": 0, "size": 0}, "size=0"),
        ({"rank": 0, "size": 2, "transport": "pigeon"}, "pigeon"),
        ({"rank": 0, "size": 2, "join": "nowhere"}, "nowhere"),
        ({"rank": 0, "size": 2, "rendezvous": "/nosuch/place"}, "/nosuch/place"),
        ({"size": "two"}, "size='two'"),
        ({"size": 2.5}, "size=2.5"),
        ({"rank": 0, "size": 1, "timeout": 0}, "timeout=0"),
        ({"rank": 0, "size": 1, "join_timeout": float("inf")}, "join_timeout=inf"),
        ({"rank": 0, "size": 1, "peer_timeout": "soon"}, "peer_timeout='soon'"),
    ],
)
def test_refused_groups(given, text):
    with pytest.raises(sgp.Error) as caught:
        sgp.Group(**given)
    assert text in str(caught.value)


def test_init_twice(monkeypatch, tmp_path):
    monkeypatch.setattr("sgp_torch.group._default", None)
    group = sgp.init(rank=0, size=1)
    try:
        with pytest.raises(sgp.Error, match="has been joined already"):
            sgp.init(rank=0, size=1)
        assert (sgp.rank(), sgp.size()) == (0, 1)
        with pytest.raises(sgp.Error, match=r"root=1: .*0 to 0"):
            sgp.broadcast(torch.ones(3), root=1)
    finally:
        group.leave()
    with pytest.raises(sgp.Error, match="the group has been left"):
        sgp.barrier()


def test_a_group_that_has_been_left():
    def body(group):
        other = group.duplicate()
        other.leave()
        for use in (
            other.barrier,
            lambda: sgp.DistributedDataParallel(linear(), group=other),
            lambda: sgp.Mixer([torch.ones(3)], group=other),
        ):
            with pytest.raises(sgp.Error, match="the group has been left"):
                use()

    run_nodes(2, body)


# ---- calls at the wrong time ----


def test_calls_after_close():
    def body(group):
        tensor = torch.ones(3)
        mixer = sgp.Mixer([tensor], group=group)
        mixer.close()
        mixer.close()
        for use in (mixer.step, mixer.hold, mixer.average_, mixer.consensus, mixer.statistics, mixer.state_dict):
            with pytest.raises(sgp.Error, match="the mixer has been closed"):
                use()
        with pytest.raises(sgp.Error, match="the mixer has been closed"), mixer.averaged():
            pass
        wrapper = sgp.DistributedDataParallel(linear(), group=group)
        wrapper.close()
        wrapper.close()
        for use in (wrapper.average_, wrapper.consensus, wrapper.statistics, wrapper.mixer_state_dict):
            with pytest.raises(sgp.Error, match=r"closed.*wrap its \.module"):
                use()
        train(wrapper)  # by this node alone

    run_nodes(2, body)


@pytest.mark.parametrize("mode", ["alias", "delta"])
def test_calls_inside_averaged(mode):
    def body(group):
        model = sgp.DistributedDataParallel(linear(), group=group, mode=mode)
        optimizer = train(model, 1)
        before = model.module.weight.detach().clone()
        with model.averaged():
            for use in (optimizer.step, model.average_, model.mixer_state_dict):
                with pytest.raises(sgp.Error, match="leave `with averaged"):
                    use()
        assert torch.equal(model.module.weight, before)
        optimizer.step()

    run_nodes(2, body)


@pytest.mark.parametrize("given", [{"algorithm": "osgp"}, {"overlap": "async"}, {"algorithm": "osgp", "mode": "delta"}])
def test_a_step_without_hold(given):
    refused(lambda group: sgp.Mixer([torch.ones(3)], group=group, **given).step(), "call hold()", "update()")


def test_a_state_of_another_node():
    def body(group):
        state = sgp.Mixer([torch.ones(3)], group=group).state_dict()
        state["rank"] = 7
        sgp.Mixer([torch.ones(3)], group=group).load_state_dict(state)

    refused(body, "the state has rank 7", "0", status="SGP_ERR_MISMATCH")


# ---- torch and libsgp ----


def test_a_torch_that_is_too_old(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "1.12.1+cpu")
    with pytest.raises(sgp.Error, match=r"torch 1\.12\.1.*1\.13 or newer") as caught:
        sgp.Group(rank=0, size=1)
    assert caught.value.status == "SGP_ERR_UNSUPPORTED"


@pytest.mark.parametrize("version", ["1.13.0a0", "2.0.0a0+git", "2.15.0", "10.0"])
def test_a_torch_that_is_new_enough(monkeypatch, version):
    monkeypatch.setattr(torch, "__version__", version)
    sgp.Group(rank=0, size=1).leave()


def shared_object(tmp_path, code):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source, path = tmp_path / "other.c", tmp_path / "libother.so"
    source.write_text(code)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(path), str(source)], check=True)
    return str(path)


@pytest.mark.parametrize(
    "code, texts",
    [
        ('const char *sgp_version(void) { return "2.0.0"; }', ["libsgp 2.0.0", "needs 1.0 or newer"]),
        ('const char *sgp_version(void) { return "0.9"; }', ["libsgp 0.9", "needs 1.0 or newer"]),
        ('const char *sgp_version(void) { return "new"; }', ["libsgp new", "needs 1.0 or newer"]),
        ("int other;", ["without sgp_version"]),
        ('const char *sgp_version(void) { return "1.0.0"; }', ["1.0.0", "lacks sgp_"]),
    ],
)
def test_a_library_of_another_version(monkeypatch, tmp_path, code, texts):
    path = shared_object(tmp_path, code)
    monkeypatch.setenv("SGP_LIBRARY", path)
    with pytest.raises(sgp.Error) as caught:
        library._open()
    assert caught.value.status == "SGP_ERR_MISMATCH"
    for text in (path, "install sgp-torch again", *texts):
        assert text in str(caught.value)


def test_a_library_that_cannot_be_loaded(monkeypatch, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("no library")
    for path in (str(file), str(tmp_path / "libnone.so"), str(tmp_path)):
        monkeypatch.setenv("SGP_LIBRARY", path)
        with pytest.raises(sgp.Error) as caught:
            library._open()
        assert caught.value.status == "SGP_ERR_NOT_FOUND"
        assert path in str(caught.value)
        assert f"SGP_LIBRARY={path}" in str(caught.value)
    monkeypatch.delenv("SGP_LIBRARY")
    monkeypatch.setattr(library, "_path", lambda: "libsgp-none.so.1")
    with pytest.raises(sgp.Error, match="install sgp-torch"):
        library._open()


def test_a_child_of_fork_has_no_part_in_the_group():
    def body(group):
        pid = os.fork()
        if pid == 0:
            try:
                group.barrier()
            except sgp.Error as error:
                os._exit(7 if "fork" in str(error) else 8)
            finally:
                os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        group.barrier()

    run_nodes(2, body)
