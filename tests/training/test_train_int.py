"""INT's three phases on a few made-up people, in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from mocap.body.smpl_file import read_smpl
from mocap.cli.parser import add_config, arranged, build, new_parser
from mocap.errors import MocapError
from mocap.models.independent_tokens import IndependentTokens, in_time
from tests.training.published.pictures import write_shard
from training import train_int
from training.harness import Share, load_weights
from training.published.clips import ClipExamples
from training.published.examples import Batches
from training.published.int_start import network_entry, start_from_phase
from training.train_int import IntRun, IntTask, Sizes, network_config

SIZES: dict[str, Any] = {
    "picture": 32, "layers": [1, 1], "channels": [16, 32], "stem": 8, "groups": 4, "width": 24, "depth": 1, "heads": 2,
    "hidden": 16, "temporal_depth": 1, "temporal_heads": 1,
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "network": SIZES,
    "clips": {"frames": 4, "every": 2},
    "train": {
        "steps": 3, "batch_size": 6, "learning_rate": 0.002, "warmup_steps": 1, "ema_decay": 0.5, "accelerator": "cpu",
        "log_every": 1, "validate_every": 3, "checkpoint_every_s": 0, "threads": 1,
    },
}  # fmt: skip
PHASES = ("1", "2", "3")
CPU = torch.device("cpu")
CONFIGS = Path(train_int.__file__).parent.parent / "configs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int")
    write_shard(folder / "pictures", 8)
    write_shard(folder / "val", 5, seed=1)
    write_shard(folder / "clips", 3, clip_frames=8, seed=2)
    write_shard(folder / "clips_val", 2, clip_frames=8, seed=3)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def options(folder: Path, phase: str) -> list[str]:
    parts = {"1": (1, 0, 0), "2": (1, 1, 1), "3": (1, 0, 0)}[phase]
    values = {
        "phase": phase, "sets.sets": f"rendered={folder}/pictures", "sets.validation": f"{folder}/val",
        "clips.sets_3d": f"rendered={folder}/clips", "clips.sets_2d": f"rendered={folder}/clips",
        "clips.validation": f"{folder}/clips_val", "sets.threads": "1",
        **dict(zip(("clips_3d", "clips_2d", "pictures"), map(str, parts), strict=True)),
    }  # fmt: skip
    return [word for name, value in values.items() for word in (f"--{name}", value)]


def train(folder: Path, phase: str, out: str, *more: str) -> int:
    """The program itself; its exit code."""
    words = ["--config", str(folder / "config.yaml"), *options(folder, phase), "--train.out", str(folder / out), *more]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train_int", *words])
        return train_int.main()


def config_of(arguments: list[str]) -> IntRun:
    parser = new_parser()
    add_config(parser, IntRun)
    return build(IntRun, parser.parse_args(arranged(arguments)))


def config(folder: Path, phase: str, *more: str, **changes: Any) -> IntRun:
    words = ["--config", str(folder / "config.yaml"), *options(folder, phase), *more]
    return replace(config_of(words), **changes)


@pytest.fixture(scope="module")
def tasks(folder: Path) -> dict[str, IntTask]:
    return {phase: IntTask(config(folder, phase)) for phase in PHASES}


def curve(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[Path]:
    """All phases, each from the one before."""
    start: tuple[str, ...] = ()
    for phase in PHASES:
        assert train(folder, phase, phase, *start) == 0
        start = ("--start", str(folder / phase / "best.ckpt"))
    return [folder / phase for phase in PHASES]


def test_three_phases(runs: list[Path]) -> None:
    for phase, run in enumerate(runs, 1):
        rows = curve(run)
        assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3]
        assert all(np.isfinite(list(row.values())).all() for row in rows)
        assert (rows[0]["velocity"] > 0) == (phase == 3)
        assert ("val_acceleration_mm" in rows[-1]) == (phase > 1)
        assert rows[-1]["val_pa_mpjpe_mm"] < rows[-1]["val_mpjpe_mm"]


def test_a_run_has_what_the_live_loop_takes(runs: list[Path], tasks: dict[str, IntTask]) -> None:
    for phase, run in zip(PHASES, runs, strict=True):
        network = tasks[phase].network
        state = torch.load(run / "best.ckpt", weights_only=True)
        assert state["network"] == {"system": "int", "config": asdict(network)}
        load_weights(
            run / "best.ckpt", IndependentTokens(network), network_entry(network)
        )  # the module's keys, no more
        assert read_smpl(run / "body.npz").v_template.shape[1] == 3


@pytest.mark.parametrize("phase", PHASES)
def test_mixed_precision_starts_on_the_same_curve(folder: Path, phase: str) -> None:
    for name, more in (("float32", ()), ("mixed", ("--train.precision", "bf16-mixed"))):
        assert train(folder, phase, f"{name}{phase}", *more) == 0
    (exact, *_), mixed = (
        [row for row in curve(folder / f"{name}{phase}") if "loss" in row] for name in ("float32", "mixed")
    )
    assert mixed[0]["loss"] == pytest.approx(exact["loss"], rel=0.02)
    assert mixed[0]["loss"] != exact["loss"]
    assert all(np.isfinite(row["loss"]) for row in mixed)


def test_a_stopped_run_goes_on_along_the_same_curve(folder: Path, runs: list[Path]) -> None:
    start = ("--start", str(runs[0] / "best.ckpt"))
    for more in (["--train.stop_after_s", "1e-9"], []):
        assert train(folder, "2", "stopped", *start, *more) == 0
        assert len(curve(folder / "stopped")) == (1 if more else 4)
    whole, again = ([row["loss"] for row in curve(run) if "loss" in row] for run in (runs[1], folder / "stopped"))
    np.testing.assert_allclose(again, whole, rtol=1e-5)


def test_the_second_phase_starts_from_the_first(folder: Path, runs: list[Path]) -> None:
    network = IndependentTokens(network_config(config(folder, "2")))
    start_from_phase(runs[0] / "best.ckpt", network)
    model = network.state_dict()
    average = torch.load(runs[0] / "best.ckpt", weights_only=True)["ema"]
    over_time = {name for name in model if name.startswith("temporal")}
    assert {f"module.{name}" for name in model.keys() - over_time} == average.keys() - {"n_averaged"}
    assert all(torch.equal(model[name], average[f"module.{name}"]) for name in model.keys() - over_time)
    assert over_time


def each(folder: Path) -> Iterator[tuple[str, IntRun]]:
    """Phases and variants."""
    sizes = Sizes(**SIZES)
    for phase in PHASES:
        yield phase, config(folder, phase)
    yield "2", config(folder, "2", network=replace(sizes, temporal="pose"))
    yield "2", config(folder, "2", network=replace(sizes, temporal="none"))
    yield "2", config(folder, "2", network=replace(sizes, parallel=True))
    yield "1", config(folder, "1", network=replace(sizes, layers=[], channels=[], patch=8))


def test_every_weight_gets_a_gradient(folder: Path, tasks: dict[str, IntTask]) -> None:
    for phase, run in each(folder):
        model = IndependentTokens(network_config(run))
        tasks[phase].loss(model, np.arange(6), Share(0, 0, slice(0, 6), CPU))["loss"].backward()
        for key, weight in model.named_parameters():
            assert weight.grad is not None, (run, key)


def test_processes_take_parts_of_every_kind(tasks: dict[str, IntTask]) -> None:
    """Of six samples two are pictures, two are clips, and two are clips with labels in the picture alone."""
    one = tasks["2"]
    for kind in ("2d", "3d", "pictures"):
        make = one.kinds[kind][1]

        def part(first: int, last: int, kind: str = kind, make: ClipExamples = make) -> Tensor:
            share = one._part(Share(0, 0, slice(first, last), CPU), kind)
            return Batches(make, 2, 1, ahead=0)(share)["image"]

        whole = part(0, 6)
        assert whole.shape[:2] == (2, 1 if kind == "pictures" else 4)
        assert torch.equal(torch.cat([part(0, 3), part(3, 6)]), whole)


def test_a_frame_counts_as_much_as_a_picture(tasks: dict[str, IntTask]) -> None:
    """Two clips of each kind, of four frames, and two pictures."""
    one, share = tasks["2"], Share(5, 0, slice(0, 6), CPU)
    torch.manual_seed(0)
    model = one.model().eval()
    batches = {kind: Batches(one.kinds[kind][1], 2, 1, ahead=0)(one._part(share, kind)) for kind in one.kinds}
    clips, pictures = one._terms(model, [batches["2d"], batches["3d"]]), one._terms(model, [batches["pictures"]])
    assert one.loss(model, np.arange(6), share)["loss"].isclose((16 * clips["total"] + 2 * pictures["total"]) / 18)


def test_rotations_count_without_betas(tasks: dict[str, IntTask]) -> None:
    """As SMPL's data sets give them to the open body."""
    one = tasks["1"]
    model = one.model().eval()
    batch = one.batches["pictures"](Share(0, 0, slice(0, 6), CPU))
    both = one._terms(model, [batch])
    rotations = one._terms(model, [{**batch, "has_betas": torch.zeros(6, 1)}])
    assert both["shape"] > 0
    assert rotations["shape"] == 0
    assert rotations["pose"] == both["pose"] > 0
    assert one._terms(model, [{**batch, "has_pose": torch.zeros(6, 1)}])["pose"] == 0


