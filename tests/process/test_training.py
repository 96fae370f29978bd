# SPDX-License-Identifier: Apache-2.0
"""Whole runs: what they write, and that the same seed gives the same bits."""

import json
import os
import unittest

from support import PROGRAM, ProgramTest

NUMBERS = ["peers", "overlap", "nodes", "parameters", "epochs", "steps", "seconds", "samples_per_second",
           "wait_ms", "train_loss", "average_model_accuracy", "consensus_distance"]
TEXTS = ["algorithm", "graph", "model", "data", "parameters_hash"]
GROUPS = {
    "step_ms": ["mean", "p50", "p99"],
    "test_accuracy": ["mean", "min", "max"],
    "mass": ["w_total", "drift"],
    "messages": ["sent", "received", "late", "refused", "resent", "reabsorbed"],
}


class Training(ProgramTest):
    def test_writes_its_directory(self):
        summary = self.train("--epochs", "2", "--model", "mlp")
        for name in NUMBERS:
            self.assertIsInstance(summary[name], (int, float), name)
        for name in TEXTS:
            self.assertIsInstance(summary[name], str, name)
        for name, members in GROUPS.items():
            for member in members:
                self.assertIsInstance(summary[name][member], (int, float), f"{name}.{member}")
        self.assertEqual((summary["nodes"], summary["epochs"]), (4, 2))
        self.assertEqual(summary["steps"], 2 * 512 // (4 * 32))
        self.assertAlmostEqual(summary["mass"]["w_total"], 4, places=6)
        self.assertEqual(summary["messages"]["sent"], summary["messages"]["received"])
        for name in ("config.json", "metrics.jsonl", "model.safetensors"):
            self.assertGreater(os.path.getsize(os.path.join(self.output(), name)), 0, name)
        with open(os.path.join(self.output(), "metrics.jsonl"), encoding="utf-8") as file:
            for line in file:
                json.loads(line)
        self.assert_nothing_left()

    def test_consensus_is_told_for_every_line(self):
        """The same number for all nodes; the last of an epoch, over a sample, is close to the exact one."""
        self.train("--epochs", "2", "--model", "lenet", "--nodes", "5", "--graph", "ring")
        with open(os.path.join(self.output(), "metrics.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        exact = {line["step"]: line["consensus_distance"] for line in lines if "test_accuracy" in line}
        found = {}
        for line in lines:
            if "loss" in line:
                found.setdefault(line["step"], set()).add(line["consensus_distance"])
        self.assertEqual(sorted(exact), [4, 8])  # 103 samples a node, 32 a step
        self.assertEqual(sorted(found), list(range(1, 9)))
        for step, values in found.items():
            self.assertEqual(len(values), 1)
            distance = values.pop()
            self.assertGreater(distance, 0)
            if step in exact:
                self.assertAlmostEqual(distance / exact[step], 1, delta=0.4)

    def test_learns(self):
        for algorithm in ("sgp", "allreduce"):
            with self.subTest(algorithm):
                summary = self.train("--epochs", "6", "--model", "mlp", "--lr", "0.4", "--algorithm", algorithm,
                                     output=algorithm)
                self.assertGreater(summary["test_accuracy"]["min"], 0.9)
                self.assertGreater(summary["average_model_accuracy"], 0.9)

    def test_same_seed_same_bits(self):
        for algorithm in ("sgp", "allreduce"):
            with self.subTest(algorithm):
                run = ["--epochs", "2", "--algorithm", algorithm, "--nodes", "3"]
                first = self.train(*run, "--seed", "7", output=algorithm + "1")
                again = self.train(*run, "--seed", "7", output=algorithm + "2")
                other = self.train(*run, "--seed", "8", output=algorithm + "3")
                threads = self.train(*run, "--seed", "7", "--transport", "loopback", output=algorithm + "4")
                self.assertEqual(first["parameters_hash"], again["parameters_hash"])
                self.assertNotEqual(first["parameters_hash"], other["parameters_hash"])
                self.assertEqual(first["parameters_hash"], threads["parameters_hash"])

    def test_one_node(self):
        summary = self.train("--epochs", "1", "--nodes", "1", "--model", "mlp")
        self.assertEqual(summary["messages"]["sent"], 0)

    def test_fewer_samples_than_nodes(self):
        self.train("--epochs", "1", "--nodes", "4", "--model", "mlp", "--limit-samples", "3")

    def test_json_is_the_last_line(self):
        status, out, err = self.run_program("train", "--data", self.data(), "--output", self.output(), "--epochs",
                                            "1", "--model", "mlp", "--json", "--quiet")
        self.assertEqual((status, err), (0, ""))
        with open(os.path.join(self.output(), "summary.json"), encoding="utf-8") as file:
            self.assertEqual(json.loads(out.splitlines()[-1]), json.load(file))

    def test_quiet_says_nothing(self):
        status, out, err = self.run_program("train", "--data", self.data(), "--output", self.output(), "--epochs",
                                            "1", "--model", "mlp", "--quiet")
        self.assertEqual((status, out, err), (0, "", ""))

    def test_a_line_for_each_epoch_and_a_summary(self):
        status, out, err = self.run_program("train", "--data", self.data(), "--output", self.output(), "--epochs",
                                            "3", "--model", "mlp")
        self.assertEqual(status, 0)
        self.assertEqual([line.split()[1] for line in err.splitlines()], ["1/3", "2/3", "3/3"])
        self.assertNotIn("\r", err)
        self.assertIn(self.output(), out)

    def test_default_directory(self):
        status, out, _ = self.run_program("train", "--data", self.data(), "--epochs", "1", "--model", "mlp")
        self.assertEqual(status, 0)
        runs = os.listdir(os.path.join(self.folder, "runs"))
        self.assertEqual(len(runs), 1)
        self.assertRegex(runs[0], r"^mlp-sgp-\d{8}-\d{6}$")
        self.assertIn("runs/" + runs[0], out)

    def test_table(self):
        for algorithm in ("sgp", "allreduce"):
            self.train("--epochs", "1", "--model", "mlp", "--algorithm", algorithm, output=algorithm)
        status, out, _ = self.run_program("table", self.output("sgp"), self.output("allreduce"))
        self.assertEqual(status, 0)
        self.assertRegex(out, r"(?m)^sgp +[\d.]+ ")
        self.assertRegex(out, r"(?m)^allreduce +[\d.]+ ")
        for algorithm in ("sgp", "allreduce"):
            self.assertRegex(out, f"(?m)^{algorithm} .*{self.output(algorithm)}$")

    def test_model_tells_its_memory(self):
        status, out, _ = self.run_program("model", "--model", "lenet", "--batch-size", "64", "--data", self.data())
        self.assertEqual(status, 0)
        self.assertRegex(out, r"parameters +\d+ ")
        self.assertRegex(out, r"memory +[\d.]+ MB at batch size 64")

    def test_started_by_another_launcher(self):
        status, out, err = self.run_program("run", "--nodes", "3", "--", PROGRAM, "train",
                                            "--data", self.data(), "--output", self.output(), "--epochs", "1",
                                            "--model", "mlp", "--json")
        self.assertEqual(status, 0, err)
        self.assertEqual(json.loads(out.splitlines()[-1])["nodes"], 3)


if __name__ == "__main__":
    unittest.main()
