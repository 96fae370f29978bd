# SPDX-License-Identifier: Apache-2.0
"""SGPStrategy: runs of Lightning's Trainer on two nodes."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
import torch
from launching import BATCH, DATA, MOMENTUM, RATE, SAMPLES, environment, reason_missing, reference, run, run_by_hand

PACKAGES = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}

missing = reason_missing("lightning")
pytestmark = pytest.mark.skipif(missing is not None, reason=str(missing))

COMMON = f"""{DATA}
import logging, os, sys
import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from sgp_torch.lightning import SGPStrategy

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

def loader(shuffle=False):
    return torch.utils.data.DataLoader(data, batch_size={BATCH}, shuffle=shuffle)

def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])

def gathered(tensor):
    every = [torch.empty_like(tensor) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(every, tensor)
    return every

class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = network()
        self.losses, self.first, self.distances = [], None, []

    def training_step(self, batch, index):
        if self.first is None:
            self.first = batch[0][0].tolist()
        loss = ((self.net(batch[0]) - batch[1]) ** 2).mean()
        self.losses.append(loss.item())
        return loss

    def on_train_batch_end(self, *_):
        a, b = gathered(flat(self))
        self.distances.append((a - b).abs().max().item())

    def validation_step(self, batch, index):
        self.log("val", ((self.net(batch[0]) - batch[1]) ** 2).mean(), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr={RATE}, momentum={MOMENTUM})

def trainer(strategy, **options):
    quiet = dict(logger=False, enable_progress_bar=False, enable_model_summary=False)
    return L.Trainer(accelerator="cpu", strategy=strategy, **{{"devices": 2, **quiet, **options}})
"""

TRAIN = """
module = Module()
save = ModelCheckpoint(dirpath="saved", monitor="val", save_last=True)
t = trainer(STRATEGY, max_epochs=4, callbacks=[save])
t.fit(module, loader(shuffle=True), loader())
checkpoint = torch.load(save.last_model_path, weights_only=True)
plain = Module()
plain.load_state_dict(checkpoint["state_dict"])
report(
    t.global_rank, losses=module.losses, first=module.first, steps=t.global_step, distances=module.distances,
    parameters=flat(module).tolist(), saved=flat(plain).tolist(), val=t.callback_metrics["val"].item(),
    val_of_saved=((plain.net(x) - y) ** 2).mean().item(),
)
"""


def train(folder: pathlib.Path, strategy: str = "SGPStrategy()", script: str = "", **keywords: str) -> list[dict]:
    return run(folder, COMMON + (script or TRAIN).replace("STRATEGY", strategy), **keywords)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("launcher", "strategy"),
    [("torchrun", "SGPStrategy()"), ("sgp_torch.run", "SGPStrategy()"), ("lightning", "'sgp'")],
)
def test_trains_with_each_launcher(launcher: str, strategy: str, tmp_path: pathlib.Path) -> None:
    nodes = train(tmp_path, strategy, launcher=launcher)
    for node in nodes:
        assert node["losses"][-1] < 0.5 * node["losses"][0]
        assert node["steps"] == 4 * SAMPLES // BATCH // 2
        # Two nodes in lock step: each keeps half and gets half of the other, which is the mean but for rounding.
        assert max(node["distances"]) < 1e-6
        assert node["saved"] == node["parameters"]
        assert node["val"] == pytest.approx(node["val_of_saved"], rel=1e-5)
    assert nodes[0]["first"] != nodes[1]["first"]
    assert nodes[0]["parameters"] == nodes[1]["parameters"]
    assert sorted(p.name for p in (tmp_path / "saved").iterdir())[-1] == "last.ckpt"


@pytest.mark.parametrize("package", PACKAGES)
def test_overlap_leaves_the_mean_at_the_end_and_in_checkpoints(package: str, tmp_path: pathlib.Path) -> None:
    missing = reason_missing(package)
    if missing:
        pytest.skip(missing)
    script = """
class Validated(Module):
    def training_step(self, batch, index):
        # Lightning computes the gradient inside the optimizer's step, where messages must be free to travel.
        self.held = self.trainer.strategy.wrapper.mixer.updating or getattr(self, "held", False)
        return super().training_step(batch, index)

    def on_validation_epoch_end(self):
        self.loss_on_all = ((self.net(x) - y) ** 2).mean().item()

module = Validated()
save = ModelCheckpoint(dirpath="saved", every_n_train_steps=10)
t = trainer(SGPStrategy(algorithm="osgp"), max_steps=30, callbacks=[save])  # 8 in an epoch: it ends between validations
t.fit(module, loader(shuffle=True), loader())
saved = Module.load_from_checkpoint(save.best_model_path)
report(
    t.global_rank, losses=module.losses, distances=module.distances, parameters=flat(module).tolist(),
    saved=flat(saved).tolist(), val=t.callback_metrics["val"].item(), loss_on_all=module.loss_on_all,
    held=module.held,
)
"""
    nodes = run(tmp_path, (COMMON + script).replace("lightning.pytorch", PACKAGES[package]))
    for node in nodes:
        assert node["losses"][-1] < 0.5 * node["losses"][0]
        assert max(node["distances"]) > 1e-6  # the nodes differ while they train
        assert not node["held"]
        assert node["saved"] == node["parameters"]
        assert node["val"] == pytest.approx(node["loss_on_all"], rel=1e-5)
    assert nodes[0]["parameters"] == nodes[1]["parameters"]


def test_accumulation_and_clipping_are_those_of_each_node(tmp_path: pathlib.Path) -> None:
    script = """
module = Module()
t = trainer(
    STRATEGY, max_epochs=3, accumulate_grad_batches=4, gradient_clip_val=0.1, enable_checkpointing=False,
    use_distributed_sampler=False,  # Lightning's shuffles
)
mine = torch.utils.data.Subset(data, range(int(os.environ["RANK"]), len(data), 2))
t.fit(module, torch.utils.data.DataLoader(mine, batch_size=8))
report(t.global_rank, parameters=flat(module).tolist(), steps=t.global_step)
"""
    nodes = train(tmp_path, script=script)
    expected = reference(nodes[0]["steps"], 4, 0.1)
    assert torch.allclose(torch.tensor(nodes[0]["parameters"]), expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(expected, reference(nodes[0]["steps"], 4, 10.0), rtol=1e-2, atol=1e-3)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: pathlib.Path) -> None:
    script = """
for name, epochs, start in (("whole", 4, None), ("half", 2, None), ("rest", 4, "half.ckpt")):
    module = Module()
    t = trainer(STRATEGY, max_epochs=epochs, enable_checkpointing=False)
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), lr=0.05)
    t.fit(module, loader(), ckpt_path=start)
    t.save_checkpoint(name + ".ckpt")
    if name == "whole":
        whole = flat(module)
