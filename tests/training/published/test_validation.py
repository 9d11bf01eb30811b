from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mocap.body.torch_figure import Figure
from mocap.body.torch_rotations import axis_angle_to_matrix
from tests.training.published.pictures import write_shard
from training.datasets.images.rendered import Rendered
from training.published import validation
from training.published.crops import AugmentationConfig
from training.published.examples import Examples
from training.published.points import OpenPoints
from training.published.sets import Mixture
from training.published.validation import Validation, joint_errors_mm


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    folder = tmp_path_factory.mktemp("people")
    write_shard(folder, people=7, size=32)
    return Rendered(folder, OpenPoints("44"))


def measure(people: Rendered, **options: object) -> Validation:
    examples = Examples(Mixture([people]), "44", side=16, augmentation=AugmentationConfig())
    return Validation(people, examples, **options)  # type: ignore[arg-type]


def test_the_truth_has_no_error(people: Rendered) -> None:
    joints = Figure()(people.R, people.betas)[0]
    errors = measure(people).errors_mm(lambda pictures: joints)
    assert max(errors.values()) < 0.05


def test_errors_are_what_they_are_called(people: Rendered) -> None:
    one = measure(people)
    torch.testing.assert_close(one.joints[:, 0], torch.zeros(7, 3))
    turn = axis_angle_to_matrix(torch.tensor([0.0, 0.3, 0.0]))
    turned = one.errors_mm(lambda pictures: 1.2 * one.joints @ turn.T + 3.0)
    assert turned["pa_mpjpe_mm"] < 0.05  # turned, larger and elsewhere
    expected = (1.2 * one.joints @ turn.T - one.joints).norm(dim=-1).mean()
    assert turned["mpjpe_mm"] == pytest.approx(1e3 * float(expected), rel=1e-4)
    shifted = one.joints.clone()
    shifted[:, 5] += torch.tensor([0.24, 0, 0])
    assert joint_errors_mm(shifted, one.joints)["mpjpe_mm"] == pytest.approx(10, rel=1e-4)


@pytest.mark.parametrize("batch", [2, 7, 64])
def test_pictures_come_in_order_and_are_not_augmented(
    people: Rendered, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "_BATCH", batch)
    sizes = []

    def see(pictures: Tensor) -> Tensor:
        sizes.append(len(pictures))
        return pictures

    found = measure(people, threads=3).found(see)
    examples = Examples(Mixture([people]), "44", side=16)
    for row in range(len(people)):
        torch.testing.assert_close(found[row], torch.from_numpy(examples.plain(people[row])["image"]))
    assert max(sizes) <= batch
    assert sum(sizes) == len(people)


def test_crops_are_around_the_box_that_is_asked_for(people: Rendered) -> None:
    wide = measure(people, frame=lambda sample: replace(sample, side_px=2 * sample.side_px)).found(lambda x: x)
    examples = Examples(Mixture([people]), "44", side=16, margin=2.0)
    torch.testing.assert_close(wide[3], torch.from_numpy(examples.plain(people[3])["image"]))
    assert not torch.equal(wide[3], measure(people).found(lambda x: x)[3])
