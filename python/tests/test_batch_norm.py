# SPDX-License-Identifier: Apache-2.0
"""Running statistics are averaged with the parameters; all other buffers are a node's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import sgp_torch as sgp

from nodes import run_nodes, seeded
from training import MODES, assert_close, batches, bn_mlp, lock_step, mean, one_node, plain_step, train, values, wrapped


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


class WithBuffers(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("mask", torch.full((3, 3), float("-inf")).triu(1))
        self.register_buffer("counter", torch.zeros((), dtype=torch.int64))
        self.register_buffer("table", torch.ones(3))
        self.register_buffer("temporary", torch.zeros(2), persistent=False)

    def forward(self, x):
        self.counter += 1
        self.table.mul_(2)
        return self.norm(self.linear(x)) @ torch.softmax(self.mask, -1)


@pytest.mark.parametrize("options", [{"mode": "alias"}, {"mode": "delta"}, {"algorithm": "allreduce"}])
def test_other_buffers_stay_local(options):
    def body(group):
        model = wrapped(group, WithBuffers, **options)
        optimizer = sgd(model)
        for batch in batches(group.rank, 3):
            for _ in range(group.rank):  # so many forward passes more
                model(batch[0])
            plain_step(model, optimizer, batch)
        with model.averaged():
            shown = values(model)
        return values(model), shown

    for rank, (found, shown) in enumerate(run_nodes(2, body)):
        for state in (found, shown):
            assert int(state["counter"]) == 3 * (1 + rank)
            assert float(state["table"][0]) == 2.0 ** (3 * (1 + rank))
            assert torch.equal(state["mask"], torch.full((3, 3), float("-inf")).triu(1))
            assert all(torch.isfinite(state[name]).all() for name in ("linear.weight", "norm.running_var"))


def norms(kind):
    if kind == "instance":
        return nn.Sequential(nn.Conv1d(1, 2, 2), nn.InstanceNorm1d(2, affine=True, track_running_stats=True), nn.Flatten())
    if kind == "without affine":
        return nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10, affine=False))
    if kind == "cumulative":
        return nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10, momentum=None))
    return nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10, track_running_stats=False))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["instance", "without affine", "cumulative", "without statistics"])
def test_norms_of_all_kinds(kind, mode):
    def of_kind(rank, count):
        return [(x[:, None] if kind == "instance" else x, torch.zeros(1, 10)) for x, _ in batches(rank, count)]

    def body(group):
        model = wrapped(group, lambda: norms(kind), mode=mode)
        train(model, sgd(model), of_kind(group.rank, 4))
        return values(model)

    expected = lock_step(2, lambda: norms(kind), sgd, 4, make_batches=of_kind)
    for found in run_nodes(2, body):
        assert_close(found, expected, 1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"mode": "delta"}, {"mode": "delta", "algorithm": "osgp"}, {"peers": 2}, {"local_steps": 2}]
)
def test_the_mean_of_the_statistics_is_that_of_nodes_apart(options):
    """With a learning rate of 0 a running mean is linear in the batches, so the exchange must not change its mean."""

    def still(model):
        return torch.optim.SGD(model.parameters(), lr=0.0)

    def body(group):
        model = wrapped(group, bn_mlp, **options)
        train(model, still(model), batches(group.rank, 8))
        with model.averaged():
            return values(model)

    apart = []
    for rank in range(4):
        model = seeded(bn_mlp)
        train(model, still(model), batches(rank, 8))
        apart.append(values(model))
    expected = mean(apart)
    for found in run_nodes(4, body):
        for name in ("1.running_mean", "1.running_var"):
            torch.testing.assert_close(found[name].double(), expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"algorithm": "osgp"}, {"overlap": 2}, {"algorithm": "adpsgd"}])
def test_statistics_come_together_with_an_overlap(options):
    """Each node sees data of another mean; the running mean of the average is near the mean of all."""

    def body(group):
        model = wrapped(group, lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)), **options)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        for x, y in batches(group.rank, 60, 16):
            plain_step(model, optimizer, (x + group.rank, y))
            group.barrier()  # adpsgd alone lets a node run ahead, and then has the last word
        with model.averaged():
            return values(model)["0.running_mean"]

    first, second = run_nodes(2, body)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, torch.full((6,), 0.5), rtol=0, atol=0.25)


@pytest.mark.parametrize("mode", MODES)
def test_buffers_may_be_replaced(mode):
    """.to() gives a module other buffer objects, and a module may assign its own."""

    def body(group):
        model = wrapped(group, bn_mlp, mode=mode)
        optimizer = sgd(model)
        for k, batch in enumerate(batches(group.rank, 6)):
            if k == 2:
                model.double().float()
            if k == 4:
                model.module[1].running_mean = model.module[1].running_mean.clone()
            plain_step(model, optimizer, batch)
        return values(model)

    expected = lock_step(2, bn_mlp, sgd, 6)
    for found in run_nodes(2, body):
        assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_averaged_shows_statistics_of_the_last_forward_pass(mode):
    """Forward passes without a step count, too: re-estimating statistics before an evaluation is usual."""

    def body(group):
        model = wrapped(group, bn_mlp, mode=mode)
        train(model, sgd(model), batches(group.rank, 2))
        with torch.no_grad():
            for x, _ in batches(group.rank + 10, 3):
                model(x)
        own = values(model)
        with model.averaged():
            shown = values(model)
        assert torch.equal(own["1.running_mean"], values(model)["1.running_mean"])
        return own, shown

    results = run_nodes(2, body)
    expected = mean([own for own, _ in results])["1.running_mean"]
    for _, shown in results:
        torch.testing.assert_close(shown["1.running_mean"].double(), expected, rtol=1e-6, atol=1e-6)


def test_frozen_statistics_stay():
    """eval() of the norms, as in fine-tuning."""

    def body(group):
        model = wrapped(group, bn_mlp)
        model.module[1].eval()
        train(model, sgd(model), batches(group.rank, 3))
        return values(model)

    for found in run_nodes(2, body):
        assert torch.equal(found["1.running_mean"], torch.zeros(8))
        assert torch.equal(found["1.running_var"], torch.ones(8))


def test_allreduce_averages_statistics_at_each_backward_pass():
    def body(group):
        model = wrapped(group, bn_mlp, algorithm="allreduce")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        train(model, optimizer, batches(group.rank, 4))
        return values(model)

    expected = lock_step(2, bn_mlp, lambda m: torch.optim.SGD(m.parameters(), lr=0.0), 4)
    for found in run_nodes(2, body):
        assert_close(found, expected, 1e-5)


def test_a_node_alone_keeps_its_statistics():
    def body(group):
        model = wrapped(group, bn_mlp, mode="delta", algorithm="osgp")
        train(model, sgd(model), batches(0, 5))
        model.consensus()
        return values(model)

    reference = seeded(bn_mlp)
    train(reference, sgd(reference), batches(0, 5))
    assert_close(one_node(body), values(reference), 1e-5)


def test_mixers_average_buffers_as_well():
    """The same without a module."""

    def body(group):
        tensors, buffers = [torch.zeros(3)], {"statistics": torch.full((5,), float(group.rank))}
        mixer = sgp.Mixer(tensors, buffers=buffers, group=group)
        with mixer.update():
            tensors[0] += group.rank
        return tensors[0].clone(), buffers["statistics"].clone()

    for tensor, buffer in run_nodes(2, body):
        assert torch.equal(tensor, torch.full((3,), 0.5))
        assert torch.equal(buffer, torch.full((5,), 0.5))
