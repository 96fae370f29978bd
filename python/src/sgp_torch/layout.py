# SPDX-License-Identifier: Apache-2.0
"""Where each tensor lies in the flat vector, and whether all nodes agree about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Sequence

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from .arrivals import Arrivals
from .errors import Error
from .group import Group

ALIGNMENT = 16  # floats, 64 bytes: torch aligns its own tensors so, and kernels are fastest there


def _is_lazy(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, (UninitializedParameter, UninitializedBuffer))


class Entry:
    """A tensor of the vector, at elements [offset, offset + count).

    The tensor belongs to a module, which may replace it (`module._parameters[leaf] = ...`), or stands alone.
    """

    __slots__ = ("name", "tensor", "offset", "count", "_table", "_leaf")

    def __init__(
        self,
        name: str,
        tensor: torch.Tensor,
        table: dict[str, torch.Tensor | None] | None = None,
        leaf: str = "",
    ) -> None:
        self.name = name
        self.tensor = tensor
        self.offset = 0
        self.count = tensor.numel() if isinstance(tensor, torch.Tensor) and not _is_lazy(tensor) else 0
        self._table = table
        self._leaf = leaf

    def is_replaced(self) -> bool:
        """Whether refresh would take another object."""
        if self._table is None:
            return False
        now = self._table.get(self._leaf)
        return now is not None and now is not self.tensor and now.shape == self.tensor.shape

    def refresh(self) -> bool:
        """Takes the tensor that the module has now. Whether it is another object."""
        if self._table is None:
            return False
        now = self._table.get(self._leaf)
        if now is self.tensor:
            return False
        if now is None:
            raise Error(f"{self.name} was removed from the model after it was wrapped: wrap the model again")
        if now.shape != self.tensor.shape:
            raise Error(
                f"{self.name} has the shape {tuple(now.shape)} now, and had {tuple(self.tensor.shape)} when the model was "
                "wrapped: wrap the model again"
            )
        self.tensor = now
        return True


def place(entries: Iterable[Entry], offset: int = 0) -> int:
    """Gives each entry its place, in order, from `offset` on. Returns the end, in floats."""
    for entry in entries:
        entry.offset = offset
        offset += -(-entry.count // ALIGNMENT) * ALIGNMENT
    return offset


def is_dense(tensor: torch.Tensor) -> bool:
    """Whether the elements fill their memory, in whatever order of dimensions (channels_last is dense)."""
    expected = 1
    for stride, length in sorted(zip(tensor.stride(), tensor.shape)):
        if length == 1:
            continue
        if stride != expected:
            return False
        expected *= length
    return True


def _check_values(name: str, tensor: torch.Tensor) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise Error(f"{name} is a {type(tensor).__name__}: must be a tensor")
    if _is_lazy(tensor):
        raise Error(f"{name} has no shape yet: run one forward pass, which gives lazy modules their shapes, before wrapping")
    if tensor.device.type == "meta":
        raise Error(f"{name} is on the meta device and has no values: give it some before wrapping (model.to_empty(...))")


def check_tensor(name: str, tensor: torch.Tensor) -> None:
    """Raises the Error of a tensor that cannot be averaged."""
    _check_values(name, tensor)
    if tensor.layout != torch.strided:
        raise Error(f"{name} has the layout {tensor.layout}: only dense tensors can be averaged; convert it (.to_dense())")
    if tensor.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        raise Error(
            f"{name} is {tensor.dtype}: only real floating-point tensors can be averaged. Exclude it (requires_grad_(False)), "
            "or store a complex tensor as its real and imaginary parts (torch.view_as_real)"
        )
    if not is_dense(tensor):
        raise Error(
            f"{name} has the shape {tuple(tensor.shape)} and the strides {tensor.stride()}: its elements leave gaps, or share "
            "memory; make it contiguous"
        )


def check_local(name: str, tensor: torch.Tensor, sent: bool) -> None:
    """Raises the Error of a tensor that is not averaged, but belongs to the model. sent: it is to get node 0's values."""
    _check_values(name, tensor)
    if not sent:
        return
    instead = "wrap with init_sync=False if all nodes have the same values"
    if tensor.layout != torch.strided or tensor.is_quantized:
        kind = "is quantized" if tensor.is_quantized else f"has the layout {tensor.layout}"
        raise Error(f"{name} {kind} and cannot be sent to the other nodes: convert it, or {instead}")
    if any(stride == 0 and length > 1 for stride, length in zip(tensor.stride(), tensor.shape)):
        raise Error(
            f"{name} has elements that share memory (expand), so it cannot receive the values of node 0: clone() it, or {instead}"
        )


