from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.evaluation.made import write_shard
from training.evaluate import EvaluationConfig, evaluate
from training.evaluation.systems import KINEMATIC
from training.options import run


def evaluated(*arguments: str) -> int:
    return run(EvaluationConfig, "", evaluate, list(arguments))


def test_clips_and_frames_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shard(tmp_path / "clips", clips=2, frames=16, noise_m=0.03)
    write_shard(tmp_path / "pairs", clips=4, frames=1, noise_m=0.03)
    page = tmp_path / "page.md"
    arguments = ["--demo", "--clips", str(tmp_path / "clips"), "--pairs", str(tmp_path / "pairs")]
    assert evaluated(*arguments, "--ladder", "1", "--limit", "3", "--output", str(page)) == 0
    assert str(page) in capsys.readouterr().out
    found = json.loads(page.with_suffix(".json").read_text())
    assert found["sets"]["Synthetic clips"]["frames"] == 32
    assert found["sets"]["Synthetic frames"]["frames"] == 3
    systems = found["sets"]["Synthetic clips"]["systems"]
    assert systems[KINEMATIC]["pa_mpjpe"] < systems["MediaPipe raw"]["pa_mpjpe"]
    assert set(found["ladder"]) == {"as is", "true limbs", "true 2D", "true 2D + true limbs"}
    assert "Oracle ladder" in page.read_text()


def test_without_an_output_the_tables_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shard(tmp_path, clips=1, frames=8)
    assert evaluated("--demo", "--clips", str(tmp_path)) == 0
    assert "| PA-MPJPE, mm |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--demo"], "name --demo, --shared, --pairs or --clips"),
        (["--demo", "--clips", "NONE"], "training.synthesize --split test"),
        (["--demo", "--shared", "NONE"], "expected recordings"),
        (["--checkpoint", "NONE"], "train_capture"),
        (["--ladder", "3"], "name --clips or --pairs"),
        (["--noise", "1", "2"], "--checkpoint"),
        (["--output", "page.html"], "Markdown"),
        (["--demo", "nothing"], "make_demo"),
    ],
)
def test_errors_say_what_to_do(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    arguments = [str(tmp_path / "none" / "x") if word == "NONE" else word for word in arguments]
    assert evaluated(*arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")


def test_an_unknown_mode_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluated("--mode", "backwards") == 2
    assert "mode" in capsys.readouterr().err
