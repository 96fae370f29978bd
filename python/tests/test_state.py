# SPDX-License-Identifier: Apache-2.0
"""Checkpoints, copies, averages, and a resume with the same bits."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import sgp_torch as sgp

from nodes import errors_of_nodes, run_nodes, seeded
from training import (
    MODES,
    VERSION,
    assert_close,
    assert_same_bits,
    batches,
    bn_mlp,
    lock_step,
    loss_of,
    mean,
    mlp,
    one_node,
    plain_step,
    sgd,
    train,
    values,
    wrapped,
)


def through_a_file(value):
    """As saved and loaded."""
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file) if VERSION < (2, 4) else torch.load(file, weights_only=False)


# ---- names ----


def test_names_are_those_of_torch():
    def body(group):
        model = wrapped(group, bn_mlp)
        plain = seeded(bn_mlp)
        assert list(model.module.state_dict()) == list(plain.state_dict())
        assert list(model.state_dict()) == [f"module.{name}" for name in plain.state_dict()]
        assert [name for name, _ in model.named_parameters()] == [f"module.{name}" for name, _ in plain.named_parameters()]
        plain.load_state_dict(model.module.state_dict())

    one_node(body)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_names_with_and_without_the_prefix_are_loaded(mode, prefix):
    state = {prefix + name: tensor for name, tensor in seeded(bn_mlp, seed=7).state_dict().items()}

    def body(group):
        model = wrapped(group, bn_mlp, mode=mode)
        missing = model.load_state_dict(state)
        assert not missing.missing_keys and not missing.unexpected_keys
        with model.averaged():
            average = values(model)
        return values(model), average

    for found, average in run_nodes(2, body):
        assert_same_bits(found, values(seeded(bn_mlp, seed=7)))
        assert_same_bits(average, values(seeded(bn_mlp, seed=7)))


def test_names_that_are_missing_are_an_error_as_in_torch():
    def body(group):
        model = wrapped(group)
        state = {name: tensor for name, tensor in seeded(mlp).state_dict().items() if name != "0.weight"}
        with pytest.raises(RuntimeError, match=r"module\.0\.weight"):
            model.load_state_dict(state)
        assert list(model.load_state_dict(state, strict=False).missing_keys) == ["module.0.weight"]

    one_node(body)


# ---- loading in the middle of training ----


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "delta"},
        {"algorithm": "osgp"},
        {"overlap": 2},
        {"mode": "delta", "algorithm": "osgp"},
        {"mode": "delta", "overlap": 2},
        {"algorithm": "allreduce", "mode": "delta"},
    ],
)
@pytest.mark.parametrize("through", ["wrapper", "module"])
def test_what_is_loaded_replaces_all_that_is_under_way(options, through):
    loaded = seeded(bn_mlp, seed=7).state_dict()

    def body(group):
        model = wrapped(group, bn_mlp, **options)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        samples = batches(group.rank, 8)
        train(model, optimizer, samples[:4])
        (model if through == "wrapper" else model.module).load_state_dict(loaded)
        own = values(model)
        with model.averaged():
            average = values(model)
        train(model, optimizer, samples[4:])
        with model.averaged():
            return own, average, values(model)

    results = run_nodes(2, body)
    for own, average, _ in results:
        assert_same_bits(own, values_of(loaded))
        assert_close(average, values_of(loaded), 1e-6)
    if not options or options == {"mode": "delta"}:
        expected = lock_step(
            2,
            lambda: seven(),
            lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
            4,
            make_batches=lambda rank, count: batches(rank, 8)[4:],
        )
        for _, _, found in results:
            assert_close(found, expected, 1e-5)


def seven():
    torch.manual_seed(7)
    return bn_mlp()


def values_of(state):
    return {name: tensor.clone() for name, tensor in state.items()}


# ---- a resume ----

RESUMED = [
    ({}, mlp),
    ({}, bn_mlp),
    ({"algorithm": "osgp"}, bn_mlp),
    ({"overlap": 2}, mlp),
    ({"mode": "delta"}, bn_mlp),
    ({"mode": "delta", "algorithm": "osgp"}, bn_mlp),
    ({"mode": "delta", "overlap": 2}, mlp),
    ({"encoding": "bfloat16"}, mlp),
    ({"encoding": "bfloat16", "algorithm": "osgp"}, bn_mlp),
    ({"encoding": "int8", "algorithm": "osgp"}, bn_mlp),
    ({"slow_momentum": 0.5, "slow_every": 3}, mlp),
    ({"local_steps": 2}, mlp),
    ({"graph": "random", "seed": 5}, mlp),
    ({"algorithm": "dpsgd"}, mlp),
    ({"algorithm": "allreduce"}, bn_mlp),
    ({"algorithm": "allreduce", "mode": "delta"}, bn_mlp),
    ({}, lambda: bn_mlp().bfloat16()),
    ({"algorithm": "osgp"}, lambda: mlp().bfloat16()),
    ({}, lambda: mlp().double()),
    ({"workers_per_node": 2}, mlp),
    ({"workers_per_node": 2, "algorithm": "osgp"}, mlp),
]


@pytest.mark.parametrize(("options", "make_model"), RESUMED)
def test_a_resumed_run_has_the_bits_of_one_that_went_on(options, make_model):
    def converted(rank, count):
        dtype = next(seeded(make_model).parameters()).dtype
        return [(x.to(dtype), y.to(dtype)) for x, y in batches(rank, count)]

    def first(group):
        model = wrapped(group, make_model, **options)
        optimizer = sgd(model)
        samples = converted(group.rank, 8)
        train(model, optimizer, samples[:5])
        mixer = model.mixer_state_dict()
        saved = through_a_file({"model": model.module.state_dict(), "optimizer": optimizer.state_dict(), "mixer": mixer})
        losses = train(model, optimizer, samples[5:])
        model.mixer_state_dict()
        return saved, losses, values(model)

    runs = run_nodes(4, first)

    def second(group):
        saved = runs[group.rank][0]
        model = sgp.DistributedDataParallel(seeded(make_model, seed=group.rank + 9), group=group, **options)
        optimizer = sgd(model)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        model.load_mixer_state_dict(saved["mixer"])
        losses = train(model, optimizer, converted(group.rank, 8)[5:])
        model.mixer_state_dict()
        return losses, values(model)

    for (_, losses, expected), (losses_again, found) in zip(runs, run_nodes(4, second)):
        assert losses_again == losses
        assert_same_bits(found, expected)


def test_a_state_of_another_node_or_mode_is_refused():
    def body(group):
        model = wrapped(group)
        state = model.mixer_state_dict()
        for name, value in (("rank", 1 - group.rank), ("mode", "delta"), ("size", 3)):
            with pytest.raises(sgp.Error, match=name) as raised:
                model.load_mixer_state_dict({**state, name: value})
            assert raised.value.status == "SGP_ERR_MISMATCH"
        with pytest.raises(sgp.Error):
            model.load_mixer_state_dict({**state, "state": state["state"][:-3].clone()})
        model.load_mixer_state_dict(state)
        train(model, sgd(model), batches(group.rank, 2))
        with pytest.raises(sgp.Error):
            model.load_mixer_state_dict(state)

    run_nodes(2, body)


# ---- averages ----


@pytest.mark.parametrize(
    "options",
    [
        {"local_steps": 100},
        {"local_steps": 100, "mode": "delta"},
        {"algorithm": "osgp"},
        {"algorithm": "osgp", "mode": "delta"},
        {"algorithm": "adpsgd"},
    ],
)
def test_averaged_shows_the_exact_mean_and_then_this_nodes_own(options):
    def body(group):
        model = wrapped(group, bn_mlp, **options)
        optimizer = sgd(model)
        train(model, optimizer, batches(group.rank, 3))
        model.consensus()
        group.barrier()
        own = values(model)
        with model.averaged() as inside:
            assert inside is model
            average = values(model)
            model.eval()
            loss = float(loss_of(model, batches(9, 1)[0]).detach())
            model.train()
        after = values(model)
        train(model, optimizer, batches(group.rank, 2))
        model.consensus()
        return own, average, after, loss

    results = run_nodes(2, body)
    for own, average, after, _ in results:
        if options.get("algorithm") != "adpsgd":  # its nodes may be answered at any time
            assert_same_bits(after, own)
        assert_same_bits(
            {n: t for n, t in average.items() if "tracked" not in n},
            {n: t for n, t in results[0][1].items() if "tracked" not in n},
        )
        if "local_steps" in options:
            expected = mean([own for own, _, _, _ in results])
            expected["1.num_batches_tracked"] = average["1.num_batches_tracked"]
            assert_close(average, expected, 1e-6)
    assert results[0][3] == results[1][3]


@pytest.mark.parametrize("mode", MODES)
def test_averaged_within_averaged(mode):
    def body(group):
        model = wrapped(group, bn_mlp, mode=mode, local_steps=100)
        train(model, sgd(model), batches(group.rank, 2))
        own = values(model)
        with model.averaged():
            first = values(model)
            with model.averaged():
                second = values(model)
            third = values(model)
        assert_same_bits(second, first)
        assert_same_bits(third, first)
        assert_same_bits(values(model), own)
        assert not torch.equal(first["0.weight"], own["0.weight"])

    run_nodes(2, body)


@pytest.mark.parametrize("mode", MODES)
def test_an_exception_inside_averaged_leaves_it(mode):
    def body(group):
        model = wrapped(group, bn_mlp, mode=mode)
        optimizer = sgd(model)
        train(model, optimizer, batches(group.rank, 2))
        own = values(model)
        with pytest.raises(ZeroDivisionError), model.averaged():
            raise ZeroDivisionError
        assert_same_bits(values(model), own)
        train(model, optimizer, batches(group.rank, 2))
        return values(model)

    results = run_nodes(2, body)
    assert_close(results[0], {**results[1]}, 1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_changed_inside_averaged_is_lost(mode):
    def body(group):
        model = wrapped(group, bn_mlp, mode=mode)
        own = values(model)
        with model.averaged(), torch.no_grad():
            for tensor in (*model.parameters(), model.module[1].running_mean):
                tensor.fill_(3.0)
        assert_same_bits(values(model), own)
        with model.averaged():
            assert_close(values(model), own)

    run_nodes(2, body)


@pytest.mark.parametrize("mode", MODES)
def test_steps_and_states_inside_averaged_are_refused(mode):
    def body(group):
        model = wrapped(group, mode=mode)
        optimizer = sgd(model)
        train(model, optimizer, batches(group.rank, 1))
        with model.averaged():
            for call in (lambda: train(model, optimizer, batches(group.rank, 1)), model.average_, model.mixer_state_dict):
                with pytest.raises(sgp.Error, match="averaged"):
                    call()
        train(model, optimizer, batches(group.rank, 2))
        return model.statistics()["steps"]

    assert run_nodes(2, body) == [3, 3]


@pytest.mark.parametrize(
    "options",
    [
        {"local_steps": 3},
        {"mode": "delta", "local_steps": 3},
        {"algorithm": "osgp"},
        {"mode": "delta", "algorithm": "osgp"},
        {"algorithm": "adpsgd"},
        {"algorithm": "allreduce"},
    ],
)
def test_average_leaves_all_nodes_with_the_mean(options):
    def body(group):
        model = wrapped(group, bn_mlp, **options)
        optimizer = sgd(model)
        train(model, optimizer, batches(group.rank, 4))
        with model.averaged():
            expected = values(model)
        group.barrier()
        model.average_()
        found = values(model)
        distance = model.consensus()["distance"]
        train(model, optimizer, batches(group.rank, 2))
        with model.averaged():
            pass
        return expected, found, distance

    results = run_nodes(2, body)
    for expected, found, distance in results:
        assert_close(found, expected, 1e-6)
        if options.get("algorithm") != "adpsgd":  # its nodes may be answered at any time
            assert_same_bits(
                {n: t for n, t in found.items() if "tracked" not in n},
                {n: t for n, t in results[0][1].items() if "tracked" not in n},
            )
        assert distance < 1e-7


def test_consensus_measures_the_distance():
    """Two nodes at 1 and 3: the mean is 2, the distance 1/2."""

    def body(group):
        tensor = torch.full((20,), 1.0 + 2 * group.rank)
        mixer = sgp.Mixer([tensor], group=group)
        before = mixer.consensus()
        with mixer.update():
            pass
        return before, mixer.consensus()

    for before, after in run_nodes(2, body):
        assert before["distance"] == pytest.approx(0.5)
        assert after["distance"] == pytest.approx(0, abs=1e-7)
        assert before["w_total"] == after["w_total"] == pytest.approx(2)
        assert abs(after["drift"]) < 1e-6


@pytest.mark.parametrize("options", [{}, {"encoding": "bfloat16"}, {"mode": "delta", "algorithm": "osgp"}])
def test_statistics_count_what_was_sent(options):
    def body(group):
        model = wrapped(group, **options)
        train(model, sgd(model), batches(group.rank, 5))
        model.consensus()
        return model.statistics(), model.mixer.length

    for statistics, length in run_nodes(2, body):
        assert statistics["steps"] == statistics["sent"] == statistics["received"] == 5
        width = 2 if "encoding" in options else 4
        assert 5 * 200 * width < statistics["bytes_sent"] <= 5 * length * width
        assert statistics["weight"] == pytest.approx(1)
        assert statistics["step_ns"] >= statistics["wait_ns"] >= 0
        assert statistics["refused"] == statistics["resent"] == 0


# ---- copies ----


@pytest.mark.parametrize("options", [{}, {"mode": "delta"}, {"algorithm": "osgp"}, {"optimizer_in_backward": sgd}])
@pytest.mark.parametrize("how", [copy.deepcopy, through_a_file, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_the_module_and_no_part_in_the_group(options, how):
    if "optimizer_in_backward" in options:
        if VERSION < (2, 1):
            pytest.skip("optimizer_in_backward needs torch 2.1")
        options = {"optimizer_in_backward": lambda p: torch.optim.SGD(p, lr=0.1)}

    def body(group):
        model = wrapped(group, bn_mlp, **options)
        optimizer = model.optimizer or sgd(model)
        train(model, optimizer, batches(group.rank, 2))
        model.consensus()
        before = values(model)
        other = how(model)
        assert_same_bits(values(other), before)
        with pytest.raises(sgp.Error, match=r"\.module"):
            other.consensus()
        plain = seeded(bn_mlp)
        plain.load_state_dict(before)
        train(other, torch.optim.SGD(other.parameters(), lr=0.1), batches(3, 3))
        train(plain, torch.optim.SGD(plain.parameters(), lr=0.1), batches(3, 3))
        assert_same_bits(values(other), values(plain))
        train(model, optimizer, batches(group.rank, 1))
        assert_same_bits(values(other), values(plain))
        model.consensus()
        again = sgp.DistributedDataParallel(other.module, group=group)
        train(again, sgd(again), batches(group.rank, 2))
        return model.statistics()["steps"], again.statistics()["steps"]

    assert run_nodes(2, body) == [(3, 2), (3, 2)]


def test_an_average_of_weights_over_time():
    """torch's AveragedModel copies the model, and follows the parameters."""

    def body(group):
        model = wrapped(group)
        ema = torch.optim.swa_utils.AveragedModel(model.module, avg_fn=lambda old, new, n: 0.5 * old + 0.5 * new)
        optimizer = sgd(model)
        expected = None
        for batch in batches(group.rank, 4):
            plain_step(model, optimizer, batch)
            ema.update_parameters(model.module)
            now = values(model)
            expected = now if expected is None else {name: 0.5 * expected[name] + 0.5 * now[name] for name in now}
        return {name: tensor.detach().clone() for name, tensor in ema.module.state_dict().items()}, expected

    for found, expected in run_nodes(2, body):
        assert_close(found, expected)


