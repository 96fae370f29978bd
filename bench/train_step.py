#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The models of src/model in PyTorch, timed as bench/bench_train_step.c times ours.

    train_step.py [--batch N] [--threads N] [--warm-up N] [--precision P] [--clock C]

prints the version of PyTorch and then answers lines of standard input: "MODEL WAY STEPS" with the
time in ms of each step, or with "cannot" and a reason. A way is `eager` or `compile`, with
`+channels_last` for images and weights in that layout. Precision bfloat16 is that of autocast. The
optimiser is SGD with foreach=True, its fastest. Models stay in memory for the next line.
"""
import argparse
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
                         nn.Linear(256, 10))


def lenet():
    return nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(32 * 7 * 7, 10))


def convolution(inputs, channels, kernel, stride=1):
    return nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """A basic block, or a bottleneck block with the stride in its 3x3 convolution."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        shapes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)] if bottleneck \
            else [(inputs, width, 3, stride), (width, outputs, 3, 1)]
        self.convolutions = nn.ModuleList(convolution(*shape) for shape in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(shape[1]) for shape in shapes)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for layer, norm in zip(self.convolutions[:-1], self.norms[:-1]):
            y = F.relu(norm(layer(y)), inplace=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.norms[-1](self.convolutions[-1](y)) + shortcut, inplace=True)


def residual(stem, width, blocks, bottleneck, classes):
    layers, inputs = stem, width
    for stage, count in enumerate(blocks):
        for number in range(count):
            layers.append(Block(inputs, width << stage, 2 if stage and not number else 1, bottleneck))
            inputs = (width << stage) * (4 if bottleneck else 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def resnet20():
    stem = [convolution(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    return residual(stem, 16, (3, 3, 3), False, 10)


def large(blocks, bottleneck):
    stem = [convolution(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    return residual(stem, 64, blocks, bottleneck, 1000)


def resnet18():
    return large((2, 2, 2, 2), False)


def resnet50():
    return large((3, 4, 6, 3), True)


LARGE = ("resnet18", "resnet50")  # 224 x 224 pixels in colour and 1000 classes; else 28 x 28 in grey and 10
MODELS = {build.__name__: build for build in (mlp, lenet, resnet20, resnet18, resnet50)}


class Training:
    """One model in one way."""

    def __init__(self, name, way, options):
        torch.manual_seed(1)
        side, channels, classes = (224, 3, 1000) if name in LARGE else (28, 1, 10)
        layout = torch.channels_last if way.endswith("+channels_last") else torch.contiguous_format
        self.model = MODELS[name]().to(memory_format=layout).train()
        self.images = torch.randn(options.batch, channels, side, side).contiguous(memory_format=layout)
        self.labels = torch.randint(0, classes, (options.batch,))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9, nesterov=True,
                                         weight_decay=1e-4, foreach=True)
        if way.startswith("compile"):
            self.model = torch.compile(self.model)
        self.half = options.precision == "bfloat16"
        self.clock = time.process_time if options.clock == "cpu" else time.perf_counter

    def step(self):
        """Its time in ms."""
        start = self.clock()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.half):
            loss = F.cross_entropy(self.model(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        return (self.clock() - start) * 1e3


def answer(line, trainings, options):
    name, way, steps = line.split()
    try:
        if (name, way) not in trainings:
            trainings[name, way] = Training(name, way, options)
            for _ in range(options.warm_up):
                trainings[name, way].step()
        return " ".join(f"{trainings[name, way].step():.4f}" for _ in range(int(steps)))
    # torch.compile is missing in old versions, needs a C++ compiler, and knows not every Python.
    except (RuntimeError, AttributeError, ImportError, OSError) as error:
        return "cannot " + (str(error).splitlines() or [repr(error)])[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(torch.__version__, flush=True)
    trainings = {}
    for line in sys.stdin:
        print(answer(line, trainings, options), flush=True)


if __name__ == "__main__":
    main()
