# SPDX-License-Identifier: Apache-2.0
"""The models of the benchmarks: a GPT, ResNet-18, and layers that sleep instead of computing. Plain torch, 1.13 or newer.

`gpt()` has 10.9 million parameters (nanoGPT's character model, with bytes), `resnet18()` has torchvision's architecture and parameter
count, and `Sleeping(count, seconds)` has about `count` floats in the shapes of a GPT. Nothing here knows of any distributed wrapper."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional

VOCABULARY = 256  # bytes


# ---- GPT ----

class Attention(nn.Module):
    """Causal self-attention: (B, T, C) -> (B, T, C)."""

    def __init__(self, width: int, heads: int, block: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width, bias=False)
        self.fused = hasattr(functional, "scaled_dot_product_attention")  # torch 2.0
        if not self.fused:
            mask = torch.full((block, block), -math.inf).triu(1)
            self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time_, width = x.shape
        q, k, v = self.qkv(x).view(batch, time_, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)  # (B, heads, T, C / heads)
        if self.fused:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = (q @ k.transpose(-2, -1) / math.sqrt(width // self.heads) + self.mask[:time_, :time_]).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(batch, time_, width))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, block: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, block)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width, bias=False), nn.GELU(), nn.Linear(4 * width, width, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Bytes (B, T) and the bytes that follow (B, T) -> the mean cross-entropy.

    Initialised so that plain SGD trains it: GPT-2's 0.02 for all weights leaves SGD on the plateau of the bytes' frequencies."""

    def __init__(self, layers: int, heads: int, width: int, block: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.position = nn.Embedding(block, width)
        self.blocks = nn.Sequential(*(Block(width, heads, block) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                ends_branch = name.endswith(("proj", "mlp.2"))
                nn.init.normal_(module.weight, std=module.in_features ** -0.5 / (math.sqrt(2 * layers) if ends_branch else 1))
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.normal_(self.embedding.weight, std=0.5)
        nn.init.normal_(self.position.weight, std=0.2)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        h = self.embedding(x) + self.position(torch.arange(x.shape[1]))
        logits = self.head(self.norm(self.blocks(h)))
        return functional.cross_entropy(logits.view(-1, VOCABULARY), y.reshape(-1))


def gpt() -> GPT:
    """10.9 million parameters."""
    return GPT(layers=6, heads=6, width=384, block=256)


def tiny_gpt() -> GPT:
    """0.39 million parameters, for runs of hundreds of steps on a CPU."""
    return GPT(layers=3, heads=4, width=96, block=64)


# ---- ResNet-18 ----

class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """Images (B, channels, H, W) and classes (B) -> the mean cross-entropy. width 64 is the published network."""

    def __init__(self, classes: int = 1000, channels: int = 3, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.layers = nn.Sequential(*(nn.Sequential(BasicBlock(widths[i], widths[i + 1], 1 if i == 0 else 2),
                                                    BasicBlock(widths[i + 1], widths[i + 1], 1)) for i in range(4)))
        self.fc = nn.Linear(8 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
        return self.fc(self.layers(x).mean((2, 3)))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self.logits(x), y)


def resnet18() -> ResNet18:
    """11.7 million parameters."""
    return ResNet18()


# ---- layers that sleep ----

class SleepingLayer(nn.Module):
    """Passes x through. Forward and backward sleep for the given seconds; backward leaves a new gradient in every parameter."""

    def __init__(self, shapes: list[tuple[int, ...]], forward: float, backward: float) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.full(shape, 0.01)) for shape in shapes])
        self.seconds = forward, backward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Sleep.apply(x, self.seconds, *self.weights)


class Sleep(torch.autograd.Function):
    @staticmethod
    def forward(context, x, seconds, *weights):
        time.sleep(seconds[0])
        context.seconds, context.weights = seconds[1], weights
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        time.sleep(context.seconds)
        return (gradient, None, *(torch.full_like(weight, 1e-3) for weight in context.weights))


def gpt_shapes(count: int, layers: int = 6) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of each layer of a GPT with `count` floats, to half a row: the embedding takes what the blocks leave."""
    width = int(math.sqrt(count / (layers * 12.5)))
    yield [(round((count - layers * (12 * width * width + 2 * width) - width) / width), width)]
    for _ in range(layers):
        yield [(width,), (3 * width, width)]
        yield [(width, width)]
        yield [(width,), (4 * width, width)]
        yield [(width, 4 * width)]
    yield [(width,)]


class Sleeping(nn.Module):
    """About `count` floats whose computation takes `seconds` on a device that needs no core of this machine: a third forward and two
    thirds backward, each layer in proportion to its floats. (any) -> a scalar."""

    def __init__(self, count: int, seconds: float) -> None:
        super().__init__()
        all_shapes = list(gpt_shapes(count))
        floats = [sum(math.prod(shape) for shape in shapes) for shapes in all_shapes]
        shares = [seconds * n / sum(floats) for n in floats]
        self.layers = nn.Sequential(*(SleepingLayer(shapes, share / 3, share * 2 / 3) for shapes, share in zip(all_shapes, shares)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).sum()
