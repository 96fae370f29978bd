# SPDX-License-Identifier: Apache-2.0
"""The parameters after each step, against the same steps by hand in plain torch."""

from __future__ import annotations

import pytest
import torch

import sgp_torch as sgp

from nodes import run_nodes, seeded
from training import (
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


@pytest.mark.parametrize("mode", ["alias", "delta"])
@pytest.mark.parametrize("make_model", [mlp, bn_mlp])
def test_two_nodes_have_the_mean_of_their_local_steps(mode, make_model):
    def body(group):
        model = wrapped(group, make_model, mode=mode)
        train(model, sgd(model), batches(group.rank, 6))
        return values(model)

    expected = lock_step(2, make_model, sgd, 6)
    for found in run_nodes(2, body):
        assert_close(found, expected)


def test_peers_give_the_mean_of_three_nodes():
    """Two peers among three nodes: each step ends with the exact mean."""

    def body(group):
        model = wrapped(group, graph="complete", peers=2)
        train(model, sgd(model), batches(group.rank, 5))
        return values(model)

    expected = lock_step(3, mlp, sgd, 5)
    for found in run_nodes(3, body):
        assert_close(found, expected)


@pytest.mark.parametrize("mode", ["alias", "delta"])
def test_rounds_give_the_mean_of_four_nodes(mode):
    """The period of the graph: each step ends with the exact mean."""

    def body(group):
        model = wrapped(group, mode=mode, rounds="auto")
        train(model, sgd(model), batches(group.rank, 5))
        return values(model)

    expected = lock_step(4, mlp, sgd, 5)
    for found in run_nodes(4, body):
        assert_close(found, expected)


@pytest.mark.parametrize("mode", ["alias", "delta"])
@pytest.mark.parametrize("local_steps", [1, 3])
def test_local_steps_exchange_seldom(mode, local_steps):
    """Between two exchanges the nodes make plain steps of their own."""

    def body(group):
        model = wrapped(group, mode=mode, local_steps=local_steps)
        optimizer = sgd(model)
        apart = []
        for batch in batches(group.rank, 6):
            plain_step(model, optimizer, batch)
            apart.append(torch.cat([p.detach().reshape(-1) for p in model.parameters()]))
        return apart

    first, second = run_nodes(2, body)
    same = [bool((a - b).abs().max() < 1e-6) for a, b in zip(first, second)]
    assert same == [(k + 1) % local_steps == 0 for k in range(6)]


@pytest.mark.parametrize("mode", ["alias", "delta"])
@pytest.mark.parametrize("options", [{}, {"algorithm": "osgp"}, {"algorithm": "allreduce"}, {"algorithm": "dpsgd"}])
def test_a_node_alone_is_plain_torch(mode, options):
    """Bit for bit; but for delta with an overlap, where a change is added to the tensors instead of made in them."""
    reference = seeded(bn_mlp)
    expected_losses = train(reference, sgd(reference), batches(0, 8))

    def body(group):
        model = wrapped(group, bn_mlp, mode=mode, **options)
        losses = train(model, sgd(model), batches(0, 8))
        with model.averaged():
            return losses, values(model)

    losses, found = one_node(body)
    if mode == "delta" and options.get("algorithm") == "osgp":
        assert losses == pytest.approx(expected_losses, abs=1e-5)
        assert_close(found, values(reference), 1e-5)
    else:
        assert losses == expected_losses
        assert_same_bits(found, values(reference))


@pytest.mark.parametrize("mode", ["alias", "delta"])
@pytest.mark.parametrize(
    "options", [{"algorithm": "osgp"}, {"overlap": 2}, {"overlap": "async"}, {"peers": 2}, {"graph": "ring"}]
)
def test_an_update_counts_in_full_whatever_the_weight_is(mode, options):
    """The sum of x = w z moves by the update of the tensors: with w = 1/2, z moves by twice as much. The loss is linear, so
    that the gradient is known: the mean of the nodes moves by -lr * (mean of gradients) in each step."""

    def body(group):
        model = seeded(lambda: torch.nn.Linear(4, 1, bias=False))
        start = values(model)["weight"]
        model = sgp.DistributedDataParallel(model, group=group, mode=mode, **options)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        weights = []
        for k in range(9):
            optimizer.zero_grad()
            (model(torch.ones(1, 4)) * (group.rank + k)).sum().backward()
            optimizer.step()
            weights.append(model.statistics()["weight"])
        with model.averaged():
            return start, values(model)["weight"], weights

    results = run_nodes(4, body)
    moved = sum(sum(rank + k for rank in range(4)) / 4 for k in range(9))
    for start, found, _ in results:
        torch.testing.assert_close(found, start - moved)
    if options.get("algorithm") == "osgp" and mode == "alias":
        assert all(abs(weights[0] - 0.5) < 1e-9 for _, _, weights in results)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"algorithm": "osgp"},
        {"encoding": "bfloat16"},
        {"encoding": "int8"},
        {"algorithm": "dpsgd"},
        {"graph": "random", "seed": 3},
    ],
)
def test_the_same_seeds_give_the_same_bits(size, options):
    def body(group):
        model = wrapped(group, bn_mlp, **options)
        losses = train(model, sgd(model), batches(group.rank, 6))
        return losses, values(model)

    for (losses, found), (again, found_again) in zip(run_nodes(size, body), run_nodes(size, body)):
        assert losses == again
        assert_same_bits(found, found_again)


