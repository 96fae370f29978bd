# SPDX-License-Identifier: Apache-2.0
"""--init: a run starts from the tensors of a file, on every node, and a file that does not fit is refused in one line."""

import json
import math
import os
import struct
import unittest

from support import LIMIT, write
from test_resume import RUN, ResumeTest

# At this rate no parameter changes, so the hash at the end is that of the beginning.
STILL = ["--lr", "1e-300", "--weight-decay", "0", "--epochs", "1", "--limit-samples", "64"]


def read_tensors(path):
    """{name: (type, shape, bytes)}"""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), file.read()
    return {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
            for name, entry in header.items() if name != "__metadata__"}


def write_tensors(path, tensors, metadata=None):
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    write(path, struct.pack("<Q", len(text)) + text + data)


class Init(ResumeTest):
    def setUp(self):
        super().setUp()
        self.file = os.path.join(self.folder, "init.safetensors")

    def first(self, model):
        """The model of a run, and its summary."""
        summary = self.train("--model", model, "--nodes", "2", "--epochs", "1", "--limit-samples", "128", output="first")
        return os.path.join(self.output("first"), "model.safetensors"), summary

    def from_torch(self, tensors, counter="bn1.num_batches_tracked"):
        """As torch would order them, with a counter of batches and without metadata."""
        return {counter: ("I64", [], struct.pack("<q", 1234)), **dict(sorted(tensors.items()))}

    def test_starts_from_the_file(self):
        path, first = self.first("resnet20")
        write_tensors(self.file, self.from_torch(read_tensors(path)))
        random = self.train("--model", "resnet20", "--nodes", "2", *STILL)
        self.assertNotEqual(random["parameters_hash"], first["parameters_hash"])
        for given in (path, self.file):
            for nodes in (["--nodes", "2"], ["--nodes", "2", "--workers-per-node", "2", "--algorithm", "allreduce"]):
                summary = self.train("--model", "resnet20", "--init", given, *nodes, *STILL)
                self.assertEqual(summary["parameters_hash"], first["parameters_hash"])
        with open(os.path.join(self.output(), "config.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["options"]["init"], self.file)

    def test_statistics_of_batch_norm(self):
        path, _ = self.first("resnet20")
        tensors = read_tensors(path)
        dtype, shape, content = tensors["bn1.running_mean"]
        tensors["bn1.running_mean"] = (dtype, shape, struct.pack("<f", 1e4) * (len(content) // 4))
        write_tensors(self.file, tensors)
        self.train("--model", "resnet20", "--nodes", "1", "--init", self.file, "--batch-size", "64", *STILL)
        found = read_tensors(os.path.join(self.output(), "model.safetensors"))["bn1.running_mean"][2]
        for value in struct.unpack(f"<{len(found) // 4}f", found):
            self.assertTrue(abs(value - 9e3) < 50, value)  # one step moves them by a tenth

    def test_files_that_do_not_fit(self):
        path, _ = self.first("mlp")
        good = read_tensors(path)
        dtype, shape, content = good["fc2.weight"]
        not_finite = content[:400] + struct.pack("<f", math.nan) + content[404:]
        without = {name: tensor for name, tensor in good.items() if name != "fc2.bias"}
        for expected, tensors in (
                (["fc2.bias", "has no tensor"], without),
                (["fc4.weight", "none of the model's"], {**good, "fc4.weight": good["fc3.weight"]}),
                (["fc2.weight", "(256, 255)", "(256, 256)"],
                 {**good, "fc2.weight": (dtype, [256, 255], content[:256 * 255 * 4])}),
                (["fc2.weight", "F16", "F32"], {**good, "fc2.weight": ("F16", shape, content[:len(content) // 2])})):
            write_tensors(self.file, tensors)
            err = self.refused("train", "--data", self.data(), "--model", "mlp", "--init", self.file)
            for part in [self.file, *expected]:
                self.assertIn(part, err)
        self.assertIn("conv1.weight", self.refused("train", "--data", self.data(), "--model", "lenet", "--init", path))
        write_tensors(self.file, {**good, "fc2.weight": (dtype, shape, not_finite)})
        status, _, err = self.run_program("train", "--data", self.data(), "--model", "mlp", "--nodes", "1", "--init", self.file,
                                          "--output", self.output())
        self.assertEqual(status, 2, err)
        self.assertIn("tensor fc2.weight holds nan: must be finite", err)

    def test_files_that_are_none(self):
        path, _ = self.first("mlp")
        with open(path, "rb") as file:
            content = file.read()
        nowhere = os.path.join(self.folder, "nowhere")
        self.assertIn(nowhere, self.refused("train", "--data", self.data(), "--model", "mlp", "--init", nowhere))
        self.assertIn(self.folder, self.refused("train", "--data", self.data(), "--model", "mlp", "--init", self.folder))
        damaged = content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:]
        for wrong in (b"", b"PK\3\4" + bytes(1000), content[:-4], damaged):
            write(self.file, wrong)
            self.assertIn(self.file, self.refused("train", "--data", self.data(), "--model", "mlp", "--init", self.file))

    def test_nodes_with_different_files(self):
        path, _ = self.first("mlp")
        tensors = read_tensors(path)
        dtype, shape, content = tensors["fc3.bias"]
        write_tensors(self.file, {**tensors, "fc3.bias": (dtype, shape, content[:-4] + struct.pack("<f", 0.5))})
        nodes = [self.start("train", "--data", self.data(), "--output", self.output(str(rank)), "--nodes", "2", "--model", "mlp",
                            "--epochs", "1", "--init", file,
                            environment={"SGP_RANK": str(rank), "SGP_SIZE": "2", "SGP_RENDEZVOUS": self.runtime})
                 for rank, file in enumerate((path, self.file))]
        errors = [node.communicate(timeout=LIMIT)[1] for node in nodes]
        self.assertEqual([node.returncode for node in nodes], [2, 2], errors)
        self.assertIn("initial parameters is ", "".join(errors))

    def test_a_resumed_run_does_without_the_file(self):
        path, _ = self.first("mlp")
        write_tensors(self.file, read_tensors(path))
        whole = self.train(*RUN, "--init", self.file)
        self.kill_after(2, *self.new("--init", self.file))
        os.remove(self.file)
        summary, _ = self.resume()
        self.assert_same_run(summary, whole)


if __name__ == "__main__":
    unittest.main()
