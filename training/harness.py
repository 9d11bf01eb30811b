"""The training loop of every network here, on Lightning Fabric: processes, precision, EMA, checkpoints, resume, logs.

A run is a folder:

    <out>/last.ckpt       everything to go on from: ``--resume`` (the default) continues it, a kill costs minutes
    <out>/best.ckpt       the same, of the best validation so far
    <out>/metrics.jsonl   one line per logged step: {"step": …, "loss": …}; and per validation
    <out>/run.json        the sidecar: config, data, versions, best validation
    <out>/tensorboard/    the same figures for ``tensorboard --logdir``

What a step sees is a function of the seed and the step alone (see :class:`Sampler`), so that a resumed run, and one
over several processes with the same global batch, follow the same curve.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import TensorBoardLogger
from lightning_fabric.wrappers import _FabricModule
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mocap.config import option
from mocap.errors import MocapError
from training.schedule import Sampler, WeightAverage, learning_rate_at, stepped_learning_rate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """How to train, whatever the network."""

    out: str = option("out/train", "folder of the run", "DIR")
    steps: int = option(10_000, "optimizer steps in all", "N", low=1)
    batch_size: int = option(256, "samples of a step, over all processes", "N", low=1)
    learning_rate: float = option(2e-4, "after the warm-up", low=0)
    schedule: Literal["cosine", "steps"] = option(
        "cosine", "then: to a hundredth along a cosine, or in steps at the milestones, of which there may be none"
    )
    milestones: list[int] = option([], "steps at which the learning rate falls to a tenth", "N")
    optimizer: Literal["adamw", "adam", "sgd"] = option("adamw", "adam: its weight decay is part of the gradient")
    momentum: float = option(0.9, "of the gradient; the first of Adam's betas", low=0, high=1)
    second_momentum: float = option(0.99, "of its square, the second of Adam's betas", low=0, high=1)
    weight_decay: float = option(1e-5, "of the optimizer", low=0)
    warmup_steps: int = option(500, "steps over which the learning rate rises from zero", "N", low=0)
    clip_norm: float = option(1.0, "largest norm of the gradient; 0 leaves it alone", low=0)
    ema_decay: float = option(0.999, "of the weights that are validated and shipped; 0: the last ones", low=0, high=1)
    devices: int = option(1, "processes or GPUs on each node", "N", low=1)
    nodes: int = option(1, "machines", "N", low=1)
    accelerator: Literal["auto", "cpu", "gpu"] = option("auto", "auto takes a GPU where there is one")
    precision: str = option("auto", "Fabric's name; auto is bf16-mixed on a GPU, else 32-true")
    threads: int = option(0, "torch's threads in each process on the CPU; 0: its default", "N", low=0)
    seed: int = option(0, "of initial weights, order and noise", "N", low=0)
    log_every: int = option(50, "steps between lines of the log", "N", low=1)
    validate_every: int = option(2_000, "steps between validations", "N", low=1)
    checkpoint_every_s: float = option(60.0, "seconds between writes of last.ckpt", "SECONDS", low=0)
    stop_after_s: float = option(0.0, "stop cleanly after so long, to go on later; 0: never", "SECONDS", low=0)
    resume: bool = option(True, "go on from last.ckpt where there is one; off: start the folder anew")


class Task(Protocol):
    """What is trained: a network, its data and its loss."""

    best: str  # name of the validation figure that decides which checkpoint is best; smaller is better

    def model(self) -> nn.Module:
        """A fresh network; the seed is set."""
        ...

    def count(self) -> int:
        """Samples of the training set."""
        ...

    def loss(self, model: nn.Module, rows: NDArray[np.int64], share: Share) -> dict[str, Tensor]:
        """Losses, scalars; the one called ``loss`` is minimised. Means over samples, so that processes average.

        ``rows`` (batch_size,) are the samples of the whole step: noise is drawn for all of them, and then
        ``share.rows`` is this process' part.
        """
        ...

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Figures of the validation set. Only the first process is asked."""
        ...

    def sidecar(self) -> dict[str, Any]:
        """What the run's JSON says of network and data."""
        ...


