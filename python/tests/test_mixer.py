# SPDX-License-Identifier: Apache-2.0
"""Mixer: averages of tensors, without a module."""

from __future__ import annotations

import pytest
import torch

import sgp_torch as sgp

from nodes import data, run_nodes


@pytest.mark.parametrize("mode", ["alias", "delta"])
@pytest.mark.parametrize(
    "options", [{}, {"algorithm": "osgp"}, {"overlap": 2}, {"peers": 2}, {"algorithm": "dpsgd"}, {"overlap": "async"}]
)
def test_updates_move_the_mean_by_their_mean(mode, options):
    """Mass: whatever the algorithm and the weights, the mean over the nodes moves by the mean of the nodes' updates."""

    def body(group):
        generator = data(group.rank)
        tensors = {"a": torch.randn(3, 5, generator=generator), "b": torch.randn(70, generator=generator)}
        start = {name: tensor.clone() for name, tensor in tensors.items()}
        mixer = sgp.Mixer(tensors, group=group, mode=mode, **options)
        total = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
        for _ in range(7):
            with mixer.update():
                for name, tensor in tensors.items():
                    change = torch.randn(tensor.shape, generator=generator)
                    total[name] += change
                    tensor += change
        with mixer.averaged():
            average = {name: tensor.clone() for name, tensor in tensors.items()}
        assert mixer.consensus()["w_total"] == pytest.approx(group.size)
        return start, total, average

    results = run_nodes(4, body)
    for name in ("a", "b"):
        expected = sum(start[name] + total[name] for start, total, _ in results) / 4
        for _, _, average in results:
            torch.testing.assert_close(average[name], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"algorithm": "osgp"}, {"mode": "delta"}, {"mode": "delta", "algorithm": "osgp"}])
def test_hold_and_step_are_update(options):
    """In two calls, for loops that cannot use a `with`."""

    def run(in_two_calls):
        def body(group):
            generator = data(group.rank)
            tensor = torch.randn(40, generator=generator)
            mixer = sgp.Mixer([tensor], group=group, **options)
            seen = []
            for _ in range(5):
                change = torch.randn(40, generator=generator)
                if in_two_calls:
                    mixer.hold()
                    tensor += change
                    mixer.step()
                else:
                    with mixer.update():
                        tensor += change
                seen.append(tensor.tolist())
            mixer.consensus()
            return seen

        return run_nodes(4, body)

    assert run(True) == run(False)


def test_lock_step_needs_no_hold():
    """Two nodes that push once have the mean; with an overlap a hold is needed, and that is said."""

    def body(group):
        tensor, other = torch.zeros(3), torch.zeros(3)
        mixer = sgp.Mixer({"x": tensor}, group=group)
        overlapped = sgp.Mixer([other], group=group, algorithm="osgp")
        tensor += group.rank
        mixer.step()
        with pytest.raises(sgp.Error, match=r"hold\(\)"):
            overlapped.step()
        return tensor.tolist()

    assert run_nodes(2, body) == [[0.5] * 3] * 2


def test_an_update_that_fails_is_no_step():
    def body(group):
        tensor = torch.zeros(3)
        mixer = sgp.Mixer([tensor], group=group)
        with pytest.raises(ZeroDivisionError), mixer.update():
            raise ZeroDivisionError
        assert mixer.statistics()["steps"] == 0
        with mixer.update():
            tensor += group.rank
        assert mixer.statistics()["steps"] == 1
        return tensor.tolist()

    assert run_nodes(2, body) == [[0.5] * 3] * 2


def test_a_closed_mixer_leaves_the_tensors_alone():
    def body(group):
        tensor = torch.full((3,), float(group.rank))
        with sgp.Mixer([tensor], group=group).update():
            pass
        mixer = sgp.Mixer([tensor], group=group)
        mixer.close()
        with pytest.raises(sgp.Error, match="closed"):
            mixer.hold()
        tensor += 1
        return tensor.tolist()

    assert run_nodes(2, body) == [[1.5] * 3] * 2


@pytest.mark.parametrize("mode", ["alias", "delta"])
def test_a_state_resumes_with_the_same_bits(mode):
    def changes(group):
        generator = data(group.rank)
        return [torch.randn(50, generator=generator) for _ in range(6)]

    def run(group, tensor, mixer, some):
        for change in some:
            with mixer.update():
                tensor += change
        mixer.consensus()
        return tensor.clone()

    def first(group):
        tensor = torch.zeros(50)
        mixer = sgp.Mixer([tensor], group=group, mode=mode, algorithm="osgp")
        run(group, tensor, mixer, changes(group)[:3])
        state = mixer.state_dict()
        values = tensor.clone()
        return state, values, run(group, tensor, mixer, changes(group)[3:])

    runs = run_nodes(2, first)

    def second(group):
        state, values, _ = runs[group.rank]
        tensor = torch.zeros(50)
        mixer = sgp.Mixer([tensor], group=group, mode=mode, algorithm="osgp")
        mixer.load_state_dict(state)
        assert torch.equal(tensor, values)
        return run(group, tensor, mixer, changes(group)[3:])

    for (_, _, expected), found in zip(runs, run_nodes(2, second)):
        assert torch.equal(found, expected)
