from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import training.evaluation.watching as watching
from mocap.errors import MocapError
from training.evaluation.watching import RAW, SMOOTHED, View, frames, watch_blazepose, watch_mediapipe


def write_video(path: Path, count: int, fps: int) -> None:
    """A white corner, upper left, on black: 64 by 32 px."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for _ in range(count):
            picture = np.zeros((32, 64, 3), np.uint8)
            picture[:12, :12] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize(("turns", "corner"), [(0, (0, 0)), (1, (0, -1)), (-1, (-1, 0)), (2, (-1, -1))])
def test_frames_are_turned_clockwise(tmp_path: Path, turns: int, corner: tuple[int, int]) -> None:
    write_video(tmp_path / "v.mp4", 3, 6)
    seen = list(frames(View("v", tmp_path / "v.mp4", 100.0, turns)))
    assert [t for t, _ in seen] == pytest.approx([0, 1 / 6, 2 / 6], abs=1e-3)
    picture = seen[0][1]
    assert picture.shape == ((64, 32, 3) if turns % 2 else (32, 64, 3))
    assert picture[corner].min() > 200
    assert sum(int(picture[row, column].min() > 200) for row in (0, -1) for column in (0, -1)) == 1


def test_no_video_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"nothing")
    with pytest.raises(MocapError, match="expected a video"):
        list(frames(View("v", tmp_path / "v.mp4", 100.0)))


def test_what_was_seen_is_kept_by_the_videos_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "v.mp4", 2, 6)
    looked: list[int] = []

    def by_tracker(view: View) -> dict[str, np.ndarray]:
        looked.append(view.quarter_turns)
        arrays = {name: np.zeros((2, *shape)) for name, shape in SHAPES.items()}
        return {"t": np.arange(2.0), "size": np.array([64.0, 32.0]), **arrays}

    monkeypatch.setattr(watching, "_by_tracker", by_tracker)
    view = View("v", tmp_path / "v.mp4", 100.0)
    first, again = (watch_blazepose(view, tmp_path / "cache") for _ in range(2))
    assert looked == [0]
    np.testing.assert_array_equal(first.t, again.t)
    assert again.size == (64, 32)
    assert again.focal_px == 100.0
    watch_blazepose(View("v", tmp_path / "v.mp4", 100.0, 1), tmp_path / "cache")
    write_video(tmp_path / "v.mp4", 3, 6)
    watch_blazepose(view, tmp_path / "cache")
    assert looked == [0, 1, 0]
    monkeypatch.setattr(watching, "_tracker_version", lambda: "changed")
    watch_blazepose(view, tmp_path / "cache")
    assert len(looked) == 4


SHAPES = {"landmarks_px": (33, 3), "landmarks_world": (33, 3), "visibility": (33,), "roi": (4,), "score": (),
          "features": (16, 288)}  # fmt: skip


def test_nobody_in_the_video(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", 2, 6)
    view = View("v", tmp_path / "v.mp4", 100.0)
    track = watch_blazepose(view)
    assert len(track) == 2
    assert not track.seen.any()
    found = watch_mediapipe(view)
    assert set(found) == {RAW, SMOOTHED}
    assert all(np.isnan(one.world).all() and len(one.world) == 2 for one in found.values())
