"""The learned capture's stages on a few made-up people, in this process."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from mocap.body.torch_figure import Figure
from mocap.models.capture import CaptureNetwork
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig, save_tokenizer
from training import train_capture
from training.capture.landmark_noise import save as save_noise
from training.capture.shards import Shards
from training.harness import Share
from training.train_capture import CaptureRun, CaptureTask, Sizes

from .capture.small_shards import noise_without_habits, people, seen_of, truth_of, write_small_shards
from .small_corpus import write_small_corpus

TOKENIZER = TokenizerConfig(tokens=42, codes=16, code_dim=2, width=12, per_joint=True)
KEPT, FRAMES = 9, 4  # frames of a rendered clip, and of a clip that the network is taught with
CONFIG: dict[str, Any] = {
    "network": {"width": 16, "depth": 1, "stem": 8, "temporal_depth": 1, "window": 4},
    "train": {
        "steps": 3, "batch_size": 6, "learning_rate": 0.002, "warmup_steps": 1, "ema_decay": 0.5, "accelerator": "cpu",
        "log_every": 1, "validate_every": 100, "checkpoint_every_s": 0,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capture")
    write_small_corpus(folder / "corpus")
    torch.manual_seed(0)
    save_tokenizer(PoseTokenizer(TOKENIZER), folder / "tokenizer.npz", {})
    noise = noise_without_habits(5, 3, 6)
    noise.single.normal_(0, 0.01)
    noise.clip_there[1, 2] = False
    save_noise(noise, folder / "noise.pt")
    for seed, split in enumerate(("train", "val")):
        write_small_shards(folder / f"frames_{split}", 12, seed=seed)
        write_small_shards(folder / f"clips_{split}", 8, KEPT, seed=2 + seed)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def paths(folder: Path, stage: str) -> dict[str, str]:
    names = {"corpus": "corpus", "noise": "noise.pt", "tokenizer": "tokenizer.npz"}
    names |= {"pairs": f"{stage}_train", "validation": f"{stage}_val"}
    return {name: str(folder / file) for name, file in names.items()}


def train(folder: Path, stage: str, out: str, *options: str) -> int:
    """The program itself; its exit code."""
    given = [argument for name, path in paths(folder, stage).items() for argument in (f"--{name}", path)]
    frames = "1" if stage == "frames" else str(FRAMES)
    arguments = ["--config", str(folder / "config.yaml"), *given, "--frames", frames]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train_capture", *arguments, "--train.out", str(folder / out), *options])
        return train_capture.main()


def task(folder: Path, stage: str, **changes: Any) -> CaptureTask:
    sizes = Sizes(**CONFIG["network"])
    frames = 1 if stage == "frames" else FRAMES
    return CaptureTask(replace(CaptureRun(**paths(folder, stage), frames=frames, network=sizes), **changes))


def curve(run: Path) -> list[dict[str, float]]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row for row in rows if "loss" in row]


def weights(run: Path, part: str) -> dict[str, Tensor]:
    state = torch.load(run / "last.ckpt", weights_only=True)["model"]
    return {name: value for name, value in state.items() if name.startswith(part)}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def frames(folder: Path) -> Path:
    """The first stage's run."""
    assert train(folder, "frames", "frames") == 0
    return folder / "frames"


@pytest.fixture(scope="module")
def clips(folder: Path, frames: Path) -> Path:
    """The second stage's run, of the temporal transformer alone."""
    assert train(folder, "clips", "clips", "--start", str(frames / "last.ckpt"), "--learn", "temporal") == 0
    return folder / "clips"


