# SPDX-License-Identifier: Apache-2.0
"""Runs that another number of nodes goes on with: the mean of the checkpoint's files, the rest of the epoch, and what is
refused."""

import json
import os
import re
import shutil
import struct
import unittest

from support import ProgramTest, make_data, write

SAMPLES = 512
BATCH = 8
RUN = ["--model", "mlp", "--batch-size", str(BATCH), "--epochs", "3"]


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def tensors(path):
    """{name: numbers} of the float32 and float64 tensors in a safetensors file, and its metadata."""
    with open(path, "rb") as file:
        content = file.read()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + length])
    metadata = header.pop("__metadata__")
    found = {}
    for name, entry in header.items():
        begin, end = (8 + length + at for at in entry["data_offsets"])
        kind, size = {"F32": ("f", 4), "F64": ("d", 8), "U64": ("Q", 8)}[entry["dtype"]]
        found[name] = struct.unpack(f"<{(end - begin) // size}{kind}", content[begin:end])
    return found, metadata


def steps_after(nodes, taken):
    """Steps that so many nodes need for the rest of an epoch."""
    return -(-(SAMPLES - taken) // (nodes * BATCH))


class Resize(ProgramTest):
    def setUp(self):
        super().setUp()
        self.data()

    def checkpoint(self, nodes, every, *arguments, output="run"):
        """A run that ends with the checkpoint of step `every`, which is the last but one of those that are kept."""
        self.train(*RUN, "--nodes", str(nodes), "--checkpoint-every", str(every), "--transport", "loopback", *arguments,
                   output=output)
        os.remove(os.path.join(self.output(output), "summary.json"))
        before, last = sorted(os.listdir(os.path.join(self.output(output), "checkpoint")))
        shutil.rmtree(os.path.join(self.output(output), "checkpoint", last))
        self.assertEqual(int(before[5:]), every)
        return before

    def resume(self, *arguments, output="run"):
        status, _, err = self.run_program("train", "--resume", self.output(output), *arguments)
        self.assertEqual(status, 0, err)
        return read_json(os.path.join(self.output(output), "summary.json")), err

    def refuse(self, *arguments, output="run"):
        err = self.refused("train", "--resume", self.output(output), *arguments)
        self.assert_nothing_left()
        return err

    def node_file(self, step, rank, output="run"):
        return os.path.join(self.output(output), "checkpoint", step, f"node-{rank}.safetensors")

    def lines(self, output="run"):
        with open(os.path.join(self.output(output), "metrics.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]


class Mean(Resize):
    def check(self, before, after, *arguments):
        """All steps are done, so the model of the continued run is what its nodes begin with."""
        self.train(*RUN, "--nodes", str(before), "--checkpoint-every", "9999", *arguments, output="run")
        for name in ("summary.json", "model.safetensors"):
            os.remove(os.path.join(self.output("run"), name))
        step = os.listdir(os.path.join(self.output("run"), "checkpoint"))[0]
        files = [tensors(self.node_file(step, rank))[0] for rank in range(before)]
        weights = [file["sgp.mixer.weight"][0] for file in files]
        self.assertAlmostEqual(sum(weights), before, places=9)
        summary, err = self.resume("--nodes", str(after))
        self.assertIn(f"resumed from step {int(step[5:])} of {before} nodes with {after} node", err)
        self.assertIn("all steps are done", err)
        self.assertAlmostEqual(summary["mass"]["w_total"], after, places=9)
        model, _ = tensors(os.path.join(self.output("run"), "model.safetensors"))
        self.assertTrue(model)
        for name, mean in model.items():
            for i, (found, parts) in enumerate(zip(mean, zip(*(file[name] for file in files)))):
                expected = sum(w * z for w, z in zip(weights, parts)) / sum(weights)
                if abs(found - expected) > 1e-6 * abs(expected) + 1e-12:
                    self.fail(f"{name}[{i}] is {found}: should be {expected}")

    def test_five_and_three(self):
        self.check(5, 3)

    def test_two_and_four_without_lock_step(self):
        self.check(2, 4, "--overlap", "async", "--algorithm", "osgp")


class GoesOn(Resize):
    def check(self, before, after, every, transport="loopback"):
        """`every` is in the second of three epochs."""
        each = steps_after(before, 0)
        taken = (every - each) * before * BATCH
        self.checkpoint(before, every)
        last = every + steps_after(after, taken) + steps_after(after, 0)
        summary, err = self.resume("--nodes", str(after), "--checkpoint-every", str(every + 2),
                                   "--transport", transport)
        self.assertRegex(err.splitlines()[0],
                         f"^resumed from step {every} of {before} nodes? with {after} nodes?: epoch 2/3 goes on after "
                         f"{taken} of {SAMPLES} samples, {last - every} steps to go$")
        self.assertEqual(summary["steps"], last)
        self.assertEqual(summary["nodes"], after)
        self.assertEqual(summary["resumed"], {"step": every, "nodes": before})
        self.assertGreater(summary["average_model_accuracy"], 0.9)
        config = read_json(os.path.join(self.output("run"), "config.json"))
        self.assertEqual(config["options"]["nodes"], after)
        self.assertEqual(config["derived"]["steps"], last)
        self.check_lines(before, after, every, last)
        return summary

    def check_lines(self, before, after, every, last):
        """Every step is in the metrics once, of each node that made it, and the loss goes on without a jump."""
        lines = [line for line in self.lines() if "loss" in line]
        for node in range(max(before, after)):
            steps = [line["step"] for line in lines if line["node"] == node]
            expected = [s for s in (every, last) if node < (before if s == every else after)]
            self.assertEqual(steps, sorted(set(steps)))
            self.assertTrue(set(expected) <= set(steps), (node, steps))
            self.assertEqual(any(s <= every for s in steps), node < before)
            self.assertEqual(any(s > every for s in steps), node < after)
        old = [line["loss"] for line in lines if line["step"] <= every and line["epoch"] == 2]
        new = [line["loss"] for line in lines if line["step"] > every]
        self.assertLess(max(new), 2 * max(old) + 0.1)

    def test_five_and_three(self):
        self.check(5, 3, 20, "shm")

    def test_two_and_four(self):
        self.check(2, 4, 50)

    def test_four_and_one(self):
        summary = self.check(4, 1, 25)
        self.assertEqual(summary["messages"]["received"], 4 * 25)

    def test_same_bits_once_more(self):
        """Continued by 3 of 5, and once more in the middle of that epoch, with 3."""
        self.checkpoint(5, 20)
        shutil.copytree(self.output("run"), self.output("other"))
        whole, _ = self.resume("--nodes", "3", output="other")
        self.resume("--nodes", "3", "--checkpoint-every", "27")
        shutil.rmtree(os.path.join(self.output("run"), "checkpoint", "step-000000052"))
        os.remove(os.path.join(self.output("run"), "summary.json"))
        _, label = tensors(self.node_file("step-000000027", 0))
        self.assertEqual({k: label[k] for k in ("nodes", "epoch", "epoch_start", "segment_step", "segment_position",
                                                "resumed_step", "resumed_nodes")},
                         {"nodes": "3", "epoch": "1", "epoch_start": "13", "segment_step": "7",
                          "segment_position": "280", "resumed_step": "20", "resumed_nodes": "5"})
        summary, err = self.resume()  # the run's nodes are 3 by now
        self.assertNotIn("resumed from", err)
        self.assertEqual(summary["parameters_hash"], whole["parameters_hash"])
        for key in ("steps", "train_loss", "messages", "resumed", "average_model_accuracy"):
            self.assertEqual(summary[key], whole[key], key)
        ours, theirs = ([{k: v for k, v in line.items() if k in ("epoch", "step", "node", "loss", "lr", "weight")}
                         for line in self.lines(output)] for output in ("run", "other"))
        self.assertEqual(ours, theirs)

    def test_workers(self):
        self.checkpoint(2, 25, "--workers-per-node", "2")
        summary, err = self.resume("--nodes", "3")
        self.assertIn("resumed from step 25 of 2 nodes with 3 nodes", err)
        self.assertEqual(summary["steps"], 25 + -(-(SAMPLES - 9 * 32) // 48) + 11)
        self.assertAlmostEqual(summary["mass"]["w_total"], 3, places=9)

    def test_without_a_launcher(self):
        self.checkpoint(3, 35)
        place = {"SGP_SIZE": "2", "SGP_RENDEZVOUS": self.runtime}
        nodes = [self.start("train", "--resume", self.output("run"), "--nodes", "2", "--transport", "auto",
                            environment={**place, "SGP_RANK": str(rank)}) for rank in range(2)]
        errors = [node.communicate(timeout=120)[1] for node in nodes]
        self.assertEqual([node.returncode for node in nodes], [0, 0], errors)
        self.assertIn("resumed from step 35 of 3 nodes with 2 nodes", errors[0])


class Pictures(Resize):
    """60 pictures: 10 steps of two nodes in an epoch."""

    def setUp(self):
        ProgramTest.setUp(self)
        self.pictures, self.shards = (os.path.join(self.folder, name) for name in ("pictures", "shards"))
        small = os.path.join(self.folder, "small")
        for line in (("unpack", make_data(small, train=60, test=10), self.pictures, "--resize", "32"),
                     ("pack", self.pictures, self.shards, "--shards", "4")):
            self.assertEqual(self.run_program("data", *line, "--quiet")[0], 0)

    def stop(self, data, every, *arguments):
        """A run of two nodes of which the checkpoint of step `every` is left."""
        return self.checkpoint(2, every, "--data", data, "--model", "resnet20", "--image-size", "24", "--batch-size", "3",
                               "--epochs", "2", *arguments)

    def test_in_the_middle_of_an_epoch(self):
        self.stop(self.pictures, 13)
        summary, err = self.resume("--nodes", "3")
        self.assertIn("epoch 2/2 goes on after 18 of 60 samples, 5 steps to go", err)
        self.assertEqual(summary["steps"], 18)
        self.assertEqual(summary["bad_pictures"], {"replaced": 0, "left_out": 0})

    def test_parts_of_shards(self):
        """They are made anew at the end of an epoch, and only there."""
        self.stop(self.shards, 13, "--shard-per-node")
        err = self.refuse("--nodes", "3")
        self.assertIn("step 13 is of 2 nodes in the middle of an epoch: with shard-per-node", err)
        self.stop(self.shards, 10, "--shard-per-node")
        summary, _ = self.resume("--nodes", "3")
        self.assertEqual(summary["steps"], 10 + 7)


class Refused(Resize):
    def setUp(self):
        super().setUp()
        self.step = self.checkpoint(4, 25)

    def test_other_workers(self):
        err = self.refuse("--nodes", "2", "--workers-per-node", "2")
        self.assertIn("workers_per_node is 1 in that run and 2 was asked for", err)

    def test_other_options(self):
        err = self.refuse("--nodes", "2", "--lr", "0.2")
        self.assertIn("lr is 0.1 in that run and 0.2 was asked for", err)

    def test_files(self):
        """A file that is missing, damaged or of another run."""
        path = self.node_file(self.step, 3)
        with open(path, "rb") as file:
            content = file.read()
        for other, reason in ((content[:-7], "tensor"), (content[:-5] + b"\x7f" + content[-4:], "does not match its hash"),
                              (re.sub(rb'("run_id":")[0-9a-f]{4}', rb'\g<1>ffff', content), "does not match its hash"),
                              (b"", "not a safetensors file")):
            write(path, other)
            err = self.refuse("--nodes", "3")
            self.assertIn(path, err)
            self.assertIn(reason, err)
        shutil.copy(self.node_file(self.step, 2), path)
        self.assertIn("rank is 2 there and 3 here", self.refuse("--nodes", "3"))
        self.train(*RUN, "--nodes", "4", "--checkpoint-every", "25", output="other")
        shutil.copy(self.node_file(self.step, 3, "other"), path)
        self.assertIn("is of another run: run_id is ", self.refuse("--nodes", "3"))
        os.remove(path)
        summary, err = self.resume("--nodes", "3")
        self.assertIn("beginning from the start", err)
        self.assertNotIn("resumed", summary)

    def test_peers_that_do_not_fit(self):
        self.checkpoint(4, 25, "--peers", "2", output="peers")
        self.assertIn("2 peers among 2 nodes", self.refuse("--nodes", "2", output="peers"))
        self.resume("--nodes", "3", output="peers")


if __name__ == "__main__":
    unittest.main()
