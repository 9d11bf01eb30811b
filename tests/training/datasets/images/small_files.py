"""Tiny pictures, labels and pickles for the tests of the readers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from tests.body.small_body import _array, _text

Arrays = dict[str, Any]


def jpeg(width: int = 12, height: int = 8, color: tuple[int, int, int] = (200, 10, 10)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), color).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def random_pose(rows: int, joints: int = 24, seed: int = 0) -> NDArray[np.float64]:
    """Axis-angle (rows, 3 · joints), each by less than half a turn."""
    vectors = np.random.default_rng(seed).normal(size=(rows * joints, 3))
    vectors *= np.random.default_rng(seed + 1).uniform(0.1, 2.5, (len(vectors), 1)) / np.linalg.norm(
        vectors, axis=1, keepdims=True
    )
    return vectors.reshape(rows, 3 * joints)


def matrices(pose: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 72) -> (..., 24, 3, 3), by SciPy."""
    return Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(*pose.shape[:-1], -1, 3, 3)


def save_npz(path: Path, fields: Arrays) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: value for name, value in fields.items() if value is not None})
    return path


def python2_pickle(value: Any) -> bytes:
    """Dicts, lists, texts and arrays as Python 2 wrote them in protocol 2."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_text(key) + _python2(item) for key, item in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(_python2(item) for item in value) + b"e"
    if isinstance(value, str):
        return _text(value)
    assert isinstance(value, np.ndarray)
    return _array(value)
