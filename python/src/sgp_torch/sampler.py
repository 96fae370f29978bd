# SPDX-License-Identifier: Apache-2.0
"""The samples of an epoch, divided among the nodes that are there."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Sized
from typing import Any

import torch
from torch.utils.data import Sampler

from . import layout
from .arrivals import Arrivals
from .errors import Error
from .group import Group, check_group, default_group

_PLACE = struct.Struct("<BQQ")  # 1, epoch, cursor; zeros from a node that is gone


class ElasticSampler(Sampler[list[int]]):
    """Batches of indices for torch's DataLoader, whose nodes may be lost, leave or join in the middle of an epoch.

        sampler = sgp_torch.ElasticSampler(dataset, batch_size=32)
        loader = torch.utils.data.DataLoader(dataset, batch_sampler=sampler)
        for epoch in range(epochs):
            sampler.set_epoch(epoch)
            for batch in loader:

    All nodes go through one order of the samples, with one cursor. In each step the nodes that are there take the next
    `batch_size` samples each. Every `agree_every` steps they agree on who is there, by a call of the group that waits for
    the slowest; from then on what is left of the epoch is divided among them. So every node makes the same steps, no sample
    is used twice in an epoch, and what a lost node would have taken until the next agreement is left out (`missed`).
    The last step of an epoch may be smaller, and less than one sample for each node is left out. All nodes make the sampler
    alike, and iterate it at the same places of the program; it calls the group in the thread that iterates it.

    A node that joins a running training gets epoch and cursor with its first step, and its first iteration is the rest of that
    epoch: its loop begins with `range(sampler.epoch, epochs)`, which is the whole range for the others. In a group with
    max_nodes the DataLoader has no workers.

    Args:
        data: the data set, or anything with its length.
        batch_size: of each node.
        group: nodes; default: the group of the process. One that is not elastic has all nodes at all times.
        shuffle: another order in each epoch, from the seed; else that of the data set.
        seed: the same on every node.
        agree_every: steps; default: a twentieth of the epoch's. A DataLoader with workers asks for batches ahead of the
            steps, and so for agreements.

    Attributes:
        missed: samples of this epoch that lost nodes may not have used, at most.
        members: ranks that share the samples, as agreed last.

    Raises:
        Error: an argument is out of range; the nodes are at different places.
    """

    def __init__(
        self,
        data: Sized,
        batch_size: int,
        *,
        group: Group | None = None,
        shuffle: bool = True,
        seed: int = 0,
        agree_every: int | None = None,
    ) -> None:
        check_group(group)
        for name, value in (("batch_size", batch_size), ("agree_every", 1 if agree_every is None else agree_every)):
            if not isinstance(value, int) or value < 1:
                raise Error(f"{name}={value!r}: must be a whole number of 1 or more")
        self.group = group or default_group()
        self.samples, self.batch_size, self.shuffle, self.seed = len(data), batch_size, shuffle, seed
        self.members = list(range(self.group.size))
        self._since = 0  # steps since the last agreement
        self._is_under_way = False  # an iteration
        self._goes_on = False  # a newcomer's, whose next iteration is the rest of an epoch
        if self.samples < self.group.size:
            raise Error(f"data: has {self.samples} samples, must be at least 1 for each of the {self.group.size} nodes")
        self.agree_every = agree_every or max(1, len(self) // 20)
        self.epoch = self.cursor = self.missed = 0
        if self.group.arrivals is not None:
            self._meet_newcomers(self.group.arrivals)

    def _meet_newcomers(self, arrivals: Arrivals) -> None:
        self.members = list(arrivals.present) or self.members
        names = ("samples", "batch_size", "shuffle", "seed")
        key = arrivals.next_sampler()
        lines = [f"{name}={getattr(self, name)!r}" for name in names]
        if arrivals.knows(key):
            layout.compare_with_told(arrivals, lines, "ElasticSampler", key)
        arrivals.note(key, lines)
        arrivals.at_meetings(self._take_in)
        arrivals.share(key, self, "_hand_over", "_take_over")

    def __len__(self) -> int:
        """Steps of a whole epoch by the nodes that are there."""
        return -(-self.samples // (self.batch_size * len(self.members)))

    def set_epoch(self, epoch: int) -> None:
        """Before each epoch, as for torch's DistributedSampler. The same on every node."""
        if epoch != self.epoch:
            self.epoch, self.cursor, self.missed = epoch, 0, 0

    def state_dict(self) -> dict[str, int]:
        """Where the epoch is, for any number of nodes. With workers of a DataLoader batches are asked for ahead of the steps:
        save between two epochs."""
        return {"epoch": self.epoch, "cursor": self.cursor, "missed": self.missed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.cursor, self.missed = int(state["epoch"]), int(state["cursor"]), int(state["missed"])

    def _hand_over(self) -> dict[str, Any]:
        return {**self.state_dict(), "agree_every": self.agree_every, "is_under_way": self._is_under_way}

    def _take_over(self, state: dict[str, Any]) -> None:
        """Of a newcomer: it comes in the middle of an epoch, between two agreements."""
        self.load_state_dict(state)
        self.agree_every = max(1, int(state["agree_every"]))
        self._goes_on = bool(state["is_under_way"])

    def __iter__(self) -> Iterator[list[int]]:
        self._check_not_ahead(sys._getframe(1).f_locals.get("self"))
        self._is_under_way = True
        try:
            yield from self._rest()
        finally:
            self._is_under_way = False

    def _rest(self) -> Iterator[list[int]]:
        if not self._goes_on:
            if self._is_over():
                self.cursor = self.missed = 0
            self._agree()
        self._goes_on = False
        order = self._order()
        while True:
            while self._since < self.agree_every and not self._is_over():
                self._since += 1
                yield self._take(order)
            self._agree()
            if self._is_over():
                return

    def _check_not_ahead(self, asks: Any) -> None:
        """asks: the iterator of a DataLoader. A newcomer cannot have the batches that the workers of the others have been given
        ahead of the steps."""
        if self.group.arrivals is not None and getattr(asks, "_num_workers", 0) > 0:
            raise Error(
                f"num_workers={asks._num_workers}: a DataLoader with workers asks for batches ahead of the steps, and then nodes "
                "cannot join: 0 workers, or no max_nodes",
                "SGP_ERR_UNSUPPORTED",
            )

    def _order(self) -> list[int]:
        if not self.shuffle:
            return list(range(self.samples))
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return torch.randperm(self.samples, generator=generator).tolist()

    def _is_over(self) -> bool:
        """The same on all nodes: they have the same cursor and members."""
        return self.samples - self.cursor < len(self.members)

    def _take(self, order: list[int]) -> list[int]:
        """This node's part of the next step."""
        nodes, place = len(self.members), self.members.index(self.group.rank)
        step = min(self.batch_size * nodes, self.samples - self.cursor)
        first, last = (self.cursor + step * part // nodes for part in (place, place + 1))
        self.cursor += step
        return order[first:last]

    def _agree(self) -> None:
        """On the nodes that are there, since the last time."""
        places = [_PLACE.unpack(place) for place in self.group.gather(_PLACE.pack(1, self.epoch, self.cursor))]
        there = [rank for rank, (found, _, _) in enumerate(places) if found]
        for rank in there:
            if places[rank][1:] != (self.epoch, self.cursor):
                raise Error(
                    f"ElasticSampler: node {rank} is at sample {places[rank][2]} of epoch {places[rank][1]}, and node "
                    f"{self.group.rank} at sample {self.cursor} of epoch {self.epoch}: every node iterates it alike",
                    "SGP_ERR_MISMATCH",
                )
        self._take_in(there)

    def _take_in(self, there: list[int]) -> None:
        """All nodes know who is there: from here on these share the samples."""
        lost = len(set(self.members) - set(there))
        self.missed += lost * self._since * self.batch_size
        self.members = there
        self._since = 0
