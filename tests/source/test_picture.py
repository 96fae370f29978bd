# SPDX-License-Identifier: Apache-2.0
"""docs/rooms.svg shows the includes of this tree, and the pages of docs/ name files that exist."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

import tree


class Picture(unittest.TestCase):
    def test_picture_is_current(self):
        with tempfile.TemporaryDirectory() as folder:
            drawn = os.path.join(folder, "rooms.svg")
            subprocess.run([sys.executable, "-B", tree.ROOT / "scripts" / "draw-rooms", drawn], check=True, timeout=60)
            with open(drawn) as file:
                self.assertEqual((tree.ROOT / "docs" / "rooms.svg").read_text(), file.read(), "run scripts/draw-rooms")


class Pages(unittest.TestCase):
    def test_files_that_the_pages_name_exist(self):
        """`src/...`, `tests/...` and the like in back quotes, whole or without the suffix, and links between pages."""
        wrong = []
        for page in [*sorted((tree.ROOT / "docs").glob("*.md")), tree.ROOT / "README.md", tree.ROOT / "CONTRIBUTING.md"]:
            text = page.read_text()
            names = re.findall(r"`((?:src|tools|include|tests|scripts|bench|examples|cmake)/[\w/.-]+)`", text)
            missing = [name for name in names if not (tree.ROOT / name).exists()]
            links = [link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) if not (page.parent / link).exists()]
            wrong += [f"{page.name}: {name}" for name in missing + links]
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_links_to_sections_exist(self):
        wrong = []
        pages = [*sorted((tree.ROOT / "docs").glob("*.md")), tree.ROOT / "README.md", tree.ROOT / "CONTRIBUTING.md"]
        for page in pages:
            for file, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
                target = (page.parent / file).resolve() if file else page
                if target.suffix == ".md" and anchor not in anchors(target):
                    wrong.append(f"{page.name}: {file}#{anchor}")
        self.assertFalse(wrong, "\n" + "\n".join(wrong))


def anchors(page):
    """Of its headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.M):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.strip().replace(" ", "-"))
    return found


if __name__ == "__main__":
    unittest.main()
