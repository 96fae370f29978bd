# SPDX-License-Identifier: Apache-2.0
"""The source tree as data, for the tests of this folder and scripts/draw-rooms: files, rooms, includes, functions, calls.
Reads sources alone, with regular expressions; needs neither a build nor git."""
import os
import re
from pathlib import Path

ROOT = Path(os.environ.get("SGP_SOURCE", Path(__file__).resolve().parents[2]))

# The rooms, from the top down: each may include those after it, never those before it. A row of several rooms holds
# neighbours, which may include each other, though not in a circle. CONTRIBUTING.md, "Layers", has the same house.
ORDER = [
    ["tools/sgp"],
    ["tools/sgp/report", "tools/sgp/flight", "tools/sgp/graph", "tools/sgp/simulate", "tools/sgp/bench", "tools/sgp/data",
     "tools/sgp/launch", "tools/sgp/watch"],
    ["tools/sgp/cli"],
    ["src/run"],
    ["src/files"],
    ["src/simulate"],
    ["src/model"],
    ["src/data"],
    ["src/mixing"],
    ["src/optimizer"],
    ["src/group"],
    ["src/graph"],
    ["src/transport"],
    ["src/codec"],
    ["src/wire"],
    ["src/status"],
    ["src/net"],
    ["src/base"],
    ["include/sgp"],
]
# folder: its main header, which says what the room is, who may call it and what it must never do. CONTRIBUTING.md has
# the same table.
HEADERS = {
    "tools/sgp": "command.h",
    "tools/sgp/report": "report.h",
    "tools/sgp/flight": "flight_view.h",
    "tools/sgp/watch": "watch.h",
    "tools/sgp/graph": "graph_view.h",
    "tools/sgp/simulate": "simulate_settings.h",
    "tools/sgp/bench": "bench.h",
    "tools/sgp/data": "data_jobs.h",
    "tools/sgp/launch": "launch.h",
    "tools/sgp/cli": "options.h",
    "src/run": "train.h",
    "src/files": "atomic_file.h",
    "src/simulate": "simulation.h",
    "src/model": "model.h",
    "src/model/models": "models.h",
    "src/model/layers": "layer.h",
    "src/data": "dataset.h",
    "src/data/formats": "source_format.h",
    "src/data/picture": "picture.h",
    "src/mixing": "mixer_core.h",
    "src/mixing/algorithms": "algorithm_ops.h",
    "src/optimizer": "optimizer_internal.h",
    "src/group": "group_internal.h",
    "src/group/join": "launcher.h",
    "src/graph": "families.h",
    "src/graph/families": "family.h",
    "src/transport": "transport.h",
    "src/transport/slots": "slots.h",
    "src/transport/shm": "shm.h",
    "src/transport/tcp": "tcp.h",
    "src/transport/mpi": "mpi.h",
    "src/transport/loopback": "loopback.h",
    "src/transport/simulated": "simulated.h",
    "src/codec": "codec.h",
    "src/wire": "header.h",
    "src/status": "snapshot.h",
    "src/status/server": "status_server.h",
    "src/net": "address.h",
    "src/base": "constants.h",
    "include/sgp": "sgp.h",
}
SOURCES = ("include", "src", "tools", "examples", "bench", "tests")


def walk(*folders, suffixes):
    """Paths relative to the root, in order."""
    found = []
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            relative = path.relative_to(ROOT)
            if path.suffix in suffixes and path.is_file() and "__pycache__" not in relative.parts:
                found.append(relative.as_posix())
    return sorted(found)


def room_of(path, rooms):
    """The innermost of the rooms that holds the path, or None."""
    folder = os.path.dirname(path)
    while folder and folder not in rooms:
        folder = os.path.dirname(folder)
    return folder or None


def module_of(path):
    """A .c and the .h beside it are one module. A room's main header is a module of its own: it is the room's contract,
    and the files of the room that its .c is built on may include it for the types."""
    folder, name = os.path.split(path)
    return path if HEADERS.get(folder) == name else os.path.splitext(path)[0]


