# SPDX-License-Identifier: Apache-2.0
"""`sgp average` and `sgp eval` give the figures that the run itself gave."""

import json
import os
import re
import shutil
import struct
import unittest

from support import ProgramTest, make_data, write

SHORT = ["--epochs", "2", "--batch-size", "8", "--lr", "0.02"]


def read_tensors(path):
    """(metadata, {name: (dtype, shape, bytes)}) of a safetensors file."""
    with open(path, "rb") as file:
        content = file.read()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + size])
    metadata = header.pop("__metadata__")
    return metadata, {name: (entry["dtype"], entry["shape"], content[8 + size:][slice(*entry["data_offsets"])])
                      for name, entry in header.items()}


def rewrite_header(path, change, own=()):
    """Changes the text of the header, and removes these keys of its metadata."""
    with open(path, "rb") as file:
        content = file.read()
    size = struct.unpack("<Q", content[:8])[0]
    header = change(content[8:8 + size])
    for key in own:
        header = re.sub(rb'"%s":"[^"]*",' % key.encode(), b"", header)
    write(path, struct.pack("<Q", len(header)) + header + content[8 + size:])


# Metadata that only sgp writes.
OWN = ["file_hash", "sgp_format", "sgp_version", "parameters_hash"]


class Average(ProgramTest):
    def average(self, *arguments):
        status, out, err = self.run_program("average", *arguments)
        self.assertEqual((status, err), (0, ""))
        return re.search(r"parameters_hash +([0-9a-f]{32})\n", out).group(1)

    def node_file(self, step, rank):
        return os.path.join(self.output(), "checkpoint", step, f"node-{rank}.safetensors")

    def steps(self):
        return sorted(os.listdir(os.path.join(self.output(), "checkpoint")))

    def test_a_finished_run(self):
        """With batch-norm statistics, and where the nodes' push-sum weights differ, too."""
        for arguments in (["--model", "mlp"], ["--model", "resnet20", "--epochs", "1", "--limit-samples", "64"],
                          ["--model", "lenet", "--graph", "random", "--nodes", "3"],
                          ["--model", "mlp", "--algorithm", "osgp"],
                          ["--model", "resnet20", "--epochs", "1", "--limit-samples", "64", "--nodes", "3",
                           "--graph", "random", "--workers-per-node", "2"]):
            with self.subTest(" ".join(arguments)):
                summary = self.train(*SHORT, *arguments)
                self.assertEqual(self.average(self.output()), summary["parameters_hash"])
                ours, average = read_tensors(os.path.join(self.output(), "average.safetensors"))
                theirs, model = read_tensors(os.path.join(self.output(), "model.safetensors"))
                del theirs["file_hash"]
                self.assertEqual(average, model)
                self.assertEqual({k: ours[k] for k in theirs}, theirs)

    def test_of_a_step(self):
        self.train(*SHORT, "--model", "mlp", "--checkpoint-every", "5")
        steps = self.steps()
        self.assertEqual(steps, ["step-000000030", "step-000000032"])
        folder = os.path.join(self.output(), "checkpoint", steps[0])
        target = os.path.join(self.folder, "here.safetensors")
        older = self.average(folder, "--output", target)
        self.assertEqual(read_tensors(target)[0]["step"], "30")
        self.assertEqual(self.average("--output=here.safetensors", folder), older)
        self.assertEqual(self.average(folder), older)
        self.assertEqual(read_tensors(os.path.join(self.output(), "average.safetensors"))[0]["step"], "30")
        self.assertNotEqual(self.average(self.output()), older)

    def test_takes_the_checkpoint_before_a_damaged_one(self):
        self.train(*SHORT, "--model", "mlp")
        steps = self.steps()
        older = self.average(os.path.join(self.output(), "checkpoint", steps[0]))
        with open(self.node_file(steps[1], 2), "r+b") as file:
            file.truncate(5000)
        status, out, err = self.run_program("average", self.output())
        self.assertEqual(status, 0, err)
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertIn(self.node_file(steps[1], 2), err)
        self.assertIn(older, out)
        os.remove(self.node_file(steps[0], 1))
        err = self.run_program("average", self.output())[2]
        self.assertIn("there is no good checkpoint", err)
        self.assertEqual(self.run_program("average", self.output())[0], 2)

    def test_mistakes(self):
        self.train(*SHORT, "--model", "mlp")
        folder = os.path.join(self.output(), "checkpoint", self.steps()[0])
        self.assertIn("run is missing", self.refused("average"))
        self.assertIn("does not exist", self.refused("average", "nosuch"))
        self.assertIn("has no checkpoint", self.refused("average", self.data()))
        self.assertIn("one too many", self.refused("average", "a", "b"))
        self.assertIn("is a directory", self.refused("average", folder, "--output", "x/"))
        shutil.copy(os.path.join(folder, "node-0.safetensors"), os.path.join(folder, "node-1.safetensors"))
        self.assertIn("node-1.safetensors: is of node 0", self.refused("average", folder))
        rewrite_header(os.path.join(folder, "node-0.safetensors"),
                       lambda header: header.replace(b'"nodes":"4"', b'"nodes":"3"'))
        self.assertIn("node-0.safetensors: is damaged", self.refused("average", folder))

    def test_checkpoints_of_two_runs(self):
        self.train(*SHORT, "--model", "mlp")
        self.train(*SHORT, "--model", "mlp", "--seed", "2", output="other")
        step = self.steps()[1]
        shutil.copy(os.path.join(self.output("other"), "checkpoint", step, "node-1.safetensors"),
                    self.node_file(step, 1))
        err = self.refused("average", os.path.join(self.output(), "checkpoint", step))
        self.assertIn("is of another run than node 0's: options", err)


