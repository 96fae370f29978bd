# SPDX-License-Identifier: Apache-2.0
"""python -m sgp_torch.run: what its processes are given, and how they end. Nothing may stay behind.

The nodes are small scripts without torch. The tests of real groups need libsgp (SGP_LIBRARY, or the build folder)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "python" / "src"
LIMIT = 120  # seconds; only a hang takes so long
LAZY = "sgp_torch/__init__.py must not import torch itself: it makes the launcher slow. A module __getattr__ can."

# Every node says so when it runs, and is then ended by its test.
READY = """
import os, signal, sys
rank = int(os.environ["SGP_RANK"])
def ready():
    os.write(1, f"ready {rank} {os.getpid()}\\n".encode())
def wait():
    while True:
        signal.pause()
def traceback(*what):
    os.write(1, f"traceback of {rank}\\n".encode())
    sys.__excepthook__(*what)
sys.excepthook = traceback
"""


def has_ended(descriptor, seconds=LIMIT):
    """Whether the process of this pidfd has, within a time."""
    return bool(select.select([descriptor], [], [], seconds)[0])


def kill_all(descriptors):
    """What a failed test has left of the processes of these pidfds."""
    for descriptor in descriptors:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)


class Launched:
    """A launcher with its output. pids: of the nodes that are ready, by rank."""

    def __init__(self, process, runtime):
        self.process = process
        self.runtime = runtime
        self.pids = {}
        self.descriptors = []

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self, nodes):
        while len(self.pids) < nodes:
            word, rank, pid = self.process.stdout.readline().split()
            assert word == "ready"
            self.watch(int(pid))
            self.pids[int(rank)] = int(pid)

    def watch(self, pid):
        self.descriptors.append(os.pidfd_open(pid))

    def finish(self):
        """Waits for the end of the launcher, by which all nodes and the rendezvous directory are gone."""
        out, err = self.process.communicate(timeout=LIMIT)
        self.check_gone()
        assert os.listdir(self.runtime) == []
        return self.process.returncode, out, err

    def check_gone(self):
        for descriptor in self.descriptors:
            assert has_ended(descriptor), "a process has stayed"

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        kill_all(self.descriptors)
        self.process.communicate()


class Place:
    """A folder for scripts and rendezvous directories."""

    def __init__(self, folder):
        self.folder = folder
        self.runtime = os.path.join(folder, "r")
        os.mkdir(self.runtime, 0o700)
        self.environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("SGP_", "OMP_", "MASTER_", "RANK"))
        }
        self.environment["PYTHONUNBUFFERED"] = ""  # lines of two nodes do not mix
        self.environment["PYTHON_COLORS"] = "0"
        self.environment["PYTHONPATH"] = str(SOURCE)
        self.environment["XDG_RUNTIME_DIR"] = self.runtime
        self.launched = []

    def script(self, text, name="script.py"):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(READY + text)
        return path

    def command(self, *words):
        return [sys.executable, "-m", "sgp_torch.run", *map(str, words)]

    def start(self, *words, environment=None, stdin=subprocess.DEVNULL):
        process = subprocess.Popen(
            self.command(*words),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environment, **(environment or {})},
            cwd=self.folder,
        )
        self.launched.append(Launched(process, self.runtime))
        return self.launched[-1]

    def run(self, *words, **options):
        """To its end. Returns (exit status, standard output, standard error)."""
        return self.start(*words, **options).finish()

    def lines(self, *words, **options):
        """The lines of a run that must succeed, sorted."""
        status, out, err = self.run(*words, **options)
        assert (status, err) == (0, "")
        return sorted(out.splitlines())

    def refused(self, *words, **options):
        """The single line after a mistake."""
        status, out, err = self.run(*words, **options)
        assert (status, out) == (2, ""), err
        assert re.fullmatch(r"sgp_torch\.run: [^\n]*\n", err), err
        return err


@pytest.fixture
def place():
    folder = tempfile.mkdtemp(prefix="sgp-test-")  # its path is short, as sockets are made below
    place = Place(folder)
    yield place
    for launched in place.launched:
        launched.close()
    shutil.rmtree(folder)


def show(*names):
    """A script that prints variables of its environment."""
    return f"""