def test_frames_then_clips(frames: Path, clips: Path) -> None:
    for run, more in ((frames, set()), (clips, {"velocity", "acceleration", "contact", "lag"})):
        rows = curve(run)
        assert [row["step"] for row in rows] == [1, 2, 3]
        assert set(rows[0]) >= {"loss", "tokens", "rotation", "joints", "picture", *more}
        assert ("velocity" in rows[0]) == bool(more)
        assert all(np.isfinite(list(row.values())).all() for row in rows)
        note = json.loads((run / "run.json").read_text())
        assert note["network"]["temporal"]["window"] == 4
        assert note["network"]["regressor"]["tokenizer"]["codes"] == 16
        assert note["data"]["seed"] == 0
        assert note["validation"]["pa_mpjpe_mm"] > 0
        assert ("acceleration_error" in note["validation"]) == bool(more)
    assert json.loads((clips / "run.json").read_text())["start"].endswith("last.ckpt")


def test_one_sample_again_and_again_is_learnt(folder: Path) -> None:
    one = task(folder, "frames", rendered=1.0)
    torch.manual_seed(0)
    model, rows, losses = one.model(), np.arange(4), []
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.003)
    for _ in range(25):
        terms = one.loss(model, rows, Share(0, 0, slice(0, 4), torch.device("cpu")))
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_all_learns_all_but_the_tokenizer(folder: Path, frames: Path) -> None:
    assert train(folder, "clips", "all", "--start", str(frames / "best.ckpt")) == 0
    for part in ("regressor", "temporal", "heads.root", "heads.codes", "heads.turn"):
        assert not same(weights(frames, part), weights(folder / "all", part)), part
    tokenizer = "heads.tokenizer"
    assert same(weights(frames, tokenizer), weights(folder / "all", tokenizer))


def test_the_whole_pose_over_time_for_comparison(folder: Path, frames: Path) -> None:
    given = ("--start", str(frames / "last.ckpt"), "--learn", "temporal", "--whole_pose")
    assert train(folder, "clips", "whole", *given) == 0
    assert all(np.isfinite(row["loss"]) for row in curve(folder / "whole"))
    assert json.loads((folder / "whole" / "run.json").read_text())["whole_pose"]
    assert any(value.abs().max() > 0 for value in weights(folder / "whole", "temporal.spread").values())


def test_temporal_leaves_the_regressor_alone(frames: Path, clips: Path) -> None:
    """It starts from the averaged weights, which are those of the checkpoint's EMA."""
    average = torch.load(frames / "last.ckpt", weights_only=True)["ema"]
    found = weights(clips, "regressor")
    assert same(found, {name: average[f"module.{name}"] for name in found})
    assert not same(weights(frames, "temporal"), weights(clips, "temporal"))


def test_time_leaves_the_pose_of_a_frame_alone(folder: Path, frames: Path) -> None:
    assert train(folder, "clips", "time", "--start", str(frames / "last.ckpt"), "--learn", "time") == 0
    average = torch.load(frames / "last.ckpt", weights_only=True)["ema"]
    for part in ("regressor", "heads.root", "heads.turn", "heads.codes", "heads.betas", "heads.camera"):
        found = weights(folder / "time", part)
        assert same(found, {name: average[f"module.{name}"] for name in found}), part
    for part in ("temporal", "heads.contact"):
        assert not same(weights(frames, part), weights(folder / "time", part)), part


def test_pose_tokens_may_come_last(folder: Path) -> None:
    """Rotations that were told at once give way to tokens; everything else goes on as it was."""
    assert train(folder, "frames", "at_once", "--no-network.tokenized") == 0
    assert "tokens" not in curve(folder / "at_once")[0]
    start = str(folder / "at_once" / "last.ckpt")
    config = task(folder, "frames").config
    model = CaptureTask(replace(config, start=start)).model()
    earlier = CaptureTask(replace(config, start=start, network=replace(config.network, tokenized=False))).model()
    assert isinstance(model, CaptureNetwork)
    assert isinstance(earlier, CaptureNetwork)
    weights = model.state_dict()
    for name, value in earlier.state_dict().items():
        assert torch.equal(weights[name], value) == (not name.startswith("heads.turn.")), name
    assert train(folder, "frames", "tokens", "--start", start) == 0
    assert curve(folder / "tokens")[0]["tokens"] > 0


