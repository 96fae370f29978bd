# SPDX-License-Identifier: Apache-2.0
"""`sgp data`: data sets are packed, unpacked, checked and shown, and every kind of bad input gets a line."""

import fcntl
import io
import os
import shutil
import signal
import struct
import subprocess
import tarfile
import unittest
import zlib

from support import LIMIT, SOURCE, ProgramTest, write


def png(width, height, value=128):
    """A grey PNG file."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = (b"\0" + bytes([value]) * width) * height
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def png_size(path):
    with open(path, "rb") as file:
        header = file.read(24)
    return struct.unpack(">II", header[16:])


def tree(directory):
    """{path below it: contents} of all files."""
    found = {}
    for root, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = file.read()
    return found


class DataTest(ProgramTest):
    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def sgp_data(self, *arguments):
        """Succeeds. Returns its output."""
        status, out, err = self.run_program("data", *arguments)
        self.assertEqual((status, err), (0, ""))
        return out

    def pictures(self, name="pictures", **sizes):
        """A folder of JPEG files, 20 x 20 pixels, made of the small IDX data set."""
        if not os.path.isdir(self.path(name)):
            self.sgp_data("unpack", self.data(**(sizes or {"train": 60, "test": 20})), name, "--resize", "20", "--quiet")
        return name

    def put(self, path, content):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        write(self.path(path), content)

    def read(self, path):
        with open(self.path(path), "rb") as file:
            return file.read()


class Packing(DataTest):
    def test_pack_check_show(self):
        self.pictures()
        out = self.sgp_data("pack", "pictures", "shards", "--shards", "3")
        self.assertIn("training    60 pictures in 3 shards\ntest        20 pictures in 1 shard\n", out)
        self.assertEqual(sorted(os.listdir(self.path("shards"))),
                         ["classes.txt", *(f"train-{i:06}.{e}" for i in range(3) for e in ("index", "tar")),
                          "val-000000.index", "val-000000.tar"])
        for data, form in (("pictures", "folder"), ("shards", "shards")):
            out = self.sgp_data("check", data)
            self.assertIn(f"format      {form}\nclasses     10\ntraining    60 pictures\ntest        20 pictures\n", out)
            self.assertIn("sizes       20 x 20 to 20 x 20; 0 PNG, 80 grey\n", out)
            self.assertIn("broken      0\n", out)
        for arguments, count in ((["--batch-size", "5"], 5), (["--test"], 32), (["--no-augment"], 32)):
            out = self.sgp_data("show", "shards", "--size", "16", "--output", "sheet.png", *arguments)
            self.assertEqual(len(out.splitlines()), 2 + count)
            columns = 3 if count == 5 else 6
            self.assertEqual(png_size(self.path("sheet.png")), (columns * 20 + 4, (2 if count == 5 else 6) * 20 + 4))

    def test_other_programs_read_the_shards(self):
        """Python's tarfile, and GNU tar. Every picture is there once, beside the label of its class."""
        self.pictures()
        self.sgp_data("pack", "pictures", "shards", "--shards", "3")
        found = {}
        classes = self.read("shards/classes.txt").decode().split("\n")
        for name in ("train-000000.tar", "train-000001.tar", "train-000002.tar"):
            with tarfile.open(self.path("shards", name)) as tar:
                members = tar.getmembers()
                self.assertEqual(len(members), 40)
                for picture, label in zip(members[::2], members[1::2]):
                    key, ending = picture.name.split(".")
                    self.assertEqual((ending, label.name), ("jpg", key + ".cls"))
                    of_class = classes[int(tar.extractfile(label).read())]
                    path = os.path.join("train", of_class, key.split("-")[1] + ".jpg")
                    found[path] = tar.extractfile(picture).read()
            listed = subprocess.run(["tar", "-tf", self.path("shards", name)], check=True, capture_output=True, text=True,
                                    timeout=LIMIT)
            self.assertEqual(listed.stdout.splitlines(), [member.name for member in members])
            self.assertEqual(listed.stderr, "")
        expected = {path: content for path, content in tree(self.path("pictures")).items() if path.startswith("train")}
        self.assertEqual(found, expected)

    def test_shards_of_other_programs_are_read(self):
        """GNU tar sorts .cls before .jpg, and Python's tarfile adds extended headers with times."""
        self.pictures()
        self.put("classes/classes.txt", b"")
        samples = sorted(tree(self.path("pictures")).items())
        os.makedirs(self.path("loose"))
        for split in ("train", "val"):
            with tarfile.open(self.path("loose", f"{split}-0.tar"), "w", format=tarfile.PAX_FORMAT) as tar:
                for path, content in samples:
                    part, label, name = path.split("/")
                    for ending, body in ((".jpg", content), (".cls", label.encode())) if part == split else ():
                        member = tarfile.TarInfo("long/" * 30 + name.split(".")[0] + ending)
                        member.size, member.mtime = len(body), 1700000000.125
                        tar.addfile(member, io.BytesIO(body))
        status, out, err = self.run_program("data", "check", "loose")
        self.assertEqual(status, 0, err)
        self.assertIn("2 of 2 shards have no index", err)
        self.assertIn("training    60 pictures\ntest        20 pictures\n", out)
        for split in ("train", "val"):
            os.makedirs(self.path("members", split))
            for path, content in samples:
                part, label, name = path.split("/")
                if part == split:
                    self.put(f"members/{split}/{name}", content)
                    self.put(f"members/{split}/{name.split('.')[0]}.cls", label.encode())
            os.makedirs(self.path("gnu"), exist_ok=True)
            subprocess.run(["tar", "--sort=name", "-cf", self.path("gnu", f"x-{split}-00.tar"), "-C", self.path("members"),
                            split], check=True, timeout=LIMIT)
        self.assertEqual(self.sgp_data("index", "gnu"), "indexed     2 shards with 80 pictures\n")
        self.assertIn("broken      0\n", self.sgp_data("check", "gnu"))
        self.sgp_data("unpack", "gnu", "again", "--quiet")
        self.assertEqual(sorted(tree(self.path("again")).values()), sorted(content for _, content in samples))

    def test_the_same_files_from_any_number_of_threads(self):
        self.pictures()
        for threads in ("1", "7"):
            self.sgp_data("pack", "pictures", "out" + threads, "--shards", "5", "--resize", "16", "--threads", threads)
        self.assertEqual(tree(self.path("out1")), tree(self.path("out7")))
        self.sgp_data("pack", "pictures", "other", "--shards", "5", "--resize", "16", "--seed", "2")
        self.assertNotEqual(tree(self.path("out1")), tree(self.path("other")))
        self.assertIn("sizes       16 x 16 to 16 x 16; ", self.sgp_data("check", "out1"))

    def test_larger_pictures_shrink_and_smaller_ones_stay(self):
        for split in ("train", "val"):
            self.put(f"mixed/{split}/a/wide.png", png(60, 30))
            self.put(f"mixed/{split}/b/high.png", png(25, 200))
            self.put(f"mixed/{split}/b/small.jpg", png(10, 9))
        self.sgp_data("unpack", "mixed", "small", "--resize", "20")
        found = tree(self.path("small", "train"))
        self.assertEqual(sorted(found), ["a/000000-wide.jpg", "b/000001-high.jpg", "b/000002-small.png"])
        self.assertEqual(found["b/000002-small.png"], png(10, 9))
        self.assertIn("sizes       10 x 9 to 20 x 160; 2 PNG, 2 grey\n", self.sgp_data("check", "small"))

    def test_turned_pictures_are_counted(self):
        self.pictures()
        shutil.copy(os.path.join(SOURCE, "tests", "data", "pictures", "exif.jpg"), self.path("pictures/val/3/turned.jpg"))
        self.assertIn("turned      1: ", self.sgp_data("check", "pictures"))

    def test_a_part_of_the_samples(self):
        self.sgp_data("unpack", self.data(train=60, test=20), "part", "--limit-samples", "10", "--quiet")
        found = tree(self.path("part"))
        self.assertEqual(len(found), 20)
        self.assertIn("train/4/000054.jpg", found)


