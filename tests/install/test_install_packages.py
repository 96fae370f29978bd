# SPDX-License-Identifier: Apache-2.0
"""scripts/install-packages installs missing packages and no others, and names the remedy when it cannot."""

import os
import unittest

from stand_ins import SOURCE, InstallTest

SCRIPT = os.path.join(SOURCE, "scripts", "install-packages")
COMMANDS = ("gcc", "cmake", "ninja", "pkg-config", "gnuplot")
LIBRARIES = ("libc6-dev", "libmicrohttpd-dev", "libdnnl-dev", "libxxhash-dev", "libuv1-dev", "libsodium-dev", "libssl-dev", "libjansson-dev", "zlib1g-dev",
             "libjpeg62-turbo-dev", "libpng-dev", "dataset-fashion-mnist")


class InstallPackages(InstallTest):
    def setUp(self):
        super().setUp()
        self.link("sh", "env")
        for name in COMMANDS:
            self.stand_in(name)
        self.stand_in("apt-get")
        self.stand_in("id", "echo 0")
        self.have(*LIBRARIES)

    def have(self, *packages):
        self.stand_in("dpkg-query", "\n".join(f"echo ' {package} ii  '" for package in packages))

    def install(self, *sets):
        return self.run_alone("sh", SCRIPT, *sets)

    def assert_last_line(self, err, *parts):
        last = err.splitlines()[-1]
        self.assertTrue(last.startswith("install-packages: "), last)
        for part in parts:
            self.assertIn(part, last)

    def test_nothing_is_done_when_all_is_there(self):
        self.assertEqual(self.install(), (0, "", ""))
        self.assertEqual(self.calls("apt-get"), [])

    def test_only_what_is_missing_is_installed(self):
        self.have(*LIBRARIES[1:])
        os.remove(os.path.join(self.commands, "ninja"))
        self.assertEqual(self.install("build")[0], 0)
        self.assertTrue(self.calls("apt-get")[-1].endswith("--no-install-recommends libc6-dev ninja-build"))

    def test_optional_parts_are_sets_of_their_own(self):
        for name, package in (("simulate", "libsimgrid-dev"), ("mpi", "libopenmpi-dev"), ("package", "dpkg-dev")):
            with self.subTest(name):
                self.assertEqual(self.install(name)[0], 0)
                self.assertIn(package, self.calls("apt-get")[-1].split())

    def test_the_wheel_needs_the_library_and_not_the_program(self):
        self.have()
        os.remove(os.path.join(self.commands, "cmake"))
        self.assertEqual(self.install("python")[0], 0)
        wanted = self.calls("apt-get")[-1].split()
        for package in ("cmake", "libuv1-dev", "libsodium-dev", "libxxhash-dev", "libpmix-dev", "python3-venv"):
            self.assertIn(package, wanted)
        for package in ("libmicrohttpd-dev", "libdnnl-dev", "libjansson-dev", "dataset-fashion-mnist", "gnuplot-nox", "python3-torch"):
            self.assertNotIn(package, wanted)

    def test_the_check_has_a_torch_to_test_with(self):
        self.assertEqual(self.install("check")[0], 0)
        wanted = self.calls("apt-get")[-1].split()
        self.assertIn("python3-torch", wanted)
        self.assertIn("python3-pytest", wanted)

    def test_sudo_is_used_where_one_is_not_root(self):
        self.have()
        self.stand_in("id", "echo 1000")
        self.stand_in("sudo", '"$@"')
        self.assertEqual(self.install()[0], 0)
        self.assertEqual(len(self.calls("sudo")), 2)
        self.assertIn("libuv1-dev", self.calls("apt-get")[-1])

    def test_neither_root_nor_sudo_says_what_to_install(self):
        self.have()
        self.stand_in("id", "echo 1000")
        status, _, err = self.install()
        self.assertEqual(status, 1)
        self.assert_last_line(err, "as root: apt-get install", "libuv1-dev")
        self.assertEqual(self.calls("apt-get"), [])

    def test_apt_that_fails_says_what_to_check(self):
        self.have()
        self.stand_in("apt-get", "exit 100")
        status, _, err = self.install()
        self.assertEqual(status, 1)
        self.assert_last_line(err, "network", "/etc/apt", "libuv1-dev")

    def test_an_unknown_set_is_named(self):
        status, _, err = self.install("everything")
        self.assertEqual(status, 2)
        self.assert_last_line(err, "everything", "simulate")


if __name__ == "__main__":
    unittest.main()
