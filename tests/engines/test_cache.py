"""What is kept on disk: found again, told apart, mended, shared by processes, and never too much of it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
from torch import nn

import engines
from engines import cache as engine_cache
from engines.cache import ENVIRONMENT, LIMIT, SIDECAR
from engines.parity import random_samples, relative_error
from tests.engines.toy import SPEC, Toy, assert_same, toy_engine, toy_network

ROOT = Path(__file__).resolve().parents[2]
KEEPING = ["openvino", "onnxruntime"]


def folders(cache: Path, backend: str = "") -> list[Path]:
    return sorted(cache.glob(f"toy-{backend}*"))


@pytest.mark.parametrize("backend", KEEPING)
def test_second_load_does_not_build(tmp_path: Path, backend: str) -> None:
    builds = []

    def build() -> nn.Module:
        builds.append(1)
        return Toy()

    network = engines.Network("toy", build, SPEC, "a")
    first = engines.compile(network, backend, cache_dir=tmp_path)
    again = engines.compile(network, backend, cache_dir=tmp_path)
    assert len(builds) == 1
    assert_same(again(random_samples(SPEC)), first(random_samples(SPEC)), 0.0)
    engines.compile(replace(network, weights_key="b"), backend, cache_dir=tmp_path)
    assert len(builds) == 2


def test_a_warm_start_needs_no_torch(built: Path) -> None:
    """The module cannot be built there at all; the engine is in the cache."""
    key = toy_network().weights_key
    program = (
        "import sys, engines; from pathlib import Path\n"
        "from engines import EngineSpec as E, TensorSpec as T\n"
        "spec = E({'image': T((3, 8, 8)), 'extra': T((4,))}, ('total', 'map'), 2)\n"
        f"network = engines.Network('toy', None, spec, {key!r})\n"
        f"engines.compile(network, 'openvino', cache_dir=Path({str(built)!r}))\n"
        "assert 'torch' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_other_weights_are_another_entry(tmp_path: Path) -> None:
    inputs = random_samples(SPEC)
    one, other = toy_engine(tmp_path, Toy(0)), toy_engine(tmp_path, Toy(1))
    assert len(folders(tmp_path)) == 2
    assert relative_error(one(inputs)["map"], other(inputs)["map"]) > 0.01


@pytest.mark.parametrize(
    ("backend", "file", "damage"),
    [
        ("openvino", "model.bin", "garbled"),
        ("openvino", "model.bin", "deleted"),
        ("openvino", "model.xml", "truncated"),
        ("onnxruntime", "batch_2.onnx", "garbled"),
        ("openvino", SIDECAR, "truncated"),
    ],
)
def test_broken_entry_is_rebuilt_with_a_warning(
    built: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, backend: str, file: str, damage: str
) -> None:
    (source,) = folders(built, backend)
    folder = tmp_path / source.name
    shutil.copytree(source, folder)
    whole = (folder / file).read_bytes()
    half = len(whole) // 2
    (folder / file).unlink()
    if damage != "deleted":
        tail = bytes(byte ^ 0x5A for byte in whole[half:]) if damage == "garbled" else b""
        (folder / file).write_bytes(whole[:half] + tail)
    with caplog.at_level(logging.WARNING):
        found = toy_engine(tmp_path, backend=backend)(random_samples(SPEC))
    assert "is broken" in caplog.text
    assert_same(found, toy_engine(built, backend=backend)(random_samples(SPEC)), 1e-6)
    caplog.clear()
    toy_engine(tmp_path, backend=backend)
    assert caplog.text == ""


def test_two_processes_build_at_once(tmp_path: Path) -> None:
    program = f"from tests.engines.toy import Path, toy_engine; toy_engine(Path({str(tmp_path)!r}))"
    children = [
        subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [child.wait() for child in children] == [0, 0], [child.communicate()[1] for child in children]
    assert len(list(tmp_path.iterdir())) == 1
    assert len(engine_cache.entries(tmp_path)) == 1


@pytest.mark.parametrize("cause", ["no folder", "full disk", "full disk at the end"])
def test_cache_that_cannot_be_written_warns_and_capture_goes_on(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cause: str
) -> None:
    cache = tmp_path / "here"
    if cause == "no folder":
        (tmp_path / "file").touch()
        cache = tmp_path / "file" / "here"
    else:
        full_once(monkeypatch, *((openvino, "save_model") if cause == "full disk" else (Path, "rename")))
    with caplog.at_level(logging.WARNING):
        found = toy_engine(cache)(random_samples(SPEC))
    assert f"The engine cache {cache} cannot be written" in caplog.text
    assert ENVIRONMENT in caplog.text
    assert_same(found, toy_engine(built)(random_samples(SPEC)), 1e-6)
    assert not cache.exists() or list(cache.iterdir()) == []


def full_once(monkeypatch: pytest.MonkeyPatch, module: object, function: str) -> None:
    """The disk is full the first time that this writes."""
    original = getattr(module, function)

    def full(*arguments: object, **named: object) -> object:
        monkeypatch.setattr(module, function, original)
        # As OpenVINO says it, and Python.
        raise RuntimeError("iostream error") if module is openvino else OSError("No space left on device")

    monkeypatch.setattr(module, function, full)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_disk_that_is_really_full(tmp_path: Path) -> None:
    program = f"from tests.engines.toy import Path, toy_engine; toy_engine(Path({str(tmp_path / 'here')!r}))"
    small = ["sh", "-c", 'ulimit -f 4 && exec "$@"', "small", sys.executable, "-c", program]
    child = subprocess.run(small, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"The engine cache {tmp_path / 'here'} cannot be written" in child.stderr
    assert "EngineError: The engine cache" in child.stderr  # nor is there room anywhere else
    assert list((tmp_path / "here").iterdir()) == []


def test_default_cache_follows_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "here"))
    engines.compile(toy_network(), "openvino")
    assert [path.name[:12] for path in (tmp_path / "here").iterdir()] == ["toy-openvino"]


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        toy_engine(tmp_path, Toy(seed))
    now = time.time()
    by_age = dict(zip(sorted(folders(tmp_path)), (100, 3, 50), strict=True))
    for folder, days in by_age.items():
        os.utime(folder / SIDECAR, (now - 86400 * days,) * 2)
    oldest, newest, middle = by_age
    assert [one.folder for one in engine_cache.entries(tmp_path)] == [newest, middle, oldest]
    one_mb = engine_cache.entries(tmp_path)[0].bytes / 1e6
    monkeypatch.setenv(LIMIT, str(2.5 * one_mb))
    toy_engine(tmp_path, Toy(3))
    assert len(folders(tmp_path)) == 2
    assert newest in folders(tmp_path)
    monkeypatch.setenv(LIMIT, "1e-9")
    toy_engine(tmp_path, Toy(4))  # what was just built stays, however small the limit
    assert len(folders(tmp_path)) == 1
    monkeypatch.setenv(LIMIT, "lots")
    with pytest.raises(engines.EngineError, match=f"megabytes in {LIMIT}, found 'lots'"):
        engine_cache.limit_mb()


def test_clean_removes_engines_and_what_was_left_half_built(built: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(built, cache)
    stale, fresh = cache / ".building-stale", cache / ".building-fresh"
    for folder in (stale, fresh):
        folder.mkdir()
        (folder / "half").write_bytes(bytes(1000))
    os.utime(stale, (0, 0))
    freed = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) - 1000
    assert engine_cache.clean(cache) == freed
    assert list(cache.iterdir()) == [fresh]  # somebody may be at work there
    assert engine_cache.clean(tmp_path / "nothing") == 0


@pytest.mark.parametrize("backend", KEEPING)
def test_the_sidecar_tells_what_was_built_and_how_well(built: Path, backend: str) -> None:
    (folder,) = folders(built, backend)
    told = json.loads((folder / SIDECAR).read_text())
    assert told["backend"] == backend
    assert told["precision"] == "float32"
    assert told["versions"]["device"]
    assert told["build_s"] > 0
    assert all(0 <= told["error_against_eager"][name] < 1e-3 for name in SPEC.outputs)


def test_load_never_builds(built: Path, tmp_path: Path) -> None:
    inputs = random_samples(SPEC)
    found = engines.load(toy_network(), "openvino", cache_dir=built)(inputs)
    np.testing.assert_array_equal(found["map"], toy_engine(built)(inputs)["map"])
    with pytest.raises(engines.EngineError, match=r"No engine of 'toy'.*mocap engines build"):
        engines.load(toy_network(), "openvino", cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