@dataclass(frozen=True)
class Share:
    """A process' part of one step."""

    step: int
    seed: int
    rows: slice  # of the whole batch
    device: torch.device

    def generator(self) -> torch.Generator:
        """A generator on the CPU that depends on seed and step alone, the same in all processes."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)


def train(config: TrainConfig, task: Task) -> Path:
    """Train, or go on training.

    Returns:
        The run's folder.

    Raises:
        MocapError: the folder holds a run of another network; the loss is not finite; too few samples.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    fabric = _fabric(config)
    fabric.launch()
    if config.batch_size % fabric.world_size:
        raise MocapError(f"a batch of {config.batch_size} does not divide over {fabric.world_size} processes")
    torch.manual_seed(config.seed)
    run = _Run(config, task, fabric)
    run.restore()
    run.go()
    return run.out


def _fabric(config: TrainConfig) -> Fabric:
    gpu = config.accelerator in ("gpu", "cuda") or (config.accelerator == "auto" and torch.cuda.is_available())
    precision: Any = config.precision
    if precision == "auto":
        precision = "bf16-mixed" if gpu else "32-true"
    several = config.devices * config.nodes > 1
    return Fabric(
        accelerator="gpu" if gpu else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if several else "auto",
        precision=precision,
        loggers=TensorBoardLogger(Path(config.out), name="tensorboard", version=""),
    )


