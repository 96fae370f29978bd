# SPDX-License-Identifier: Apache-2.0
"""Optional libraries may come and go between two configurations of a build; each configuration finds those present."""

import os
import shutil
import subprocess
import unittest

from stand_ins import LIMIT, SOURCE, InstallTest, write

# The system's folders are not searched: the test decides whether SimGrid, MPI and libmicrohttpd are found.
PROJECT = f"""
cmake_minimum_required(VERSION 3.25)
project(searches LANGUAGES C)
set(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH OFF)
set(CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH OFF)
set(CMAKE_FIND_USE_CMAKE_ENVIRONMENT_PATH OFF)
include(GNUInstallDirs)
add_library(sgp_flags INTERFACE)
include({SOURCE}/cmake/SgpMpi.cmake)
include({SOURCE}/cmake/SgpSimgrid.cmake)
include({SOURCE}/cmake/SgpStatus.cmake)
"""
MPICC = """#!/bin/sh
case $1 in
-show) echo cc -lmpi ;;
*) echo '#define MPI_VERSION 3'; echo '#define OMPI_MAJOR_VERSION 4' ;;
esac
"""


class FoundLater(InstallTest):
    def setUp(self):
        super().setUp()
        write(self.path("project", "CMakeLists.txt"), PROJECT)
        os.symlink(os.path.join(SOURCE, "src"), self.path("project", "src"))
        self.prefix = self.path("prefix")

    def configure(self):
        """The lines of the configuration about MPI, SimGrid and libmicrohttpd."""
        done = subprocess.run(
            ["cmake", "-S", self.path("project"), "-B", self.path("build"), f"-DCMAKE_PREFIX_PATH={self.prefix}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT,
            check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return [line for line in done.stdout.splitlines() if "Transport" in line or "Status server" in line]

    def assert_found(self, found):
        mpi, simulated, status = self.configure()
        if found:
            self.assertIn("openmpi", mpi)
            self.assertIn("libsimgrid.so", simulated)
            self.assertIn("libmicrohttpd.so", status)
        else:
            self.assertIn("left out", mpi)
            self.assertIn("left out", simulated)
            self.assertIn("left out", status)

    def install(self):
        write(os.path.join(self.prefix, "include", "simgrid", "engine.h"), "")
        write(os.path.join(self.prefix, "lib", "libsimgrid.so"), "")
        write(os.path.join(self.prefix, "include", "microhttpd.h"), "")
        write(os.path.join(self.prefix, "lib", "libmicrohttpd.so"), "")
        compiler = os.path.join(self.prefix, "bin", "mpicc.openmpi")
        write(compiler, MPICC)
        os.chmod(compiler, 0o755)

    def test_what_is_installed_later_is_found(self):
        self.assert_found(False)
        self.install()
        self.assert_found(True)

    def test_what_is_removed_is_left_out(self):
        self.install()
        self.assert_found(True)
        shutil.rmtree(self.prefix)
        self.assert_found(False)

    def test_what_moves_is_found_again(self):
        self.install()
        self.assert_found(True)
        moved = self.path("elsewhere")
        os.rename(self.prefix, moved)
        self.prefix = moved
        self.assert_found(True)


if __name__ == "__main__":
    unittest.main()
