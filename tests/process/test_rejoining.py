# SPDX-License-Identifier: Apache-2.0
"""A node that is struck off by mistake comes back to its run, over tcp on loopback."""

import json
import os
import signal
import unittest

from test_join_running import FOUNDERS, RunUnderWay


class Rejoining(RunUnderWay):
    def strike_off(self, nodes, rank, other):
        """The node is stopped until the others have struck it off."""
        os.kill(nodes[rank].pid, signal.SIGSTOP)
        self.addCleanup(lambda: nodes[rank].poll() is None and os.kill(nodes[rank].pid, signal.SIGCONT))
        self.read_to(nodes[other], f"node {rank} was lost in step")
        os.kill(nodes[rank].pid, signal.SIGCONT)

    def come_back(self, nodes, rank, other):
        self.strike_off(nodes, rank, other)
        said = self.read_to(nodes[other], f"node {rank} is back after step")
        self.assertEqual(said.count("is back"), 1)
        said = self.read_to(nodes[rank], f"node {rank} is back after step")
        self.assertEqual(said.count("the others take this node"), 1)

    def check_lines(self):
        """Each epoch was written once, whoever wrote it."""
        ends = [(line["epoch"], line["node"]) for line in self.lines() if "w_total" in line]
        self.assertEqual(len(ends), len(set(ends)))
        self.assertEqual(sorted({epoch for epoch, _ in ends}), list(range(1, ends[-1][0] + 1)))

    def check_end(self, nodes, lost):
        """All nodes come to the end of the run, with all mass."""
        for process in nodes:
            self.end_of(process, 0)
        with open(os.path.join(self.output(), "summary.json"), encoding="utf-8") as file:
            summary = json.load(file)
        self.assertEqual([loss["node"] for loss in summary["losses"]], lost)
        self.assertAlmostEqual(summary["mass"]["w_total"], FOUNDERS, places=9)
        self.assertEqual(summary["samples"]["missed"], 0)
        self.check_epochs(list(range(FOUNDERS)))
        self.check_lines()

    def test_a_node_was_stopped(self):
        nodes, _ = self.found("--epochs", "25")
        self.come_back(nodes, 1, other=0)
        self.check_end(nodes, lost=[1])

    def test_the_first_node_was_stopped(self):
        """It writes the run's files again, and has written none in between."""
        nodes, _ = self.found()
        self.come_back(nodes, 0, other=1)
        self.read_epochs(nodes[0], 2)
        self.end_all(nodes)
        self.check_epochs([0, 1, 2])
        self.check_lines()

    def test_again(self):
        """Also the second time; and all nodes halt together afterwards."""
        nodes, _ = self.found()
        for _ in range(2):
            self.come_back(nodes, 2, other=0)
        self.read_epochs(nodes[0], 2)
        self.end_all(nodes)
        self.assertEqual([(label["nodes"], label["rank"]) for label in self.labels()],
                         [("3", str(rank)) for rank in range(3)])


if __name__ == "__main__":
    unittest.main()