@pytest.mark.parametrize("stage", ["frames", "clips"])
def test_a_stopped_run_goes_on_along_the_same_curve(folder: Path, stage: str) -> None:
    assert train(folder, stage, f"{stage}_whole") == 0
    stopped = folder / f"{stage}_stopped"
    for step in (1, 2, 3):
        assert train(folder, stage, stopped.name, "--train.stop_after_s", "1e-9") == 0
        assert len(curve(stopped)) == step
    whole, again = ([row["loss"] for row in curve(run)] for run in (folder / f"{stage}_whole", stopped))
    np.testing.assert_allclose(again, whole, rtol=1e-6)


@pytest.mark.parametrize("stage", ["frames", "clips"])
def test_two_processes_see_what_one_sees(folder: Path, stage: str) -> None:
    """The mean over two halves of a batch is that of the whole, but for terms that weigh frames by their share."""
    one = task(folder, stage, knowledge=replace(CaptureRun().knowledge, mirror=0.5))
    torch.manual_seed(0)
    model, rows, device = one.model().eval(), np.arange(8), torch.device("cpu")
    with torch.no_grad():
        whole, *halves = (
            one.loss(model, rows, Share(3, 1, part, device)) for part in (slice(0, 8), slice(0, 4), slice(4, 8))
        )
    for name in ("rotation", "root", "joints", "betas", "picture"):
        mean = float(halves[0][name] + halves[1][name]) / 2
        # Of clips some frames do not count, not as many in each half.
        assert float(whole[name]) == pytest.approx(mean, rel=1e-4 if stage == "frames" else 0.02), name


@pytest.mark.parametrize("stage", ["frames", "clips"])
def test_nothing_of_a_step_stays_on_the_cpu(folder: Path, stage: str) -> None:
    """As a GPU would find it: torch's meta device computes nothing, but refuses what lies elsewhere."""
    one, meta = task(folder, stage, knowledge=replace(CaptureRun().knowledge, mirror=0.5)), torch.device("meta")
    terms = one.loss(one.model().to(meta), np.arange(6), Share(0, 0, slice(0, 6), meta))
    assert {term.device for term in terms.values()} == {meta}


def test_every_step_sees_other_samples_and_the_same_step_the_same(folder: Path) -> None:
    one = task(folder, "clips", rendered=0.5)
    torch.manual_seed(0)
    model, rows, device = one.model().eval(), np.arange(6), torch.device("cpu")
    with torch.no_grad():
        first, again, other = (
            float(one.loss(model, rows, Share(step, 0, slice(0, 6), device))["loss"]) for step in (0, 0, 1)
        )
    assert first == again
    assert first != other


def numbered(kept: int, clips: int) -> Shards:
    """Rendered clips whose focal lengths count all frames."""
    truth = truth_of(people(clips, kept))
    truth = replace(truth, focal_px=torch.arange(float(len(truth))))
    return Shards(truth, seen_of(truth), kept)


