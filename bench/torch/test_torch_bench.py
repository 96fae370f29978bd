# SPDX-License-Identifier: Apache-2.0
"""Properties of the benchmarks that hold without measuring: python3 -m pytest bench/torch. The programs run on their smallest settings."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import models
import rows
import saved_runs


def floats(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def run(program: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, os.path.join(HERE, program), *arguments], env=saved_runs.environment(), stdout=subprocess.PIPE, text=True,
                          check=True, timeout=300)
    return done.stdout


def test_models_have_the_stated_sizes():
    assert floats(models.resnet18()) == 11_689_512  # torchvision's
    assert round(floats(models.gpt()), -5) == 10_900_000
    for count in (5_000_000, 10_000_000):
        assert abs(floats(models.Sleeping(count, 0)) - count) < 1000


def test_sleeping_layers_share_the_computation_and_leave_gradients(monkeypatch):
    slept = []
    monkeypatch.setattr(models.time, "sleep", slept.append)
    model = models.Sleeping(100_000, 9.0)
    loss = model(torch.ones(1, requires_grad=True))
    assert sum(slept) == pytest.approx(3.0)
    loss.backward()
    assert sum(slept) == pytest.approx(9.0)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_rows_take_further_keywords():
    row = rows.parse_row("osgp+local_steps=4+graph=ring")
    assert row.options == {"algorithm": "osgp", "local_steps": 4, "graph": "ring"}
    assert rows.ROWS["osgp"].options == {"algorithm": "osgp"}


@pytest.mark.parametrize("name", ["nothing", "sgp+local_steps", "ddp+graph=ring"])
def test_bad_rows_are_refused(name):
    with pytest.raises(ValueError):
        rows.parse_row(name)


def test_samples_outlive_the_process(tmp_path):
    path = str(tmp_path / "folder" / "samples.jsonl")
    saved_runs.Samples(path).add([1, 2], row="sgp", round=3)
    again = saved_runs.Samples(path)
    assert again.get(round=3, row="sgp") == [1, 2]
    assert again.get(round=4, row="sgp") is None


def test_step_measures_every_row_on_every_process(tmp_path):
    output = str(tmp_path / "step.json")
    run("ddp_step", "--models", "tiny", "--nodes", "2", "--rows", "ddp,sgp", "--rounds", "2", "--steps", "3", "--output", output)
    with open(output, encoding="utf-8") as file:
        (experiment,) = json.load(file)
    assert len(experiment["seconds"]) == 2
    for found in experiment["seconds"]:
        assert {row: [len(steps) for steps in ranks] for row, ranks in found.items()} == {"ddp": [3, 3], "sgp": [3, 3]}


def test_accuracy_takes_the_same_samples_on_any_number_of_nodes(tmp_path):
    """SGD with the exact mean of the gradients of all shares is SGD with the gradient of the whole; a second call repeats nothing."""
    text = tmp_path / "text"
    text.write_bytes(bytes(range(256)) * 64)
    common = ["--text", str(text), "--output", str(tmp_path), "--models", "gpt", "--seeds", "1", "--steps", "5"]
    run("ddp_accuracy", *common, "--nodes", "1", "--rows", "sgd/plain")
    run("ddp_accuracy", *common, "--nodes", "2", "--rows", "sgd/ddp")
    run("ddp_accuracy", *common, "--nodes", "2", "--rows", "sgd/ddp")
    with open(tmp_path / "samples.jsonl", encoding="utf-8") as file:
        one, two = (json.loads(line)["value"] for line in file)
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert two["train"] == pytest.approx(one["train"], rel=1e-5)


def test_simulated_nodes_with_exact_moments_and_clipping_do_what_ddp_does(tmp_path):
    text, output = tmp_path / "text", tmp_path / "rows.jsonl"
    text.write_bytes(bytes(range(97, 123)) * 400)
    run("adamw", "--text", str(text), "--output", str(output), "--nodes", "4", "--seeds", "1", "--steps", "4",
        "--rows", "ddp,sgp+exact=mv+clip=global,sgp+correct=mean")
    losses = {row["row"]: row["loss"] for row in map(json.loads, output.read_text().splitlines())}
    assert losses["sgp+exact=mv+clip=global"] == pytest.approx(losses["ddp"], rel=1e-5)
    assert losses["sgp+correct=mean"] != pytest.approx(losses["ddp"], rel=1e-5)


def load(program: str):
    """A program as a module."""
    loader = importlib.machinery.SourceFileLoader(program, os.path.join(HERE, program))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(program, loader))
    loader.exec_module(module)
    return module


def test_pictures_are_learned_at_the_rates_of_the_program(tmp_path):
    accuracy = load("picture_accuracy")
    program = os.path.join(saved_runs.ROOT, "build", "tools", "sgp", "sgp")
    steps_per_epoch, epochs = 5, 3
    accuracy.run(program, "train", "--model", "mlp", "--nodes", str(accuracy.NODES), "--batch-size", str(accuracy.BATCH), "--epochs", str(epochs),
                 "--limit-samples", str(steps_per_epoch * accuracy.NODES * accuracy.BATCH), "--warmup-epochs", str(accuracy.WARM_UP), "--lr",
                 str(accuracy.RATE), "--lr-schedule", "cosine", "--output", str(tmp_path / "run"), "--quiet")
    with open(tmp_path / "run" / "metrics.jsonl", encoding="utf-8") as file:
        found = {line["step"]: line["lr"] for line in map(json.loads, file) if "lr" in line}
    assert len(found) >= epochs
    assert found == pytest.approx({step: accuracy.rate_of(step - 1, steps_per_epoch, epochs) for step in found}, rel=1e-5)


def test_rows_of_pictures_are_options_of_the_program():
    accuracy = load("picture_accuracy")
    assert accuracy.options_of("allreduce") == ["--algorithm", "allreduce"]
    assert accuracy.options_of("sgp+rounds=auto+fixed-rate") == ["--algorithm", "sgp", "--rounds", "auto", "--fixed-rate"]


def measure_pictures(output, *names: str):
    """(the table, the values by row) of a few pictures; a second call repeats nothing and prints the same."""
    arguments = ["--output", str(output), "--pictures", "60", "--epochs", "1", "--seeds", "1", "--rows", ",".join(names)]
    table = run("picture_accuracy", *arguments)
    assert run("picture_accuracy", *arguments) == table
    with open(output / "samples.jsonl", encoding="utf-8") as file:
        samples = [json.loads(line) for line in file]
    assert [sample["key"]["row"] for sample in samples] == list(names)
    return table, {sample["key"]["row"]: sample["value"] for sample in samples}


def test_accuracy_on_pictures_is_measured_once(tmp_path):
    table, values = measure_pictures(tmp_path, "sgp", "sgp+rounds=auto")
    for row, value in values.items():
        assert f"| {row} | {100 * value['accuracy']:.2f} %" in table
        assert value["seconds"] > 0
    assert values["sgp"]["hash"] != values["sgp+rounds=auto"]["hash"]


def test_accuracy_on_pictures_of_torch(tmp_path):
    pytest.importorskip("torchvision")
    table, values = measure_pictures(tmp_path, "torch")
    assert f"| torch | {100 * values['torch']['accuracy']:.2f} %" in table
