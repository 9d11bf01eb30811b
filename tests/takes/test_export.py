from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mocap.errors import MocapError
from mocap.takes.recorder import TakeRecorder
from tests.takes.synthetic import META, export, make_frame, record

ROOT = Path(__file__).resolve().parents[2]


def test_one_file_per_person_and_format(tmp_path: Path) -> None:
    take = record(tmp_path / "a.b.take", [make_frame(i, (1, 4)) for i in range(3)])
    written = export(take, ["npz", "bvh"], tmp_path / "new" / "out")
    names = ["a.b_person1.npz", "a.b_person1.bvh", "a.b_person4.npz", "a.b_person4.bvh"]
    assert [path.name for path in written] == names
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == set(names)
    assert export(take, ["npz", "bvh"], tmp_path / "new" / "out") == written  # again: replaced


@pytest.mark.parametrize("formats", [["glb"], ["npz", "fbx"], ["nzp"], []])
def test_a_format_that_does_not_exist_is_refused_before_anything_is_written(tmp_path: Path, formats: list[str]) -> None:
    take = record(tmp_path / "a.take", [make_frame(0, (0,))])
    with pytest.raises(MocapError, match=f"cannot export to {formats[-1] if formats else 'nothing'}; .* npz, bvh"):
        export(take, formats, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", [0, 5])
def test_nobody_to_export(tmp_path: Path, count: int) -> None:
    take = record(tmp_path / "a.take", [make_frame(i) for i in range(count)])
    with pytest.raises(MocapError, match=f"a.take holds {count} frames and nobody in them"):
        export(take, ["npz"])


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    take = record(tmp_path / "a.take", [make_frame(0, (0,))])
    (tmp_path / "file").touch()
    with pytest.raises(MocapError, match=r"cannot export to .*file"):
        export(take, ["npz"], tmp_path / "file" / "out")


FULL_DISK = """
import sys
from pathlib import Path
from mocap.errors import MocapError
from tests.takes.synthetic import export
try:
    export(Path(sys.argv[1]), [sys.argv[2]], Path(sys.argv[3]))
except MocapError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["npz", "bvh"])
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    take = record(tmp_path / "a.take", [make_frame(i, (0,)) for i in range(60)])
    small = ["sh", "-c", 'ulimit -f 16 && exec "$@"', "small", sys.executable, "-c", FULL_DISK]
    child = subprocess.run([*small, take, name, tmp_path / "out"], cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stdout.count("\n") == 1
    assert "cannot export to" in child.stdout
    assert "free some space or choose another folder" in child.stdout
    assert child.stderr == ""
    assert list((tmp_path / "out").iterdir()) == []


def test_a_take_in_progress_is_exported(tmp_path: Path) -> None:
    with TakeRecorder(tmp_path / "a.take", META) as recorder:
        recorder.write(make_frame(0, (0,)))
        while not recorder.num_committed:
            time.sleep(0.01)
        (path,) = export(recorder.path, ["npz"], tmp_path / "out")
    assert np.load(path)["poses"].shape == (1, 72)


def test_rows_that_are_not_numbers_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = [make_frame(i, (0, 1)) for i in range(4)]
    frames[2].poses[0].R_parent_joint[7] = np.nan
    for frame in frames:
        frame.poses[1].betas[:] = np.inf
    written = export(record(tmp_path / "a.take", frames), ["npz", "bvh"])
    assert [path.name for path in written] == ["a_person0.npz", "a_person0.bvh"]
    data = np.load(written[0])
    assert data["frame"].tolist() == [0, 1, 3]
    assert all(np.isfinite(data[name]).all() for name in ("poses", "trans", "joints", "joints_camera"))
    assert "1 frames without a finite pose" in caplog.text
    assert "person 1 has no usable frame" in caplog.text
