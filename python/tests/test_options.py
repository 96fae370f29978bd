# SPDX-License-Identifier: Apache-2.0
"""Options: a keyword comes before the environment, and that before the default. And the keywords of torch's class."""

from __future__ import annotations

import collections

import pytest
import torch
from torch import nn

import sgp_torch as sgp
from sgp_torch import options as options_
from sgp_torch.gradients import moved

from nodes import run_nodes, seeded
from training import batches, mlp, one_node, train, values, wrapped

GIVEN = {
    "algorithm": ("osgp", "osgp"),
    "graph": ("ring", "ring"),
    "peers": ("2", 2),
    "overlap": ("async", "async"),
    "encoding": ("float16", "float16"),
    "local_steps": ("3", 3),
    "slow_momentum": ("0.5", 0.5),
    "slow_every": ("4", 4),
    "mode": ("delta", "delta"),
    "workers_per_node": ("2", 2),
    "timeout": ("2.5", 2.5),
    "seed": ("7", 7),
    "second_moment": ("local", "local"),
    "elastic": ("1", True),
    "rounds": ("auto", "auto"),
    "outer_lr": ("0.7", 0.7),
    "outer_momentum": ("0.8", 0.8),
}


def test_every_option_has_a_variable():
    assert set(GIVEN) == set(options_.NAMES)


@pytest.mark.parametrize("name", GIVEN)
def test_the_environment_gives_defaults(name):
    text, value = GIVEN[name]
    default = getattr(options_.collect({}, {}), name)
    environment = {f"SGP_TORCH_{name.upper()}": text}
    assert default != value
    assert getattr(options_.collect({}, environment), name) == value
    others = [other for other in options_.NAMES if other != name]
    for other in others:
        assert getattr(options_.collect({}, environment), other) == getattr(options_.collect({}, {}), other)


@pytest.mark.parametrize("name", GIVEN)
def test_keywords_win_and_none_is_not_given(name):
    text, value = GIVEN[name]
    default = getattr(options_.collect({}, {}), name)
    environment = {f"SGP_TORCH_{name.upper()}": text}
    assert getattr(options_.collect({name: None}, environment), name) == value
    if default not in (None, ""):
        assert getattr(options_.collect({name: default}, environment), name) == default
    assert getattr(options_.collect({}, {f"SGP_TORCH_{name.upper()}": ""}), name) == default


def test_wrappers_and_mixers_read_the_environment(monkeypatch):
    monkeypatch.setenv("SGP_TORCH_ALGORITHM", "osgp")
    monkeypatch.setenv("SGP_TORCH_MODE", "delta")

    def body(group):
        model, other = wrapped(group), wrapped(group, algorithm="sgp", mode="alias")
        mixer = sgp.Mixer([torch.zeros(3)], group=group)
        return [(m.options.algorithm, m.mode) for m in (model.mixer, other.mixer, mixer)]

    assert one_node(body) == [("osgp", "delta"), ("sgp", "alias"), ("osgp", "delta")]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"algorithm": "adam"}, "algorithm='adam'"),
        ({"graph": "star"}, "graph='star'"),
        ({"encoding": "int7"}, "encoding='int7'"),
        ({"mode": "copy"}, "mode='copy'"),
        ({"peers": 0}, "peers=0"),
        ({"peers": 1.5}, "peers=1.5"),
        ({"peers": "many"}, "peers='many'"),
        ({"overlap": -2}, "overlap=-2"),
        ({"overlap": "sometimes"}, "overlap='sometimes'"),
        ({"local_steps": 0}, "local_steps=0"),
        ({"rounds": 0}, "rounds=0.*1 to 64, or"),
        ({"rounds": -1}, "rounds=-1"),
        ({"rounds": 65}, "rounds=65"),
        ({"rounds": 1.5}, "rounds=1.5"),
        ({"rounds": "often"}, "rounds='often'"),
        ({"workers_per_node": 0}, "workers_per_node=0"),
        ({"timeout": 0}, "timeout=0"),
        ({"elastic": "perhaps"}, "elastic='perhaps'"),
        ({"algorithm": 3}, "algorithm=3"),
        ({"algorithmus": "sgp"}, "algorithmus"),
    ],
)
def test_wrong_values_are_named(given, text):
    with pytest.raises(sgp.Error, match=text.replace("(", r"\(")):
        options_.collect(given, {})


def test_a_wrong_variable_is_named_as_such():
    with pytest.raises(sgp.Error, match="SGP_TORCH_PEERS='many'"):
        options_.collect({}, {"SGP_TORCH_PEERS": "many"})


