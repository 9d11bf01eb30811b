"""The commands on real input: the shipped clips through the whole chain, and what goes wrong."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from mocap.__main__ import main
from mocap.assets import asset_path
from mocap.cli.bench import messages
from mocap.cli.capture import Recording
from mocap.errors import MocapError
from mocap.takes.reader import Take

DEMO = str(asset_path("demo.mp4"))


def write_clip(path: Path, pictures: list[np.ndarray]) -> Path:
    """A short lossless video of these pictures (H, W, 3)."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def demo_pictures(count: int) -> list[np.ndarray]:
    with av.open(DEMO) as container:
        return [
            frame.to_ndarray(format="rgb24") for _, frame in zip(range(count), container.decode(video=0), strict=False)
        ]


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo clip captured once: take, npz, bvh and overlay."""
    out = tmp_path_factory.mktemp("out")
    assert main(["file", DEMO, "--out", str(out), "--overlay", str(out / "overlay.mp4")]) == 0
    return out


def test_file_drops_no_frame_and_finds_the_person_in_nearly_all(captured: Path) -> None:
    truth = np.load(asset_path("demo.npz"))
    frames = truth["t"].shape[0]
    (path,) = captured.glob("*_person0.npz")
    exported = np.load(path)
    assert len(exported["frame"]) >= 0.98 * frames
    assert np.isin(exported["frame"], np.arange(frames)).all()
    for name in exported.files:
        if exported[name].dtype.kind == "f":
            assert np.isfinite(exported[name]).all(), name


def test_exported_joints_lie_on_the_person(captured: Path) -> None:
    """The median joint of the exported pose, projected, is within 4 % of the person's height of the truth."""
    truth = np.load(asset_path("demo.npz"))
    (path,) = captured.glob("*_person0.npz")
    exported = np.load(path)
    joints, focal = exported["joints_camera"], float(truth["focal_px"])
    pixels = joints[..., :2] / joints[..., 2:] * focal + np.array([640, 360])
    expected = truth["joints_px"][0][exported["frame"]]
    height = np.ptp(expected[..., 1], axis=1)
    error = np.linalg.norm(pixels - expected, axis=-1) / height[:, None]
    assert np.median(error) < 0.04


def test_overlay_has_every_frame_and_is_drawn_on(captured: Path) -> None:
    with av.open(str(captured / "overlay.mp4")) as container:
        drawn = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(drawn) == np.load(asset_path("demo.npz"))["t"].shape[0]
    original = demo_pictures(31)[30]
    changed = np.abs(drawn[30].astype(int) - original).max(-1) > 60
    assert 500 < changed.sum() < 0.1 * changed.size


def test_the_overlay_shows_the_body_or_its_skeleton(tmp_path: Path) -> None:
    pictures = demo_pictures(12)
    clip = write_clip(tmp_path / "start.mkv", pictures)
    changed = {}
    for style in ("mesh", "skeleton"):
        overlay = tmp_path / f"{style}.mp4"
        arguments = ["--overlay", str(overlay), "--overlay-style", style, "--export", "--out", str(tmp_path)]
        assert main(["file", str(clip), *arguments]) == 0
        with av.open(str(overlay)) as container:
            *_, last = (frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0))
        changed[style] = np.abs(last - pictures[-1]).max(-1) > 20
    column, row = np.load(asset_path("demo.npz"))["joints_px"][0, 11].astype(int).T
    assert changed["mesh"][row, column].mean() > 0.9
    assert changed["mesh"].sum() > 2 * changed["skeleton"].sum()


def test_export_of_a_take_equals_the_export_at_the_end(captured: Path, tmp_path: Path) -> None:
    (take,) = captured.glob("*.take")
    assert main(["export", str(take), "--to", "npz", "--out", str(tmp_path)]) == 0
    (first,), (second,) = captured.glob("*_person0.npz"), tmp_path.glob("*.npz")
    a, b = np.load(first), np.load(second)
    for name in a.files:
        np.testing.assert_array_equal(a[name], b[name])


def test_two_people_get_an_id_each_through_the_crossing(tmp_path: Path) -> None:
    clip = str(asset_path("demo_two.mp4"))
    assert main(["file", clip, "--out", str(tmp_path), "--max-people", "2", "--export", "npz"]) == 0
    assert sorted(path.name[-11:] for path in tmp_path.glob("*.npz")) == ["person0.npz", "person1.npz"]