report(t.global_rank, whole=whole.tolist(), resumed=flat(module).tolist())
"""
    nodes = train(tmp_path, script=script)
    for node in nodes:
        assert torch.allclose(torch.tensor(node["whole"]), torch.tensor(node["resumed"]), rtol=1e-5, atol=1e-6)


def test_two_optimizers_by_hand_with_toggling(tmp_path: pathlib.Path) -> None:
    script = """
class Pair(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.critic = network(), nn.Linear(2, 1)
        self.exchanges, self.losses = 0, []

    def training_step(self, batch, index):
        g, c = self.optimizers()
        self.toggle_optimizer(c)
        real, fake = self.critic(batch[1]), self.critic(self.generator(batch[0]).detach())
        self.manual_backward(nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean())
        c.step()
        c.zero_grad()
        self.untoggle_optimizer(c)
        self.toggle_optimizer(g)
        output = self.generator(batch[0])
        loss = ((output - batch[1]) ** 2).mean()
        self.losses.append(loss.item())
        self.manual_backward(loss + 0.01 * nn.functional.softplus(-self.critic(output)).mean())
        g.step()
        g.zero_grad()
        self.untoggle_optimizer(g)

    def on_train_end(self):
        self.exchanges = self.trainer.strategy.wrapper.statistics()["steps"]

    def configure_optimizers(self):
        return [torch.optim.Adam(self.generator.parameters(), 0.01), torch.optim.SGD(self.critic.parameters(), 0.01)]

module = Pair()
t = trainer(STRATEGY, max_epochs=4, enable_checkpointing=False)
t.fit(module, loader())
report(t.global_rank, parameters=flat(module).tolist(), losses=module.losses, exchanges=module.exchanges)
"""
    nodes = train(tmp_path, script=script)
    assert nodes[0]["parameters"] == nodes[1]["parameters"]
    assert nodes[0]["losses"][-1] < 0.7 * nodes[0]["losses"][0]
    assert nodes[0]["exchanges"] == len(nodes[0]["losses"])  # one for both optimizers


def test_an_exception_on_one_node_ends_the_others(tmp_path: pathlib.Path) -> None:
    script = """
class Fails(Module):
    def training_step(self, batch, index):
        if index == 3 and self.global_rank == 1:
            raise KeyboardInterrupt  # of which Lightning makes an exit without a traceback
        return super().training_step(batch, index)
    def on_train_batch_end(self, *_):
        pass

trainer(SGPStrategy(), max_epochs=2, enable_checkpointing=False).fit(Fails(), loader())
"""
    good, bad = run_by_hand(tmp_path, COMMON + script)
    assert bad.returncode != 0
    assert good.returncode != 0
    assert "node 1 is lost (it aborted)" in good.stdout


def test_devices_that_do_not_match_the_launcher(tmp_path: pathlib.Path) -> None:
    script = """
try:
    trainer(SGPStrategy(), devices=1, max_epochs=1).fit(Module(), loader())
except Exception as error:
    report(int(os.environ["RANK"]), error=str(error))
"""
    nodes = run(tmp_path, COMMON + script, launcher="sgp_torch.run")
    assert "does not match the world size (2)" in nodes[0]["error"]


def test_options_are_checked_when_the_strategy_is_made() -> None:
    from sgp_torch import Error
    from sgp_torch.lightning import SGPStrategy

    with pytest.raises(Error, match="ddp_comm_hook"):
        SGPStrategy(ddp_comm_hook=lambda state, bucket: None)
    with pytest.raises(Error, match="optimizer_in_backward"):
        SGPStrategy(optimizer_in_backward=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    with pytest.raises(Error, match="grpah"):
        SGPStrategy(grpah="ring")


def test_importing_sgp_torch_imports_no_lightning() -> None:
    others = "{'lightning', 'pytorch_lightning', 'accelerate', 'transformers'}"
    code = f"import sys, sgp_torch; sgp_torch.DistributedDataParallel; assert not {others} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=60)
