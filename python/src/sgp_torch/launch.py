# SPDX-License-Identifier: Apache-2.0
"""Starts the processes of a plan on this machine and waits until all have ended; for `sgp_torch.run`.

It has one thread and imports neither torch nor libsgp. It blocks its signals and waits in one place,
`Launcher.next_signal`, for the end of a process, a signal to itself, or a deadline. It parses no option. Its messages,
graces and exit statuses are those of `sgp run`. It needs Linux.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import sys
import termios
import time
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Plan(Protocol):
        """What to start. Processes of this machine are counted from 0."""

        local: int  # processes of this machine
        goes_on: bool  # the others are left alone when one is lost

        def environment_of(self, process: int) -> dict[str, str]: ...
        def name_of(self, process: int) -> str: ...


FAILED, MISTAKE = 1, 2  # exit statuses; after a signal it is 128 + its number

# Seconds. The other nodes notice a failure within one; Ctrl-C must have ended all within one.
REPORT_GRACE, FAILED_GRACE, SIGNAL_GRACE, INTERRUPT_GRACE, ORPHAN_GRACE = 4.0, 3.0, 5.0, 0.7, 0.2


def say(text: str) -> None:
    """One line on standard error, over a progress bar that a node may have left there."""
    clear = "\r\x1b[K" if os.isatty(2) else ""
    with contextlib.suppress(OSError):  # there is nowhere to report it
        os.write(2, f"{clear}sgp_torch.run: {text}\n".encode(errors="backslashreplace"))


# ---- the directory in which the nodes find each other ----


class Rendezvous:
    """A directory that only this user can enter, in XDG_RUNTIME_DIR or /tmp. The launcher holds a lock on it; one
    without a lock is a killed launcher's, and the next launcher removes it. `sgp run` goes by the same rules."""

    PREFIX, RANDOM = "sgp-rendezvous-", 6
    LONGEST = 96 - 32  # bytes of the path: local socket addresses in it have 108

    def __init__(self) -> None:
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        parents = [runtime, "/tmp"] if runtime.startswith("/") else ["/tmp"]
        for parent in parents:
            try:
                self.path, self.lock = self.create_in(parent)
                return
            except OSError as error:
                cause = error
        raise OSError(cause.errno, f"{parents[-1]}: the nodes' rendezvous directory cannot be made: {cause.strerror}")

    def create_in(self, parent: str) -> tuple[str, int]:
        if len(os.fsencode(parent)) + 1 + len(self.PREFIX) + self.RANDOM >= self.LONGEST:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        self.sweep(parent)
        while True:
            path = os.path.join(parent, self.PREFIX + os.urandom(self.RANDOM // 2).hex())
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                continue
            try:
                return path, self.locked(path)
            except (BlockingIOError, FileNotFoundError):
                continue  # another launcher took it for an abandoned one
            except OSError:
                os.rmdir(path)  # a file system without locks
                raise

    @staticmethod
    def locked(path: str) -> int:
        """A descriptor of the directory, which holds the lock. BlockingIOError: another process has it."""
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), os.stat(path)):
                return lock
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        except OSError:
            os.close(lock)
            raise

    def sweep(self, parent: str) -> None:
        try:
            names = os.listdir(parent)
        except PermissionError:
            return
        for name in names:
            if not name.startswith(self.PREFIX) or len(name) != len(self.PREFIX) + self.RANDOM:
                continue
            path = os.path.join(parent, name)
            try:
                about = os.lstat(path)
                if about.st_uid != os.geteuid() or about.st_mode & 0o7777 != 0o700:
                    continue
                lock = self.locked(path)
            except OSError:
                continue
            self.remove(path)
            os.close(lock)

    @staticmethod
    def remove(path: str) -> None:
        for folder, folders, files in os.walk(path, topdown=False):
            for name in files + folders:
                entry = os.path.join(folder, name)
                with contextlib.suppress(OSError):
                    os.unlink(entry) if name in files or os.path.islink(entry) else os.rmdir(entry)
        with contextlib.suppress(OSError):
            os.rmdir(path)

    def close(self) -> None:
        self.remove(self.path)
        os.close(self.lock)


# ---- the processes ----

TERMINAL = "/dev/tty"  # the controlling one, whatever standard input is
RUNNING, REPORTING, ENDING, KILLING = range(4)


