# SPDX-License-Identifier: Apache-2.0
"""Failures of joining: one clear line for each process concerned, and no effect on a group at work."""

import subprocess
import sys
import unittest

import runs
from runs import NetworkTest, with_port

# On a busy machine a node may stand still for so long that the others go on without it for a step, and have other bits. That is no
# subject here.
TRAINING = [*runs.TRAINING, "--on-loss", "stop"]

# Listens, and never answers.
SILENT = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as server:
    print("there", flush=True)
    sys.stdin.read()
"""


class Joining(NetworkTest):
    def start_silent(self, host, port):
        process = host.popen([sys.executable, "-c", SILENT, host.ipv4, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.end, process)
        self.assertEqual(process.stdout.readline(), b"there\n")

    def test_port_is_taken(self):
        """The port is taken by a program that is no member: nodes take it for the founder, and get no answer."""
        network = self.make_network(1)
        self.start_silent(network[0], self.port)
        line = self.one_line(self.start_node(network[0], "--join-timeout", "2", at=network[0].ipv4))
        self.assertIn(f"{network[0].ipv4}:{self.port}", line)

    def test_own_port_is_taken(self):
        network = self.make_network(2)
        self.start_silent(network[1], 7000)
        line = self.one_line(self.start_node(network[1], "--ports", "7000-7000", at=network[0].ipv4))
        self.assertRegex(line, "7000.*(in use|taken)")

    def test_somebody_else_listens_there(self):
        network = self.make_network(2)
        self.start_silent(network[0], self.port)
        line = self.one_line(self.start_node(network[1], "--join-timeout", "2", at=network[0].ipv4))
        self.assertIn(f"{network[0].ipv4}:{self.port}", line)

    def test_host_cannot_be_reached(self):
        """No such host in the network; a host in no network; a cable that is not plugged in."""
        network = self.make_network(2)
        network[0].set_link(False)
        for address in ("10.83.0.99", "192.0.2.1", network[0].ipv4):
            with self.subTest(address):
                line = self.one_line(self.start_node(network[1], "--join-timeout", "2", at=address))
                self.assertIn(f"{address}:{self.port}", line)

    def test_nobody_founds(self):
        """No process listens at a member's address yet: nodes wait for it, up to the limit."""
        network = self.make_network(2)
        line = self.one_line(self.start_node(network[1], "--join-timeout", "2", at=network[0].ipv4))
        self.assertIn(f"{network[0].ipv4}:{self.port}", line)
        self.assertIn("2 s", line)

    def test_a_node_does_not_come(self):
        """The nodes that came name the missing ones."""
        network = self.make_network(2)
        founder, other = [self.start_node(network[rank], "--rank", str(rank), "--join-timeout", limit, at=network[0].ipv4, nodes=3)
                          for rank, limit in enumerate(("3", "60"))]
        self.assertIn("2 of 3", self.one_line(founder))
        self.assertIn(f"{network[0].ipv4}:{self.port}", self.one_line(other))


class Intruders(NetworkTest):
    """A group of 3 at work on slow links, and a fourth host that does not belong to it."""

    rate = 20e6  # a push takes 0.4 s, and so the whole run several seconds: it is not over before the others have tried

    def start_group(self):
        self.network = self.make_network(4, rate=self.rate)
        group = self.start_nodes(self.network, *TRAINING, "--epochs", "3", nodes=3)
        while not (line := group[0].stderr.readline()).startswith("epoch"):
            self.assertTrue(line, "the group has not started to train")
        return group

    def finish_unharmed(self, group):
        self.assertIsNone(group[0].poll(), "the group was done too early to be disturbed")
        summary = self.finish(group)
        self.assertEqual(summary["parameters_hash"], self.reference(*TRAINING, "--epochs", "3", nodes=3))

    def intrude(self, *arguments, status=1, **options):
        return self.one_line(self.start_node(self.network[3], *arguments, "--join-timeout", "5", at=self.network[0].ipv4,
                                             output="intruder", **options), status)

    def test_group_is_full(self):
        group = self.start_group()
        self.assertRegex(self.intrude(nodes=3), "full|at work|complete|already|taken")
        self.finish_unharmed(group)

    def test_rank_is_taken(self):
        group = self.start_group()
        self.assertRegex(self.intrude("--rank", "1", nodes=3), "full|at work|complete|already|taken")
        self.finish_unharmed(group)

    def test_another_size(self):
        group = self.start_group()
        self.assertRegex(self.intrude(nodes=4), "3")
        self.finish_unharmed(group)

    def test_wrong_key(self):
        group = self.start_group()
        wrong = self.key_file("another secret, as long", name="wrong")
        line = self.intrude("--key-file", wrong, key=False, nodes=3, status=2)
        self.assertIn("key", line)
        self.finish_unharmed(group)

    def test_no_key(self):
        group = self.start_group()
        line = self.intrude("--insecure", key=False, nodes=3, status=2)
        self.assertIn("key", line)
        self.finish_unharmed(group)


class Founding(NetworkTest):
    """The same while the group is still joining: two of three nodes, then a process that does not fit, then the third."""

    def check(self, pattern, *arguments, status=1, **options):
        network = self.make_network(4)
        at = network[0].ipv4
        group = [self.start_node(network[rank], "--rank", str(rank), *TRAINING, at=at, nodes=3) for rank in range(2)]
        self.wait_for_members(group, network)
        stranger = self.start_node(network[3], *arguments, "--join-timeout", "5", at=at, output="stranger", **options)
        self.assertRegex(self.one_line(stranger, status), pattern)
        group.append(self.start_node(network[2], "--rank", "2", *TRAINING, at=at, nodes=3))
        summary = self.finish(group)
        self.assertEqual(summary["parameters_hash"], self.reference(*TRAINING, nodes=3))

    def wait_for_members(self, group, network):
        """Until node 1 is connected to node 0."""
        for process in group:
            self.assertIn("joining", process.stderr.readline())
        waiting = ["sh", "-c", f"for i in $(seq 600); do ss -Htn state established 'sport = :{self.port}' | grep -q . && exit 0; "
                               "sleep 0.1; done; exit 1"]
        self.assertEqual(network[0].run(waiting).returncode, 0)

    def test_rank_is_taken(self):
        self.check("rank 1 is taken", "--rank", "1", nodes=3)

    def test_another_size(self):
        self.check("3", "--rank", "2", nodes=4)

    def test_wrong_key(self):
        self.check("key", "--rank", "2", "--key-file", self.key_file("another secret, as long", name="wrong"), key=False, nodes=3,
                   status=2)

    def test_no_key(self):
        self.check("key", "--rank", "2", "--insecure", key=False, nodes=3, status=2)


if __name__ == "__main__":
    unittest.main()