class Replacing(DataTest):
    """OUT appears as a whole, and nothing of others is removed."""

    def test_overwrite(self):
        self.pictures()
        self.sgp_data("pack", "pictures", "out", "--shards", "4", "--quiet")
        before = tree(self.path("out"))
        self.assertIn("--overwrite", self.refused("data", "pack", "pictures", "out", "--shards", "2"))
        self.assertEqual(tree(self.path("out")), before)
        self.sgp_data("pack", "pictures", "out", "--shards", "2", "--overwrite", "--quiet")
        self.assertEqual(len(tree(self.path("out"))), 1 + 2 * 3)
        self.put("out/thesis.tex", b"")
        self.assertIn("thesis.tex", self.refused("data", "pack", "pictures", "out", "--shards", "2", "--overwrite"))
        self.assertEqual(len(tree(self.path("out"))), 2 + 2 * 3)
        self.assertIn("remove it", self.refused("data", "unpack", "out", "pictures"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["data", "out", "pictures", "r"])

    def test_failure_leaves_nothing(self):
        self.pictures()
        self.put("pictures/val/3/broken.jpg", b"no picture")
        for arguments in (["pack", "pictures", "out", "--shards", "2"], ["unpack", "pictures", "out"]):
            err = self.refused("data", *arguments, "--threads", "1", status=1)
            self.assertIn("val/3/broken.jpg: it is neither JPEG nor PNG", err)
            self.assertEqual(sorted(os.listdir(self.folder)), ["data", "pictures", "r"])
        os.remove(self.path("pictures/val/3/broken.jpg"))
        self.sgp_data("pack", "pictures", "out", "--shards", "2")

    def test_killed(self):
        """What a killed process left is removed by the next; two at once are refused."""
        self.pictures()
        os.mkfifo(self.path("pictures/train/3/pipe"))
        self.put("out.sgp-part/train-000009.tar", b"of a killed process")
        folder = os.open(self.path("out.sgp-part"), os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        self.assertIn("another process is writing it", self.refused("data", "pack", "pictures", "out", "--shards", "2"))
        os.close(folder)
        self.sgp_data("pack", "pictures", "out", "--shards", "2")
        self.assertNotIn("train-000009.tar", os.listdir(self.path("out")))
        self.assertFalse(os.path.exists(self.path("out.sgp-part")))

    def test_interrupt(self):
        self.pictures()
        for path in list(tree(self.path("pictures", "train"))):
            for i in range(400):
                os.link(self.path("pictures", "train", path), self.path("pictures", "train", path[:-4] + f"-{i}.jpg"))
        process = self.start("data", "pack", "pictures", "out", "--shards", "1", "--resize", "8")
        while not os.path.exists(self.path("out.sgp-part", "train-000000.tar")) and process.poll() is None:
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual((process.returncode, err), (130, "sgp: pack: stopped (Interrupt)\n"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["data", "pictures", "r"])


class Damage(DataTest):
    def broken(self, *arguments):
        """check fails. Returns the lines about samples, sorted, and the error."""
        status, out, err = self.run_program("data", "check", *arguments, "--quiet")
        self.assertEqual(status, 1, err)
        return sorted(out.splitlines()), err

    def test_broken_pictures_are_named(self):
        self.pictures()
        whole = self.read("pictures/train/5/000025.jpg")
        self.put("pictures/train/1/cut.jpg", whole[:len(whole) // 2])
        self.put("pictures/train/2/empty.jpg", b"")
        self.put("pictures/train/3/text.jpg", b"GIF89a, or no picture at all")
        os.symlink("nowhere", self.path("pictures/val/7/link.jpg"))
        self.put("pictures/val/7/cut.png", png(30, 30)[:-20])
        lines, err = self.broken("pictures")
        self.assertEqual([line.split(":")[0] for line in lines],
                         ["train/1/cut.jpg", "train/2/empty.jpg", "train/3/text.jpg", "val/7/cut.png", "val/7/link.jpg"])
        self.assertIn("empty", lines[1])
        self.assertIn("neither JPEG nor PNG", lines[2])
        self.assertIn("No such file", lines[4])
        self.assertEqual(err, "sgp: check: 5 of 85 pictures are broken\n")
        out = self.run_program("data", "check", "pictures", "--threads", "3")[1]
        self.assertIn("broken      5\n", out)
        self.assertIn("training    63 pictures\n", out)

    def test_damaged_shards(self):
        self.pictures()
        self.sgp_data("pack", "pictures", "shards", "--shards", "2", "--quiet")
        shard = self.path("shards", "train-000001.tar")
        good = self.read(shard)
        # In a picture: the sample is broken. In a header: the shard is not that of the index.
        write(shard, good[:512] + b"\0" * 64 + good[576:])
        lines, _ = self.broken("shards")
        self.assertRegex(lines[0], r"^train-000001.tar:00000030-\d+\.jpg: it is neither JPEG nor PNG")
        offset = good.index(b"00000037-")
        write(shard, good[:offset] + b"X" + good[offset + 1:])
        lines, _ = self.broken("shards")
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], rf"^train-000001.tar:byte {offset}: .*it has changed")
        write(shard, good[:offset + 600])
        err = self.refused("data", "check", "shards")
        self.assertIn(f"train-000001.tar: has {offset + 600} bytes, but {len(good)} by its index", err)
        os.remove(self.path("shards", "train-000001.index"))
        self.assertIn("train-000001.tar: ends in the middle of 00000037-", self.refused("data", "check", "shards"))
        write(shard, good)
        write(self.path("shards", "val-000000.index"), b"SGPINDEX")
        self.assertIn("val-000000.index", self.refused("data", "check", "shards"))
        self.sgp_data("index", "shards")
        self.sgp_data("check", "shards")

    def test_folders_that_are_no_data_set(self):
        self.pictures()
        self.put("pictures/train/new/readme.txt", b"")
        self.assertIn("train/new: a class folder without pictures", self.refused("data", "check", "pictures"))
        self.put("pictures/train/new/x.png", png(9, 9))
        err = self.refused("data", "check", "pictures")
        self.assertIn("val: lacks 1 of the 11 class folders of train: new", err)
        shutil.rmtree(self.path("pictures/train/new"))
        shutil.rmtree(self.path("pictures/train/4"))
        self.assertIn("val: has 1 class folders that train lacks: 4", self.refused("data", "check", "pictures"))
        shutil.rmtree(self.path("pictures/val"))
        self.assertIn("neither val nor test", self.refused("data", "check", "pictures"))
        err = self.refused("data", "check", self.folder)
        for form in ("folder", "shards", "cifar10", "cifar100", "idx"):
            self.assertIn(f"({form})", err)
        self.assertIn("no such directory", self.refused("data", "check", "nowhere"))

    def test_mistakes(self):
        self.pictures()
        for arguments, text in (([], "command is missing"), (["chekc"], "did you mean data check?"), (["frobnicate"], "--help"),
                                (["pack"], "DATA is missing"), (["pack", "pictures"], "OUT is missing"),
                                (["pack", "pictures", "out"], "--shards is missing"),
                                (["pack", "pictures", "out", "--shards", "61"], "at most 60"),
                                (["pack", "pictures", "out", "--shards", "0"], "--shards 0: must be"),
                                (["pack", "pictures", "out", "--shards", "2", "--quality", "101"], "--quality 101"),
                                (["pack", "pictures", "--shards", "2", "out", "more"], "more: unexpected"),
                                (["pack", self.data(), "out", "--shards", "2"], "which need no shards"),
                                (["index", "pictures"], "has no shards"),
                                (["check", "pictures", "--thread", "2"], "did you mean --threads?"),
                                (["show", "pictures", "--batch-size", "1024", "--size", "2048"], "too large")):
            with self.subTest(" ".join(arguments)):
                status = 1 if arguments[:1] == ["show"] else 2
                self.assertIn(text, self.refused("data", *arguments, status=status))
        self.assertEqual(sorted(os.listdir(self.folder)), ["data", "pictures", "r"])
        self.assertIn("cannot be written", self.refused("data", "show", "pictures", "--output", "no/such/x.png", status=1))

    def test_output_cannot_be_written(self):
        self.pictures()
        self.put("file", b"")
        self.assertIn("file", self.refused("data", "pack", "pictures", "file", "--shards", "2"))
        self.assertIn("file/out", self.refused("data", "pack", "pictures", "file/out", "--shards", "2"))


class Pixels(DataTest):
    def test_cifar(self):
        """Training reads it, and its pictures are shown and unpacked."""
        for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
            records = b"".join(bytes([i % 10]) + bytes([20 * (i % 10)]) * 1024 + bytes([255 - 20 * (i % 10)]) * 1024 +
                               bytes([100]) * 1024
                               for i in range(20))
            self.put("cifar/" + name, records)
        out = self.sgp_data("check", "cifar")
        self.assertIn("format      cifar10\nclasses     10\ntraining    100 pictures\ntest        20 pictures\n"
                      "size        32 x 32, 3 channels\n", out)
        self.sgp_data("show", "cifar", "--output", "c.png", "--batch-size", "4")
        self.assertEqual(png_size(self.path("c.png")), (76, 76))
        self.sgp_data("unpack", "cifar", "jpeg", "--quiet")
        self.assertIn("sizes       32 x 32 to 32 x 32; 0 PNG, 0 grey\n", self.sgp_data("check", "jpeg"))
        status, _, err = self.run_program("train", "--data", "cifar", "--model", "resnet20", "--nodes", "2", "--epochs", "1",
                                          "--batch-size", "10", "--output", "run", "--quiet")
        self.assertEqual(status, 0, err)

    def test_help(self):
        for arguments in (["--help"], ["pack", "--help"], ["show", "x", "-h"]):
            status, out, err = self.run_program("data", *arguments)
            self.assertEqual((status, err), (0, ""))
            self.assertTrue(out.startswith("usage: sgp data "))


if __name__ == "__main__":
    unittest.main()
