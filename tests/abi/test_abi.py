# SPDX-License-Identifier: Apache-2.0
"""The library's border does not move unnoticed: exported symbols and the layout of public structs are as checked in.

A version adds symbols, enumerators, and fields at the end of a struct. After such a change:
    SGP_UPDATE_ABI=1 ctest --test-dir build -R abi/abi
and the difference of symbols.txt and layouts.txt belongs into the commit."""

import os
import re
import subprocess
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))


def run(*arguments):
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


def exported(library):
    """name@version of every symbol that the shared library defines for others"""
    lines = run("nm", "-D", "--defined-only", library).split("\n")
    names = [line.split()[2] for line in lines if line]
    return sorted(name for name in names if not name.startswith(("SGP_", "_")))


def declared():
    """The functions that the public headers declare as exported."""
    names = set()
    folder = os.path.join(SOURCE, "include", "sgp")
    for header in os.listdir(folder):
        with open(os.path.join(folder, header), encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
        names.update(re.findall(r"\bSGP_API [\w *]*?(sgp_\w+)\(", text))
    return names


class Abi(unittest.TestCase):
    def compare(self, name, text):
        path = os.path.join(HERE, name)
        if os.environ.get("SGP_UPDATE_ABI"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read().split("\n"), text.split("\n"))

    def test_exported_symbols(self):
        self.compare("symbols.txt", "\n".join(exported(os.environ["SGP_LIBRARY"])) + "\n")

    def test_the_headers_declare_just_these(self):
        names = {symbol.split("@")[0] for symbol in exported(os.environ["SGP_LIBRARY"])}
        self.assertEqual(names, declared())

    @unittest.skipIf(os.uname().machine not in ("x86_64", "aarch64"), "the list is for 64-bit machines")
    def test_layouts(self):
        self.compare("layouts.txt", run(os.environ["SGP_LAYOUTS"]))


if __name__ == "__main__":
    unittest.main()