os.write(1, (" ".join(str(os.environ.get(name)) for name in {names!r}) + "\\n").encode())
"""


# ---- what processes are given ----


def test_torch_is_not_imported(place):
    os.mkdir(os.path.join(place.folder, "torch"))
    with open(os.path.join(place.folder, "torch", "__init__.py"), "w", encoding="utf-8") as file:
        file.write("raise SystemExit('torch was imported')")
    path = os.pathsep.join((place.folder, str(SOURCE)))
    status, _, err = place.run("--help", environment={"PYTHONPATH": path})
    assert status == 0, f"{LAZY}\n{err}"


def test_rank_and_size(place):
    script = place.script(show("SGP_RANK", "SGP_SIZE", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR"))
    assert place.lines("--nodes", 3, script) == [f"{r} 3 {r} 3 {r} 3 127.0.0.1" for r in range(3)]


def test_four_nodes_are_usual(place):
    assert len(place.lines(place.script(show("SGP_RANK")))) == 4


def test_workers(place):
    script = place.script(show("SGP_RANK", "SGP_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "SGP_TORCH_WORKERS_PER_NODE"))
    expected = [f"{r} 6 {r} 6 3" for r in range(6)]
    assert place.lines("--nodes", 2, "--workers-per-node", 3, script) == expected
    assert place.lines("--nodes", 2, script, environment={"SGP_TORCH_WORKERS_PER_NODE": "3"}) == expected


def test_threads(place):
    script = place.script(show("OMP_NUM_THREADS"))
    cores = len(os.sched_getaffinity(0))
    assert place.lines("--nodes", 1, script) == [str(cores)]
    assert place.lines("--nodes", 2, script) == [str(max(1, cores // 2))] * 2
    assert place.lines("--nodes", 2 * cores, script) == ["1"] * (2 * cores)
    assert place.lines("--nodes", 2, script, environment={"OMP_NUM_THREADS": "7"}) == ["7"] * 2


def test_output_is_unbuffered(place, terminal):
    """On a terminal Python writes line by line, whatever that is."""
    assert place.lines("--nodes", 1, place.script(show("PYTHONUNBUFFERED"))) == [""]
    del place.environment["PYTHONUNBUFFERED"]
    launched = place.start("--nodes", 1, place.script("print('early')\nwait()"))
    assert launched.process.stdout.readline() == "early\n"
    launched.process.terminate()
    assert launched.finish()[0] == 128 + signal.SIGTERM
    assert terminal("--nodes", 1, place.script(show("PYTHONUNBUFFERED"))).finish() == (0, "None\n")


def test_the_rendezvous_is_private(place):
    script = place.script(
        "import stat\n"
        "at = os.environ['SGP_RENDEZVOUS']\n"
        "os.mkdir(at + '/folder'); open(at + '/folder/file', 'w').close(); os.symlink('/', at + '/link')\n"
        "print(oct(stat.S_IMODE(os.stat(at).st_mode)), os.path.dirname(at))"
    )
    assert place.lines("--nodes", 1, script) == [f"0o700 {place.runtime}"]


def test_node_0_can_listen_on_the_port(place):
    """As torch's store does; the port is kept from others meanwhile."""
    script = place.script("""
import socket
at = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(("", at[1])) as server:
        open(os.environ["SGP_RENDEZVOUS"] + "/listens", "w").close()
        server.accept()[0].sendall(b"hello")
else:
    with socket.socket() as other:
        try:
            other.bind(("", at[1]))
            print("not kept")
        except OSError:
            pass
    while not os.path.exists(os.environ["SGP_RENDEZVOUS"] + "/listens"):
        pass
    print(socket.create_connection(at).recv(5))
""")
    assert place.lines("--nodes", 2, script) == ["b'hello'"]


def test_arguments_follow_the_script(place):
    script = place.script("print(sys.argv[1:])")
    assert place.lines("--nodes=1", script, "--nodes", "x", "-m", "--help") == ["['--nodes', 'x', '-m', '--help']"]
    assert place.lines("--nodes", 1, "--", script, "--") == ["['--']"]


def test_a_module(place):
    os.mkdir(os.path.join(place.folder, "package"))
    place.script("print(__name__, sys.argv[1:])", os.path.join("package", "module.py"))
    assert place.lines("--nodes", 1, "-m", "package.module", "-m", "x") == ["__main__ ['-m', 'x']"]


def test_standard_input_is_for_node_0(place):
    script = place.script("print(rank, os.path.samestat(os.fstat(0), os.stat(os.devnull)), rank or sys.stdin.read())")
    launched = place.start("--nodes", 2, script, stdin=subprocess.PIPE)
    out, err = launched.process.communicate("a line", timeout=LIMIT)
    assert (sorted(out.splitlines()), err) == (["0 False a line", "1 True 1"], "")