def receive_until(receiver: socket.socket, address: str, timeout_s: float) -> list[object]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            for found, values in messages(receiver.recv(65536)):
                if found == address:
                    return values
        except TimeoutError:
            continue
    raise AssertionError(f"no {address} within {timeout_s} s")


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mocap", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_live(tmp_path: Path, osc_port: int, *options: str) -> subprocess.Popen[str]:
    """`mocap live` on the demo clip; VMC is off, so that no avatar on this computer moves."""
    ports = ("--osc.port", str(osc_port), "--vmc.port", "0")
    return start("live", "--camera", DEMO, "--loop", "--out", str(tmp_path), *ports, *options)


@pytest.fixture
def receiver() -> socket.socket:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(0.5)
        yield bound


posix_signals = pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be sent to one child there")


@posix_signals
@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_signals_end_live_with_the_take_closed(tmp_path: Path, receiver: socket.socket, signals: list[int]) -> None:
    process = start_live(tmp_path, receiver.getsockname()[1])
    receive_until(receiver, "/mocap/0/root", 60)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.02)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    (path,) = tmp_path.glob("*.take")
    assert str(path) in output
    assert not list(tmp_path.glob("*-wal"))
    assert Take(path).people()


def test_live_sends_vmc_beside_osc(tmp_path: Path, receiver: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as vmc:
        vmc.bind(("127.0.0.1", 0))
        vmc.settimeout(0.5)
        process = start_live(
            tmp_path,
            receiver.getsockname()[1],
            "--vmc.port",
            str(vmc.getsockname()[1]),
            "--duration",
            "4",
            "--no-record",
        )
        index, age_ms, _people = receive_until(receiver, "/mocap/frame", 60)
        bone = receive_until(vmc, "/VMC/Ext/Bone/Pos", 30)
        assert process.wait(timeout=60) == 0
    assert index >= 0
    assert age_ms >= 0
    assert isinstance(bone[0], str)
    assert not list(tmp_path.glob("*.take"))


@posix_signals
def test_a_file_stopped_early_keeps_what_it_has_and_says_so(tmp_path: Path, receiver: socket.socket) -> None:
    port = str(receiver.getsockname()[1])
    process = start("file", DEMO, "--out", str(tmp_path), "--export", "npz", "--osc.port", port)
    receive_until(receiver, "/mocap/0/root", 60)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "stopped before the end" in errors
    (path,) = tmp_path.glob("*.npz")
    assert 0 < len(np.load(path)["frame"]) < 282


def test_mirror_swaps_the_sides(tmp_path: Path) -> None:
    """The person raises the left arm forward; in a mirror it is the right one."""
    clip = write_clip(tmp_path / "arm.mkv", demo_pictures(120)[55::2])
    reach = {}
    for mirror in ("--no-mirror", "--mirror"):
        assert main(["file", str(clip), mirror, "--out", str(tmp_path / mirror), "--export", "npz"]) == 0
        (path,) = (tmp_path / mirror).glob("*.npz")
        joints = np.load(path)["joints"][12:20]  # while it is raised
        wrists, shoulders = joints[:, 20:22, 2], joints[:, 16:18, 2]  # left and right
        reach[mirror] = (wrists - shoulders).mean(axis=0)
    assert reach["--no-mirror"][0] > reach["--no-mirror"][1] + 0.1
    assert reach["--mirror"][1] > reach["--mirror"][0] + 0.1


def test_live_exports_at_its_end(tmp_path: Path) -> None:
    ports = ["--osc.port", "0", "--vmc.port", "0"]
    arguments = ["live", "--camera", DEMO, "--loop", "--duration", "3", "--export", "bvh", *ports]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*_person0.bvh"))) == 1


def test_no_person_gives_an_empty_take_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "empty_room.mkv", [np.full((240, 320, 3), 90, np.uint8)] * 10)
    code = main(["file", str(clip), "--out", str(tmp_path)])
    assert code == 1
    assert "nobody" in capsys.readouterr().err.lower()
    assert list(tmp_path.glob("*.take"))


