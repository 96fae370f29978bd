#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A GPT on the bytes of any text file, trained by Stochastic Gradient Push on several nodes.

    python gpt.py book.txt                                     one process
    python -m sgp_torch.run --nodes 4 gpt.py book.txt          four nodes on this machine
    torchrun --standalone --nproc_per_node 4 gpt.py book.txt   the same nodes
    SGP_TORCH_ALGORITHM=osgp python -m sgp_torch.run ...       another algorithm; SGP_TORCH_GRAPH and so on: see Options
    ... gpt.py book.txt --ddp                                  torch's DistributedDataParallel, to compare

Every node draws its own batches, so a step sees nodes * batch * accumulate * context bytes. Evaluation, sampling and the final
weights use the average of all nodes. A checkpoint is a file per node: a resumed run has the same bits as one without a break.
Needs torch 2.0.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

import sgp_torch as sgp

VOCABULARY = 256  # bytes


class Block(nn.Module):
    """Pre-norm transformer block: (B, T, C) -> (B, T, C)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm_attention(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        attention = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, heads, T, C / heads)
        x = x + self.project(attention.transpose(1, 2).reshape(b, t, c))
        return x + self.mlp(self.norm_mlp(x))


class GPT(nn.Module):
    """Logits of the next byte, and the mean cross-entropy in nats if the targets are given."""

    def __init__(self, layers: int, heads: int, width: int, context: int) -> None:
        super().__init__()
        self.context = context
        self.tokens, self.positions = nn.Embedding(VOCABULARY, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight  # tied
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif p.dim() == 2:  # the ends of the residual branches are scaled down, as in GPT-2
                residual = name.endswith(("project.weight", "mlp.2.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if residual else 0.02)

    def forward(self, x: torch.Tensor, targets: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
        h = self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device))  # (B, T, C)
        logits = self.head(self.norm(self.blocks(h)))  # (B, T, VOCABULARY)
        return logits, None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def sample(self, text: bytes, count: int) -> bytes:
        device = self.head.weight.device
        ids = torch.tensor([list(text)], device=device)  # (1, T)
        for _ in range(count):
            logits, _ = self(ids[:, -self.context :])
            ids = torch.cat((ids, torch.multinomial(logits[:, -1].softmax(-1), 1)), dim=1)
        return bytes(ids[0].tolist())


def batch(data: torch.Tensor, args: argparse.Namespace, generator: torch.Generator | None = None) -> list[torch.Tensor]:
    """Random windows of the text and the same windows one byte later, (batch, context) each."""
    starts = torch.randint(len(data) - args.context, (args.batch,), generator=generator)
    window = starts[:, None] + torch.arange(args.context)
    return [data[window + shift].long().to(args.device, non_blocking=True) for shift in (0, 1)]


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Linear warm-up, then a cosine down to a tenth."""
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    done = min(1.0, (step - args.warmup) / max(1, args.steps - args.warmup))
    return args.lr * (0.55 + 0.45 * math.cos(math.pi * done))


