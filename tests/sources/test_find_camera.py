"""Which camera is meant, what there is, and why one does not open."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import cv2_enumerate_cameras
import pytest

from mocap.errors import MocapError
from mocap.sources import CameraInfo, cameras, list_cameras, open_live
from mocap.sources.cameras import find_again, find_camera, is_second_node
from tests.sources.fakes import CONFIG, Desk

THREE = [
    CameraInfo(0, "Integrated Camera", cv2.CAP_V4L2, "/dev/video0"),
    CameraInfo(2, "Logitech C920", cv2.CAP_V4L2, "/dev/video2"),
    CameraInfo(4, "Logitech BRIO", cv2.CAP_V4L2, "/dev/video4"),
]


@pytest.mark.parametrize(
    ("wanted", "index"), [(None, 0), (2, 2), ("4", 4), ("Logitech BRIO", 4), ("c920", 2), ("INTEGRATED", 0)]
)
def test_a_camera_is_found_by_index_or_name(wanted: int | str | None, index: int) -> None:
    assert find_camera(wanted, THREE).index == index


def test_an_exact_name_comes_before_parts_of_names() -> None:
    both = [CameraInfo(0, "Webcam", 0), CameraInfo(1, "Webcam Pro", 0)]
    assert find_camera("Webcam", both).index == 0


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (1, "No camera has the index 1"),
        ("7", "No camera has the index 7"),
        ("Kinect", "No camera has the name 'Kinect'"),
        ("logitech", "2 cameras have the name 'logitech': give the index"),
    ],
)
def test_a_wrong_camera_lists_what_there_is(wanted: int | str, says: str) -> None:
    with pytest.raises(MocapError) as caught:
        find_camera(wanted, THREE)
    assert says in str(caught.value)
    for camera in THREE:
        assert f"{camera.index} '{camera.name}'" in str(caught.value)


def test_no_camera_at_all_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2_enumerate_cameras, "enumerate_cameras", lambda backend: [])
    for source, asked in ((None, ""), ("0", "index 0"), ("Kinect", "name 'Kinect'")):
        with pytest.raises(MocapError, match=rf"No camera found.*{asked}.*`mocap cameras`.*`mocap file VIDEO`"):
            open_live(source, CONFIG)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets only administrators make links")
def test_a_device_path_finds_its_camera(tmp_path: Path) -> None:
    node, link = tmp_path / "video2", tmp_path / "by-id"
    node.touch()
    link.symlink_to(node)
    listed = [THREE[0], CameraInfo(2, "Logitech C920", cv2.CAP_V4L2, str(node))]
    assert find_camera(str(node), listed).index == 2
    assert find_camera(str(link), listed).index == 2


def test_twins_are_told_apart_by_path() -> None:
    twins = [CameraInfo(0, "C920", 0, "a"), CameraInfo(2, "C920", 0, "b")]
    assert find_again(CameraInfo(2, "C920", 0, "b"), twins) == twins[1]
    assert find_again(CameraInfo(0, "C920", 0, "a"), twins[1:]) == twins[1]
    assert find_again(CameraInfo(0, "Other", 0, "a"), twins) == CameraInfo(0, "Other", 0, "a")


@pytest.mark.parametrize(
    ("platform", "says"),
    [
        ("darwin", "System Settings → Privacy & Security → Camera"),
        ("win32", "Settings → Privacy & security → Camera"),
        ("linux", "permission denied for .*video2.*usermod -aG video"),
    ],
)
def test_permission_denied_says_where_to_give_it(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, says: str
) -> None:
    node = tmp_path / "video2"
    node.touch()
    monkeypatch.setattr(cameras, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(cameras.os, "access", lambda path, mode: False)
    desk.cameras[1] = CameraInfo(2, "C920", cv2.CAP_V4L2, str(node))
    desk.opens = False
    with pytest.raises(MocapError, match=says):
        desk.source(2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about Linux device nodes")
def test_the_list_is_sorted_named_and_without_second_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, index in ((0, "0"), (1, "1")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "index").write_text(f"{index}\n")
    assert not is_second_node("/nowhere/video0", tmp_path)
    assert is_second_node("/nowhere/video1", tmp_path)
    (tmp_path / "video2" / "index").mkdir(parents=True)
    assert not is_second_node("/nowhere/video2", tmp_path)  # it cannot be read: the camera is being unplugged
    readable = tmp_path / "node" / "video1"
    readable.parent.mkdir()
    readable.touch()
    assert not is_second_node(str(readable), tmp_path)  # the enumeration could ask it, and it captures

    found = [
        SimpleNamespace(index=4, name=None, path=str(readable)),
        SimpleNamespace(index=1, name="C920", path="/nowhere/video1"),
        SimpleNamespace(index=0, name="C920", path="/nowhere/video0"),
    ]
    monkeypatch.setattr(cv2_enumerate_cameras, "enumerate_cameras", lambda backend: found)
    monkeypatch.setattr(cameras, "is_second_node", lambda path: is_second_node(path, tmp_path))
    assert [(camera.index, camera.name) for camera in list_cameras()] == [(0, "C920"), (4, "camera 4")]
    assert {camera.backend_name for camera in list_cameras()} == {"V4L2"}
