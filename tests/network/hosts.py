# SPDX-License-Identifier: Apache-2.0
"""Hosts on one machine: network namespaces, joined by a switch, with links of a given rate and delay.

    reason = why_not()                      # None, or why they cannot be made here
    with Network(4, rate=1e9, delay=0.01) as network:
        process = network[1].popen(["ping", "-c", "1", network[0].ipv4])

Each host has an interface `eth0` of a full-duplex link to one switch, an IPv4 and an IPv6 address, and a host name of its own; it
reaches nothing else. All hosts still share the machine's kernel, its disk, /tmp and the boot id.

rate, in bits per second: tbf at both ends of the link, so a host sends and receives that much at the same time, and what comes
from several hosts for one queues in the switch. delay, in seconds one way: kernels without netem have no queue that delays, so
the switch is a program then (relay.c, built with the tests). Without a delay it is the kernel's bridge.

Everything is removed at the end: by `with`, at the exit of the interpreter, also after Ctrl-C and SIGTERM; and what a killed program
left is removed by the next that makes a network. Processes are killed by pid, and are those that run in these namespaces."""

import atexit
import ctypes
import functools
import glob
import ipaddress
import os
import select
import shutil
import signal
import subprocess
import threading

PREFIX = "sgp-net-"
LIMIT = 30  # seconds that making or removing something may take

# A frame with segmentation left to the receiver has up to 64 KiB: a bucket that is smaller makes the kernel cut it. The bucket
# also makes up for a sender that the machine, which is all hosts at once, did not let run for a moment.
BUCKET_LEAST = 128 << 10
BUCKET_SECONDS = 0.0025
# The queue behind it is that of a switch: some ten milliseconds.
QUEUE_LEAST = 512 << 10
QUEUE_SECONDS = 0.02


class HostsError(RuntimeError):
    """Namespaces, links or limits cannot be made here; the text says why."""


