# SPDX-License-Identifier: Apache-2.0
"""The programs in examples/torch, started as a user starts them, with tiny settings."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

import sgp_torch

EXAMPLES = Path(__file__).parents[2] / "examples" / "torch"
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
GPT = "--layers 1 --heads 2 --width 32 --context 32 --batch 8 --lr 0.01 --warmup 2 --sample 20".split()
RESNET = "--width 4 --batch 16 --limit-samples 160 --epochs 2 --workers 1".split()


def run(script: str, *arguments: object, nodes: int = 2, **variables: str) -> str:
    """What an example prints. nodes 1: started without a launcher."""
    launcher = ["-m", "sgp_torch.run", "--nodes", str(nodes)] if nodes > 1 else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SGP_TORCH_")}
    package = str(Path(sgp_torch.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    environment.update(variables, OMP_NUM_THREADS="1", PYTHONPATH=path)
    command = [sys.executable, *launcher, str(EXAMPLES / script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def mistake(script: str, *arguments: object) -> str:
    """The message with which an example ends before it joins a group."""
    example = runpy.run_path(str(EXAMPLES / script))
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(text), pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        args = example["options"]()
        example["datasets"](args)  # resnet.py
    return text.getvalue() + str(end.value)


def test_elastic_goes_on() -> None:
    """Node 0 is killed after the first epoch."""
    package = str(Path(sgp_torch.__file__).parents[1])
    command = [sys.executable, "-m", "sgp_torch.run", "--on-loss", "continue", "--nodes", "3", str(EXAMPLES / "elastic.py")]
    process = subprocess.Popen(
        [*command, "--epochs", "4", "--points", "1000"],
        env={**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("epoch 1  3 nodes  accuracy ")
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        if b"SGP_RANK=0" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            os.kill(int(pid), signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "sgp_torch.run: node 0 was lost (signal 9, SIGKILL): the others go on\n" in err
    assert re.search(r"(?m)^epoch 4  2 nodes  accuracy [\d.]+  missed 0$", out), out
    assert len(re.findall(r"(?m)^node \d: node 0 is lost: ", out)) == 2


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports that are free."""
    for _ in range(100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            sockets[0].bind(("127.0.0.1", 0))
            first = int(sockets[0].getsockname()[1])
            for i in range(1, count):
                sockets[i].bind(("127.0.0.1", first + i))
            return first
    pytest.fail(f"no {count} free ports beside each other")


def test_elastic_takes_a_newcomer() -> None:
    """A fourth process joins three; then node 0 is killed. The three that are left end with the same parameters."""
    first = free_ports(6)
    arguments = [str(EXAMPLES / "elastic.py"), "--epochs", "40", "--points", "400", "--wait-for", "4"]
    package = str(Path(sgp_torch.__file__).parents[1])
    common = {**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "sgp_torch.run", "--on-loss", "continue", "--nodes", "3", "--transport", "tcp"]
    founders = subprocess.Popen(
        [sys.executable, *launcher, "--ports", f"{first}-{first + 5}", *arguments],
        env={**common, "SGP_TORCH_MAX_NODES": "6"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert founders.stdout is not None
    lines = iter(founders.stdout.readline, "")
    assert next(lines).startswith("epoch 1  3 nodes  accuracy ")
    contacts = ",".join(f"127.0.0.1:{port}" for port in range(first, first + 6))
    newcomer = subprocess.Popen(
        [sys.executable, *arguments],
        env={**common, "SGP_TORCH_JOIN_RUNNING": contacts},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    before = []
    for line in lines:
        before.append(line)
        if re.match(r"epoch \d+  4 nodes ", line):
            break
    for pid in Path(f"/proc/{founders.pid}/task/{founders.pid}/children").read_text().split():
        if b"SGP_RANK=0" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            os.kill(int(pid), signal.SIGKILL)
    out, err = founders.communicate(timeout=300)
    theirs, their_err = newcomer.communicate(timeout=300)
    assert (founders.returncode, newcomer.returncode) == (0, 0), err + their_err
    every = "".join(before) + out + theirs
    assert len(re.findall(r"(?m)^node [012]: node 3 has joined$", every)) >= 2, every
    assert len(re.findall(r"(?m)^node [123]: node 0 is lost: ", every)) == 3, every
    ends = re.findall(r"(?m)^node (\d): done, parameters (\w{8})$", every)
    assert sorted(rank for rank, _ in ends) == ["1", "2", "3"] and len({digest for _, digest in ends}) == 1, every
    assert re.search(r"(?m)^epoch \d+  3 nodes  accuracy [\d.]+  missed 0$", out), every


def numbers(output: str, name: str) -> list[float]:
    """Those that stand after a name in the output, in order."""
    return [float(number) for number in re.findall(rf"{name} +([0-9.]+)", output)]


def assert_same_bits(a: Any, b: Any, path: str) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same_bits(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b)):
            assert_same_bits(x, y, f"{path}/{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    else:
        assert a == b, path


def assert_same_checkpoints(a: Path, b: Path, nodes: int = 2) -> None:
    for node in range(nodes):
        states = [torch.load(folder / f"node{node}.pt") for folder in (a, b)]
        for state in states:
            del state["mixer"]  # it counts time as well
        assert_same_bits(states[0], states[1], f"node {node}")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of a made language, a few of them frequent: the same text whatever else changes."""
    random = Random(1)
    words = ["".join(chr(97 + int(26 * random.random() ** 2)) for _ in range(2 + int(6 * random.random()))) for _ in range(300)]
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(" ".join(words[int(300 * random.random() ** 3)] for _ in range(40_000)))
    return path


@pytest.fixture
def bible(tmp_path: Path) -> Path:
    """The text in Debian's bible-kjv-text, which is compressed: `bible`, of bible-kjv, prints it."""
    program = shutil.which("bible")
    if not program:
        pytest.skip("Debian's bible-kjv, which prints the text in bible-kjv-text, is not installed")
    path = tmp_path / "bible.txt"
    with path.open("wb") as file:
        subprocess.run([program, "-f", "gen1:1-rev22:21"], stdin=subprocess.DEVNULL, stdout=file, check=True, timeout=60)
    return path


needs_torch_2 = pytest.mark.skipif(
    not hasattr(torch.nn.functional, "scaled_dot_product_attention"), reason="gpt.py needs torch 2.0"
)
needs_fashion_mnist = pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")


@needs_torch_2
def test_gpt_resumed_equals_uninterrupted(text: Path, tmp_path: Path) -> None:
    """With messages that are a step late, and with slow momentum, so that a resume needs all of the mixer's state."""
    variables = {"SGP_TORCH_ALGORITHM": "osgp", "SGP_TORCH_SLOW_MOMENTUM": "0.5", "SGP_TORCH_SLOW_EVERY": "4"}
    options = [text, *GPT, "--steps", 30, "--evaluate-every", 10, "--save-every", 15, "--accumulate", 2]
    whole = run("gpt.py", *options, "--output", tmp_path / "whole", **variables)
    run("gpt.py", *options, "--output", tmp_path / "parts", "--stop-after", 15, **variables)
    rest = run("gpt.py", *options, "--output", tmp_path / "parts", "--resume", **variables)

    losses = numbers(whole, "validation")
    assert max(losses) < 5.0, whole  # log 256 = 5.5 before the first step
    assert numbers(whole, "processes:") == [2]
    assert numbers(rest, "step") == [20, 30] and numbers(rest, "validation") == losses[1:]
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "parts")
    assert_same_bits(*(torch.load(tmp_path / part / "gpt.pt") for part in ("whole", "parts")), "gpt.pt")


@needs_torch_2
def test_gpt_follows_ddp(text: Path) -> None:
    """Two nodes in lock step average exactly in each step; Adam's second moment is an estimate, which is the only difference."""
    options = [text, *GPT, "--steps", 40, "--evaluate-every", 40]
    (ours,), (ddp,) = (numbers(run("gpt.py", *options, *more), "validation") for more in ([], ["--ddp"]))
    assert ours == pytest.approx(ddp, rel=0.02)


@needs_torch_2
@pytest.mark.parametrize("source", ["text", "bible"])
def test_gpt_alone(source: str, request: pytest.FixtureRequest) -> None:
    output = run("gpt.py", request.getfixturevalue(source), *GPT, "--steps", 30, "--evaluate-every", 15, nodes=1)
    first, last = numbers(output, "validation")
    assert last < first < 5.0 and numbers(output, "processes:") == [1], output


def test_gpt_mistakes(text: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("too short")
    assert "not a file of more than 1290 bytes" in mistake("gpt.py", short)
    assert "--resume needs the --output of a run" in mistake("gpt.py", text, "--resume", "--output", tmp_path)
    assert "--width 256 is not a multiple of --heads 3" in mistake("gpt.py", text, "--heads", 3)


@needs_fashion_mnist
def test_resnet_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    options = [*RESNET, "--lr", 1.0]
    whole = run("resnet.py", *options, "--output", tmp_path / "whole")
    run("resnet.py", *options, "--output", tmp_path / "parts", "--stop-after", 1)
    rest = run("resnet.py", *options, "--output", tmp_path / "parts", "--resume")

    losses = numbers(whole, "training loss")
    assert len(losses) == 2 and losses[1] < losses[0], whole
    assert numbers(rest, "epoch") == [2] and numbers(rest, "training loss") == losses[1:]
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "parts")
    assert_same_bits(*(torch.load(tmp_path / part / "resnet.pt") for part in ("whole", "parts")), "resnet.pt")


@needs_fashion_mnist
def test_resnet_alone() -> None:
    losses = numbers(run("resnet.py", *RESNET, "--workers", 0, nodes=1), "training loss")
    assert len(losses) == 2 and losses[1] < losses[0]


def test_resnet_mistakes(tmp_path: Path) -> None:
    assert "--warmup-epochs 2 is not less than --epochs 2" in mistake("resnet.py", "--warmup-epochs", 2, "--epochs", 2)
    assert "has neither train/ nor IDX files" in mistake("resnet.py", tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"no IDX file")
    assert "train-images-idx3-ubyte: not an IDX file of bytes" in mistake("resnet.py", tmp_path)


def test_resnet_on_a_folder_of_images(tmp_path: Path) -> None:
    """Two classes that differ by their colour; without torchvision a line that says so."""
    (tmp_path / "train").mkdir()
    try:
        from torchvision.transforms.functional import to_pil_image
    except ImportError:
        assert "needs torchvision" in mistake("resnet.py", tmp_path)
        return
    for part, count in (("train", 16), ("val", 4)):
        for colour, name in enumerate(("red", "green")):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = torch.zeros(3, 12, 12)
                pixels[colour] = torch.rand(12, 12, generator=torch.Generator().manual_seed(i))
                to_pil_image(pixels).save(tmp_path / part / name / f"{i}.png")
    settings = "--width 4 --batch 8 --epochs 3 --image-size 12 --workers 0 --lr 2".split()
    assert numbers(run("resnet.py", tmp_path, *settings, nodes=1), "test accuracy")[-1] == 1.0
