# SPDX-License-Identifier: Apache-2.0
"""agree, model checked: it holds, and each rejected rule has a counterexample. And check_model.py reports a search that was cut short."""
import os
import unittest
from unittest import mock

import check_model


@unittest.skipIf(check_model.why_not(), check_model.why_not())
class Agree(unittest.TestCase):
    def test_a_search_cut_short_is_no_success(self):
        wanted = check_model.Search("short", "agree", ["NODES=4"], None, False)
        run = check_model._run
        for limit in ("-m5", "-m12"):
            with self.subTest(limit), mock.patch.object(check_model, "_run", lambda command, folder: run(
                    [limit if part == "-m10000" else part for part in command], folder)):
                with self.assertRaisesRegex(check_model.Failure, "max search depth too small"):
                    check_model.search(wanted)
        with mock.patch.object(check_model, "_run", lambda command, folder: run(
                ["-DMEMLIM=12" if part.startswith("-DMEMLIM") else part for part in command], folder)):
            with self.assertRaisesRegex(check_model.Failure, "MEMLIM|memory"):
                check_model.search(wanted)


check_model.add_tests(Agree, "agree")

if __name__ == "__main__":
    unittest.main()
