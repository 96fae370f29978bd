# SPDX-License-Identifier: Apache-2.0
"""Where parameters live: they stay what they are to torch and to the optimizer, whatever is done to the model."""

from __future__ import annotations

import gc
import io
import threading
import weakref

import pytest
import torch
from torch import nn

import sgp_torch as sgp

from nodes import run_nodes, seeded
from training import (
    MODES,
    VERSION,
    assert_close,
    assert_same_bits,
    batches,
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


def saved_size(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.tell()


@pytest.mark.parametrize("mode", MODES)
def test_a_saved_tensor_is_no_larger_than_without_us(mode):
    """A view of a large buffer would be saved with all of it."""

    def body(group):
        model = wrapped(group, lambda: nn.Sequential(nn.Linear(200, 200), nn.Linear(3, 3)), mode=mode)
        state = model.module.state_dict()
        return saved_size(state["1.weight"]), saved_size(state)

    plain = seeded(lambda: nn.Sequential(nn.Linear(200, 200), nn.Linear(3, 3))).state_dict()
    one, all_ = one_node(body)
    assert one <= saved_size(plain["1.weight"]) + 64
    assert all_ <= saved_size(plain) + 512


@pytest.mark.parametrize("mode", MODES)
def test_parameters_keep_their_identity_and_are_ordinary_leaves(mode):
    def body(group):
        module = seeded(mlp)
        before = list(module.parameters())
        model = sgp.DistributedDataParallel(module, group=group, mode=mode)
        train(model, sgd(model), batches(0, 2))
        assert all(a is b for a, b in zip(before, module.parameters()))
        assert all(p.is_leaf and p.requires_grad and isinstance(p, nn.Parameter) and p.is_contiguous() for p in before)
        model.close()
        assert all(a is b for a, b in zip(before, module.parameters()))

    one_node(body)


@pytest.mark.parametrize("mode", MODES)
def test_tensors_outlive_the_mixer_and_the_group(mode):
    def body(group):
        model = wrapped(group, mode=mode)
        train(model, sgd(model), batches(group.rank, 2))
        state = model.module.state_dict()
        return state, values(model), weakref.ref(model)

    for state, expected, model in run_nodes(2, body):
        gc.collect()
        assert model() is None
        [torch.empty(5000).fill_(7) for _ in range(20)]  # what was freed would be used again
        assert_same_bits({name: tensor.clone() for name, tensor in state.items()}, expected)


def to_and_fro(model):
    model.double()
    model.float()


_of_all_threads = threading.Lock()  # the setting, and the nodes are threads


def replaced_objects(model):
    with _of_all_threads:
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            model.double().float()
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(False)


def assigned(model):
    if VERSION < (2, 1):
        pytest.skip("assign=True came in torch 2.1")
    model.module.load_state_dict({name: tensor.clone() for name, tensor in model.module.state_dict().items()}, assign=True)


def data_set(model):
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("change", [to_and_fro, replaced_objects, assigned, data_set])
def test_what_replaces_the_parameters_is_mended(change, mode):
    """After the change the optimizer is created, as in plain torch; the nodes go on in lock step."""
    if change is assigned:
        assigned(type("Skips", (), {"module": seeded(mlp)})) if VERSION < (2, 1) else None

    def body(group):
        model = wrapped(group, mode=mode)
        samples = batches(group.rank, 6)
        train(model, torch.optim.SGD(model.parameters(), lr=0.1), samples[:3])
        change(model)
        train(model, torch.optim.SGD(model.parameters(), lr=0.1), samples[3:])
        with model.averaged():
            average = values(model)
        return values(model), average, model.statistics()["steps"]

    expected = lock_step(2, mlp, lambda m: torch.optim.SGD(m.parameters(), lr=0.1), 6)
    for found, average, steps in run_nodes(2, body):
        assert_close(found, expected)
        assert_close(average, expected)
        assert steps == 6


def test_conversion_with_one_optimizer():
    """.double().float() keeps the objects, so the optimizer from before goes on."""

    def body(group):
        model = wrapped(group)
        optimizer = sgd(model)
        for k, batch in enumerate(batches(group.rank, 6)):
            if k == 3:
                to_and_fro(model)
            plain_step(model, optimizer, batch)
        return values(model)

    expected = lock_step(2, mlp, sgd, 6)
    for found in run_nodes(2, body):
        assert_close(found, expected)


class Tied(nn.Module):
    """The output layer has the weight of the embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Linear(6, 5, bias=False)
        self.inner = nn.Linear(5, 5)
        self.output = nn.Linear(5, 6)
        self.output.weight = nn.Parameter(torch.randn(6, 5))
        self.embedding.weight = nn.Parameter(torch.randn(5, 6))
        self.again = nn.Linear(6, 5, bias=False)
        self.again.weight = self.embedding.weight

    def forward(self, x):
        return self.output(torch.tanh(self.inner(self.embedding(x) + self.again(x))))[:, :3]


@pytest.mark.parametrize("mode", MODES)
def test_tied_weights_stay_tied(mode):
    def body(group):
        model = wrapped(group, Tied, mode=mode)
        train(model, sgd(model), batches(group.rank, 4))
        assert model.module.again.weight is model.module.embedding.weight
        return values(model)

    expected = lock_step(2, Tied, sgd, 4)
    for found in run_nodes(2, body):
        assert_close(found, expected)


class Odd(nn.Module):
    """Parameters without dimensions, without elements, and with dimensions of length 1."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.nothing = nn.Parameter(torch.zeros(0, 4))
        self.thin = nn.Parameter(torch.randn(1, 6, 1))
        self.linear = nn.Linear(6, 3)

    def forward(self, x):
        return self.linear(x * self.thin.reshape(6)) * self.scale + self.nothing.sum()


@pytest.mark.parametrize("options", [{"mode": "alias"}, {"mode": "delta"}, {"mode": "delta", "algorithm": "osgp"}])
def test_odd_shapes(options):
    def body(group):
        model = wrapped(group, Odd, **options)
        train(model, sgd(model), batches(group.rank, 4))
        if options.get("algorithm") == "osgp":
            return values(model)
        with model.averaged():
            pass
        return values(model)

    expected = lock_step(2, Odd, sgd, 4)
    for found in run_nodes(2, body):
        assert found["nothing"].shape == (0, 4) and found["scale"].shape == ()
        if "algorithm" not in options:
            assert_close(found, expected)


def conv():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 2), nn.Flatten(), nn.LazyLinear(3))


