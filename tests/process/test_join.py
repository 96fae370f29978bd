# SPDX-License-Identifier: Apache-2.0
"""Nodes that are started one by one, and by other launchers, on loopback."""

import json
import os
import shutil
import socket
import signal
import subprocess
import time
import unittest

from support import LIMIT, PROGRAM, ProgramTest

# With --on-loss stop a node that stands still on a busy machine is waited for, so the bits are the same in any case.
RUN = ["--model", "mlp", "--epochs", "1", "--quiet", "--on-loss", "stop"]


def free_port():
    """A port of loopback that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class JoinTest(ProgramTest):
    def setUp(self):
        super().setUp()
        for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            self.environment.pop(name, None)
        for name in [n for n in self.environment if n.startswith(("PMI", "OMPI_", "SLURM_", "TORCHELASTIC_"))]:
            del self.environment[name]
        self.at = f"127.0.0.1:{free_port()}"

    def arguments(self, *more, output="out"):
        return ["train", "--data", self.data(), "--output", self.output(output), *RUN, *more]

    def node(self, *more, nodes=4, output="out", environment=None):
        return self.start(*self.arguments("--nodes", str(nodes), "--join", self.at, *more, output=output),
                          environment=environment)

    def end_all(self, processes, status=0):
        """Waits for all. Returns the standard error of each."""
        errors = []
        for process in processes:
            _, err = process.communicate(timeout=LIMIT)
            self.assertEqual(process.returncode, status, err)
            errors.append(err)
        return errors

    def hash_of(self, output="out"):
        with open(os.path.join(self.output(output), "summary.json"), encoding="utf-8") as file:
            return json.load(file)["parameters_hash"]

    def reference(self, nodes=4, *more):
        """The parameters_hash of the same run over shared memory."""
        self.train(*RUN, "--nodes", str(nodes), "--transport", "shm", *more, output="reference")
        return self.hash_of("reference")


class Together(JoinTest):
    """The same bits by every launcher."""

    def test_tcp_on_one_machine(self):
        self.train(*RUN, "--nodes", "4", "--transport", "tcp")
        self.assertEqual(self.hash_of(), self.reference())
        self.assert_nothing_left()

    def test_in_order_of_arrival(self):
        for transport in ("tcp", "auto", "shm"):
            with self.subTest(transport):
                self.at = f"127.0.0.1:{free_port()}"
                self.end_all([self.node("--transport", transport, output=transport) for _ in range(4)])
                self.assertEqual(self.hash_of(transport), self.reference())

    def test_claimed_ranks(self):
        nodes = [self.node("--rank", str(rank), "--transport", "tcp") for rank in (3, 1, 0)]
        self.end_all([*nodes, self.node("--transport", "tcp")])
        self.assertEqual(self.hash_of(), self.reference())

    def test_by_name(self):
        self.at = self.at.replace("127.0.0.1", "localhost")
        self.end_all([self.node(nodes=2), self.node(nodes=2)])

    def test_workers(self):
        more = ["--workers-per-node", "2"]
        self.end_all([self.node(*more, "--transport", "tcp", nodes=2) for _ in range(4)])
        self.assertEqual(self.hash_of(), self.reference(2, *more))

    def test_key(self):
        key = os.path.join(self.folder, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write("a secret of this test\n")
        nodes = [self.node("--key-file", key, nodes=3, environment={"SGP_TRANSPORT": "tcp"}),
                 self.node(nodes=3, environment={"SGP_KEY_FILE": key, "SGP_TRANSPORT": "tcp"}),
                 self.node(nodes=3, environment={"SGP_KEY": "a secret of this test", "SGP_TRANSPORT": "tcp"})]
        self.assertEqual(self.end_all(nodes), ["", "", ""])

    def test_environment(self):
        place = {"SGP_JOIN": self.at, "SGP_SIZE": "2", "SGP_TRANSPORT": "tcp"}
        self.end_all([self.start(*self.arguments(), environment=place) for _ in range(2)])
        self.assertEqual(self.hash_of(), self.reference(2))

    def test_directory(self):
        place = {"SGP_SIZE": "3", "SGP_RENDEZVOUS": self.runtime, "SGP_TRANSPORT": "tcp"}
        self.end_all([self.start(*self.arguments(), environment={**place, "SGP_RANK": str(rank)})
                      for rank in range(3)])
        self.assertEqual(self.hash_of(), self.reference(3))
        self.assert_nothing_left()

    def test_torchrun(self):
        """Another program, such as torchrun's own store, has MASTER_PORT."""
        with socket.socket() as store:
            store.bind(("127.0.0.1", 0))
            store.listen()
            place = {"WORLD_SIZE": "3", "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.getsockname()[1])}
            self.end_all([self.start(*self.arguments("--transport", "tcp"), environment={**place, "RANK": str(rank)})
                          for rank in range(3)])
        self.assertEqual(self.hash_of(), self.reference(3))

    def test_srun_without_pmix(self):
        place = {"SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_ID": "0",
                 "SLURM_JOB_ID": str(os.getpid())}
        self.end_all([self.start(*self.arguments("--transport", "tcp"), environment={**place, "SLURM_PROCID": str(rank)})
                      for rank in range(3)])
        self.assertEqual(self.hash_of(), self.reference(3))

    def test_run(self):
        """A user's program gets its rank and size from the environment."""
        script = "echo $SGP_JOIN $SGP_SIZE $SGP_RANK $SGP_TRANSPORT $SGP_PORTS"
        status, out, err = self.run_program("run", "--nodes", "3", "--join", "a:1", "--rank", "2", "--transport", "tcp",
                                            "--ports", "7-9", "--", "sh", "-c", script)
        self.assertEqual((status, out, err), (0, "a:1 3 2 tcp 7-9\n", ""))

    def launch(self, launcher, transport):
        command = [*launcher, PROGRAM, *self.arguments("--transport", transport, output=transport)]
        process = subprocess.run(command, env=self.environment, cwd=self.folder, timeout=LIMIT, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if "this sgp is built without it" in process.stderr:
            self.skipTest("built without PMIx")
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual(self.hash_of(transport), self.reference(3))

    def test_open_mpi(self):
        launcher = shutil.which("mpirun.openmpi")
        if not launcher:
            self.skipTest("there is no mpirun.openmpi")
        self.environment["TMPDIR"] = "/tmp"
        for transport in ("tcp", "auto", "shm"):
            with self.subTest(transport):
                self.launch([launcher, "--allow-run-as-root", "--oversubscribe", "-n", "3"], transport)

    def test_mpich(self):
        launcher = shutil.which("mpirun.mpich")
        if not launcher:
            self.skipTest("there is no mpirun.mpich")
        for transport in ("tcp", "auto"):
            with self.subTest(transport):
                self.launch([launcher, "-n", "3"], transport)


class Spoken(JoinTest):
    """The output on each node's terminal."""

    def node(self, *more, nodes=3, **options):
        return super().node(*more, "--transport", "tcp", nodes=nodes, **options)

    def arguments(self, *more, output="out"):
        return [argument for argument in super().arguments(output=output) if argument != "--quiet"] + list(more)

    def own_lines(self, err):
        """Without those of the training."""
        return [line for line in err.splitlines() if not line.startswith("epoch ")]

    def test_ranks_size_and_steps(self):
        with open(os.path.join(self.data(), "train-labels-idx1-ubyte"), "rb") as file:
            samples = len(file.read()) - 8
        steps = -(-samples // (3 * 32))
        nodes = [self.node("--rank", str(rank)) for rank in range(3)]
        for rank, err in enumerate(self.end_all(nodes)):
            self.assertEqual(self.own_lines(err), [f"joining a group of 3 at {self.at}", f"node {rank} of 3: the group is complete",
                                                   f"node {rank}: finished, {steps} steps"])

    def test_workers(self):
        nodes = [self.node("--rank", str(rank), "--workers-per-node", "2", nodes=1) for rank in range(2)]
        for rank, err in enumerate(self.end_all(nodes)):
            self.assertEqual(self.own_lines(err)[1], f"worker {rank} of node 0 of 1: the group is complete")

    def test_quiet(self):
        self.assertEqual(self.end_all([self.node("--quiet") for _ in range(3)]), ["", "", ""])

    def test_reasons(self):
        """A signal, and the loss of the node that got it."""
        nodes = [self.node("--rank", str(rank), "--epochs", "100000", nodes=2) for rank in range(2)]
        while not nodes[0].stderr.readline().startswith("epoch 1/"):
            self.assertIsNone(nodes[0].poll())
        nodes[1].send_signal(signal.SIGHUP)
        errors = [node.communicate(timeout=LIMIT)[1] for node in nodes]
        self.assertEqual(errors[1].splitlines()[-1], "node 1: stopped (Hangup)")
        self.assertRegex(errors[0].splitlines()[-1], r"^node 0: (ended early: |stopped)")

    def test_nothing_to_do(self):
        self.end_all([self.node("--rank", str(rank), nodes=2) for rank in range(2)])
        self.at = f"127.0.0.1:{free_port()}"
        again = ["train", "--nodes", "2", "--join", self.at, "--transport", "tcp", "--resume", self.output()]
        errors = self.end_all([self.start(*again, "--rank", str(rank)) for rank in range(2)])
        for rank, err in enumerate(errors):
            self.assertEqual(err.splitlines()[-1], f"node {rank}: the run was finished before")

    def test_node_0_cannot_begin(self):
        with open(self.output("in-the-way"), "w", encoding="utf-8"):
            pass
        nodes = [self.node("--rank", "0", nodes=2, output="in-the-way"), self.node("--rank", "1", nodes=2)]
        errors = self.end_all(nodes, status=2)
        self.assertIn("--output", errors[0])
        self.assertEqual(errors[1].splitlines()[-1], "node 1: ended, node 0 could not begin the run")


class Apart(JoinTest):
    """One line on each side, and no process waits for long."""

    def pair(self, first, second, environments=({}, {})):
        """The messages of the founder of a group of two, and of a process that it refuses."""
        founder = self.node(*first, "--join-timeout", str(LIMIT / 2), environment=environments[0])
        self.wait_for_founder(founder)
        caller = self.node(*second, "--join-timeout", str(LIMIT / 2), environment=environments[1])
        _, theirs = caller.communicate(timeout=LIMIT)
        ours = founder.stderr.readline()
        self.assertIsNone(founder.poll())  # it goes on waiting for a process that fits
        founder.terminate()
        self.assertEqual(founder.communicate(timeout=LIMIT)[1], "")
        self.assertNotEqual(caller.returncode, 0)
        self.assertEqual(len(theirs.splitlines()), 1, theirs)
        return ours, theirs

    def until(self, condition, process):
        """Looks again and again as long as the process runs."""
        end = time.monotonic() + LIMIT
        while not condition():
            self.assertLess(time.monotonic(), end)
            try:
                process.wait(timeout=0.01)
                self.fail("it has ended: " + process.stderr.read())
            except subprocess.TimeoutExpired:
                pass

    def wait_for_founder(self, process):
        """Waits until a process listens there."""
        host, port = self.at.rsplit(":", 1)

        def listens():
            with socket.socket() as sock:
                sock.settimeout(LIMIT)
                return sock.connect_ex((host, int(port))) == 0

        self.until(listens, process)

    def test_two_claim_one_rank(self):
        ours, theirs = self.pair(["--nodes", "2", "--rank", "1"], ["--nodes", "2", "--rank", "1"])
        self.assertIn("rank 1 is taken by the join server", ours)
        self.assertIn(f"cannot join at {self.at}: it refuses us: rank 1 is taken by", theirs)

    def test_other_size(self):
        ours, theirs = self.pair(["--nodes", "2"], ["--nodes", "3"])
        for err in (ours, theirs):
            self.assertIn("it expects a group of 3 processes, and this one is of 2", err)

    def test_other_transport(self):
        ours, theirs = self.pair(["--nodes", "2", "--transport", "tcp"], ["--nodes", "2"])
        for err in (ours, theirs):
            self.assertIn("it has --transport auto, and here is tcp", err)

    def test_wrong_key(self):
        keys = ({"SGP_KEY": "a secret of this test"}, {"SGP_KEY": "a secret of that test"})
        ours, theirs = self.pair(["--nodes", "2"], ["--nodes", "2"], keys)
        for err in (ours, theirs):
            self.assertIn("key", err)
            self.assertNotIn("secret", err)

    def test_missing_key(self):
        keys = ({"SGP_KEY": "a secret of this test"}, {})
        for which in (keys, keys[::-1]):
            ours, theirs = self.pair(["--nodes", "2"], ["--nodes", "2"], which)
            for err in (ours, theirs):
                self.assertIn("key", err)

    def test_full_group(self):
        nodes = [self.node("--epochs", "100000", nodes=2, output="full") for _ in range(2)]
        metrics = os.path.join(self.output("full"), "metrics.jsonl")
        self.until(lambda: os.path.exists(metrics), nodes[0])  # it is written when the group is there
        err = self.refused(*self.arguments("--nodes", "2", "--join", self.at), status=1)
        self.assertIn("it refuses us: the group is full: all 2 processes have come", err)
        for node in nodes:
            node.terminate()
        for node in nodes:
            _, err = node.communicate(timeout=LIMIT)

    def test_founder_ends(self):
        """A waiting process on the same machine takes over."""
        first = self.node(nodes=2)
        self.wait_for_founder(first)
        first.kill()
        first.wait()
        self.end_all([self.node(nodes=2), self.node(nodes=2)])

    def test_unreachable(self):
        port = free_port()
        place = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(min(port, 65000))}
        err = self.refused(*self.arguments("--join-timeout", "0.5"), status=1, environment=place)
        self.assertIn("within 500 ms: ", err)
        self.assertIn("Connection refused", err)

    def test_no_such_host(self):
        self.at = "no-such-host.invalid:7070"
        err = self.refused(*self.arguments("--nodes", "2", "--join", self.at), status=2)
        self.assertIn("host no-such-host.invalid: ", err)

    def test_port_taken(self):
        """By something that is not sgp, and says so."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            self.at = "127.0.0.1:%d" % other.getsockname()[1]
            node = self.node(nodes=2)
            connection, _ = other.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 20)
            [err] = self.end_all([node], status=2)
            connection.close()
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertIn(f"cannot join at {self.at}: the process at that port is not of this group: ", err)

    def test_the_memory_of_other_machines_is_not_counted(self):
        """Many nodes together need more memory than this machine has; only one of them is here."""
        err = self.refused(*self.arguments("--nodes", "60000"))
        self.assertIn("60000 nodes of mlp", err)
        err = self.refused(*self.arguments("--nodes", "60000", "--join", self.at, "--join-timeout", "0.3"), status=1)
        self.assertNotIn("GiB", err)

    def test_not_all_come(self):
        err = self.refused(*self.arguments("--nodes", "3", "--join", self.at, "--join-timeout", "0.3"), status=1)
        self.assertIn(f"1 of 3 processes came to {self.at} within 300 ms", err)

    def test_another_machine_without_a_key(self):
        self.at = "192.0.2.1:7070"  # an address for documentation
        err = self.refused(*self.arguments("--nodes", "2", "--join", self.at))
        self.assertIn("192.0.2.1:7070 is another machine, and there is no key: ", err)
        self.assertIn("--key-file", err)


class Machines(JoinTest):
    """Two machines that share no /tmp and no directory of runs, as two mount namespaces."""

    def setUp(self):
        super().setUp()
        probe = subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL, check=False)
        if probe.returncode != 0:
            self.skipTest("mount namespaces cannot be made here")
        self.private = os.path.join(self.folder, "runs")  # of each machine
        os.mkdir(self.private)
        self.program = shutil.copy(PROGRAM, os.path.join(self.folder, "sgp"))  # which may be somewhere in /tmp
        self.disks = [os.path.join(self.folder, name) for name in "ab"]
        for disk in self.disks:
            os.mkdir(disk)

    def on(self, machine, rank, *more):
        """Node `rank` of 4 on machine 0 or 1. Both have the data and the program, at the same paths."""
        script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        if machine == 1:  # its /tmp is another one; the test's own folder is kept in sight
            script = ('mount --bind "$1" "$2" && mkdir -p "$3" && mount --rbind "$3" /mnt && mount -t tmpfs none /tmp && '
                      'mkdir -p "$3" && mount --rbind /mnt "$3" && cd "$3" && shift 3 && exec "$@"')
        places = [self.disks[machine], self.private] + ([self.folder] if machine else [])
        command = ["unshare", "-m", "sh", "-c", script, "sh", *places, self.program, "train", "--nodes", "4", "--join", self.at,
                   "--rank", str(rank), *more]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=self.environment, cwd=self.folder)
        self.addCleanup(self.end, process)
        return process

    def files(self, machine):
        found = []
        for path, _, names in os.walk(self.disks[machine]):
            found += [os.path.relpath(os.path.join(path, name), self.disks[machine]) for name in names]
        return sorted(found)

    def run_all(self, *more):
        return self.end_all([self.on(rank // 2, rank, *more) for rank in range(4)])

    def test_run_and_resume(self):
        self.data()
        run = os.path.join(self.private, "run")
        new = ["--data", self.data(), "--output", run, "--model", "mlp", "--quiet", "--epochs", "2"]
        self.assertEqual(self.run_all(*new), ["", "", "", ""])
        ours, theirs = self.files(0), self.files(1)
        for name in ("config.json", "metrics.jsonl", "summary.json", "model.safetensors"):
            self.assertIn("run/" + name, ours)
        self.assertIn("run/config.json", theirs)  # to resume by
        self.assertNotIn("run/summary.json", theirs)
        for rank in range(4):
            last = f"run/checkpoint/step-000000008/node-{rank}.safetensors"
            self.assertEqual((last in ours, last in theirs), (rank < 2, rank >= 2))
        reference = self.hash_in(0)
        self.assertEqual(self.reference(4, "--epochs", "2"), reference)

        # Both lose what came after the first epoch.
        for machine in (0, 1):
            shutil.rmtree(os.path.join(self.disks[machine], "run", "checkpoint", "step-000000008"))
        for name in ("summary.json", "model.safetensors"):
            os.remove(os.path.join(self.disks[0], "run", name))
        self.at = f"127.0.0.1:{free_port()}"
        self.assertEqual(self.run_all("--resume", run, "--quiet"), ["", "", "", ""])
        self.assertEqual(self.hash_in(0), reference)

        # The others need not see that the run has ended.
        self.at = f"127.0.0.1:{free_port()}"
        self.assertEqual(self.run_all("--resume", run, "--quiet"), ["", "", "", ""])

    def hash_in(self, machine):
        with open(os.path.join(self.disks[machine], "run", "summary.json"), encoding="utf-8") as file:
            return json.load(file)["parameters_hash"]

    def test_each_machine_keeps_its_files(self):
        """Files on another machine are protected as those on node 0's."""
        self.data()
        run = os.path.join(self.private, "run")
        new = ["--data", self.data(), "--output", run, "--model", "mlp", "--quiet", "--epochs", "2"]
        self.assertEqual(self.run_all(*new), ["", "", "", ""])
        shutil.rmtree(os.path.join(self.disks[0], "run"))
        before = self.files(1)
        self.at = f"127.0.0.1:{free_port()}"
        errors = self.end_all([self.on(rank // 2, rank, *new) for rank in range(4)], status=2)
        self.assertIn(f"--output {run}: holds this run, unfinished: sgp train --resume {run}", "".join(errors))
        self.assertEqual(self.files(1), before)
        self.at = f"127.0.0.1:{free_port()}"
        self.assertEqual(self.run_all(*new, "--epochs", "1", "--overwrite"), ["", "", "", ""])
        self.assertEqual(self.files(1), ["run/checkpoint/step-000000004/node-2.safetensors",
                                         "run/checkpoint/step-000000004/node-3.safetensors", "run/config.json"])

    def test_each_machine_has_a_lock(self):
        self.data()
        run = os.path.join(self.private, "run")
        new = ["--data", self.data(), "--output", run, "--model", "mlp", "--epochs", "100000"]
        nodes = [self.on(rank // 2, rank, *new) for rank in range(4)]
        while "epoch" not in nodes[0].stderr.readline():
            self.assertIsNone(nodes[0].poll())
        owners = []
        for machine in (0, 1):
            with open(os.path.join(self.disks[machine], "run", "lock"), encoding="utf-8") as file:
                owners.append(file.read().split())
        self.assertEqual(owners[0][3], owners[1][3])  # the token
        self.assertEqual(int(owners[0][1]), nodes[0].pid)
        self.assertIn(int(owners[1][1]), (nodes[2].pid, nodes[3].pid))
        err = self.refused("train", "--resume", os.path.join(self.disks[1], "run"))
        self.assertIn(f"process {owners[1][1]} on", err)

    def test_shm_does_not_reach(self):
        more = ["--data", self.data(), "--output", os.path.join(self.private, "run"), *RUN, "--transport", "shm"]
        for err in self.end_all([self.on(rank // 2, rank, *more) for rank in range(4)], status=2):
            self.assertIn("transport shm: node ", err)
            self.assertIn("auto or tcp reaches both", err)


class Mistakes(JoinTest):
    def test_combinations(self):
        for arguments, expected in [
                (["--rank", "1"], ["--rank 1", "--join"]),
                (["--join", "a"], ["address a", "HOST:PORT"]),
                (["--join", "a:1", "--nodes", "2", "--rank", "2"], ["--rank 2", "0 to 1"]),
                (["--join", "a", "--nodes", "2"], ["address a", "HOST:PORT"]),
                (["--join", "127.0.0.1:0", "--nodes", "2"], ["127.0.0.1:0", "above 0"]),
                (["--join", "a:1", "--nodes", "2", "--transport", "loopback"], ["--join a:1", "tcp, auto or shm"]),
                (["--ports", "7-9"], ["--ports", "--transport tcp", "--join"]),
                (["--interface", "lo", "--transport", "shm"], ["--interface", "shm"]),
                (["--insecure", "--key-file", "k", "--transport", "tcp"], ["--insecure", "--key-file k"]),
                (["--join", "127.0.0.1:1", "--nodes", "2", "--key-file", "k"], ["key file k", "No such file"]),
                (["--join", self.at, "--nodes", "2", "--interface", "nope"], ["interface nope", "lo"]),
                (["--join", "[::1]:9", "--nodes", "2", "--resume", "x"], ["x"])]:
            with self.subTest(" ".join(arguments)):
                err = self.refused(*self.arguments(*arguments))
                for part in expected:
                    self.assertIn(part, err)

    def test_short_key(self):
        err = self.refused(*self.arguments("--join", self.at, "--nodes", "2"), environment={"SGP_KEY": "short"})
        self.assertIn("16", err)

    def test_bad_environment(self):
        for place, expected in [({"SGP_JOIN": "a:1"}, "SGP_SIZE"),
                                ({"SGP_JOIN": "a:1", "SGP_SIZE": "2", "SGP_RANK": "2"}, "rank 2"),
                                ({"SGP_TRANSPORT": "pigeon"}, "pigeon"),
                                ({"RANK": "3", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "WORLD_SIZE"),
                                ({"SGP_JOIN": self.at, "SGP_SIZE": "2", "SGP_JOIN_TIMEOUT_MS": "soon"}, "soon")]:
            with self.subTest(str(place)):
                self.assertIn(expected, self.refused(*self.arguments(), environment=place))


if __name__ == "__main__":
    unittest.main()
