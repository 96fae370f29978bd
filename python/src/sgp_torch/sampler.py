# SPDX-License-Identifier: Apache-2.0
"""The samples of an epoch, divided among the nodes that are there."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sized
from typing import Any

import torch
from torch.utils.data import Sampler

from .errors import Error
from .group import Group, check_group, default_group

_PLACE = struct.Struct("<BQQ")  # 1, epoch, cursor; zeros from a node that is gone


class ElasticSampler(Sampler[list[int]]):
    """Batches of indices for torch's DataLoader, whose nodes may be lost or leave in the middle of an epoch.

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
        if self.samples < self.group.size:
            raise Error(f"data: has {self.samples} samples, must be at least 1 for each of the {self.group.size} nodes")
        self.agree_every = agree_every or max(1, len(self) // 20)
        self.epoch = self.cursor = self.missed = 0

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

    def __iter__(self) -> Iterator[list[int]]:
        if self._is_over():
            self.cursor = self.missed = 0
        order = self._order()
        self._agree(0)
        while not self._is_over():
            steps = 0
            while steps < self.agree_every and not self._is_over():
                yield self._take(order)
                steps += 1
            self._agree(steps)

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

    def _agree(self, steps: int) -> None:
        """On the nodes that are there, after so many steps since the last time."""
        places = [_PLACE.unpack(place) for place in self.group.gather(_PLACE.pack(1, self.epoch, self.cursor))]
        there = [rank for rank, (found, _, _) in enumerate(places) if found]
        for rank in there:
            if places[rank][1:] != (self.epoch, self.cursor):
                raise Error(
                    f"ElasticSampler: node {rank} is at sample {places[rank][2]} of epoch {places[rank][1]}, and node "
                    f"{self.group.rank} at sample {self.cursor} of epoch {self.epoch}: every node iterates it alike",
                    "SGP_ERR_MISMATCH",
                )
        lost = len(set(self.members) - set(there))
        self.missed += lost * steps * self.batch_size
        self.members = there
