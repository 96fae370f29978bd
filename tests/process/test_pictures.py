# SPDX-License-Identifier: Apache-2.0
"""Training on pictures from disk: a miniature ImageNet on every transport, killed and continued, and with bad pictures."""

import json
import os
import signal
import unittest

from support import LIMIT, ProgramTest, node_pids, wait_gone, write

TRAIN, TESTS = 60, 20
SMALL = ["--model", "resnet20", "--image-size", "24", "--batch-size", "3", "--lr-schedule", "cosine"]


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


class PicturesTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.pictures = os.path.join(self.folder, "pictures")
        status, _, err = self.run_program("data", "unpack", self.data(train=TRAIN, test=TESTS), self.pictures,
                                          "--resize", "64", "--quiet")
        self.assertEqual((status, err), (0, ""))

    def shards(self):
        folder = os.path.join(self.folder, "shards")
        status, _, err = self.run_program("data", "pack", self.pictures, folder, "--shards", "4", "--quiet")
        self.assertEqual((status, err), (0, ""))
        return folder

    def files(self, split):
        found = [os.path.join(root, name) for root, _, names in os.walk(os.path.join(self.pictures, split)) for name in names]
        return sorted(found)

    def train_on(self, data, *arguments, output="out"):
        """A run that must succeed. Returns (summary, lines of standard error but for that of a model that has not learned)."""
        status, _, err = self.run_program("train", "--data", data, "--output", self.output(output), "--overwrite", "--quiet",
                                          *arguments)
        self.assertEqual(status, 0, err)
        lines = [line for line in err.splitlines() if "no better than a guess" not in line]
        return read_json(os.path.join(self.output(output), "summary.json")), lines

    def hash_of(self, *arguments, data=None):
        return self.train_on(data or self.pictures, *SMALL, *arguments)[0]["parameters_hash"]

    def options(self, output="out"):
        return read_json(os.path.join(self.output(output), "config.json"))["options"]

    def epoch_lines(self, output="out"):
        with open(os.path.join(self.output(output), "metrics.jsonl"), encoding="utf-8") as file:
            return [line for line in map(json.loads, file) if "test_accuracy" in line]


class EndToEnd(PicturesTest):
    def test_miniature_imagenet(self):
        summary, lines = self.train_on(self.pictures, "--recipe", "paper", "--model", "resnet18", "--image-size", "64",
                                       "--nodes", "4", "--epochs", "1", "--batch-size", "2", "--limit-samples", "16")
        self.assertEqual(lines, [])
        self.assertEqual(summary["steps"], 2)
        self.assertEqual(summary["bad_pictures"], {"replaced": 0, "left_out": 0})
        self.assertEqual(summary["mass"]["w_total"], 4)
        self.assertLessEqual(summary["average_model_accuracy"], summary["average_model_top5_accuracy"])
        data = read_json(os.path.join(self.output(), "config.json"))["data"]
        self.assertEqual([data[k] for k in ("format", "train_samples", "test_samples", "height", "width", "channels", "classes")],
                         ["folder", 16, TESTS, 64, 64, 3, 10])

    def test_the_same_bits_on_every_transport_and_with_any_threads(self):
        first = self.hash_of("--nodes", "4", "--epochs", "2", "--transport", "shm")
        self.assertEqual(first, self.hash_of("--nodes", "4", "--epochs", "2", "--transport", "tcp", "--data-threads", "3"))
        self.assertEqual(first, self.hash_of("--nodes", "4", "--epochs", "2", "--transport", "loopback", "--data-threads", "2"))
        self.assertNotEqual(first, self.hash_of("--nodes", "4", "--epochs", "2", "--seed", "2"))

    def test_nodes_of_two_workers(self):
        arguments = ["--nodes", "2", "--workers-per-node", "2", "--epochs", "1"]
        self.assertEqual(self.hash_of(*arguments, "--transport", "shm"), self.hash_of(*arguments, "--transport", "tcp"))
        # Each of the four evaluates its part of the test set.
        lines = self.epoch_lines()
        self.assertEqual([(line["node"], line["worker"]) for line in lines], [(0, 0), (0, 1), (1, 0), (1, 1)])

    def test_shards(self):
        shards = self.shards()
        first = self.hash_of("--nodes", "2", "--epochs", "1", data=shards)
        self.assertEqual(first, self.hash_of("--nodes", "2", "--epochs", "1", "--data-threads", "4", data=shards))
        own = self.hash_of("--nodes", "2", "--epochs", "1", "--shard-per-node", data=shards)
        self.assertNotEqual(first, own)
        self.assertEqual(own, self.hash_of("--nodes", "2", "--epochs", "1", "--shard-per-node", data=shards))
        self.assertIn("sgp data pack", self.refused("train", "--data", self.pictures, *SMALL, "--nodes", "1", "--shard-per-node"))

    def test_eval_takes_the_size_from_the_file(self):
        summary, _ = self.train_on(self.pictures, *SMALL, "--nodes", "2", "--epochs", "1")
        status, out, err = self.run_program("eval", "--data", self.pictures, "--json",
                                            os.path.join(self.output(), "model.safetensors"))
        self.assertEqual((status, err), (0, ""))
        found = json.loads(out)
        self.assertEqual(found["accuracy"], summary["average_model_accuracy"])
        self.assertEqual(found["top5_accuracy"], summary["average_model_top5_accuracy"])
        self.assertEqual(found["test_samples"], TESTS)


