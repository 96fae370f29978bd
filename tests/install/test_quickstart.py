# SPDX-License-Identifier: Apache-2.0
"""./quickstart shows one line for each stage, and the end of the log after a failure. Stand-ins replace
apt and cmake."""

import os
import pty
import re
import shutil
import subprocess
import unittest

from stand_ins import LIMIT, SOURCE, InstallTest, read, write

STAGES = ("packages", "configure", "build")
NOISE = "i=0; while [ $i -lt 100 ]; do i=$((i + 1)); echo noise $i; done"
PROGRAM = "#!/bin/sh\necho played: $1\n"


class Quickstart(InstallTest):
    def setUp(self):
        super().setUp()
        self.tree = self.path("tree")
        os.mkdir(self.tree)
        shutil.copy(os.path.join(SOURCE, "quickstart"), self.tree)
        write(os.path.join(self.tree, "program"), PROGRAM)
        self.link("sh", "dirname", "date", "tail", "mkdir", "cp", "chmod")
        self.stand_in("apt-get")
        self.packages(NOISE)
        self.cmake("")

    def packages(self, script):
        path = os.path.join(self.tree, "scripts", "install-packages")
        write(path, f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o755)

    def cmake(self, building):
        """Both stages are noisy; the build makes the program."""
        self.stand_in("cmake", f"""{NOISE}
            [ "$1" = --build ] || exit 0
            {building}
            mkdir -p build/tools/sgp && cp program build/tools/sgp/sgp && chmod +x build/tools/sgp/sgp""")

    def quickstart(self):
        return self.run_alone(os.path.join(self.tree, "quickstart"))

    def log(self):
        return read(os.path.join(self.tree, "build", "quickstart.log"))

    def assert_stages(self, lines):
        for name, line in zip(STAGES, lines):
            self.assertRegex(line, rf"^{name} \.\.\. \d+ s$")
        self.assertEqual(lines[3], "")
        self.assertTrue(lines[4].startswith("sgp train "), lines[4])
        self.assertEqual([line for line in lines if line.startswith("played")],
                         ["played: train", "played: train", "played: table"])

    def assert_failed(self, stage, result):
        status, out, err = result
        self.assertEqual(status, 1)
        self.assertEqual(out.splitlines()[-1], f"{stage} ... failed")
        lines = err.splitlines()
        self.assertIn(f"{stage} failed", lines[0])
        self.assertIn("build/quickstart.log", lines[0])
        self.assertEqual(lines[-1], "the reason")
        self.assertLess(len(lines), 30)
        self.assertNotIn("played", out)
        self.assertIn("noise 1\n", self.log())

    def test_one_line_for_each_stage_and_the_rest_in_the_log(self):
        status, out, err = self.quickstart()
        self.assertEqual((status, err), (0, ""))
        self.assert_stages(out.splitlines())
        self.assertEqual(self.log().count("noise 100\n"), 3)

    def test_the_same_on_a_terminal(self):
        controller, terminal = pty.openpty()
        with subprocess.Popen([os.path.join(self.tree, "quickstart")], stdin=terminal, stdout=terminal,
                              stderr=terminal, env={"PATH": self.commands}) as process:
            os.close(terminal)
            shown = b""
            try:
                while part := os.read(controller, 4096):
                    shown += part
            except OSError: # the terminal's other side has ended
                pass
            self.assertEqual(process.wait(LIMIT), 0)
        os.close(controller)
        self.assert_stages(shown.decode().replace("\r\n", "\n").splitlines())

    def test_a_log_is_of_one_run(self):
        self.quickstart()
        self.quickstart()
        self.assertEqual(self.log().count("noise 100\n"), 3)

    def test_packages_that_cannot_be_installed_end_it(self):
        self.packages(f"{NOISE}; echo the reason >&2; exit 1")
        self.assert_failed("packages", self.quickstart())

    def test_a_build_that_fails_ends_it(self):
        self.cmake("echo the reason; exit 1")
        self.assert_failed("build", self.quickstart())

    def test_without_apt_it_says_what_is_needed(self):
        os.remove(os.path.join(self.commands, "apt-get"))
        self.packages("echo what is needed >&2")
        status, _, err = self.quickstart()
        self.assertEqual((status, err), (0, "what is needed\n"))

    def test_everything_is_built_that_an_installation_wants(self):
        self.quickstart()
        self.assertEqual(self.calls("cmake")[-1], "cmake --build build")

    def test_a_build_that_is_there_keeps_its_options_and_searches_again(self):
        write(os.path.join(self.tree, "build", "CMakeCache.txt"), "")
        self.quickstart()
        self.assertEqual(self.calls("cmake")[0], "cmake -S . -B build")

    def test_the_readme_shows_the_stages(self):
        shown = re.findall(r"^(\w+) \.\.\. \d+ s$", read(os.path.join(SOURCE, "README.md")), re.M)
        self.assertEqual(shown, list(STAGES))


if __name__ == "__main__":
    unittest.main()
