"""The command line of the training programs: ``--config FILE`` and every field of a configuration as an option."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from mocap.cli.parser import UsageError, add_config, arranged, build, check_config_files, explain, new_parser
from mocap.cli.parser import option_names as names
from mocap.errors import MocapError

T = TypeVar("T")


def run(config: type[T], description: str, program: Callable[[T], object], arguments: list[str] | None = None) -> int:
    """Build the configuration from the command line and run the program with it.

    Returns:
        The exit code: 0 done, 1 failed, 2 bad usage.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    module = getattr(sys.modules["__main__"], "__spec__", None)
    parser = new_parser(prog=f"python -m {module.name}" if module else None, description=description)
    add_config(parser, config)
    given = arranged(sys.argv[1:] if arguments is None else arguments)
    try:
        check_config_files(given)
        program(build(config, parser.parse_args(given)))
    except (argparse.ArgumentError, UsageError) as error:
        print(f"error: {explain(str(error), names(parser))}; see --help", file=sys.stderr)
        return 2
    except MocapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 1
    return 0
