# SPDX-License-Identifier: Apache-2.0
"""Somebody on the switch reads all that nodes with a key send, in whole runs: none of it is in the clear. A run with the same options and
--encryption off shows what there is to be found."""

import os
import re
import signal
import struct
import unittest
import zlib

from capture import Capture
from runs import LIMIT, NetworkTest, with_port

TRAINING = ["--model", "lenet", "--epochs", "1", "--seed", "3"]
ENDLESS = ["--model", "lenet", "--epochs", "100000", "--seed", "3", "--batch-size", "4", "--lr-schedule", "constant"]

HELLO = 128  # bytes, the first of either direction
HELLO_MAGIC = b"sgphello"  # src/wire/handshake.c
HEADER = struct.pack("<4sH", b"1SGP", 2)  # the beginning of a message's header, src/wire/header.h
HELLO_SHOWN = set(range(13)) | set(range(40, 64))  # magic, versions of the protocol, whether there is a key; version of the program

WINDOW = 64
HALF = WINDOW // 2
TEXT = 9  # printable characters that are a text: noise has some, but not the same ones as a run in the clear


def halves(data):
    """Blocks of HALF bytes: every window of WINDOW bytes holds one of them whole. None of them trivial, such as zeros."""
    blocks = (data[at:at + HALF] for at in range(0, len(data) - HALF + 1, HALF))
    return {block for block in blocks if len(set(block)) >= HALF // 4}


def holds_any(data, blocks):
    return any(data[at:at + HALF] in blocks for at in range(len(data) - HALF + 1))


def texts(data):
    return set(re.findall(rb"[ -~]{%d,}" % TEXT, data))


def parameters(path):
    """The bytes of all tensors of a safetensors file."""
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        file.read(length)
        return file.read()


class Captured:
    """What was sent after the hellos, and what the hellos show."""

    def __init__(self, capture):
        streams = [stream for stream in capture.streams.values() if stream]
        self.connections = len(streams)
        self.hellos = [stream[:HELLO] for stream in streams]
        self.sent = b"".join(stream[HELLO:] for stream in streams)
        self.others = capture.others


class EveryByte(NetworkTest):
    def training(self, encryption):
        """Three nodes, one epoch. Returns what was captured, and the parameters_hash."""
        network = self.make_network(3)
        with Capture(network, self.output(f"captured-{encryption}")) as capture:
            nodes = self.start_nodes(network, *TRAINING, "--encryption", encryption, nodes=3)
            summary = self.finish(nodes)
        network.remove()
        return Captured(capture), summary["parameters_hash"]

    def joining(self, encryption):
        """Two nodes, and a third one that joins them while they train."""
        network = self.make_network(3, rate=20e6)  # so that the run does not send more than a test can look through
        with Capture(network, self.output(f"captured-{encryption}")) as capture:
            nodes = self.start_nodes(network, *ENDLESS, "--encryption", encryption, "--max-nodes", "3", "--ports", "7000-7000", nodes=2)
            self.read_to(nodes[0], "epoch 1/")
            at = ",".join(with_port(network[0].ipv4, port) for port in (7000, self.port))
            newcomer = self.start_on(network[2], "train", "--join", at, "--key-file", self.key_file(), "--encryption", encryption)
            self.read_to(nodes[0], "node 2 has joined after step")
            self.read_to(nodes[0], r"epoch \d+/")
            for process in (*nodes, newcomer):
                process.send_signal(signal.SIGINT)
            for process in (*nodes, newcomer):
                _, err = process.communicate(timeout=LIMIT)
                self.assertEqual(process.returncode, 128 + signal.SIGINT, err)
        network.remove()
        return Captured(capture)

    def read_to(self, process, pattern):
        while line := process.stderr.readline():
            if re.search(pattern, line):
                return
        self.fail(f"no line with {pattern}")

    def check_hellos(self, captured):
        """With a key a hello shows versions alone."""
        self.assertGreater(captured.connections, 4)
        for hello in captured.hellos:
            self.assertTrue(hello.startswith(HELLO_MAGIC), hello)
            self.assertEqual([at for at, byte in enumerate(hello) if byte and at not in HELLO_SHOWN], [])

    def check_noise(self, captured):
        """No compressor finds anything in it but the lengths of records."""
        self.assertGreater(len(zlib.compress(captured.sent, 9)), 0.999 * len(captured.sent))

    def compare(self, clear, sealed, *known):
        """known: some of what nodes tell each other."""
        for word in (HEADER, self.folder.encode(), *known):
            self.assertIn(word, clear.sent)
            self.assertNotIn(word, sealed.sent)
        self.assertEqual(texts(clear.sent) & texts(sealed.sent), set())
        self.assertEqual(texts(sealed.others), set())
        self.check_hellos(clear)
        self.check_hellos(sealed)
        self.check_noise(sealed)

    def test_training(self):
        clear, with_off = self.training("off")
        sealed, with_on = self.training("on")
        self.assertEqual(with_on, with_off)  # so that both have sent the same
        model = halves(parameters(os.path.join(self.output("host0"), "model.safetensors")))
        self.assertTrue(holds_any(clear.sent, model))
        self.assertFalse(holds_any(sealed.sent, model | halves(clear.sent)))
        self.compare(clear, sealed, b"10.83.0.2:", b"parameters=28938\n", b"lr-schedule=cosine\n")

    def test_joining(self):
        clear = self.joining("off")
        sealed = self.joining("on")
        self.compare(clear, sealed, b'"options":{"model":"lenet"', b"10.83.0.2:", b"lr-schedule=constant")


if __name__ == "__main__":
    unittest.main()
