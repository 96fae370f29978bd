# SPDX-License-Identifier: Apache-2.0
"""Nodes are killed one after another at moments that are hard to hit: at the ends of epochs, in which all meet, and while
checkpoints are written. The run spends nearly all of its time there, and the others go on to its end."""

import json
import os
import random
import signal
import struct
import time
import unittest

from support import LIMIT, ProgramTest, node_pids

NODES = 4
VICTIMS = (0, 2, 3)
RUN = ["--model", "mlp", "--batch-size", "1", "--nodes", str(NODES), "--compute-ms", "1"]


class KilledInTurn(ProgramTest):
    def start_run(self, *arguments):
        return self.start("train", "--data", self.data(), "--output", self.output(), "--overwrite", *RUN, *arguments)

    def read_until(self, process, words):
        lines = []
        while line := process.stderr.readline():
            lines.append(line)
            if words in line:
                return
        self.fail(f"no line with {words!r}: {lines}")

    def kill_all_but_one(self, process):
        """At random moments, each when the one before is known to be lost."""
        self.read_until(process, "epoch 1/")
        pids = node_pids(process.pid)
        for rank in VICTIMS:
            time.sleep(random.uniform(0, 0.1))  # the moment
            os.kill(pids[rank], signal.SIGKILL)
            self.read_until(process, f"node {rank} was lost (killed by signal 9): the others go on")
        for _ in range(2):
            self.read_until(process, "epoch")

    def finish(self, process):
        """Interrupted, it saves what the last node has."""
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 130, err)
        self.assert_nothing_left()
        with open(os.path.join(self.output(), "summary.json"), encoding="utf-8") as file:
            summary = json.load(file)
        self.assertEqual(sorted(loss["node"] for loss in summary["losses"]), list(VICTIMS))
        return summary

    def weights(self):
        """(nodes, w_total) of each epoch."""
        epochs = {}
        with open(os.path.join(self.output(), "metrics.jsonl"), encoding="utf-8") as file:
            for line in map(json.loads, file):
                if "w_total" in line:
                    epochs.setdefault(line["epoch"], []).append(line["w_total"])
        return [(len(weights), weights[0]) for weights in epochs.values()]

    def check_weights(self):
        """They are those of the nodes that were in the average. One that was killed after it may have no line."""
        weights = self.weights()
        self.assertEqual((weights[0][0], weights[-1][0]), (NODES, 1))
        for (before, _), (nodes, total) in zip([(NODES, NODES), *weights], weights):
            self.assertAlmostEqual(total, round(total), places=9)
            self.assertIn(round(total), range(nodes, before + 1), weights)

    def check_checkpoint(self, steps):
        """The newest one is whole, and of the node that is left."""
        folder = os.path.join(self.output(), "checkpoint")
        newest = os.path.join(folder, sorted(os.listdir(folder))[-1])
        self.assertEqual(os.listdir(newest), ["node-0.safetensors"])
        with open(os.path.join(newest, "node-0.safetensors"), "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            label = json.loads(file.read(length))["__metadata__"]
        self.assertEqual((label["nodes"], label["step"]), ("1", str(steps)))

    def test_at_the_end_of_an_epoch(self):
        """Of three steps."""
        for transport in ("shm", "tcp"):
            with self.subTest(transport):
                process = self.start_run("--transport", transport, "--limit-samples", str(3 * NODES), "--epochs", "100000",
                                         "--checkpoint-every", "1000000")
                self.kill_all_but_one(process)
                self.finish(process)
                self.check_weights()

    def test_while_a_checkpoint_is_written(self):
        """After each step."""
        for transport in ("shm", "tcp"):
            with self.subTest(transport):
                process = self.start_run("--transport", transport, "--limit-samples", str(20 * NODES), "--epochs", "100000",
                                         "--checkpoint-every", "1")
                self.kill_all_but_one(process)
                summary = self.finish(process)
                self.check_checkpoint(summary["steps"])


if __name__ == "__main__":
    unittest.main()
