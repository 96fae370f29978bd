# SPDX-License-Identifier: Apache-2.0
"""A node is told to leave, and the others go on; fewer nodes than --min-nodes end the run."""

import json
import os
import signal
import time
import unittest

from support import LIMIT, ProgramTest, node_pids

NODES = 4
RUN = ["--model", "mlp", "--batch-size", "4", "--nodes", str(NODES), "--compute-ms", "2"]


class LeavingTest(ProgramTest):
    def start_run(self, *arguments, **options):
        return self.start("train", "--data", self.data(), "--output", self.output(), "--overwrite", *RUN, *arguments,
                          **options)

    def read_until(self, process, beginning):
        """The line that begins so."""
        lines = []
        while len(lines) < 500 and (line := process.stderr.readline()):
            if line.startswith(beginning):
                return line
            lines.append(line)
        self.fail(f"no line {beginning}: {lines}")

    def finish(self, process, status=0):
        out, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, status, err)
        self.assert_nothing_left()
        return out, err

    def summary(self):
        with open(os.path.join(self.output(), "summary.json"), encoding="utf-8") as file:
            return json.load(file)

    def checkpoints(self):
        """{step: files}"""
        folder = os.path.join(self.output(), "checkpoint")
        return {int(name[5:]): len(os.listdir(os.path.join(folder, name))) for name in os.listdir(folder)}

    def tell(self, process, ranks, number=signal.SIGTERM):
        pids = node_pids(process.pid)
        for rank in ranks:
            os.kill(pids[rank], number)


class Leaving(LeavingTest):
    def check_one(self, rank, number, *arguments):
        """It is gone after a checkpoint of all nodes, and the others come to the end."""
        process = self.start_run("--epochs", "100000", "--checkpoint-every", "1000000", *arguments)
        self.read_until(process, "epoch 1/")
        self.tell(process, [rank], number)
        name = signal.Signals(number).name
        line = self.read_until(process, f"sgp: node {rank} is gone after step ")
        self.assertIn(f"(it left, asked by {name}): the others go on", line)
        step = int(line.split("after step ")[1].split()[0])
        self.read_until(process, "epoch")
        self.read_until(process, "epoch")
        self.assertEqual(self.checkpoints().get(step), NODES)
        end = time.monotonic() + LIMIT  # it may still wait until the others have what it has sent
        while len(node_pids(process.pid)) == NODES and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(len(node_pids(process.pid)), NODES - 1)
        process.send_signal(signal.SIGINT)
        self.finish(process, 130)
        summary = self.summary()
        self.assertEqual(summary["losses"], [{"node": rank, "step": step, "reason": f"it left, asked by {name}", "seconds": 0, "left": True}])
        self.assertEqual(self.checkpoints()[summary["steps"]], NODES - 1)

    def test_one_leaves(self):
        for rank, number, arguments in ((2, signal.SIGTERM, ["--transport", "shm"]),
                                        (0, signal.SIGUSR1, ["--transport", "tcp", "--algorithm", "osgp"]),
                                        (3, signal.SIGTERM, ["--overlap", "async"]),
                                        (1, signal.SIGUSR1, ["--algorithm", "dpsgd", "--transport", "tcp"])):
            with self.subTest(arguments):
                self.check_one(rank, number, *arguments)

    def test_the_run_finishes(self):
        process = self.start_run("--epochs", "60", "--compute-ms", "1")
        self.read_until(process, "epoch 1/")
        self.tell(process, [0])
        out, _ = self.finish(process)
        self.assertRegex(out, r"(?m)^  gone +node 0 after step \d+ \(it left, asked by SIGTERM\)$")
        summary = self.summary()
        self.assertEqual((summary["status"], len(summary["losses"])), ("finished", 1))
        self.assertAlmostEqual(summary["mass"]["w_total"], NODES - 1)

    def by_hand(self, *arguments, nodes=3):
        place = {"SGP_SIZE": str(nodes), "SGP_RENDEZVOUS": self.runtime}
        started = [self.start("train", "--data", self.data(), "--output", self.output(), *RUN[:-4], "--compute-ms", "2",
                              "--epochs", "100000", *arguments, environment={**place, "SGP_RANK": str(rank)})
                   for rank in range(nodes)]
        self.read_until(started[0], "epoch 1/")
        return started

    def end_all(self, nodes, status):
        errors = [node.communicate(timeout=LIMIT)[1] for node in nodes]
        self.assertEqual([node.returncode for node in nodes], [status] * len(nodes), errors)

    def test_exit_status(self):
        """0 for the node that leaves; the last one ends the run."""
        nodes = self.by_hand()
        for rank, left in ((0, 1), (1, 2)):
            nodes[rank].send_signal(signal.SIGTERM)
            _, err = nodes[rank].communicate(timeout=LIMIT)
            self.assertEqual(nodes[rank].returncode, 0, err)
            self.assertNotIn("--resume", err)
            self.read_until(nodes[left], "epoch")
        nodes[2].send_signal(signal.SIGTERM)
        _, err = nodes[2].communicate(timeout=LIMIT)
        self.assertEqual(nodes[2].returncode, 128 + signal.SIGTERM, err)
        self.assertIn("sgp train --resume", err)
        self.assertEqual(self.summary()["status"], "interrupted")
        self.assertEqual(self.checkpoints()[self.summary()["steps"]], 1)

    def test_alone(self):
        """Without time for a checkpoint."""
        for transport in ("shm", "tcp"):
            with self.subTest(transport):
                nodes = self.by_hand("--grace", "0", "--overwrite", "--transport", transport)
                nodes[1].send_signal(signal.SIGUSR1)
                _, err = nodes[1].communicate(timeout=LIMIT)
                self.assertEqual(nodes[1].returncode, 0, err)
                self.read_until(nodes[0], "sgp: node 1 is gone after step ")
                self.read_until(nodes[0], "epoch")
                nodes[0].send_signal(signal.SIGINT)
                self.end_all([nodes[0], nodes[2]], 130)
                self.assertEqual([loss["left"] for loss in self.summary()["losses"]], [True])

    def test_all_are_told(self):
        """As by a batch system: the run ends as after Ctrl-C, with a checkpoint of all nodes."""
        nodes = self.by_hand()
        for node in nodes:
            node.send_signal(signal.SIGTERM)
        self.end_all(nodes, 143)
        summary = self.summary()
        self.assertEqual((summary["status"], summary["losses"]), ("interrupted", []))
        self.assertEqual(self.checkpoints()[summary["steps"]], len(nodes))

    def test_all_of_a_launcher_are_told(self):
        """And the launcher, too."""
        process = self.start_run("--epochs", "100000", start_new_session=True)
        self.read_until(process, "epoch 1/")
        os.killpg(process.pid, signal.SIGTERM)
        _, err = self.finish(process, 143)
        self.assertIn("sgp train --resume", err)
        self.assertEqual(self.checkpoints()[self.summary()["steps"]], NODES)

    def test_a_second_signal_ends_it_at_once(self):
        process = self.start_run("--epochs", "100000")
        self.read_until(process, "epoch 1/")
        pid = node_pids(process.pid)[1]
        os.kill(pid, signal.SIGTERM)
        while self.pending(pid) & 1 << (signal.SIGTERM - 1):
            self.assertIsNone(process.poll())
        os.kill(pid, signal.SIGTERM)
        self.read_until(process, "sgp: node 1 was lost (killed by signal 15): the others go on")
        process.send_signal(signal.SIGINT)
        self.finish(process, 130)

    @staticmethod
    def pending(pid):
        """Signals that have not reached the process, as bits."""
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            words = dict(line.split(":", 1) for line in file)
        return int(words["SigPnd"], 16) | int(words["ShdPnd"], 16)

    def test_a_run_that_stops(self):
        """There the signal ends all nodes, as before."""
        nodes = self.by_hand("--on-loss", "stop")
        nodes[1].send_signal(signal.SIGTERM)
        self.end_all(nodes, 143)


