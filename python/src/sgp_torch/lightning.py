# SPDX-License-Identifier: Apache-2.0
"""A strategy for PyTorch Lightning: ``Trainer(strategy=SGPStrategy(graph="exponential"))``.

``lightning`` and ``pytorch_lightning`` are separate packages whose classes do not mix, so there is a strategy class for
each. ``SGPStrategy`` belongs to the package that has been imported, or else to the one that is installed (``lightning``
first); ``strategy_class("pytorch_lightning")`` names one. Importing this module imports that package and registers the
strategy by name: ``Trainer(strategy="sgp")``.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable

import torch

import sgp_torch as sgp
from sgp_torch.accelerate import check_options, copy_state

if TYPE_CHECKING:
    SGPStrategy: Any

__all__ = ["SGPStrategy", "strategy_class"]

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def _default_package() -> str:
    for name in _PACKAGES:
        if name in sys.modules:
            return name
    for name in _PACKAGES:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            return name
    raise ImportError("sgp_torch.lightning needs PyTorch Lightning: pip install lightning")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets the variables that are not set yet, for the time of the block."""
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _join() -> None:
    """Joins the default group, unless this process is in it. A group that an exception has ended is joined anew."""
    try:
        left = sgp.default_group().handle is None
    except sgp.Error:
        left = True
    if left:
        sgp.init()


