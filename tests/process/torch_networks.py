#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the residual networks of src/model with torch's: logits, loss, every gradient, and batch norm's statistics.

    torch_networks.py [--side PIXELS] [--batch N] [--smoothing X] [MODEL...]

prints the largest differences, in parts of a tensor's norm, and those of both from torch in double precision. The large
networks are torchvision's where it is installed, else the same definition below, with the same names of tensors.

A gradient jumps where a ReLU's input is 0 and where the largest pixels of a pooling window are equal. In float32 a few of
millions of such decisions depend on rounding, which moves some gradients by 1 %, also those of torch in float32 from those of
torch in double precision. So the numbers are kept clear of both: the shift of each batch norm is moved so that 0 lies in a gap
between the inputs of the ReLU behind it, and pictures with a tie are drawn again.
"""
import argparse
import json
import math
import os
import struct
import subprocess
import tempfile

import torch
from torch import nn
from torch.nn import functional as F

try:
    import torchvision
except ImportError:
    torchvision = None

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL_PASS = os.environ.get("SGP_MODEL_PASS", os.path.join(SOURCE, "build", "tests", "process", "test_model_pass"))
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, 0..1
DTYPES = {torch.float32: "F32", torch.int64: "I64"}


class Block(nn.Module):
    """Two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1 that strides in the 3x3."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        shapes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)] if bottleneck else \
            [(inputs, width, 3, stride), (width, width, 3, 1)]
        self.count, self.relu = len(shapes), nn.ReLU()
        for i, (before, after, kernel, step) in enumerate(shapes, 1):
            setattr(self, f"conv{i}", nn.Conv2d(before, after, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(after))
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = self.relu(y if i < self.count else y + shortcut)
        return y


class ResNet(nn.Module):
    """large: the network for large images; else that for small ones."""

    def __init__(self, blocks, bottleneck, large, channels, classes):
        super().__init__()
        self.large, width = large, 64 if large else 16
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False) if large else nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stages, inputs, self.relu = len(blocks), width, nn.ReLU()
        for stage, count in enumerate(blocks):
            layers = []
            for number in range(count):
                layers.append(Block(inputs, width << stage, 2 if stage and not number else 1, bottleneck))
                inputs = (width << stage) * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        if self.large:
            x = F.max_pool2d(x, 3, 2, 1)
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


LARGE = {"resnet18": ((2, 2, 2, 2), False), "resnet34": ((3, 4, 6, 3), False), "resnet50": ((3, 4, 6, 3), True),
         "resnet101": ((3, 4, 23, 3), True)}
SMALL = {"resnet20": 3, "resnet32": 5, "resnet56": 9}


def own(name, channels, classes):
    if name in LARGE:
        return ResNet(*LARGE[name], True, channels, classes)
    return ResNet((SMALL[name],) * 3, False, False, channels, classes)


def build(name, channels, classes):
    """Of torchvision if it can be."""
    if torchvision and name in LARGE and channels == 3:
        return getattr(torchvision.models, name)(num_classes=classes)
    return own(name, channels, classes)


def randomise(net, generator):
    """Random scales, shifts and statistics of every batch norm: with zero scales the branches have no gradient. The last scales
    of a block are smaller, as in trained networks. At 1 rounding grows from block to block: torch's gradients of resnet101 in
    float32 and in double precision then differ by 2e-4."""
    ends = [getattr(module, "bn3", getattr(module, "bn2", None)) for module in net.modules()]
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            bounds = (0.1, 0.5) if any(module is end for end in ends) else (0.5, 1.5)
            module.weight.data.uniform_(*bounds, generator=generator)
            module.bias.data.normal_(0, 0.25, generator=generator)
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)


