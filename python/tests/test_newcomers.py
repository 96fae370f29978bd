# SPDX-License-Identifier: Apache-2.0
"""Nodes that join while the others train. Nodes are threads, over tcp on loopback; the founders go on until a newcomer has made
some steps."""

from __future__ import annotations

import io
import pickle
import socket
import threading
import zlib
from typing import Any, Callable

import pytest
import torch
from torch import nn

import sgp_torch as sgp
from sgp_torch import arrivals, library

from nodes import LIMIT, data, seeded

FOUNDERS, PLACES, MORE = 2, 4, 12
needs_torch_2_1 = pytest.mark.skipif(
    not hasattr(torch.Tensor, "register_post_accumulate_grad_hook"), reason="optimizer_in_backward needs torch 2.1"
)


def network(seed: int = 0, width: int = 16) -> nn.Module:
    model = seeded(lambda: nn.Sequential(nn.Linear(8, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, 1)), seed)
    model[0].bias.requires_grad_(False)
    return model


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Run:
    """A run with founders and newcomers, each a thread. body(run, group) is the part of a node; results are in order of start.
    The run ends where `stop` says, which founder 1 decides: some steps after `wanted` newcomers have made theirs. second: the
    port of founder 1."""

    def __init__(
        self, body: Callable[[Run, sgp.Group], Any], wanted: int = 1, places: int = PLACES, second: int | None = None
    ) -> None:
        self.body, self.wanted, self.places = body, wanted, places
        self.results: list[Any] = []
        self.threads: list[threading.Thread] = []
        self.stop, self.arrived, self.lock = 1 << 60, 0, threading.Lock()
        self.training = threading.Semaphore(0)  # a founder has made its first step
        self.here = threading.Semaphore(0)  # a newcomer has made some
        first = f"127.0.0.1:{free_port()}"
        self.contacts = first if second is None else f"{first},127.0.0.1:{second}"
        for rank in range(FOUNDERS):
            ports = f"{second}-{second}" if rank == 1 and second is not None else None
            options = {"join": first, "ports": ports, "transport": "tcp", "elastic": True, "max_nodes": places}
            self._start(rank=rank, size=FOUNDERS, **options)
        for _ in range(FOUNDERS):
            assert self.training.acquire(timeout=LIMIT)

    def _start(self, body: Any = None, **options: Any) -> threading.Thread:
        self.results.append(None)
        thread = threading.Thread(target=self._run, args=(len(self.threads), body or self.body, options))
        self.threads.append(thread)
        thread.start()
        return thread

    def _run(self, number: int, body: Any, options: dict[str, Any]) -> None:
        group = None
        try:
            group = sgp.Group(join_timeout=60, **options)
            self.results[number] = body(self, group)
            group.leave()
        except BaseException as error:
            self.results[number] = error
            if group is not None:
                group.abort()
            self.training.release()

    def join(self, body: Any = None) -> threading.Thread:
        return self._start(body, join_running=self.contacts)

    def end(self) -> list[Any]:
        for thread in self.threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), f"a node does not end; {self.results}"
        return self.results

    def goes_on(self, group: sgp.Group, made: int, steps: int) -> bool:
        """Between two steps of a node, which has made so many itself, and so many of the run."""
        if made == 1 and not group.arrivals.came_later:
            self.training.release()
        with self.lock:
            if made == MORE and group.arrivals.came_later:
                self.arrived += 1
                self.here.release()
            if group.rank == 1 and self.arrived >= self.wanted:
                self.stop = min(self.stop, steps + MORE)
        return steps < self.stop


def train(run: Run, group: sgp.Group, model: Any, optimizer: Any) -> None:
    samples, made = data(group.rank), 0
    while run.goes_on(group, made, model.steps):
        x = torch.randn(16, 8, generator=samples)
        optimizer.zero_grad()
        ((model(x) - x.sum(1, keepdim=True).sign()) ** 2).mean().backward()
        optimizer.step()
        made += 1


def values(model: Any) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in (*model.module.parameters(), *model.module.buffers())]


def ages(optimizer: torch.optim.Optimizer) -> set[int]:
    """Steps of which the optimizer's state knows."""
    return {int(state["step"]) for state in optimizer.state.values()}


