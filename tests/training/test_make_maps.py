"""Maps of rendered people: those that the backbone makes of their crops, and what reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.errors import MocapError
from mocap.models.blazepose import LANDMARKER
from mocap.models.blazepose_backbone import BlazePoseBackbone
from tests.training.published.pictures import write_shard
from training.datasets.images.rendered import MAPS, MAPS_MARGIN, Rendered
from training.make_maps import MapsConfig, make_maps
from training.published.crops import AugmentationConfig
from training.published.examples import Examples
from training.published.points import OpenPoints
from training.published.sets import SetsConfig, open_sets

POINTS = OpenPoints("smpl24")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    write_shard(path, people=3, size=64)
    make_maps(MapsConfig(folders=[str(path)], engine="eager"))
    return path


def test_maps_are_the_backbone_s(folder: Path) -> None:
    sets = open_sets(SetsConfig(sets=[f"rendered={folder}"]), POINTS)
    pictures = Examples(sets, "smpl24", LANDMARKER.size, MAPS_MARGIN)
    mapped = Examples(open_sets(SetsConfig(sets=[f"rendered={folder}"], maps=True), POINTS), "smpl24", 256, MAPS_MARGIN)
    for index in range(3):
        picture, example = (e.plain(e.samples.sets[0][index]) for e in (pictures, mapped))
        with torch.no_grad():
            expected = BlazePoseBackbone().eval()(torch.from_numpy(picture["image"])[None])[0].numpy()
        np.testing.assert_allclose(example["image"], expected, atol=0.02 * np.abs(expected).max())
        for name in picture.keys() - {"image"}:
            np.testing.assert_array_equal(example[name], picture[name])


def test_what_has_a_map_is_not_augmented(folder: Path) -> None:
    sets = open_sets(SetsConfig(sets=[f"rendered={folder}"], maps=True), POINTS)
    with pytest.raises(MocapError, match=r"expected no augmentation"):
        Examples(sets, "smpl24", 256, MAPS_MARGIN, AugmentationConfig())(0)


def test_maps_of_others_are_refused(folder: Path, tmp_path: Path) -> None:
    write_shard(tmp_path, people=2, size=32)
    with pytest.raises(MocapError, match=r"maps\.npy: expected maps of 2 people.*training\.make_maps --folders"):
        Rendered(tmp_path, POINTS, maps=True)
    (tmp_path / MAPS).write_bytes((folder / MAPS).read_bytes())
    with pytest.raises(MocapError, match=r"expected maps of 2 people, found 3.*training\.make_maps --folders"):
        Rendered(tmp_path, POINTS, maps=True)