def made_conv():
    model = conv()
    model(torch.zeros(1, 3, 6, 6))
    return model


def channels_last():
    return made_conv().to(memory_format=torch.channels_last)


def images(rank, count):
    generator = torch.Generator().manual_seed(rank)
    return [(torch.randn(2, 3, 6, 6, generator=generator), torch.randn(2, 3, generator=generator)) for _ in range(count)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("later", [False, True])
def test_channels_last(mode, later):
    """On all nodes, before or after wrapping. (On one node alone it is an error.)"""

    def body(group):
        model = wrapped(group, made_conv if later else channels_last, mode=mode)
        optimizer = sgd(model)
        if later:
            model.to(memory_format=torch.channels_last)
        train(model, optimizer, images(group.rank, 4))
        if not later:
            assert model.module[0].weight.is_contiguous(memory_format=torch.channels_last)
        return values(model)

    expected = lock_step(2, channels_last, sgd, 4, make_batches=images)
    for found in run_nodes(2, body):
        assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(dtype):
    """mode "auto" takes delta. A node alone is plain torch in float64, where the vector's float32 must not show."""

    def converted():
        return mlp().to(dtype)

    def in_dtype(rank, count):
        return [(x.to(dtype), y.to(dtype)) for x, y in batches(rank, count)]

    def body(group):
        model = wrapped(group, converted)
        assert model.mixer.mode == "delta"
        train(model, sgd(model), in_dtype(group.rank, 5))
        with model.averaged():
            average = values(model)
        return values(model), average

    expected = lock_step(2, converted, sgd, 5, make_batches=in_dtype)
    tolerance = 1e-6 if dtype == torch.float64 else 2e-2
    for found, average in run_nodes(2, body):
        assert all(tensor.dtype == dtype for tensor in found.values())
        assert_close(found, expected, tolerance)
        assert_close(average, expected, tolerance)


def test_float64_alone_keeps_its_digits():
    def body(group):
        model = wrapped(group, lambda: mlp().double())
        train(model, sgd(model), [(x.double(), y.double()) for x, y in batches(0, 20)])
        return values(model)

    reference = seeded(lambda: mlp().double())
    train(reference, sgd(reference), [(x.double(), y.double()) for x, y in batches(0, 20)])
    assert_close(one_node(body), values(reference), 1e-7)


def test_bfloat16_parameters_do_not_lose_small_updates_in_the_mean():
    """Each node's update is below the spacing of bfloat16 at 1; the vector keeps what the tensors cannot show. The tensors
    themselves are moved by the optimizer, so the updates are of tensors that can show them: 3 of 4 nodes stand still."""

    def body(group):
        tensor = torch.ones(8, dtype=torch.bfloat16)
        mixer = sgp.Mixer([tensor], group=group, graph="complete", peers=3)
        for _ in range(16):
            with mixer.update():
                if group.rank == 0:
                    tensor += 2.0**-7  # one spacing; a quarter of it in the mean
        return tensor.float()

    for found in run_nodes(4, body):
        torch.testing.assert_close(found, torch.full((8,), 1 + 16 * 2.0**-7 / 4))


def test_mixed_dtypes_in_one_model():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 4).double()
            self.second = nn.Linear(4, 3)

        def forward(self, x):
            return self.second(self.first(x.double()).float())

    def body(group):
        model = wrapped(group, Mixed)
        train(model, sgd(model), batches(group.rank, 4))
        return values(model)

    expected = lock_step(2, Mixed, sgd, 4)
    for found in run_nodes(2, body):
        assert_close(found, expected)


