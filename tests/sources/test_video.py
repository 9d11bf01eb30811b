from __future__ import annotations

import gc
import logging
import struct
import weakref
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import psutil
import pytest
from av.sidedata.sidedata import Type as SideDataType

from mocap.errors import MocapError
from mocap.sources import EndOfStream, VideoFile, open_file
from mocap.sources.containers import Orientation, orientation
from tests.sources.helpers import Image, damage, number_of, numbered, packet_ranges, write_video


def noise(width: int, height: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_every_frame_in_order_with_its_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(i) for i in range(75)])
    with VideoFile(path) as source:
        frames = list(source)
        with pytest.raises(EndOfStream):
            source.read()
    assert [frame.index for frame in frames] == list(range(75))
    assert [number_of(frame.rgb) for frame in frames] == [i % 15 for i in range(75)]
    np.testing.assert_allclose([frame.t_capture for frame in frames], np.arange(75) / 30, atol=1e-4)
    assert (source.fps, source.live, source.dropped, source.broken, source.focal_px) == (30, False, 0, 0, None)


def test_variable_frame_rate_keeps_the_containers_times_from_zero(tmp_path: Path) -> None:
    times_s = [5.0, 5.04, 5.1, 5.5, 5.533, 6.6, 6.601, 9.0]
    path = write_video(tmp_path / "clip.mkv", [numbered(i) for i in range(8)], times_s=times_s)
    times = [frame.t_capture for frame in VideoFile(path)]
    np.testing.assert_allclose(times, np.subtract(times_s, 5.0), atol=1e-6)


def test_frames_without_times_follow_the_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.h264", [numbered(i) for i in range(6)], options={"bf": "0"})
    with av.open(str(path)) as container:  # an elementary stream has no times: the test would be empty otherwise
        assert all(packet.pts is None for packet in container.demux(video=0))
    source = VideoFile(path)
    assert source.fps
    np.testing.assert_allclose([frame.t_capture for frame in source], np.arange(6) / source.fps)


def test_times_increase_even_where_the_containers_do_not(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(i) for i in range(6)])
    source = VideoFile(path)
    pictures = [SimpleNamespace(pts=pts, time_base=Fraction(1, 10)) for pts in (7, 8, 8, 3, None, 20)]
    times = []
    for picture in pictures:
        source._t = source._time(picture)  # type: ignore[arg-type]
        times.append(source._t)
    np.testing.assert_allclose(times, [0, 0.1, 0.1 + 1 / 30, 0.1 + 2 / 30, 0.2, 1.3])


def test_mirror_flips_left_and_right(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(3)])
    (plain,), (mirrored,) = list(VideoFile(path)), list(VideoFile(path, mirror=True))
    assert not np.array_equal(plain.rgb, mirrored.rgb)
    np.testing.assert_array_equal(mirrored.rgb, plain.rgb[:, ::-1])


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (33, 17), (17, 33), (2, 301), (1279, 3)], ids=lambda value: str(value)
)
def test_any_size_is_decoded_exactly(tmp_path: Path, width: int, height: int) -> None:
    images = [noise(width, height, seed) for seed in range(3)]
    path = write_video(tmp_path / "clip.mkv", images, codec="ffv1", pix_fmt="bgr0")
    frames = list(VideoFile(path))
    assert len(frames) == 3
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(frame.rgb, image)
        assert frame.size == (width, height)
        assert frame.rgb.flags.c_contiguous
        assert frame.rgb.flags.writeable


def test_4k(tmp_path: Path) -> None:
    images = [numbered(i, 3840, 2160) for i in range(3)]
    frames = list(VideoFile(write_video(tmp_path / "clip.mp4", images, options={"preset": "ultrafast"})))
    assert [number_of(frame.rgb) for frame in frames] == [0, 1, 2]
    assert {frame.size for frame in frames} == {(3840, 2160)}


