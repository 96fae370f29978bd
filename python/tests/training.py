# SPDX-License-Identifier: Apache-2.0
"""Small models, data and training loops for tests, and what they should give: the same loops in plain torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Callable

import torch
from torch import nn

import sgp_torch as sgp

from nodes import data, run_nodes, seeded

VERSION = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
Batch = tuple[torch.Tensor, torch.Tensor]
MODES = ["alias", "delta"]


def mlp() -> nn.Module:
    """6 inputs, 3 outputs; tensors of several sizes, none of which fills whole cache lines."""
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 3))


def bn_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


def batches(rank: int, count: int, size: int = 5) -> list[Batch]:
    """Samples of one node: (size, 6) and (size, 3)."""
    generator = data(rank)
    draw = [torch.randn(size, 9, generator=generator) for _ in range(count)]
    return [(both[:, :6], both[:, 6:]) for both in draw]


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def loss_of(model: Callable[..., Any], batch: Batch) -> torch.Tensor:
    x, y = batch
    return ((model(x) - y) ** 2).mean()


def train(model: nn.Module, optimizer: Any, samples: Iterable[Batch], loss: Any = loss_of) -> list[float]:
    """A step for each batch. The losses before each step."""
    losses = []
    for batch in samples:
        optimizer.zero_grad()
        value = loss(model, batch)
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    return losses


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the parameters and buffers, by their names in the module that was wrapped."""
    module = getattr(model, "module", model)
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def mean(each: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """In float64."""
    return {name: sum(one[name].double() for one in each) / len(each) for name in each[0]}


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float = 2e-6) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(
            found[name].double(), expected[name].double(), rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


def assert_same_bits(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        difference = (found[name].double() - expected[name].double()).abs().max() if found[name].numel() else 0
        assert torch.equal(found[name], expected[name]), f"{name} differs by up to {difference}"


def lock_step(
    size: int,
    make_model: Callable[[], nn.Module],
    make_optimizer: Callable[[nn.Module], Any],
    count: int,
    step: Callable[[nn.Module, Any, Any], None] | None = None,
    make_batches: Callable[[int, int], list[Any]] = batches,
) -> dict[str, torch.Tensor]:
    """The reference of lock step where each exchange gives the exact mean (two nodes, one peer), in plain torch: after each
    step of all nodes, each has the mean of their floating-point state."""
    models = [seeded(make_model) for _ in range(size)]
    optimizers = [make_optimizer(model) for model in models]
    samples = [make_batches(rank, count) for rank in range(size)]
    for k in range(count):
        for model, optimizer, mine in zip(models, optimizers, samples):
            (step or plain_step)(model, optimizer, mine[k])
        with torch.no_grad():
            for same in zip(*(model.state_dict().values() for model in models)):
                if same[0].is_floating_point():
                    middle = sum(tensor.double() for tensor in same) / size
                    for tensor in same:
                        tensor.copy_(middle)
    return values(models[0])


def plain_step(model: nn.Module, optimizer: Any, batch: Batch) -> None:
    optimizer.zero_grad()
    loss_of(model, batch).backward()
    optimizer.step()


def wrapped(group: sgp.Group, make_model: Callable[[], nn.Module] = mlp, **options: Any) -> sgp.DistributedDataParallel:
    """The optimizer's moments are its own, as in the loops in plain torch."""
    options = {"second_moment": "local", **options}
    return sgp.DistributedDataParallel(seeded(make_model), group=group, **options)


def one_node(body: Callable[[sgp.Group], Any]) -> Any:
    """body(group) on a node alone."""
    return run_nodes(1, body)[0]
