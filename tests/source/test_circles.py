# SPDX-License-Identifier: Apache-2.0
"""No circle between modules. A module is a .c file with the .h beside it, or the main header of a room (tree.HEADERS). It
needs another module if it includes its header or names one of its functions."""
import unittest
from collections import defaultdict

import tree

# Circles that stay: frozenset of the modules: (file, words of its comment that defend the circle).
DEFENDED = {}


def edges_of(source_tree):
    """({module: set of modules}, {(module, module): the first reason})."""
    edges, reasons = defaultdict(set), {}

    def add(path, line, target, reason):
        above, below = tree.module_of(path), tree.module_of(target)
        if above != below:
            edges[above].add(below)
            reasons.setdefault((above, below), f"{path}:{line}: {reason}")

    for source in source_tree.files.values():
        for line, target in source.includes:
            add(source.path, line, target, f"includes {target}")
    for path, line, function, target in source_tree.calls():
        add(path, line, target, f"{function} of {target}")
    return edges, reasons


class Circles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.edges, cls.reasons = edges_of(tree.Tree("include", "src", "tools"))

    def test_no_circles(self):
        wrong = []
        for members in tree.circles(self.edges):
            if frozenset(members) in DEFENDED:
                continue
            wrong.append("a circle of " + ", ".join(sorted(members)))
            wrong += ["    " + self.reasons[above, below]
                      for above in sorted(members) for below in sorted(self.edges[above] & members)]
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_defended_circles_exist_and_their_comments_too(self):
        found = {frozenset(members) for members in tree.circles(self.edges)}
        for members, (path, words) in DEFENDED.items():
            self.assertIn(members, found, "this circle is gone: remove it from DEFENDED")
            text = " ".join((tree.ROOT / path).read_text().replace("*", " ").split())
            self.assertIn(words, text, f"{path} no longer defends the circle")


class Finder(unittest.TestCase):
    """The search itself."""

    def test_finds_circles_alone(self):
        edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"d"}}
        self.assertEqual(tree.circles(edges), [{"a", "b", "c"}])

    def test_reads_functions(self):
        code = "static int\nadd(int a,\n    int b) {\n    return a + b;\n}\nint x = f(1);\nvoid g(void);\nvoid h(void) {\n}\n"
        found = [(f.name, f.first, f.last, f.static) for f in tree.functions(code)]
        self.assertEqual(found, [("add", 1, 5, True), ("h", 8, 9, False)])

    def test_knows_variables(self):
        self.assertEqual(tree.variables("void f(bool end, char *text);\nreturn stop;\nint x = stop;"), {"end", "text", "x"})

    def test_blanks_comments_and_strings(self):
        self.assertEqual(tree.without_comments('a /* b\nc */ "d"; // e').split(), ["a", ";"])


if __name__ == "__main__":
    unittest.main()
