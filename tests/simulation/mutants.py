#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the code on purpose, one way after the other, and counts the seeds of tests/simulation that find it.

    python3 tests/simulation/mutants.py [--seeds A-B] [--only NAME] [--list]

Works on a copy of the tree. Each break must be found; it takes minutes, and is not part of ./check. The figures are in
docs/membership.md, "Simulation". Exits with 1 if a break is not found, or if its place in the code is not there any more."""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# name: file, text, its replacement, ...
MUTANTS = {
    "a torn message's weight is added": [
        "src/mixing/push.c",
        "    mixer->statistics.torn += absorption->offset > 0;",
        "    mixer->statistics.torn += absorption->offset > 0;\n"
        "    if (absorption->offset > 0) absorption->kept += 0.125, absorption->w += 0.125;",
    ],
    "a weight that came back is not added": [
        "src/mixing/holes.c",
        "    mixer->w += sum;\n",
        "",
    ],
    "no floor": [
        "src/mixing/holes.c",
        "if (*kept < SGP_LEAST_KEPT &&",
        "if (*kept < 0 &&",
    ],
    "the share of a hole is lost": [
        "src/mixing/holes.c",
        "    *kept = w;\n    for (int i = 0; i < count; i++) {",
        "    for (int i = 0; i < count; i++) {",
        "        *kept -= to[left++].weight;",
        "        left++;",
    ],
    "a node waits for the dead": [
        "src/mixing/holes.c",
        "return state == SGP_FATE_LOST ||",
        "return",
    ],
    "a message of the dead that is here is dropped": [
        "src/mixing/push.c",
        "    if (find_next(absorption, mixer)) return false;",
        "",
        "if (!chunk && give_up_next(absorption, mixer)) continue;",
        "if (give_up_next(absorption, mixer)) continue;",
    ],
    "the weights are not scaled after a loss": [
        "src/mixing/exact_average.c",
        "if (!mixer->options.biased) mixer->w *= nodes / sums[WEIGHT];",
        "",
    ],
    "an exact average is not made again": [
        "src/mixing/exact_average.c",
        "*again = status == SGP_OK && some(exchange, mixer->size, true);",
        "*again = false;",
    ],
    "agree does not pass DECIDED on": [
        "src/group/agree.c",
        "if ((unsent && from != NOBODY) || (heard && !agrees(agree, s, digest)))",
        "if (unsent && from != NOBODY)",
    ],
    "agree does not answer a late STATE": [
        "src/group/agree.c",
        "        return owe_decided(agree, src), SGP_OK;",
        "        return SGP_OK;",
    ],
    "agree hears the dead": [
        "src/group/agree.c",
        'if (sgp_seats_has(set_of(agree, GONE), src)) return refuse(reason, "its sender is gone");',
        "",
        'if (!is_live(agree, src)) return refuse(reason, "its sender is no member");',
        "",
        "    if (agree->verdict_src == seat) agree->verdict_src = NOBODY;",
        "",
    ],
    "agree decides without having heard all": [
        "src/group/agree.c",
        "agree->matching == agree->live_others)",
        "agree->matching + 1 >= agree->live_others)",
    ],
    "a message under way to the dead does not come back": [
        "src/transport/outstanding.c",
        "        if (record->state == RECORD_UNDER_WAY && record->dst == rank) come_back(books, record);",
        "",
    ],
    "async counts a wrong weight": [
        "src/mixing/algorithms/async.c",
        "    async->waiting_w += weight;",
        "    async->waiting_w += weight * (1 + 1e-6);",
    ],
    "a newcomer brings twice its weight": [
        "src/mixing/arrival.c",
        "    mixer->w = 1;\n",
        "    mixer->w = 2;\n",
    ],
    "an all-reduce is not stopped for a newcomer": [
        "src/mixing/algorithms/recovery.c",
        "            report.round == mixer->round)\n            return true;",
        "            report.round == mixer->round)\n            continue;",
    ],
    "a graph of fewer nodes keeps its peers": [
        "src/graph/families.c",
        "    if (nodes > 1 && !family->fixed_degree && graph->peers > most) graph->peers = most;",
        "    if (graph->peers >= nodes) graph->peers = nodes - 1;\n    (void)most;",
    ],
}


def run(command, **options):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def replace(tree, file, old, new):
    path = tree / file
    text = path.read_text()
    if text.count(old) != 1:
        return False
    path.write_text(text.replace(old, new))
    return True


def mutate(tree, changes):
    """The files that were changed, by their old text; None: a place is not there."""
    file, pairs, before = changes[0], changes[1:], {}
    for old, new in zip(pairs[::2], pairs[1::2]):
        at = file
        if "@src/" in old:
            old, at = old.split("@", 1)
        before.setdefault(at, (tree / at).read_text())
        if not replace(tree, at, old, new):
            restore(tree, before)
            return None
    return before


def restore(tree, before):
    for file, text in before.items():
        (tree / file).write_text(text)


def build(tree):
    done = run(["cmake", "--build", "build", "-j2", "--target", "simulation"], cwd=tree)
    if done.returncode:
        print(done.stdout[-2000:])
    return done.returncode == 0


def try_seeds(tree, seeds):
    """How many seeds fail, the first of them, and why."""
    command = ["build/tests/simulation/simulation", "--seeds", seeds, "--failures", "1000000"]
    output = run(command, cwd=tree).stdout
    found = re.findall(r"^seed (\d+) FAILED: (.*)$", output, re.M)
    if not found:
        return 0, None, ""
    first, why = min((int(seed), why) for seed, why in found)
    return len(found), first, why


def copy_tree(tree):
    ignored = shutil.ignore_patterns("build*", ".git", "__pycache__")
    shutil.copytree(ROOT, tree, ignore=ignored, dirs_exist_ok=True)
    cache = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    options = ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DSGP_PROGRAM=OFF", *cache]
    return run(["cmake", "-S", ".", "-B", "build", "-G", "Ninja", *options], cwd=tree).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", default="1-300")
    parser.add_argument("--only", help="those whose name has this text")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    names = [name for name in MUTANTS if not options.only or options.only in name]
    if options.list:
        print("\n".join(names))
        return 0
    missed = []
    with tempfile.TemporaryDirectory(prefix="sgp-mutants-") as folder:
        tree = Path(folder)
        if not copy_tree(tree) or not build(tree):
            print("the tree does not build")
            return 1
        for name in names:
            before = mutate(tree, MUTANTS[name])
            if before is None or not build(tree):
                print(f"{name}: its place in the code is not there any more", flush=True)
                missed.append(name)
            else:
                count, first, why = try_seeds(tree, options.seeds)
                print(f"{name}: {count} of seeds {options.seeds}, first {first}: {why}", flush=True)
                missed += [] if count else [name]
            restore(tree, before or {})
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