def test_options_become_variables(place):
    names = ("SGP_TRANSPORT", "SGP_INTERFACE", "SGP_PORTS", "SGP_KEY_FILE", "SGP_INSECURE", "SGP_JOIN_TIMEOUT_MS",
             "SGP_PEER_TIMEOUT_MS")  # fmt: skip
    script = place.script(show(*names))
    none = ["None"] * 7
    assert place.lines("--nodes", 1, script) == [" ".join(none)]
    tcp = ["--nodes", 1, "--transport", "tcp"]
    assert place.lines(*tcp, script) == ["tcp 127.0.0.1 None None None None None"]
    more = ["--interface", "lo", "--ports", "7070-7090", "--key-file", script]
    assert place.lines(*tcp, *more, script) == [f"tcp lo 7070-7090 {script} None None None"]
    more = ["--insecure", "--join-timeout", "1.5", "--peer-timeout", "0.25"]
    assert place.lines(*tcp, *more, script) == ["tcp 127.0.0.1 None None 1 1500 250"]


def test_other_launchers_are_forgotten(place):
    left = {"SGP_JOIN": "a:1", "SGP_RENDEZVOUS_ONCE": "1", "TORCHELASTIC_USE_AGENT_STORE": "True", "SGP_RANK": "7",
            "RANK": "7", "SGP_SIZE": "9", "WORLD_SIZE": "9", "MASTER_ADDR": "nowhere"}  # fmt: skip
    script = place.script(show(*left))
    assert place.lines("--nodes", 1, script, environment=left) == ["None None None 0 0 1 1 127.0.0.1"]


# ---- --on-loss ----

# Every node ends with status 0, or that of its rank in the arguments, when it gets SIGUSR1.
ENDING = """
signal.signal(signal.SIGUSR1, lambda *_: os._exit(int(dict(word.split("=") for word in sys.argv[1:]).get(str(rank), 0))))
ready()
wait()
"""


def end_nodes(run, *ranks):
    for rank in ranks:
        os.kill(run.pids[rank], signal.SIGUSR1)


def test_the_others_go_on(place):
    run = place.start("--nodes", 3, "--on-loss", "continue", place.script(ENDING))
    run.wait_ready(3)
    os.kill(run.pids[2], signal.SIGKILL)
    assert run.process.stderr.readline() == "sgp_torch.run: node 2 was lost (signal 9, SIGKILL): the others go on\n"
    end_nodes(run, 0, 1)
    assert run.finish() == (0, "", "")


def test_some_fail_alike_and_the_others_go_on(place):
    run = place.start("--nodes", 3, "--on-loss", "continue", place.script(ENDING), "0=3", "1=3")
    run.wait_ready(3)
    end_nodes(run, 0, 1)
    said = {run.process.stderr.readline() for _ in range(2)}
    assert said == {f"sgp_torch.run: node {rank} was lost (exit status 3): the others go on\n" for rank in (0, 1)}
    end_nodes(run, 2)
    assert run.finish() == (0, "", "")


def test_all_fail_although_the_others_may_go_on(place):
    run = place.start("--nodes", 2, "--on-loss", "continue", place.script(ENDING), "0=3", "1=3")
    run.wait_ready(2)
    end_nodes(run, 0, 1)
    status, _, err = run.finish()
    assert status == 3
    assert re.fullmatch(r"sgp_torch.run: node \d ended with exit status 3\n", err)


def test_on_loss_makes_groups_elastic(place):
    script = place.script(show("SGP_TORCH_ELASTIC"))
    assert place.lines("--nodes", 1, "--on-loss", "continue", script) == ["1"]
    assert place.lines("--nodes", 1, "--on-loss", "stop", script) == ["None"]
    status, _, err = place.run("--on-loss", "go", script)
    assert (status, err) == (2, "sgp_torch.run: --on-loss go: must be continue or stop\n")


# ---- one node of a group on several machines ----

JOINED = ("SGP_JOIN", "SGP_SIZE", "WORLD_SIZE", "SGP_RANK", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "SGP_RENDEZVOUS",
          "MASTER_ADDR")  # fmt: skip


def show_joined(place):
    path = place.script("")
    with open(path, "w", encoding="utf-8") as file:  # without READY, which wants a rank
        file.write("import os\n" + show(*JOINED))
    return path


def test_join_is_one_process(place):
    """The launcher becomes the node."""
    script = show_joined(place)
    left = {"SGP_RANK": "7", "RANK": "7", "SGP_RENDEZVOUS": "/nosuch", "MASTER_ADDR": "there"}
    assert place.lines("--nodes", 3, "--join", "a:1", script, environment=left) == ["a:1 3 3 None None 0 1 None there"]
    assert place.lines("--nodes", 3, "--join", "[::1]:1", "--rank", 2, script) == ["[::1]:1 3 3 2 2 0 1 None None"]
    launched = place.start("--nodes", 2, "--join", "a:1", "--rank", 1, place.script("ready()\nwait()"))
    launched.wait_ready(1)
    assert launched.pids == {1: launched.pid}
    launched.process.kill()
    assert launched.finish()[0] == -signal.SIGKILL