@pytest.mark.parametrize("mode", MODES)
def test_a_closed_wrapper_is_a_module(mode):
    def body(group):
        model = wrapped(group, bn_mlp, mode=mode)
        optimizer = sgd(model)
        train(model, optimizer, batches(group.rank, 2))
        before = values(model)
        model.close()
        model.close()
        assert_same_bits(values(model), before)
        plain = copy.deepcopy(model.module)
        train(model, torch.optim.SGD(model.parameters(), lr=0.1), batches(0, 2))
        train(plain, torch.optim.SGD(plain.parameters(), lr=0.1), batches(0, 2))
        assert_same_bits(values(model), values(plain))
        with pytest.raises(sgp.Error, match="closed"):
            model.statistics()
        again = sgp.DistributedDataParallel(model.module, group=group, mode=mode)
        train(again, sgd(again), batches(group.rank, 2))
        return values(again)

    first, second = run_nodes(2, body)
    assert_close(first, {**second}, 1e-6)


def test_a_module_that_is_wrapped_is_not_wrapped_again():
    def body(group):
        model = wrapped(group)
        for again in (model, model.module, nn.Sequential(model)):
            with pytest.raises(sgp.Error, match="already"):
                sgp.DistributedDataParallel(again, group=group)

    assert errors_of_nodes(1, body) == [None]