def test_anamorphic_video_gets_square_pixels(tmp_path: Path) -> None:
    def stretch(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    path = write_video(tmp_path / "hdv.mp4", [numbered(1, 144, 108)], prepare=stretch)
    (frame,) = VideoFile(path)
    assert frame.size == (192, 108)


# ---- upright


def set_mp4_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Writes a display matrix into the track header, as phones do."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows times, id, duration, layer and volume
    one = 1 << 16
    data[start : start + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("matrix", "clockwise"), [((0, 1, -1, 0), 1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 3)], ids=["90", "180", "270"]
)
def test_phone_videos_are_turned_upright(tmp_path: Path, matrix: tuple[int, int, int, int], clockwise: int) -> None:
    path = write_video(tmp_path / "phone.mp4", [numbered(i, 96, 64) for i in range(2)])
    plain = list(VideoFile(path))
    set_mp4_matrix(path, *matrix)
    for turned, frame in zip(VideoFile(path), plain, strict=True):
        np.testing.assert_array_equal(turned.rgb, np.rot90(frame.rgb, -clockwise))
    for turned, frame in zip(VideoFile(path, mirror=True), plain, strict=True):
        np.testing.assert_array_equal(turned.rgb, np.rot90(frame.rgb, -clockwise)[:, ::-1])


@pytest.mark.parametrize(
    ("transpose", "signs"),
    [(True, (1, 1)), (True, (1, -1)), (True, (-1, 1)), (True, (-1, -1)), (False, (-1, 1)), (False, (-1, -1))],
)
def test_orientation_moves_pixels_as_the_matrix_says(transpose: bool, signs: tuple[int, int]) -> None:
    sx, sy = signs
    a, b, c, d = (0, sy, sx, 0) if transpose else (sx, 0, 0, sy)
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], np.int32).tobytes()
    picture: Any = SimpleNamespace(rotation=90, side_data={SideDataType.DISPLAYMATRIX: matrix})
    image = noise(5, 3)
    turned = orientation(picture)(image)
    # By definition (x, y) goes to (a·x + c·y, b·x + d·y); the picture is then moved so that its corner is at 0.
    ys, xs = np.mgrid[:3, :5]
    to_x, to_y = a * xs + c * ys, b * xs + d * ys
    expected = np.zeros((3, 5) if not transpose else (5, 3), np.uint8)[..., None].repeat(3, -1)
    expected[to_y - to_y.min(), to_x - to_x.min()] = image
    np.testing.assert_array_equal(turned, expected)


def test_without_a_matrix_nothing_is_copied() -> None:
    picture: Any = SimpleNamespace(rotation=0, side_data={})
    image = noise(4, 4)
    assert orientation(picture) == Orientation()
    assert orientation(picture)(image) is image


# ---- damaged files


@pytest.mark.parametrize("part", ["whole", "second half"])
@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("clip.avi", "mjpeg", "yuvj420p"), ("clip.mp4", "mpeg4", "yuv420p"), ("clip.mov", "libx264", "yuv420p")],
)
def test_a_broken_frame_in_the_middle_is_skipped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str, pix_fmt: str, part: str
) -> None:
    images = [numbered(i, 128, 96) for i in range(60)]
    options = {"bf": "0", "g": "1"} if codec != "mjpeg" else {}  # every frame for itself: only one is to suffer
    path = write_video(tmp_path / name, images, codec=codec, pix_fmt=pix_fmt, options=options)
    start, size = packet_ranges(path)[20]
    first = 0 if part == "whole" else size // 2
    damage(path, start + first, size - first)
    source = VideoFile(path)
    frames = list(source)
    assert [frame.index for frame in frames] == [i for i in range(60) if i != 20]
    assert all(number_of(frame.rgb) == frame.index % 15 for frame in frames)
    np.testing.assert_allclose([frame.t_capture for frame in frames], [frame.index / 30 for frame in frames], atol=1e-4)
    assert (source.broken, source.dropped) == (1, 0)
    assert "broken frame" in caplog.text


