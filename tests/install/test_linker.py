# SPDX-License-Identifier: Apache-2.0
"""An installation enters the library into the run-time linker's cache where the linker searches, and nowhere else."""

import os
import subprocess
import unittest

from stand_ins import LIMIT, SOURCE, InstallTest, write

SCRIPT = f"""
include({SOURCE}/cmake/SgpLinker.cmake)
sgp_linker_searches("$ENV{{FOLDER}}" searched)
message("searched: ${{searched}}")
sgp_update_linker("$ENV{{FOLDER}}")
"""
LDCONFIG = 'case "$*" in *-v*) printf "%s\\n" "/opt/known+here/lib: (from /etc/ld.so.conf:1)" ;; *) exit {} ;; esac'


class Linker(InstallTest):
    def setUp(self):
        super().setUp()
        write(self.path("script.cmake"), SCRIPT)
        self.ldconfig(0)

    def ldconfig(self, status):
        self.stand_in("ldconfig", LDCONFIG.format(status))

    def install_into(self, folder, destdir=""):
        """(whether the linker searches there, how often its cache was renewed, the output)"""
        environment = {**os.environ, "PATH": self.commands + ":" + os.environ["PATH"], "FOLDER": folder,
                       "DESTDIR": destdir}
        before = self.calls("ldconfig").count("ldconfig ")
        done = subprocess.run(["cmake", "-P", self.path("script.cmake")], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        renewed = self.calls("ldconfig").count("ldconfig ") - before
        return "searched: TRUE" in done.stdout, renewed, done.stdout

    def test_where_the_linker_searches_its_cache_is_renewed(self):
        for folder in ("/opt/known+here/lib", "/usr/lib", "/usr/lib/x86_64-linux-gnu"):
            with self.subTest(folder):
                self.assertEqual(self.install_into(folder)[:2], (True, 1))

    def test_elsewhere_nothing_is_done(self):
        for folder in ("/opt/known+here/lib64", "/opt/known", "/home/me/lib", "/opt/knownnnhere/lib"):
            with self.subTest(folder):
                self.assertEqual(self.install_into(folder)[:2], (False, 0))

    def test_a_staged_installation_leaves_the_system_alone(self):
        self.assertEqual(self.install_into("/usr/lib", destdir=self.path("stage"))[:2], (True, 0))

    def test_a_failure_is_a_warning(self):
        self.ldconfig(1)
        searched, renewed, said = self.install_into("/usr/lib")
        self.assertEqual((searched, renewed), (True, 1))
        self.assertIn("run it as root", said)


if __name__ == "__main__":
    unittest.main()
