# SPDX-License-Identifier: Apache-2.0
"""sgp model: known sizes of known networks, and the images that are described."""

import json
import re
import unittest

from support import ProgramTest

# Parameters and 1e9 multiply-adds at 224 x 224: the metadata of torchvision's weights ("num_params", "_ops").
KNOWN = {"resnet18": (11689512, 1.814), "resnet34": (21797672, 3.664), "resnet50": (25557032, 4.089),
         "resnet101": (44549160, 7.801)}


class Model(ProgramTest):
    def describe(self, *arguments):
        status, out, err = self.run_program("model", *arguments, "--json")
        self.assertEqual((status, err), (0, ""))
        return json.loads(out)

    def text(self, *arguments):
        status, out, err = self.run_program("model", *arguments)
        self.assertEqual((status, err), (0, ""))
        return out

    def test_known_networks(self):
        for name, (parameters, work) in KNOWN.items():
            found = self.describe("--model", name, "--batch-size", "1")
            self.assertEqual((found["height"], found["width"], found["channels"], found["classes"]), (224, 224, 3, 1000))
            self.assertEqual(found["parameters"], parameters)
            self.assertAlmostEqual(found["multiply_adds"] / 1e9, work, delta=0.0006)
            self.assertEqual(sum(layer["parameters"] for layer in found["layers"]), parameters)
            self.assertEqual(sum(layer["multiply_adds"] for layer in found["layers"]), found["multiply_adds"])
            first = found["layers"][0]["multiply_adds"]
            self.assertEqual(found["training_multiply_adds"], 3 * found["multiply_adds"] - first)

    def test_text_and_json_agree(self):
        arguments = ["--model", "resnet50", "--image-size", "64", "--classes", "10", "--batch-size", "4"]
        found, out = self.describe(*arguments), self.text(*arguments)
        self.assertIn("resnet50, for images of 3 x 64 x 64 in 10 classes", out)
        for layer in found["layers"]:
            shape = " x ".join(map(str, layer["output"]))
            self.assertRegex(out, rf"(?m)^{re.escape(layer['name'])} +{shape}( +{layer['parameters'] or ''}|$)")
        self.assertRegex(out, rf"(?m)^parameters +{found['parameters']} in {found['tensors']} tensors, "
                              rf"and {found['statistics']} batch-norm statistics$")
        parts = found["memory_bytes"]
        self.assertEqual(set(parts), {"activations", "gradients", "weights", "scratchpad", "vectors"})
        self.assertRegex(out, rf"(?m)^memory +{sum(parts.values()) / 1e6:.1f} MB at batch size 4$")
        self.assertGreater(parts["activations"], 2 * 4 * 64 * 32 * 32 * 4)
        self.assertEqual(parts["vectors"], 4 * (4 * found["parameters"] + 2 * found["statistics"]))

    def test_memory_grows_with_the_batch(self):
        one, two = (self.describe("--model", "resnet18", "--image-size", "64", "--batch-size", size)["memory_bytes"]
                    for size in ("8", "16"))
        self.assertAlmostEqual(two["activations"] / one["activations"], 2, delta=0.2)
        self.assertEqual(two["vectors"], one["vectors"])

    def test_images_of_a_data_set(self):
        found = self.describe("--model", "resnet20", "--data", self.data())
        self.assertEqual((found["height"], found["width"], found["channels"], found["classes"]), (28, 28, 1, 10))
        self.assertIn("for the images of " + self.data(), self.text("--model", "mlp", "--data", self.data()))

    def test_any_number_of_channels(self):
        for channels in (1, 3, 4, 7):
            for name in ("resnet20", "resnet18"):
                found = self.describe("--model", name, "--channels", str(channels), "--image-size", "32")
                kernel, width = (9, 16) if name == "resnet20" else (49, 64)
                self.assertEqual(found["layers"][0]["parameters"], kernel * width * channels)

    def test_mistakes(self):
        for name in ("image-size", "channels", "classes"):
            self.assertIn("--" + name, self.refused("model", "--data", self.data(), "--" + name, "32"))
        self.assertIn("--classes 1", self.refused("model", "--classes", "1"))
        self.assertIn("--image-size 0", self.refused("model", "--image-size", "0"))
        self.assertIn("pool2", self.refused("model", "--model", "lenet", "--image-size", "3"))
        self.assertIn("nosuch", self.refused("model", "--data", "nosuch"))


if __name__ == "__main__":
    unittest.main()
