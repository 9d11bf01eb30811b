from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.toy import toy_engine


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the toy's engines in it."""
    cache = tmp_path_factory.mktemp("built")
    toy_engine(cache, backend="openvino")
    toy_engine(cache, backend="onnxruntime")
    return cache
