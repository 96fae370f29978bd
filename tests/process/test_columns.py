# SPDX-License-Identifier: Apache-2.0
"""The output of the program fits into 80 columns, except for names and paths that the user gives."""

import unittest

from support import ProgramTest

COLUMNS = 80

COMMANDS = ["train", "run", "compare", "table", "report", "simulate", "bench", "graph", "average", "eval", "model"]

MISTAKES = [
    ["--graph", "star"],
    ["--graph", "exponentiol"],
    ["--model", "vgg"],
    ["--transport", "pigeon"],
    ["--encoding", "float8"],
    ["--algorithm", "sgd"],
    ["--peers", "0"],
    ["--overlap", "-1"],
    ["--slow-node", "1:0.5"],
    ["--slow-momentum", "1"],
    ["--nodes", "100000"],
    ["--lr", "0"],
    ["--epoch", "1"],
    ["--epochs"],
    ["--json=yes"],
    ["stray"],
    ["--data", "nosuch"],
    ["--transport", "mpi", "--nodes", "3"],
    ["--insecure", "--key-file", "k", "--transport", "tcp"],
    ["--join", "a:1", "--quiet"],
    ["--join", "a:1", "--nodes", "2", "--transport", "loopback"],
    ["--ports", "7-9"],
    ["--interface", "lo", "--transport", "shm"],
    ["--rank", "1"],
]


class Columns(ProgramTest):
    def assert_fits(self, text):
        for line in text.splitlines():
            self.assertLessEqual(len(line), COLUMNS, line)
            self.assertNotRegex(line, r"(?i)\bnan\b")

    def test_help(self):
        for arguments in [["help"], *([command, "--help"] for command in COMMANDS)]:
            _, out, err = self.run_program(*arguments)
            self.assertGreater(len(out), 100)
            self.assert_fits(out + err)

    def test_training(self):
        """A run with long numbers: ten nodes, and a directory that sgp names."""
        self.data()
        run = ["--data", "data", "--nodes", "10", "--model", "mlp", "--epochs", "2", "--batch-size", "4"]
        for more in ([], ["--algorithm", "allreduce", "--compute-ms", "0.1"], ["--workers-per-node", "2", "--nodes", "2"]):
            status, out, err = self.run_program("train", *run, *more)
            self.assertEqual(status, 0, err)
            self.assert_fits(out + err)
            self.assertIn("epoch 2/2", err)
        status, out, err = self.run_program("table", "runs")
        self.assertEqual((status, len(out[out.index("\nrun "):].split("\n\n")[0].strip().splitlines())), (0, 4), out)
        self.assert_fits(out + err)

    def test_numbers_that_do_not_exist(self):
        """A run that learns no model shows a dash as its accuracy."""
        status, out, err = self.run_program("train", "--data", self.data(), "--output", "r", "--nodes", "2", "--epochs", "1",
                                            "--model", "mlp", "--compute-ms", "0.1")
        self.assertEqual(status, 0)
        self.assert_fits(out)
        self.assertIn("accuracy     - averaged model; nodes -, worst -, best -\n", out)
        self.assertIn("loss -", err)

    def test_comparison(self):
        self.data()
        status, out, err = self.run_program("compare", "--data", "data", "--algorithms", "sgp,osgp,allreduce", "--nodes", "2",
                                            "--model", "mlp", "--epochs", "1")
        self.assertEqual(status, 0, err)
        self.assert_fits(out + err)

    def test_graphs(self):
        for graph in ("exponential", "static-exponential", "ring", "complete", "bipartite-exponential", "random", "base"):
            for nodes in (2, 16, 64):
                status, out, err = self.run_program("graph", "--graph", graph, "--nodes", str(nodes))
                self.assertEqual(status, 0, err)
                self.assert_fits(out)

    def test_models(self):
        for model in ("mlp", "lenet", "resnet20"):
            _, out, _ = self.run_program("model", "--model", model, "--batch-size", "1024", "--data", self.data())
            self.assert_fits(out.replace(self.data(), "data"))
        for model in ("mlp", "resnet56", "resnet101"):
            _, out, _ = self.run_program("model", "--model", model, "--batch-size", "1", "--classes", "32768")
            self.assert_fits(out)

    def test_mistakes(self):
        for arguments in MISTAKES:
            with self.subTest(" ".join(arguments)):
                self.assert_fits(self.refused("train", "--data", self.data(), *arguments))


if __name__ == "__main__":
    unittest.main()
