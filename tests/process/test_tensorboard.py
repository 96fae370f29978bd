# SPDX-License-Identifier: Apache-2.0
"""The event files of --tensorboard, read back by the description of their format."""

import json
import os
import shutil
import struct
import unittest

from support import ProgramTest

LINE_TAGS = {"loss": "train/loss", "lr": "train/lr", "step_ms": "time/step_ms",
             "gradient_ms": "time/gradient_ms", "wait_ms": "time/wait_ms", "weight": "mixing/weight",
             "consensus_distance": "mixing/consensus_distance"}
END_TAGS = {"test_loss": "test/loss", "test_accuracy": "test/accuracy", "train_loss": "epoch/train_loss"}
ALL_TAGS = {"average_model_accuracy": "test/average_model_accuracy",
            "consensus_distance": "epoch/consensus_distance"}


def crc32c(data):
    """Castagnoli's polynomial, lowest bit first."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0x82F63B78 if rest & 1 else 0)
    return rest ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    """The records of a TFRecord file, checked."""
    at = 0
    while at < len(data):
        length, crc = struct.unpack_from("<QI", data, at)
        assert crc == masked(data[at:at + 8]), "checksum of a length"
        record = data[at + 12:at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked(record), "checksum of a record"
        yield record
        at += length + 16


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, value) of a protobuf message: integers for varints, bytes for the rest."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            length = {1: 8, 5: 4}.get(kind)
            if length is None:
                assert kind == 2, f"wire type {kind}"
                length, at = varint(data, at)
            value = data[at:at + length]
            at += length
        yield key >> 3, value


def decode(record):
    """An Event as a dictionary."""
    event = {"step": 0, "values": {}}
    for number, value in fields(record):
        if number == 1:
            event["time"] = struct.unpack("<d", value)[0]
        elif number == 2:
            event["step"] = value
        elif number == 3:
            event["version"] = value.decode()
        elif number == 5:
            for _, one in fields(value):
                parts = dict(fields(one))
                event["values"][parts[1].decode()] = struct.unpack("<f", parts[2])[0]
        elif number == 7:
            event["start"] = dict(fields(value)) == {1: 1}
    return event


class TensorBoard(ProgramTest):
    def files(self, part):
        """The events of each file of a sub-run, in order of time."""
        directory = os.path.join(self.output(), "tensorboard", part)
        files = []
        for name in sorted(os.listdir(directory)):
            self.assertRegex(name, r"^events\.out\.tfevents\.\d{10}\.")
            with open(os.path.join(directory, name), "rb") as file:
                files.append([decode(record) for record in records(file.read())])
        return sorted(files, key=lambda events: events[0]["time"])

    def events(self, part):
        files = self.files(part)
        self.assertEqual(len(files), 1)
        return files[0]

    def metrics(self):
        with open(os.path.join(self.output(), "metrics.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def assert_values(self, found, expected):
        self.assertEqual(set(found), set(expected))
        for tag, value in expected.items():
            self.assertAlmostEqual(found[tag], value, delta=1e-6 * abs(value), msg=tag)

    def test_holds_the_metrics(self):
        self.train("--epochs", "3", "--model", "mlp", "--nodes", "3", "--tensorboard")
        metrics = self.metrics()
        self.assertEqual(sorted(os.listdir(os.path.join(self.output(), "tensorboard"))),
                         ["all", "node-0", "node-1", "node-2"])
        for node in range(3):
            version, start, *events = self.events(f"node-{node}")
            self.assertEqual(version["version"], "brain.Event:2")
            self.assertTrue(start["start"] and start["step"] == 1)
            lines = [line for line in metrics if line["node"] == node]
            self.assertEqual([event["step"] for event in events], [line["step"] for line in lines])
            for event, line in zip(events, lines):
                tags = LINE_TAGS if "loss" in line else END_TAGS
                self.assert_values(event["values"], {tag: line[name] for name, tag in tags.items()})

    def test_all_is_the_mean_of_the_nodes(self):
        self.train("--epochs", "2", "--model", "mlp", "--nodes", "3", "--tensorboard")
        metrics = self.metrics()
        _, _, *events = self.events("all")
        for event in events:
            at_end = "test/accuracy" in event["values"]
            lines = [line for line in metrics
                     if line["step"] == event["step"] and ("test_accuracy" in line) == at_end]
            self.assertEqual(len(lines), 3)
            tags = END_TAGS | ALL_TAGS if at_end else LINE_TAGS
            self.assert_values(event["values"], {tag: sum(line[name] for line in lines) / 3
                                                 for name, tag in tags.items()})

    def test_times_go_on(self):
        self.train("--epochs", "3", "--model", "mlp", "--nodes", "2", "--tensorboard")
        for part in ("node-0", "node-1", "all"):
            times = [event["time"] for event in self.events(part)[2:]]
            self.assertEqual(times, sorted(times))
            self.assertLess(times[-1] - times[0], 3600)

    def test_a_resumed_run_has_every_step_once(self):
        self.train("--epochs", "3", "--model", "mlp", "--nodes", "2", "--checkpoint-every", "3", "--tensorboard")
        checkpoints = os.path.join(self.output(), "checkpoint")
        shutil.rmtree(os.path.join(checkpoints, max(os.listdir(checkpoints))))
        os.remove(os.path.join(self.output(), "summary.json"))
        status, _, err = self.run_program("train", "--resume", self.output())
        self.assertEqual(status, 0, err)
        for part in ("node-1", "all"):
            first, second = self.files(part)
            start = second[1]
            self.assertTrue(start["start"])
            self.assertEqual(start["step"], 17)  # 8 steps an epoch: the third is written again
            kept = [event for event in first[2:] if event["step"] < start["step"]] + second[2:]
            lines = [line for line in self.metrics() if line["node"] == (0 if part == "all" else 1)]
            self.assertEqual([event["step"] for event in kept], [line["step"] for line in lines])

    def test_what_does_not_exist_is_left_out(self):
        self.train("--epochs", "1", "--model", "mlp", "--nodes", "2", "--tensorboard", "--compute-ms", "1")
        for event in self.events("node-0")[2:]:
            self.assertNotIn("train/loss", event["values"])
            self.assertNotIn("test/accuracy", event["values"])

    def test_no_files_unless_asked_for(self):
        self.train("--epochs", "1", "--model", "mlp", "--nodes", "2")
        for name in ("tensorboard", "trace.json"):
            self.assertFalse(os.path.exists(os.path.join(self.output(), name)), name)


if __name__ == "__main__":
    unittest.main()