@pytest.mark.parametrize("size", [(1, 1), (2160, 3840), (640, 360), (241, 321)])
def test_odd_sizes_run_through(size: tuple[int, int], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "odd.mkv", [np.zeros((*size, 3), np.uint8)] * 3)
    assert main(["file", str(clip), "--out", str(tmp_path), "--export"]) == 0
    (path,) = tmp_path.glob("*.take")
    assert Take(path).num_frames == 3


def test_person_cut_off_at_the_waist_keeps_finite_upright_legs(tmp_path: Path) -> None:
    crops = [picture[:420] for picture in demo_pictures(40)]
    clip = write_clip(tmp_path / "waist.mkv", crops)
    assert main(["file", str(clip), "--out", str(tmp_path), "--export", "npz"]) == 0
    (path,) = tmp_path.glob("*.npz")
    joints = np.load(path)["joints"]
    assert np.isfinite(joints).all()
    assert (joints[5:, 7:9, 1] < joints[5:, 4:6, 1]).all()  # ankles below knees


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["file", "no_such.mp4"], "no_such.mp4"),
        (["file", "{tmp}/empty.mp4"], "empty"),
        (["file", "{tmp}/text.mp4"], "text.mp4"),
        (["file", "{tmp}/folder"], "folder"),
        (["file", DEMO, "--out", "{tmp}/text.mp4/takes"], "text.mp4"),
        (["file", DEMO, "--osc.host", "no.such.host.invalid"], "no.such.host.invalid"),
        (["live", "--camera", "No Such Camera"], "No Such Camera"),
        (["live", "--camera", "77"], "77"),
        (["file", DEMO, "--out", "{tmp}", "--overlay", DEMO], "overwrite"),
        (["file", DEMO, "--out", "{tmp}", "--overlay", "{tmp}/text.mp4/o.mp4"], "overlay"),
        (["bench", "--json", "{tmp}/no/such/folder.json"], "folder.json"),
        (["export", "{tmp}/text.mp4"], "text.mp4"),
        (["export", "no_such.take"], "no_such.take"),
    ],
)
def test_bad_input_gets_one_clear_error(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "folder").mkdir()
    assert main([argument.format(tmp=tmp_path) for argument in arguments]) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(error) == 1
    assert said.lower() in error[0].lower()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert main(["file", DEMO, "--out", str(tmp_path / "takes")]) == 1
    assert "takes" in capsys.readouterr().err


class FullDisk:
    """A recorder whose disk is full from the third frame on."""

    def __init__(self, path: Path) -> None:
        self.path, self.frames = path, 0

    def write(self, result: object) -> None:
        self.frames += 1
        if self.frames >= 3:
            raise MocapError("the disk is full; 2 frames are kept")

    def close(self) -> None:
        pass


def test_a_full_disk_stops_a_file_but_not_a_stream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stream = Recording(FullDisk(tmp_path / "a.take"), fail_at_once=False)
    for _ in range(5):
        stream(None, None)
    assert str(stream) == "NOT RECORDING"
    assert caplog.text.count("capture goes on without recording") == 1
    file = Recording(FullDisk(tmp_path / "b.take"), fail_at_once=True)
    file(None, None)
    file(None, None)
    with pytest.raises(MocapError, match="disk is full"):
        file(None, None)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
def test_preview_without_a_screen_is_an_error_without_a_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["file", DEMO, "--out", str(tmp_path), "--preview"]) == 1
    assert not list(tmp_path.glob("*.take*"))


def test_nan_from_the_network_is_held_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import mocap.pipeline as pipeline_module

    load = pipeline_module.load_landmarker

    def faulty(*arguments: object, **options: object) -> object:
        network, calls = load(*arguments, **options), iter(range(10**6))  # type: ignore[arg-type]

        def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = dict(network.run(inputs))
            if 10 <= next(calls) < 13:
                outputs["world"] = np.full_like(outputs["world"], np.nan)
            return outputs

        return replace(network, run=run)

    monkeypatch.setattr(pipeline_module, "load_landmarker", faulty)
    clip = write_clip(tmp_path / "clip.mkv", demo_pictures(20))
    with caplog.at_level(logging.WARNING):
        assert main(["file", str(clip), "--out", str(tmp_path), "--export", "npz"]) == 0
    assert "NaN" in caplog.text
    (path,) = tmp_path.glob("*.npz")
    exported = np.load(path)
    assert len(exported["frame"]) == 20
    assert np.isfinite(exported["joints"]).all()
