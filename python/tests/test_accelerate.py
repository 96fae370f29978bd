# SPDX-License-Identifier: Apache-2.0
"""Accelerate, and the Trainer of transformers: runs on two nodes."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
import torch
from launching import DATA, LIMIT, MOMENTUM, RATE, environment, reason_missing, reference, run

missing = reason_missing("accelerate")
pytestmark = pytest.mark.skipif(missing is not None, reason=str(missing))
no_trainer = reason_missing("transformers")
with_trainer = pytest.mark.skipif(no_trainer is not None, reason=str(no_trainer))

COMMON = f"""{DATA}
import os, sys
from accelerate import Accelerator
import sgp_torch as sgp
from sgp_torch.accelerate import enable

def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])

def samples(shuffle=False):
    return torch.utils.data.DataLoader(data, batch_size=8, shuffle=shuffle)

def loss_of(model, batch):
    return ((model(batch[0]) - batch[1]) ** 2).mean()

def sgd(module):
    return torch.optim.SGD(module.parameters(), lr={RATE}, momentum={MOMENTUM})
"""

TRAIN = """
def train(accelerator, model, optimizer, loader, epochs, clip=None):
    losses = []
    for _ in range(epochs):
        for batch in loader:
            with accelerator.accumulate(model):
                loss = loss_of(model, batch)
                losses.append(loss.item())
                accelerator.backward(loss)
                if clip and accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                optimizer.zero_grad()
    return losses
"""


@pytest.mark.parametrize("launcher", ["torchrun", "sgp_torch.run"])
def test_accumulation_and_clipping_are_those_of_each_node(launcher: str, tmp_path: pathlib.Path) -> None:
    script = """
accelerator = enable(Accelerator(cpu=True, gradient_accumulation_steps=4), graph="exponential")
net = network()
# Accelerate deals out whole batches: these are the ones of which node r has every second sample, from r on.
order = [i for start in range(0, len(data), 16) for node in range(2) for i in range(start + node, start + 16, 2)]
dealt = torch.utils.data.DataLoader(torch.utils.data.Subset(data, order), batch_size=8)
model, optimizer, loader = accelerator.prepare(net, sgd(net), dealt)
train(accelerator, model, optimizer, loader, 3, clip=0.1)
report(
    accelerator.process_index, parameters=flat(net).tolist(), steps=model.statistics()["steps"],
    unwrapped=accelerator.unwrap_model(model) is net, is_ddp=isinstance(model, nn.parallel.DistributedDataParallel),
)
"""
    nodes = run(tmp_path, COMMON + TRAIN + script, launcher=launcher)
    expected = reference(6, 4, 0.1)
    for node in nodes:
        assert node["steps"] == 6
        assert torch.allclose(torch.tensor(node["parameters"]), expected, rtol=1e-4, atol=1e-6)
        assert node["unwrapped"] and node["is_ddp"]


def test_save_state_has_the_mean_and_load_state_gives_it_to_all(tmp_path: pathlib.Path) -> None:
    script = """
from safetensors.torch import load_file

accelerator = enable(Accelerator(cpu=True, mixed_precision="bf16"), algorithm="osgp")
net = network()
model, optimizer, loader = accelerator.prepare(net, sgd(net), samples(shuffle=True))
losses = train(accelerator, model, optimizer, loader, 4)
own = flat(net)
accelerator.save_state("state")
with model.averaged():
    mean = flat(net)
    accelerator.save_model(model, "model")
accelerator.wait_for_everyone()
plain = network()
plain.load_state_dict(load_file("model/model.safetensors"))
state = {name.replace("module.", "", 1): value for name, value in load_file("state/model.safetensors").items()}
in_state = network()
in_state.load_state_dict(state)
train(accelerator, model, optimizer, loader, 1)
accelerator.load_state("state")
loaded = flat(net)
model.average_()
report(
    accelerator.process_index, losses=losses, own=own.tolist(), mean=mean.tolist(), saved=flat(plain).tolist(),
    state=flat(in_state).tolist(), loaded=loaded.tolist(), then_mean=flat(net).tolist(),
)
"""
    nodes = run(tmp_path, COMMON + TRAIN + script)
    assert nodes[0]["own"] != nodes[1]["own"]
    for node in nodes:
        assert node["losses"][-1] < 0.5 * node["losses"][0]
        assert node["mean"] == nodes[0]["mean"]
        assert node["saved"] == node["state"] == node["loaded"] == node["mean"]
        # Nothing was under way any more that belongs to the parameters of before.
        assert torch.allclose(torch.tensor(node["then_mean"]), torch.tensor(node["mean"]), atol=1e-6)


def test_mistakes_are_named(tmp_path: pathlib.Path) -> None:
    script = """
from accelerate.utils import DistributedDataParallelKwargs, DDPCommunicationHookType

def error_of(function):
    try:
        function()
    except sgp.Error as error:
        return str(error)

hook = DistributedDataParallelKwargs(comm_hook=DDPCommunicationHookType.FP16)
hooked = error_of(lambda: enable(Accelerator(cpu=True, kwargs_handlers=[hook])))
accelerator = enable(Accelerator(cpu=True))
twice = error_of(lambda: enable(accelerator))
unknown = error_of(lambda: enable(Accelerator(cpu=True), grpah="ring"))
frozen = network()
for parameter in frozen.parameters():
    parameter.requires_grad = False