def test_join_with_workers(place):
    arguments = ["--nodes", 3, "--workers-per-node", 2, "--join", "a:1"]
    script = show_joined(place)
    assert place.lines(*arguments, "--rank", 1, script) == [f"a:1 6 6 {r} {r} {r - 2} 2 None None" for r in (2, 3)]
    status, _, err = place.run(*arguments, "--rank", 1, place.script("sys.exit(5 * (rank == 3))"))
    assert (status, err) == (5, "sgp_torch.run: worker 1 of node 1 ended with exit status 5\n")


# ---- mistakes ----

# (arguments, texts in the line)
MISTAKES = [
    ([], ["script", "missing", "python -m sgp_torch.run"]),
    (["--nodes", "2"], ["script", "missing"]),
    (["--nodes", "0", "{script}"], ["--nodes 0", "from 1 to 65536"]),
    (["--nodes", "-1", "{script}"], ["--nodes -1", "from 1 to"]),
    (["--nodes", "four", "{script}"], ["--nodes four", "whole number"]),
    (["--nodes", "2.5", "{script}"], ["--nodes 2.5", "whole number"]),
    (["--nodes", "\u00b2", "{script}"], ["--nodes", "whole number"]),
    (["--nodes=", "{script}"], ['--nodes ""', "whole number"]),
    (["--nodes"], ["--nodes", "value is missing (N)"]),
    (["--node", "2", "{script}"], ["--node", "did you mean --nodes?"]),
    (["--zzzz", "2", "{script}"], ["--zzzz", "unknown option", "--help"]),
    (["-n", "2", "{script}"], ["-n", "unknown option"]),
    (["nosuch.py"], ["nosuch.py", "no such file"]),
    (["."], [".", "not a file"]),
    (["--", "--nosuch"], ["--nosuch", "no such file"]),
    (["-m"], ["-m", "MODULE"]),
    (["-m", "nosuch.module"], ["-m nosuch.module", "no module named nosuch"]),
    (["-m", "script.py"], ["-m script.py", "leave out -m"]),
    (["-m", ".relative"], ["-m .relative", "no module"]),
    (["--workers-per-node", "0", "{script}"], ["--workers-per-node 0", "from 1 to"]),
    (["--workers-per-node", "40000", "{script}"], ["--workers-per-node 40000", "65536 processes"]),
    (["--transport", "pigeon", "{script}"], ["--transport pigeon", "auto, shm, tcp"]),
    (["--rank", "1", "{script}"], ["--rank 1", "--join HOST:PORT"]),
    (["--nodes", "2", "--join", "a:1", "--rank", "2", "{script}"], ["--rank 2", "0 to 1", "group of 2"]),
    (["--nodes", "2", "--join", "a:1", "--rank", "-1", "{script}"], ["--rank -1", "from 0 to"]),
    (["--join", "a:1", "{script}"], ["--join a:1", "--nodes N"]),
    (["--nodes", "2", "--join", "a", "{script}"], ["--join a", "HOST:PORT"]),
    (["--nodes", "2", "--join", "a:b", "{script}"], ["--join a:b", "HOST:PORT"]),
    (["--nodes", "2", "--join", "::1:7", "{script}"], ["--join ::1:7", "HOST:PORT"]),
    (["--nodes", "2", "--join", "a:1", "--workers-per-node", "2", "{script}"], ["--workers-per-node 2", "--rank R"]),
    (["--join-timeout", "0", "{script}"], ["--join-timeout 0", "seconds above 0"]),
    (["--peer-timeout", "nan", "{script}"], ["--peer-timeout nan", "seconds above 0"]),
    (["--peer-timeout", "soon", "{script}"], ["--peer-timeout soon", "seconds above 0"]),
    (["--ports", "9-7", "{script}"], ["--ports 9-7", "a range such as"]),
    (["--ports", "7", "{script}"], ["--ports", "--transport tcp, or --join"]),
    (["--interface", "lo", "{script}"], ["--interface", "--transport tcp, or --join"]),
    (["--interface", "", "{script}"], ['--interface ""', "by name or address"]),
    (["--insecure", "{script}"], ["--insecure", "--transport tcp, or --join"]),
    (["--insecure=1", "{script}"], ["--insecure 1", "takes no value"]),
    (["--insecure", "--key-file", "{script}", "{script}"], ["--insecure", "--key-file"]),
    (["--transport", "tcp", "--key-file", "nosuch", "{script}"], ["--key-file nosuch", "No such file"]),
]


