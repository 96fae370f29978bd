# SPDX-License-Identifier: Apache-2.0
"""Searches all states of the Promela models of this folder with spin: check_model.py [--large] [--moves] [NAME...]

Without NAME it takes all searches of ./check, with --large all that take longer. It prints the number of states, and
with --moves the events of each counterexample. The tests of this folder call search() for each entry of SEARCHES."""
import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
LONGEST = 3600  # seconds, of one search
# The text of the assertion that states a property, as pan prints it.
PROPERTIES = {"stuck": r"!\(stuck\)", "leak": r"!\(leak\)", "mass": r"\(mass==", "agreement": r"\(b_==0\)"}

# broken: the property whose counterexample the search must find, or None for a rule that holds.
Search = collections.namedtuple("Search", "name model macros broken large")
Found = collections.namedtuple("Found", "broken states depth seconds moves")


def _holds(model, name, macros, large=False):
    return Search(name, model, macros.split(), None, large)


def _broken(model, name, macros, prop):
    return Search(name, model, macros.split(), prop, False)


SEARCHES = [
    _holds("lock_step", "deaths", "DEATHS=2"),
    _holds("lock_step", "deaths_with_little_room", "DEATHS=2 ROOM=1 STEPS=3"),
    _holds("lock_step", "deaths_and_a_graph_of_each_nodes_own_view", "DEATHS=2 PLAN_NOW"),
    _holds("lock_step", "deaths_as_holes_without_question", "DEATHS=2 PLAN_FIXED NO_WAIT"),
    _holds("lock_step", "deaths_as_holes_of_four_nodes_without_question", "NODES=4 STEPS=3 DEATHS=1 PLAN_FIXED NO_WAIT"),
    _holds("lock_step", "mistaken_suspicion", "DOUBTS=1"),
    _holds("lock_step", "mistaken_suspicion_and_a_death", "DOUBTS=1 DEATHS=1 STEPS=3 ROOM=1 PLAN_FIXED"),
    _holds("lock_step", "hang", "HANGS=1 STEPS=3 ROOM=1"),
    _holds("lock_step", "cut", "CUTS=1"),
    _holds("lock_step", "cut_one_way", "ONE_WAY_CUTS=1"),
    _broken("lock_step", "own_view_and_only_death_releases", "DEATHS=1 PLAN_NOW NO_WAIT", "stuck"),
    _broken("lock_step", "newer_view_releases", "DEATHS=1 PLAN_NOW NEWER_VIEW", "stuck"),
    _broken("lock_step", "only_expected_messages_are_absorbed", "DEATHS=1 PLAN_NOW ONLY_EXPECTED", "leak"),
    _broken("lock_step", "new_graph_at_k_without_question", "DEATHS=1 NO_WAIT", "stuck"),
    _broken("lock_step", "suspicion_without_question", "DOUBTS=1 NO_WAIT", "stuck"),
    _broken("lock_step", "silent_receiver_and_message_taken_back", "DOUBTS=1 SILENT_RETURNS", "mass"),
    _broken("lock_step", "late_messages_wait_for_the_end_of_the_step", "HANGS=1 STEPS=3 ROOM=1 ABSORB_AFTER_WAIT", "stuck"),
    _broken("lock_step", "silence_is_not_told", "ONE_WAY_CUTS=1 ONE_SIDED", "stuck"),
    _holds("agree", "one_death", "DEATHS=1"),
    _holds("agree", "two_deaths", "DEATHS=2"),
    _holds("agree", "two_calls_two_deaths", "DEATHS=2 CALLS=2"),
    _holds("agree", "four_nodes_two_deaths", "NODES=4 DEATHS=2"),
    _holds("agree", "four_nodes_one_death_not_passed_on", "NODES=4 DEATHS=1 NOT_PASSED"),
    _broken("agree", "gather_and_return", "DEATHS=1 GATHER", "agreement"),
    _broken("agree", "restart_on_death", "DEATHS=1 RESTART", "stuck"),
    _broken("agree", "two_deaths_not_passed_on", "NODES=4 DEATHS=2 NOT_PASSED", "stuck"),
    _broken("agree", "decided_from_the_dead", "NODES=4 DEATHS=2 FROM_DEAD", "agreement"),
    _holds("lock_step", "large_deaths_of_four_nodes", "NODES=4 STEPS=3 DEATHS=1", large=True),
    _holds("lock_step", "large_two_deaths_of_four_nodes", "NODES=4 STEPS=3 DEATHS=2 ROOM=1 PLAN_NOW", large=True),
    _holds("lock_step", "large_five_steps", "STEPS=5 DEATHS=2", large=True),
    _holds("lock_step", "large_hang", "HANGS=1", large=True),
    _holds("lock_step", "large_hang_and_death", "HANGS=1 DEATHS=1 STEPS=3", large=True),
    _holds("lock_step", "large_mistaken_suspicion_and_death", "DOUBTS=1 DEATHS=1", large=True),
    _holds("lock_step", "large_two_mistaken_suspicions", "DOUBTS=2", large=True),
    _holds("agree", "large_three_deaths", "NODES=4 DEATHS=3", large=True),
]


