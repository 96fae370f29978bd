# SPDX-License-Identifier: Apache-2.0
"""A user's mistake gets one line that names the option or file, the value and what would be right."""

import ctypes
import os
import re
import shutil
import subprocess
import unittest

from support import CLASSES, FILES, LIMIT, SOURCE, ProgramTest, idx_images, idx_labels, make_split, write

# (arguments, text in the line)
OPTIONS = [
    (["--epoch", "3"], ["--epoch", "did you mean --epochs?"]),
    (["--batchsize=3"], ["--batchsize", "did you mean --batch-size?"]),
    (["--zzzzzz"], ["--zzzzzz", "unknown", "--help"]),
    (["stray"], ["stray"]),
    (["--epochs"], ["--epochs", "missing"]),
    (["--quiet=yes"], ["--quiet", "no value"]),
    (["--nodes", "0"], ["--nodes 0", "from 1 to"]),
    (["--nodes", "four"], ["--nodes four", "whole number"]),
    (["--nodes", "2.5"], ["--nodes 2.5", "whole number"]),
    (["--nodes", "99999999999999999999"], ["--nodes 99999999999999999999", "whole number"]),
    (["--algorithm", "sgd"], ["--algorithm sgd", "sgp, ", "osgp, ", "or a schedule"]),
    (["--algorithm", "1:sgp"], ["--algorithm 1:sgp", "adpsgd", "or a schedule"]),
    (["--algorithm", "0:sgp,0:osgp"], ["--algorithm 0:sgp,0:osgp"]),
    (["--algorithm", "0:allreduce,5:sgp"], ["epoch 5", "5 epochs"]),
    (["--algorithm", "0:allreduce,2:dpsgd", "--graph", "exponential"], ["dpsgd", "exponential"]),
    (["--graph", "star"], ["--graph star", "must be exponential, "]),
    # Impossible combinations are refused with the reason and a possible one.
    (["--algorithm", "dpsgd", "--graph", "exponential"], ["directed", "bipartite-exponential", "base"]),
    (["--algorithm", "dpsgd", "--graph", "ring"], ["directed", "ring with 2 peers"]),
    (["--algorithm", "dpsgd", "--graph", "random"], ["directed"]),
    (["--algorithm", "adpsgd", "--graph", "ring"], ["active and passive", "bipartite-exponential works"]),
    (["--algorithm", "allreduce", "--overlap", "1"], ["overlap with allreduce", "works with osgp"]),
    (["--algorithm", "dpsgd", "--overlap", "async"], ["overlap with dpsgd", "works with osgp"]),
    (["--algorithm", "adpsgd", "--overlap", "2"], ["overlap with adpsgd", "works with osgp"]),
    (["--algorithm", "server", "--overlap", "1"], ["overlap with server", "works with osgp"]),
    (["--algorithm", "server", "--rounds", "2"], ["rounds with server", "sgp and dpsgd"]),
    (["--algorithm", "server", "--local-steps", "2"], ["local steps are 2 with server", "sgp and allreduce"]),
    (["--algorithm", "server", "--slow-every", "4"], ["slow momentum with server", "sgp and allreduce"]),
    (["--algorithm", "server", "--encoding", "int8"], ["encoding int8 with server", "bfloat16 and float16 work"]),
    (["--algorithm", "server", "--on-loss", "continue"], ["on-loss is continue", "node 0"]),
    (["--algorithm", "allreduce", "--biased"], ["biased with allreduce", "sgp and osgp"]),
    (["--slow-alone"], ["slow"]),
    (["--slow-momentum", "1"], ["--slow-momentum 1", "below 1"]),
    (["--slow-every", "0"], ["--slow-every 0", "from 1 to"]),
    (["--outer-lr", "11"], ["--outer-lr 11", "0 to 10"]),
    (["--outer-lr", "0.7", "--algorithm", "osgp"], ["outer steps with an overlap", "overlap 0"]),
    (["--local-steps", "0"], ["--local-steps 0", "from 1 to"]),
    (["--peers", "0"], ["--peers 0"]),
    (["--peers", "4"], ["peers", "4"]),
    (["--peers", "3", "--graph", "ring"], ["peers", "3"]),
    (["--peers", "0:2,30:1"], ["peers", "epoch 30", "5 epochs"]),
    (["--peers", "0:2,3:4"], ["4 peers among 4 nodes", "at most 3"]),
    (["--rounds", "0"], ["--rounds 0", "from 1 to 64, or auto"]),
    (["--rounds", "-1"], ["--rounds -1", "from 1 to 64, or auto"]),
    (["--rounds", "65"], ["--rounds 65", "from 1 to 64, or auto"]),
    (["--status", "80800"], ["--status 80800", "0 to 65535"]),
    (["--status", "node17"], ["--status node17", "HOST:PORT"]),
    (["--status", ":80"], ["--status :80", "HOST:PORT"]),
    (["--status-token-file", "t"], ["--status-token-file t", "--status PORT"]),
    (["--status-insecure"], ["--status-insecure", "--status PORT"]),
    (["--status", "80", "--status-insecure", "--status-token-file", "t"], ["--status-insecure", "--status-token-file t"]),
    (["--status", "80", "--transport", "loopback"], ["--status 80", "not loopback"]),
    (["--rounds", "many"], ["--rounds many", "from 1 to 64, or auto"]),
    (["--rounds", "2", "--algorithm", "osgp"], ["rounds with an overlap", "sgp and dpsgd, overlap 0"]),
    (["--rounds", "auto", "--algorithm", "allreduce"], ["rounds with allreduce", "work with sgp and dpsgd"]),
    (["--rounds", "2", "--epochs", "2", "--algorithm", "0:allreduce,1:osgp"], ["rounds with a schedule", "sgp and dpsgd"]),
    (["--overlap", "-1"], ["--overlap -1", "from 0 to 1000, or async"]),
    (["--overlap", "soon"], ["--overlap soon", "async"]),
    (["--workers-per-node", "0"], ["--workers-per-node 0", "from 1 to"]),
    (["--model", "vgg"], ["--model vgg", "lenet"]),
    (["--model", "resnet152"], ["--model resnet152", "did you mean resnet"]),
    (["--batch-size", "0"], ["--batch-size 0"]),
    (["--lr", "-1"], ["--lr -1", "above 0"]),
    (["--lr", "nan"], ["--lr nan"]),
    (["--lr", "fast"], ["--lr fast"]),
    (["--momentum", "1"], ["--momentum 1", "below 1"]),
    (["--weight-decay", "-1"], ["--weight-decay -1"]),
    (["--warmup-epochs", "-1"], ["--warmup-epochs -1"]),
    (["--lr-schedule", "linear"], ["--lr-schedule linear", "step, cosine, constant"]),
    (["--optimizer", "lamb"], ["--optimizer lamb", "sgd, adam"]),
    (["--seed", "-1"], ["--seed -1"]),
    (["--transport", "mpi", "--nodes", "3"], ["--transport mpi", "mpirun -n 3 sgp train --transport mpi"]),
    (["--transport", "pigeon"], ["--transport pigeon", "auto, shm, tcp, mpi, loopback"]),
    (["--allreduce", "theirs"], ["--allreduce theirs", "own, library"]),
    (["--allreduce", "library"], ["allreduce is library", "transport auto", "transport mpi has it"]),
    (["--encoding", "eightbit"], ["--encoding eightbit", "float32, bfloat16, float16, int8"]),
    (["--encoding", "int4", "--algorithm", "osgp"], ["int4 with osgp", "allreduce, sgp and dpsgd", "osgp works with int8"]),
    (["--encoding", "int6", "--on-loss", "continue"], ["on-loss is continue", "int8 can"]),
    (["--encoding", "int6", "--algorithm", "allreduce"], ["int6 with allreduce", "sgp and dpsgd", "int8 and int4"]),
    (["--encoding", "int4", "--algorithm", "0:allreduce,1:osgp"], ["int4 with osgp", "int8"]),
    (["--encoding", "int8", "--keep-going"], ["int8", "not finite", "bfloat16"]),
    (["--resume", "x"], ["--resume x", "no run there"]),
    (["--checkpoint-every", "0"], ["--checkpoint-every 0", "from 1 to"]),
    (["--slow-node", "1"], ["--slow-node 1", "RANK:FACTOR"]),
    (["--slow-node", "1:0.5"], ["--slow-node 1:0.5", "RANK:FACTOR"]),
    (["--slow-node", "9:2"], ["slow-node", "9"]),
    (["--compute-ms", "-1"], ["--compute-ms -1"]),
    (["--limit-samples", "0"], ["--limit-samples 0"]),
    (["--limit-samples", "1000000"], ["limit-samples", "1000000", "512"]),
    (["--output", ""], ["--output"]),
]


