from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mocap.errors import MocapError
from tests.training.datasets.images.test_tars import many
from tests.training.published.pictures import write_shard
from training.datasets.images import tar_index
from training.datasets.images.sample import Sample
from training.datasets.images.tars import read_tar
from training.published.points import OpenPoints
from training.published.sets import Joined, Mixture, SetsConfig, open_set, open_sets

POINTS = OpenPoints("44")


@dataclass(frozen=True)
class Named:
    """Samples that are told apart by their names."""

    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return Sample("coco", self.names[index], b"", np.zeros(2, np.float32), 1.0, False)


def picks(mixture: Mixture, count: int = 4000) -> Counter[str]:
    return Counter(mixture.pick(np.random.default_rng([0, n])).name for n in range(count))


def test_samples_are_as_frequent_as_the_weights_say() -> None:
    sets = [Named(["a"]), Named(["b", "c", "d"]), Named(["e"])]
    by_size, weighted = picks(Mixture(sets)), picks(Mixture(sets, [3.0, 1.0, 0.0]))
    for name in "abcde":
        assert by_size[name] / 4000 == pytest.approx(0.2, abs=0.03)
    for name, share in {"a": 0.75, "b": 1 / 12, "c": 1 / 12, "d": 1 / 12, "e": 0}.items():
        assert weighted[name] / 4000 == pytest.approx(share, abs=0.03)
    assert len(Mixture(sets)) == 5


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, 1.0, 1.0]])
def test_weights_that_mean_nothing(weights: list[float]) -> None:
    with pytest.raises(MocapError, match="expected 2 weights of data sets"):
        Mixture([Named(["a"]), Named(["b"])], weights)


def test_nobody_to_learn_from() -> None:
    with pytest.raises(MocapError, match="expected people to learn from"):
        Mixture([Named([])])


@pytest.mark.parametrize("parts", [["ab", "", "c"], ["", "", "abc"], ["abc"], ["a", "b", "c", ""], []])
def test_joined_sets_are_one_after_the_other(parts: list[str]) -> None:
    joined = Joined([Named(part) for part in parts])
    assert [joined[at].name for at in range(len(joined))] == list("".join(parts))
    for at in (-1, len(joined)):
        with pytest.raises(IndexError):
            joined[at]


def test_rendered_people_and_shards_are_learnt_from_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tar_index.FOLDER, str(tmp_path / "index"))
    write_shard(tmp_path / "pictures", people=3)
    (tmp_path / "coco").mkdir()
    shards = [many(tmp_path / "coco" / f"{n:06d}.tar", first=10 * n) for n in range(2)]
    both = open_sets(SetsConfig([f"rendered={tmp_path / 'pictures'}", f"coco={tmp_path / 'coco'}"]), POINTS)
    assert list(map(len, both.sets)) == [3, 12]
    expected = [sample.name for shard in shards for sample in read_tar(shard, "coco")]
    assert [both.sets[1][at].name for at in range(12)] == expected
    assert {both.pick(np.random.default_rng(n)).dataset for n in range(40)} == {"rendered", "coco"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rendered", "expected a data set as NAME=FOLDER.*found 'rendered'"),
        ("rendered=", "expected a data set as NAME=FOLDER"),
        ("mine=folder", "expected a data set of 3dpw.*found 'mine'"),
        ("rendered=nowhere", "expected shards in nowhere, found none.*training.synthesize --picture_px"),
        ("insta=nowhere", "expected InstaVariety.*licence"),
    ],
)
def test_sets_that_are_not_there(spec: str, message: str) -> None:
    with pytest.raises(MocapError, match=message):
        open_set(spec, POINTS)