class End:
    """How the process that caused the failure ended. follows: the lost process because of which it did, or -1."""

    def __init__(self, process: int, how: Any, follows: int) -> None:
        self.process = process
        self.killed = how.si_code != os.CLD_EXITED
        self.number = how.si_status  # exit status or signal
        self.follows = follows


class Launcher:
    """Starts the processes of a plan and waits until all have ended.

    Each process is a process group of its own, so that Ctrl-C on the terminal reaches the launcher alone. A process
    that reads from the terminal is lent it, as a shell lends it to a job. No process is left behind, not even a node's
    own children; if the launcher is killed, the kernel kills the nodes."""

    def __init__(self, plan: Plan, arguments: list[str]) -> None:
        self.plan = plan
        self.command = [sys.executable, *arguments]
        self.pids: dict[int, int] = {}  # running: pid -> process
        self.phase = RUNNING
        self.deadline = 0.0  # monotonic; of the phases REPORTING and ENDING
        self.waited = 0.0  # seconds from the first failure or signal to the deadline
        self.end: End | None = None
        self.unnamed: list[End] = []  # of failed processes that are not named yet, where the others go on
        self.finished: set[int] = set()  # processes that have ended with status 0
        self.interrupted = 0  # the signal that asked the launcher to end
        self.holder = 0  # pid of the node that has the terminal
        self.modes: list[Any] = []  # of the terminal, before it was lent
        self.losses = os.memfd_create("sgp-losses")  # nodes report losses there; libsgp writes word r for rank r
        self.before: set[Any] = set()
        self.signals = self.block_signals()

    def block_signals(self) -> set[Any]:
        """Signals that were ignored when the program started stay ignored (nohup, background jobs)."""
        asking = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP]
        signals = {number for number in asking if signal.getsignal(number) != signal.SIG_IGN} | {signal.SIGCHLD}
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # we hand the terminal on, and nodes write to it
        self.before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        return signals

    # ---- starting ----

    def start_all(self, extra: dict[str, str]) -> None:
        """OSError: a process could not be started; those before it run."""
        import ctypes

        prctl = ctypes.CDLL(None).prctl
        set_parent_death_signal, set_child_subreaper = 1, 36
        prctl(set_child_subreaper, ctypes.c_ulong(1), 0, 0, 0)

        def die_with_parent() -> None:
            prctl(set_parent_death_signal, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)

        for process in range(self.plan.local):
            self.start(process, {**self.plan.environment_of(process), **extra}, die_with_parent)

    def start(self, process: int, environment: dict[str, str], die_with_parent: Callable[[], None]) -> None:
        """A failing exec sends its errno through a pipe that a successful one closes."""
        launcher = os.getpid()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent()
                if os.getppid() == launcher:  # else it died before
                    self.become_node(process, environment)
            except OSError as error:
                os.write(writer, str(error.errno).encode())
            finally:
                os._exit(MISTAKE)
        os.close(writer)
        code = os.read(reader, 16)
        os.close(reader)
        if code:
            os.waitpid(pid, 0)
            raise OSError(int(code), os.strerror(int(code)))
        self.pids[pid] = process

    def become_node(self, process: int, environment: dict[str, str]) -> NoReturn:
        os.setpgid(0, 0)
        if process > 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in self.signals | {signal.SIGPIPE, signal.SIGXFSZ}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)
        os.execve(self.command[0], self.command, environment)

    # ---- waiting ----

    def next_signal(self) -> int:
        """Sleeps until the next event. 0: the deadline has passed."""
        if self.phase in (RUNNING, KILLING):
            return signal.sigwaitinfo(self.signals).si_signo
        event = signal.sigtimedwait(self.signals, max(0.0, self.deadline - time.monotonic()))
        return event.si_signo if event else 0

    def supervise(self) -> None:
        while self.pids:
            number = self.next_signal()
            if number == 0:
                self.escalate()
            elif number == signal.SIGCHLD:
                self.reap()
            elif number == signal.SIGTSTP:
                self.suspend()
            else:
                self.interrupt(number)
        if self.plan.goes_on and self.finished and self.phase <= REPORTING:
            self.lose()  # the others were done before it was named

    def enter(self, phase: int, grace: float) -> None:
        self.phase = phase
        self.waited += grace
        self.deadline = time.monotonic() + grace
        if phase == KILLING:
            for pid in self.pids:
                signal_group(pid, signal.SIGKILL)

    def ask_all(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGTERM)

    def ask_one(self, spoken: bool) -> None:
        """Ctrl-C: the lowest rank shows its traceback, unless one has been shown. The others end in silence, and so do
        their own children: a worker of a data loader would complain of its lost parent."""
        pids = sorted(self.pids, key=lambda pid: self.pids[pid])
        if pids and not spoken:
            os.kill(pids.pop(0), signal.SIGINT)
        for pid in pids:
            signal_group(pid, signal.SIGTERM)

    def escalate(self) -> None:
        if self.phase == REPORTING and self.plan.goes_on:
            self.lose()
            self.phase = RUNNING
            return
        if self.phase == REPORTING:
            self.enter(ENDING, FAILED_GRACE)
            self.ask_all()
            return
        if self.interrupted != signal.SIGINT:  # there the time is short, and the user has seen enough
            self.report_killed()
        self.enter(KILLING, 0)

    def lose(self) -> None:
        """Names those without which the others go on."""
        for end in self.unnamed:
            how = f"signal {end.number}, {signal_name(end.number)}" if end.killed else f"exit status {end.number}"
            say(f"{self.plan.name_of(end.process)} was lost ({how}): the others go on")
        self.unnamed, self.end = [], None

    def hang(self) -> bool:
        """Whether the others are done, and have lost those that still run."""
        lost = {self.known_loss(process) for process in range(self.plan.local) if process not in self.pids.values()}
        return bool(self.finished and self.pids) and set(self.pids.values()) <= lost

    def report_killed(self) -> None:
        if self.interrupted:
            since = signal.Signals(self.interrupted).name
        else:
            since = f"{self.plan.name_of(self.end.process) if self.end else 'a node'}'s failure"
        for pid, process in self.pids.items():
            name = self.plan.name_of(process)
            say(f"{name} (pid {pid}) did not end within {self.waited:g} s of {since} and is killed")

    def interrupt(self, number: int, spoken: bool = False) -> None:
        """number: the signal that asks the launcher to end. spoken: it has reached a node, which has said so."""
        again = self.interrupted != 0
        self.interrupted = self.interrupted or number
        self.take_terminal()
        if again:
            self.enter(KILLING, 0)
        elif number == signal.SIGINT and self.phase < KILLING:
            self.waited = 0.0
            self.enter(ENDING, INTERRUPT_GRACE)
            self.ask_one(spoken)
        elif self.phase < ENDING:
            self.waited = 0.0
            self.enter(ENDING, SIGNAL_GRACE)
            self.ask_all()

    def reap(self) -> None:
        """Takes note of all children that have ended or stopped. Orphans of nodes are our children, too."""
        while True:
            try:
                how = os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED | os.WNOHANG)
            except ChildProcessError:
                break
            if how is None:
                break
            if how.si_pid not in self.pids:
                continue
            if how.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED):
                self.note_end(how)
            elif self.phase < ENDING:
                self.note_stop(how.si_pid, how.si_status)
        if self.phase <= REPORTING and self.plan.goes_on and self.pids and any(end.killed for end in self.unnamed):
            self.lose()  # at once: the others do not end for the same reason
            self.phase = RUNNING
        if self.phase == RUNNING and self.plan.goes_on and self.hang():
            self.enter(ENDING, FAILED_GRACE)
            self.ask_all()
        if self.phase == RUNNING and self.end:
            self.enter(REPORTING, REPORT_GRACE)

    def note_end(self, how: Any) -> None:
        process = self.pids.pop(how.si_pid)
        killed = how.si_code != os.CLD_EXITED
        if how.si_pid == self.holder:
            self.take_terminal()
            if killed and how.si_status in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP) and not self.interrupted:
                self.interrupt(how.si_status, spoken=True)  # the terminal sent it to that node alone
        if not (killed or how.si_status):
            self.finished.add(process)
            return
        if self.phase > REPORTING:
            return
        end = End(process, how, -1 if killed or self.plan.goes_on else self.known_loss(process))
        self.unnamed.append(end)
        if self.is_the_cause(end):
            self.end = end

    def known_loss(self, process: int) -> int:
        """The process whose loss this one has reported; -1: none."""
        lost = -1
        for _ in range(self.plan.local):  # that one may have ended because of another in turn
            word = int.from_bytes(os.pread(self.losses, 4, 4 * process), sys.byteorder)
            if not 0 < word <= self.plan.local:
                break
            lost = process = word - 1
        return lost

    def is_the_cause(self, end: End) -> bool:
        """Whether it explains the failure better than the end noted so far. Processes that see a loss end too, and may
        do so before the lost one has: they report the loss, or they exit whereas the lost one was killed."""
        if not self.end or (self.end.follows >= 0 and end.follows < 0):
            return True
        return end.killed and not self.end.killed

    # ---- the terminal ----

    def note_stop(self, pid: int, number: int) -> None:
        if number == signal.SIGTTIN:
            self.lend_terminal(pid)
        elif number == signal.SIGTSTP and pid == self.holder:
            self.suspend()

    def lend_terminal(self, pid: int) -> None:
        """To a node that was stopped because it reads from there. Where the launcher is a job in the background, it is
        stopped in its place."""
        try:
            with open(TERMINAL, "r+b", buffering=0) as terminal:
                if os.tcgetpgrp(terminal.fileno()) not in (os.getpgrp(), *self.pids):
                    self.suspend()
                    return
                self.modes = termios.tcgetattr(terminal)
                os.tcsetpgrp(terminal.fileno(), pid)
                self.holder = pid
                signal_group(pid, signal.SIGCONT)
        except (OSError, termios.error):
            pass  # it has hung up, and SIGHUP follows

    def take_terminal(self) -> None:
        """Back from the node that has it, in the modes that it had before."""
        holder, self.holder = self.holder, 0
        if not holder:
            return
        try:
            with open(TERMINAL, "r+b", buffering=0) as terminal:
                if os.tcgetpgrp(terminal.fileno()) == holder:
                    os.tcsetpgrp(terminal.fileno(), os.getpgrp())
                    termios.tcsetattr(terminal, termios.TCSADRAIN, self.modes)
        except (OSError, termios.error):
            pass  # the same

    def suspend(self) -> None:
        """Ctrl-Z: stops all nodes and the launcher; returns when the launcher is continued, and continues the nodes."""
        self.take_terminal()
        for pid in self.pids:
            signal_group(pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        for pid in self.pids:
            signal_group(pid, signal.SIGCONT)

    # ---- the end ----

    def report_end(self) -> int:
        """Prints the cause of a failure. Returns the exit status."""
        if self.interrupted:
            say(f"stopped ({signal.strsignal(self.interrupted)})")
            return 128 + self.interrupted
        if self.plan.goes_on and self.finished:
            self.lose()
        if not self.end:
            return 0
        if self.end.follows in self.finished:
            say(f"{self.plan.name_of(self.end.follows)} ended before the others were done, and they ended because of it")
            return int(self.end.number)
        if self.end.follows >= 0:
            say(f"{self.plan.name_of(self.end.follows)} was lost, and the others ended because of it")
            return int(self.end.number)
        name = self.plan.name_of(self.end.process)
        if not self.end.killed:
            say(f"{name} ended with exit status {self.end.number}")
            return int(self.end.number)
        say(f"{name} was ended by signal {self.end.number} ({signal_name(self.end.number)})")
        return FAILED

    def run(self, extra: dict[str, str]) -> int:
        """extra: environment of all processes. Returns the exit status."""
        error: OSError | None = None
        extra = {**extra, "SGP_LOSSES": f"/proc/{os.getpid()}/fd/{self.losses}"}
        try:
            self.start_all(extra)
        except OSError as failure:
            error = failure
            say(f"{self.command[0]}: cannot be started: {error.strerror}")
            self.enter(KILLING, 0)
        self.supervise()
        end_orphans()
        return FAILED if error else self.report_end()


def signal_group(pid: int, number: int) -> None:
    """To a process and its own children; to itself alone if it has left its process group."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        os.kill(pid, number)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return signal.strsignal(number) or "unknown"


def end_orphans() -> None:
    """Ends processes that nodes have left behind; they are our children now, as we are a subreaper. Those that end by
    themselves with their parent, such as multiprocessing's resource tracker, first have the time for it: it removes
    shared memory. SIGCHLD is blocked."""
    deadline = time.monotonic() + ORPHAN_GRACE
    try:
        while True:
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
                continue
            left = deadline - time.monotonic()
            if left > 0:
                signal.sigtimedwait({signal.SIGCHLD}, left)
                continue
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_ALL, 0, os.WEXITED)
    except OSError:
        pass  # there is none left, or no way to see them


def children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]