class Options(ProgramTest):
    def test_options(self):
        for arguments, expected in OPTIONS:
            with self.subTest(" ".join(arguments)):
                err = self.refused("train", "--data", self.data(), "--output", self.output(), *arguments)
                for part in expected:
                    self.assertIn(part, err)
        self.assertFalse(os.path.exists(self.output()))
        self.assert_nothing_left()

    def test_commands(self):
        self.assertIn("did you mean train?", self.refused("trian"))
        self.assertIn("command", self.refused())
        self.assertIn("nosuch", self.refused("table", "nosuch"))
        self.assertIn("directories", self.refused("table"))
        self.assertIn("lenet", self.refused("model", "--model", "vgg"))

    def test_help_and_version(self):
        for arguments in (["--help"], ["help"], ["train", "--help"], ["run", "--help"], ["train", "-h"]):
            status, out, err = self.run_program(*arguments)
            self.assertEqual((status, err), (0, ""))
            self.assertTrue(out.startswith("usage: sgp"))
        self.assertRegex(self.run_program("--version")[1], r"^sgp \d+\.\d+\.\d+\n$")
        self.assertEqual(self.run_program("train", "--version"), self.run_program("--version"))

    def test_manual_is_made_from_the_tables(self):
        """scripts/make-manual would change nothing: the man page has all options with defaults and meaning."""
        with open(os.path.join(SOURCE, "docs", "sgp.1"), encoding="utf-8") as file:
            manual = file.read()
        begin = manual.index(".SH OPTIONS OF SGP TRAIN")
        status, out, err = self.run_program("help", "--man")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(manual[begin:manual.index(".SH EXIT STATUS")], out)

    def test_every_option_is_explained(self):
        """In --help and in the manual: once, with a text."""
        manual = self.run_program("help", "--man")[1].replace("\\-", "-")
        for command in ("train", "run", "compare", "table", "report", "simulate", "bench", "graph", "average", "eval",
                        "model", "data pack", "data unpack", "data index", "data check", "data show"):
            described = self.described(command)
            self.assertIn("help", described, command)
            begin = manual.find(f".SH OPTIONS OF SGP {command.upper()}\n")
            section = manual[begin:manual.find(".SH", begin + 1)] if begin >= 0 else ""
            for name, text in described.items():
                with self.subTest(f"{command} --{name}"):
                    self.assertGreater(len(text), 5)
                    # How nodes join is described once, for train.
                    shared = command in ("run", "bench") and "how nodes join" in section
                    if name != "help" and not (shared and name in self.described("train")):
                        self.assertEqual(section.count(f"\n\\fB--{name}\\fR"), 1)

    def described(self, command):
        """{option: its text} of a command's --help."""
        _, out, _ = self.run_program(*command.split(), "--help")
        found = {}
        for name, text in re.findall(r"(?m)^  --([a-z-]+)(.*(?:\n {28}.*)*)", out):
            self.assertNotIn(name, found)
            found[name] = text.split(None, 1)[-1] if text.strip() else ""
        return found


