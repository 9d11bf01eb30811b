"""Training TokenHMR and HMR2.0 on a few made-up people, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from mocap.assets import asset_path
from mocap.body.model import OPEN_BODY
from mocap.body.smpl_file import read_smpl
from mocap.errors import MocapError
from mocap.models.tokenhmr import TokenHmr
from mocap.models.tokenizer import PAPER, PoseTokenizer, TokenizerConfig, save_tokenizer
from tests.training.published.pictures import write_shard
from training import harness
from training.harness import Share, load_weights
from training.options import run
from training.published.tokenhmr import PAPER as LOSSES_PAPER
from training.published.tokenhmr import RELEASED as LOSSES_RELEASED
from training.published.tokenhmr_network import network_config, read_tokenizer
from training.train_tokenhmr import TokenHmrRun, TokenHmrTask

ROOT = Path(__file__).parents[2]
TOKENIZER = TokenizerConfig(tokens=42, codes=16, code_dim=2, width=12, per_joint=True)
CONFIG: dict[str, Any] = {
    "network": {
        "side": 32, "patch": 8, "width": 16, "depth": 1, "heads": 2, "drop_path": 0.0, "decoder_width": 16,
        "decoder_depth": 1, "decoder_heads": 2, "decoder_head_width": 8, "decoder_hidden": 16, "token_width": 4,
        "mixers": 1, "mixer_hidden": 8, "mixer_token_hidden": 8,
    },
    "sets": {"threads": 2},
    "train": {
        "steps": 3, "batch_size": 6, "learning_rate": 0.002, "warmup_steps": 1, "ema_decay": 0.5, "accelerator": "cpu",
        "log_every": 1, "validate_every": 100, "checkpoint_every_s": 0,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenhmr")
    write_shard(folder / "train", people=10)
    write_shard(folder / "val", people=6, seed=1)
    torch.manual_seed(0)
    save_tokenizer(PoseTokenizer(TOKENIZER), folder / "tokenizer.npz", {})
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def arguments(folder: Path, name: str = "run") -> list[str]:
    return [
        "--config", str(folder / "config.yaml"), "--tokenizer", str(folder / "tokenizer.npz"),
        "--sets.sets", f"rendered={folder / 'train'}", "--sets.validation", str(folder / "val"),
        "--train.out", str(folder / name),
    ]  # fmt: skip


def train(folder: Path, name: str, *options: str) -> int:
    program = lambda config: harness.train(config.train, TokenHmrTask(config))  # noqa: E731
    return run(TokenHmrRun, "", program, [*arguments(folder, name), *options])


def configured(*options: str) -> TokenHmrRun:
    """What the command line says."""
    found: list[TokenHmrRun] = []
    assert run(TokenHmrRun, "", found.append, list(options)) == 0
    return found[0]


def task(folder: Path, *options: str) -> TokenHmrTask:
    return TokenHmrTask(configured(*arguments(folder), *options))


def curve(run: Path) -> list[dict[str, float]]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row for row in rows if "loss" in row]


def share(step: int = 0, rows: slice = slice(0, 6), device: str = "cpu") -> Share:
    return Share(step, 0, rows, torch.device(device))


ROWS = np.arange(6)


@pytest.mark.parametrize(
    ("option", "system"), [("--network.tokenized", "tokenhmr"), ("--no-network.tokenized", "hmr2")]
)
def test_a_run_leaves_a_whole_network_and_its_body(folder: Path, option: str, system: str) -> None:
    assert train(folder, system, option) == 0
    note = json.loads((folder / system / "run.json").read_text())
    one = task(folder, option, "--train.out", str(folder / system))
    assert note["network"]["system"] == system
    assert note["network"]["config"] == json.loads(json.dumps(one.sidecar()["network"]["config"]))
    assert note["validation"].keys() == {"mpjpe_mm", "pa_mpjpe_mm"}
    model = TokenHmr(one.network)
    load_weights(folder / system / "best.ckpt", model, one.sidecar()["network"])
    with torch.no_grad():
        assert one.validate(model.eval()) == pytest.approx(note["validation"], rel=1e-4)
    body, shipped = read_smpl(folder / system / "body.npz"), read_smpl(asset_path(OPEN_BODY))
    np.testing.assert_array_equal(body.faces, shipped.faces)
    np.testing.assert_array_equal(body.shapedirs, shipped.shapedirs)


def test_mixed_precision_starts_on_the_same_curve(folder: Path) -> None:
    assert train(folder, "float32") == train(folder, "mixed", "--train.precision", "bf16-mixed") == 0
    (exact, *_), mixed = curve(folder / "float32"), curve(folder / "mixed")
    assert mixed[0]["loss"] == pytest.approx(exact["loss"], rel=0.02)
    assert mixed[0]["loss"] != exact["loss"]
    assert all(np.isfinite(row["loss"]) for row in mixed)


def test_a_stopped_run_goes_on_along_the_same_curve(folder: Path) -> None:
    assert train(folder, "whole") == 0
    for step in (1, 2, 3):
        assert train(folder, "stopped", "--train.stop_after_s", "1e-9") == 0
        assert len(curve(folder / "stopped")) == step
    whole, again = ([row["loss"] for row in curve(folder / name)] for name in ("whole", "stopped"))
    np.testing.assert_allclose(again, whole, rtol=1e-6)


@pytest.mark.parametrize("option", ["--network.tokenized", "--no-network.tokenized"])
def test_every_weight_gets_a_gradient_and_the_tokenizer_none(folder: Path, option: str) -> None:
    one = task(folder, option)
    model = one.model()
    one.loss(model, ROWS, share())["loss"].backward()
    without = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not without
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith("head.pose.tokenizer.")}
    assert bool(frozen) == (option == "--network.tokenized")


def test_a_batch_is_learnt_by_heart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ("--network.width", "48", "--network.decoder_width", "48", "--network.decoder_hidden", "48")
    one = task(folder, *sizes)
    batch = one.batches(share())
    monkeypatch.setattr(one, "batches", lambda share: batch)
    torch.manual_seed(0)
    model = one.model()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, 0.003)
    losses = []
    for step in range(120):
        terms = one.loss(model, ROWS, share(step))
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(terms["loss"].item())
    assert np.mean(losses[-5:]) < 0.4 * losses[0]


def test_losses_of_two_processes_average_to_that_of_one(folder: Path) -> None:
    """Sums over samples would not: two processes would learn half as fast."""
    torch.manual_seed(0)
    model = task(folder).model().eval()
    with torch.no_grad():
        whole, *halves = (task(folder).loss(model, ROWS, share(3, rows)) for rows in HALVES)
    for name, value in whole.items():
        assert float(value) == pytest.approx(float(halves[0][name] + halves[1][name]) / 2, rel=1e-4), name


HALVES = (slice(0, 6), slice(0, 3), slice(3, 6))


class Knows(nn.Module):
    """Says what is true of a batch, but for the camera."""

    def __init__(self, batch: dict[str, Tensor]) -> None:
        super().__init__()
        self.batch, self.weight = batch, nn.Parameter(torch.zeros(()))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        torch.testing.assert_close(image, self.batch["image"])
        camera = torch.tensor([0.0, 0.0, 40.0]).expand(len(image), 3)
        return {"R": self.batch["R"], "betas": self.batch["betas"], "p_camera": camera}


@pytest.mark.parametrize("mirrored", [0.0, 1.0])
def test_the_truth_has_no_loss_in_space(folder: Path, mirrored: float) -> None:
    one = task(folder, "--augmentation.flip_rate", str(mirrored))
    batch = one.batches(share(5))
    terms = task(folder, "--augmentation.flip_rate", str(mirrored)).loss(Knows(batch), ROWS, share(5))
    assert float(terms["pose"]) == pytest.approx(0, abs=1e-9)
    assert float(terms["betas"]) == 0
    # Of 37 points, m; a mirrored body is not quite the same body.
    assert float(terms["keypoints_3d"]) / 37 < (0.006 if mirrored else 1e-5)
    assert float(terms["keypoints_2d"]) > 0.1


def test_points_that_the_body_does_not_have_do_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    one, model = task(folder), task(folder).model().eval()
    expected = one.loss(model, ROWS, share())
    unknown = ~one.points.known
    assert 0 < int(unknown.sum()) < 10

    def wrong(batches: Any, share: Share) -> dict[str, Tensor]:
        batch = real(batches, share)
        for name in ("keypoints_2d", "keypoints_3d"):
            batch[name][:, unknown] = 3.0  # with a confidence
        return batch

    real = type(one.batches).__call__
    monkeypatch.setattr(type(one.batches), "__call__", wrong)
    for name, value in task(folder).loss(model, ROWS, share()).items():
        assert value.item() == expected[name].item(), name


def test_nothing_of_a_step_stays_on_the_cpu(folder: Path) -> None:
    """As a GPU would find it: torch's meta device computes nothing, but refuses what lies elsewhere."""
    one = task(folder)
    terms = one.loss(one.model().to("meta"), ROWS, share(device="meta"))
    assert {term.device.type for term in terms.values()} == {"meta"}