def errors(results: list[Any]) -> list[Any]:
    return [result for result in results if isinstance(result, BaseException)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "delta"},
        {"overlap": 1},
        {"overlap": 2, "mode": "delta"},
        {"algorithm": "dpsgd"},
        {"slow_momentum": 0.5, "slow_every": 4},
        pytest.param({"optimizer_in_backward": adam, "bucket_mb": 1e-5}, marks=needs_torch_2_1),
    ],
    ids=str,
)
def test_a_newcomer_trains_with_the_others(options: dict[str, Any]) -> None:
    def body(run: Run, group: sgp.Group) -> Any:
        model = sgp.DistributedDataParallel(network(group.rank), group=group, **options)
        optimizer = model.optimizer or adam(p for p in model.parameters() if p.requires_grad)
        first = model.steps
        train(run, group, model, optimizer)
        model.average_()
        known = ages(optimizer)
        return group.rank, first, model.steps, model.consensus()["w_total"], group.present(), known, values(model)

    run = Run(body, wanted=2)
    run.join()
    assert run.here.acquire(timeout=LIMIT)
    run.join()
    results = run.end()
    assert not errors(results), results
    ranks, firsts, steps, totals, present, known, parameters = zip(*results)
    assert sorted(ranks) == [0, 1, 2, 3]
    assert firsts[:2] == (0, 0) and min(firsts[2:]) > 8
    assert len(set(steps)) == 1
    assert totals == pytest.approx([4] * 4) and present == ([0, 1, 2, 3],) * 4
    assert known[0] == known[1] == {steps[0]}
    for first, age in zip(firsts[2:], known[2:]):  # more than its own steps: those of its sponsor at the snapshot
        assert len(age) == 1 and steps[0] - first < min(age) < steps[0]
    for each in parameters:
        assert all(torch.equal(a, b) or a.dtype == torch.int64 for a, b in zip(each, parameters[0]))


def test_a_newcomer_begins_with_the_values_of_the_others() -> None:
    """Where nothing changes them, all have the same bits: also what is not averaged."""

    def body(run: Run, group: sgp.Group) -> Any:
        model = sgp.DistributedDataParallel(network(group.rank), group=group)
        model.eval()  # running statistics stay
        mine = values(model)
        train(run, group, model, torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.0))
        return mine

    run = Run(body)
    run.join()
    results = run.end()
    assert not errors(results), results
    for mine in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(mine, results[0]))


def test_a_mixer_without_a_model() -> None:
    def body(run: Run, group: sgp.Group) -> Any:
        tensor, made = torch.full((20,), float(group.rank)), 0
        mixer = sgp.Mixer([tensor], group=group)
        while run.goes_on(group, made, mixer.steps):
            with mixer.update():
                pass
            made += 1
        return mixer.consensus()["w_total"], tensor.unique().tolist()

    run = Run(body)
    run.join()
    results = run.end()
    assert not errors(results), results
    for total, found in results:  # the newcomer has taken the place of a node in between
        assert total == pytest.approx(3)
        assert len(found) == 1 and 0 <= found[0] <= 1


def test_any_member_can_be_called() -> None:
    """The node that founded the group is lost. A newcomer calls the other one, as the second of two addresses, and so does the
    next one, which gets the place of the lost node."""
    lost = threading.Event()

    def body(run: Run, group: sgp.Group) -> Any:
        model = sgp.DistributedDataParallel(network(), group=group)
        optimizer = adam(p for p in model.parameters() if p.requires_grad)
        if group.rank == 0 and not lost.is_set():
            for _ in range(3):
                model(torch.ones(4, 8)).sum().backward()
                optimizer.step()
            run.training.release()
            lost.set()
            group.abort()
            return None
        train(run, group, model, optimizer)
        return model.consensus()["w_total"], group.present()

    run = Run(body, wanted=2, places=3, second=free_port())
    assert lost.wait(LIMIT)
    run.join()
    assert run.here.acquire(timeout=LIMIT)
    run.join()
    results = run.end()
    assert not errors(results), results
    for total, present in results[1:]:
        assert total == pytest.approx(3) and present == [0, 1, 2]


# ---- refusals ----


def refused(newcomer: Callable[[Run, sgp.Group], Any]) -> tuple[list[Any], sgp.Error]:
    """The results of the founders and of a proper newcomer after one that does not come in the end, and its error."""

    def body(run: Run, group: sgp.Group) -> Any:
        model = sgp.DistributedDataParallel(network(), group=group, local_steps=1)
        optimizer = adam(p for p in model.parameters() if p.requires_grad)
        train(run, group, model, optimizer)
        return model.consensus()["w_total"]

    run = Run(body)
    run.join(newcomer).join(LIMIT)
    run.join()
    results = run.end()
    assert isinstance(results[2], sgp.Error), results[2]
    return [*results[:2], *results[3:]], results[2]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"width": 17}, "has 0.weight: float32 (17, 8), trained where the run has 0.weight: float32 (16, 8), trained"),
        ({"graph": "ring", "peers": 2}, "this newcomer has graph='ring' where the run has graph=''"),
    ],
    ids=str,
)
def test_another_model_or_option(options: dict[str, Any], text: str) -> None:
    def newcomer(run: Run, group: sgp.Group) -> None:
        width = options.get("width", 16)
        given = {name: value for name, value in options.items() if name != "width"}
        sgp.DistributedDataParallel(network(width=width), group=group, **given)

    others, error = refused(newcomer)
    assert error.status == "SGP_ERR_MISMATCH" and text in str(error)
    assert others == pytest.approx([3] * 3)


