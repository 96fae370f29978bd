# SPDX-License-Identifier: Apache-2.0
"""The examples, started by `sgp run`, do what their first lines describe."""

import os
import re
import subprocess
import unittest

SGP = os.environ["SGP_PROGRAM"]
EXAMPLES = os.environ["SGP_EXAMPLES"]


def run(nodes, example):
    command = [SGP, "run", "--nodes", str(nodes), "--", os.path.join(EXAMPLES, example)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.stdout.splitlines()


class Examples(unittest.TestCase):
    def test_average_agrees_on_the_mean(self):
        for nodes, mean in ((1, "10"), (2, "15"), (4, "25"), (8, "45")):
            expected = [
                f"node {r} of {nodes}: mine {10 * (r + 1)}, mean {mean}, exact mean {mean}"
                for r in range(nodes)
            ]
            self.assertEqual(sorted(run(nodes, "average")), expected)

    def test_average_of_three_is_not_exact_yet_and_keeps_the_mean(self):
        lines = run(3, "average")
        estimates = [float(re.search(r", mean ([\d.]+)", line).group(1)) for line in lines]
        self.assertAlmostEqual(sum(estimates) / 3, 20, places=4)
        self.assertTrue(all(line.endswith("exact mean 20") for line in lines))

    def test_own_loop_learns_from_all_nodes(self):
        lines = run(4, "train_own_loop")
        summary = [line for line in lines if line.startswith("average of 4 nodes")]
        self.assertEqual(len(summary), 1)
        accuracy = float(re.search(r"accuracy ([\d.]+)", summary[0]).group(1))
        self.assertGreater(accuracy, 0.95)
        self.assertIn("total weight 4", summary[0])
        self.assertEqual(len(lines), 5)


if __name__ == "__main__":
    unittest.main()