class Resume(PicturesTest):
    def test_killed_in_the_middle_of_an_epoch(self):
        """10 steps in an epoch, a checkpoint after every fourth; one picture is bad."""
        write(self.files("train")[7], b"not a picture")
        arguments = ["--nodes", "2", "--epochs", "3", "--checkpoint-every", "4"]
        whole, _ = self.train_on(self.pictures, *SMALL, *arguments)
        process = self.start("train", "--data", self.pictures, "--output", self.output("killed"), *SMALL, *arguments,
                             "--data-threads", "2", "--epochs", "3")
        while not process.stderr.readline().startswith("epoch 1/"):
            self.assertIsNone(process.poll())
        nodes = [os.pidfd_open(pid) for pid in node_pids(process.pid).values()]
        process.kill()
        self.assertTrue(wait_gone(nodes))
        for node in nodes:
            os.close(node)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, -signal.SIGKILL)
        status, _, err = self.run_program("train", "--resume", self.output("killed"), "--data-threads", "1", "--quiet")
        self.assertEqual(status, 0, err)
        summary = read_json(os.path.join(self.output("killed"), "summary.json"))
        for key in ("parameters_hash", "steps", "train_loss", "test_accuracy", "test_top5_accuracy", "bad_pictures"):
            self.assertEqual(summary[key], whole[key], key)
        self.assertEqual(summary["bad_pictures"]["replaced"], 3)
        self.assertEqual([line["bad_pictures"] for line in self.epoch_lines("killed")],
                         [line["bad_pictures"] for line in self.epoch_lines()])


class BadPictures(PicturesTest):
    def setUp(self):
        super().setUp()
        train, test = self.files("train"), self.files("val")
        with open(train[3], "rb") as file:
            write(train[3], file.read()[:300])
        write(train[40], b"GIF89a")
        write(test[5], b"")

    def test_skip(self):
        arguments = [*SMALL, "--nodes", "2", "--epochs", "2"]
        summary, lines = self.train_on(self.pictures, *arguments, "--data-threads", "3")
        self.assertEqual(summary["bad_pictures"], {"replaced": 4, "left_out": 2})
        self.assertEqual(len(lines), 6)
        for path in (self.files("train")[3], self.files("train")[40], self.files("val")[5]):
            name = os.path.relpath(path, self.pictures)
            found = [line for line in lines if name + ": " in line]
            self.assertEqual(len(found), 2, lines)
            self.assertIn("replaced by train/" if name.startswith("train") else "left out", found[0])
        epochs = self.epoch_lines()
        for epoch in (1, 2):
            bad = [line["bad_pictures"] for line in epochs if line["epoch"] == epoch]
            self.assertEqual((sum(b["replaced"] for b in bad), sum(b["left_out"] for b in bad)), (2, 1))
        self.assertEqual(summary["parameters_hash"],
                         self.train_on(self.pictures, *arguments, "--data-threads", "1")[0]["parameters_hash"])

    def test_stop(self):
        status, _, err = self.run_program("train", "--data", self.pictures, "--output", self.output(), "--quiet", *SMALL,
                                          "--nodes", "2", "--epochs", "2", "--on-bad-image", "stop")
        self.assertEqual(status, 2, err)
        bad = [os.path.relpath(self.files("train")[i], self.pictures) for i in (3, 40)]
        named = [line for line in err.splitlines() if any(name in line for name in bad)]
        self.assertEqual(len(named), 1, err)
        summary = read_json(os.path.join(self.output(), "summary.json"))
        self.assertEqual(summary["status"], "failed")
        self.assertEqual(os.listdir(self.runtime), [])


class Recipe(PicturesTest):
    """--compute-ms: no gradient is computed."""

    def recipe(self, *arguments):
        self.train_on(self.pictures, "--model", "resnet20", "--image-size", "24", "--recipe", "paper", "--compute-ms", "0.01",
                      "--epochs", "1", *arguments)
        return self.options()

    def test_paper(self):
        options = self.recipe("--nodes", "2")
        expected = {"recipe": "paper", "batch_size": 256, "lr": 0.1, "lr_schedule": "step", "optimizer": "sgd", "momentum": 0.9,
                    "nesterov": True, "weight_decay": 1e-4, "augment": True, "label_smoothing": 0, "warmup_epochs": None}
        self.assertEqual({k: options[k] for k in expected}, expected)

    def test_workers_share_the_batch_of_a_node(self):
        self.assertEqual(self.recipe("--nodes", "1", "--workers-per-node", "2")["batch_size"], 128)
        self.assertEqual(self.recipe("--nodes", "1", "--workers-per-node", "3")["batch_size"], 86)

    def test_options_beside_it_win(self):
        options = self.recipe("--nodes", "1", "--lr", "0.2", "--batch-size", "8", "--lr-schedule", "cosine",
                              "--label-smoothing", "0.1", "--no-augment", "--no-nesterov", "--weight-decay", "0")
        self.assertEqual((options["lr"], options["batch_size"], options["lr_schedule"]), (0.2, 8, "cosine"))
        self.assertEqual((options["label_smoothing"], options["augment"], options["nesterov"], options["weight_decay"]),
                         (0.1, False, False, 0))


class Mistakes(PicturesTest):
    def test_each_gets_a_line(self):
        run = ["train", "--nodes", "1", "--output", self.output()]
        self.assertIn("image-size", self.refused(*run, "--data", self.data(), "--image-size", "32"))
        self.assertIn("limit-samples is 61", self.refused(*run, "--data", self.pictures, *SMALL, "--limit-samples", "61"))
        self.assertIn("skip, stop", self.refused(*run, "--on-bad-image", "ignore"))
        self.assertIn("none, paper", self.refused(*run, "--recipe", "book"))
        self.assertIn("nosuch", self.refused(*run, "--data", "nosuch"))
        os.mkdir(os.path.join(self.folder, "empty"))
        self.assertIn("no data set of a known format", self.refused(*run, "--data", "empty"))


if __name__ == "__main__":
    unittest.main()
