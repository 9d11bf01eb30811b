"""`mocap doctor`, `mocap cameras` and the parts of `mocap bench` that decide what is said."""

from __future__ import annotations

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from mocap.__main__ import main
from mocap.cli import doctor, tools
from mocap.cli.bench import LiveReport, Row, _take_message, messages
from mocap.errors import MocapError
from mocap.sources import CameraInfo


def test_doctor_finds_what_live_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "engine openvino" in text
    assert "pose_landmark_full.tflite" in text


def test_doctor_fails_and_advises_where_the_weights_are_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise MocapError("mediapipe 0.10.21 is not installed: pip install mediapipe==0.10.21")

    monkeypatch.setattr(doctor.tflite, "mediapipe_file", missing)
    assert main(["doctor"]) == 1
    assert "pip install mediapipe==0.10.21" in capsys.readouterr().out


def test_cameras_prints_numbers_and_names(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tools, "list_cameras", lambda: [CameraInfo(2, "Logitech C920", 200, "/dev/video2")])
    assert main(["cameras"]) == 0
    assert "2  Logitech C920" in capsys.readouterr().out


def test_cameras_without_any_is_a_failure_with_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tools, "list_cameras", list)
    assert main(["cameras"]) == 1
    assert "mocap live --camera clip.mp4" in capsys.readouterr().out


def test_a_row_misses_its_target_only_above_it() -> None:
    assert Row("a", 1.0, "ms", 1.0).verdict == "ok"
    assert Row("a", 1.01, "ms", 1.0).verdict == "MISSED"
    assert Row("a", float("nan"), "ms", 1.0).verdict == "MISSED"
    assert Row("a", 9.0, "ms").verdict == ""


def frame_bundle(index: int, age_ms: float) -> bytes:
    message = OscMessageBuilder("/mocap/frame")
    for value in (index, age_ms, 1):
        message.add_arg(value)
    bundle = OscBundleBuilder(IMMEDIATELY)
    bundle.add_content(message.build())
    return bundle.build().dgram


def test_drops_are_the_gaps_in_the_index_that_arrives() -> None:
    report = LiveReport()
    for index in (3, 4, 7, 8):
        for address, values in messages(frame_bundle(index, 20.0)):
            _take_message(report, address, values, 1.0)
    assert report.dropped == 2
    assert report.ages_ms == [20.0] * 4
