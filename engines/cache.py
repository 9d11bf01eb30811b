"""Built engines on disk: one folder each, its name made from everything that the content depends on.

A folder appears by one rename, so it is complete or absent, also when two processes build at once. Its ``engine.json``
holds the checksum of every file: a folder that does not agree with it is built anew. When all together are larger than
a limit, those that were not used for longest go.

What OpenVINO keeps is its graph, not its compiled blob: it loads a blob with damaged weights without a word, and a
compiled network from the graph costs only 70 ms more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

from engines.backends import Target
from engines.engine import EngineError
from engines.network import Errors, Network

T = TypeVar("T")
logger = logging.getLogger(__name__)

SIDECAR = "engine.json"
ENVIRONMENT, LIMIT = "MOCAP_ENGINE_CACHE", "MOCAP_ENGINE_CACHE_MB"
_LIMIT_MB = 12000.0  # a published network is 3 GB
_SCRATCH = ".building-"
_STALE_S = 3600.0  # an unfinished folder of this age has nobody who works on it


class UnwritableCache(EngineError):
    """The cache cannot be written: no rights, or no space."""

    def __init__(self, cache: Path, error: Exception) -> None:
        super().__init__(
            f"The engine cache {cache} cannot be written ({error}); free some space there, "
            f"or name another folder in {ENVIRONMENT}"
        )


@dataclass(frozen=True)
class Entry:
    """A folder of the cache, which may not exist yet."""

    folder: Path
    description: dict[str, Any]  # what the content depends on, and once built what was measured then

    @property
    def name(self) -> str:
        return str(self.description.get("name", self.folder.name))

    @property
    def target(self) -> str:
        found = (self.description.get(key, "?") for key in ("backend", "device", "precision"))
        return "{}:{} {}".format(*found)

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    @property
    def used(self) -> float:
        """When it was last loaded, Unix time in seconds."""
        return (self.folder / SIDECAR).stat().st_mtime


def default_directory() -> Path:
    """The user's cache directory; the environment variable MOCAP_ENGINE_CACHE puts it elsewhere."""
    given = os.environ.get(ENVIRONMENT)
    return Path(given) if given else Path(platformdirs.user_cache_dir("mocap", appauthor=False)) / "engines"


def entry(cache: Path, network: Network, target: Target, versions: dict[str, str]) -> Entry:
    """Where the engine of a network for a target lies, or will lie."""
    description = {
        "name": network.name,
        **dataclasses.asdict(target),
        "versions": versions,
        "inputs": {name: dataclasses.asdict(spec) for name, spec in network.spec.inputs.items()},
        "outputs": list(network.spec.outputs),
        "max_batch": network.spec.max_batch,
        "weights": network.weights_key,
    }
    key = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]
    return Entry(cache / f"{network.name}-{target.backend}-{key}", description)


def entries(cache: Path) -> list[Entry]:
    """What is there and whole, what was used last first."""
    found = []
    for folder in cache.iterdir() if cache.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):  # no engine, or one that another process removes
            one = Entry(folder, json.loads((folder / SIDECAR).read_text(encoding="utf-8")))
            found.append((-one.used, str(folder), one))
    return [one for _, _, one in sorted(found)]


def clean(cache: Path) -> int:
    """Removes every engine, and what was left half built. Returns the bytes that this freed."""
    folders = [one.folder for one in entries(cache)] + _half_built(cache)
    freed = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return freed


def try_load(wanted: Entry, load: Callable[[Path], T]) -> T | None:
    """What ``load`` makes of the folder, or None when it is absent or broken; a broken one is reported and removed."""
    if not wanted.folder.exists():
        return None
    try:
        _verify(wanted.folder)
        loaded = load(wanted.folder)
    except EngineError:
        raise
    except Exception as error:  # each library has its own for a file that it cannot read
        logger.warning("Cached engine %s is broken (%s); building it anew", wanted.folder, error)
        shutil.rmtree(wanted.folder, ignore_errors=True)
        return None
    with contextlib.suppress(OSError):  # a cache that cannot be written can be read
        os.utime(wanted.folder / SIDECAR)
    return loaded


def _verify(folder: Path) -> None:
    files = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))["files"]
    for name, expected in files.items():
        found = _checksum(folder / name)
        if found != expected:
            raise ValueError(f"{name}: expected checksum {expected[:12]}, found {found[:12]}")


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**22):
            digest.update(block)
    return digest.hexdigest()


def build(wanted: Entry, fill: Callable[[Path], Errors]) -> None:
    """Fills the folder; what ``fill`` returns is written down with it.

    Raises:
        UnwritableCache: it cannot be written.
    """
    start = time.perf_counter()
    scratch = _scratch_folder(wanted.folder.parent)
    try:
        errors = fill(scratch)
        told = {"error_against_eager": errors, "build_s": round(time.perf_counter() - start, 2)}
        _publish(scratch, wanted.folder, {**wanted.description, **told})
    except OSError as error:  # of the compiler that writes there, a full disk most likely
        raise UnwritableCache(wanted.folder.parent, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _prune(wanted.folder)


def _scratch_folder(cache: Path) -> Path:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=cache, prefix=_SCRATCH))
    except OSError as error:
        raise UnwritableCache(cache, error) from error


def _publish(filled: Path, folder: Path, description: dict[str, Any]) -> None:
    files = {path.name: _checksum(path) for path in sorted(filled.iterdir())}
    (filled / SIDECAR).write_text(json.dumps({**description, "files": files}, indent=2), encoding="utf-8")
    try:
        filled.rename(folder)
    except OSError:
        if not (folder / SIDECAR).exists():  # else another process was faster with the same content
            raise


def _prune(newest: Path) -> None:
    """Keep the cache below its limit: what was not used for longest goes, ``newest`` stays."""
    for folder in _half_built(newest.parent):
        shutil.rmtree(folder, ignore_errors=True)
    room = limit_mb() * 1e6
    for one in entries(newest.parent):
        room -= one.bytes
        if room < 0 and one.folder != newest:
            logger.info("Engine %s was not used for long and made room", one.folder.name)
            shutil.rmtree(one.folder, ignore_errors=True)


def limit_mb() -> float:
    """How large the cache may grow.

    Raises:
        EngineError: MOCAP_ENGINE_CACHE_MB is not a number.
    """
    given = os.environ.get(LIMIT, "")
    try:
        return float(given or _LIMIT_MB)
    except ValueError as error:
        raise EngineError(f"Expected a number of megabytes in {LIMIT}, found '{given}'") from error


def _half_built(cache: Path) -> list[Path]:
    if not cache.is_dir():
        return []
    return [path for path in cache.glob(f"{_SCRATCH}*") if time.time() - path.stat().st_mtime > _STALE_S]