def test_a_batch_again_and_again_is_learnt(tasks: dict[str, IntTask]) -> None:
    torch.manual_seed(0)
    one = tasks["2"]
    model, share = one.model(), Share(0, 0, slice(0, 6), CPU)
    batches = {kind: Batches(one.kinds[kind][1], 2, 1, ahead=0)(one._part(share, kind)) for kind in one.kinds}
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.003), []
    for _ in range(30):
        loss = one._terms(model, [batches["2d"], batches["3d"]])["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def wrong(folder: Path) -> Iterator[tuple[str, tuple[str, ...], str]]:
    yield "2", ("--start", "nowhere.ckpt"), "nowhere.ckpt: expected a checkpoint of an earlier phase, found nothing"
    yield "1", ("--pretrained", "nowhere.pth"), "found no file"
    yield "1", ("--sets.sets", f"rendered={folder}/nowhere"), "expected shards"
    yield "2", ("--clips.sets_3d", f"rendered={folder}/pictures"), "expected clips"
    yield "2", ("--clips.every", "3"), "--clips.every 2"
    yield "2", ("--clips.frames", "3", "--clips.every", "1"), "multiple of 3 frames"
    yield "2", ("--clips.sets_3d", "rendered"), "NAME=FOLDER"
    yield "2", ("--train.batch_size", "5"), "expected a batch that 3 samples in 1 processes divide, found 5"
    yield "2", ("--smpl", "nowhere.pkl"), "nowhere.pkl"


def test_wrong_input_is_one_clear_error(folder: Path) -> None:
    for phase, more, text in wrong(folder):
        with pytest.raises(MocapError) as error:
            IntTask(config(folder, phase, *more)).model()
        assert text in str(error.value), (more, error.value)


def test_the_program_says_so_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "2", "wrong", "--start", "nowhere.ckpt") == 1
    assert "nowhere.ckpt: expected" in (error := capsys.readouterr().err)
    assert "Traceback" not in error


