"""The command line and the YAML from the configuration's dataclasses, through jsonargparse.

One loop over the fields, so that an option is written once: its name, type, default, range and help are the field's.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import itertools
import re
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ActionConfigFile, ActionYesNo, ArgumentParser, Namespace

T = TypeVar("T")


class UsageError(Exception):
    """The command line or a configuration file is wrong; the process exits with 2."""


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Descriptions as written, and the default of each option."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default == [] or "(default" in (action.help or ""):
            return action.help
        return super()._get_help_string(action)


def new_parser(**arguments: Any) -> ArgumentParser:
    return ArgumentParser(
        exit_on_error=False,
        formatter_class=HelpFormatter,
        print_config="--print-config",
        allow_abbrev=False,
        **arguments,
    )


def add_config(parser: ArgumentParser, config: type) -> None:
    """Give the parser an option for each field of a configuration dataclass, and ``--config``."""
    parser.add_argument(
        "--config", action=ActionConfigFile, metavar="FILE", help="YAML with any of these options; repeatable"
    )
    _add_fields(parser, config, "")


def _add_fields(parser: Any, config: type, prefix: str) -> None:
    hints = typing.get_type_hints(config)
    fields = dataclasses.fields(config)
    groups = [item for item in fields if dataclasses.is_dataclass(hints[item.name])]
    for item in fields:
        if item not in groups:
            _add_field(parser, prefix + item.name, hints[item.name], item)
    for item in groups:
        group = hints[item.name]
        about = (group.__doc__ or "").strip().split("\n\n")[0]
        _add_fields(parser.add_argument_group(item.name, about), group, f"{item.name}.")


def _add_field(parser: Any, name: str, hint: Any, item: dataclasses.Field[Any]) -> None:
    extra: dict[str, Any] = {"default": _default(item), "help": item.metadata.get("help")}
    if hint is bool:
        parser.add_argument(f"--{name.replace('_', '-')}", action=ActionYesNo(no_prefix="no-"), **extra)
        return
    if typing.get_origin(hint) is list:
        hint, extra["nargs"] = typing.get_args(hint)[0], "*"
    if hint in (str, str | None):
        hint = int | hint  # a YAML file may say `camera: 0` and `name: 2024`
    if item.metadata.get("metavar"):
        extra["metavar"] = item.metadata["metavar"]
    parser.add_argument(f"--{name.replace('_', '-')}", type=hint, **extra)


def _default(item: dataclasses.Field[Any]) -> Any:
    return item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default


def build(config: type[T], values: Namespace, prefix: str = "") -> T:
    """The frozen dataclass from what was parsed, with each number in its range."""
    hints = typing.get_type_hints(config)
    arguments = {}
    for item in dataclasses.fields(config):  # type: ignore[arg-type]
        value, hint = values[item.name], hints[item.name]
        if dataclasses.is_dataclass(hint):
            value = build(typing.cast(type, hint), value, f"{item.name}.")
        else:
            value = str(value) if hint in (str, str | None) and isinstance(value, int) else value
            _check_range(prefix + item.name, value, item.metadata.get("low"), item.metadata.get("high"))
        arguments[item.name] = value
    return config(**arguments)


def _check_range(name: str, value: Any, low: float | None, high: float | None) -> None:
    if isinstance(value, (int, float)) and not (
        (low is None or value >= low) and (high is None or value <= high)  # NaN is in no range
    ):
        limits = f"from {low:g} to {high:g}" if high is not None else f"of at least {low:g}"
        raise UsageError(f"{name}: expected a number {limits}, found {value:g}")


def explain(message: str, options: list[str]) -> str:
    """The parser's message in one line and in the user's words, with the nearest option where one was misspelt."""
    line = " ".join(message.split())
    unknown = re.search(r"does not accept option '([^']+)'|[Uu]nrecognized arguments: (\S+)", line)
    if unknown:
        return _unknown(
            unknown[1] or f"{unknown[2]}", options, is_option=bool(unknown[1]) or unknown[2].startswith("-")
        )
    key, found = re.search(r'Parser key "([^"]+)"', line), re.search(r"(?:Given|Got) value: (.*?)\.?$", line)
    if not (key and found):
        return line
    choices = re.search(r"typing\.Literal\[(.*?)\]", line)
    types = [WORDS.get(name, name) for name in re.findall(r"(?<!type: )<class '(\w+)'>", line) if name != "NoneType"]
    expected = "one of " + choices[1].replace("'", "") if choices else " or ".join(dict.fromkeys(types))
    hint = "; name the VIDEO before --export" if key[1] == "export" and Path(found[1]).exists() else ""
    return f"{key[1]}: expected {expected}, found '{found[1]}'{hint}" if expected else line


WORDS = {"float": "a number", "int": "a whole number", "str": "text", "bool": "true or false"}


def _unknown(name: str, options: list[str], is_option: bool) -> str:
    if not is_option:
        return f"unexpected argument '{name}'"
    name = name.lstrip("-").split("=")[0].replace("-", "_")
    nearest = difflib.get_close_matches(name, options, n=1, cutoff=0.4)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    return f"there is no option '{name}'{hint}"


def option_names(parser: ArgumentParser) -> list[str]:
    """Every option of a command as the YAML writes it: ``['width', …, 'osc.port', …]``."""
    return [name[2:].replace("-", "_") for action in parser._actions for name in action.option_strings if len(name) > 2]


def check_config_files(arguments: list[str]) -> None:
    """Every ``--config FILE`` can be read, is UTF-8 and holds options.

    Raises:
        UsageError: It does not; names the file.
    """
    paths = [value for option, value in itertools.pairwise(arguments) if option == "--config"]
    paths += [argument.split("=", 1)[1] for argument in arguments if argument.startswith("--config=")]
    for path in paths:
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"config: cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"config: expected text in UTF-8, found other bytes in {path}") from error
        except yaml.YAMLError as error:
            raise UsageError(f"config: {path} is not YAML: {' '.join(str(error).split())}") from error
        groups = content if isinstance(content, dict) else {}
        wrong = [name for name in ("osc", "vmc") if not isinstance(groups.get(name, {}), dict)]
        if not groups or wrong:
            found = f"'{wrong[0]}' without any (e.g. {wrong[0]}: {{port: 9000}})" if wrong else "none"
            raise UsageError(f"config: expected options like 'max_people: 2' in {path}, found {found}")


def arranged(arguments: list[str]) -> list[str]:
    """The command line as the parser wants it.

    ``--max_people=2`` becomes ``--max-people=2``, as the YAML writes it; and files go to the front, in their order,
    because the parser lets what comes later win, and an option on the command line is meant to. A command's name stays
    before them.
    """
    dashed = [re.sub(r"^--[\w.\-]+", lambda m: m[0].replace("_", "-"), argument) for argument in arguments]
    configs: list[str] = []
    rest: list[str] = []
    words = iter(dashed)
    for word in words:
        if word == "--config":
            configs += [word, *itertools.islice(words, 1)]
        else:
            (configs if word.startswith("--config=") else rest).append(word)
    command = [word for word in rest[:1] if not word.startswith("-")]
    return command + configs + rest[len(command) :]
