# SPDX-License-Identifier: Apache-2.0
"""The house (CONTRIBUTING.md, "Layers") holds: rooms include downwards only, each room's header says what the room is,
the averaging knows no socket, and no room knows what it must not."""
import re
import unittest
from collections import defaultdict

import tree

# Within src/transport: every way of carrying messages may use slots, and all of them the contract; `simulated`, `mpi`
# and `loopback` stand alone, and tcp reaches the processes of its own machine through shm.
TRANSPORTS = {
    "src/transport": set(),
    "src/transport/slots": set(),
    "src/transport/shm": {"src/transport/slots"},
    "src/transport/tcp": {"src/transport/slots", "src/transport/shm"},
    "src/transport/mpi": set(),
    "src/transport/loopback": set(),
    "src/transport/simulated": set(),
}

# room: what it must not know, although it lies below; directly or through other headers.
UNKNOWN = {
    "src/mixing": ["src/net/", "src/wire/handshake", "src/transport/tcp/", "src/model/", "src/data/"],
    "src/graph": ["src/net/", "src/wire/handshake", "src/transport/"],
    "src/optimizer": ["src/net/", "src/wire/", "src/transport/", "src/group/"],
    "src/codec": ["src/net/", "src/wire/", "src/transport/"],
    "src/model": ["src/mixing/", "src/group/", "src/graph/", "src/transport/", "src/wire/", "src/net/"],
    "src/data": ["src/mixing/", "src/group/", "src/graph/", "src/transport/", "src/wire/", "src/net/"],
    "src/files": ["src/run/", "src/mixing/", "src/group/", "src/transport/", "src/net/"],
    "src/wire": ["src/net/"],
}
NO_SOCKET = ["src/mixing", "src/graph", "src/optimizer", "src/codec"]
SOCKETS = re.compile(r"sys/socket\.h|netinet/|arpa/inet\.h|netdb\.h|sys/un\.h|net/if\.h|uv\.h|poll\.h")


def shortest(chains):
    """Of the chains that end in the same include the shortest, with the number of all."""
    by_end = defaultdict(list)
    for chain in chains:
        by_end[tuple(chain[-2:])].append(chain)
    lines = [f"{' -> '.join(min(found, key=len))} ({len(found)} files include it)" for found in by_end.values()]
    return "\n" + "\n".join(sorted(lines))


class Rooms(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = tree.Tree("include", "src", "tools")
        cls.level = {room: level for level, row in enumerate(tree.ORDER) for room in row}

    def edges(self):
        """(path, line, path that it needs, how) by includes and by calls."""
        for source in self.tree.files.values():
            for line, target in source.includes:
                yield source.path, line, target, "includes"
        for path, line, function, target in self.tree.calls():
            yield path, line, target, f"calls {function} of"

    def test_every_file_has_a_room(self):
        outside = [path for path in self.tree.paths if not tree.room_of(path, self.level)]
        self.assertEqual(outside, [], "no room in tree.ORDER holds these files")

    def test_rooms_point_down_only(self):
        wrong = []
        for path, line, target, how in self.edges():
            above, below = tree.room_of(path, self.level), tree.room_of(target, self.level)
            if above != below and below and self.level[above] > self.level[below]:
                wrong.append(f"{path}:{line}: {how} {target}: {below} is above {above}")
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_transports_know_slots_and_the_contract_alone(self):
        wrong = []
        for path, line, target, how in self.edges():
            above, below = tree.room_of(path, TRANSPORTS), tree.room_of(target, TRANSPORTS)
            if above and below and below not in TRANSPORTS[above] | {above, "src/transport"}:
                wrong.append(f"{path}:{line}: {how} {target}")
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_no_room_knows_what_it_must_not(self):
        chains = []
        for path in self.tree.paths:
            for room, forbidden in UNKNOWN.items():
                if path.startswith(room + "/"):
                    chains += [chain for target, chain in self.tree.reached(path).items()
                               if target.startswith(tuple(forbidden))]
        self.assertFalse(chains, shortest(chains))

    def test_the_averaging_includes_no_socket(self):
        chains = []
        for path in self.tree.paths:
            if path.startswith(tuple(room + "/" for room in NO_SOCKET)):
                for chain in [[path], *self.tree.reached(path).values()]:
                    chains += [chain + [f"<{name}>"] for _, name in self.tree.files[chain[-1]].system
                               if SOCKETS.match(name)]
        self.assertFalse(chains, shortest(chains))

    def test_public_headers_include_public_headers_alone(self):
        wrong = []
        for path in self.tree.paths:
            if path.startswith("include/"):
                wrong += [f"{path}: {target}" for _, target in self.tree.files[path].includes
                          if not target.startswith("include/")]
        self.assertFalse(wrong, "\n" + "\n".join(wrong))


class Headers(unittest.TestCase):
    """Each room's main header begins with a sentence about the room."""

    def test_every_folder_is_in_the_table(self):
        folders = defaultdict(list)
        for path in tree.walk("include", "src", "tools", suffixes=(".c", ".h")):
            folders[path.rpartition("/")[0]].append(path)
        self.assertEqual(sorted(folders), sorted(tree.HEADERS))

    def test_headers_open_with_what_the_room_is(self):
        wrong = []
        for folder, name in tree.HEADERS.items():
            path = tree.ROOT / folder / name
            if not path.is_file():
                wrong.append(f"{folder}/{name} does not exist")
                continue
            opening = re.match(r"/\* SPDX[^\n]*\n/\*(.*?)\*/", path.read_text(), re.S)
            words = re.sub(r"[\s*]+", " ", opening.group(1)) if opening else ""
            if len(words) < 80 or not re.search(r"\b(never|no|nothing|not|neither|alone|only)\b", words.lower()):
                wrong.append(f"{folder}/{name} does not open with what the room is and what it must never do:{words[:70]!r}")
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_contributing_has_the_same_table(self):
        text = (tree.ROOT / "CONTRIBUTING.md").read_text()
        layers = text.partition("## Layers")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| `([\w/]+)` \| `(\w+\.h)` \|", layers, re.M)
        self.assertEqual(dict(rows), tree.HEADERS)
        self.assertEqual(len(rows), len(tree.HEADERS))

    def test_contributing_has_the_same_order(self):
        """The table lists a room before those that it may include."""
        text = (tree.ROOT / "CONTRIBUTING.md").read_text()
        layers = text.partition("## Layers")[2].partition("\n## ")[0]
        level = {room: level for level, row in enumerate(tree.ORDER) for room in row}
        listed = [level[tree.room_of(folder + "/", level)] for folder in re.findall(r"^\| `([\w/]+)` \|", layers, re.M)]
        self.assertEqual(listed, sorted(listed))


if __name__ == "__main__":
    unittest.main()
