# SPDX-License-Identifier: Apache-2.0
"""A folder of commands that is the whole PATH of a test: stand-ins, and links to the real ones."""

import os
import shutil
import subprocess
import tempfile
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT = 120


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class InstallTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="sgp-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.commands = self.path("commands")
        os.mkdir(self.commands)
        self.calls_file = self.path("calls")
        write(self.calls_file, "")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def link(self, *names):
        for name in names:
            os.symlink(shutil.which(name), os.path.join(self.commands, name))

    def stand_in(self, name, script=""):
        """A command that records its arguments, and then runs the script."""
        path = os.path.join(self.commands, name)
        write(path, f'#!/bin/sh\necho "{name} $*" >>"{self.calls_file}"\n{script}\n')
        os.chmod(path, 0o755)

    def calls(self, name):
        return [line for line in read(self.calls_file).splitlines() if line.startswith(name + " ")]

    def run_alone(self, *command, **options):
        """Runs a command whose PATH has these commands alone. Returns (exit status, standard output, standard error)."""
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=LIMIT, env={"PATH": self.commands}, check=False, **options)
        return done.returncode, done.stdout, done.stderr