@pytest.mark.parametrize("options", [{}, {"mode": "delta"}, {"algorithm": "osgp"}, {"mode": "delta", "algorithm": "osgp"}])
def test_a_dropped_wrapper_is_freed(options):
    """The group goes on; the module keeps its values, and can be wrapped again."""

    def body(group):
        module = seeded(mlp)
        for _ in range(3):
            model = sgp.DistributedDataParallel(module, group=group, **options)
            optimizer = sgd(model)
            train(model, optimizer, batches(group.rank, 2))
            with model.averaged():
                before = values(model)
            gone = weakref.ref(model), weakref.ref(model.mixer)
            del model, optimizer
            gc.collect()
            assert [reference() for reference in gone] == [None, None]
            assert {name: t.shape for name, t in before.items()} == {n: t.shape for n, t in module.state_dict().items()}
            group.barrier()
        return values(module)

    first, second = run_nodes(2, body)
    if "algorithm" not in options:
        assert_close(first, second)


@pytest.mark.parametrize(
    "options", [{}, {"algorithm": "osgp"}, {"mode": "delta", "algorithm": "osgp"}, {"algorithm": "allreduce"}]
)
def test_memory_does_not_grow(options):
    """The number of objects and of tensors after 40 steps is that after 140."""

    def body(group):
        model = wrapped(group, **options)
        optimizer = sgd(model)
        batch = batches(group.rank, 1)[0]

        def count():
            group.barrier()
            gc.collect()
            objects = gc.get_objects()
            tensors = sum(1 for thing in objects if issubclass(type(thing), torch.Tensor))
            group.barrier()
            return tensors, len(objects)

        for _ in range(40):
            plain_step(model, optimizer, batch)
        model.consensus()
        before = count()
        for _ in range(100):
            plain_step(model, optimizer, batch)
        model.consensus()
        return before, count()

    for (tensors, objects), (tensors_later, objects_later) in run_nodes(2, body):
        assert tensors_later <= tensors
        assert objects_later <= objects + 50


def test_several_wrappers_share_a_group():
    """A generator and a discriminator, say: each has its own mixer."""

    def body(group):
        first, second = wrapped(group), wrapped(group, mode="delta")
        third = wrapped(group, algorithm="osgp")
        optimizers = [sgd(model) for model in (first, second, third)]
        for batch in batches(group.rank, 4):
            for model, optimizer in zip((first, second, third), optimizers):
                plain_step(model, optimizer, batch)
        return values(first), values(second), third.consensus()["w_total"]

    expected = lock_step(2, mlp, sgd, 4)
    for first, second, total in run_nodes(2, body):
        assert_close(first, expected)
        assert_close(second, expected)
        assert total == pytest.approx(2)


def test_wrappers_that_work_beside_the_computation_need_no_care():
    """Pitfall: one mixer at a time can work beside the computation of its group."""

    def body(group):
        models = [
            wrapped(group, mode="delta", algorithm="osgp"),
            wrapped(group, mode="delta", algorithm="osgp"),
            wrapped(group, algorithm="adpsgd"),
        ]
        optimizers = [torch.optim.SGD(model.parameters(), lr=0.05) for model in models]
        for batch in batches(group.rank, 6):
            for model, optimizer in zip(models, optimizers):
                plain_step(model, optimizer, batch)
        return [model.consensus()["w_total"] for model in models], [float(loss_of(models[0], batches(9, 1)[0]).detach())]

    for totals, _ in run_nodes(2, body):
        assert totals == pytest.approx([2, 2, 2])
