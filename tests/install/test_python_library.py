# SPDX-License-Identifier: Apache-2.0
"""The part of the wheel of sgp_torch that needs no tools from PyPI: python/CMakeLists.txt builds and installs libsgp alone,
and python/pyproject.toml finds its version."""

import ctypes
import os
import re
import shutil
import subprocess
import unittest

from stand_ins import LIMIT, SOURCE, InstallTest, read


def project_version():
    return re.search(r"^project\(sgp VERSION ([0-9.]+)", read(os.path.join(SOURCE, "CMakeLists.txt")), re.M).group(1)


class PythonLibrary(InstallTest):
    def cmake(self, *arguments):
        done = subprocess.run(["cmake", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False)
        return done.returncode, done.stdout

    def configure(self, source):
        return self.cmake("-S", source, "-B", self.path("build"), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")

    def assert_done(self, result):
        self.assertEqual(result[0], 0, result[1])

    def test_the_shared_library_alone_is_built_and_installed(self):
        self.assert_done(self.configure(os.path.join(SOURCE, "python")))
        self.assert_done(self.cmake("--build", self.path("build")))
        self.assert_done(self.cmake("--install", self.path("build"), "--prefix", self.path("wheel")))
        files = [os.path.join(folder, name) for folder, _, names in os.walk(self.path("wheel")) for name in names]
        library = self.path("wheel", "sgp_torch", "lib", "libsgp.so")
        self.assertEqual(files, [library])
        self.assertFalse(os.path.islink(library))
        loaded = ctypes.CDLL(library)
        loaded.sgp_version.restype = ctypes.c_char_p
        self.assertEqual(loaded.sgp_version().decode(), project_version())
        built = [name for _, _, names in os.walk(self.path("build")) for name in names if re.search(r"\.(so|a)\b", name)]
        self.assertEqual(built, ["libsgp.so"])

    def test_away_from_the_sources_it_says_where_to_build(self):
        shutil.copytree(os.path.join(SOURCE, "python"), self.path("alone", "python"))
        status, said = self.configure(self.path("alone", "python"))
        self.assertNotEqual(status, 0)
        self.assertIn("a checkout", " ".join(said.split()))

    def test_the_version_of_the_wheel_is_that_of_the_library(self):
        settings = read(os.path.join(SOURCE, "python", "pyproject.toml"))
        expression = re.search(r"^regex = '(.*)'$", settings, re.M).group(1)
        self.assertIn('\ninput = "../CMakeLists.txt"\n', settings)
        found = re.search(expression, read(os.path.join(SOURCE, "CMakeLists.txt")))
        self.assertEqual(found.group("value"), project_version())


if __name__ == "__main__":
    unittest.main()