class MinNodes(LeavingTest):
    def check_end(self, process, words, losses=0):
        _, err = self.finish(process, 1)
        self.assertIn(f"sgp: {words}: the run ends after step ", err)
        summary = self.summary()
        self.assertEqual(summary["status"], "failed")
        self.assertIn(words, summary["reason"])
        self.assertIn("sgp train --resume", err)
        self.assertEqual(err.count("sgp: node"), losses, err)
        return summary

    def test_nodes_are_killed(self):
        process = self.start_run("--epochs", "100000", "--min-nodes", "3")
        self.read_until(process, "epoch 1/")
        self.tell(process, [0], signal.SIGKILL)
        self.read_until(process, "sgp: node 0 was lost")
        self.read_until(process, "epoch")
        self.tell(process, [3], signal.SIGKILL)
        summary = self.check_end(process, "2 of 4 nodes left, fewer than --min-nodes 3", 1)
        self.assertEqual(self.checkpoints()[summary["steps"]], 2)

    def test_a_node_leaves(self):
        """Then none does: the checkpoint is of all."""
        process = self.start_run("--epochs", "100000", "--min-nodes", str(NODES))
        self.read_until(process, "epoch 1/")
        self.tell(process, [2])
        summary = self.check_end(process, "a node is told to leave, and --min-nodes is 4")
        self.assertEqual(self.checkpoints()[summary["steps"]], NODES)

    def test_more_than_there_are(self):
        err = self.refused("train", "--data", self.data(), "--output", self.output(), *RUN, "--min-nodes", str(NODES + 1))
        self.assertIn("min-nodes is 5: must be at most the 4 nodes", err)


if __name__ == "__main__":
    unittest.main()