def test_the_paper_trains_the_paper_s_network() -> None:
    for name, rate, batch in (("paper", 1e-5, 256), ("release", 5e-7, 192)):
        config = configured("--config", str(ROOT / "configs" / f"train_tokenhmr_{name}.yaml"))
        assert (config.train.learning_rate, config.train.batch_size, config.train.schedule) == (rate, batch, "steps")
        assert config.loss == (LOSSES_PAPER if name == "paper" else LOSSES_RELEASED)
        with torch.device("meta"):
            network = TokenHmr(network_config(config.network, PoseTokenizer(PAPER)))
        assert sum(value.numel() for value in network.state_dict().values()) == pytest.approx(688e6, rel=0.001)


def test_the_small_network_has_three_million_numbers_beside_its_backbone() -> None:
    config = configured("--config", str(ROOT / "configs" / "train_tokenhmr_small.yaml"))
    network = TokenHmr(network_config(config.network, read_tokenizer("")))
    weights = network.state_dict().items()
    own = [value.numel() for name, value in weights if not name.startswith("vit.network.")]
    assert len(own) < len(weights)
    assert sum(own) == pytest.approx(3e6, rel=0.03)


Change = Callable[[dict[str, Tensor]], object]


def test_training_starts_from_the_backbone_of_another_run(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train(folder, "earlier", "--no-network.tokenized") == 0
    checkpoint = torch.load(folder / "earlier" / "best.ckpt", weights_only=True)
    average = {name.removeprefix("module."): value for name, value in checkpoint["ema"].items()}
    options = ["--start", str(folder / "earlier" / "best.ckpt")]
    with caplog.at_level("INFO"):
        model, fresh = task(folder, *options).model().state_dict(), task(folder).model().state_dict()
    assert "taken over: vit." in caplog.text
    assert "start afresh: head." in caplog.text
    for name, value in model.items():
        assert torch.equal(value, average[name]) if name.startswith("vit.") else name in fresh, name
    assert not torch.equal(model["head.shape.weight"], average["head.shape.weight"])
    all_ = task(folder, *options, "--start_with", "all").model().state_dict()
    assert torch.equal(all_["head.shape.weight"], average["head.shape.weight"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--tokenizer", "nothing.npz"], "nothing.npz: expected the weights of a tokenizer"),
        (["--tokenizer", "nothing.pth"], "nothing.pth"),
        (["--start", "nothing.ckpt"], "nothing.ckpt"),
        (["--mean", "nothing.npz"], "nothing.npz: expected smpl_mean_params.npz"),
        (["--prior", "nothing.npy"], "expected amass_poses_hist100_SMPL+H_G.npy"),
        (["--smpl", "nothing.pkl"], "nothing.pkl: expected SMPL's file"),
        (["--sets.sets", "rendered=nothing"], "training.synthesize --picture_px"),
        (["--sets.sets", "coco=nothing"], "expected COCO 2014"),
        (["--sets.validation", "nothing"], "training.synthesize --picture_px"),
        (["--network.patch", "9"], "expected a side that 36 divides"),
        (["--network.heads", "3"], "expected a width that 3 heads divide"),
        (["--train.batch_size", "11"], "10 samples, fewer than a batch of 11"),
    ],
)
def test_what_is_missing_is_one_clear_error(
    folder: Path, capfd: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert train(folder, "wrong", *options) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]


def test_the_regressor_that_smpl_needs_is_asked_for(folder: Path) -> None:
    config = configured(*arguments(folder), "--smpl", str(asset_path(OPEN_BODY)))
    with pytest.raises(MocapError, match=r"expected SMPL_to_J19\.pkl"):
        TokenHmrTask(config)


def test_with_smpl_betas_of_the_open_body_do_not_count(folder: Path) -> None:
    """A file in SMPL's format stands for SMPL; rendered people keep their own joints."""
    vertices = len(read_smpl(asset_path(OPEN_BODY)).v_template)
    np.save(folder / "j19.npy", np.full((19, vertices), 1 / vertices, np.float32))
    files = ["--smpl", str(asset_path(OPEN_BODY)), "--regressor", str(folder / "j19.npy")]
    one = task(folder, *files)
    batch = one.batches(share())
    assert not batch["has_betas"].any()
    assert batch["has_pose"].all()
    open_batch = task(folder).batches(share())
    assert open_batch["has_betas"].all()
    torch.testing.assert_close(batch["keypoints_3d"], open_batch["keypoints_3d"])
    assert one.loss(one.model(), ROWS, share())["betas"].item() == 0
    assert one.sidecar()["body"] == "SMPL"


def test_validation_of_the_truth_is_zero(folder: Path) -> None:
    (folder / "run").mkdir(exist_ok=True)
    one = task(folder)
    people = one.validation.people

    class Truth(nn.Linear):  # which has a device
        def forward(self, image: Tensor) -> dict[str, Tensor]:
            assert len(image) == len(people)
            return {"R": people.R, "betas": people.betas}

    figures = one.validate(Truth(1, 1))
    assert max(figures.values()) < 0.05
    other = replace(one.config, margin=1.0)
    assert TokenHmrTask(other).validate(Truth(1, 1)) == figures
