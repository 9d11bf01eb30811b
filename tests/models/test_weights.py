from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.errors import MocapError
from mocap.models.weights import read_weights, write_weights

WEIGHTS = {"a.weight": torch.linspace(-3, 3, 600).view(20, 30), "b": torch.tensor([1.0, 65000.0])}


@pytest.mark.parametrize(("half", "relative"), [(False, 0.0), (True, 2**-11)])
def test_written_and_read(half: bool, relative: float, tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    write_weights(path, {"sizes": [20, 30], "name": "é"}, WEIGHTS, half)
    config, found = read_weights(path, "a network")
    assert config == {"sizes": [20, 30], "name": "é"}
    assert found.keys() == WEIGHTS.keys()
    for key, value in WEIGHTS.items():
        assert found[key].dtype == torch.float32
        torch.testing.assert_close(found[key], value, rtol=relative, atol=0)
    assert [file.name for file in tmp_path.iterdir()] == ["w.npz"]  # nothing half written is left


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    weights = {"a": torch.randn(20_000, generator=torch.Generator().manual_seed(0))}
    for half in (False, True):
        write_weights(tmp_path / f"{half}.npz", {}, weights, half)
    assert (tmp_path / "True.npz").stat().st_size < 0.6 * (tmp_path / "False.npz").stat().st_size


def test_weights_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match="below 65504, found others in 'big'"):
        write_weights(tmp_path / "w.npz", {}, {"big": torch.tensor([7e4]), "ok": torch.ones(3)}, half=True)
    with pytest.raises(MocapError, match="finite weights, found others in 'nan'"):
        write_weights(tmp_path / "w.npz", {}, {"nan": torch.tensor([float("nan")])})
    assert not (tmp_path / "w.npz").exists()


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, config=np.array(_Hostile(), dtype=object))
    with pytest.raises(MocapError, match="found another file"):
        read_weights(path, "a network")
    path.write_bytes(pickle.dumps(_Hostile()))
    with pytest.raises(MocapError, match="found another file"):
        read_weights(path, "a network")


def test_other_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, a=np.ones(3))
    with pytest.raises(MocapError, match="config"):
        read_weights(path, "a network")
    np.savez(path, config=np.array("[1]"))
    with pytest.raises(MocapError, match=r"configuration of a network, found \[1\]"):
        read_weights(path, "a network")
    write_weights(path, {}, WEIGHTS)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(MocapError, match="found another file"):
        read_weights(path, "a network")