@pytest.mark.parametrize(("arguments", "texts"), MISTAKES, ids=lambda value: " ".join(value))
def test_mistakes(place, arguments, texts):
    script = place.script("print('started')")
    err = place.refused(*(word.replace("{script}", script) for word in arguments))
    for text in texts:
        assert text in err


def test_mistake_in_the_environment(place):
    err = place.refused(place.script(""), environment={"SGP_TORCH_WORKERS_PER_NODE": "two"})
    assert "SGP_TORCH_WORKERS_PER_NODE=two" in err


def test_help(place):
    status, out, err = place.run("--help")
    assert (status, err) == (0, "")
    assert out.startswith("usage: python -m sgp_torch.run")
    assert max(map(len, out.splitlines())) <= 80
    for text in ("--nodes N", "OMP_NUM_THREADS", "SGP_RENDEZVOUS", "MASTER_PORT"):
        assert text in out
    assert place.run("-h")[1] == out


# ---- failures ----


def test_exit_status_of_a_node(place):
    status, _, err = place.run("--nodes", 3, place.script("sys.exit(7 if rank == 1 else 0)"))
    assert (status, err) == (7, "sgp_torch.run: node 1 ended with exit status 7\n")


def test_an_exception(place):
    status, _, err = place.run("--nodes", 2, place.script("if rank == 1: raise ValueError('wrong')"))
    assert status == 1
    assert err.count("Traceback") == 1
    assert err.endswith("ValueError: wrong\nsgp_torch.run: node 1 ended with exit status 1\n")


def test_names_a_worker(place):
    script = place.script("if rank == 3: os.kill(os.getpid(), signal.SIGSEGV)")
    status, _, err = place.run("--nodes", 2, "--workers-per-node", 2, script)
    assert (status, err) == (1, "sgp_torch.run: worker 1 of node 1 was ended by signal 11 (SIGSEGV)\n")


def test_a_killed_node_is_named(place):
    """Although the launcher sees first that another one has ended, with exit status 1."""
    script = place.script("""
at = os.environ["SGP_RENDEZVOUS"] + "/link"
if rank == 0:
    os.symlink(f"/proc/{os.getpid()}", at)
    sys.exit("node 1 is lost")
while not os.path.islink(at) or os.path.exists(at):  # it is there until its launcher has seen its end
    pass
os.kill(os.getpid(), signal.SIGKILL)
""")
    status, _, err = place.run("--nodes", 2, script)
    assert (status, err) == (1, "node 1 is lost\nsgp_torch.run: node 1 was ended by signal 9 (SIGKILL)\n")


def test_nodes_that_wait_for_a_failed_one_are_ended(place):
    launched = place.start("--nodes", 3, place.script("ready()\nwait()"))
    launched.wait_ready(3)
    os.kill(launched.pids[2], signal.SIGKILL)
    status, _, err = launched.finish()
    assert (status, err) == (1, "sgp_torch.run: node 2 was ended by signal 9 (SIGKILL)\n")


# As libsgp does: word r of the file is the process that rank r has lost, plus 1.
TELL = """
def tell(lost):
    with open(os.environ["SGP_LOSSES"], "r+b") as file:
        file.seek(4 * rank)
        file.write((lost + 1).to_bytes(4, sys.byteorder))
"""


def test_the_cause_ends_last(place):
    script = place.script(f"""{TELL}
if rank != 1:
    tell(1)
    sys.exit(1)
while open(os.environ["SGP_LOSSES"], "rb").read() != b"".join(n.to_bytes(4, sys.byteorder) for n in (2, 0, 2)):
    pass
sys.exit(7)
""")
    status, _, err = place.run("--nodes", 3, script)
    assert (status, err) == (7, "sgp_torch.run: node 1 ended with exit status 7\n")


def test_the_cause_does_not_end(place):
    script = place.script(f"""{TELL}
if rank != 1:
    tell(1)
    sys.exit(1)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ready()
wait()
""")
    launched = place.start("--nodes", 3, script)
    launched.wait_ready(1)
    status, _, err = launched.finish()
    killed, last = err.splitlines()
    assert status == 1
    name = rf"sgp_torch\.run: node 1 \(pid {launched.pids[1]}\)"
    assert re.fullmatch(rf"{name} did not end within 7 s of node [02]'s failure and is killed", killed)
    assert last == "sgp_torch.run: node 1 was lost, and the others ended because of it"


def test_what_nodes_have_started_is_ended(place):
    """Processes in other sessions too."""
    script = place.script("""
import subprocess
for session in (False, True):
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=session)
    os.write(1, f"ready {child.pid} {child.pid}\\n".encode())
sys.stdin.read()
""")
    launched = place.start("--nodes", 1, script, stdin=subprocess.PIPE)
    launched.wait_ready(2)
    assert launched.finish()[0] == 0