class Data(ProgramTest):
    def refuse_data(self, *arguments):
        return self.refused("train", "--model", "mlp", "--output", self.output(), "--data",
                            os.path.join(self.folder, "data"), *arguments)

    def path(self, name):
        return os.path.join(self.data(), FILES[name])

    def cut(self, name, size):
        with open(self.path(name), "rb") as file:
            content = file.read()
        write(self.path(name), content[:size])

    def test_no_directory(self):
        self.assertIn(os.path.join(self.folder, "data"), self.refuse_data())

    def test_missing_file(self):
        for name in FILES:
            with self.subTest(name):
                self.data()
                os.remove(self.path(name))
                self.assertIn(FILES[name], self.refuse_data())
                shutil.rmtree(self.data())

    def test_truncated_file(self):
        for name in FILES:
            for size in (0, 3, 12, 100):
                with self.subTest(f"{name} {size}"):
                    self.data()
                    self.cut(name, size)
                    self.assertIn(FILES[name], self.refuse_data())
                    shutil.rmtree(self.data())

    def test_wrong_magic(self):
        images, labels = make_split(512, 1)
        self.data()
        write(self.path("train-images"), idx_images(images, magic=0x804))
        self.assertIn(FILES["train-images"], self.refuse_data())
        write(self.path("train-images"), idx_images(images))
        write(self.path("train-labels"), idx_labels(labels, magic=0x803))
        self.assertIn(FILES["train-labels"], self.refuse_data())

    def test_label_out_of_range(self):
        _, labels = make_split(512, 1)
        labels[77] = CLASSES
        self.data()
        write(self.path("train-labels"), idx_labels(labels))
        err = self.refuse_data()
        self.assertIn(FILES["train-labels"], err)
        self.assertIn("77", err)

    def test_counts_that_do_not_fit(self):
        images, _ = make_split(511, 1)
        self.data()
        write(self.path("train-images"), idx_images(images))
        self.assertIn("511", self.refuse_data())


