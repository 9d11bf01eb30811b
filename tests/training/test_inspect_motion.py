"""The command that shows a data set."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.datasets.small_motion import random_motion, random_rotations, rest_joints, write_figure
from training.datasets.skeleton_map import load_maps
from training.inspect_motion import contact_sheet, main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["inspect_motion", *map(str, arguments)])
    main()


def test_prints_the_tables_and_an_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mixamo = next(m for m in load_maps() if m.name == "mixamo")
    write_figure(tmp_path / "a.bvh", mixamo, random_rotations(5, degrees=20), rest_joints())
    run(monkeypatch, tmp_path / "a.bvh")
    printed = capsys.readouterr().out
    assert "distinct" in printed
    assert "right_wrist" in printed
    run(monkeypatch, tmp_path / "a.bvh", "--axes", 0)
    assert "LeftForeArm" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"error: .*a frame of 0 to 4"):
        run(monkeypatch, tmp_path / "a.bvh", "--axes", 9)


def test_every_picture_of_the_sheet_shows_a_body() -> None:
    pytest.importorskip("vtk")
    sheet = np.asarray(contact_sheet([random_motion(10)], count=4, size=96, columns=2)).astype(int)
    assert sheet.shape == (192, 192, 3)
    for row in (0, 96):
        for column in (0, 96):
            picture = sheet[row + 24 : row + 96, column : column + 96]
            assert (np.abs(picture - picture[-1, 0]).max(-1) > 30).mean() > 0.02
