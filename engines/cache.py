"""Built engines on disk: one folder each, its name made from everything that the content depends on.

A folder appears by one rename, so it is complete or absent, also when two processes build at once. Its ``engine.json``
holds the checksum of every file: a folder that does not agree with it is built anew.

What OpenVINO keeps is its graph, not its compiled blob: it loads a blob with damaged weights without a word, and a
compiled network from the graph costs only 70 ms more.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import platformdirs

from engines.backends import Request
from engines.engine import Engine, EngineError

logger = logging.getLogger(__name__)

SIDECAR = "engine.json"
ENVIRONMENT = "MOCAP_ENGINE_CACHE"


def default_directory() -> Path:
    """The user's cache directory; the environment variable MOCAP_ENGINE_CACHE puts it elsewhere."""
    given = os.environ.get(ENVIRONMENT)
    return Path(given) if given else Path(platformdirs.user_cache_dir("mocap", appauthor=False)) / "engines"


def cached(
    request: Request,
    backend: str,
    versions: dict[str, str],
    build: Callable[[Path], dict[str, float]],
    load: Callable[[Path], Engine],
) -> Engine:
    """Loads the engine from its folder; builds the folder first where it is absent or broken.

    Args:
        versions: What the artifact depends on besides the request: library versions, device name.
        build: Fills an empty folder and returns the errors against eager, to be written down.
        load: Makes the engine from a filled folder.
    """
    description = _description(request, backend, versions)
    key = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]
    folder = request.cache_dir / f"{request.name}-{backend}-{key}"
    engine = _try_load(folder, load)
    if engine is None:
        _build_into(folder, description, build)
        engine = load(folder)
    return engine


def _description(request: Request, backend: str, versions: dict[str, str]) -> dict[str, object]:
    return {
        "name": request.name,
        "backend": backend,
        "versions": versions,
        "precision": request.precision,
        "inputs": {name: dataclasses.asdict(spec) for name, spec in request.spec.inputs.items()},
        "outputs": list(request.spec.outputs),
        "weights": request.weights_key,
    }


def _try_load(folder: Path, load: Callable[[Path], Engine]) -> Engine | None:
    """The engine, or None when its folder is absent or broken; a broken one is reported and removed."""
    if not folder.exists():
        return None
    try:
        _verify(folder)
        return load(folder)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # RuntimeError: OpenVINO refuses
        logger.warning("Cached engine %s is broken (%s); building it anew", folder, error)
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _verify(folder: Path) -> None:
    files = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))["files"]
    for name, expected in files.items():
        found = _checksum(folder / name)
        if found != expected:
            raise ValueError(f"{name}: expected checksum {expected[:12]}, found {found[:12]}")


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _build_into(folder: Path, description: dict[str, object], build: Callable[[Path], dict[str, float]]) -> None:
    start = time.perf_counter()
    logger.info("Building engine %s; the next start finds it in the cache", folder.name)
    scratch = _scratch_folder(folder.parent)
    try:
        errors = build(scratch)
        _publish(scratch, folder, {**description, "error_against_eager": errors})
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    logger.info("Built engine %s in %.1f s", folder.name, time.perf_counter() - start)


def _scratch_folder(parent: Path) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=parent, prefix=".building-"))
    except OSError as error:
        raise unwritable(parent, error) from error


def unwritable(parent: Path, error: Exception) -> EngineError:
    """What to tell when the cache cannot be written."""
    return EngineError(
        f"The engine cache {parent} cannot be written ({error}); free some space there,"
        f" or name another folder in {ENVIRONMENT}"
    )


def _publish(filled: Path, folder: Path, description: dict[str, object]) -> None:
    try:
        files = {path.name: _checksum(path) for path in sorted(filled.iterdir())}
        (filled / SIDECAR).write_text(json.dumps({**description, "files": files}, indent=2), encoding="utf-8")
        filled.rename(folder)
    except OSError as error:
        if not (folder / SIDECAR).exists():  # else another process was faster with the same content
            raise unwritable(folder.parent, error) from error
