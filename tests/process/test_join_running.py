# SPDX-License-Identifier: Apache-2.0
"""Nodes join a run that is under way, over tcp on loopback: sgp train --join ANY_MEMBER:PORT."""

import json
import os
import random
import re
import signal
import socket
import struct
import time
import unittest

from support import LIMIT, ProgramTest, make_data

FOUNDERS = 3
# More epochs than a test waits for: the nodes end when it tells them to.
RUN = ["--model", "mlp", "--batch-size", "4", "--nodes", str(FOUNDERS), "--epochs", "100000", "--transport", "tcp",
       "--lr-schedule", "constant"]


def free_port():
    """A port of loopback that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class RunUnderWay(ProgramTest):
    def setUp(self):
        super().setUp()
        for name in [n for n in self.environment if n.startswith(("PMI", "OMPI_", "SLURM_", "TORCHELASTIC_"))]:
            del self.environment[name]

    def found(self, *arguments):
        """Starts the founders. Returns them, by rank, and where each is called."""
        at, ports = f"127.0.0.1:{free_port()}", [free_port() for _ in range(FOUNDERS)]
        nodes = [self.start("train", "--data", self.data(), "--output", self.output(), *RUN, "--join", at, "--rank",
                            str(rank), "--ports", str(ports[rank]), *arguments)
                 for rank in range(FOUNDERS)]
        self.read_to(nodes[0], r"epoch 1/")
        return nodes, [f"127.0.0.1:{port},{at}" for port in ports]  # one of them listens where they met

    def join(self, at, *arguments):
        return self.start("train", "--join", at, *arguments)

    def read_to(self, process, pattern):
        """Reads its lines up to one with that pattern. Returns all."""
        lines = []
        while line := process.stderr.readline():
            lines.append(line)
            if re.search(pattern, line):
                return "".join(lines)
        self.fail(f"no line with {pattern}: {''.join(lines)}")

    def read_epochs(self, process, count):
        """The next epochs' lines."""
        return [self.read_to(process, r"^epoch \d+/") for _ in range(count)]

    def end_all(self, processes, number=signal.SIGINT):
        for process in processes:
            process.send_signal(number)
        return [self.end_of(process, 128 + number) for process in processes]

    def end_of(self, process, status):
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, status, err)
        return err

    def lines(self):
        with open(os.path.join(self.output(), "metrics.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def labels(self):
        """Of each file of the newest checkpoint."""
        folder = os.path.join(self.output(), "checkpoint")
        newest = os.path.join(folder, sorted(os.listdir(folder))[-1])
        found = []
        for name in sorted(os.listdir(newest)):
            with open(os.path.join(newest, name), "rb") as file:
                length = struct.unpack("<Q", file.read(8))[0]
                found.append(json.loads(file.read(length))["__metadata__"])
        return found

    def check_epochs(self, nodes):
        """In the last epoch that was finished these nodes were there, with all mass."""
        last = [line for line in self.lines() if "w_total" in line]
        last = [line for line in last if line["epoch"] == last[-1]["epoch"]]
        self.assertEqual(sorted(line["node"] for line in last), nodes)
        for line in last:
            self.assertAlmostEqual(line["w_total"], len(nodes))
            self.assertGreater(line["test_accuracy"], 0.9)


class JoinRunning(RunUnderWay):
    def test_a_fourth_node_joins(self):
        nodes, at = self.found()
        newcomer = self.join(at[1])
        self.read_to(nodes[0], "node 3 has joined after step")
        self.read_epochs(nodes[0], 3)
        self.check_epochs([0, 1, 2, 3])
        self.end_all([*nodes, newcomer])
        self.assertEqual([(label["nodes"], label["rank"]) for label in self.labels()],
                         [("4", str(rank)) for rank in range(4)])

    def test_two_nodes_join_at_once(self):
        """Their sponsors may offer them one place: one gets it, and the other one asks again."""
        nodes, at = self.found()
        newcomers = [self.join(at[1]), self.join(at[2])]
        joined = [self.read_to(nodes[0], "has joined after step").splitlines()[-1].split()[1] for _ in newcomers]
        self.assertEqual(sorted(joined), ["3", "4"])

    def test_a_newcomer_is_a_sponsor(self):
        """Of the next one, when all founders have died: it knows how the others call it."""
        nodes, founders = self.found()
        port = free_port()
        at = f"127.0.0.1:{port}"
        first = self.join(founders[1], "--ports", str(port))
        self.read_to(nodes[0], "node 3 has joined after step")
        second = self.join(at)
        self.read_to(nodes[0], "node 4 has joined after step")
        for rank, node in enumerate(nodes):
            node.kill()
            leader = [*nodes, first][rank + 1]
            self.read_to(leader, f"node {rank} was lost in step")
            self.read_epochs(leader, 2)  # all of them know it
        third = self.join(at)
        self.read_to(first, "has joined after step")
        self.end_all([first, second, third])

    def train_with_a_fourth(self, *arguments):
        nodes, at = self.found(*arguments)
        newcomer = self.join(at[1])
        self.read_to(nodes[0], "node 3 has joined after step")
        self.read_epochs(nodes[0], 3)
        self.check_epochs([0, 1, 2, 3])
        self.end_all([*nodes, newcomer])

    def test_allreduce(self):
        """All nodes have the same parameters in each step, the newcomer too."""
        self.train_with_a_fourth("--algorithm", "allreduce", "--optimizer", "adam", "--lr", "0.1")
        last = [line for line in self.lines() if "w_total" in line][-4:]
        self.assertEqual([line["consensus_distance"] for line in last], [0] * 4)

    def test_local_steps(self):
        self.train_with_a_fourth("--local-steps", "4", "--overlap", "1")

    def test_many_local_steps(self):
        """The others do not wait for the newcomer in any of them: it comes when they have made more than a few."""
        self.train_with_a_fourth("--local-steps", "64")

    def test_rounds(self):
        """As many as for the three founders."""
        self.train_with_a_fourth("--rounds", "auto")

    def test_local_steps_of_an_allreduce(self):
        self.train_with_a_fourth("--local-steps", "3", "--algorithm", "allreduce")

    def test_a_newcomer_leaves_again(self):
        nodes, at = self.found()
        newcomer = self.join(at[2])
        self.read_to(nodes[0], "node 3 has joined after step")
        self.read_epochs(nodes[0], 1)
        newcomer.send_signal(signal.SIGTERM)
        self.assertIn("left after step", self.end_of(newcomer, 0))
        self.read_to(nodes[0], "node 3 is gone after step .* the others go on")
        self.read_epochs(nodes[0], 2)
        self.check_epochs([0, 1, 2])
        self.end_all(nodes)

    def test_a_newcomer_replaces_the_first_node(self):
        nodes, at = self.found()
        os.kill(nodes[0].pid, signal.SIGKILL)
        self.read_to(nodes[1], "node 0 was lost in step")
        newcomer = self.join(at[2])
        self.read_to(nodes[1], "has joined after step")
        self.read_epochs(nodes[1], 3)
        self.check_epochs([1, 2, 3])
        self.end_all([*nodes[1:], newcomer])

    def test_a_newcomer_is_killed_on_its_way(self):
        nodes, at = self.found()
        for wanted in ("", "joining the run at"):
            newcomer = self.join(at[0])
            self.read_to(newcomer, wanted)
            os.kill(newcomer.pid, signal.SIGKILL)
            self.read_epochs(nodes[0], 2)
        self.check_epochs([0, 1, 2])
        self.end_all(nodes)

    def test_the_sponsor_is_killed_meanwhile(self):
        """Whenever that is: the others go on, with the newcomer, or without one that says that its sponsor is gone."""
        nodes, at = self.found("--max-nodes", "8")
        newcomer = self.join(f"{at[1]},{at[2]}")
        self.read_to(newcomer, "joining the run at")
        time.sleep(random.uniform(0, 0.3))  # the moment
        os.kill(nodes[1].pid, signal.SIGKILL)
        said = self.read_to(nodes[0], "node 1 was lost in step")
        while "has joined after step" not in said and newcomer.poll() is None:
            said = nodes[0].stderr.readline()
            self.assertTrue(said, "node 0 has ended")
        self.read_epochs(nodes[0], 3)
        if newcomer.poll() is None:
            self.end_all([nodes[0], nodes[2], newcomer])
        else:
            self.assertIn("cannot join", self.end_of(newcomer, 1))
            self.check_epochs([0, 2])
            self.end_all([nodes[0], nodes[2]])

    def test_a_run_with_a_timeline(self):
        """All nodes gather it, the newcomer, too."""
        nodes, at = self.found("--trace")
        newcomer = self.join(at[1])
        self.read_to(nodes[0], "node 3 has joined after step")
        self.read_epochs(nodes[0], 3)
        self.end_all([*nodes, newcomer])
        with open(os.path.join(self.output(), "trace.json"), encoding="utf-8") as file:
            self.assertEqual({event["pid"] for event in json.load(file)["traceEvents"]}, {1, 2, 3, 4})

    def test_a_process_whose_place_was_given_away_is_told(self):
        """It is stopped until another one has its place, and does not take itself for a member when it runs again."""
        nodes, at = self.found("--max-nodes", str(FOUNDERS + 1))
        os.kill(nodes[2].pid, signal.SIGSTOP)
        self.addCleanup(nodes[2].kill)
        self.read_to(nodes[0], "node 2 was lost in step")
        newcomers = []
        for place in (3, 2):
            newcomers.append(self.join(f"{at[1]},{at[0]}"))
            self.read_to(nodes[0], f"node {place} has joined after step")
        os.kill(nodes[2].pid, signal.SIGCONT)
        self.assertIn("seat 2 has gone to another", self.end_of(nodes[2], 1))
        self.read_epochs(nodes[0], 2)
        self.check_epochs([0, 1, 2, 3])
        self.end_all([*nodes[:2], *newcomers])

    def refuse(self, nodes, at, *arguments, status, reason):
        """Both sides say why, and the run goes on."""
        err = self.end_of(self.join(at, *arguments), status)
        self.assertIn(reason, err)
        self.read_to(nodes[0], re.escape(reason))
        self.read_epochs(nodes[0], 1)

    def test_what_differs_is_refused(self):
        nodes, at = self.found()
        other = make_data(os.path.join(self.folder, "other"), train=500)
        self.refuse(nodes, at[0], "--model", "lenet", status=2,
                    reason='model is "mlp" in the run, and "lenet" on the newcomer')
        self.refuse(nodes, at[0], "--data", other, status=2,
                    reason="training samples is 512 in the run, and 500 on the newcomer")
        self.check_epochs([0, 1, 2])
        self.end_all(nodes)

    def key(self, name, text):
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_only_the_key_opens_a_run_that_has_one(self):
        good, bad = self.key("good", "0123456789abcdef"), self.key("bad", "fedcba9876543210")
        nodes, at = self.found("--key-file", good)
        self.assertIn("it has another key", self.end_of(self.join(at[0], "--key-file", bad), 2))
        newcomer = self.join(at[0], "--key-file", good)
        self.read_to(nodes[0], "node 3 has joined after step")
        self.end_all([*nodes, newcomer])

    def test_a_run_without_room_for_newcomers(self):
        nodes, at = self.found("--max-nodes", str(FOUNDERS))
        self.end_of(self.join(at[0], "--join-timeout", "2"), 1)
        self.read_epochs(nodes[0], 1)
        self.end_all(nodes)


if __name__ == "__main__":
    unittest.main()