def test_another_optimizer() -> None:
    """It is known as soon as it steps: the newcomer is a node then, and is lost."""

    def newcomer(run: Run, group: sgp.Group) -> None:
        model = sgp.DistributedDataParallel(network(), group=group)
        train(run, group, model, torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1))

    others, error = refused(newcomer)
    assert "the optimizer and its settings must be the same on every node: this newcomer has the optimizer SGD" in str(error)
    assert others == pytest.approx([3] * 3)


def test_a_newcomer_that_ends_on_its_way() -> None:
    """It has its place, and no step: the others do not wait for it."""

    def newcomer(run: Run, group: sgp.Group) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sgp.Mixer, "enter", lambda *_: None)
            sgp.DistributedDataParallel(network(), group=group)
        raise sgp.Error("ends")

    others, _ = refused(newcomer)
    assert others == pytest.approx([3] * 3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"algorithm": "adpsgd"}, "algorithm='adpsgd': nodes can join"),
        ({"algorithm": "allreduce"}, "algorithm='allreduce': nodes can join"),
        ({"overlap": "async"}, "overlap='async': nodes can join"),
        ({"workers_per_node": 2}, "a group with max_nodes cannot be split"),
    ],
    ids=str,
)
def test_what_newcomers_cannot_join(options: dict[str, Any], text: str) -> None:
    """The founders are told when they wrap the model."""
    group = sgp.Group(rank=0, size=1, elastic=True, max_nodes=2, transport="tcp")
    try:
        with pytest.raises(sgp.Error, match=text) as error:
            sgp.DistributedDataParallel(network(), group=group, **options)
        assert error.value.status == "SGP_ERR_UNSUPPORTED"
        with pytest.raises(sgp.Error, match="has no duplicates"):
            group.duplicate()
    finally:
        group.abort()


def test_one_mixer() -> None:
    group = sgp.Group(rank=0, size=1, elastic=True, max_nodes=2, transport="tcp")
    try:
        sgp.Mixer([torch.zeros(20)], group=group)
        with pytest.raises(sgp.Error, match="has one mixer"):
            sgp.Mixer([torch.zeros(20)], group=group)
    finally:
        group.abort()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rank": 0, "size": 1, "max_nodes": 2}, "max_nodes=2: nodes can join an elastic group only"),
        ({"rank": 0, "size": 1, "max_nodes": 0, "elastic": True}, "max_nodes=0: must be a whole number of 1 or more"),
        ({"rank": 0, "size": 2, "join_running": "127.0.0.1:1"}, "leave out rank, size and join"),
        ({"join_running": "127.0.0.1"}, "127.0.0.1"),
        ({"join_running": 7}, "join_running=7: must be a string"),
    ],
    ids=str,
)
def test_wrong_arguments(options: dict[str, Any], text: str) -> None:
    with pytest.raises(sgp.Error) as error:
        sgp.Group(**options)
    assert text in str(error.value)


def test_wrong_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGP_TORCH_MAX_NODES", "many")
    with pytest.raises(sgp.Error, match="SGP_TORCH_MAX_NODES='many': must be a whole number"):
        sgp.Group(rank=0, size=1, elastic=True)


# ---- when the nodes meet ----


class Members:
    """A group of three members and a place, as this node's view has it; what the others say at a meeting."""

    handle, rank, capacity = None, 0, 4

    def __init__(self) -> None:
        self.newcomer = library.Member(rank=3, first=0, until=2**64 - 1)
        self.version = 0
        self.ended = [0, 0, 0]

    def becomes(self, incarnation: int, condition: int, first: int) -> None:
        self.newcomer = library.Member(rank=3, incarnation=incarnation, condition=condition, first=first)
        self.version += 1

    def gather(self, mine: bytes) -> list[bytes]:
        kind, steps, ended = arrivals._MEETING.unpack(mine)
        self.ended[0] = ended
        return [arrivals._MEETING.pack(kind, steps, at) for at in self.ended] + [bytes(len(mine))]


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> Members:
    made = Members()
    monkeypatch.setattr(library, "view_version", lambda handle: made.version)
    monkeypatch.setattr(library, "members", lambda handle, capacity: [made.newcomer])
    return made


