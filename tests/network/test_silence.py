# SPDX-License-Identifier: Apache-2.0
"""A host that stops answering in the middle of a message: the others name it within the time limit, and end with a failure."""

import os
import re
import signal
import time
import unittest

from runs import LIMIT, TRAINING, NetworkTest

PEER_TIMEOUT = 2  # seconds
NODE = 2


class Silence(NetworkTest):
    # A push of 1.1 MB takes nearly a second, and all four are sending almost all the time.
    rate = 10e6

    def start_endless(self, *arguments, peer_timeout=PEER_TIMEOUT):
        self.network = self.make_network(4, rate=self.rate)
        limit = ["--peer-timeout", str(peer_timeout)] if peer_timeout else []
        group = self.start_nodes(self.network, *TRAINING, "--epochs", "100000", "--on-loss", "stop", *limit, *arguments)
        while not (line := group[0].stderr.readline()).startswith("epoch"):
            self.assertTrue(line, "the group has not started to train")
        self.assertFalse(any(process.poll() for process in group))
        return group

    def check(self, group, silence, peer_timeout=PEER_TIMEOUT):
        """All but the silent node fail, and each names it. They do not wait for TCP's own limits, which are minutes."""
        start = time.monotonic()
        silence()
        for rank, process in enumerate(group):
            if rank == NODE:
                continue
            _, err = process.communicate(timeout=LIMIT)
            self.assertEqual(process.returncode, 1, err)
            self.assertTrue(re.search(rf"(?m)^sgp: .*node {NODE}\b", err), err)
        self.assertLess(time.monotonic() - start, peer_timeout + 10, "a busy machine may need some seconds more than the limit, not ten")

    def test_cable_is_pulled(self):
        for algorithm in ("sgp", "osgp", "allreduce", "adpsgd"):
            with self.subTest(algorithm):
                group = self.start_endless("--algorithm", algorithm)
                self.check(group, lambda: self.network[NODE].set_link(False))
                _, err = group[NODE].communicate(timeout=LIMIT)
                self.assertEqual(group[NODE].returncode, 1, err)  # from where it is, all the others are gone
                self.network.remove()

    def test_the_default_limit(self):
        group = self.start_endless(peer_timeout=None)
        self.check(group, lambda: self.network[NODE].set_link(False), peer_timeout=10)

    def test_process_is_stopped(self):
        group = self.start_endless()
        self.check(group, lambda: os.kill(group[NODE].pid, signal.SIGSTOP))

    def test_process_is_killed(self):
        group = self.start_endless()
        self.check(group, group[NODE].kill)

    def test_a_short_break_changes_nothing(self):
        """A cable that is plugged in again before the limit: TCP sends again what was lost."""
        network = self.make_network(4, rate=self.rate)
        group = self.start_nodes(network, *TRAINING, "--peer-timeout", "60", "--on-loss", "stop")
        while not (line := group[0].stderr.readline()).startswith("epoch"):
            self.assertTrue(line, "the group has not started to train")
        network[NODE].set_link(False)
        time.sleep(1)  # the break itself
        network[NODE].set_link(True)
        self.assertEqual(self.finish(group)["parameters_hash"], self.reference(*TRAINING))

    def start_elastic(self, *arguments, rate=rate):
        """A run that has just ended its first epoch."""
        self.network = self.make_network(4, rate=rate)
        group = self.start_nodes(self.network, *TRAINING, *arguments)
        while not (line := group[0].stderr.readline()).startswith("epoch"):
            self.assertTrue(line, "the group has not started to train")
        return group

    def test_a_break_loses_nobody(self):
        """Where the others go on: the connections are made again, and every message arrives once."""
        group = self.start_elastic("--epochs", "4")
        self.network[NODE].set_link(False)
        time.sleep(0.7)  # the break itself; at an epoch's end, where all wait for the node, it has a second
        self.network[NODE].set_link(True)
        summary = self.finish(group)
        self.assertEqual(summary["losses"], [])
        self.assertAlmostEqual(summary["mass"]["w_total"], 4, places=9)

    def strike_off(self, group):
        """The node is cut off until the others have struck it off."""
        self.network[NODE].set_link(False)
        while not (line := group[0].stderr.readline()).startswith(f"sgp: node {NODE} was lost"):
            self.assertTrue(line, "the others wait for the node")
        self.network[NODE].set_link(True)

    def test_a_node_that_was_struck_off_comes_back(self):
        """As soon as its link is there again it is told, and joins them again: all nodes come to the end together."""
        group = self.start_elastic("--epochs", "20", rate=200e6)
        self.strike_off(group)
        summary = self.finish(group)
        self.assertEqual([loss["node"] for loss in summary["losses"]], [NODE])
        self.assertEqual([(join["node"], join["rejoined"]) for join in summary["joins"]], [(NODE, True)])
        self.assertAlmostEqual(summary["mass"]["w_total"], 4, places=9)
        self.assertEqual(summary["samples"]["missed"], 0)

    def test_a_node_that_was_struck_off_and_cannot_come_back(self):
        """Where the run has no room for newcomers it is told, and ends; it does not take the run for its own when the others
        have left."""
        group = self.start_elastic("--epochs", "100000", "--max-nodes", "4")
        self.strike_off(group)
        _, err = group[NODE].communicate(timeout=LIMIT)
        self.assertEqual(group[NODE].returncode, 1, err)
        self.assertIn(f"the others take this node (seat {NODE}) for dead, and go on without it", err)
        self.assertTrue(all(group[rank].poll() is None for rank in range(4) if rank != NODE))

    def test_the_others_end_while_a_node_is_cut_off(self):
        """Then it cannot know whether they have gone on without it, and does not train alone."""
        group = self.start_elastic("--epochs", "3")
        self.network[NODE].set_link(False)
        for rank, process in enumerate(group):
            if rank != NODE:
                _, err = process.communicate(timeout=LIMIT)
                self.assertEqual(process.returncode, 0, err)
        self.network[NODE].set_link(True)
        out, err = group[NODE].communicate(timeout=LIMIT)
        self.assertEqual((group[NODE].returncode, out), (1, ""), err)
        self.assertNotIn("epoch 3/3", err)

    def start_divided(self, *arguments, hosts=5, low=3):
        """A run that has just ended its first epoch, and whose hosts from `low` on are then cut off together."""
        self.network = self.make_network(hosts, rate=self.rate)
        group = self.start_nodes(self.network, *TRAINING, "--epochs", "100000", *arguments, nodes=hosts)
        self.wait_for(group[0], "epoch")
        for host in list(self.network)[low:]:
            host.set_switch(True)
        return group

    def wait_for(self, process, begin):
        """The next line that begins so."""
        while not (line := process.stderr.readline()).startswith(begin):
            self.assertTrue(line, f"the node has ended without a line {begin}...")
        return line.rstrip("\n")

    def check_pause(self, process, rank, nodes, here):
        """Its line names a folder, from which a run goes on. Returns it."""
        line = self.wait_for(process, f"sgp: node {rank} hears")
        folder = os.path.join(self.output(f"host{rank}"), "paused", f"node-{rank}")
        self.assertRegex(line, rf"^sgp: node {rank} hears {here} of {nodes} nodes: it pauses after step \d+, for [\d.]+ s at most; "
                               rf"its state is saved in {folder}$")
        self.assertEqual(sorted(os.listdir(folder)), ["checkpoint", "config.json"])
        return folder

    def test_a_part_without_quorum_gives_up(self):
        """Three of five go on. Each of the others ends, and names what it has saved: a run goes on from there."""
        group = self.start_divided("--pause-limit", "1")
        for rank in (3, 4):
            folder = self.check_pause(group[rank], rank, 5, 2)
            err = group[rank].stderr.read()
            self.assertEqual(group[rank].wait(LIMIT), 1, err)
            self.assertIn("without most of the others for 1.0 s: gave up", err)
            self.assertIn(f"--resume {folder} goes on from there", err)
        self.wait_for(group[0], "epoch")
        self.assertTrue(all(group[rank].poll() is None for rank in range(3)))
        resumed = self.start("train", "--resume", folder, "--nodes", "2", "--transport", "shm")
        self.wait_for(resumed, "epoch")

    def test_halves(self):
        """The half with the lowest node goes on. The other one is told so when the cable is back, and removes what it has saved; here
        the run has no room for it to come back."""
        group = self.start_divided("--max-nodes", "4", hosts=4, low=2)
        folders = [self.check_pause(group[rank], rank, 4, 2) for rank in (2, 3)]
        lost = [self.wait_for(group[0], "sgp: node ") for _ in (2, 3)]
        self.assertTrue(all("was lost" in line for line in lost), lost)
        for host in self.network:
            host.set_switch(False)
        for rank in (2, 3):
            err = group[rank].stderr.read()
            self.assertEqual(group[rank].wait(LIMIT), 1, err)
            self.assertIn("for dead, and go on without it", err)
        self.assertFalse(any(os.path.exists(folder) for folder in folders))
        self.wait_for(group[0], "epoch")


if __name__ == "__main__":
    unittest.main()