class Failure(Exception):
    """The search did not run to its end, or a model is wrong by itself."""


def why_not():
    """A reason to skip, or None."""
    for tool in ("spin", "gcc"):
        if not shutil.which(tool):
            return f"{tool} is missing (Debian: {tool})"
    return None


def _run(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=LONGEST, check=False)
    return done.returncode, done.stdout


def _build(wanted, folder):
    macros = [f"-D{macro}" for macro in wanted.macros]
    memory = 12000 if wanted.large else 2000  # MB
    # Invalid end states are not asked for (pan -E): the processes of a model loop for ever, and its process Check judges.
    # Every process changes variables of all, so that partial order reduction would only cost time.
    for command in (["spin", "-a", *macros, f"{wanted.model}.pml"],
                    ["gcc", "-O0" if wanted.broken else "-O1", "-w", "-DSAFETY", "-DNOREDUCE", f"-DMEMLIM={memory}",
                     *(["-DCOLLAPSE"] if wanted.large else []), "-o", "pan", "pan.c"]):
        code, text = _run(command, folder)
        if code != 0 or "Error" in text:
            raise Failure(f"{' '.join(command)}: {text}")
    return macros


def _number(pattern, text):
    match = re.search(pattern, text)
    if not match:
        raise Failure(f"pan prints no {pattern}: {text}")
    return match.group(1)


def _broken_property(text):
    """The name of the property that pan has found broken, or None. Every other complaint of pan's is a failure."""
    errors = int(_number(r"errors: (\d+)", text))
    complaints = [line for line in text.splitlines() if line.startswith(("pan:1:", "error:", "pan: "))
                  and not line.startswith(("pan: elapsed", "pan: rate", "pan: wrote"))]
    if errors == 0:
        if complaints or "Search not completed" in text:
            raise Failure(f"the search is not complete: {text}")
        return None
    for name, assertion in PROPERTIES.items():
        if len(complaints) == 1 and re.match(r"pan:1: assertion violated .*" + assertion, complaints[0]):
            return name
    raise Failure(f"not a property of the model: {text}")


def search(wanted):
    """Searches all states of the model, or up to the first counterexample. Bitstate hashing is never used. Failure: the
    search met its limit of depth or memory, or anything but a property was found broken."""
    with tempfile.TemporaryDirectory(prefix="sgp-model-") as folder:
        shutil.copy(os.path.join(FOLDER, f"{wanted.model}.pml"), folder)
        macros = _build(wanted, folder)
        text = _run(["./pan", "-m10000", "-w24" if wanted.large else "-w20", "-E"], folder)[1]
        broken, moves = _broken_property(text), ""
        if broken:
            moves = _run(["spin", "-k", f"{wanted.model}.pml.trail", *macros, f"{wanted.model}.pml"], folder)[1]
            moves = "".join(f"{line.strip()}\n" for line in moves.split("spin: ")[0].splitlines())
    return Found(broken, int(_number(r"(\d+) states, stored", text)), int(_number(r"depth reached (\d+)", text)),
                 float(_number(r"elapsed time ([\d.]+)", text)), moves)


def summary(wanted, found):
    what = f"counterexample ({found.broken})" if found.broken else "holds"
    return (f"{wanted.model} {wanted.name} [{' '.join(wanted.macros)}]: {what}, {found.states} states, "
            f"depth {found.depth}, {found.seconds:.1f} s")


def add_tests(case, model):
    """A test method in the class `case` for each search of the model that ./check does."""
    def test_of(wanted):
        def test(self):
            found = search(wanted)
            print(summary(wanted, found))
            self.assertEqual(found.broken, wanted.broken, f"{summary(wanted, found)}\n{found.moves}")
        return test

    for wanted in SEARCHES:
        if wanted.model == model and not wanted.large:
            setattr(case, f"test_{'breaks' if wanted.broken else 'holds'}_{wanted.name}", test_of(wanted))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--large", action="store_true", help="the searches that take minutes")
    parser.add_argument("--moves", action="store_true", help="print the events of each counterexample")
    arguments = parser.parse_args()
    if why_not():
        parser.exit(2, f"check_model: {why_not()}\n")
    unknown = set(arguments.names) - {wanted.name for wanted in SEARCHES}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: unknown; one of {', '.join(wanted.name for wanted in SEARCHES)}")
    wrong = 0
    for wanted in SEARCHES:
        if wanted.name in arguments.names if arguments.names else wanted.large == arguments.large:
            found = search(wanted)
            print(summary(wanted, found), flush=True)
            if arguments.moves:
                print(found.moves)
            if found.broken != wanted.broken:
                print(f"check_model: {wanted.name}: expected {wanted.broken or 'no counterexample'}", file=sys.stderr)
                wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