def obey_modes():
    """In the new process: root loses the right to write everywhere (CAP_DAC_OVERRIDE)."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(24, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_CAPBSET_DROP)")


class Output(ProgramTest):
    def refuse_output(self, path):
        return self.refused("train", "--model", "mlp", "--data", self.data(), "--output", path)

    def test_below_a_file(self):
        write(os.path.join(self.folder, "file"), b"")
        path = os.path.join(self.folder, "file", "out")
        self.assertIn(f"--output {path}: cannot be made: Not a directory", self.refuse_output(path))

    def test_a_file(self):
        path = os.path.join(self.folder, "file")
        write(path, b"")
        self.assertIn("Not a directory", self.refuse_output(path))

    def test_not_writable(self):
        """Also one that is to be made there, and the one above it."""
        closed = os.path.join(self.folder, "closed")
        os.mkdir(closed, 0o500)
        for path, reason in ((closed, "cannot be written"), (os.path.join(closed, "a"), "cannot be made"),
                             (os.path.join(closed, "a", "b"), "cannot be made")):
            with self.subTest(path):
                process = self.start("train", "--model", "mlp", "--data", self.data(), "--output", path,
                                     preexec_fn=obey_modes)
                _, err = process.communicate(timeout=LIMIT)
                self.assertEqual((process.returncode, err), (2, f"sgp: --output {path}: {reason}: Permission denied\n"))

    def small_disk(self, size):
        path = os.path.join(self.folder, "disk")
        os.mkdir(path)
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path],
                               capture_output=True, text=True, check=False)
        if mount.returncode != 0:
            self.skipTest(f"no small disk here: {mount.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", path], check=False)
        return path

    def test_full_disk(self):
        path = self.small_disk("16k")
        self.assertIn("No space left", self.refuse_output(path))

    def test_disk_fills_during_the_run(self):
        """The model, 240 kB, does not fit."""
        path = self.small_disk("100k")
        for transport in ("shm", "loopback"):
            with self.subTest(transport):
                status, _, err = self.run_program("train", "--model", "lenet", "--data", self.data(), "--quiet",
                                                  "--epochs", "1", "--output", path, "--overwrite", "--transport",
                                                  transport)
                self.assertEqual(status, 1, err)
                self.assertIn("No space left", err)
                self.assertIn(path, err)
                self.assert_nothing_left()


class Nodes(ProgramTest):
    """Nodes started by hand with different settings."""

    def start_node(self, rank, *arguments, size=2):
        place = {"SGP_RANK": str(rank), "SGP_SIZE": str(size), "SGP_RENDEZVOUS": self.runtime}
        return self.start("train", "--data", self.data(), "--output", self.output(), "--epochs", "1", *arguments,
                          environment=place)

    def check_mismatch(self, ours, theirs, *expected):
        nodes = [self.start_node(0, *ours), self.start_node(1, *theirs)]
        errors = ""
        for node in nodes:
            _, err = node.communicate(timeout=LIMIT)
            self.assertEqual(node.returncode, 2, err)
            errors += err
        for part in expected:
            self.assertIn(part, errors)

    def test_agree(self):
        nodes = [self.start_node(rank, "--model", "mlp", "--quiet") for rank in (0, 1)]
        for node in nodes:
            _, err = node.communicate(timeout=LIMIT)
            self.assertEqual((node.returncode, err), (0, ""))

    def test_different_models(self):
        self.check_mismatch(["--model", "mlp"], ["--model", "lenet"], "model", "mlp", "lenet")

    def test_different_seeds(self):
        self.check_mismatch(["--model", "mlp", "--seed", "5"], ["--model", "mlp", "--seed", "6"], "seed", "5", "6")

    def test_different_number_of_nodes(self):
        err = self.refused("train", "--nodes", "3", "--data", self.data(), environment={
            "SGP_RANK": "0", "SGP_SIZE": "2", "SGP_RENDEZVOUS": self.runtime})
        self.assertIn("--nodes 3", err)

    def test_bad_place(self):
        for place in ({"SGP_RANK": "2", "SGP_SIZE": "2"}, {"SGP_RANK": "x", "SGP_SIZE": "2"}, {"SGP_RANK": "0"}):
            err = self.refused("train", "--data", self.data(), environment=place)
            self.assertIn("SGP_", err)


if __name__ == "__main__":
    unittest.main()
