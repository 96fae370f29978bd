#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ResNet-18 for small images, trained by Stochastic Gradient Push on several nodes.

    python -m sgp_torch.run --nodes 4 resnet.py              Fashion-MNIST, from Debian's dataset-fashion-mnist
    python -m sgp_torch.run --nodes 4 resnet.py DIR          DIR/{train,val}/CLASS/IMAGE; needs torchvision
    torchrun --standalone --nproc_per_node 4 resnet.py       the same nodes
    SGP_TORCH_ALGORITHM=osgp python -m sgp_torch.run ...     another algorithm; SGP_TORCH_GRAPH and so on: see Options
    ... resnet.py --ddp                                      torch's DistributedDataParallel, to compare

The nodes divide each epoch's permutation of the images. The learning rate is per 256 images of all nodes together. The running
statistics of batch norm are averaged with the weights. Accuracy is that of the average of all nodes.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

import sgp_torch as sgp

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: (B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.shortcut(x))


class ResNet18(nn.Sequential):
    """(B, channels, H, W) -> (B, classes). The first convolution keeps the size, as for CIFAR."""

    def __init__(self, channels: int, classes: int, width: int) -> None:
        stages = [(width, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2), (4 * width, 8 * width, 2)]
        blocks = [b for i, o, stride in stages for b in (Block(i, o, stride), Block(o, o, 1))]
        stem = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        super().__init__(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, classes))


class Idx(Dataset):
    """Pairs of image (1, 28, 28) and label, from files of MNIST's format. augment: shift and flip images at random."""

    def __init__(self, folder: Path, part: str, augment: bool, limit: int) -> None:
        self.images = self.read(folder / f"{part}-images-idx3-ubyte").unsqueeze(1)[: limit or None]  # (N, 1, H, W)
        self.labels = self.read(folder / f"{part}-labels-idx1-ubyte")[: limit or None].tolist()
        self.augment, self.classes = augment, max(self.labels) + 1

    @staticmethod
    def read(path: Path) -> torch.Tensor:
        """The file or its .gz: two zero bytes, the type (8: uint8), the rank, the big-endian sizes, the elements."""
        data = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(path.name + ".gz").read_bytes())
        if data[:3] != b"\0\0\x08":
            raise SystemExit(f"{path}: not an IDX file of bytes")
        sizes = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
        return torch.frombuffer(bytearray(data), dtype=torch.uint8, offset=4 + 4 * data[3]).view(sizes)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = self.images[i].float().div(255).sub(0.286).div(0.353)
        if self.augment:
            top, left, flip = (int(torch.randint(n, ())) for n in (5, 5, 2))
            height, width = image.shape[1:]
            image = F.pad(image, (2, 2, 2, 2), value=-0.81)[:, top : top + height, left : left + width]
            image = image.flip(2) if flip else image
        return image, self.labels[i]


def datasets(args: argparse.Namespace) -> tuple[Dataset, Dataset, int, int]:
    """For training, for testing, channels, classes."""
    if (args.data / "train").is_dir():
        try:
            from torchvision import transforms as T
            from torchvision.datasets import ImageFolder
        except ImportError as error:
            raise SystemExit(f"{args.data} is a folder of images, which needs torchvision: {error}") from None
        normal = [T.ToTensor(), T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
        crop = [T.RandomResizedCrop(args.image_size), T.RandomHorizontalFlip()]
        middle = [T.Resize(args.image_size), T.CenterCrop(args.image_size)]
        training = ImageFolder(args.data / "train", T.Compose(crop + normal))
        return training, ImageFolder(args.data / "val", T.Compose(middle + normal)), 3, len(training.classes)
    try:
        training = Idx(args.data, "train", True, args.limit_samples)
        test = Idx(args.data, "t10k", False, args.limit_samples)
    except FileNotFoundError as error:
        raise SystemExit(f"{args.data} has neither train/ nor IDX files (Debian: dataset-fashion-mnist): {error}") from None
    return training, test, 1, training.classes


class Share(Sampler):
    """This node's share of each epoch's permutation of count images, as many as every other node's."""

    def __init__(self, count: int, args: argparse.Namespace) -> None:
        self.count, self.args, self.epoch = count, args, 0

    def __len__(self) -> int:
        return self.count // self.args.size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1000 * self.args.seed + self.epoch)  # the same on every node
        order = torch.randperm(self.count, generator=generator)
        return iter(order[self.args.rank :: self.args.size][: len(self)].tolist())


def learning_rate(epoch: float, args: argparse.Namespace) -> float:
    """Linear warm-up, then a cosine to zero; scaled with the images per step of all nodes."""
    peak = args.lr * args.size * args.batch / 256
    if epoch < args.warmup_epochs:
        return peak * epoch / args.warmup_epochs
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (epoch - args.warmup_epochs) / (args.epochs - args.warmup_epochs))))


def total(count: int, args: argparse.Namespace) -> int:
    """Sum over the nodes of a number that each has."""
    if args.size == 1:
        return count
    counts = [torch.tensor([count]) for _ in range(args.size)]
    for root in range(args.size):
        (dist if args.ddp else sgp).broadcast(counts[root], root)
    return sum(int(n) for n in counts)