class Eval(ProgramTest):
    def eval(self, *arguments):
        status, out, err = self.run_program("eval", *arguments, "--json")
        self.assertEqual((status, err), (0, ""))
        return json.loads(out)

    def model(self, name="model.safetensors"):
        return os.path.join(self.output(), name)

    def test_a_finished_run(self):
        """The images are normalised as in the run, which used only a part of the training set."""
        for arguments in (["--model", "mlp"], ["--model", "resnet20", "--epochs", "1", "--limit-samples", "64"],
                          ["--model", "lenet", "--limit-samples", "100"]):
            with self.subTest(" ".join(arguments)):
                summary = self.train(*SHORT, *arguments)
                for batch in ("8", "50"):
                    result = self.eval(self.model(), "--data", self.data(), "--batch-size", batch)
                    self.assertEqual(result["accuracy"], summary["average_model_accuracy"])
                self.assertEqual((result["model"], result["test_samples"]), (arguments[1], 128))

    def test_loss_of_a_node(self):
        """A node's checkpoint is its own model, whose test loss is in the metrics."""
        self.train(*SHORT, "--model", "lenet", "--graph", "ring")
        with open(os.path.join(self.output(), "metrics.jsonl"), encoding="utf-8") as file:
            ends = [line for line in map(json.loads, file) if line.get("test_loss") and line["epoch"] == 2]
        for line in ends:
            result = self.eval("--data", self.data(), os.path.join(
                self.output(), "checkpoint", "step-000000032", f"node-{line['node']}.safetensors"))
            self.assertEqual(result["accuracy"], line["test_accuracy"])
            self.assertAlmostEqual(result["loss"], line["test_loss"], places=5)
        self.assertEqual(len({line["test_loss"] for line in ends}), 4)

    def test_for_a_person(self):
        summary = self.train(*SHORT, "--model", "mlp")
        status, out, _ = self.run_program("eval", "--data", self.data(), self.model())
        self.assertEqual(status, 0)
        self.assertRegex(out, rf"^mlp on .*: accuracy {summary['average_model_accuracy']:.4f}, loss \d\.\d{{4}} over 128")

    def refuse(self, *arguments):
        return self.refused("eval", "--data", self.data(), *arguments)

    def test_mistakes(self):
        self.train(*SHORT, "--epochs", "1", "--model", "mlp")
        self.assertIn("file is missing", self.refuse())
        self.assertIn("nosuch: cannot be opened", self.refuse("nosuch"))
        self.assertIn("is a directory", self.refuse(self.output()))
        self.assertIn("safetensors", self.refuse(os.path.join(self.output(), "config.json")))
        self.assertIn(f"--model lenet: {self.model()} holds a model mlp", self.refuse("--model", "lenet", self.model()))
        self.assertIn("nowhere", self.refused("eval", "--data", "nowhere", self.model()))

    def test_other_tensors(self):
        self.train(*SHORT, "--epochs", "1", "--model", "mlp")
        for change, reason in ((lambda h: h.replace(b"fc2.bias", b"fc9.bias"), "has no tensor fc2.bias"),
                               (lambda h: h.replace(b"[256,784]", b"[784,256]"), "(784, 256), must be F32 (256"),
                               (lambda h: h.replace(b'"mlp"', b'"mlq"'), "holds a model mlq; this program has mlp"),
                               (lambda h: re.sub(rb'"mean":"\d', b'"mean":"x', h), "numbers each")):
            with self.subTest(reason):
                shutil.copy(self.model(), self.model("bad"))
                rewrite_header(self.model("bad"), change, OWN)
                self.assertIn(reason, self.refuse(self.model("bad")))

    def test_damaged(self):
        """One bit of the data, of a name, or of the metadata is flipped."""
        self.train(*SHORT, "--epochs", "1", "--model", "mlp")
        with open(self.model(), "rb") as file:
            content = file.read()
        for at, reason in ((len(content) - 100, "is damaged: it does not match its hash"),
                           (content.index(b'"mean":"') + 8, "is damaged: it does not match its hash"),
                           (content.index(b"file_hash") + 3, "is damaged: its hash is not in its place")):
            with self.subTest(at):
                write(self.model("bad"), content[:at] + bytes([content[at] ^ 1]) + content[at + 1:])
                self.assertIn(reason, self.refuse(self.model("bad")))

    def test_an_earlier_version(self):
        """Models of earlier versions have only a hash of the parameters."""
        self.train(*SHORT, "--epochs", "1", "--model", "mlp")
        rewrite_header(self.model(), lambda header: header, ["file_hash", "sgp_format"])
        status, out, err = self.run_program("eval", "--data", self.data(), self.model())
        self.assertEqual((status, len(out.splitlines()), len(err.splitlines())), (0, 1, 1), err)
        self.assertIn("is of an earlier version", err)

    def test_another_writer(self):
        """A file with only tensors, as any library writes it, and an extra one among them."""
        self.train(*SHORT, "--epochs", "1", "--model", "mlp")
        _, tensors = read_tensors(self.model())
        tensors["batches"] = ("I64", [], struct.pack("<q", 7))
        header, data = {}, b""
        for name, (dtype, shape, content) in sorted(tensors.items(), reverse=True):
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
            data += content
        text = json.dumps(header).encode()
        write(self.model("plain"), struct.pack("<Q", len(text)) + text + data)
        self.assertIn("give --model NAME", self.refuse(self.model("plain")))
        self.assertEqual(self.eval("--data", self.data(), "--model", "mlp", self.model("plain"))["loss"],
                         self.eval("--data", self.data(), self.model())["loss"])

    def test_other_images(self):
        """Images of another size than the model's are refused."""
        self.train(*SHORT, "--epochs", "1", "--model", "mlp")
        smaller = make_data(os.path.join(self.folder, "smaller"), train=20, test=20)
        for name in os.listdir(smaller):
            path = os.path.join(smaller, name)
            if "images" in name:
                with open(path, "rb") as file:
                    content = file.read()
                count = struct.unpack(">I", content[4:8])[0]
                write(path, struct.pack(">IIII", 0x803, count, 14, 28) + content[16:16 + count * 14 * 28])
        err = self.refused("eval", "--data", smaller, self.model())
        self.assertIn("fc1.weight is F32 (256, 784), must be F32 (256, 392)", err)


if __name__ == "__main__":
    unittest.main()
