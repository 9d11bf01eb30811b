"""The built wheel carries everything, and names everything that it imports."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mocap", "engines")
# Imported, but brought by another requirement: import -> that requirement.
BROUGHT_BY = {
    "cv2": "mediapipe",  # opencv-contrib-python; naming it too would let pip take a second OpenCV
    "torch_tensorrt": "torch-tensorrt",  # of that very name, but hardly ever installed
}
# Imported where it is needed, with an error that names the extra: import -> extra.
OPTIONAL = {"smplx": "smpl", "onnxruntime": "onnx", "torch_tensorrt": "tensorrt"}


def run(*command: str, cwd: Path) -> None:
    child = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert child.returncode == 0, child.stdout + child.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because a build writes beside its sources, and by what is installed, without a network."""
    tree, dist = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tree)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), ".", cwd=tree)
    (wheel,) = dist.glob("mocap-*.whl")
    return wheel


def test_wheel_in_another_folder_runs_file(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel), cwd=tmp_path)
    # Neither the checkout nor the editable install may answer for the wheel.
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import mocap.__main__ as m, engines;"
        f"assert all(x.__file__.startswith({str(site)!r}) for x in (m, engines));"
        "from mocap.assets import asset_path;"
        "sys.exit(m.main(['file', str(asset_path('demo.mp4')), '--out', 'out', '--export', 'npz']))"
    )
    run(sys.executable, "-c", program, cwd=tmp_path)
    assert list((tmp_path / "out").glob("*_person0.npz"))


def test_every_import_is_named_in_the_requirements(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        needs = archive.read(metadata).decode()
        sources = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}
    assert {name.split("/")[0] for name in sources} == set(PACKAGES)
    found = {package: name for name, source in sources.items() for package in third_party(source)}
    assert {"torch", "openvino", "mediapipe", "numpy"} <= found.keys()
    for package, name in found.items():
        assert provided(package, requirements(needs, OPTIONAL.get(package))), f"{name} imports {package}"


def test_the_check_sees_a_forgotten_requirement() -> None:
    assert third_party("import json\nfrom mocap import types\ndef f():\n    import pytest.mark\n") == {"pytest"}
    required = requirements("Requires-Dist: numpy<2\nRequires-Dist: pytest>=8; extra == 'test'\n\n")
    assert provided("numpy", required)
    assert not provided("pytest", required)
    assert provided("pytest", requirements("Requires-Dist: pytest>=8; extra == 'test'\n\n", extra="test"))
    assert not provided("cv2", required)


def requirements(metadata: str, extra: str | None = None) -> set[str]:
    """The distributions that a plain install brings; or those that an extra adds to it."""
    lines = map(Requirement, Parser().parsestr(metadata).get_all("Requires-Dist", []))
    return {
        canonicalize_name(line.name)
        for line in lines
        if (f'extra == "{extra}"' in str(line.marker) if extra else "extra" not in str(line.marker))
    }


def third_party(source: str) -> set[str]:
    """Top-level packages that are imported anywhere in a file, also inside functions."""
    return set(_imports(ast.parse(source))) - set(sys.stdlib_module_names) - set(PACKAGES)


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


def provided(package: str, required: set[str]) -> bool:
    owners = {BROUGHT_BY[package]} if package in BROUGHT_BY else packages_distributions().get(package, [])
    return any(canonicalize_name(owner) in required for owner in owners)
