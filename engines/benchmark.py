"""Speed, memory and build time of networks on every backend of this machine: ``python -m engines.benchmark``

All engines are run in turns, round by round, so that whatever else the machine does hits them alike. Memory is what a
process of its own takes more once it has loaded the engine and run it.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.metadata
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tqdm import tqdm

from engines import roofline
from engines.backends import BACKENDS, Target
from engines.compiler import compile, targets
from engines.engine import Arrays, Engine, EngineError
from engines.network import Network, Trial
from engines.parity import random_samples

Cases = Mapping[str, Callable[[], object]]
PRODUCT = "mocap.models.networks:product"  # by name: engines know no people, whoever measures wants them
BATCHES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Times:
    """Of one case, in milliseconds."""

    median_ms: float
    p95_ms: float
    min_ms: float


@dataclass(frozen=True)
class Row:
    """One engine."""

    network: str
    target: str
    batch: int
    times: Times
    build_s: float  # compile() with an empty cache
    memory_mb: float  # resident, that loading and running it adds
    floor_ms: float | None  # see engines.roofline; below float32 that of the lower precision


def measure(cases: Cases, rounds: int = 100, warmup: int = 5) -> dict[str, Times]:
    """Runs every case once per round, after ``warmup`` rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in tqdm(range(warmup + rounds), desc="rounds", unit="round", leave=False, disable=None):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if number >= warmup:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {
        name: Times(float(np.median(ms)), float(np.percentile(ms, 95)), float(np.min(ms))) for name, ms in times.items()
    }


def hardware() -> str:
    """This machine and what runs on it, in a line."""
    frequency = psutil.cpu_freq()
    clock = f" at {frequency.current / 1e3:.1f} GHz" if frequency and frequency.current else ""
    found = [f"{processor()}{clock}", f"{psutil.cpu_count()} cores", *_gpus(), platform.system()]
    for package in ("torch", "openvino", "onnxruntime", "torch-tensorrt"):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join([*found, f"Python {platform.python_version()}", time.strftime("%Y-%m-%d")])


def _gpus() -> list[str]:
    """NVIDIA's, with clocks and driver, as the driver's own tool tells them."""
    asked = ["nvidia-smi", "--query-gpu=name,clocks.sm,clocks.mem,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [
        "{} at {}, memory at {}, driver {}".format(*(part.strip() for part in line.split(",")))
        for line in told.splitlines()
    ]


def processor() -> str:
    """The CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # Linux only; elsewhere platform knows
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def find_networks(name: str) -> Callable[[int], Sequence[Network]]:
    """``module:function``, which takes the number of rows to get ready for.

    Raises:
        EngineError: there is no such module or function.
    """
    module, _, function = name.partition(":")
    try:
        found: Callable[[int], Sequence[Network]] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise EngineError(f"Expected module:function that returns the networks, found '{name}': {error}") from error
    return found


def runnable(backends: Sequence[str]) -> Iterator[Target]:
    """What this machine has of these backends; why something is left out goes to stderr."""
    for backend in backends:
        for target in targets(backend, "auto"):
            if isinstance(target, Target):
                yield target
            else:
                print(target, file=sys.stderr)


def rows(name: str, backends: Sequence[str], batches: Sequence[int], rounds: int, folder: Path) -> list[Row]:
    """Every network on every target, built in an empty folder; what refuses is told on stderr and left out."""
    networks, found = find_networks(name), []
    for index, network in enumerate(networks(max(batches))):
        work = {batch: roofline.count(network, batch) for batch in batches}
        cases: dict[str, Callable[[], object]] = {}
        about: dict[str, tuple[Target, int, float]] = {}
        for target in runnable(backends):
            try:
                engine, build_s = _built(network, target, folder)
            except EngineError as error:
                print(error, file=sys.stderr)
                continue
            for batch in (count for count in batches if count <= network.spec.max_batch):
                key = f"{target} {batch}"
                given = {name: engine.at_home(array) for name, array in inputs(network, batch).items()}
                cases[key], about[key] = functools.partial(engine, given), (target, batch, build_s)
        memory = {target: memory_mb(name, index, max(batches), target, folder) for target, _, _ in about.values()}
        for key, times in measure(cases, rounds).items():
            target, batch, build_s = about[key]
            floor_ms = roofline.floor_ms(work[batch], target)
            found.append(Row(network.name, str(target), batch, times, build_s, memory[target], floor_ms))
    return found


def _built(network: Network, target: Target, folder: Path) -> tuple[Engine, float]:
    start = time.perf_counter()
    engine = compile(network, f"{target.backend}:{target.device}", target.precision, folder)
    return engine, time.perf_counter() - start


def inputs(network: Network, batch: int) -> Arrays:
    """The network's own samples, over and over, as many as are wanted."""
    trial = network.trial() if network.trial else Trial(random_samples(network.spec))
    return {name: np.resize(array, (batch, *array.shape[1:])) for name, array in trial.inputs.items()}


