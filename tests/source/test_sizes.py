# SPDX-License-Identifier: Apache-2.0
"""Files and functions are short, and a name names one thing: basenames and include guards."""
import re
import unittest
from collections import defaultdict

import tree

MOST_LINES = {"file": 600, "function": 50}
EXEMPT_NAMES = {"README.md", "CMakeLists.txt"}


class Sizes(unittest.TestCase):
    def test_no_file_is_long(self):
        wrong = []
        for path in tree.walk(*tree.SOURCES, "scripts", suffixes=(".c", ".h", ".py")):
            lines = len((tree.ROOT / path).read_text().splitlines())
            if lines > MOST_LINES["file"]:
                wrong.append(f"{path}: {lines} lines")
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_no_function_is_long(self):
        wrong = []
        for source in tree.Tree(*tree.SOURCES).files.values():
            wrong += [f"{source.path}:{function.first}: {function.name} has {function.lines} lines"
                      for function in source.functions if function.lines > MOST_LINES["function"]]
        self.assertFalse(wrong, "\n" + "\n".join(wrong))


class Names(unittest.TestCase):
    def test_basenames_are_unique(self):
        """A .c may share the stem of its own .h: beside it, or a public header."""
        names, stems = defaultdict(list), defaultdict(list)
        for folder in (*tree.SOURCES, "scripts", "cmake", "docs"):
            for path in (tree.ROOT / folder).rglob("*"):
                relative = path.relative_to(tree.ROOT)
                if not path.is_file() or "corpus" in relative.parts or "__pycache__" in relative.parts:
                    continue
                names[path.name].append(relative.as_posix())
                if path.suffix in (".c", ".h"):
                    stems[path.stem].append(relative)
        wrong = [" and ".join(sorted(paths)) for name, paths in names.items() if len(paths) > 1 and name not in EXEMPT_NAMES]
        for paths in stems.values():
            headers = [path for path in paths if path.suffix == ".h"]
            sources = [path for path in paths if path.suffix == ".c"]
            for header in headers:
                wrong += [f"{source} and {header}" for source in sources
                          if source.parent != header.parent and header.parts[0] != "include"]
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_include_guards_follow_the_path(self):
        wrong = []
        for path in tree.walk(*tree.SOURCES, suffixes=(".h",)):
            lines = (tree.ROOT / path).read_text().splitlines()
            parts = re.sub(r"^(src|include/sgp|tools/sgp)/", "", path)
            expected = "SGP_" + re.sub(r"\W", "_", parts).upper()
            found = next((line.split()[1] for line in lines if line.startswith("#ifndef")), None)
            if found != expected or f"#define {expected}" not in lines:
                wrong.append(f"{path}: {found} instead of {expected}")
        self.assertFalse(wrong, "\n" + "\n".join(wrong))


if __name__ == "__main__":
    unittest.main()
