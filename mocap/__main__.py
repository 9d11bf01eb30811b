"""The command line: parse, run one command, turn errors into one line and an exit code.

0: done, 1: failed, 2: bad usage.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
from importlib import metadata
from typing import get_args

from jsonargparse import ArgumentParser, Namespace

from engines import EngineError
from engines.backends import BACKENDS, PRECISIONS
from mocap.cli.parser import (
    UsageError,
    add_config,
    arranged,
    build,
    check_config_files,
    explain,
    new_parser,
    option_names,
)
from mocap.cli.status import LineHandler
from mocap.config import ExportFormat, FileConfig, LiveConfig, PublishedName, RegressorName
from mocap.errors import MocapError

DESCRIPTION = """Live motion capture from a webcam: SMPL poses over OSC and VMC, takes on disk.

  mocap cameras                      which cameras are there
  mocap live                         first camera in, OSC and VMC out, a take in takes/
  mocap live --camera "Logitech"     a camera by its name
  mocap file clip.mp4 --out out      a video in, a take, npz and bvh out
  mocap doctor                       what is installed, what is missing, what to do
"""
LIVE = """Capture from a camera until Ctrl-C.

Sends native OSC to 127.0.0.1:9100 and VMC to 127.0.0.1:39539, and records a take.

  mocap live --mirror --preview
  mocap live --camera http://192.168.0.20:8080/video --vmc.preset vseeface
  mocap live --vmc.host 192.168.0.7 --osc.port 0
"""
FILE = """Capture from a video, a picture or a folder of pictures. No frame is dropped.

  mocap file dance.mp4 --out out --export npz bvh --overlay out/dance_overlay.mp4
"""


ENGINES = """What the networks were compiled to for this computer.

A capture builds what it needs by itself, once; this is for doing so beforehand, for checking and for measuring.

  mocap engines build --verify
  mocap engines build --backend tensorrt --verify
  mocap engines build --regressor tokenhmr
  mocap engines bench --backend openvino onnxruntime --batch 1
"""
IMPORT = """Take a published network into your captures. docs/published.md says what you bring, and its licences.

  mocap import-checkpoint tokenhmr_model.ckpt tokenizer.pth --system tokenhmr --smpl SMPL_NEUTRAL.pkl
  mocap import-checkpoint out/postometro/best.ckpt --system postometro
  mocap live --regressor tokenhmr
