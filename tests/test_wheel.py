"""The built wheel carries everything: installed alone in another folder, it captures its own demo clip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str, **arguments: object) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, **arguments).stdout  # type: ignore[call-overload,no-any-return]


def test_wheel_in_another_folder_runs_file(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(ROOT))
    (wheel,) = (tmp_path / "dist").glob("mocap-*.whl")
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(site), str(wheel))
    # -P and -c: neither the checkout nor the editable install may answer for the wheel.
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import mocap.__main__ as m;"
        f"assert m.__file__.startswith({str(site)!r}), m.__file__;"
        "from mocap.assets import asset_path;"
        "sys.exit(m.main(['file', str(asset_path('demo.mp4')), '--out', 'out', '--export', 'npz']))"
    )
    run(sys.executable, "-c", program, cwd=tmp_path)
    assert list((tmp_path / "out").glob("*_person0.npz"))