frozen = accelerator.prepare(frozen)
with accelerator.trigger_sync_in_backward(frozen):
    frozen = type(frozen).__name__
report(accelerator.process_index, hooked=hooked, twice=twice, unknown=unknown, frozen=frozen)
"""
    for node in run(tmp_path, COMMON + script):
        assert "communication hook" in node["hooked"]
        assert "twice" in node["twice"]
        assert "grpah" in node["unknown"]
        assert node["frozen"] == "Sequential"  # there is nothing to average in it


def test_an_accelerator_that_does_not_see_the_other_nodes(tmp_path: pathlib.Path) -> None:
    code = "from accelerate import Accelerator; from sgp_torch.accelerate import enable; enable(Accelerator())"
    (tmp_path / "meet").mkdir()
    places = [{"SGP_RANK": str(rank), "SGP_SIZE": "2", "SGP_RENDEZVOUS": str(tmp_path / "meet")} for rank in range(2)]
    started = [
        subprocess.Popen([sys.executable, "-c", code], env={**environment(), **place}, stderr=subprocess.PIPE, text=True)
        for place in places
    ]
    for rank, process in enumerate(started):
        _, errors = process.communicate(timeout=LIMIT)
        assert f"this process is node {rank} of 2, but process 0 of 1 for Accelerate" in errors


TRAINER = """
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, TrainingArguments
from sgp_torch.accelerate import SGPTrainerMixin

transformers.utils.logging.set_verbosity_error()

class Trainer(SGPTrainerMixin, transformers.Trainer):
    pass

class Sequences(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, i):
        tokens = (torch.arange(16) * (1 + i % 3) + i) % 32
        return {"input_ids": tokens, "labels": tokens}

def language_model():
    torch.manual_seed(1)
    sizes = dict(vocab_size=32, n_positions=16, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))

def arguments(epochs, **others):
    return TrainingArguments(
        "out", use_cpu=True, per_device_train_batch_size=4, gradient_accumulation_steps=2, max_grad_norm=0.5,
        num_train_epochs=epochs, learning_rate=3e-3, lr_scheduler_type="constant", logging_steps=4, disable_tqdm=True,
        report_to=[], **{"eval_strategy": "epoch", "save_strategy": "epoch", **others},
    )

def trainer(model, epochs, **others):
    return Trainer(
        model=model, args=arguments(epochs, **others), train_dataset=Sequences(), eval_dataset=Sequences(),
        sgp_options={"algorithm": "osgp"},
    )
"""


@with_trainer
def test_trainer_saves_and_evaluates_the_mean(tmp_path: pathlib.Path) -> None:
    script = """
model = language_model()
t = trainer(model, 4, load_best_model_at_end=True)
loss = t.train().training_loss
history = [entry["eval_loss"] for entry in t.state.log_history if "eval_loss" in entry]
after = t.evaluate()["eval_loss"]
t.save_model("final")
t.accelerator.wait_for_everyone()
back = GPT2LMHeadModel.from_pretrained("final")
best = GPT2LMHeadModel.from_pretrained(t.state.best_model_checkpoint)
trained = flat(model)
t.accelerator.wait_for_everyone()

resumed = language_model()
t2 = trainer(resumed, 5)
t2.train(resume_from_checkpoint="out/checkpoint-16")

short = language_model()
trainer(short, 1, eval_strategy="no", save_strategy="steps", save_steps=3, max_steps=3).train()
t.accelerator.wait_for_everyone()
after_3 = GPT2LMHeadModel.from_pretrained("out/checkpoint-3")
report(
    t.args.process_index, loss=loss, history=history, after=after, steps=t.state.global_step,
    exchanges=t.model_wrapped.statistics()["steps"], trained=trained.tolist(), saved=flat(back).tolist(),
    best=flat(best).tolist(), wrapped=t.accelerator.unwrap_model(t.model_wrapped) is model,
    steps_resumed=t2.state.global_step, exchanges_resumed=t2.model_wrapped.statistics()["steps"],
    resumed=t2.evaluate()["eval_loss"], resumed_parameters=flat(resumed).tolist(),
    short=flat(short).tolist(), after_3=flat(after_3).tolist(),
)
"""
    nodes = run(tmp_path, COMMON + TRAINER + script)
    for node in nodes:
        assert node["steps"] == node["exchanges"] == 4 * 64 // 4 // 2 // 2
        assert node["history"][-1] < 0.9 * node["history"][0]
        assert node["after"] == pytest.approx(min(node["history"]), rel=1e-5)
        assert node["saved"] == node["trained"] == node["best"] == nodes[0]["trained"]
        assert node["wrapped"]
        assert (node["steps_resumed"], node["exchanges_resumed"]) == (20, 4)
        assert node["resumed"] < node["after"]
        assert node["resumed_parameters"] == nodes[0]["resumed_parameters"]
        # Without a validation before, after which two nodes are equal but for rounding.
        assert node["short"] == node["after_3"] == nodes[0]["short"]


@with_trainer
def test_the_mixin_behind_trainer_is_a_mistake() -> None:
    import transformers

    from sgp_torch import Error
    from sgp_torch.accelerate import SGPTrainerMixin

    with pytest.raises(Error, match=r"in front of transformers\.Trainer"):
        type("Wrong", (transformers.Trainer, SGPTrainerMixin), {})