@torch.no_grad()
def evaluate(net: nn.Module, loader: DataLoader, args: argparse.Namespace) -> int:
    """Images of this node's share that are classified correctly."""
    net.eval()
    correct = sum(int((net(x.to(args.device)).argmax(1).cpu() == y).sum()) for x, y in loader)
    net.train()
    return correct


def train(net: nn.Module, model: nn.Module, training: Dataset, test: Dataset, args: argparse.Namespace) -> None:
    average = contextlib.nullcontext if args.ddp else model.averaged
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=args.weight_decay)
    share = Share(len(training), args)
    common = {"batch_size": args.batch, "num_workers": args.workers, "pin_memory": args.device.startswith("cuda")}
    loader = DataLoader(training, sampler=share, drop_last=True, **common)
    test_loader = DataLoader(torch.utils.data.Subset(test, range(args.rank, len(test), args.size)), **common)
    checkpoint, start = args.output and args.output / f"node{args.rank}.pt", 0
    if args.resume:
        state = torch.load(checkpoint, map_location="cpu")
        net.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if not args.ddp:
            model.load_mixer_state_dict(state["mixer"])  # what the tensors do not show: step, weight, momentum
        torch.set_rng_state(state["random"])
        start = state["epoch"]

    for epoch in range(start, min(args.epochs, args.stop_after)):
        share.epoch, began, loss_sum = epoch, time.perf_counter(), torch.zeros((), device=args.device)
        for i, (images, labels) in enumerate(loader):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch + (i + 1) / len(loader), args)
            loss = F.cross_entropy(model(images.to(args.device)), labels.to(args.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()  # and the push
            loss_sum += loss.detach()
        mean, seconds = loss_sum.item() / len(loader), time.perf_counter() - began
        with average():  # every node has the mean of all nodes' weights in here
            correct = evaluate(net, test_loader, args)
        accuracy = total(correct, args) / len(test)
        if args.rank == 0:
            print(f"epoch {epoch + 1:3}  training loss {mean:.4f}  test accuracy {accuracy:.4f}  {seconds:.1f} s", flush=True)
        if checkpoint:
            state = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}
            state["random"] = torch.get_rng_state()
            if not args.ddp:
                state["mixer"] = model.mixer_state_dict()  # every node calls it after the same step
            save(state, checkpoint, args)


def save(state: dict, path: Path, args: argparse.Namespace) -> None:
    """The old file stays until every node has written its new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path.with_suffix(".new"))
    args.barrier()
    os.replace(path.with_suffix(".new"), path)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=FASHION_MNIST, help=f"folder with the data ({FASHION_MNIST})")
    parser.add_argument("--ddp", action="store_true", help="torch's DistributedDataParallel instead of sgp's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, default, text in (
        ("epochs", 10, "epochs in all"), ("warmup-epochs", 1, "epochs of rising learning rate"),
        ("batch", 64, "images per node and step"), ("workers", 2, "processes per node that load images"),
        ("width", 64, "channels of the first stage"), ("image-size", 64, "pixels, of a folder of images"),
        ("limit-samples", 0, "the first N images of IDX files only, for a quick try; 0: all"),
        ("seed", 1, "of the weights and the order of images"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{text} ({default})")
    parser.add_argument("--lr", type=float, default=0.1, metavar="RATE", help="highest learning rate per 256 images (0.1)")
    parser.add_argument("--weight-decay", type=float, default=5e-4, metavar="X", help="(0.0005)")
    parser.add_argument("--stop-after", type=int, default=10**9, metavar="EPOCHS", help="end early, to resume later")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where checkpoints and the final weights go (nowhere)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --output")
    args = parser.parse_args()
    if args.resume and not (args.output and (args.output / "node0.pt").is_file()):
        parser.error("--resume needs the --output of a run that has saved a checkpoint")
    if args.warmup_epochs >= args.epochs:
        parser.error(f"--warmup-epochs {args.warmup_epochs} is not less than --epochs {args.epochs}")
    return args


def main() -> None:
    args = options()
    training, test, channels, classes = datasets(args)
    args.rank, args.size, args.barrier = 0, 1, lambda: None
    if not args.ddp:
        args.rank, args.size, args.barrier = sgp.rank(), sgp.size(), sgp.barrier
    elif "RANK" in os.environ:
        dist.init_process_group("nccl" if args.device == "cuda" else "gloo")
        args.rank, args.size, args.barrier = dist.get_rank(), dist.get_world_size(), dist.barrier
    if args.device == "cuda":
        args.device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    if len(training) < args.size * args.batch:
        raise SystemExit(f"{len(training)} images are less than a batch of {args.batch} for each of {args.size} nodes")

    torch.manual_seed(args.seed)
    net = ResNet18(channels, classes, args.width).to(args.device)
    torch.manual_seed(1000 * args.seed + args.rank)  # from here on each node changes its images in its own way
    model: nn.Module = net
    if not args.ddp:
        model = sgp.DistributedDataParallel(net)
    elif args.size > 1:
        model = nn.parallel.DistributedDataParallel(net)
    if args.rank == 0:
        parameters = sum(p.numel() for p in net.parameters())
        print(f"parameters: {parameters:,}  processes: {args.size}  device: {args.device}")
    train(net, model, training, test, args)

    if not args.ddp:
        model.average_()  # all nodes end with the same weights
    if args.rank == 0 and args.output:
        torch.save(net.state_dict(), args.output / "resnet.pt")
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
