from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import engines
import mocap
from engines.parity import relative_error
from mocap.models import blazepose, tflite
from mocap.models.blazepose import DETECTOR, LANDMARKER, Network

DEMO = Path(mocap.__file__).parent / "assets" / "demo.mp4"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


def load(network: Network, backend: str, cache: Path) -> engines.Engine:
    if network is DETECTOR:
        return blazepose.load_detector(backend, cache)
    return blazepose.load_landmarker(backend, 2, cache, features=True)


def images(network: Network) -> np.ndarray:
    """Smooth random pictures, and a few frames of the demo clip where it is there: (B, size, size, 3)."""
    smooth = blazepose.sample_images(network)["image"]
    if not DEMO.exists():
        return smooth
    import av
    import cv2

    with av.open(str(DEMO)) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)][::40][:3]
    side = min(frames[0].shape[:2])
    left = (frames[0].shape[1] - side) // 2
    crops = [cv2.resize(frame[:side, left : left + side], (network.size, network.size)) for frame in frames]
    person = np.stack(crops).astype(np.float32) / 255 * (1 - network.low) + network.low
    return np.concatenate([smooth, person])


def lite_outputs(network: Network, image: np.ndarray) -> dict[str, np.ndarray]:
    """What LiteRT makes of the same file, by the names of ours."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(
        model_path=str(tflite.mediapipe_file(network.file)), num_threads=1
    )
    interpreter.allocate_tensors()
    numbers = [detail["index"] for detail in interpreter.get_output_details()]
    rows: dict[int, list[np.ndarray]] = {number: [] for number in numbers}
    for picture in image:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        for number in numbers:
            rows[number].append(interpreter.get_tensor(number))
    shapes = {name: value for name, value in network.outputs.items() if value[0] in rows}
    return {name: np.concatenate(rows[number]).reshape(-1, *shape) for name, (number, shape) in shapes.items()}


@pytest.mark.parametrize("network", [LANDMARKER, DETECTOR], ids=lambda network: network.name)
def test_every_output_agrees_with_lite(network: Network, cache: Path) -> None:
    image = images(network)
    expected = lite_outputs(network, image)
    module = blazepose.build(network, list(expected))
    with torch.no_grad():
        eager = module(torch.from_numpy(image))
    spec = engines.EngineSpec({"image": engines.TensorSpec(image.shape[1:])}, tuple(expected))
    compiled = engines.compile(engines.of_module(module, spec, network.name), "openvino", cache_dir=cache)
    for name, reference in expected.items():
        for backend, found in (("eager", eager[name].numpy()), ("openvino", compiled({"image": image})[name])):
            error = relative_error(found, reference)
            print(f"{network.name} {name}: {backend} {error:.1e}")
            assert error <= 1e-3, (name, backend)


@pytest.mark.parametrize("backend", ["eager", "openvino"])
@pytest.mark.parametrize("network", [LANDMARKER, DETECTOR], ids=lambda network: network.name)
def test_batch_equals_single(network: Network, backend: str, cache: Path) -> None:
    image = np.concatenate([images(network), images(network)[:1, ::-1]])
    engine = load(network, backend, cache)
    together = engine({"image": image})
    for row in range(len(image)):
        alone = engine({"image": image[row : row + 1]})
        for name, expected in alone.items():
            scale = np.abs(together[name]).max()
            assert np.abs(together[name][row] - expected[0]).max() <= 1e-5 * scale, (name, row)


@pytest.mark.parametrize("network", [LANDMARKER, DETECTOR], ids=lambda network: network.name)
def test_outputs_mean_what_they_say(network: Network, cache: Path) -> None:
    image = images(network)
    outputs = load(network, "auto", cache)({"image": image})
    shapes = {"landmarks": (35, 3), "visibility": (33,), "presence": (1,), "world": (33, 3), "features": (16, 288)}
    if network is DETECTOR:
        shapes = {name: shape for name, (_, shape) in network.outputs.items()}
    assert {name: value.shape[1:] for name, value in outputs.items()} == shapes
    for value in outputs.values():
        assert len(value) == len(image)
        assert value.dtype == np.float32
        assert np.isfinite(value).all()
    if network is LANDMARKER:
        for name in ("presence", "visibility"):
            assert ((outputs[name] >= 0) & (outputs[name] <= 1)).all()
        assert np.abs(outputs["world"]).max() < 3  # metres
        assert np.ptp(outputs["features"]) > 0


@pytest.mark.parametrize("network", [LANDMARKER, DETECTOR], ids=lambda network: network.name)
def test_exports_with_a_free_batch(network: Network) -> None:
    module = blazepose.build(network, list(network.outputs))
    image = torch.from_numpy(blazepose.sample_images(network, 3)["image"])
    batch = {"image": {0: torch.export.Dim("batch", min=1, max=16)}}
    program = torch.export.export(module, (image[:2],), dynamic_shapes=batch).module()
    with torch.no_grad():
        found, expected = program(image), module(image)
    for name in network.outputs:
        assert relative_error(found[name].numpy(), expected[name].numpy()) <= 1e-5, name


def test_warm_start_imports_neither_torch_nor_mediapipe(cache: Path) -> None:
    for network in (LANDMARKER, DETECTOR):
        load(network, "openvino", cache)
    program = (
        "import sys\n"
        "from mocap.models import blazepose\n"
        "blazepose.load_detector('openvino')\n"
        "landmarker = blazepose.load_landmarker('openvino', 2, features=True)\n"
        "landmarker(blazepose.sample_images(blazepose.LANDMARKER))\n"
        "sys.exit(', '.join({'torch', 'mediapipe'} & set(sys.modules)) or 0)\n"
    )
    root = Path(mocap.__file__).parents[1]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "MOCAP_ENGINE_CACHE": str(cache), "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