def pictures(count, channels, side, generator):
    """(count, channels, side, side), normalised: a spectrum of 1/f as in photographs, a gradient of light, and a shape with sharp
    edges."""
    rows, columns = torch.meshgrid(torch.fft.fftfreq(side), torch.fft.rfftfreq(side), indexing="ij")
    falling = 1 / torch.sqrt(rows * rows + columns * columns).clamp(min=1 / side)
    noise = torch.randn(count, channels, side, side, generator=generator)
    noise = torch.fft.irfft2(torch.fft.rfft2(noise + noise.mean(1, keepdim=True)) * falling, s=(side, side))
    noise = noise / noise.std((1, 2, 3), keepdim=True) * 0.2
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    for picture in noise:
        a, b, centre_x, centre_y = (torch.rand(4, generator=generator) - 0.5).tolist()
        picture += 0.5 + 0.3 * (a * x + b * y)
        inside = (x - centre_x) ** 2 + (y - centre_y) ** 2 < 0.1
        picture[:, inside] = torch.rand(channels, 1, generator=generator)
    noise = noise.clamp(0, 1) + 0.01 * torch.randn(noise.shape, generator=generator)  # of the sensor: no area is flat
    means = torch.tensor((MEAN * 2)[:channels]).view(-1, 1, 1)
    deviations = torch.tensor((DEVIATION * 2)[:channels]).view(-1, 1, 1)
    return (noise - means) / deviations


def has_tie(conv, picture, tolerance=2e-6):
    """Whether the two largest pixels of a window of the pooling are closer than that, in parts of the channel's deviation. Batch
    norm keeps their order."""
    with torch.no_grad():
        x = conv(picture[None].double())[0]
    side = (x.shape[-1] - 1) // 2 + 1
    windows = F.unfold(F.pad(x[:, None], (1, 1, 1, 1), value=-math.inf), 3, stride=2).view(len(x), 9, side, side)
    first, second = windows.topk(2, 1).values.unbind(1)
    return bool(((first - second) < tolerance * x.std((1, 2))[:, None, None]).any())


def clear_pictures(pooled, count, channels, side, generator):
    """Pictures without a tie in what is pooled, the output of a convolution; False: nothing is."""
    chosen = []
    for _ in range(100):
        chosen += [p for p in pictures(count, channels, side, generator) if not pooled or not has_tie(pooled, p)]
        if len(chosen) >= count:
            return torch.stack(chosen[:count])
    raise AssertionError("all pictures have ties")


def into_gap(values, reach=0.2):
    """(C, N) -> (C) what to add so that 0 is in the middle of the widest gap within `reach` deviations, or of the nearest one;
    and (C) its half width in deviations."""
    ordered = values.sort(1).values
    deviation = values.std(1)
    width = ordered.diff(dim=1)
    middle = (ordered[:, 1:] + ordered[:, :-1]) / 2
    distance = middle.abs()
    near = distance <= torch.maximum(reach * deviation, distance.min(1).values)[:, None]
    best = torch.where(near, width, torch.full_like(width, -1)).max(1)
    return -middle.gather(1, best.indices[:, None])[:, 0], best.values / 2 / deviation


def clear_relus(net, images):
    """Moves the shift of the batch norm before each ReLU. net: in double precision. Returns the smallest distance of a ReLU's
    input from 0, in deviations of its channel."""
    last, margins, hooks = [], [], []

    def clear(_, inputs):
        (x,) = inputs
        shift, margin = into_gap(x.transpose(0, 1).flatten(1))
        bias = last[-1].bias.data
        moved = (bias + shift).float().double()
        x = x + (moved - bias)[:, None, None]
        bias.copy_(moved)
        margins.append(margin.min().item())
        return (x,)

    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_hook(lambda module, *_: last.append(module)))
        elif isinstance(module, nn.ReLU):
            hooks.append(module.register_forward_pre_hook(clear))
    with torch.no_grad():
        net.train()(images.double())
    for hook in hooks:
        hook.remove()
    return min(margins)