def without_comments(text):
    """The same lines, with blanks for comments, strings and character constants; an #include keeps its name."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|^\s*#\s*include[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S | re.M)

    def blank(match):
        found = match.group(0)
        return found if found.lstrip().startswith("#") else re.sub(r"[^\n]", " ", found)

    return token.sub(blank, text)


class Source:
    """One C file: text, code (without comments), module, includes as (line, path), functions."""

    def __init__(self, path, resolve):
        self.path, self.module = path, module_of(path)
        self.text = (ROOT / path).read_text()
        self.code = without_comments(self.text)
        self.includes, self.system = [], []
        for number, line in enumerate(self.code.splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*(["<])([^">]+)', line)
            target = match and resolve(path, match.group(2))
            if target:
                self.includes.append((number, target))
            elif match:
                self.system.append((number, match.group(2)))
        self.functions = list(functions(self.code))


class Function:
    def __init__(self, name, first, last, static):
        self.name, self.first, self.last, self.static = name, first, last, static
        self.lines = last - first + 1


def functions(code):
    """Definitions: from the line of the signature to the closing brace in column 0."""
    lines = code.splitlines()
    first = 0
    while first < len(lines):
        if not re.match(r"[A-Za-z_]", lines[first]):
            first += 1
            continue
        last = first
        while last < len(lines) - 1 and not re.search(r"[{;}]\s*$", lines[last]) and lines[last].strip():
            last += 1
        head = re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", "", " ".join(lines[first : last + 1])).strip()
        match = re.match(r"[^=;{]*?\b(\w+)\s*\([^={;]*\)[^=;{()]*\{\s*$", head)
        if not match or head.startswith(("typedef", "struct {", "enum {")):
            first = last + 1
            continue
        end = last
        while end < len(lines) - 1 and not lines[end].startswith("}"):
            end += 1
        yield Function(match.group(1), first + 1, end + 1, head.startswith("static"))
        first = end + 1


def variables(code):
    """Names that are declared as parameters or variables: a type, then the name."""
    declared = re.findall(r"\b([A-Za-z_]\w*)[\s*]+([A-Za-z_]\w*)\s*[,;)=\[]", code)
    return {name for kind, name in declared if kind not in ("return", "else", "case", "goto")}


class Tree:
    """All C files below `folders`; a quoted or <sgp/...> include is found as the build finds it."""

    def __init__(self, *folders):
        self.paths = walk(*folders, suffixes=(".c", ".h"))
        known = set(walk(*SOURCES, suffixes=(".c", ".h")))

        def resolve(path, name):
            for folder in (os.path.dirname(path), "src", "include", "tools/sgp", "tests", "bench"):
                candidate = os.path.normpath(os.path.join(folder, name))
                if candidate in known:
                    return candidate
            return None

        self.files = {path: Source(path, resolve) for path in self.paths}

    def calls(self):
        """(caller's path, line, function, path of its definition): the functions of other modules, named in code."""
        defined = {}
        for source in self.files.values():
            for function in source.functions:
                if not function.static:
                    defined[function.name] = source
        name = re.compile(r"(?<![\w.>])([A-Za-z_]\w*)(\s*\()?")
        for source in self.files.values():
            if not source.path.endswith(".c"):
                continue
            own = {function.name for function in source.functions}
            shadowed = variables(source.code)
            for number, line in enumerate(source.code.splitlines(), 1):
                if line.lstrip().startswith("#"):
                    continue
                for word, called in name.findall(line):
                    target = defined.get(word)
                    if not target or word in own or (word in shadowed and not called):
                        continue
                    if target.module != source.module:
                        yield source.path, number, word, target.path

    def reached(self, path):
        """All headers that the file includes, directly or not, each with the chain that leads to it."""
        chains, waiting = {}, [(path, [path])]
        while waiting:
            at, chain = waiting.pop()
            for _, target in self.files[at].includes if at in self.files else []:
                if target not in chains:
                    chains[target] = chain + [target]
                    waiting.append((target, chains[target]))
        return chains


def circles(edges):
    """The strongly connected components of more than one node; edges: {node: set of nodes}. Tarjan's, iterative."""
    index, low, stack, on_stack, found = {}, {}, [], set(), []
    for root in sorted(edges):
        if root in index:
            continue
        work = [(root, iter(sorted(edges.get(root, ()))))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in index:
                    index[successor] = low[successor] = len(index)
                    stack.append(successor)
                    on_stack.add(successor)
                    work.append((successor, iter(sorted(edges.get(successor, ())))))
                    break
                if successor in on_stack:
                    low[node] = min(low[node], index[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = set()
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.add(member)
                        if member == node:
                            break
                    if len(component) > 1:
                        found.append(component)
    return found
