# SPDX-License-Identifier: Apache-2.0
"""scripts/build-wheel names what is missing or failed, and leaves nothing behind. Stand-ins replace the tools: without the
network no wheel is built here (scripts/try-wheel builds and tries one)."""

import os
import unittest

from stand_ins import SOURCE, InstallTest, write

SCRIPT = os.path.join(SOURCE, "scripts", "build-wheel")
VENV = 'case "$*" in "-m venv "*) mkdir -p "$3/bin" && cp "$0.pip" "$3/bin/pip" ;; esac'


class BuildWheel(InstallTest):
    def setUp(self):
        super().setUp()
        self.link("sh", "dirname", "mkdir", "mktemp", "rm", "tail", "cp")
        for name in ("cmake", "ninja", "cc", "pkg-config", "dpkg-query", "ldd"):
            self.stand_in(name)
        self.stand_in("python3", VENV)
        self.pip("echo no route >&2; exit 1")
        os.mkdir(self.path("temporary"))

    def pip(self, script):
        write(self.path("commands", "python3.pip"), f"#!/bin/sh\n{script}\n")
        os.chmod(self.path("commands", "python3.pip"), 0o755)

    def build(self, *arguments):
        arguments = arguments or (self.path("out"),)
        return self.run_alone("sh", "-c", 'TMPDIR=$1; export TMPDIR; shift; exec "$@"', "sh", self.path("temporary"),
                              SCRIPT, *arguments)

    def assert_failed(self, result, status, *parts):
        self.assertEqual(result[0], status)
        last = result[2].splitlines()[-1]
        self.assertTrue(last.startswith("build-wheel: "), last)
        for part in parts:
            self.assertIn(part, last)
        self.assertEqual(os.listdir(self.path("temporary")), [])

    def test_a_wrong_command_line_is_refused(self):
        self.assert_failed(self.build("--fast"), 2, "--fast", "usage")
        self.assert_failed(self.build("here", "there"), 2, "usage")

    def test_a_missing_tool_is_named_with_the_remedy(self):
        for name in ("cmake", "pkg-config"):
            os.rename(self.path("commands", name), self.path(name))
            self.assert_failed(self.build(), 1, name, "scripts/install-packages python")
            os.rename(self.path(name), self.path("commands", name))

    def test_a_python_without_venv_is_named_with_the_remedy(self):
        self.stand_in("python3", "exit 1")
        self.assert_failed(self.build(), 1, self.path("commands", "python3"), "venv", "scripts/install-packages python")

    def test_what_failed_is_named_below_the_end_of_its_output(self):
        result = self.build()
        self.assert_failed(result, 1, "fetching the tools from PyPI failed")
        self.assertIn("no route\n", result[2])
        self.pip('[ "$1" = install ] || { echo no compiler >&2; exit 1; }')
        result = self.build()
        self.assert_failed(result, 1, "building failed")
        self.assertIn("no compiler\n", result[2])
        self.assertEqual(os.listdir(self.path("out")), [])


if __name__ == "__main__":
    unittest.main()