def test_what_ends_with_its_parent_may_finish(place):
    """As multiprocessing's resource tracker, which removes the shared memory of a killed process."""
    mark = os.path.join(place.folder, "removed")
    script = place.script(f"""
import subprocess
CHILD = '''
import os, sys
print(flush=True)
os.read(0, 1)
open({mark!r}, "w")
'''
child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
os.kill(os.getpid(), signal.SIGKILL)
""")
    assert place.run("--nodes", 1, script)[0] == 1
    assert os.path.exists(mark)


# ---- signals to the launcher ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_signal_ends_all(place, number):
    launched = place.start("--nodes", 3, place.script("ready()\nwait()"))
    launched.wait_ready(3)
    launched.process.send_signal(number)
    status, _, err = launched.finish()
    assert (status, err) == (128 + number, f"sgp_torch.run: stopped ({signal.strsignal(number)})\n")


def test_an_ignored_signal_stays_ignored(place):
    """As under nohup."""
    script = place.script("ready()\nprint(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)\nsys.stdin.read()")
    shell = ["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", *place.command("--nodes", 1, script)]
    process = subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=place.environment, cwd=place.folder)  # fmt: skip
    place.launched.append(Launched(process, place.runtime))
    launched = place.launched[-1]
    launched.wait_ready(1)
    process.send_signal(signal.SIGHUP)
    assert launched.finish() == (0, "True\n", "")


def test_a_second_signal_kills(place):
    """At once: no line about nodes that did not end in time."""
    script = place.script("""
def caught(*_):
    os.write(1, b"caught\\n")
signal.signal(signal.SIGTERM, caught)
ready()
wait()
""")
    launched = place.start("--nodes", 2, script)
    launched.wait_ready(2)
    launched.process.terminate()
    assert [launched.process.stdout.readline() for _ in range(2)] == ["caught\n"] * 2
    launched.process.send_signal(signal.SIGINT)
    status, _, err = launched.finish()
    assert (status, err) == (128 + signal.SIGTERM, "sgp_torch.run: stopped (Terminated)\n")


def test_a_killed_launcher(place):
    """The kernel kills the nodes; the next launcher removes the directory, and leaves those of live ones alone."""
    script = place.script("ready()\nwait()")
    killed, alive = (place.start("--nodes", 2, script) for _ in range(2))
    killed.wait_ready(2)
    alive.wait_ready(2)
    assert len(os.listdir(place.runtime)) == 2
    other = os.path.join(place.runtime, "sgp-rendezvous-backup")
    os.mkdir(other, 0o755)
    killed.process.kill()
    killed.check_gone()
    killed.process.wait(LIMIT)
    assert len(os.listdir(place.runtime)) == 3
    place.start("--nodes", 1, place.script("")).process.communicate(timeout=LIMIT)
    assert len(os.listdir(place.runtime)) == 2
    os.rmdir(other)
    alive.process.terminate()
    assert alive.finish()[0] == 128 + signal.SIGTERM


# ---- on a terminal ----


class Terminal:
    """A launcher in a session of its own, whose controlling terminal is ours."""

    def __init__(self, place, *words):
        self.runtime = place.runtime
        self.written = ""
        self.descriptors = []
        self.pid, self.leader = os.forkpty()
        if self.pid == 0:
            os.chdir(place.folder)
            os.execve(sys.executable, place.command(*words), place.environment)
        self.descriptors.append(os.pidfd_open(self.pid))

    def read(self):
        ready, _, _ = select.select([self.leader], [], [], LIMIT)
        assert ready, self.written
        try:
            text = os.read(self.leader, 4096).decode().replace("\r\n", "\n")
        except OSError:  # closed on the other side
            text = ""
        self.written += text
        return text

    def wait_for(self, pattern, count=1):
        while len(re.findall(pattern, self.written)) < count:
            assert self.read(), self.written

    def wait_ready(self, nodes):
        self.wait_for(r"ready \d+ \d+\n", nodes)
        pids = {int(rank): int(pid) for rank, pid in re.findall(r"ready (\d+) (\d+)\n", self.written)}
        self.descriptors += [os.pidfd_open(pid) for pid in pids.values()]
        return pids

    def type(self, text):
        os.write(self.leader, text.encode())

    def finish(self):
        """Waits for all ends. Returns (exit status, the lines that nodes and launcher have written)."""
        while self.read():
            pass
        for descriptor in self.descriptors:
            assert has_ended(descriptor), self.written
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        assert os.listdir(self.runtime) == []
        return os.waitstatus_to_exitcode(status), self.written

    def close(self):
        kill_all(self.descriptors)
        if self.pid:
            os.waitpid(self.pid, 0)
        os.close(self.leader)