"""
SMPL_HELP = "SMPL's licensed file, for body shapes; a run has body.npz beside it"
FILES_HELP = "what was released, in any order, or best.ckpt of a run of training"
BACKEND_HELP = f"auto, or one of {', '.join(BACKENDS)}; a device may follow: openvino:GPU"


def make_parser() -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    """The parser of the command line, and those of its commands by name."""
    parser = new_parser(prog="mocap", description=DESCRIPTION, version=metadata.version("mocap"))
    commands = parser.add_subcommands(dest="command", title="commands", metavar="COMMAND")

    live = new_parser(description=LIVE)
    add_config(live, LiveConfig)
    commands.add_subcommand("live", live, help="camera in, OSC, VMC and a take out")

    file = new_parser(description=FILE)
    file.add_argument("video", type=str, metavar="VIDEO", help="video, picture or folder of pictures")
    add_config(file, FileConfig)
    commands.add_subcommand("file", file, help="video in, a take and its exports out")

    cameras = new_parser(description="List the cameras by number and name.")
    commands.add_subcommand("cameras", cameras, help="list the cameras")

    export = new_parser(description="Export a take.\n\n  mocap export takes/2026-11-21_10-15-00_live.take --to npz bvh")
    export.add_argument("take", type=str, metavar="TAKE", help="a .take file")
    export.add_argument("--to", nargs="+", type=ExportFormat, default=["npz", "bvh"], help="formats to write")
    export.add_argument("--out", type=str, metavar="DIR", default=None, help="folder (default: beside the take)")
    export.add_argument("--bvh-unit", choices=["m", "cm"], default="m", help="unit of length in BVH")
    commands.add_subcommand("export", export, help="turn a take into npz or bvh")

    bench = new_parser(description="Measure this machine, side by side with MediaPipe's own pose solution.")
    bench.add_argument("--json", type=str, metavar="FILE", default=None, help="write the figures there too")
    bench.add_argument("--seconds", type=float, default=60.0, metavar="S", help="length of the paced run")
    bench.add_argument(
        "--soak-minutes", type=float, default=0.0, metavar="MIN", help="memory over a run of this length"
    )
    commands.add_subcommand("bench", bench, help="measure speed, latency and memory")

    engines = new_parser(description=ENGINES)
    commands.add_subcommand("engines", engines, help="build, list, clean and measure compiled networks")
    actions = add_engine_actions(engines)  # in this order: so jsonargparse wants it

    imported = new_parser(description=IMPORT)
    imported.add_argument("file", type=str, nargs="+", metavar="FILE", help=FILES_HELP)
    imported.add_argument("--system", choices=list(get_args(PublishedName)), required=True, help="whose it is")
    imported.add_argument("--smpl", type=str, metavar="FILE", default=None, help=SMPL_HELP)
    commands.add_subcommand("import-checkpoint", imported, help="take a published network into your captures")

    doctor = new_parser(description="Check what is installed and reachable, and say what to do.")
    commands.add_subcommand("doctor", doctor, help="check what is installed and reachable")
    by_name = {"live": live, "file": file, "cameras": cameras, "export": export, "bench": bench, "doctor": doctor}
    return parser, {**by_name, "import-checkpoint": imported, "engines": engines, **actions}


def add_engine_actions(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    """Give `mocap engines` its actions; their parsers by name."""
    actions = parser.add_subcommands(dest="action", title="actions", metavar="ACTION")

    build = new_parser(description="Build the engine of every network now, so that the first capture starts at once.")
    build.add_argument("--backend", type=str, metavar="NAME", default="auto", help=BACKEND_HELP)
    build.add_argument("--precision", choices=["auto", *PRECISIONS], default="auto", help="what they compute in")
    regressors = [*get_args(RegressorName)]
    build.add_argument("--regressor", choices=regressors, default="tokens", help="as that of the captures to come")
    build.add_argument("--people", type=int, metavar="N", default=1, help="as --max-people of the captures to come")
    build.add_argument("--verify", action="store_true", help="compare all of them, and the whole chain, with eager")
    actions.add_subcommand("build", build, help="build what is not built yet")

    show = new_parser(description="List what is built, with sizes.")
    actions.add_subcommand("list", show, help="list what is built")
    clean = new_parser(description="Remove every built engine; the next capture builds what it needs.")
    actions.add_subcommand("clean", clean, help="remove everything")

    bench = new_parser(description="Measure every network on every backend: speed, memory, time to build.")
    bench.add_argument("--backend", type=str, nargs="+", metavar="NAME", default=list(BACKENDS), help="which of them")
    bench.add_argument("--batch", type=int, nargs="+", metavar="N", default=[1, 2, 4, 8], help="people at once")
    bench.add_argument("--rounds", type=int, metavar="N", default=100, help="runs of each, in turns")
    bench.add_argument("--json", type=str, metavar="FILE", default=None, help="write the figures there too")
    actions.add_subcommand("bench", bench, help="measure them")
    return {"engines build": build, "engines list": show, "engines clean": clean, "engines bench": bench}


def dispatch(arguments: Namespace) -> int:
    """Run the command that was asked for; imports are inside so that ``--help`` stays quick."""
    options = arguments[arguments.command]
    if arguments.command == "live":
        live_config = build(LiveConfig, options)
        from mocap.cli.capture import live

        return live(live_config)
    if arguments.command == "file":
        file_config = build(FileConfig, options)
        from mocap.cli.capture import file

        return file(options.video, file_config)
    if arguments.command == "export":
        from mocap.cli.tools import export

        return export(options.take, options.to, options.out, options.bvh_unit)
    if arguments.command == "cameras":
        from mocap.cli.tools import cameras

        return cameras()
    if arguments.command == "engines":
        return dispatch_engines(options.action, options[options.action])
    if arguments.command == "import-checkpoint":
        from mocap.cli.tools import import_checkpoint

        return import_checkpoint(options.system, options.file, options.smpl)
    if arguments.command == "bench":
        from mocap.cli.bench import bench

        return bench(options.json, options.seconds, options.soak_minutes)
    from mocap.cli.doctor import doctor

    return doctor()


def dispatch_engines(action: str, options: Namespace) -> int:
    """Run one of the actions of `mocap engines`."""
    from mocap.cli import engines

    if action == "build":
        return engines.build(options.backend, options.precision, options.people, options.verify, options.regressor)
    if action == "bench":
        return engines.bench(options.backend, options.batch, options.rounds, options.json)
    return engines.clean() if action == "clean" else engines.show()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = arranged(sys.argv[1:] if arguments is None else arguments)
    _speak_anywhere()
    parser, commands = make_parser()
    if not arguments:
        parser.print_help()
        return 2
    command = next((name for name in (" ".join(arguments[:2]), arguments[0]) if name in commands), "")
    try:
        check_config_files(arguments)
        return dispatch(parser.parse_args(arguments))
    except (argparse.ArgumentError, UsageError) as error:
        known = option_names(commands[command]) if command else []
        print(f"error: {explain(str(error), known)}; see {f'mocap {command}'.strip()} --help", file=sys.stderr)
        return 2
    except (MocapError, EngineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1


def _speak_anywhere() -> None:
    """Log to the terminal; a console that lacks a character shows another instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    handler = LineHandler(sys.stderr)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", handlers=[handler])


if __name__ == "__main__":
    sys.exit(main())