COMING, LEFT, DEAD = 3, 4, 5


def meets(met: arrivals.Arrivals, steps: int) -> bool:
    if not met.due(steps):
        return False
    met.meet(steps)
    return True


def test_a_late_newcomer_is_awaited(members: Members) -> None:
    met = arrivals.Arrivals(members, False)  # type: ignore[arg-type]
    assert not meets(met, 1)
    members.becomes(0, COMING, 5)
    assert [step for step in range(1, 200) if meets(met, step)] == list(range(6, 200))


@pytest.mark.parametrize("condition", [LEFT, DEAD])
@pytest.mark.parametrize("teller", [0, 2])
def test_all_pass_a_newcomer_of_which_one_knows_that_it_has_ended(members: Members, condition: int, teller: int) -> None:
    """Whether this node is the one that knows it or not: a node that stopped meeting by itself would be missed by the others."""
    met = arrivals.Arrivals(members, False)  # type: ignore[arg-type]
    members.becomes(0, COMING, 5)
    assert meets(met, 6)
    if teller == 0:
        members.becomes(0, condition, 5)
    else:
        members.ended[teller] = 4
    assert meets(met, 7) and not meets(met, 8)


def test_the_next_newcomer_of_a_place_waits_for_its_turn(members: Members) -> None:
    met = arrivals.Arrivals(members, False)  # type: ignore[arg-type]
    members.becomes(0, COMING, 5)
    assert meets(met, 6)
    members.becomes(1, COMING, 20)
    assert meets(met, 7) and members.ended[0] == 4
    assert [step for step in range(8, 30) if meets(met, step)] == list(range(21, 30))


# ---- what travels ----


class Malice:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_foreign_bytes_are_not_executed(capsys: pytest.CaptureFixture[str]) -> None:
    file = io.BytesIO()
    torch.save([Malice()], file)
    text = b'{"tensor": 0}'
    start = len(text).to_bytes(8, "little") + text
    nested = b"[" * 100_000
    deep = len(nested).to_bytes(8, "little") + nested
    for foreign in (start + file.getvalue(), start + pickle.dumps([Malice()], 2), start, deep, b"", b"PK\3\4", b"x" * 99):
        with pytest.raises(sgp.Error, match="the state cannot be read") as error:
            arrivals.unpack(foreign, "the state")
        assert error.value.status == "SGP_ERR_FORMAT"
    assert capsys.readouterr().out == ""
    with pytest.raises(sgp.Error, match="the state is a list"):
        arrivals.unpack(arrivals.pack([1, 2]), "the state")
    with pytest.raises(sgp.Error, match="a Malice cannot be sent to a newcomer"):
        arrivals.pack({"optimizers": Malice()})


def test_what_travels_stays_what_it_is() -> None:
    value = {
        "groups": [{"lr": 0.1 + 0.2, "betas": (0.9, 0.999), "foreach": None, "flag": False, "inf": float("inf"), 7: "x"}],
        "state": {0: {"step": torch.tensor(3.0), "m": torch.randn(3, 4).double()}, 1: {"m": torch.ones(2).bfloat16()}},
    }
    found = arrivals.unpack(arrivals.pack(value), "the state")
    assert found["groups"] == value["groups"]
    for key, state in value["state"].items():
        for name, tensor in state.items():
            assert torch.equal(found["state"][key][name], tensor) and found["state"][key][name].dtype == tensor.dtype


def test_lists_of_a_blob_are_bounded() -> None:
    lines = {"model and options": [f"layer{i}.weight: float32 (64, 64), trained" for i in range(1000)]}
    assert arrivals._agreed_of(arrivals._blob_of(lines)) == lines
    with pytest.raises(sgp.Error, match="the run is none of sgp_torch"):
        arrivals._agreed_of(b"the options of a run in C")
    bomb = zlib.compress(bytes(200 << 20))
    assert len(bomb) < 1 << 20
    with pytest.raises(sgp.Error, match="cannot be read"):
        arrivals._agreed_of(bomb)
    generator = torch.Generator().manual_seed(0)
    noise = ["".join(map(chr, torch.randint(33, 126, (90,), generator=generator).tolist())) for _ in range(1500)]
    with pytest.raises(sgp.Error, match=f"a newcomer can be told {library.BLOB_BYTES}"):
        arrivals._blob_of({"model and options": noise})