@pytest.fixture
def terminal(place):
    opened = []

    def start(*words):
        opened.append(Terminal(place, *words))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_interrupt(place, terminal):
    """Ctrl-C: one traceback, of the lowest rank."""
    on = terminal("--nodes", 4, place.script("ready()\nwait()"))
    on.wait_ready(4)
    on.type("\x03")
    status, written = on.finish()
    assert status == 130
    assert written.count("Traceback") == 1
    assert re.findall(r"traceback of (\d)", written) == ["0"]
    assert written.endswith("sgp_torch.run: stopped (Interrupt)\n")


def test_interrupt_when_node_0_has_ended(place, terminal):
    script = place.script("""
at = os.environ["SGP_RENDEZVOUS"] + "/link"
if rank == 0:
    os.symlink(f"/proc/{os.getpid()}", at)
    sys.exit()
while not os.path.islink(at) or os.path.exists(at):
    pass
ready()
wait()
""")
    on = terminal("--nodes", 3, script)
    assert sorted(on.wait_ready(2)) == [1, 2]
    on.type("\x03")
    status, written = on.finish()
    assert (status, written.count("Traceback")) == (130, 1)
    assert re.findall(r"traceback of (\d)", written) == ["1"]


def test_interrupt_that_is_ignored(place, terminal):
    script = place.script("for n in (signal.SIGINT, signal.SIGTERM): signal.signal(n, signal.SIG_IGN)\nready()\nwait()")
    on = terminal("--nodes", 2, script)
    on.wait_ready(2)
    on.type("\x03")
    status, written = on.finish()
    assert status == 130
    assert written.endswith("^C\r\x1b[Ksgp_torch.run: stopped (Interrupt)\n")


def test_a_second_interrupt(place, terminal):
    on = terminal("--nodes", 2, place.script("signal.signal(signal.SIGINT, signal.SIG_IGN)\nready()\nwait()"))
    on.wait_ready(2)
    on.type("\x03\x03")
    status, _ = on.finish()
    assert status == 130


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(") ")[2][0]


def test_interrupt_reaches_the_children_of_others(place, terminal):
    """Else a worker of a data loader complains that its parent is lost. Here it would write a line."""
    script = place.script("""
import subprocess
CHILD = '''
import os, sys
print(flush=True)
os.read(0, 1)
os.write(2, b"where is my parent?\\\\n")
'''
if rank:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
ready()
wait()
""")
    on = terminal("--nodes", 3, script)
    on.wait_ready(3)
    on.type("\x03")
    status, written = on.finish()
    assert (status, written.count("Traceback")) == (130, 1)
    assert "parent" not in written


