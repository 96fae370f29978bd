# SPDX-License-Identifier: Apache-2.0
"""The residual networks agree with torch's in logits, loss, gradients and statistics; torch loads a run's model."""

import importlib.util
import os
import sys
import unittest

from support import ProgramTest

# Debian's torch belongs to Debian's Python, which need not be the first one.
DEBIAN = "/usr/bin/python3"
OTHER = os.path.exists(DEBIAN) and os.path.realpath(DEBIAN) != os.path.realpath(sys.executable)
if OTHER and not importlib.util.find_spec("torch"):
    os.execv(DEBIAN, [DEBIAN, "-B", *sys.argv])

try:
    import torch
    import torch_networks
except ImportError:
    torch = None

LIMITS = {"logits": 1e-4, "loss": 1e-5, "statistics": 1e-4, "gradients": 1e-4}  # of a tensor's norm


@unittest.skipUnless(torch, "torch is missing (Debian: python3-torch)")
class TorchNetworks(ProgramTest):
    def compare(self, name, side, batch, **options):
        found, margin = torch_networks.compare(name, side, batch, **options)
        self.assertGreater(margin, 5e-5)
        for part, (difference, where, _, _) in found.items():
            with self.subTest(name, part=part):
                self.assertLess(difference, LIMITS[part], where)

    def test_small_images(self):
        self.compare("resnet20", 16, 4, classes=10, smoothing=0.0)
        self.compare("resnet56", 16, 4, channels=4, classes=100)

    def test_basic_blocks(self):
        self.compare("resnet18", 64, 4)

    def test_bottlenecks(self):
        self.compare("resnet50", 64, 4)

    def test_own_definition_has_the_names_of_torchvision(self):
        if not torch_networks.torchvision:
            self.skipTest("torchvision is missing (PyPI)")
        for name in torch_networks.LARGE:
            ours, theirs = (build(name, 3, 1000).state_dict() for build in (torch_networks.own, torch_networks.build))
            self.assertEqual(*({key: value.shape for key, value in state.items()} for state in (ours, theirs)))

    def test_torch_loads_the_model_of_a_run(self):
        """With strict=True. torch adds num_batches_tracked, 0, to a state dict without it."""
        self.train("--model", "resnet18", "--nodes", "2", "--epochs", "1", "--limit-samples", "64")
        state = torch_networks.read_safetensors(os.path.join(self.output(), "model.safetensors"))
        net = torch_networks.own("resnet18", 1, 10)
        net.load_state_dict(state, strict=True)
        for key, value in net.state_dict().items():
            self.assertTrue(value.equal(state[key]) if key in state else key.endswith("num_batches_tracked"), key)
        self.assertEqual(net.bn1.num_batches_tracked, 0)

    def test_a_run_starts_from_a_state_dict(self):
        torch.manual_seed(3)
        net = torch_networks.own("resnet18", 1, 10)
        path = os.path.join(self.folder, "state.safetensors")
        torch_networks.write_safetensors(path, net.state_dict())
        self.train("--model", "resnet18", "--nodes", "1", "--epochs", "1", "--limit-samples", "32", "--lr", "1e-300",
                   "--weight-decay", "0", "--init", path)
        found = torch_networks.read_safetensors(os.path.join(self.output(), "model.safetensors"))
        for name, parameter in net.named_parameters():
            self.assertTrue(found[name].equal(parameter), name)


if __name__ == "__main__":
    unittest.main()