def test_a_state_that_cannot_travel() -> None:
    """The newcomer is refused, and the others go on."""

    def body(run: Run, group: sgp.Group) -> Any:
        model = sgp.DistributedDataParallel(network(), group=group)
        optimizer = adam(p for p in model.parameters() if p.requires_grad)
        group.arrivals.give(lambda: 1 / 0)
        train(run, group, model, optimizer)
        return model.consensus()["w_total"]

    run = Run(body)
    run.join().join(LIMIT)
    with run.lock:
        run.arrived = 1
    results = run.end()
    assert isinstance(results[2], sgp.Error) and "the sponsor has no state to give" in str(results[2])
    assert results[:2] == pytest.approx([2, 2])


# ---- the sampler, and what is shared ----


@pytest.mark.parametrize("sampler_first", [False, True])
def test_the_rest_of_an_epoch(sampler_first: bool) -> None:
    """No sample is used twice in an epoch, and none is left out but less than one for each node; all nodes make the same steps,
    and a newcomer's scheduler goes on where those of the others are."""
    samples, epochs, at = 600, 3, 10

    def body(run: Run, group: sgp.Group) -> Any:
        def make_samplers() -> tuple[sgp.ElasticSampler, sgp.ElasticSampler]:
            trained = sgp.ElasticSampler(range(samples), 4, group=group, agree_every=7)
            return trained, sgp.ElasticSampler(range(20), 4, group=group)

        if sampler_first:
            sampler, tests = make_samplers()
        model = sgp.DistributedDataParallel(network(), group=group)
        if not sampler_first:
            sampler, tests = make_samplers()
        optimizer = adam(p for p in model.parameters() if p.requires_grad)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        group.share(scheduler=scheduler)
        used: list[Any] = []
        begin, cursor = sampler.epoch, sampler.cursor
        for epoch in range(sampler.epoch, epochs):
            sampler.set_epoch(epoch)
            for i, batch in enumerate(torch.utils.data.DataLoader(range(samples), batch_sampler=sampler)):
                used.extend((epoch, int(sample)) for sample in batch)
                optimizer.zero_grad()
                model(torch.randn(4, 8, generator=data(group.rank))).square().mean().backward()
                optimizer.step()
                if (epoch, i, group.rank < FOUNDERS) == (1, at, True):
                    run.training.release()
                    while len(sampler.members) == FOUNDERS:  # the nodes meet the newcomer after one of these steps
                        optimizer.step()
            scheduler.step()
            tests.set_epoch(epoch)
            assert sum(len(batch) for batch in tests) > 0
        rate = optimizer.param_groups[0]["lr"]
        return (begin, cursor), used, rate, model.steps, sampler.members, sampler.missed

    run = Run(body)
    run.join()
    results = run.end()
    assert not errors(results), results
    begins, used, rates, steps, members, missed = zip(*results)
    assert begins == ((0, 0), (0, 0), (1, 8 * (at + 1)))
    assert set(rates) == {0.01 / 8} and len(set(steps)) == 1
    assert members == ([0, 1, 2],) * 3 and missed == (0, 0, 0)
    together = [sample for each in used for sample in each]
    assert len(together) == len(set(together)) > epochs * (samples - 3)
    assert len(used[2]) > samples / 3


def test_workers_of_a_loader() -> None:
    group = sgp.Group(rank=0, size=1, elastic=True, max_nodes=2, transport="tcp")
    try:
        sampler = sgp.ElasticSampler(range(20), 4, group=group)
        with pytest.raises(sgp.Error, match="num_workers=1: a DataLoader with workers"):
            list(torch.utils.data.DataLoader(range(20), batch_sampler=sampler, num_workers=1))
    finally:
        group.abort()


def test_other_samples() -> None:
    def newcomer(run: Run, group: sgp.Group) -> None:
        sgp.ElasticSampler(range(41), 4, group=group)

    def body(run: Run, group: sgp.Group) -> Any:
        sgp.ElasticSampler(range(40), 4, group=group)
        model = sgp.DistributedDataParallel(network(), group=group)
        train(run, group, model, adam(p for p in model.parameters() if p.requires_grad))
        return model.consensus()["w_total"]

    run = Run(body)
    run.join(newcomer).join(LIMIT)
    run.join()
    results = run.end()
    assert "the ElasticSampler must be the same on every node: this newcomer has samples=41 where the run has samples=40" in str(
        results[2]
    )
    assert [*results[:2], results[3]] == pytest.approx([3] * 3)


def test_what_can_be_shared() -> None:
    group = sgp.Group(rank=0, size=1)
    try:
        group.share(model=network())
        with pytest.raises(sgp.Error, match=r"share: number is a int, which has no state_dict\(\)"):
            group.share(number=3)
    finally:
        group.leave()
