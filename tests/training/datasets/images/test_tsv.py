"""METRO's TSV: single and composite YAML files, with and without line offsets; broken lines say where they are."""

from __future__ import annotations

import base64
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mocap.errors import MocapError
from tests.training.datasets.images.small_files import jpeg, matrices, random_pose
from training.datasets.images.sample import read_picture
from training.datasets.images.tsv import TsvFile, TsvSamples

RNG = np.random.default_rng(0)


def label(number: int = 0, **changes: Any) -> dict[str, Any]:
    fields = {
        "center": [6.0, 4.0], "scale": 0.05 + 0.01 * number, "2d_joints": RNG.uniform(0, 9, (24, 3)).tolist(),
        "3d_joints": RNG.normal(size=(24, 4)).tolist(), "pose": random_pose(1, seed=number)[0].tolist(),
        "betas": RNG.normal(size=10).tolist(), "has_2d_joints": 1, "has_3d_joints": 1, "has_smpl": 1, "gender": "m",
    }  # fmt: skip
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


def write(path: Path, rows: list[list[str]], index: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(row) + "\n" for row in rows]
    path.write_text("".join(lines))
    if index:
        starts = np.cumsum([0, *(len(line.encode()) for line in lines)])[:-1]
        path.with_suffix(".lineidx").write_text("".join(f"{start}\n" for start in starts))
    return path


def picture(color: tuple[int, int, int]) -> str:
    return base64.b64encode(jpeg(color=color)).decode()


COLORS = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]


def dataset(folder: Path, labels: list[Any], index: bool = True, name: str = "train", **config: Any) -> Path:
    write(folder / f"{name}.img.tsv", [[f"k{i}", picture(COLORS[i])] for i in range(len(labels))], index)
    write(folder / f"{name}.label.tsv", [[f"k{i}", json.dumps([fields])] for i, fields in enumerate(labels)], index)
    files = {"img": f"{name}.img.tsv", "label": f"{name}.label.tsv", **config}
    (folder / f"{name}.yaml").write_text(yaml.dump(files))
    return folder / f"{name}.yaml"


@pytest.mark.parametrize("index", [True, False])
def test_every_line_is_a_sample(tmp_path: Path, index: bool) -> None:
    labels = [label(0), label(1), label(2, gender="none")]
    samples = TsvSamples(dataset(tmp_path, labels, index), "h36m")
    assert [s.name for s in samples] == ["k0", "k1", "k2"]
    assert [int(read_picture(s)[0, 0].argmax()) for s in samples] == [0, 1, 2]
    assert [s.gender for s in samples] == ["male", "male", "neutral"]
    np.testing.assert_allclose([s.side_px for s in samples], [10, 12, 14], rtol=1e-6)
    for one, fields in zip(samples, labels, strict=True):
        assert (one.joints_2d, one.joints_3d, one.true_3d) == ("spin24", "spin24", True)
        np.testing.assert_allclose(one.keypoints_2d, fields["2d_joints"], rtol=1e-6)
        np.testing.assert_allclose(one.keypoints_3d, fields["3d_joints"], rtol=1e-6)
        np.testing.assert_allclose(one.R_parent_joint, matrices(np.array(fields["pose"])), atol=1e-5)
        np.testing.assert_allclose(one.betas, fields["betas"], rtol=1e-6)


def test_a_linelist_picks_lines_and_worker_processes_can_have_the_samples(tmp_path: Path) -> None:
    path = dataset(tmp_path, [label(i) for i in range(3)], linelist="train.linelist.tsv")
    (tmp_path / "train.linelist.tsv").write_text("2\n0\n2\n")
    samples = pickle.loads(pickle.dumps(TsvSamples(path, "coco")))
    assert [s.name for s in samples] == ["k2", "k0", "k2"]


def test_what_a_label_says_it_has_not_is_none(tmp_path: Path) -> None:
    fields = label(has_2d_joints=0, has_3d_joints=0, has_smpl=0, gender=None)
    fields["3d_joints"] = []
    one = TsvSamples(dataset(tmp_path, [fields]), "coco")[0]
    assert (one.keypoints_2d, one.keypoints_3d, one.R_parent_joint, one.betas) == (None,) * 4
    assert one.gender == "neutral"


def test_points_may_be_wrapped_in_a_list(tmp_path: Path) -> None:
    fields = label()
    wrapped = {**fields, "2d_joints": [fields["2d_joints"]], "3d_joints": [fields["3d_joints"]]}
    plain, other = TsvSamples(dataset(tmp_path, [fields, wrapped]), "coco")
    np.testing.assert_array_equal(plain.keypoints_2d, other.keypoints_2d)
    np.testing.assert_array_equal(plain.keypoints_3d, other.keypoints_3d)


