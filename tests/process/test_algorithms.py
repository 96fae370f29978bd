# SPDX-License-Identifier: Apache-2.0
"""Every algorithm and graph as a whole run of the program."""

import unittest

from support import ProgramTest

# Those that give the same bits on every transport, run after run.
LOCKSTEP = [
    ["--algorithm", "sgp", "--graph", "random-uneven"],
    ["--algorithm", "sgp", "--graph", "static-exponential"],
    ["--algorithm", "sgp", "--graph", "base", "--peers", "2"],
    ["--algorithm", "osgp"],
    ["--algorithm", "osgp", "--overlap", "3", "--peers", "2"],
    ["--algorithm", "dpsgd"],
    ["--algorithm", "dpsgd", "--graph", "base"],
    ["--algorithm", "sgp", "--local-steps", "3"],
    ["--algorithm", "sgp", "--slow-every", "3", "--slow-momentum", "0.4"],
    ["--algorithm", "osgp", "--slow-every", "3", "--slow-alone"],
    ["--algorithm", "0:allreduce,1:osgp", "--peers", "0:2,1:1"],
    ["--algorithm", "sgp", "--encoding", "bfloat16"],
    ["--algorithm", "0:allreduce,1:osgp", "--encoding", "float16"],
    ["--algorithm", "0:osgp,1:sgp", "--encoding", "int8"],
]

FREE = [
    ["--algorithm", "osgp", "--overlap", "async"],
    ["--algorithm", "adpsgd"],
    ["--algorithm", "0:adpsgd,2:sgp"],
    ["--algorithm", "server"],
    ["--algorithm", "server", "--encoding", "bfloat16"],
    ["--algorithm", "0:server,1:sgp,2:server"],
]

EXACT_AND_FREE = [["--algorithm", "sgp"], ["--algorithm", "allreduce"]] + FREE[:2]


class Algorithms(ProgramTest):
    def check(self, summary, nodes):
        self.assertAlmostEqual(summary["mass"]["w_total"], nodes, places=6)
        self.assertLess(summary["mass"]["drift"], 1e-5)
        self.assertEqual(summary["messages"]["sent"], summary["messages"]["received"])

    def test_same_bits(self):
        for number, arguments in enumerate(LOCKSTEP):
            for nodes in ("4", "5")[number % 2:number % 2 + 1]:
                with self.subTest(" ".join(arguments) + " --nodes " + nodes):
                    common = ["--epochs", "2", "--model", "mlp", "--nodes", nodes, *arguments]
                    shm = self.train(*common, output=f"shm{number}-{nodes}")
                    threads = self.train(*common, "--transport", "loopback", output=f"threads{number}-{nodes}")
                    self.check(shm, int(nodes))
                    self.check(threads, int(nodes))
                    self.assertEqual(shm["parameters_hash"], threads["parameters_hash"])

    def test_learns(self):
        for number, arguments in enumerate(FREE + [["--algorithm", "osgp"], ["--algorithm", "dpsgd"]]):
            with self.subTest(" ".join(arguments)):
                summary = self.train("--epochs", "15", "--model", "mlp", "--lr", "0.1", *arguments,
                                     output=f"free{number}")
                self.check(summary, 4)
                self.assertGreater(summary["average_model_accuracy"], 0.9)

    def test_no_overlap_is_sgp(self):
        sgp = self.train("--epochs", "2", "--model", "mlp", output="sgp")
        osgp = self.train("--epochs", "2", "--model", "mlp", "--algorithm", "osgp", "--overlap", "0", output="osgp")
        self.assertEqual(sgp["parameters_hash"], osgp["parameters_hash"])
        self.assertEqual((osgp["algorithm"], osgp["overlap"]), ("osgp", 0))

    def test_encodings(self):
        for encoding, ways in [("bfloat16", EXACT_AND_FREE), ("float16", EXACT_AND_FREE), ("int8", EXACT_AND_FREE),
                               ("int4", EXACT_AND_FREE[:2]), ("int8m", EXACT_AND_FREE[:1]), ("int6", EXACT_AND_FREE[:1]),
                               ("int5", EXACT_AND_FREE[:1])]:
            for number, arguments in enumerate(ways):
                with self.subTest(f"{encoding} {arguments}"):
                    summary = self.train("--epochs", "15", "--model", "mlp", "--lr", "0.1", "--encoding", encoding,
                                         *arguments, output=f"{encoding}{number}")
                    self.check(summary, 4)
                    self.assertEqual(summary["encoding"], encoding)
                    self.assertGreater(summary["average_model_accuracy"], 0.9)

    def test_schedules_are_in_the_summary(self):
        summary = self.train("--epochs", "3", "--model", "mlp", "--algorithm", "0:allreduce,1:sgp", "--peers",
                             "0:2,2:1", "--nodes", "3")
        self.assertEqual((summary["algorithm"], summary["peers"]), ("0:allreduce,1:sgp", "0:2,2:1"))
        steps = summary["steps"] // 3
        # All-reduce: 2 (n - 1) messages per node and step; then 2 peers, which are the same node at every
        # other step of three nodes' exponential graph, then 1.
        self.assertGreater(summary["messages"]["sent"], steps * (4 * 3 + 3 + 3))
        self.check(summary, 3)


if __name__ == "__main__":
    unittest.main()