def run(*command, text=None):
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
    if done.returncode:
        raise HostsError(f"{' '.join(command)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout


def started_at(pid):
    """The start of the process, in ticks since boot: with its pid it names one process. None: there is none, or it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def pids_in(namespace):
    try:
        return [int(pid) for pid in run("ip", "netns", "pids", namespace).split()]
    except HostsError:
        return []


def end_processes(namespace):
    """Kills the processes there, and waits until they have ended; repeatedly, because they may be starting others."""
    for _ in range(10):
        descriptors = []
        for pid in pids_in(namespace):
            try:
                descriptors.append(os.pidfd_open(pid))
            except ProcessLookupError:
                continue
            signal.pidfd_send_signal(descriptors[-1], signal.SIGKILL)
        if not descriptors:
            return
        for descriptor in descriptors:
            select.select([descriptor], [], [], LIMIT)
            os.close(descriptor)


def remove_namespace(name):
    end_processes(name)
    subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, timeout=LIMIT, check=False)


def remove_stale():
    """Removes the remains of killed programs."""
    for path in glob.glob(f"/run/netns/{PREFIX}*"):
        name = os.path.basename(path)
        pid, start = name[len(PREFIX):].split("-")[:2]
        if started_at(pid) != start:
            remove_namespace(name)


class Host:
    """One of a network's: `name`, `ipv4`, `ipv6` (None where the kernel has none)."""

    def __init__(self, network, index):
        self.network = network
        self.index = index
        self.name = f"host{index}"
        self.namespace = f"{network.prefix}-{self.name}"
        self.port = f"port{index}"
        self.mac = f"02:53:47:50:00:{index + 1:02x}"
        self.ipv4 = str(ipaddress.ip_address("10.83.0.0") + index + 1)
        self.ipv6 = str(ipaddress.ip_address("fd53:4750::") + index + 1) if os.path.exists("/proc/sys/net/ipv6") else None

    def command(self, arguments):
        """The same command in this host. Replaces itself by the program, so the pid is the program's."""
        named = 'hostname "$0" && exec "$@"'
        return ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", named, self.name, *arguments]

    def popen(self, arguments, **options):
        """subprocess.Popen there. The process ends with this one."""
        process = subprocess.Popen(self.command(arguments), preexec_fn=die_with_parent, **options)
        self.network.processes.append(process)
        return process

    def run(self, arguments, **options):
        """subprocess.run there."""
        return subprocess.run(self.command(arguments), preexec_fn=die_with_parent, **options)

    def set_link(self, up, way="both"):
        """Plugs the cable into the switch, or pulls it out there. The host itself does not notice. way, of a network with a
        delay: "to": nothing gets to the host; "from": nothing gets from it; plugging in restores both."""
        relay = self.network.relay
        if relay:
            relay.stdin.write(f"{'up' if up else {'both': 'down', 'to': 'deaf', 'from': 'mute'}[way]} {self.index}\n")
            relay.stdin.flush()
            relay.stdout.readline()
        elif way != "both":
            raise HostsError("only the switch of a network with a delay cuts a link one way")
        else:
            run("ip", "-n", self.network.switch, "link", "set", self.port, *(("master", "switch") if up else ("nomaster",)))

    def set_switch(self, other):
        """Plugs the cable into the other switch, to which nothing else leads, or back. Not in a network with a delay."""
        run("ip", "-n", self.network.switch, "link", "set", self.port, "master", "other" if other else "switch")

    def counters(self):
        """Bytes received and sent by its interface, with the headers of whole frames before they are cut into packets."""
        out = run("ip", "netns", "exec", self.namespace, "cat", "/proc/net/dev")
        fields = next(line for line in out.splitlines() if line.strip().startswith("eth0:")).split(":")[1].split()
        return int(fields[0]), int(fields[8])


class Network:
    """`count` hosts, up to 200; indexed and iterated as a list of Host.

    congestion: TCP's congestion control in all hosts. The machine's own default may be BBR; most machines have cubic."""

    made = 0

    def __init__(self, count, rate=None, delay=0, congestion="cubic", relay=None):
        Network.made += 1
        self.prefix = f"{PREFIX}{os.getpid()}-{started_at(os.getpid())}-{Network.made}"
        self.switch = f"{self.prefix}-switch"
        self.rate, self.delay, self.congestion = rate, delay, congestion
        self.relay_program = relay or os.environ.get("SGP_RELAY")
        self.relay = None
        self.relay_report = ""
        self.processes = []  # which the hosts have started; perhaps not all of them have entered their host yet
        self.hosts = [Host(self, index) for index in range(count)]

    def __len__(self):
        return len(self.hosts)

    def __getitem__(self, index):
        return self.hosts[index]

    def __enter__(self):
        for tool in ("ip", "tc"):
            if not shutil.which(tool):
                raise HostsError(f"{tool} is missing (Debian's iproute2)")
        remove_stale()
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, lambda number, frame: exec("raise SystemExit(128 + number)"))
        atexit.register(self.remove)
        try:
            self.make()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        """May be called more than once."""
        atexit.unregister(self.remove)
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.end_relay()
        for host in self.hosts:
            remove_namespace(host.namespace)
        remove_namespace(self.switch)

    def end_relay(self):
        """Ends with its standard input, and then writes its counts into relay_report."""
        if not self.relay or self.relay.returncode is not None:
            return
        try:
            _, self.relay_report = self.relay.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self.relay.kill()
            self.relay.communicate()

    # ---- making ----

    def make(self):
        run("ip", "netns", "add", self.switch)
        for host in self.hosts:
            run("ip", "netns", "add", host.namespace)
        if self.delay:
            self.start_relay()
        else:
            self.make_bridge()
        for host in self.hosts:
            self.set_up(host)

    def make_bridge(self):
        for name in ("switch", "other"):
            run("ip", "-n", self.switch, "link", "add", name, "type", "bridge", "forward_delay", "0", "stp_state", "0", "mcast_snooping", "0")
            run("ip", "-n", self.switch, "link", "set", name, "up")
        for host in self.hosts:
            run("ip", "link", "add", "eth0", "netns", host.namespace, "type", "veth", "peer", "name", host.port, "netns", self.switch)
            run("ip", "-n", self.switch, "link", "set", host.port, "master", "switch", "up")
            self.limit(self.switch, host.port)

    def start_relay(self):
        """Makes the hosts' interfaces and limits the traffic to them; traffic from a host is limited in the host."""
        if not self.relay_program or not os.path.exists(self.relay_program):
            raise HostsError(f"a delay needs the relay that is built with the tests, and {self.relay_program} is not there")
        command = [self.relay_program, str(round(self.delay * 1e6)), str(round(self.rate or 0)), str(self.queue()),
                   *(f"/run/netns/{host.namespace}" for host in self.hosts)]
        self.relay = subprocess.Popen(command, preexec_fn=die_with_parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
        if self.relay.stdout.readline() != "ready\n":
            raise HostsError(f"relay: {self.relay.communicate()[1].strip()}")

    def set_up(self, host):
        """The route names the congestion control: the sysctl takes only the names that the machine allows to all users."""
        lines = [f"link set eth0 address {host.mac}", f"address add {host.ipv4}/24 dev eth0 noprefixroute", "link set lo up",
                 "link set eth0 up", f"route add 10.83.0.0/24 dev eth0 src {host.ipv4} congctl {self.congestion}"]
        if host.ipv6:
            lines += [f"address add {host.ipv6}/64 dev eth0 nodad noprefixroute",
                      f"route add fd53:4750::/64 dev eth0 src {host.ipv6} congctl {self.congestion}"]
        run("ip", "-n", host.namespace, "-batch", "-", text="\n".join(lines) + "\n")
        self.limit(host.namespace, "eth0")

    def bucket(self):
        return max(round((self.rate or 0) / 8 * BUCKET_SECONDS), BUCKET_LEAST)

    def queue(self):
        return max(round((self.rate or 0) / 8 * QUEUE_SECONDS), QUEUE_LEAST)

    def limit(self, namespace, interface):
        if self.rate:
            run("tc", "-n", namespace, "qdisc", "replace", "dev", interface, "root", "tbf", "rate", f"{round(self.rate)}bit",
                "burst", str(self.bucket()), "limit", str(self.queue() + self.bucket()))


@functools.lru_cache(maxsize=None)
def why_not():
    """None: networks can be made here; otherwise the reason in one line. Tries it."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    try:
        with Network(2, rate=1e9) as network:
            done = network[1].run(["true"], stderr=subprocess.PIPE, text=True)
            if done.returncode:
                return f"no command can be run in a network namespace: {done.stderr.strip()}"
    except (HostsError, OSError, subprocess.TimeoutExpired) as error:
        return f"network namespaces cannot be made here: {error}"
    return None
