"""Ctrl-C after engines were freed: OpenVINO's plugin moves the main thread's signal stack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import gc, signal, torch, engines
def engine(name):
    spec = engines.EngineSpec({"input": engines.TensorSpec((4,))}, ("output",))
    class Double(torch.nn.Module):
        def forward(self, input):
            return {"output": 2 * input}
    return engines.compile(engines.of_module(Double(), spec, name), "openvino")
first, second = engine("first"), engine("second")
del first, second
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted, not crashed")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signal stacks")
def test_a_signal_after_engines_were_freed_does_not_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCAP_ENGINE_CACHE", str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "interrupted, not crashed" in ended.stdout
