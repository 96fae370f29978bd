# SPDX-License-Identifier: Apache-2.0
"""Nodes of several workers: the same training as nodes with a larger batch, and how they are started and end."""

import array
import json
import os
import signal
import unittest

from support import LIMIT, PROGRAM, ProgramTest, node_pids


def parameters(directory):
    """The numbers of model.safetensors."""
    with open(os.path.join(directory, "model.safetensors"), "rb") as file:
        header = int.from_bytes(file.read(8), "little")
        file.seek(header, os.SEEK_CUR)
        numbers = array.array("f")
        numbers.frombytes(file.read())
    return numbers


def largest_difference(first, second):
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


class Workers(ProgramTest):
    def run_of(self, nodes, workers, *arguments, batch=16, output="out"):
        return self.train("--model", "mlp", "--epochs", "2", "--nodes", str(nodes), "--workers-per-node",
                          str(workers), "--batch-size", str(batch // workers), *arguments, output=output)

    def test_a_node_of_workers_is_a_node_with_a_larger_batch(self):
        """Three nodes leave a tail that cannot be divided evenly."""
        for algorithm, nodes, workers in (("sgp", 1, 2), ("sgp", 3, 2), ("allreduce", 2, 4), ("osgp", 3, 2),
                                          ("dpsgd", 2, 2)):
            with self.subTest(f"{algorithm}, {nodes} nodes of {workers}"):
                one = self.run_of(nodes, 1, "--algorithm", algorithm, output="one")
                many = self.run_of(nodes, workers, "--algorithm", algorithm, output="many")
                self.assertLess(largest_difference(parameters(self.output("one")),
                                                   parameters(self.output("many"))), 1e-5)
                self.assertEqual(one["steps"], many["steps"])
                self.assertAlmostEqual(one["train_loss"], many["train_loss"], delta=1e-4)
                for name in ("mean", "min", "max"):
                    self.assertAlmostEqual(one["test_accuracy"][name], many["test_accuracy"][name], delta=2 / 128)
                self.assertEqual((many["nodes"], many["workers_per_node"]), (nodes, workers))
                self.assertAlmostEqual(many["mass"]["w_total"], nodes, places=6)
        self.assert_nothing_left()

    def test_the_same_bits_as_processes_and_as_threads(self):
        for algorithm in ("sgp", "allreduce", "osgp"):
            with self.subTest(algorithm):
                processes = self.run_of(2, 2, "--algorithm", algorithm, "--transport", "shm")
                threads = self.run_of(2, 2, "--algorithm", algorithm, "--transport", "loopback")
                self.assertEqual(processes["parameters_hash"], threads["parameters_hash"])

    def test_nobody_waits_and_mass_is_kept(self):
        for arguments in (["--algorithm", "adpsgd"], ["--algorithm", "server"], ["--overlap", "async"]):
            with self.subTest(arguments):
                summary = self.run_of(3, 2, *arguments)
                self.assertAlmostEqual(summary["mass"]["w_total"], 3, places=6)
                self.assertLess(summary["mass"]["drift"], 1e-5)
                status, out, err = self.run_program("average", self.output())
                self.assertEqual(status, 0, err)
                self.assertIn(summary["parameters_hash"], out)

    def test_metrics_and_traces_name_the_worker(self):
        self.run_of(2, 2, "--trace", "--tensorboard")
        with open(os.path.join(self.output(), "metrics.jsonl"), encoding="utf-8") as file:
            places = [(line["node"], line["worker"]) for line in map(json.loads, file)]
        self.assertEqual(places, [(0, 0), (0, 1), (1, 0), (1, 1)] * (len(places) // 4))
        with open(os.path.join(self.output(), "trace.json"), encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
        self.assertEqual(names, {1: "node 0, worker 0", 2: "node 0, worker 1",
                                 3: "node 1, worker 0", 4: "node 1, worker 1"})
        self.assertEqual(sorted(os.listdir(os.path.join(self.output(), "tensorboard"))),
                         ["all"] + [f"node-{i}-worker-{m}" for i in (0, 1) for m in (0, 1)])

    def test_a_finished_epoch_is_gone_on_from(self):
        """A run of which one worker is killed goes on from its checkpoint and ends with the same bits."""
        run = ["--model", "mlp", "--nodes", "2", "--workers-per-node", "2", "--epochs", "30", "--batch-size", "4"]
        expected = self.train(*run, output="straight")["parameters_hash"]
        process = self.start("train", "--data", self.data(), "--output", self.output(), *run)
        while not process.stderr.readline().startswith("epoch 3/"):
            pass
        os.kill(node_pids(process.pid)[3], signal.SIGKILL)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 1)
        status, out, err = self.run_program("train", "--resume", self.output(), "--json")
        self.assertEqual(status, 0, err)
        self.assertEqual(json.loads(out.splitlines()[-1])["parameters_hash"], expected)

    def test_killed_worker(self):
        for rank, name in ((0, "worker 0 of node 0"), (3, "worker 1 of node 1")):
            with self.subTest(name):
                process = self.start_endless("--model", "mlp", "--workers-per-node", "2", nodes=2)
                os.kill(node_pids(process.pid)[rank], signal.SIGKILL)
                _, err = process.communicate(timeout=LIMIT)
                self.assertEqual(process.returncode, 1, err)
                self.assertRegex(err, f"(?m)^sgp: {name} was killed by signal 9")
                self.assertRegex(err, f"(?m)^sgp: worker . of node .: {name} is lost \\(")
                self.assert_nothing_left()


    def test_the_summary_says_how_many(self):
        status, out, err = self.run_program("train", "--data", self.data(), "--model", "mlp", "--epochs", "1", "--nodes",
                                            "2", "--workers-per-node", "2", "--output", self.output())
        self.assertEqual(status, 0, err)
        self.assertIn("2 nodes of 2 workers", out)


class OtherLaunchers(ProgramTest):
    def start_group(self, size, *arguments):
        return ["run", "--nodes", str(size), "--", PROGRAM, "train", "--data", self.data(), "--output",
                self.output(), "--epochs", "1", "--model", "mlp", "--json", *arguments]

    def test_nodes_are_the_processes_over_the_workers(self):
        status, out, err = self.run_program(*self.start_group(6, "--workers-per-node", "2"))
        self.assertEqual(status, 0, err)
        summary = json.loads(out.splitlines()[-1])
        self.assertEqual((summary["nodes"], summary["workers_per_node"]), (3, 2))

    def refused_place(self, *arguments):
        environment = {"SGP_RANK": "0", "SGP_SIZE": "6", "SGP_RENDEZVOUS": self.runtime}
        return self.refused("train", "--data", self.data(), *arguments, environment=environment)

    def test_workers_that_do_not_divide(self):
        err = self.refused_place("--workers-per-node", "4")
        self.assertIn("--workers-per-node 4", err)
        self.assertIn("group of 6", err)
        self.assertIn("1, 2, 3 or 6 workers", err)

    def test_other_nodes_than_there_are(self):
        err = self.refused_place("--workers-per-node", "2", "--nodes", "2")
        self.assertIn("--nodes 2", err)
        self.assertIn("3 nodes of 2 workers", err)
        self.assertIn("group of 6", self.refused_place("--nodes", "2"))


if __name__ == "__main__":
    unittest.main()