def test_another_network_does_not_start(folder: Path, runs: list[Path]) -> None:
    wider = replace(Sizes(**SIZES), depth=2)
    network = IndependentTokens(network_config(config(folder, "2", network=wider)))
    with pytest.raises(MocapError, match="expected a network"):
        start_from_phase(runs[0] / "best.ckpt", network)


def test_clips_may_have_other_frames_than_in_the_phase_before(folder: Path, runs: list[Path]) -> None:
    """Phase 1's positions in time mean nothing; those of phase 2 are interpolated."""
    sizes = network_config(config(folder, "2"))
    longer, same = IndependentTokens(replace(sizes, frames=23)), IndependentTokens(sizes)
    start_from_phase(runs[0] / "best.ckpt", longer)
    start_from_phase(runs[1] / "best.ckpt", longer)
    start_from_phase(runs[1] / "best.ckpt", same)
    assert same.temporal_place is not None
    assert longer.temporal_place is not None
    torch.testing.assert_close(longer.temporal_place, in_time(same.temporal_place, 23))
    longer.temporal_place = same.temporal_place
    clips = torch.randn(1, 2, 3, 32, 32)
    for name, value in longer.eval()(clips).items():
        torch.testing.assert_close(value, same.eval()(clips)[name])


@pytest.mark.parametrize("name", ["phase1", "phase2", "phase3", "small", "small_clips"])
def test_configurations_build(name: str) -> None:
    run = config_of(["--config", str(CONFIGS / f"train_int_{name}.yaml")])
    with torch.device("meta"):
        network = IndependentTokens(network_config(run))
    own = {key: weight for key, weight in network.named_parameters() if not key.startswith("backbone.network.")}
    count = sum(weight.numel() for weight in own.values())  # beside BlazePose's, which are frozen
    if name == "small":
        assert abs(count / 3e6 - 1) < 0.03
    elif "small" not in name:
        assert count > 50e6
    parts = 1 if run.phase == 1 else run.clips_3d + run.clips_2d + run.pictures
    assert run.train.batch_size % (parts * run.train.devices * run.train.nodes) == 0
    assert (len(network.temporal) == 0) == (run.phase == 1)
    assert all(step < run.train.steps for step in run.train.milestones)
