"""Options, YAML files and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

import mocap.configs
from mocap.__main__ import main, make_parser
from mocap.cli.parser import UsageError, arranged, build, option_names
from mocap.config import FileConfig, LiveConfig, OscConfig

NOT_IN_YAML = {"help", "config", "print_config"}
LIVE_OPTIONS = [n for n in option_names(make_parser()[1]["live"]) if n not in NOT_IN_YAML and not n.startswith("no_")]
CONFIGS = Path(mocap.configs.__file__).parent


def live(*arguments: str) -> LiveConfig:
    return build(LiveConfig, make_parser()[0].parse_args(arranged(["live", *arguments])).live)


def test_no_option_gives_the_defaults() -> None:
    assert live() == LiveConfig()


def test_options_reach_their_fields() -> None:
    config = live("--mirror", "--max-people", "3", "--export", "npz", "bvh", "--osc.port", "9000", "--no-record")
    assert config.mirror
    assert config.max_people == 3
    assert config.export == ["npz", "bvh"]
    assert config.osc == OscConfig(None, 9000)
    assert not config.record


def test_underscores_are_dashes() -> None:
    assert live("--max_people=2") == live("--max-people", "2")


def test_yaml_files_add_up_and_the_command_line_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("max_people: 2\nsmoothing: 0.1\nvmc:\n  preset: vseeface\n")
    second.write_text("smoothing: 0.9\nmirror: true\n")
    config = live("--config", str(first), "--config", str(second), "--max-people", "4")
    assert (config.max_people, config.smoothing, config.mirror, config.vmc.preset) == (4, 0.9, True, "vseeface")
    assert live("--max-people", "4", "--config", str(first), f"--config={second}") == config


@pytest.mark.parametrize(("command", "config"), [("live", LiveConfig), ("file", FileConfig)])
def test_shipped_configs_are_the_defaults(command: str, config: type) -> None:
    video = ["clip.mp4"] if command == "file" else []
    parsed = make_parser()[0].parse_args([command, *video, "--config", str(CONFIGS / f"{command}.yaml")])
    assert build(config, parsed[command]) == config()


def test_shipped_live_config_names_every_option() -> None:
    text = (CONFIGS / "live.yaml").read_text(encoding="utf-8")
    for name in LIVE_OPTIONS:
        assert f"{name.split('.')[-1]}:" in text


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("max_peple: 3\n", "did you mean 'max_people'"),
        ("osc:\n  prt: 3\n", "did you mean 'osc.port'"),
        ("max_people: many\n", "max_people"),
        ("max_people: [1\n", "config"),
        ("vmc:\n  preset: unity\n", "one of default, vseeface"),
        ("vmc: 39540\n", "vmc: {port: 9000}"),
        ("smoothing: high\n", "expected a number, found 'high'"),
        ("", "found none"),
    ],
)
def test_wrong_config_is_bad_usage_and_says_what(
    yaml: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml)
    assert main(["live", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1


def test_unreadable_config_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["live", "--smoothing", "1.5"], ["live", "--smoothing", "nan"], ["live", "--max-people", "0"],
     ["live", "--fov", "wide"], ["live", "--osc.port", "70000"], ["live", "--max-peple", "2"], ["liv"], [],
     ["file"], ["file", "a.mp4", "--export", "gif"]],
)  # fmt: skip
def test_bad_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["file", "a.mp4", "b.mp4"], "unexpected argument 'b.mp4'"),
        (["file", "--export", "npz", __file__], "name the VIDEO before --export"),
        (["file", "a.mp4", "--export", "gif"], "one of npz, bvh"),
        (["live", "--fov", "wide"], "expected a number, found 'wide'"),
    ],
)
def test_messages_speak_the_users_language(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_suggestions_are_the_commands_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--secnds", "3"]) == 2
    assert "did you mean 'seconds'" in capsys.readouterr().err


def test_yaml_may_name_a_camera_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text("camera: 2\nname: 2024\n")
    config = live("--config", str(path))
    assert (config.camera, config.name) == ("2", "2024")


def test_config_that_is_not_utf_8_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: Bühne\n".encode("latin-1"))
    assert main(["live", "--config", str(path)]) == 2
    assert "UTF-8" in capsys.readouterr().err


def test_out_of_range_says_the_range() -> None:
    with pytest.raises(UsageError, match="expected a number from 0 to 1, found 1"):
        live("--smoothing", "1.5")


@pytest.mark.parametrize("command", ["live", "file", "cameras", "export", "bench", "doctor"])
def test_help_teaches_each_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make_parser()[0].parse_args([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    if command == "live":
        for name in LIVE_OPTIONS:
            assert f"--{name.replace('_', '-')}" in text
