# SPDX-License-Identifier: Apache-2.0
import re
from pathlib import Path

import pytest

from koma.errors import SettingError
from koma.settings import OTHER_VARIABLES, Settings, load_settings, setting_fields, unknown_variables, variable
from koma.slots import parse_jst, slot_start_ms


def test_without_anything_the_defaults_hold_and_the_home_lies_in_the_working_directory(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path) == Settings(home=tmp_path / "var" / "koma")


def test_the_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "koma.toml").write_text('watch_delay_s = 30\nworkers = 4\nclock = "received"\n')
    settings = load_settings({"KOMA_WORKERS": "3"}, tmp_path)
    assert (settings.watch_delay_s, settings.workers, settings.clock) == (30, 3, "received")


def test_home_comes_from_the_command_then_the_environment_then_the_file(tmp_path: Path) -> None:
    (tmp_path / "koma.toml").write_text('home = "c"\n')
    assert load_settings({}, tmp_path).home == tmp_path / "c"
    assert load_settings({"KOMA_HOME": "b"}, tmp_path).home == tmp_path / "b"
    assert load_settings({"KOMA_HOME": "b"}, tmp_path, home=Path("/a")).home == Path("/a")


def test_the_process_itself_is_asked_where_nothing_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOMA_HOME", "/elsewhere")
    assert load_settings().home == Path("/elsewhere")


def test_the_first_slot_is_named_by_its_start(tmp_path: Path) -> None:
    slot = load_settings({"KOMA_FIRST_SLOT": "2026-10-07T00:00"}, tmp_path).first_slot
    assert slot is not None
    assert slot_start_ms(slot) == parse_jst("2026-10-07T00:00")
    assert load_settings({"KOMA_FIRST_SLOT": ""}, tmp_path).first_slot is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KOMA_WORKERS", "0"),
        ("KOMA_WORKERS", "many"),
        ("KOMA_WORKERS", "2.5"),
        ("KOMA_WORKERS", "--2"),
        ("KOMA_WORKERS", ""),
        ("KOMA_CLOCK", "sundial"),
        ("KOMA_STAMP_TOLERANCE_S", "900"),
        ("KOMA_ROWS_PER_FILE", "100001"),
        ("KOMA_FIRST_SLOT", "2026-10-07T00:10"),
        ("KOMA_FIRST_SLOT", "soon"),
        ("KOMA_GATEWAY_URL", "localhost:8443"),
        ("KOMA_DPOP_NONCE", "yes"),
        ("KOMA_HOME", ""),
    ],
)
def test_a_value_out_of_range_is_refused_by_the_variable_s_name(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(SettingError, match=name):
        load_settings({name: text}, tmp_path)


def test_a_misspelt_name_in_the_file_is_refused_with_the_near_one(tmp_path: Path) -> None:
    (tmp_path / "koma.toml").write_text("watch_delays = 3\n")
    with pytest.raises(SettingError, match=r"watch_delays.*Did you mean watch_delay_s\?"):
        load_settings({}, tmp_path)


@pytest.mark.parametrize("content", [b"workers =", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "koma.toml").write_bytes(content)
    with pytest.raises(SettingError, match=r"koma\.toml"):
        load_settings({}, tmp_path)


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "koma.toml").mkdir()
    with pytest.raises(SettingError, match=r"koma\.toml cannot be read: Is a directory\. Look at its rights"):
        load_settings({}, tmp_path)


def test_every_setting_says_what_it_is_for() -> None:
    for each in setting_fields():
        assert len(each.metadata["help"]) > 20, each.name
        assert variable(each.name) == "KOMA_" + each.name.upper()


def test_every_default_passes_its_own_check(tmp_path: Path) -> None:
    """Written out as a text and read back, each default is itself."""
    for each in setting_fields():
        text = str(each.default or "")
        assert each.metadata["parse"](text) == each.default, each.name
    load_settings({}, tmp_path)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("KOMA_HOEM", "KOMA_HOME"), ("KOMA_WORKER", "KOMA_WORKERS"), ("KOMA_workers", "KOMA_WORKERS")],
)
def test_a_misspelt_variable_is_refused_with_the_near_one(tmp_path: Path, name: str, meant: str) -> None:
    with pytest.raises(SettingError, match=rf"no setting {name}\. Did you mean {meant}\?"):
        load_settings({name: "3"}, tmp_path)


def test_variables_that_others_own_or_set_are_let_pass(tmp_path: Path) -> None:
    """Those of tests and of the gateway's processes, and what a container platform sets for a service of our name."""
    links = ("KOMA_SERVICE_HOST", "KOMA_PORT", "KOMA_PORT_8443_TCP_ADDR", "KOMA_FILES_SERVICE_PORT_HTTPS")
    environ = {**dict.fromkeys(OTHER_VARIABLES, "1"), **dict.fromkeys(links, "1"), "HOME": "/", "KOMATSU": "1"}
    assert unknown_variables(environ) == {}
    assert load_settings(environ, tmp_path) == load_settings({}, tmp_path)


def test_a_strange_variable_is_like_no_setting_and_not_refused(tmp_path: Path) -> None:
    assert unknown_variables({"KOMA_COFFEE": "strong"}) == {"KOMA_COFFEE": ""}
    load_settings({"KOMA_COFFEE": "strong"}, tmp_path)


def test_every_variable_that_the_project_names_is_a_setting_or_known() -> None:
    root = Path(__file__).parent.parent.parent.parent
    texts = [
        root / "dev",
        *(each for package in ("pipeline", "gateway", "benchmarks") for each in root.joinpath(package).rglob("*.py")),
    ]
    named = {name for file in texts for name in re.findall(r"\bKOMA_[A-Z_]*[A-Z]\b", file.read_text("utf-8"))}
    assert "KOMA_DEEP" in named
    assert unknown_variables(dict.fromkeys(named, "1")) == {}


def test_a_name_in_the_file_that_is_like_no_setting_is_answered_with_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "koma.toml").write_text("coffee = 3\n")
    with pytest.raises(SettingError, match=r"'coffee'\. There are home, clock"):
        load_settings({}, tmp_path)