def test_suspend(place, terminal):
    """Ctrl-Z stops all; they go on together."""
    on = terminal("--nodes", 2, place.script("ready()\nwait()"))
    pids = on.wait_ready(2)
    on.type("\x1a")
    _, status = os.waitpid(on.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    deadline = time.monotonic() + LIMIT
    while set(map(state_of, pids.values())) != {"T"}:
        assert time.monotonic() < deadline
    os.kill(on.pid, signal.SIGCONT)
    on.type("\x03")
    status, written = on.finish()
    assert (status, written.count("Traceback")) == (130, 1)


ASKS = """
ready()
if rank:
    wait()
print("you said", input("what? "))
"""


def test_node_0_reads_from_the_terminal(place, terminal):
    """As breakpoint() does. Then Ctrl-C ends all as before."""
    on = terminal("--nodes", 2, place.script(ASKS + "print('goes on')\nwait()"))
    on.wait_ready(2)
    on.wait_for(r"what\? ")
    on.type("hello\n")
    on.wait_for("you said hello\n")
    on.wait_for("goes on\n")
    on.type("\x03")
    status, written = on.finish()
    assert (status, written.count("Traceback")) == (130, 1)
    assert written.endswith("sgp_torch.run: stopped (Interrupt)\n")


def test_the_modes_of_the_terminal_are_restored(place, terminal):
    """After a node that was killed while it read a password or edited a line."""
    script = place.script("""
import termios
ready()
modes = termios.tcgetattr(0)
input()
termios.tcsetattr(0, termios.TCSANOW, modes[:3] + [modes[3] & ~termios.ECHO] + modes[4:])
print("no echo")
wait()
""")
    on = terminal("--nodes", 1, script)
    pids = on.wait_ready(1)
    on.type("\n")
    on.wait_for("no echo\n")
    assert not termios.tcgetattr(on.leader)[3] & termios.ECHO
    follower = os.open(f"/proc/{on.pid}/fd/0", os.O_RDWR | os.O_NOCTTY)  # else the modes end with the launcher
    os.kill(pids[0], signal.SIGKILL)
    on.wait_for(r"node 0 was ended by signal 9 \(SIGKILL\)\n")
    assert termios.tcgetattr(follower)[3] & termios.ECHO
    os.close(follower)
    assert on.finish()[0] == 1


# ---- real groups ----

LIBRARY = os.environ.get("SGP_LIBRARY") or str(ROOT / "build" / "src" / "libsgp.so")


def missing_library():
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        return str(error)
    return None


needs_library = pytest.mark.skipif(missing_library() is not None, reason=f"needs libsgp: {missing_library()}")

GROUP = f"""
import ctypes as c
sgp = c.CDLL({LIBRARY!r})
sgp.sgp_last_error.restype = c.c_char_p
def call(function, *arguments):
    while True:
        status = function(*arguments)
        if status == 0:
            return
        if status != -1:  # SGP_ERR_AGAIN
            raise RuntimeError(sgp.sgp_last_error().decode())
group = c.c_void_p()
call(sgp.sgp_group_join_sized, c.create_string_buffer(256), c.c_size_t(256), c.byref(group))
sgp.sgp_group_set_slice(group, 100)
"""
ENDLESS = f"""{GROUP}
call(sgp.sgp_group_barrier, group)
ready()
while True:
    call(sgp.sgp_group_barrier, group)
"""


@needs_library
@pytest.mark.parametrize("transport", ["shm", "tcp"])
def test_group(place, transport):
    script = place.script(f"""{GROUP}
all = (c.c_int * 4)()
call(sgp.sgp_group_gather, group, c.byref(c.c_int(rank)), c.c_size_t(4), all)
print(rank, list(all))
sgp.sgp_group_leave(group)
""")
    assert place.lines("--nodes", 4, "--transport", transport, script) == [f"{r} [0, 1, 2, 3]" for r in range(4)]


@needs_library
def test_group_of_two_machines(place):
    """Two launchers, each with the workers of one node."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    script = place.script(f"""{GROUP}
nodes, workers = c.c_void_p(), c.c_void_p()
call(sgp.sgp_group_split, group, 2, c.byref(nodes), c.byref(workers))
parents = (c.c_int * 2)()
call(sgp.sgp_group_gather, workers, c.byref(c.c_int(os.getppid())), c.c_size_t(4), parents)
print(rank, list(parents))
for one in (workers, nodes, group):
    sgp.sgp_group_leave(one)
""")
    arguments = ["--nodes", 2, "--workers-per-node", 2, "--join", f"127.0.0.1:{port}"]
    launched = [place.start(*arguments, "--rank", node, script) for node in (1, 0)]
    for one, ranks in zip(launched, ((2, 3), (0, 1))):
        status, out, err = one.finish()
        assert (status, err) == (0, "")
        assert sorted(out.splitlines()) == [f"{r} [{one.pid}, {one.pid}]" for r in ranks]


@needs_library
@pytest.mark.parametrize("transport", ["shm", "tcp"])
def test_group_with_a_killed_node(place, transport):
    launched = place.start("--nodes", 3, "--transport", transport, place.script(ENDLESS))
    launched.wait_ready(3)
    os.kill(launched.pids[1], signal.SIGKILL)
    status, _, err = launched.finish()
    assert status == 1
    assert len(re.findall(r"(?m)^RuntimeError: .*node 1 is lost", err)) == 2, err
    assert err.endswith("sgp_torch.run: node 1 was ended by signal 9 (SIGKILL)\n")


@needs_library
def test_group_with_a_failed_node(place):
    """All exit with status 1; the losses that the others have reported tell which one is the cause."""
    script = place.script(f"""{GROUP}
call(sgp.sgp_group_barrier, group)
if rank == 2:
    raise ValueError("wrong")
call(sgp.sgp_group_barrier, group)
""")
    status, _, err = place.run("--nodes", 4, script)
    assert status == 1
    assert err.count("ValueError: wrong\n") == 1
    assert err.endswith("sgp_torch.run: node 2 ended with exit status 1\n")


@needs_library
@pytest.mark.parametrize("transport", ["shm", "tcp"])
def test_group_interrupted(place, terminal, transport):
    on = terminal("--nodes", 4, "--transport", transport, place.script(ENDLESS))
    on.wait_ready(4)
    on.type("\x03")
    status, written = on.finish()
    assert status == 130
    assert written.count("Traceback") == 1, written
    assert "KeyboardInterrupt\n" in written
