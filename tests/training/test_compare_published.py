"""The comparison: exact where a system knows the truth, all on the same people, what runs is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mocap.assets import asset_path
from mocap.errors import MocapError
from mocap.models.blazepose_backbone import BlazePoseTokens
from tests.training.published.pictures import write_shard
from training import compare_published
from training.compare_published import CompareConfig, Row, compare
from training.datasets.images.rendered import Rendered
from training.published.points import OpenPoints


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    write_shard(path, people=6, size=32)
    return path


class _Knowing(nn.Module):
    """Says what is true of the people in their order, turned by ``turn`` where it is given."""

    config = None

    def __init__(self, people: Rendered) -> None:
        super().__init__()
        self.people, self.next = people, 0
        self.used, self.unused = nn.Linear(3, 5), nn.Linear(100, 100)

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        self.used(picture[:, :, 0, 0])
        rows = (self.next + torch.arange(len(picture))) % len(self.people)
        self.next += len(picture)
        return {"R": self.people.R[rows], "betas": self.people.betas[rows]}


def test_who_knows_the_truth_is_exact(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are in the axes of the crop's camera, errors in those of the picture's."""
    people = Rendered(folder, OpenPoints("smpl24"))
    known = type("Known", (), {"side": staticmethod(lambda _: 32), "margin": 1.2, "aspect": 1.0})
    monkeypatch.setattr(compare_published, "known_system", lambda _: known)
    monkeypatch.setattr(compare_published.published, "load_network", lambda *_: _Knowing(people))
    monkeypatch.setattr(compare_published, "read_body", lambda _: None)
    row = compare_published._published("tokenhmr", Path("x"), folder, torch.ones(len(people), dtype=torch.bool))
    true = people.p_camera_joint - people.p_camera_joint[:, :1]
    torch.testing.assert_close(row.joints, true, atol=1e-4, rtol=0)
    assert row.parameters == 3 * 5 + 5  # what does not run does not count
    assert "| 0.0 ± 0.0 | 0.0 ± 0.0 |" in compare_published._line(row, true)


def test_the_backbone_that_all_have_does_not_count() -> None:
    network = nn.Sequential(BlazePoseTokens(), nn.Linear(288, 2))
    count = compare_published._parameters(network, lambda: network(torch.zeros(1, 3, 32, 32)))
    assert count == 64 * 288 + 288 * 2 + 2


def test_errors_are_in_millimetres() -> None:
    true = torch.randn(10, 24, 3)
    moved = true + torch.tensor([0.05, 0, 0])
    moved[:, :1] = true[:, :1]
    line = compare_published._line(Row("x", moved, 0, None), true)
    assert line.split("|")[4].strip().startswith("47.9")  # 23 of 24 joints by 50 mm


def test_ours_and_the_mean_pose(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "table.md"
    ours = f"shipped={asset_path('capture_live.npz')}"
    table = compare(CompareConfig(captures=[ours], test=str(folder), train=str(folder), output=str(output)))
    assert output.read_text(encoding="utf-8") == table
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:4]] == ["mean pose", "shipped"]
    assert "6 people" in table


def test_clips_are_refused(tmp_path: Path) -> None:
    write_shard(tmp_path, people=2, size=32, clip_frames=3)
    ours = f"shipped={asset_path('capture_live.npz')}"
    with pytest.raises(MocapError, match=r"expected single pictures, found clips of 3 frames"):
        compare(CompareConfig(captures=[ours], test=str(tmp_path), train=str(tmp_path)))


@pytest.mark.parametrize("files", [[], ["tokenhmr"], ["tokenhmr=nowhere.safetensors"]])
def test_what_is_missing_is_said(folder: Path, files: list[str]) -> None:
    with pytest.raises(MocapError, match=r"expected"):
        compare(CompareConfig(files=files, test=str(folder), train=str(folder)))