@torch.no_grad()
def evaluate(gpt: GPT, data: torch.Tensor, args: argparse.Namespace) -> float:
    """Mean loss on windows that are the same at every call and on every node."""
    generator = torch.Generator().manual_seed(0)
    losses = [gpt(*batch(data, args, generator))[1].item() for _ in range(args.evaluate_batches)]
    return sum(losses) / len(losses)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="any file; its last tenth is for validation")
    parser.add_argument("--ddp", action="store_true", help="torch's DistributedDataParallel instead of sgp's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--bfloat16", action="store_true", help="autocast to bfloat16")
    for name, default, text in (
        ("layers", 4, "transformer blocks"), ("heads", 4, "attention heads"), ("width", 256, "channels"),
        ("context", 128, "bytes the model sees"), ("batch", 16, "windows per node and pass"),
        ("accumulate", 1, "passes per step"), ("steps", 1000, "steps in all"), ("warmup", 50, "steps of rising learning rate"),
        ("evaluate-every", 100, "steps"), ("evaluate-batches", 8, "batches"), ("save-every", 200, "steps"),
        ("sample", 300, "bytes of text at the end"), ("seed", 1, "of the weights and the batches"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{text} ({default})")
    parser.add_argument("--lr", type=float, default=1e-3, metavar="RATE", help="highest learning rate (0.001)")
    parser.add_argument("--clip", type=float, default=1.0, metavar="NORM", help="limit of the gradient's norm (1)")
    parser.add_argument("--stop-after", type=int, default=10**9, metavar="STEPS", help="end early, to resume later")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where checkpoints and the final weights go (nowhere)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --output")
    args = parser.parse_args()
    if args.width % args.heads:
        parser.error(f"--width {args.width} is not a multiple of --heads {args.heads}")
    if args.resume and not (args.output and (args.output / "node0.pt").is_file()):
        parser.error("--resume needs the --output of a run that has saved a checkpoint")
    if not args.text.is_file() or args.text.stat().st_size // 10 <= args.context + 1:
        parser.error(f"{args.text}: not a file of more than {10 * (args.context + 1)} bytes")
    return args


def train(gpt: GPT, model: nn.Module, optimizer: torch.optim.Optimizer, text: torch.Tensor, args: argparse.Namespace) -> None:
    """Steps from the start or the checkpoint to the last one. text: (bytes)."""
    training, validation = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
    average = contextlib.nullcontext if args.ddp else model.averaged
    checkpoint, start = args.output and args.output / f"node{args.rank}.pt", 0
    if args.resume:
        state = torch.load(checkpoint, map_location="cpu")
        gpt.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if not args.ddp:
            model.load_mixer_state_dict(state["mixer"])  # what the tensors do not show: step, weight, momentum
        torch.set_rng_state(state["random"])
        start = state["step"]

    last_step, began, timed = min(args.steps, args.stop_after), time.perf_counter(), start
    for step in range(start, last_step):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args)
        for i in range(args.accumulate):
            last = i == args.accumulate - 1
            with contextlib.nullcontext() if last or args.size == 1 else model.no_sync():
                with torch.autocast(args.device.split(":")[0], torch.bfloat16, enabled=args.bfloat16):
                    _, loss = model(*batch(training, args))
                (loss / args.accumulate).backward()
        nn.utils.clip_grad_norm_(gpt.parameters(), args.clip)
        optimizer.step()  # and the push
        optimizer.zero_grad(set_to_none=True)
        done = step + 1
        if done % args.evaluate_every == 0 or done == last_step:
            losses, ms = f"training {loss.item():.4f}", 1e3 * (time.perf_counter() - began) / (done - timed)
            with average():  # every node has the mean of all nodes' weights in here
                losses += f"  validation {evaluate(gpt, validation, args):.4f}"
            if args.rank == 0:
                print(f"step {done:5}  {losses}  {ms:.1f} ms per step", flush=True)
            began, timed = time.perf_counter(), done
        if checkpoint and (done % args.save_every == 0 or done == last_step):
            state = {"model": gpt.state_dict(), "optimizer": optimizer.state_dict(), "step": done}
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


def main() -> None:
    args = options()
    args.rank, args.size, args.barrier = 0, 1, lambda: None
    if not args.ddp:
        args.rank, args.size, args.barrier = sgp.rank(), sgp.size(), sgp.barrier
    elif "RANK" in os.environ:
        dist.init_process_group("nccl" if args.device == "cuda" else "gloo")
        args.rank, args.size, args.barrier = dist.get_rank(), dist.get_world_size(), dist.barrier
    if args.device == "cuda":
        args.device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    text = torch.frombuffer(bytearray(args.text.read_bytes()), dtype=torch.uint8)

    torch.manual_seed(args.seed)
    gpt = GPT(args.layers, args.heads, args.width, args.context).to(args.device)
    torch.manual_seed(1000 * args.seed + args.rank)  # from here on each node draws its own batches
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=0.1)
    model = torch.compile(gpt) if args.compile else gpt
    if not args.ddp:
        model = sgp.DistributedDataParallel(model)
    elif args.size > 1:
        model = nn.parallel.DistributedDataParallel(model)
    if args.rank == 0:
        parameters = sum(p.numel() for p in gpt.parameters())
        print(f"parameters: {parameters:,}  processes: {args.size}  device: {args.device}")
    train(gpt, model, optimizer, text, args)

    if not args.ddp:
        model.average_()  # all nodes end with the same weights
    if args.rank == 0:
        if args.output:
            torch.save(gpt.state_dict(), args.output / "gpt.pt")
        if args.sample:
            print(gpt.sample(b"\n", args.sample).decode(errors="replace"))
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
