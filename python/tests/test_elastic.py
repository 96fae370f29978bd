# SPDX-License-Identifier: Apache-2.0
"""Nodes are lost or leave, and the others train on. A node that aborts its group is to the others one whose process has ended."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sgp_torch as sgp

from nodes import LIMIT, data, errors_of_nodes, run_nodes, seeded

NODES, GONE, STEPS = 4, 2, 40
needs_torch_2_1 = pytest.mark.skipif(
    not hasattr(torch.Tensor, "register_post_accumulate_grad_hook"), reason="optimizer_in_backward needs torch 2.1"
)


def network() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)))


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def train(model: nn.Module, steps: int, samples: torch.Generator) -> float:
    """The mean loss of the last steps."""
    optimizer = getattr(model, "optimizer", None) or sgd(model.parameters())
    losses = []
    for _ in range(steps):
        x = torch.randn(16, 8, generator=samples)
        loss = ((model(x) - x.sum(1, keepdim=True).sign()) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return sum(losses[-10:]) / 10


@pytest.mark.parametrize("orderly", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "delta"},
        {"overlap": 1},
        {"overlap": 1, "mode": "delta"},
        {"overlap": "async"},
        {"algorithm": "dpsgd"},
        pytest.param({"optimizer_in_backward": sgd, "bucket_mb": 1e-5}, marks=needs_torch_2_1),
        pytest.param({"optimizer_in_backward": sgd, "algorithm": "dpsgd"}, marks=needs_torch_2_1),
    ],
    ids=str,
)
def test_training_goes_on(options, orderly):
    def body(group):
        model = sgp.DistributedDataParallel(network(), group=group, elastic=True, **options)
        if group.rank == GONE:
            train(model, STEPS // 2, data(group.rank))
            (group.leave if orderly else group.abort)()
            return None
        loss = train(model, STEPS, data(group.rank))
        model.average_()
        return group.present(), group.events(), model.consensus(), loss, [p.detach().clone() for p in model.parameters()]

    results = [result for result in run_nodes(NODES, body, elastic=True) if result]
    assert len(results) == NODES - 1
    for there, events, consensus, loss, parameters in results:
        assert there == [0, 1, 3]
        assert [(event.kind, event.rank) for event in events if event.kind in ("lost", "left")] == [
            ("left" if orderly else "lost", GONE)
        ]
        assert consensus["w_total"] == pytest.approx(NODES - 1)
        assert loss < 0.9
        assert all(torch.equal(a, b) for a, b in zip(parameters, results[0][4]))


def test_calls_of_the_group():
    def body(group):
        group.barrier()
        if group.rank == 0:
            group.abort()
            return None
        there = group.present()
        tensor = torch.full((100_000,), float(group.rank))  # more than one gather
        group.broadcast(tensor, root=3)
        text = group.broadcast_bytes(b"from one" if group.rank == 1 else b"", root=1)
        with pytest.raises(sgp.Error, match="root=0: that node is gone") as gone:
            group.broadcast(torch.zeros(3))
        return there, tensor.unique().tolist(), text, gone.value.status

    for result in run_nodes(NODES, body, elastic=True)[1:]:
        assert result == ([1, 2, 3], [3.0], b"from one", "SGP_ERR_PEER_LOST")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"graph": "ring"}, "ring with one peer"),
        ({"workers_per_node": 2}, "workers"),
    ],
    ids=str,
)
def test_what_cannot_be_elastic(options, text):
    """As soon as the wrapper is made, with the cause."""

    def body(group):
        sgp.DistributedDataParallel(network(), group=group, **options)

    for error in errors_of_nodes(NODES, body, elastic=True):
        assert isinstance(error, sgp.Error), error
        assert text in str(error)
        assert error.status == "SGP_ERR_UNSUPPORTED"


def test_a_group_that_is_not_elastic():
    for error in errors_of_nodes(2, lambda group: sgp.Mixer([torch.zeros(20)], group=group, elastic=True)):
        assert "the group is not elastic" in str(error)


@pytest.mark.parametrize("value", ["yes", "2"])
def test_a_wrong_value(value, monkeypatch):
    monkeypatch.setenv("SGP_TORCH_ELASTIC", value)
    with pytest.raises(sgp.Error, match=f"SGP_TORCH_ELASTIC='{value}': must be"):
        sgp.Group(rank=0, size=1)


# ---- the sampler ----


def iterate(group, samples, steps_of=None, **options):
    """The batches of an epoch; steps_of: rank -> steps after which it aborts."""
    sampler = sgp.ElasticSampler(range(samples), 4, group=group, **options)
    batches = []
    for batch in sampler:
        batches.append(batch)
        if steps_of and steps_of.get(group.rank) == len(batches):
            group.abort()
            return batches, None
    return batches, sampler


@pytest.mark.parametrize(("nodes", "samples"), [(1, 10), (2, 64), (3, 100), (4, 50), (4, 7)])
@pytest.mark.parametrize("elastic", [False, True])
def test_an_epoch_without_losses(nodes, samples, elastic):
    found = run_nodes(nodes, lambda group: iterate(group, samples), elastic=elastic)
    batches = [batches for batches, _ in found]
    used = [i for each in batches for batch in each for i in batch]
    assert len(used) == len(set(used)) > samples - nodes
    assert len({len(each) for each in batches}) == 1
    assert all(0 < len(batch) <= 4 for each in batches for batch in each)
    assert all(sampler.missed == 0 for _, sampler in found)


@pytest.mark.parametrize("every", [1, 3, 100])
@pytest.mark.parametrize("steps_of", [{2: 5}, {0: 3, 3: 8}, {0: 1, 1: 2, 2: 3}], ids=str)
def test_an_epoch_with_losses(every, steps_of):
    """No sample is used twice, the survivors make the same steps, and what is left out is in `missed`, or less than a step."""
    samples = 200
    found = run_nodes(4, lambda group: iterate(group, samples, steps_of, agree_every=every), elastic=True)
    left = [(batches, sampler) for batches, sampler in found if sampler]
    assert len(left) == 4 - len(steps_of)
    assert len({len(batches) for batches, _ in left}) == 1
    used = [i for batches, _ in found for batch in batches for i in batch]
    assert len(used) == len(set(used))
    missed = left[0][1].missed
    assert all(sampler.missed == missed for _, sampler in left)
    assert samples - len(used) <= missed + 3
    if every < 100:
        assert [sampler.members for _, sampler in left] == [[r for r in range(4) if r not in steps_of]] * len(left)


def test_epochs_differ_and_go_on():
    def body(group):
        sampler = sgp.ElasticSampler(range(40), 4, group=group, seed=3, agree_every=2)
        epochs = []
        for epoch in range(3):
            sampler.set_epoch(epoch)
            epochs.append(list(sampler))
        first = sgp.ElasticSampler(range(40), 4, group=group, seed=3, agree_every=2)
        half = [batch for batch, _ in zip(first, range(2))]
        rest = sgp.ElasticSampler(range(40), 4, group=group, seed=3, agree_every=2)
        rest.load_state_dict({"epoch": 0, "cursor": 16, "missed": 0})
        return epochs, half + list(rest)

    for epochs, resumed in run_nodes(2, body):
        assert epochs[0] != epochs[1] != epochs[2]
        assert resumed == epochs[0]


def test_nodes_at_different_places():
    def body(group):
        sampler = sgp.ElasticSampler(range(40), 4, group=group)
        sampler.set_epoch(group.rank)
        list(sampler)

    for error in errors_of_nodes(2, body):
        assert "every node iterates it alike" in str(error)


# ---- processes ----

SCRIPT = """
import os, signal, sys
import torch
import sgp_torch as sgp
torch.set_num_threads(1)
rank, how = sgp.rank(), sys.argv[1]
data = torch.utils.data.TensorDataset(torch.randn(480, 8))
sampler = sgp.ElasticSampler(data, 4)
loader = torch.utils.data.DataLoader(data, batch_sampler=sampler)
model = sgp.DistributedDataParallel(torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step, (x,) in enumerate(loader):
    if rank == 1 and step == 10:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "raises":
            raise ValueError("of node 1")
        sys.exit()
    model(x).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
events = [(event.kind, event.rank) for event in sgp.events() if event.kind in ("lost", "left")]
line = f"node {rank}: {step + 1} steps, w {model.consensus()['w_total']:.3f}, events {events}"
os.write(1, (line + chr(10)).encode())  # as one piece, between those of the others
"""


@pytest.mark.parametrize(("how", "transport"), [("killed", "shm"), ("killed", "tcp"), ("raises", "shm"), ("leaves", "tcp")])
def test_processes(how, transport, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    source = str(Path(sgp.__file__).parents[1])
    end = subprocess.run(
        [sys.executable, "-m", "sgp_torch.run", "--nodes", "3", "--on-loss", "continue", "--transport", transport, script, how],
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert end.returncode == 0, end.stderr
    steps = {line.split(", ")[0].split(": ")[1] for line in end.stdout.splitlines()}
    kind = "left" if how == "leaves" else "lost"
    assert sorted(line.split(", w ")[1] for line in end.stdout.splitlines()) == [f"2.000, events [('{kind}', 1)]"] * 2
    assert len(steps) == 1
    if how == "killed":
        assert end.stderr == "sgp_torch.run: node 1 was lost (signal 9, SIGKILL): the others go on\n"
    elif how == "raises":
        assert "ValueError: of node 1" in end.stderr
        assert "sgp_torch.run: node 1 was lost (exit status 1): the others go on\n" in end.stderr
    else:
        assert end.stderr == ""
