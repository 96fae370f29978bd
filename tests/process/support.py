# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of the program: a small data set, runs of the program, and waiting for processes."""

import json
import os
import random
import select
import shutil
import struct
import subprocess
import tempfile
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("SGP_PROGRAM", os.path.join(SOURCE, "build", "tools", "sgp", "sgp"))

# Only a hang takes so long.
LIMIT = 120

SIDE = 28
CLASSES = 10
FILES = {
    "train-images": "train-images-idx3-ubyte",
    "train-labels": "train-labels-idx1-ubyte",
    "test-images": "t10k-images-idx3-ubyte",
    "test-labels": "t10k-labels-idx1-ubyte",
}


def idx_images(images, magic=0x803):
    header = struct.pack(">IIII", magic, len(images), SIDE, SIDE)
    return header + b"".join(images)


def idx_labels(labels, magic=0x801):
    return struct.pack(">II", magic, len(labels)) + bytes(labels)


def make_split(count, seed):
    """Images whose bright row says their class, under noise."""
    generator = random.Random(seed)
    images, labels = [], []
    for i in range(count):
        label = i % CLASSES
        pixels = bytearray(generator.randrange(64) for _ in range(SIDE * SIDE))
        start = (4 + 2 * label) * SIDE
        pixels[start:start + SIDE] = bytes([200] * SIDE)
        images.append(bytes(pixels))
        labels.append(label)
    return images, labels


def make_data(directory, train=512, test=128):
    """A data set in the format of MNIST. Returns the directory."""
    os.makedirs(directory, exist_ok=True)
    for part, count, seed in (("train", train, 1), ("test", test, 2)):
        images, labels = make_split(count, seed)
        write(os.path.join(directory, FILES[part + "-images"]), idx_images(images))
        write(os.path.join(directory, FILES[part + "-labels"]), idx_labels(labels))
    return directory


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def node_pids(launcher):
    """{rank: pid} of the nodes that a launcher has started, without those that have just ended."""
    with open(f"/proc/{launcher}/task/{launcher}/children", encoding="ascii") as file:
        children = [int(pid) for pid in file.read().split()]
    ranks = {}
    for pid in children:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = dict(e.split(b"=", 1) for e in file.read().split(b"\0") if b"=" in e)
        except ProcessLookupError:
            continue
        if b"SGP_RANK" in environment:  # a zombie has none
            ranks[int(environment[b"SGP_RANK"])] = pid
    return ranks


def wait_gone(descriptors, seconds=LIMIT):
    """Waits until the processes of these pidfds have ended; True if all have."""
    waiting = set(descriptors)
    while waiting:
        ready, _, _ = select.select(list(waiting), [], [], seconds)
        if not ready:
            return False
        waiting -= set(ready)
    return True


class ProgramTest(unittest.TestCase):
    """Gives each test a folder of its own, and an empty folder for rendezvous directories."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="sgp-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.runtime = os.path.join(self.folder, "r")
        os.mkdir(self.runtime, 0o700)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SGP_")}
        self.environment["XDG_RUNTIME_DIR"] = self.runtime

    def data(self, **sizes):
        path = os.path.join(self.folder, "data")
        return path if os.path.isdir(path) else make_data(path, **sizes)

    def output(self, name="out"):
        return os.path.join(self.folder, name)

    def start(self, *arguments, environment=None, **options):
        """Starts the program with pipes for its output."""
        process = subprocess.Popen(
            [PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**self.environment, **(environment or {})},
            cwd=self.folder, **options)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def run_program(self, *arguments, environment=None):
        """Runs it to its end. Returns (exit status, standard output, standard error)."""
        process = self.start(*arguments, environment=environment)
        out, err = process.communicate(timeout=LIMIT)
        return process.returncode, out, err

    def train(self, *arguments, output="out", **options):
        """A training run that must succeed; it replaces an earlier one. Returns its summary."""
        directory = self.output(output)
        status, _, err = self.run_program("train", "--data", self.data(), "--output", directory, "--overwrite",
                                          *arguments, **options)
        self.assertEqual(status, 0, err)
        with open(os.path.join(directory, "summary.json"), encoding="utf-8") as file:
            return json.load(file)

    def start_endless(self, *arguments, nodes=4, **options):
        """A run that is in the middle of training when this returns, and would go on for hours."""
        process = self.start("train", "--data", self.data(), "--output", self.output(), "--overwrite", "--nodes",
                             str(nodes), "--epochs", "100000", *arguments, **options)
        line = process.stderr.readline()
        self.assertIn("epoch 1/", line)
        return process

    def refused(self, *arguments, status=2, environment=None):
        """The single error line after a mistake."""
        code, out, err = self.run_program(*arguments, environment=environment)
        self.assertEqual(code, status, err)
        self.assertEqual(out, "")
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertTrue(err.startswith("sgp: "), err)
        return err

    def assert_nothing_left(self):
        self.assertEqual(os.listdir(self.runtime), [])