def write_safetensors(path, tensors):
    header, data = {}, []
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        content = bytes(tensor.detach().contiguous().reshape(-1).numpy().tobytes())
        begin = sum(map(len, data))
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, begin + len(content)]}
        data.append(content)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), bytearray(file.read())
    dtypes = {text: dtype for dtype, text in DTYPES.items()}
    return {name: torch.frombuffer(data, dtype=dtypes[entry["dtype"]], offset=entry["data_offsets"][0],
                                   count=math.prod(entry["shape"])).reshape(entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}


def read_floats(path, shape):
    with open(path, "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.float32).reshape(shape)


def run_torch(net, images, labels, smoothing):
    """The same pass as test_model_pass, in the precision of the network."""
    found = {}
    net.eval()
    with torch.no_grad():
        found["evaluated"] = net(images)
        found["evaluated loss"] = F.cross_entropy(found["evaluated"], labels)
    net.train()
    found["trained"] = net(images)
    loss = F.cross_entropy(found["trained"], labels, label_smoothing=smoothing)
    loss.backward()
    found["trained loss"] = loss.detach()
    found.update({name: parameter.grad for name, parameter in net.named_parameters()})
    found.update({name: buffer for name, buffer in net.named_buffers() if "num_batches" not in name})
    return {name: value.detach().clone() for name, value in found.items()}


def run_ours(name, state, images, labels, smoothing, classes):
    count, channels, side, _ = images.shape
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, "weights.safetensors")
        write_safetensors(weights, state)
        with open(os.path.join(folder, "batch"), "wb") as file:
            file.write(images.permute(0, 2, 3, 1).contiguous().numpy().tobytes() + labels.to(torch.int32).numpy().tobytes())
        arguments = [name, count, side, channels, classes, smoothing, weights, folder]
        ended = subprocess.run([MODEL_PASS, *map(str, arguments)], stdout=subprocess.PIPE, check=True, timeout=600)
        found = read_safetensors(os.path.join(folder, "gradient.safetensors"))
        for kind, loss in zip(("evaluated", "trained"), ended.stdout.split()):
            found[kind] = read_floats(os.path.join(folder, kind), (count, classes))
            found[kind + " loss"] = torch.tensor(float(loss) / count, dtype=torch.float64)
        return found


def difference(found, expected):
    """The norm of the difference in parts of the expected norm."""
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def largest(found, expected, names):
    """(difference, name) of the tensor that differs most."""
    return max((difference(found[name], expected[name]), name) for name in names)


PARTS = {"logits": lambda name: name in ("evaluated", "trained"), "loss": lambda name: name.endswith(" loss"),
         "statistics": lambda name: ".running_" in name}


def part_of(name):
    return next((part for part, fits in PARTS.items() if fits(name)), "gradients")


def compare(name, side, batch, channels=3, classes=1000, smoothing=0.1, seed=1, exactly=False):
    """{part: (largest difference from torch in float32, name, ours from float64, torch's float32 from float64)}, the last two
    only with exactly, and the margin of clear_relus"""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = build(name, channels, classes)
    randomise(net, generator)
    net.double()
    images = clear_pictures(name in LARGE and net.conv1, batch, channels, side, generator)
    statistics = {key: value.clone() for key, value in net.named_buffers()}
    margin = clear_relus(net, images)
    net.load_state_dict(statistics, strict=False)
    net.float()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    labels = torch.randint(0, classes, (batch,), generator=generator)
    ours = run_ours(name, state, images, labels, smoothing, classes)
    single = run_torch(net, images, labels, smoothing)
    if set(single) != set(ours):
        raise AssertionError(f"{name}: other tensors: {sorted(set(single) ^ set(ours))}")
    exact = None
    if exactly:
        net.load_state_dict(state)
        net.zero_grad()
        exact = run_torch(net.double(), images.double(), labels, smoothing)
    found = {}
    for part in (*PARTS, "gradients"):
        names = [key for key in single if part_of(key) == part]
        worst, where = largest(ours, single, names)
        found[part] = (worst, where, *(largest(those, exact, names)[0] if exactly else math.nan for those in (ours, single)))
    return found, margin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=0, help="224, and 32 for the small networks")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("models", nargs="*", default=[*SMALL, *LARGE])
    options = parser.parse_args()
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__ if torchvision else 'none'}, batch {options.batch}")
    print("model      part        ours-torch  ours-float64  torch-float64  most in")
    for name in options.models:
        side = options.side or (32 if name in SMALL else 224)
        found, margin = compare(name, side, options.batch, classes=10 if name in SMALL else 1000, smoothing=options.smoothing,
                        seed=options.seed, exactly=True)
        print(f"{name:10} inputs of ReLUs are {margin:.1e} deviations from 0 or more")
        for part, (worst, where, ours, theirs) in found.items():
            print(f"{name:10} {part:10}  {worst:10.2e}  {ours:12.2e}  {theirs:13.2e}  {where}", flush=True)


if __name__ == "__main__":
    main()
