from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from torch import Tensor, nn

import engines
import engines.backends.openvino
from engines.cache import SIDECAR
from engines.parity import random_samples, relative_error

ROOT = Path(__file__).resolve().parents[2]
SPEC = engines.EngineSpec(
    inputs={"image": engines.TensorSpec((3, 8, 8)), "extra": engines.TensorSpec((4,))},
    outputs=("total", "map"),
    max_batch=2,
)


class Toy(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.linear = nn.Linear(4, 2)

    def forward(self, image: Tensor, extra: Tensor) -> dict[str, Tensor]:
        features = self.conv(image).relu()
        return {"map": features, "total": self.linear(extra) + features.mean((1, 2, 3)).unsqueeze(1)}


def toy_engine(cache: Path, module: object = None, **options: object) -> engines.Engine:
    return engines.compile(module or Toy(), SPEC, name="toy", cache_dir=cache, **{"backend": "openvino", **options})


def assert_same(found: dict, expected: dict, tolerance: float) -> None:
    for name in SPEC.outputs:
        assert relative_error(found[name], expected[name]) <= tolerance, name


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the toy's engine in it, to copy from."""
    cache = tmp_path_factory.mktemp("built")
    toy_engine(cache)
    return cache


@pytest.mark.parametrize(("backend", "cores"), [("eager", 1), ("openvino", 1), ("openvino", 4)])
@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_engine_equals_module_row_by_row(
    built: Path, backend: str, cores: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines.backends.openvino.os, "cpu_count", lambda: cores)  # 4: two elements side by side
    module, inputs = Toy(), random_samples(SPEC, batch)
    engine = toy_engine(built, module, backend=backend)
    found = engine(inputs)
    rows = [engine({name: array[i : i + 1] for name, array in inputs.items()}) for i in range(batch)]
    with torch.no_grad():
        expected = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    assert_same(found, {name: tensor.numpy() for name, tensor in expected.items()}, 1e-5)
    assert_same(found, {name: np.concatenate([row[name] for row in rows]) for name in SPEC.outputs}, 1e-5)


@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_results_stay_when_the_engine_runs_again(built: Path, backend: str) -> None:
    engine, inputs = toy_engine(built, backend=backend), random_samples(SPEC)
    first = engine(inputs)
    kept = {name: array.copy() for name, array in first.items()}
    engine({name: array + 1 for name, array in inputs.items()})
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])


def test_takes_torch_tensors_and_other_dtypes(built: Path) -> None:
    engine, inputs = toy_engine(built), random_samples(SPEC)
    tensors = {name: torch.from_numpy(array).double() for name, array in inputs.items()}
    assert_same(engine(tensors), engine(inputs), 0.0)


def test_second_load_does_not_build(tmp_path: Path) -> None:
    builds = []

    def build() -> nn.Module:
        builds.append(1)
        return Toy()

    first = toy_engine(tmp_path, build, weights_key="a")
    again = toy_engine(tmp_path, build, weights_key="a")
    assert len(builds) == 1
    assert_same(again(random_samples(SPEC)), first(random_samples(SPEC)), 0.0)
    toy_engine(tmp_path, build, weights_key="b")
    assert len(builds) == 2


def test_other_weights_are_another_entry(tmp_path: Path) -> None:
    inputs = random_samples(SPEC)
    one, other = toy_engine(tmp_path, Toy(0)), toy_engine(tmp_path, Toy(1))
    assert len(list(tmp_path.iterdir())) == 2
    assert relative_error(one(inputs)["map"], other(inputs)["map"]) > 0.01


