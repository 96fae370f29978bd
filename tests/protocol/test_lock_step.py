# SPDX-License-Identifier: Apache-2.0
"""The waiting rule of the lock step, model checked: it holds, and each rejected rule has a counterexample."""
import unittest

import check_model


@unittest.skipIf(check_model.why_not(), check_model.why_not())
class LockStep(unittest.TestCase):
    pass


check_model.add_tests(LockStep, "lock_step")

if __name__ == "__main__":
    unittest.main()
