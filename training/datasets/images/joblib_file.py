"""joblib's files, read without trusting them: ``joblib.load`` would run whatever a file names.

joblib writes a pickle in which every array is a small record of shape and type, followed at once, in the middle of the
pickle, by the array's bytes. The record is read by a stand-in here that takes the bytes as soon as it has its state.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mocap.errors import MocapError
from mocap.pickles import ArrayUnpickler

_COMPRESSED: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x78": zlib.decompress,
    b"\x1f\x8b": gzip.decompress,
    b"BZ": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"\x5d\x00": lzma.decompress,
}


def read_joblib(path: Path) -> Any:
    """The arrays and plain containers of a file that joblib wrote, compressed or not.

    Raises:
        MocapError: no such file, no joblib file, a file cut short, or one that names anything but arrays.
    """
    if not path.is_file():
        raise MocapError(f"{path}: expected joblib's file, found none; docs/published_data.md says what to get")
    try:
        with path.open("rb") as file:
            return _arrays(_Unpickler(_opened(file), path).load())
    except MocapError:
        raise
    except Exception as error:  # pickle, NumPy and the compressors each have errors of their own
        raise MocapError(f"{path}: expected joblib's file, could not read it ({error})") from error


def _opened(file: IO[bytes]) -> IO[bytes]:
    start = file.read(5)
    file.seek(0)
    for magic, decompress in _COMPRESSED.items():
        if start.startswith(magic):
            return io.BytesIO(decompress(file.read()))
    return file


class _Exactly:
    """A file without ``peek``: the unpickler then reads no byte more than it needs, so that arrays can be read next."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.readline = file.read, file.readline


class _Unpickler(ArrayUnpickler):
    def __init__(self, file: IO[bytes], path: Path) -> None:
        super().__init__(_Exactly(file), path)
        self._file, self._path = file, path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            file, path = self._file, self._path

            class Record(_Record):  # of this load alone: a pickle may write attributes onto what it names
                def __setstate__(self, state: dict[str, Any]) -> None:
                    self.array = _read_array(state, file, path)

            return Record
        return super().find_class(module, name)


class _Record:
    array: NDArray[Any] | None = None


def _read_array(state: dict[str, Any], file: IO[bytes], path: Path) -> NDArray[Any]:
    """The array that follows its record in the file."""
    dtype, shape = np.dtype(state["dtype"]), tuple(int(size) for size in state["shape"])
    if dtype.hasobject:  # such an array is a pickle of its own
        return np.asarray(ArrayUnpickler(_Exactly(file), path).load())
    if state.get("numpy_array_alignment_bytes") is not None:  # one byte that counts those to skip; from joblib 1.2
        file.read(file.read(1)[0])
    size = math.prod(shape) * dtype.itemsize
    content = file.read(size)
    if len(content) != size:
        raise MocapError(f"{path}: expected {size} bytes of an array {shape}, found {len(content)}. Get it again.")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if state["order"] == "F" else "C").copy()


def _arrays(value: Any) -> Any:
    """The same containers with arrays in place of the records."""
    if isinstance(value, _Record):
        return value.array
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_arrays(item) for item in value)
    return value