def test_a_damaged_stretch_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_video(tmp_path / "clip.mkv", [numbered(i) for i in range(120)], options={"g": "10", "bf": "0"})
    ranges = packet_ranges(path)
    damage(path, ranges[40][0], ranges[100][0] - ranges[40][0])
    frames = list(VideoFile(path))
    assert len(frames) < 120
    assert all(number_of(frame.rgb) == frame.index % 15 for frame in frames[:40])
    assert "no frames between" in caplog.text or "cut short or damaged" in caplog.text


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("clip.mp4", "libx264", "yuv420p"), ("clip.mkv", "libx264", "yuv420p"), ("clip.avi", "mjpeg", "yuvj420p")],
)
def test_a_truncated_file_gives_what_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str, pix_fmt: str
) -> None:
    images = [numbered(i) for i in range(90)]
    index_first = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = write_video(
        tmp_path / name, images, codec=codec, pix_fmt=pix_fmt, options={"bf": "0"}, container_options=index_first
    )
    start, size = packet_ranges(path)[50]
    path.write_bytes(path.read_bytes()[: start + size // 2])
    frames = list(VideoFile(path))
    assert 40 <= len(frames) <= 51  # Matroska loses the cluster that is not whole
    assert all(number_of(frame.rgb) == frame.index % 15 for frame in frames)
    assert "cut short or damaged" in caplog.text


def test_a_whole_file_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(i) for i in range(30)])
    assert len(list(VideoFile(path))) == 30
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("dear diary, today I renamed a file\n" * 50)


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(20_000))


def _index_missing(path: Path) -> None:
    write_video(path, [numbered(i) for i in range(30)])
    path.write_bytes(path.read_bytes()[:-200])  # the index is at the end


def _sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_empty, "empty file"),
        (_text, "cannot read"),
        (_noise, "cannot read"),
        (_index_missing, "cannot read"),
        (_sound_only, "no pictures in it, only audio"),
        (lambda path: None, "no such file"),
        (Path.mkdir, "a folder"),
    ],
    ids=["empty", "text", "noise", "index missing", "sound only", "missing", "folder"],
)
def test_what_is_not_a_video_is_refused(tmp_path: Path, make: Any, says: str) -> None:
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(MocapError, match=f"expected a video.*found.*{says}") as caught:
        VideoFile(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_video_of_which_nothing_can_be_decoded_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", [numbered(i) for i in range(5)], codec="mjpeg", pix_fmt="yuvj420p")
    for start, size in packet_ranges(path):
        damage(path, start, size)
    source = VideoFile(path)
    with pytest.raises(MocapError, match="no frame that can be decoded"):
        source.read()
    assert source.broken == 5


def test_a_colon_in_the_name_is_no_protocol(tmp_path: Path) -> None:
    path = write_video(tmp_path / "plain.mp4", [numbered(1)]).rename(tmp_path / "take:1.mp4")
    assert len(list(open_file(path))) == 1


# ---- resources


def test_close_frees_the_file_and_may_be_repeated(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(i) for i in range(10)])
    source = VideoFile(path)
    assert source.read() is not None
    assert str(path) in {file.path for file in psutil.Process().open_files()}
    source.close()
    source.close()
    assert str(path) not in {file.path for file in psutil.Process().open_files()}
    with pytest.raises(EndOfStream):
        source.read()


def test_frames_are_not_kept(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(i) for i in range(40)])
    alive = [weakref.ref(frame.rgb) for frame in VideoFile(path)]
    assert sum(ref() is not None for ref in alive) <= 1
    assert len(alive) == 40


def test_a_file_leaves_nothing_for_the_garbage_collector(tmp_path: Path) -> None:
    """A picture kept in a reference cycle would stay, megabytes of it, each time that a looped clip starts again."""
    path = write_video(tmp_path / "clip.mp4", [numbered(i) for i in range(10)])
    gc.collect()
    gc.disable()
    try:
        with VideoFile(path) as source:
            assert len(list(source)) == 10
        del source
        assert not [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)]
    finally:
        gc.enable()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "count", "size"),
    [
        ("dumbbell_raise.mp4", 540, (1280, 720)),
        ("outdoor_walk.mp4", 230, (1768, 994)),
        ("street_far_people.avi", 795, (768, 576)),
    ],
)
def test_real_clips_are_read_whole(shared: Path, name: str, count: int, size: tuple[int, int]) -> None:
    source = open_file(shared / "media" / "clips" / name)
    times = []
    for frame in source:
        assert frame.size == size
        times.append(frame.t_capture)
    assert len(times) == count
    assert source.broken == 0
    assert (np.diff(times) > 0).all()