def memory_mb(name: str, index: int, max_batch: int, target: Target, folder: Path) -> float:
    """What loading an engine that is in ``folder`` and running it adds to a process."""
    program = (
        "from engines.backends import Target; from engines.benchmark import _tell_memory; "
        f"_tell_memory({name!r}, {index}, {max_batch}, {target!r}, {str(folder)!r})"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if told.returncode:
        raise EngineError(f"{target}: memory cannot be measured: {told.stderr.strip()[-300:]}")
    return float(told.stdout.split()[-1])


def _tell_memory(name: str, index: int, max_batch: int, target: Target, folder: str) -> None:
    network = find_networks(name)(max_batch)[index]
    given, process = random_samples(network.spec, 1), psutil.Process()
    before = process.memory_info().rss
    engine, _ = _built(network, target, Path(folder))
    engine(given)
    print((process.memory_info().rss - before) / 1e6)


def table(found: Sequence[Row]) -> str:
    """For people."""
    lines = [
        "| network | backend | rows | median | 95 % | floor | build | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        floor = f"{row.floor_ms:.2f} ms" if row.floor_ms else "–"
        times = f"{row.times.median_ms:.2f} ms | {row.times.p95_ms:.2f} ms | {floor}"
        lines.append(
            f"| {row.network} | {row.target} | {row.batch} | {times} | {row.build_s:.1f} s | {row.memory_mb:.0f} MB |"
        )
    return "\n".join(lines)


def run(networks: str, backends: Sequence[str], batches: Sequence[int], rounds: int) -> list[Row]:
    """Measure and print a table.

    Raises:
        EngineError: there are no such networks, or no such backend.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = rows(networks, backends, batches, rounds, Path(folder))
    print(f"\n{hardware()}\n\n{table(found)}")
    return found


def write(file: Path, content: Mapping[str, Any]) -> None:
    """The figures as JSON, with the hardware."""
    file.write_text(json.dumps({"hardware": hardware(), **content}, indent=1), encoding="utf-8")


def check_writable(file: Path) -> None:
    """Before minutes are spent.

    Raises:
        EngineError: it cannot be written.
    """
    try:
        file.open("a", encoding="utf-8").close()
    except OSError as error:
        raise EngineError(f"cannot write {file}: {error.strerror}; name a file in a writable folder") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.benchmark", description=str(__doc__).splitlines()[0])
    parser.add_argument("networks", nargs="?", default=PRODUCT, metavar="module:function", help="gives the networks")
    parser.add_argument("--backend", nargs="+", default=list(BACKENDS), metavar="NAME", help="all by default")
    parser.add_argument("--batch", nargs="+", type=int, default=list(BATCHES), metavar="N", help="rows at once")
    parser.add_argument("--rounds", type=int, default=100, metavar="N", help="runs of each, in turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    try:
        if options.json:
            check_writable(options.json)
        found = run(options.networks, options.backend, options.batch, options.rounds)
    except EngineError as error:
        parser.exit(1, f"{error}\n")
    if options.json:
        write(options.json, {"rows": [asdict(row) for row in found]})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