def _overlap(entries: Iterable[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Neighbours in memory that share some of it."""
    spans = []
    for i, entry in enumerate(entries):
        tensor = entry.tensor
        if tensor.layout != torch.strided or tensor.numel() == 0:
            continue
        length = 1 + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride()))
        begin = tensor.data_ptr()
        spans.append((str(tensor.device), begin, begin + length * tensor.element_size(), i, entry))
    spans.sort()
    for i, (device, _, end, _, entry) in enumerate(spans):
        for other_device, begin, _, _, other in spans[i + 1 :]:
            if device != other_device or begin >= end:
                break
            yield entry, other


def check_overlaps(entries: Sequence[Entry]) -> None:
    """Raises the Error of two tensors that share memory without being one object."""
    for one, other in _overlap(entries):
        if one.tensor is other.tensor:
            raise Error(f"{one.name} and {other.name} are the same tensor: give it once")
        raise Error(f"{one.name} and {other.name} share memory: tie them by assigning the same Parameter object to both")


def shares_memory(entries: Sequence[Entry], others: Sequence[Entry]) -> bool:
    """Whether one of `entries` shares memory with one of `others` that is another object."""
    mine = {id(entry.tensor) for entry in entries}
    return any((id(a.tensor) in mine) != (id(b.tensor) in mine) for a, b in _overlap([*entries, *others]))


def describe(entries: Iterable[Entry], trained: Container[int] = ()) -> list[str]:
    """A line for each tensor with all that must be the same on every node. trained: ids of tensors that are said to be."""
    lines = []
    for entry in entries:
        tensor = entry.tensor
        line = f"{entry.name}: {str(tensor.dtype).replace('torch.', '')} {tuple(tensor.shape)}"
        if tensor.layout == torch.strided and not tensor.is_contiguous():
            # The order of dimensions in memory: strides of dimensions of length 1 mean nothing.
            line += f", strides {tuple(s for s, n in zip(tensor.stride(), tensor.shape) if n != 1)}"
        elif tensor.layout != torch.strided:
            line += f", {tensor.layout}"
        lines.append(line + (", trained" if id(tensor) in trained else ""))
    return lines


_TEXT = 1000  # bytes of a node's message about a difference


def _difference(first: Sequence[str], mine: Sequence[str], who: str) -> str:
    for i in range(max(len(first), len(mine))):
        theirs = first[i] if i < len(first) else "nothing more"
        ours = mine[i] if i < len(mine) else "nothing more"
        if theirs != ours:
            return f"{ours} where {who} has {theirs}"
    return ""


def _who(ranks: Sequence[int]) -> str:
    if len(ranks) == 1:
        return f"node {ranks[0]} has"
    return f"nodes {', '.join(map(str, ranks[:-1]))} and {ranks[-1]} have"


def compare_with_told(arrivals: Arrivals, lines: Sequence[str], what: str, key: str) -> None:
    """Of a newcomer: raises the Error if `lines` are not those of the others."""
    difference = _difference(arrivals.told(key), lines, "the run")
    if difference:
        text = f"the {what} must be the same on every node: this newcomer has {difference}"
        arrivals.decline(text)
        raise Error(text, "SGP_ERR_MISMATCH")


def agree(group: Group, lines: Sequence[str], what: str, key: str | None = None) -> None:
    """Returns if `lines` are the same on every node; else raises the same Error on all of them, which names the nodes that
    differ from the first node and the first line that does. Every node calls it. A newcomer, to whom the others have told what
    they agreed on under this key (default: what), compares with that, and alone raises the Error."""
    arrivals = group.arrivals
    if arrivals is not None and (arrivals.entering or arrivals.knows(key or what)):
        compare_with_told(arrivals, lines, what, key or what)
    else:
        _agree_now(group, lines, what)
    if arrivals is not None:
        arrivals.note(key or what, lines)


def _agree_now(group: Group, lines: Sequence[str], what: str) -> None:
    if group.capacity == 1:
        return
    text = json.dumps(list(lines))
    digests = group.gather(hashlib.blake2b(text.encode(), digest_size=16).digest())
    there = [rank for rank, digest in enumerate(digests) if any(digest)]  # in an elastic group some may be gone
    if len({digests[rank] for rank in there}) == 1:
        return
    root = there[0]
    first = json.loads(group.broadcast_bytes(text.encode() if group.rank == root else b"", root))
    mine = _difference(first, lines, f"node {root}").encode()[:_TEXT]
    found: dict[str, list[int]] = {}
    for rank, message in enumerate(group.gather(mine.ljust(_TEXT, b"\0"))):
        found.setdefault(message.rstrip(b"\0").decode(errors="replace"), []).append(rank)
    differences = "; ".join(f"{_who(ranks)} {difference}" for difference, ranks in found.items() if difference)
    raise Error(f"the {what} must be the same on every node: {differences}", "SGP_ERR_MISMATCH")
