# SPDX-License-Identifier: Apache-2.0
"""--precision: bfloat16 where the CPU has it, and what a CPU without it does. ONEDNN_MAX_CPU_ISA makes any CPU one without."""

import unittest

from support import ProgramTest

WITHOUT = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
RUN = ["--model", "lenet", "--nodes", "2", "--epochs", "1", "--quiet"]


def cpu_has_it():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        return any(line.startswith("flags") and "avx512_bf16" in line.split() for line in file)


class Precision(ProgramTest):
    def hash_of(self, precision, environment=None):
        return self.train(*RUN, "--precision", precision, environment=environment)["parameters_hash"]

    def test_a_cpu_without_it(self):
        """auto is float32 there, to the bit; bfloat16 is refused in one line that says what to do."""
        self.assertEqual(self.hash_of("auto", WITHOUT), self.hash_of("float32", WITHOUT))
        said = self.refused("train", "--data", self.data(), *RUN, "--precision", "bfloat16", environment=WITHOUT)
        for word in ("avx512_bf16", "float32", "auto"):
            self.assertIn(word, said)

    @unittest.skipUnless(cpu_has_it(), "this CPU has no avx512_bf16")
    def test_a_cpu_that_has_it(self):
        """auto is bfloat16 there, to the bit, and what comes out is not float32's."""
        half = self.hash_of("bfloat16")
        self.assertEqual(self.hash_of("auto"), half)
        self.assertNotEqual(self.hash_of("float32"), half)

    def test_the_names(self):
        self.assertIn("float32, bfloat16, auto", self.refused("train", "--data", self.data(), *RUN, "--precision", "float16"))


if __name__ == "__main__":
    unittest.main()
