# SPDX-License-Identifier: Apache-2.0
"""Runs under MPI's launchers: the bits of the other transports, MPI's own all-reduce, and how jobs end. Once for each MPI
library that the build has found; skipped without any."""

import array
import json
import os
import signal
import subprocess
import unittest

from support import LIMIT, PROGRAM, ProgramTest

# flavour -> its mpirun
LAUNCHERS = dict(pair.split("=", 1) for pair in os.environ.get("SGP_MPIRUN", "").split(",") if pair)
EXAMPLES = os.environ.get("SGP_EXAMPLES", "")

SMALL = ["--model", "mlp", "--epochs", "2", "--batch-size", "16"]


def parameters(directory):
    """The numbers of model.safetensors."""
    with open(os.path.join(directory, "model.safetensors"), "rb") as file:
        file.seek(int.from_bytes(file.read(8), "little"), os.SEEK_CUR)
        numbers = array.array("f")
        numbers.frombytes(file.read())
    return numbers


@unittest.skipUnless(LAUNCHERS, "no MPI library was found when this was built")
class UnderMpi(ProgramTest):
    def setUp(self):
        super().setUp()
        for name in ("OMPI", "PRTE"): # Open MPI 4 and 5
            self.environment.update({f"{name}_ALLOW_RUN_AS_ROOT": "1", f"{name}_ALLOW_RUN_AS_ROOT_CONFIRM": "1"})

    def start_job(self, flavour, processes, *command, environment=None):
        line = [LAUNCHERS[flavour]]
        if flavour == "openmpi":
            line.append("--oversubscribe")
        process = subprocess.Popen([*line, "-n", str(processes), *command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder,
                                   env={**self.environment, **(environment or {})})
        self.addCleanup(self.end, process)
        return process

    def run_job(self, flavour, processes, *command, environment=None):
        process = self.start_job(flavour, processes, *command, environment=environment)
        out, err = process.communicate(timeout=LIMIT)
        return process.returncode, out, err

    def train_job(self, flavour, processes, *arguments, output):
        directory = self.output(output)
        status, _, err = self.run_job(flavour, processes, PROGRAM, "train", "--transport", "mpi", "--data",
                                      self.data(), "--output", directory, *arguments)
        self.assertEqual(status, 0, err)
        with open(os.path.join(directory, "summary.json"), encoding="utf-8") as file:
            return json.load(file)

    def test_the_same_bits_as_over_shared_memory(self):
        for number, algorithm in enumerate(("sgp", "osgp", "allreduce", "dpsgd")):
            arguments = [*SMALL, "--algorithm", algorithm]
            here = self.train(*arguments, "--nodes", "4", "--transport", "shm", output=f"shm{number}")
            for flavour in LAUNCHERS:
                with self.subTest(f"{algorithm} under {flavour}"):
                    there = self.train_job(flavour, 4, *arguments, output=f"{flavour}{number}")
                    self.assertEqual(here["parameters_hash"], there["parameters_hash"])
                    self.assertEqual((there["nodes"], there["transport"]), (4, "mpi"))

    def test_nodes_of_two_workers(self):
        arguments = [*SMALL, "--workers-per-node", "2"]
        here = self.train(*arguments, "--nodes", "2", output="shm")
        for flavour in LAUNCHERS:
            with self.subTest(flavour):
                there = self.train_job(flavour, 4, *arguments, output=flavour)
                self.assertEqual(here["parameters_hash"], there["parameters_hash"])
                self.assertEqual((there["nodes"], there["workers_per_node"]), (2, 2))

    def test_nobody_waits_and_mass_is_kept(self):
        for flavour in LAUNCHERS:
            for number, arguments in enumerate((["--algorithm", "adpsgd"], ["--overlap", "async"])):
                with self.subTest(f"{arguments} under {flavour}"):
                    summary = self.train_job(flavour, 3, *SMALL, *arguments, output=f"{flavour}{number}")
                    self.assertAlmostEqual(summary["mass"]["w_total"], 3, places=6)
                    self.assertLess(summary["mass"]["drift"], 1e-5)

    def test_the_all_reduce_of_the_library_is_ours_but_for_rounding(self):
        arguments = [*SMALL, "--algorithm", "allreduce"]
        self.train(*arguments, "--nodes", "3", output="own")
        for flavour in LAUNCHERS:
            with self.subTest(flavour):
                self.train_job(flavour, 3, *arguments, "--allreduce", "library", output=flavour)
                pairs = zip(parameters(self.output("own")), parameters(self.output(flavour)), strict=True)
                self.assertLess(max(abs(a - b) for a, b in pairs), 1e-4)

    def test_a_program_on_the_shared_library(self):
        for flavour in LAUNCHERS:
            with self.subTest(flavour):
                status, out, err = self.run_job(flavour, 4, os.path.join(EXAMPLES, "average"),
                                                environment={"SGP_TRANSPORT": "mpi"})
                self.assertEqual(status, 0, err)
                self.assertEqual(sorted(out.splitlines()),
                                 [f"node {r} of 4: mine {10 * (r + 1)}, mean 25, exact mean 25" for r in range(4)])

    def test_a_killed_process_ends_the_job(self):
        """Process 1 prints its number, becomes the program, and is killed in the middle of training."""
        names = {"openmpi": "OMPI_COMM_WORLD_RANK", "mpich": "PMI_RANK"}
        for flavour in LAUNCHERS:
            with self.subTest(flavour):
                script = f'[ "${names.get(flavour, "PMI_RANK")}" = 1 ] && echo $$; exec "$0" "$@"'
                job = self.start_job(flavour, 3, "/bin/sh", "-c", script, PROGRAM, "train", "--transport", "mpi",
                                     "--data", self.data(), "--output", self.output(flavour), "--model", "mlp",
                                     "--epochs", "100000")
                victim = int(job.stdout.readline())
                while "epoch 1/" not in job.stderr.readline():
                    self.assertIsNone(job.poll())
                os.kill(victim, signal.SIGKILL)
                job.communicate(timeout=LIMIT)
                self.assertNotEqual(job.returncode, 0)

    @unittest.skipUnless(len(LAUNCHERS) > 1, "needs two MPI libraries")
    def test_the_wrong_library_is_said(self):
        """Each process would be a job of its own."""
        status, _, err = self.run_job("openmpi", 2, PROGRAM, "train", "--transport", "mpi", "--data", self.data(),
                                      "--output", self.output(), *SMALL, environment={"SGP_MPI": "mpich"})
        self.assertNotEqual(status, 0)
        self.assertIn("of 2, and for MPI node 0 of 1", err)

    def test_a_missing_module_is_named(self):
        flavour = next(iter(LAUNCHERS))
        status, _, err = self.run_job(flavour, 1, PROGRAM, "train", "--transport", "mpi", "--data", self.data(),
                                      "--output", self.output(), *SMALL, environment={"SGP_MPI": "nobody"})
        self.assertNotEqual(status, 0)
        self.assertIn("no module libsgp-mpi-nobody.so", err)


if __name__ == "__main__":
    unittest.main()