def _optimizer(config: TrainConfig, network: nn.Module) -> torch.optim.Optimizer:
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(weights, rate, config.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(weights, rate, (config.momentum, config.second_momentum), weight_decay=decay, fused=True)


class _Run:
    """One process of a run."""

    def __init__(self, config: TrainConfig, task: Task, fabric: Fabric) -> None:
        self.config, self.task, self.fabric, self.out = config, task, fabric, Path(config.out)
        self.sampler = Sampler(task.count(), config.batch_size, config.seed)
        network = task.model()
        decay = config.ema_decay
        self.ema = WeightAverage(network, decay) if decay else None
        self.model, self.optimizer = fabric.setup(network, _optimizer(config, network))
        if self.ema is not None:
            self.ema = self.ema.to(fabric.device)
        self.step, self.best = 0, math.inf
        each = config.batch_size // fabric.world_size
        self.rows = slice(fabric.global_rank * each, (fabric.global_rank + 1) * each)

    def restore(self) -> None:
        """Go on from the last checkpoint, or start the folder anew."""
        last = self.out / "last.ckpt"
        if self.config.resume and last.is_file():
            state = torch.load(last, map_location=self.fabric.device, weights_only=True)
            if state["network"] != self.task.sidecar()["network"]:
                raise MocapError(
                    f"{last}: expected a run of {self.task.sidecar()['network']}, found {state['network']}; "
                    "choose another --train.out, or --no-train.resume to overwrite it"
                )
            unwrapped(self.model).load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.ema is not None:
                self.ema.load_state_dict(state["ema"])
            self.step, self.best = state["step"], state["best"]
        elif self.fabric.is_global_zero:
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / "metrics.jsonl").unlink(missing_ok=True)
        self.fabric.barrier()

    def go(self) -> None:
        started = saved = time.monotonic()
        with self._progress() as show:
            while self.step < self.config.steps:
                losses = self._train_step()
                self.step += 1
                last = self.step == self.config.steps
                if self.step % self.config.log_every == 0 or last:
                    show(self.step, self._log({name: float(value) for name, value in losses.items()}))
                if self.step % self.config.validate_every == 0 or last:
                    self._validate()
                late = bool(self.config.stop_after_s) and time.monotonic() - started > self.config.stop_after_s
                if time.monotonic() - saved > self.config.checkpoint_every_s or last or late:
                    self._save("last.ckpt")
                    saved = time.monotonic()
                if self._agree(late):
                    return

    def _train_step(self) -> dict[str, Tensor]:
        share = Share(self.step, self.config.seed, self.rows, self.fabric.device)
        # Dropout, too, depends on the step, so that a resumed run goes on as it would have.
        torch.manual_seed((self.config.seed * 1_000_003 + self.step) * 1_009 + self.fabric.global_rank)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(self.step)
        self.model.train()
        losses = self.task.loss(self.model, self.sampler(self.step), share)
        if not torch.isfinite(losses["loss"]):
            found = ", ".join(f"{name} {float(value.detach()):g}" for name, value in losses.items())
            raise MocapError(
                f"the loss is not finite at step {self.step} ({found}); lower --train.learning_rate and go on from "
                "the last checkpoint"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(losses["loss"])
        if self.config.clip_norm:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.config.clip_norm)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update_parameters(unwrapped(self.model))
        return {name: value.detach() for name, value in losses.items()}

    def _validate(self) -> None:
        if self.fabric.is_global_zero:
            model = self.ema.module if self.ema is not None else unwrapped(self.model)
            model.eval()
            with torch.no_grad():
                figures = self.task.validate(model)
            self._write({"step": self.step, **{f"val_{name}": value for name, value in figures.items()}})
            if figures[self.task.best] < self.best:
                self.best = figures[self.task.best]
                self._save("best.ckpt")
                self._sidecar(figures)
        self.fabric.barrier()

    def _save(self, name: str) -> None:
        """Written beside and moved, so that a kill leaves the old one."""
        if not self.fabric.is_global_zero:
            return
        state = {
            "network": self.task.sidecar()["network"],
            "model": unwrapped(self.model).state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "best": self.best,
        }
        path = self.out / name
        torch.save(state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def _sidecar(self, figures: dict[str, float]) -> None:
        note = {
            **self.task.sidecar(),
            "train": asdict(self.config),
            "step": self.step,
            "validation": figures,
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
        }
        (self.out / "run.json").write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")

    def _log(self, losses: dict[str, float]) -> dict[str, float]:
        """Means over the processes, to the log of the first."""
        if self.fabric.world_size > 1:
            means = self.fabric.all_reduce(torch.tensor(list(losses.values())), reduce_op="mean")
            losses = dict(zip(losses, means.tolist(), strict=True))  # type: ignore[union-attr]
        self._write({"step": self.step, **losses, "learning_rate": self._rate(self.step - 1)})
        return losses

    def _write(self, figures: dict[str, float]) -> None:
        if self.fabric.is_global_zero:
            with open(self.out / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(figures) + "\n")
        self.fabric.log_dict({name: value for name, value in figures.items() if name != "step"}, step=self.step)

    def _rate(self, step: int) -> float:
        config = self.config
        if config.schedule == "steps":
            return stepped_learning_rate(step, config.learning_rate, config.warmup_steps, config.milestones)
        return learning_rate_at(step, config.learning_rate, config.warmup_steps, config.steps)

    def _agree(self, late: bool) -> bool:
        """All processes stop at the same step."""
        return bool(self.fabric.broadcast(late)) if self.config.stop_after_s else False

    @contextmanager
    def _progress(self) -> Iterator[Any]:
        columns = (
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[losses]}"),
        )  # fmt: skip
        with Progress(*columns, disable=not self.fabric.is_global_zero) as progress:
            bar = progress.add_task(self.out.name, total=self.config.steps, completed=self.step, losses="")

            def show(step: int, losses: dict[str, float]) -> None:
                progress.update(bar, completed=step, losses="  ".join(f"{k} {v:.4g}" for k, v in losses.items()))

            yield show


def unwrapped(model: nn.Module) -> nn.Module:
    """The network without Fabric's and DDP's wrappers, for its other methods; losses through them train it too."""
    while isinstance(model, (_FabricModule, nn.parallel.DistributedDataParallel)):
        model = model.module
    return model


def load_weights(checkpoint: Path, model: nn.Module, network: Any) -> None:
    """The validated weights (EMA) of a checkpoint into a network.

    Raises:
        MocapError: it is not there, or of another size; both sizes are named.
    """
    if not checkpoint.is_file():
        raise MocapError(f"{checkpoint}: expected a checkpoint of training.harness, found nothing; train it first")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if state["network"] != network:
        raise MocapError(f"{checkpoint}: expected a network of {network}, found one of {state['network']}")
    if state["ema"] is not None:
        average = AveragedModel(model)
        average.load_state_dict(state["ema"])
        model.load_state_dict(average.module.state_dict())
    else:
        model.load_state_dict(state["model"])