@pytest.mark.parametrize(("kept", "frames"), [(9, 4), (16, 4), (4, 4), (5, 4), (7, 1), (9, 2)])
def test_rendered_clips_never_leave_their_clip(folder: Path, kept: int, frames: int) -> None:
    one = task(folder, "clips")
    one.config, one.shards = replace(one.config, frames=frames), numbered(kept, 5)
    rows = torch.arange(5).repeat(400)
    truth, seen, t = one._rendered(rows, torch.Generator().manual_seed(0))
    assert len(seen) == len(truth) == len(rows) * frames
    frame = truth.focal_px.long().unflatten(0, (len(rows), frames))
    assert (frame // kept == rows[:, None]).all()
    steps = (30 * t.diff(dim=1)).round().long()
    assert torch.equal(frame.diff(dim=1), steps)
    assert (t[:, 0] == 0).all()
    if frames > 1:
        assert steps.max() <= (kept - 1) // (frames - 1)
        assert (steps.max() > 1) == ((kept - 1) // (frames - 1) > 1)
    assert set((frame[rows == 2, 0] - 2 * kept).tolist()) >= {0, kept - 1 - (frames - 1)}  # first and last place
    torch.testing.assert_close(seen.roi, one.shards.seen.roi[frame.flatten()])


def test_frames_in_which_nobody_is_seen_teach_in_clips_but_tell_nothing(folder: Path) -> None:
    """Their pose is known to the loss; the network must not see it elsewhere than in other frames."""
    one = task(folder, "clips", rendered=1.0)
    seen = one.shards.seen
    assert (~seen.there).any()
    torch.manual_seed(0)
    model = one.model().eval()
    assert isinstance(model, CaptureNetwork)
    told: list[dict[str, Tensor]] = []

    def listen(_: object, given: tuple[Any, ...]) -> None:
        told.append(given[0])

    with torch.no_grad(), model.register_forward_pre_hook(listen):
        for step in range(4):
            one.loss(model, np.arange(8), Share(step, 0, slice(0, 8), torch.device("cpu")))
    given = {name: torch.cat([part[name] for part in told]) for name in told[0]}
    lost = (given["visibility"] < 0).all(1) & (given["roi"][:, 2] == 1)
    assert lost.any()
    assert not given["landmarks_px"][lost].any()
    assert not given["landmarks_world"][lost].any()
    assert (given["roi"][lost] == torch.tensor([0.0, 0, 1, 0])).all()


@pytest.mark.parametrize(
    ("stage", "options", "expected"),
    [
        ("frames", {"noise": "nothing.pt"}, "training.fit_noise"),
        ("frames", {"corpus": "nothing"}, "training.make_corpus"),
        ("frames", {"pairs": "nothing"}, "training.synthesize"),
        ("frames", {"start": "nothing.ckpt"}, "nothing.ckpt"),
        ("frames", {"pairs": "clips_train"}, f"expected clips of 1 frames or more, found {KEPT}"),
        ("clips", {"pairs": "frames_train"}, "expected clips of 4 frames or more, found 1"),
        ("clips", {"validation": "frames_val"}, "frames_val: expected clips of 4 frames or more, found 1"),
    ],
)
def test_what_is_missing_or_of_the_wrong_length_is_one_clear_error(
    folder: Path, capfd: pytest.CaptureFixture[str], stage: str, options: dict[str, str], expected: str
) -> None:
    given = [argument for name, file in options.items() for argument in (f"--{name}", str(folder / file))]
    assert train(folder, stage, "wrong", *given) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]


def test_clips_longer_than_the_rendered_ones(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "clips", "wrong", "--frames", str(KEPT + 1)) == 1
    assert f"expected clips of {KEPT + 1} frames or more, found {KEPT}" in capfd.readouterr().err


def test_an_earlier_stage_of_another_size(folder: Path, frames: Path, capfd: pytest.CaptureFixture[str]) -> None:
    start = str(frames / "last.ckpt")
    assert train(folder, "clips", "wrong", "--start", start, "--network.width", "24") == 1
    text = capfd.readouterr().err
    assert "width=24" in text
    assert "width=16" in text


def test_the_truth_has_no_error(folder: Path) -> None:
    """The validation's figures, of a model that gives the answer."""
    one = task(folder, "clips")
    truth = one.validation.truth

    class Knows(torch.nn.Linear):  # which has a device
        def forward(self, given: dict[str, Tensor], *_: Tensor) -> dict[str, Tensor]:
            assert len(given["roi"]) == len(truth)
            return {"R": truth.R, "betas": truth.betas}

    found = train_capture.errors_mm(Knows(1, 1), one.validation, Figure(), clip=True)  # type: ignore[arg-type]
    assert set(found) == {"mpjpe_mm", "pa_mpjpe_mm", "rotation_deg", "root_deg", "acceleration_error"}
    assert max(found.values()) < 0.05
