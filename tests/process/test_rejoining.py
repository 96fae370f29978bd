# SPDX-License-Identifier: Apache-2.0
"""A node that is struck off by mistake comes back to its run, over tcp on loopback."""

import os
import signal
import unittest

from test_join_running import RunUnderWay


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

    def test_a_node_was_stopped(self):
        nodes, _ = self.found()
        self.come_back(nodes, 1, other=0)
        self.read_epochs(nodes[0], 3)
        self.check_epochs([0, 1, 2])
        self.end_all(nodes)


if __name__ == "__main__":
    unittest.main()