def test_keywords_of_torchs_class_are_accepted():
    """As scripts give them."""

    def body(group):
        model = sgp.DistributedDataParallel(
            seeded(mlp),
            device_ids=None,
            output_device=None,
            dim=0,
            broadcast_buffers=False,
            bucket_cap_mb=25,
            find_unused_parameters=True,
            gradient_as_bucket_view=True,
            static_graph=True,
            group=group,
        )
        train(model, torch.optim.SGD(model.parameters(), lr=0.1), batches(0, 2))
        return model.statistics()["steps"]

    assert one_node(body) == 2


class Takes(nn.Module):
    """Keeps what its forward pass was given."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, *inputs, **keywords):
        self.seen = inputs, keywords
        return self.linear(inputs[0])


Point = collections.namedtuple("Point", "x y")


def test_inputs_are_moved_to_the_device():
    """In nested structures, whatever else is there stays what it is."""
    meta, thing = torch.device("meta"), object()
    point = Point(torch.zeros(1), [torch.zeros(2), thing])
    ordered = collections.OrderedDict(b=torch.zeros(1), a=(torch.zeros(1), 3))
    found = moved((point, ordered, "text", None), meta)
    assert isinstance(found, tuple) and isinstance(found[0], Point) and type(found[1]) is collections.OrderedDict
    assert found[0].x.device == found[0].y[0].device == found[1]["b"].device == found[1]["a"][0].device == meta
    assert found[0].y[1] is thing and found[1]["a"][1] == 3 and found[2:] == ("text", None) and list(found[1]) == ["b", "a"]


def test_device_ids_choose_the_device(monkeypatch):
    seen = []

    def recorded(value, device):
        seen.append(device)
        return moved(value, device)

    monkeypatch.setattr("sgp_torch.parallel.moved", recorded)

    def body(group):
        model = sgp.DistributedDataParallel(seeded(Takes), device_ids=["cpu"], group=group)
        model(torch.zeros(1, 2), [torch.ones(1)], flag=True)
        return model.device, model.module.seen

    device, (inputs, keywords) = one_node(body)
    assert device == torch.device("cpu") and set(seen) == {device}
    assert torch.equal(inputs[0], torch.zeros(1, 2)) and torch.equal(inputs[1][0], torch.ones(1)) and keywords == {"flag": True}


def test_without_device_ids_inputs_are_handed_on():
    given = torch.zeros(1, 2), object()

    def body(group):
        model = sgp.DistributedDataParallel(seeded(Takes), group=group)
        model(*given, k=given)
        return model.module.seen

    inputs, keywords = one_node(body)
    assert inputs[0] is given[0] and inputs[1] is given[1] and keywords["k"] is given


def test_the_wrapper_is_a_module_around_the_module():
    def body(group):
        model = wrapped(group)
        assert isinstance(model.module, nn.Sequential)
        assert len(list(model.parameters())) == len(list(model.module.parameters())) == 6
        model.eval()
        assert not model.module.training
        model.train()
        assert model.module.training
        model._is_prepared = True  # free attributes, as integrations set them
        assert model.require_forward_param_sync is True
        model.register_buffer("note", torch.zeros(1))
        repr(model)
        assert "node 0 of 1" in repr(model)

    one_node(body)


@pytest.mark.parametrize(
    "options",
    [{"graph": name} for name in ("exponential", "static-exponential", "ring", "complete", "random", "base")]
    + [
        {"algorithm": "dpsgd", "graph": "bipartite-exponential"},
        {"algorithm": "adpsgd"},
        {"algorithm": "server"},
        {"encoding": "float16"},
        {"encoding": "bfloat16", "algorithm": "osgp"},
        {"slow_momentum": 0.5, "slow_every": 2},
        {"local_steps": 2},
        {"rounds": 3},
        {"rounds": "auto", "local_steps": 2, "encoding": "bfloat16"},
        {"peers": 3},
        {"local_steps": 2, "outer_lr": 1.0},
        {"local_steps": 2, "outer_lr": 1.0, "algorithm": "allreduce"},
        {"local_steps": 3, "outer_lr": 1.0, "algorithm": "allreduce", "encoding": "int4"},
    ],
)
def test_every_option_trains(options):
    """Four nodes with a linear loss: they move together, by the mean of their gradients."""

    def body(group):
        model = seeded(lambda: nn.Linear(4, 1, bias=False))
        start = values(model)["weight"]
        model = sgp.DistributedDataParallel(model, group=group, **options)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
        for _ in range(6):
            optimizer.zero_grad()
            (model(torch.ones(1, 4)) * (group.rank + 1)).sum().backward()
            optimizer.step()
        with model.averaged():
            return start, values(model)["weight"]

    slow = "slow_every" in options
    for start, found in run_nodes(4, body):
        if not slow:
            torch.testing.assert_close(found, start - 6 * 0.25 * 2.5, rtol=1e-3, atol=1e-3)
        else:  # slow momentum goes further in the same direction
            assert bool((found < start - 6 * 0.25 * 2.5).all())
