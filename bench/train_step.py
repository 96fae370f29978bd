#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The models of src/model in PyTorch, timed as bench/bench_train_step.c times ours.

    train_step.py [--batch N] [--steps N] [MODEL...]

prints one line per model: its name and the median time of a step in ms, with images in PyTorch's
default layout and in channels_last. One thread; the optimiser with foreach=True, its fastest.
"""
import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 10


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
                         nn.Linear(256, CLASSES))


def lenet():
    return nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(32 * 7 * 7, CLASSES))


class BasicBlock(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False),
                                            nn.BatchNorm2d(channels))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + shortcut, inplace=True)


def resnet20():
    layers = [nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    inputs = 16
    for stage, channels in enumerate((16, 32, 64)):
        for block in range(3):
            layers.append(BasicBlock(inputs, channels, 2 if stage and not block else 1))
            inputs = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def step_ms(build, batch, steps, memory_format):
    torch.manual_seed(1)
    model = build().to(memory_format=memory_format).train()
    images = torch.randn(batch, 1, 28, 28).contiguous(memory_format=memory_format)
    labels = torch.randint(0, CLASSES, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True,
                                weight_decay=1e-4, foreach=True)
    times = []
    for i in range(-5, steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        if i >= 0:
            times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("models", nargs="*", default=["mlp", "lenet", "resnet20"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.models:
        times = [step_ms(globals()[name], options.batch, options.steps, layout)
                 for layout in (torch.contiguous_format, torch.channels_last)]
        print(name, *("%.4f" % value for value in times), flush=True)


if __name__ == "__main__":
    main()