def _in_requeue_handler() -> bool:
    """Whether Lightning saves from its signal handler for Slurm's requeue: at any moment, so that steps differ."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "_slurm_sigusr_handler_fn":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


@functools.cache
def strategy_class(package: str | None = None) -> Any:
    """The strategy class for ``package``: "lightning" ("lightning.pytorch") or "pytorch_lightning".

    None: the one that has been imported, or else the one that is installed. ImportError: it is not installed.
    """
    if package is None:
        return strategy_class(_default_package())
    if package == "lightning":
        return strategy_class("lightning.pytorch")
    if package not in _PACKAGES:
        raise ValueError(f"package is {package!r}: it must be 'lightning' or 'pytorch_lightning'")
    strategies = importlib.import_module(f"{package}.strategies")
    redirection = importlib.import_module(f"{package}.strategies.strategy")._ForwardRedirection
    environments = importlib.import_module(f"{package}.plugins.environments")

    class SGPStrategy(strategies.DDPStrategy):  # type: ignore[misc,name-defined]
        """Trains with :class:`sgp_torch.DistributedDataParallel`. One process per device, as with ``"ddp"``.

        options: those of :class:`sgp_torch.DistributedDataParallel`, such as ``graph``, ``algorithm``, ``overlap``.
        average_validation: validate the exact mean over the nodes, which is also what checkpoints hold; False: each
        node validates its own parameters.
        process_group_backend, process_group_timeout (timedelta), start_method and the rest: as for ``DDPStrategy``.

        Lightning's own collective calls (metrics with ``sync_dist``, decisions about checkpoints, barriers) use a
        process group of torch.distributed. The parameters travel through libsgp.
        """

        strategy_name = "sgp"

        def __init__(
            self,
            accelerator: Any = None,
            parallel_devices: list[torch.device] | None = None,
            cluster_environment: Any = None,
            checkpoint_io: Any = None,
            precision_plugin: Any = None,
            process_group_backend: str | None = None,
            process_group_timeout: datetime.timedelta | None = None,
            start_method: str = "popen",
            average_validation: bool = True,
            **options: Any,
        ) -> None:
            for name in ("ddp_comm_state", "ddp_comm_hook", "ddp_comm_wrapper", "model_averaging_period"):
                if options.pop(name, None) is not None:
                    raise sgp.Error(f"SGPStrategy has no {name}: it does not reduce gradients")
            if options.get("optimizer_in_backward") is not None:
                raise sgp.Error(
                    "SGPStrategy has no optimizer_in_backward: Lightning runs the backward pass inside the optimizer's step"
                )
            ours = "SGP_RANK" in os.environ or "SGP_JOIN" in os.environ
            if cluster_environment is None and ours and "RANK" in os.environ:
                # Started by sgp_torch.run. Its variables are those of torchrun, but for the one by which Lightning
                # would recognise it.
                cluster_environment = environments.TorchElasticEnvironment()
            timeout = {} if process_group_timeout is None else {"timeout": process_group_timeout}
            super().__init__(
                accelerator=accelerator,
                parallel_devices=parallel_devices,
                cluster_environment=cluster_environment,
                checkpoint_io=checkpoint_io,
                precision_plugin=precision_plugin,
                process_group_backend=process_group_backend,
                start_method=start_method,
                **timeout,
            )
            self._forward_redirection = redirection()
            check_options(options)
            self._options = options
            self._average_validation = average_validation
            self._failed = False
            self._validation: contextlib.ExitStack | None = None  # holds the mean while a validation runs

        @property
        def wrapper(self) -> sgp.DistributedDataParallel | None:
            """The wrapped module while ``fit`` runs, for ``statistics()``, ``consensus()`` and so on; else None."""
            return self.model if isinstance(self.model, sgp.DistributedDataParallel) else None

        # Starting and ending

        def setup_distributed(self) -> None:
            super().setup_distributed()
            # Lightning's own launcher names the meeting point, but no RANK.
            with _environment(
                {
                    "RANK": str(self.global_rank),
                    "WORLD_SIZE": str(self.world_size),
                    "MASTER_ADDR": str(self.cluster_environment.main_address),
                    "MASTER_PORT": str(self.cluster_environment.main_port),
                }
            ):
                _join()
            if (sgp.rank(), sgp.size()) != (self.global_rank, self.world_size):
                raise sgp.Error(
                    f"this process is node {sgp.rank()} of {sgp.size()}, but rank {self.global_rank} of"
                    f" {self.world_size} for Lightning: Trainer(devices=, num_nodes=) must match the launcher"
                )

        def _setup_model(self, model: torch.nn.Module) -> torch.nn.Module:
            self._failed = False
            return sgp.DistributedDataParallel(model, device_ids=self.determine_ddp_device_ids(), **self._options)

        def _register_ddp_hooks(self) -> None:
            pass

        def teardown(self) -> None:
            wrapper = self.wrapper
            if wrapper is not None:
                self.model = self.lightning_module
                if not self._failed:
                    wrapper.close()
            super().teardown()

        def on_exception(self, exception: BaseException) -> None:
            super().on_exception(exception)
            self._validation = None
            self._failed = True
            # The other nodes lose this one at once. After Ctrl-C Lightning ends the process as if it had succeeded.
            sgp.abort()

        # Training

        def pre_backward(self, closure_loss: torch.Tensor) -> None:
            pass

        def post_backward(self, closure_loss: torch.Tensor) -> None:
            pass

        @contextlib.contextmanager
        def block_backward_sync(self) -> Iterator[None]:
            wrapper = self.wrapper
            with contextlib.nullcontext() if wrapper is None else wrapper.no_sync():
                yield

        def on_train_end(self) -> None:
            """Leaves the exact mean in the module, on every node."""
            wrapper = self.wrapper
            if wrapper is not None:
                wrapper.average_()

        # The mean, for validation and checkpoints

        def on_validation_start(self) -> None:
            wrapper = self.wrapper
            if wrapper is None or not self._average_validation or self.lightning_module.trainer.sanity_checking:
                return
            self._validation = contextlib.ExitStack()
            self._validation.enter_context(wrapper.averaged())

        def on_validation_end(self) -> None:
            validation, self._validation = self._validation, None
            if validation is not None:
                validation.close()

        def lightning_module_state_dict(self) -> dict[str, Any]:
            """The exact mean over the nodes. Every node calls it, as Lightning does: ``Trainer.save_checkpoint``.

            After an exception, and when Slurm's signal asks for a checkpoint, the nodes are not at the same step: the
            state is then this node's own.
            """
            wrapper = self.wrapper
            state: Callable[[], dict[str, Any]] = super().lightning_module_state_dict
            if wrapper is None or self.lightning_module.trainer.interrupted or _in_requeue_handler():
                return state()
            if self._validation is not None:
                return copy_state(state())
            with wrapper.averaged():
                return copy_state(state())

        @classmethod
        def register_strategies(cls, strategy_registry: Any) -> None:
            strategy_registry.register("sgp", cls, description="Stochastic gradient push", override=True)

    # The name by which pickle finds it, where Lightning spawns processes.
    SGPStrategy.__qualname__ = "_class_of_" + package.replace(".", "_")
    globals()[SGPStrategy.__qualname__] = SGPStrategy
    SGPStrategy.register_strategies(strategies.StrategyRegistry)
    return SGPStrategy


def __getattr__(name: str) -> Any:
    if name == "SGPStrategy":
        return strategy_class()
    for package in _PACKAGES:
        if name == "_class_of_" + package.replace(".", "_"):
            return strategy_class(package)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


strategy_class()
