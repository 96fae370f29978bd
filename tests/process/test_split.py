# SPDX-License-Identifier: Apache-2.0
"""Nodes whose data differ: by --split, and by files of their own."""

import json
import os
import shutil
import signal
import struct
import tempfile
import unittest

from support import FILES, LIMIT, SIDE, ProgramTest, idx_images, idx_labels, make_split, node_pids, write

NODES = 4
RUN = ["--model", "mlp", "--nodes", str(NODES), "--batch-size", "8"]
THREADS = [*RUN, "--transport", "loopback"]  # where the transport does not matter: they start fast


def make_private(directory, train, test=40, seed=1, dark=False):
    """A data set of one node."""
    os.makedirs(directory, exist_ok=True)
    for part, count, add in (("train", train, 0), ("test", test, 1)):
        images, labels = make_split(count, seed + add)
        if dark:
            images = [bytes(b // 2 for b in image) for image in images]
        write(os.path.join(directory, FILES[part + "-images"]), idx_images(images))
        write(os.path.join(directory, FILES[part + "-labels"]), idx_labels(labels))


class Differing(ProgramTest):
    def load(self, name, output="out"):
        with open(os.path.join(self.output(output), name), encoding="utf-8") as file:
            return json.load(file)

    def read_to_epoch(self, process, epoch):
        """Returns the lines before it."""
        lines = ""
        for line in process.stderr:
            if line.startswith(f"epoch {epoch}/"):
                return lines
            lines += line
        self.fail(f"no epoch {epoch}: {lines}")

    def interrupt_in(self, epoch, *arguments):
        process = self.start("train", "--output", self.output("part"), *arguments)
        self.read_to_epoch(process, epoch)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)

    def resume(self, *arguments):
        status, _, err = self.run_program("train", "--resume", self.output("part"), *arguments)
        self.assertEqual(status, 0, err)
        return self.load("summary.json", "part")


class Split(Differing):
    def test_the_run_says_how_it_divides(self):
        status, _, err = self.run_program("train", "--data", self.data(), "--output", self.output(), *RUN, "--epochs",
                                          "1", "--split", "label:3")
        self.assertEqual(status, 0, err)
        self.assertEqual(self.load("summary.json")["split"], "label:3")
        table = self.load("config.json")["data"]["classes_of_nodes"]
        self.assertEqual([sum(count > 0 for count in node) for node in table], [3] * NODES)
        self.assertEqual(sum(map(sum, table)), 512)
        for number, node in enumerate(table):
            counts = ", ".join(f"{c}: {count}" for c, count in enumerate(node) if count)
            self.assertIn(f"node {number}: {sum(node)} samples, of class {counts}\n", err)
        status, _, err = self.run_program("report", self.output())
        self.assertEqual(status, 0, err)
        with open(os.path.join(self.output(), "report.html"), encoding="utf-8") as file:
            self.assertIn("split label:3", file.read())

    def test_iid_is_the_default(self):
        usual = self.train(*THREADS, "--epochs", "1")
        self.assertEqual((usual["split"], usual["private_data"], usual["clip_norm"]), ("iid", False, None))
        self.assertEqual(self.train(*THREADS, "--epochs", "1", "--split", "iid")["parameters_hash"],
                         usual["parameters_hash"])
        self.assertNotIn("classes_of_nodes", self.load("config.json")["data"])

    def test_the_seed_decides(self):
        """The same on every transport; not another rule or seed."""
        run = [*RUN, "--epochs", "1", "--split", "dirichlet:0.3"]
        first = self.train(*run)
        again = self.train(*run, "--transport", "loopback")
        self.assertEqual(again["parameters_hash"], first["parameters_hash"])
        for other in (["--seed", "2"], ["--split", "dirichlet:0.4"]):
            self.assertNotEqual(self.train(*run, *other, "--transport", "loopback")["parameters_hash"], first["parameters_hash"])

    def test_the_number_of_steps_stays(self):
        self.assertEqual(self.train(*THREADS, "--epochs", "1", "--split", "dirichlet:0.01")["steps"], 512 // (NODES * 8))

    def test_resumed(self):
        run = ["--data", self.data(), *RUN, "--workers-per-node", "2", "--nodes", "2", "--augment", "--epochs", "10",
               "--split", "dirichlet:0.3", "--clip-norm", "0.5", "--checkpoint-every", "5"]
        whole = self.train(*run)
        self.interrupt_in(3, *run)
        self.assertEqual(self.resume()["parameters_hash"], whole["parameters_hash"])

    def test_resumed_by_other_nodes(self):
        """The samples are divided anew between the nodes that there are now."""
        run = ["--data", self.data(), *RUN, "--epochs", "8", "--split", "label:3", "--checkpoint-every", "5"]
        self.interrupt_in(3, *run)
        self.resume("--nodes", "5")
        table = self.load("config.json", "part")["data"]["classes_of_nodes"]
        self.assertEqual([sum(count > 0 for count in node) for node in table], [3] * 5)

    def test_a_lost_node(self):
        """The others take as many samples more, and keep their parts of the division, also when the run is continued."""
        run = ["--data", self.data(), *RUN, "--epochs", "1000", "--split", "label:3", "--checkpoint-every", "5"]
        process = self.start("train", "--output", self.output("part"), *run)
        self.read_to_epoch(process, 2)
        os.kill(node_pids(process.pid)[1], signal.SIGKILL)
        self.read_to_epoch(process, 6)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)
        before = self.load("config.json", "part")["data"]["classes_of_nodes"]
        process = self.start("train", "--resume", self.output("part"), "--nodes", "3")
        err = self.read_to_epoch(process, 8)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
        self.assertEqual(self.load("config.json", "part")["data"]["classes_of_nodes"], before)
        self.assertNotIn("resumed from", err)

    def test_clipped(self):
        """A bound that no gradient comes to changes nothing, and a small one a lot."""
        usual = self.train(*THREADS, "--epochs", "1")
        self.assertEqual(self.train(*THREADS, "--epochs", "1", "--clip-norm", "1e9")["parameters_hash"],
                         usual["parameters_hash"])
        run = [*THREADS, "--epochs", "1", "--algorithm", "allreduce", "--momentum", "0", "--weight-decay", "0"]
        still = self.train(*run, "--clip-norm", "1e-12")
        self.assertAlmostEqual(still["train_loss"], self.train(*run, "--lr", "1e-9")["train_loss"], 4)
        self.assertEqual(still["clip_norm"], 1e-12)

    def test_not_finite_is_still_refused(self):
        status, _, err = self.run_program("train", "--data", self.data(), *RUN, "--epochs", "1", "--lr", "1e6",
                                          "--momentum", "0", "--clip-norm", "1e30", "--output", self.output())
        self.assertEqual(status, 1, err)
        self.assertIn("not finite", err)

    def test_refused(self):
        run = ["train", "--data", self.data(), *RUN]
        for arguments, text in ((["--split", "even"], "dirichlet:0.1"), (["--split", "dirichlet:0"], "dirichlet:0.1"),
                                (["--split", "dirichlet:inf"], "dirichlet:0.1"), (["--split", "label:0"], "label:K"),
                                (["--split", "label:11"], "label:1 to label:10"),
                                (["--split", "label:2"], "label:3 at least"),
                                (["--split", "label:3", "--limit-samples", "3"], "iid works"),
                                (["--split", "label:3", "--private-data"], "only one of the two"),
                                (["--clip-norm", "0"], "such as 1"), (["--clip-norm", "-1"], "such as 1"),
                                (["--clip-norm", "nan"], "such as 1")):
            with self.subTest(arguments):
                self.assertIn(text, self.refused(*run, *arguments))


class Private(Differing):
    COUNTS = (100, 300, 60, 260)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.files = tempfile.mkdtemp(prefix="sgp-test-")
        cls.addClassCleanup(shutil.rmtree, cls.files)
        for node, count in enumerate(cls.COUNTS):
            make_private(os.path.join(cls.files, f"node-{node}"), count, seed=10 * node, dark=node == 2)

    def setUp(self):
        super().setUp()
        shutil.copytree(self.files, self.folder, dirs_exist_ok=True)
        self.path = os.path.join(self.folder, "node-{node}")

    def data(self, **sizes):
        return self.path

    def private(self, *arguments, **options):
        return self.train(*THREADS, "--private-data", "--epochs", "1", *arguments, **options)

    def test_each_node_has_its_files(self):
        """An epoch is as long as that of the node with the most samples."""
        first = self.private()
        self.assertTrue(first["private_data"])
        self.assertEqual(first["steps"], 38)
        self.assertEqual(first["samples"]["missed"], 0)
        self.assert_one_normalisation()
        self.assertEqual(self.private("--transport", "shm")["parameters_hash"], first["parameters_hash"])

    def assert_one_normalisation(self):
        """Mean and deviation over the samples of all nodes."""
        total, squares, count = 0, 0, 0
        for node in range(NODES):
            with open(os.path.join(self.path.replace("{node}", str(node)), FILES["train-images"]), "rb") as file:
                pixels = file.read()[16:]
            total += sum(pixels)
            squares += sum(p * p for p in pixels)
            count += len(pixels)
        data = self.load("config.json")["data"]
        mean = total / count
        self.assertAlmostEqual(data["mean"][0], mean, 3)
        self.assertAlmostEqual(data["deviation"][0], (squares / count - mean * mean) ** 0.5, 3)

    def test_equal_files_are_no_mistake(self):
        """Without {node} all nodes read one folder."""
        self.assertEqual(self.private("--data", self.path.replace("{node}", "1"))["steps"], 38)

    def test_all_test_sets_count(self):
        """A test set that one node has alone weighs as much as its samples."""
        make_private(self.path.replace("{node}", "3"), 260, test=400, seed=30)
        samples = self.private()["average_model_accuracy"] * (3 * 40 + 400)
        self.assertAlmostEqual(samples, round(samples), 6)

    def test_resumed(self):
        run = ["--data", self.path, *RUN, "--private-data", "--epochs", "6", "--checkpoint-every", "5"]
        whole = self.train(*run)
        self.interrupt_in(2, *run)
        self.assertIn("--nodes 4 continues it",
                      self.refused("train", "--resume", self.output("part"), "--nodes", "3"))
        self.assertEqual(self.resume()["parameters_hash"], whole["parameters_hash"])

    def test_a_lost_node(self):
        """What it had is not read any more, and the epochs stay as long as they were."""
        process = self.start("train", "--data", self.path, "--output", self.output("part"), *RUN, "--private-data",
                             "--epochs", "30")
        self.read_to_epoch(process, 2)
        os.kill(node_pids(process.pid)[1], signal.SIGKILL)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 0)
        summary = self.load("summary.json", "part")
        self.assertEqual(summary["steps"], 30 * 38)
        self.assertGreater(summary["samples"]["missed"], 0)

    def test_other_shapes_are_refused(self):
        """What the model sees must be the same."""
        for part in ("train", "test"):
            path = os.path.join(self.path.replace("{node}", "2"), FILES[part + "-images"])
            with open(path, "rb") as file:
                header, pixels = file.read(8), file.read()[8:]
            write(path, header + struct.pack(">II", 2 * SIDE, SIDE // 2) + pixels)  # of another shape
        status, _, err = self.run_program("train", "--data", self.path, *RUN, "--private-data", "--output",
                                          self.output())
        self.assertNotEqual(status, 0)
        self.assertRegex(err, "size of a sample|parameters")

    def test_nobody_can_join(self):
        self.assertIn("private-data", self.refused("train", "--data", self.path, *RUN, "--private-data", "--max-nodes",
                                                   "6", "--transport", "tcp"))


if __name__ == "__main__":
    unittest.main()