@pytest.mark.parametrize("options", [{}, {"encoding": "bfloat16"}, {"peers": 2}, {"slow_momentum": 0.5, "slow_every": 3}])
def test_alias_and_delta_agree(options):
    """To rounding: a change is added to z in one place, and made in it in the other. In bfloat16 a number may round the
    other way, by 1/256 of itself."""
    tolerance = 3e-3 if "encoding" in options else 1e-5

    def trained(mode):
        def body(group):
            model = wrapped(group, bn_mlp, mode=mode, **options)
            train(model, sgd(model), batches(group.rank, 7))
            return values(model)

        return run_nodes(4, body)

    for alias, delta in zip(trained("alias"), trained("delta")):
        assert_close(delta, alias, tolerance)


def test_late_losses_are_those_of_osgp():
    """mode "delta" with an overlap exchanges in a thread beside the computation; the gradients are taken at the same points
    as with mode "alias"."""

    def losses_of(mode):
        def body(group):
            model = wrapped(group, mlp, mode=mode, algorithm="osgp")
            return train(model, sgd(model), batches(group.rank, 12))

        return run_nodes(4, body)

    for alias, delta in zip(losses_of("alias"), losses_of("delta")):
        assert delta == pytest.approx(alias, abs=1e-4)


def test_the_nodes_start_with_the_values_of_node_0():
    def body(group):
        model = seeded(bn_mlp, seed=group.rank)
        model[1].num_batches_tracked.fill_(group.rank + 5)
        return values(sgp.DistributedDataParallel(model, group=group))

    expected = values(seeded(bn_mlp))
    expected["1.num_batches_tracked"].fill_(5)
    for found in run_nodes(3, body):
        assert_same_bits(found, expected)


def test_without_init_sync_each_starts_with_its_own_values():
    def body(group):
        model = sgp.DistributedDataParallel(seeded(mlp, seed=group.rank), group=group, init_sync=False)
        own = values(model)
        with model.averaged():
            return own, values(model)

    starts = [values(seeded(mlp, seed=rank)) for rank in range(2)]
    for (own, found), start in zip(run_nodes(2, body), starts):
        assert_same_bits(own, start)
        assert_close(found, mean(starts))


def test_evaluation_between_steps_changes_nothing():
    def trained(evaluate):
        def body(group):
            model = wrapped(group, bn_mlp)
            optimizer = sgd(model)
            for batch in batches(group.rank, 5):
                plain_step(model, optimizer, batch)
                if evaluate:
                    model.eval()
                    with torch.no_grad():
                        loss_of(model, batch)
                    model.train()
            return values(model)

        return run_nodes(2, body)

    for found, expected in zip(trained(True), trained(False)):
        assert_same_bits(found, expected)


def test_nodes_of_several_workers_are_nodes_with_larger_batches():
    """4 processes, 2 a node, against 2 nodes with both workers' batches in one."""

    def body(group):
        model = wrapped(group, workers_per_node=2)
        train(model, sgd(model), batches(group.rank, 6))
        return values(model)

    def joined(rank, count):
        pairs = zip(batches(2 * rank, count), batches(2 * rank + 1, count))
        return [(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in pairs]

    expected = lock_step(2, mlp, sgd, 6, make_batches=joined)
    for found in run_nodes(4, body):
        assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("options", [{"algorithm": "osgp"}, {"mode": "delta"}, {"mode": "delta", "algorithm": "osgp"}])
def test_workers_with_other_modes(options):
    """The workers of a node have the same parameters after every step, and the mean moves by the mean gradient."""

    def body(group):
        model = wrapped(group, workers_per_node=2, **options)
        losses = train(model, sgd(model), batches(group.rank, 6))
        own = values(model)
        with model.averaged():
            return losses, own, values(model)

    def alone(group):
        model = wrapped(group, **options)
        pairs = zip(batches(2 * group.rank, 6), batches(2 * group.rank + 1, 6))
        joined = [(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in pairs]
        train(model, sgd(model), joined)
        with model.averaged():
            return values(model)

    results = run_nodes(4, body)
    expected = run_nodes(2, alone)
    for node in (0, 1):
        assert_close(results[2 * node][1], results[2 * node + 1][1], 1e-6)
    for _, _, average in results:
        assert_close(average, expected[0], 1e-5)
