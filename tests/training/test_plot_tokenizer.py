from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mocap.body.torch_rotations import axis_angle_to_matrix, random_rotations
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig, save_tokenizer
from tests.training.small_corpus import write_small_corpus
from training.evaluate_tokenizer import Meter
from training.plot_tokenizer import joint_chart, joint_errors, main, pose_map, reconstruction_sheet, spread, tiles

SIZES = TokenizerConfig(tokens=8, codes=16, code_dim=8, width=12, depth=1, upsamples=1, decoder_stages=1)


@pytest.fixture(scope="module")
def meter() -> Meter:
    return Meter()


def test_all_pictures_of_an_asset(tmp_path: Path) -> None:
    write_small_corpus(tmp_path / "corpus")
    save_tokenizer(PoseTokenizer(SIZES), tmp_path / "t.npz", {})
    sizes = ["--poses", "40", "--bodies", "4", "--size", "32"]
    assert main([str(tmp_path / "t.npz"), "--corpus", str(tmp_path / "corpus"), "--out", str(tmp_path), *sizes]) == 0
    for name in ("reconstruction.jpg", "joints.png", "map.png", "random.jpg"):
        assert np.asarray(Image.open(tmp_path / f"tokenizer_{name}")).std() > 5  # there is something in it


def test_neither_asset_nor_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_small_corpus(tmp_path / "corpus")
    with pytest.raises(SystemExit, match="1"):
        main([str(tmp_path), "--corpus", str(tmp_path / "corpus")])
    assert "expected a tokenizer (.npz) or a run's folder" in capsys.readouterr().err


def test_the_sheet_goes_from_the_best_to_the_worst() -> None:
    errors = np.array([5.0, 1.0, 9.0, 3.0, 7.0])
    assert errors[spread(errors, 3)].tolist() == [1, 5, 9]
    assert errors[spread(errors, 99)].tolist() == [1, 3, 5, 7, 9]


def test_the_error_of_a_bent_elbow_is_below_it(meter: Meter) -> None:
    still = torch.eye(3).repeat(300, 21, 1, 1)  # more than a batch
    bent = still.clone()
    bent[:, 17] = axis_angle_to_matrix(torch.tensor([0.0, -1.0, 0.0]))  # joint 18, the left elbow
    errors = joint_errors(meter, bent, still)
    assert errors.shape == (300, 23)
    assert (errors[0] > 1).nonzero()[0].tolist() == [19, 21]  # joints 20 and 22, the left wrist and hand


def test_a_reconstruction_is_seen_beside_its_truth(meter: Meter) -> None:
    T_pose = torch.eye(3).expand(1, 21, 3, 3)
    turned = random_rotations((1, 21), torch.Generator().manual_seed(0))

    def common(decoded: torch.Tensor) -> float:
        """Intersection over union of the first two bodies: truth and reconstruction from the same side."""
        sheet = np.asarray(reconstruction_sheet(meter, T_pose, decoded, 1, 64), int)[15:65, 1:]  # below the label
        one, two = (abs(cell - cell[-1, 0]).max(-1) > 12 for cell in (sheet[:, :64], sheet[:, 64:128]))
        return float((one & two).sum() / (one | two).sum())

    assert common(T_pose) > 0.9
    assert common(turned) < 0.6


def test_tiles_are_laid_row_by_row() -> None:
    cells = [[np.full((10, 20, 3), shade, np.uint8)] for shade in (10, 20, 30)]
    sheet = np.asarray(tiles(cells, ["", "", ""], columns=2))
    assert sheet.shape == (24, 44, 3)
    assert [sheet[6, 11, 0], sheet[6, 33, 0], sheet[18, 11, 0], sheet[18, 33, 0]] == [10, 20, 30, 255]


def test_bars_and_legend_of_the_joint_chart() -> None:
    figure = joint_chart({"one": np.arange(23.0), "two": np.ones(23)})
    axes = figure.axes[0]
    assert len(axes.patches) == 2 * 20  # joints that can move against the pelvis
    assert sorted(bar.get_width() for bar in axes.patches[:20]) == list(np.arange(3.0, 23.0))
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["one: MPJPE 11.0 mm", "two: MPJPE 1.0 mm"]


def test_the_map_keeps_groups_apart(meter: Meter) -> None:
    generator = torch.Generator().manual_seed(0)
    near = axis_angle_to_matrix(0.05 * torch.randn(30, 21, 3, generator=generator))
    far = axis_angle_to_matrix(0.05 * torch.randn(30, 21, 3, generator=generator) + 0.5)
    first, second = (
        part.get_offsets() for part in pose_map(meter, {"real": near, "random tokens": far}).axes[0].collections
    )
    between = np.linalg.norm(first.mean(0) - second.mean(0))
    assert between > 2 * max(first.std(), second.std())