@pytest.mark.parametrize(
    ("file", "damage"),
    [("model.bin", "garbled"), ("model.bin", "deleted"), ("model.xml", "truncated"), (SIDECAR, "truncated")],
)
def test_broken_entry_is_rebuilt_with_a_warning(
    built: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, damage: str
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(built, cache)
    (folder,) = cache.iterdir()
    whole = (folder / file).read_bytes()
    half = len(whole) // 2
    (folder / file).unlink()
    if damage != "deleted":
        tail = bytes(byte ^ 0x5A for byte in whole[half:]) if damage == "garbled" else b""
        (folder / file).write_bytes(whole[:half] + tail)
    with caplog.at_level(logging.WARNING):
        found = toy_engine(cache)(random_samples(SPEC))
    assert "is broken" in caplog.text
    assert_same(found, toy_engine(built)(random_samples(SPEC)), 1e-6)
    caplog.clear()
    toy_engine(cache)
    assert caplog.text == ""


def test_engine_that_disagrees_is_refused_with_the_figure(tmp_path: Path) -> None:
    class Liar(Toy):
        def forward(self, image: Tensor, extra: Tensor) -> dict[str, Tensor]:
            outputs = super().forward(image, extra)
            return {name: x * 1.05 for name, x in outputs.items()} if torch.compiler.is_compiling() else outputs

    with pytest.raises(engines.EngineError, match=r"off from eager by 0\.05"):
        toy_engine(tmp_path, Liar())
    assert list(tmp_path.iterdir()) == []


def test_unknown_backend_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(engines.EngineError, match=r"'abacus' is not known; known are auto, .*openvino.*eager"):
        toy_engine(tmp_path, backend="abacus")


def test_missing_backend_names_the_command_and_auto_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert toy_engine(tmp_path, backend="auto").backend == "openvino"
    monkeypatch.setattr(engines.backends.openvino, "missing", lambda: "openvino is not installed")
    with pytest.raises(engines.EngineError, match=r"openvino is not installed.*pip install openvino"):
        toy_engine(tmp_path)
    with caplog.at_level(logging.INFO):
        assert toy_engine(tmp_path, backend="auto").backend == "eager"
    assert "toy: openvino (first of" in caplog.text
    assert "toy: eager (first of" in caplog.text


@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_other_precision_is_an_error(tmp_path: Path, backend: str) -> None:
    with pytest.raises(engines.EngineError, match="float16"):
        toy_engine(tmp_path, backend=backend, precision="float16")


def test_function_needs_a_weights_key(tmp_path: Path) -> None:
    with pytest.raises(engines.EngineError, match="weights_key"):
        toy_engine(tmp_path, Toy)


def test_cache_that_cannot_be_written_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(engines.EngineError, match="MOCAP_ENGINE_CACHE"):
        toy_engine(tmp_path / "file" / "cache")


@pytest.mark.parametrize(("module", "function"), [(openvino, "save_model"), (Path, "write_text"), (Path, "rename")])
def test_cache_that_runs_full_names_the_folder_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, function: str
) -> None:
    def full(*_: object, **__: object) -> None:
        # As OpenVINO says it, and Python.
        raise RuntimeError("iostream error") if module is openvino else OSError("No space left on device")

    monkeypatch.setattr(module, function, full)
    with pytest.raises(engines.EngineError, match=r"cache .*here cannot be written.*MOCAP_ENGINE_CACHE"):
        toy_engine(tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_disk_that_is_really_full(tmp_path: Path) -> None:
    program = f"from tests.engines.test_compile import Path, toy_engine; toy_engine(Path({str(tmp_path / 'here')!r}))"
    small = ["sh", "-c", 'ulimit -f 4 && exec "$@"', "small", sys.executable, "-c", program]
    child = subprocess.run(small, cwd=ROOT, capture_output=True, text=True)
    assert re.search(r"EngineError: The engine cache .*here cannot be written.*MOCAP_ENGINE_CACHE", child.stderr)
    assert list((tmp_path / "here").iterdir()) == []


def test_default_cache_follows_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCAP_ENGINE_CACHE", str(tmp_path / "here"))
    engines.compile(Toy(), SPEC, name="toy", backend="openvino")
    assert [path.name[:12] for path in (tmp_path / "here").iterdir()] == ["toy-openvino"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": None}, "Expected the inputs"),
        ({"extra": np.zeros((2, 5), np.float32)}, r"'extra'.*\(B, 4\).*\(2, 5\)"),
        ({"extra": np.zeros((3, 4), np.float32)}, "one batch size"),
        ({"extra": np.zeros((0, 4), np.float32), "image": np.zeros((0, 3, 8, 8), np.float32)}, "at least 1"),
    ],
)
def test_wrong_inputs_say_what_was_expected(tmp_path: Path, change: dict, message: str) -> None:
    inputs = {**random_samples(SPEC), **change}
    given = {name: array for name, array in inputs.items() if array is not None}
    with pytest.raises(engines.EngineError, match=message):
        toy_engine(tmp_path, backend="eager")(given)