@pytest.mark.parametrize("listed", [True, False])
def test_a_composite_joins_files(tmp_path: Path, listed: bool) -> None:
    dataset(tmp_path / "a", [label(0), label(1)])
    dataset(tmp_path / "b", [label(2)])
    kinds = {kind: [f"{name}/train.{kind}.tsv" for name in "ab"] for kind in ("img", "label")}
    config: dict[str, Any] = {"composite": True, "linelist": "all.linelist.tsv", **kinds}
    if listed:
        for kind, names in kinds.items():
            (tmp_path / f"{kind}.txt").write_text("\n".join(names) + "\n")
            config[kind] = f"{kind}.txt"
    (tmp_path / "all.yaml").write_text(yaml.dump(config))
    (tmp_path / "all.linelist.tsv").write_text("1\t0\n0\t1\n0\t0\n")
    np.testing.assert_allclose([s.side_px for s in TsvSamples(tmp_path / "all.yaml", "mpii")], [14, 12, 10], rtol=1e-6)
    (tmp_path / "all.linelist.tsv").write_text("2\t0\n")
    with pytest.raises(MocapError, match="expected a file below 2 in the linelist, found 2"):
        TsvSamples(tmp_path / "all.yaml", "mpii")[0]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "center": (label(center=None), "expected a field center"),
    "has": (label(has_smpl=None), "expected a field has_smpl"),
    "points": (label(**{"2d_joints": [[1, 2, 3]]}), r"expected 2d_joints of shape \(24, 3\)"),
    "pose": (label(pose=[0.0] * 69), r"expected pose of shape \(72\), found \(69\)"),
    "scale": (label(scale=-1), "expected a scale above 0, found -1"),
    "ragged": (label(betas=[1, [2]]), "expected numbers in betas, found something else"),
    "gender": (label(gender="robot"), "expected a gender of male, female or neutral, found 'robot'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_labels_say_their_line(tmp_path: Path, kind: str) -> None:
    fields, message = BAD[kind]
    samples = TsvSamples(dataset(tmp_path, [label(), fields]), "coco")
    assert samples[0].name == "k0"
    with pytest.raises(MocapError, match=rf"train\.label\.tsv, line 1: {message}"):
        samples[1]


@pytest.mark.parametrize(
    ("image", "row", "message"),
    [
        (["k0", "!!no base64!!"], ["k0", "[{}]"], "expected a picture in base64"),
        (["k0", ""], ["k1", "[{}]"], "expected the picture's key 'k0', found 'k1'"),
        (["k0", ""], ["k0", "{not json"], "expected a label in JSON"),
        (["k0", ""], ["k0", "{}"], "expected a list with a dict"),
        (["k0", ""], ["k0", "[]"], "expected a list with a dict"),
        (["k0"], ["k0", "[{}]"], r"train\.img\.tsv, line 0: expected a key, a tab and a value"),
    ],
)
def test_bad_lines(tmp_path: Path, image: list[str], row: list[str], message: str) -> None:
    path = dataset(tmp_path, [label()])
    write(tmp_path / "train.img.tsv", [image])
    write(tmp_path / "train.label.tsv", [row])
    with pytest.raises(MocapError, match=message):
        TsvSamples(path, "coco")[0]


def test_bad_yaml_and_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for text in ("", "img: a.tsv", "- 1", "img: [", "label: x"):
        path.write_text(text)
        with pytest.raises(MocapError, match=r"a\.yaml: expected a YAML file that names img and label"):
            TsvSamples(path, "coco")
    path.write_text("{img: a.tsv, label: b.tsv}")
    with pytest.raises(MocapError, match=r"a\.tsv: expected a TSV file, found none; docs/published_data"):
        TsvSamples(path, "coco")
    with pytest.raises(MocapError, match=r"none\.yaml: expected a YAML file"):
        TsvSamples(tmp_path / "none.yaml", "coco")
    good = dataset(tmp_path, [label()], linelist="none.tsv")
    with pytest.raises(MocapError, match="expected lines of whole numbers"):
        TsvSamples(good, "coco")
    (tmp_path / "none.tsv").write_text("0\t0\n")
    with pytest.raises(MocapError, match="expected 1 numbers a line"):
        TsvSamples(good, "coco")
    (tmp_path / "train.img.lineidx").write_text("zero\n")
    with pytest.raises(MocapError, match="expected lines of whole numbers"):
        TsvFile(tmp_path / "train.img.tsv")
    with pytest.raises(MocapError, match=r"train\.label\.tsv: expected a line below 1, found 1"):
        TsvFile(tmp_path / "train.label.tsv")[1]


def test_threads_may_read_at_once(tmp_path: Path) -> None:
    """As training does: many threads, one object, and each gets its own line."""
    count = 40
    pixels = [(number * 6, 255 - number * 6, 40) for number in range(count)]
    write(tmp_path / "a.img.tsv", [[f"k{i}", picture(pixels[i])] for i in range(count)])
    write(tmp_path / "a.label.tsv", [[f"k{i}", json.dumps([label(i)])] for i in range(count)])
    (tmp_path / "a.yaml").write_text(yaml.dump({"img": "a.img.tsv", "label": "a.label.tsv"}))
    samples = TsvSamples(tmp_path / "a.yaml", "h36m")
    order = np.random.default_rng(1).integers(count, size=400).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: (samples[index], read_picture(samples[index])), order))
    for index, (sample, rgb) in zip(order, found, strict=True):
        assert sample.name == f"k{index}"
        assert sample.side_px == pytest.approx(200 * (0.05 + 0.01 * index), rel=1e-5)
        assert np.abs(rgb.mean((0, 1)) - pixels[index]).max() < 6  # JPEG
