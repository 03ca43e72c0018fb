# SPDX-License-Identifier: Apache-2.0
"""`koma estimate run` and `koma agree`: results as JSON lines, errors that say what to do, nothing half done."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.commands.agree import app as agree_app
from pipeline.commands.estimate import app as estimate_app
from pipeline.home import Home
from tests.estimate_homes import FIRST, estimate_home
from tests.homes import point

BY = ["--by", "duty desk", "--why", "failed meter"]
SPAN = ["--from", "2026-10-07T09:30", "--to", "2026-10-07T11:00"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return estimate_home(tmp_path_factory.mktemp("commands") / "home", [FIRST + 20, FIRST + 21])


@pytest.fixture(autouse=True)
def settings_of_the_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOMA_HOME", str(home.root))
    (home.path("estimates") / "agreed.jsonl").unlink(missing_ok=True)


def call(app: Any, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == status, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_day_is_estimated_and_made_again_says_so() -> None:
    (first,) = call(estimate_app, "run", "--day", "20261007", "--json")
    (again,) = call(estimate_app, "run", "--day", "20261007")
    assert (first["day"], first["rows"], first["linear"], first["missing"]) == ("2026-10-07", 3, 3, 0)
    assert Path(first["file"]).exists()
    assert (again["file"], again["fresh"]) == (first["file"], False)


def test_a_day_that_is_not_closed_is_an_error_with_what_to_do() -> None:
    (line,) = call(estimate_app, "run", "--day", "20261009", "--json", status=1)
    assert line["error"]["code"] == "estimate.invalid"
    assert "run it after" in line["error"]["hint"]


@pytest.mark.parametrize("day", ["2026-10-07", "20261307", "today"])
def test_what_is_no_day_is_a_usage_error(day: str) -> None:
    call(estimate_app, "run", "--day", day, status=2)


def test_a_value_is_entered_listed_estimated_with_and_withdrawn() -> None:
    (entered,) = call(agree_app, "set", point(0), *SPAN, "--kwh", "1.2", *BY, "--json")
    assert (entered["number"], entered["energy_dwh"], entered["by"]) == (1, 12_000, "duty desk")
    assert call(agree_app, "list", "--json") == [entered]
    (run,) = call(estimate_app, "run", "--day", "20261007", "--json")
    assert (run["agreed"], run["linear"]) == (3, 0)
    (gone,) = call(agree_app, "withdraw", "1", *BY)
    assert gone["withdrawn"]["why"] == "failed meter"
    assert call(agree_app, "list", "--json") == []
    assert call(agree_app, "list", "--all", "--json") == [gone]
    assert call(estimate_app, "run", "--day", "20261007", "--json")[0]["linear"] == 3


def test_values_are_shown_to_people_on_standard_error() -> None:
    assert "no agreed value" in CliRunner().invoke(agree_app, ["list"]).stderr
    call(agree_app, "set", point(0), *SPAN, "--kwh", "1.2", *BY)
    result = CliRunner().invoke(agree_app, ["list"])
    assert (result.stdout, "failed meter" in result.stderr) == ("", True)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"--from": "2026-10-07T09:31"}, "estimate.invalid"),
        ({"--to": "2026-10-07T09:30"}, "estimate.invalid"),
        ({"--to": "tomorrow"}, "time.invalid"),
        ({"--kwh": "much"}, "energy.invalid"),
        ({"--kwh": "-1"}, "estimate.invalid"),
        ({"--by": " "}, "estimate.invalid"),
    ],
)
def test_what_is_no_agreed_value_is_refused_with_what_to_do(change: dict[str, str], code: str) -> None:
    given = dict(zip(SPAN[::2], SPAN[1::2], strict=True)) | {"--kwh": "1"} | dict(zip(BY[::2], BY[1::2], strict=True))
    arguments = [f"{name}={value}" for name, value in (given | change).items()]
    (line,) = call(agree_app, "set", point(0), *arguments, "--json", status=1)
    assert line["error"]["code"] == code
    assert line["error"]["hint"]


def test_an_unknown_number_cannot_be_withdrawn() -> None:
    (line,) = call(agree_app, "withdraw", "7", *BY, "--json", status=1)
    assert "no agreed value 7" in line["error"]["message"]


def test_both_commands_are_announced() -> None:
    text = (Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8")
    announced = tomllib.loads(text)["project"]["entry-points"]["koma.commands"]
    assert (announced["estimate"], announced["agree"]) == (
        "pipeline.commands.estimate:app",
        "pipeline.commands.agree:app",
    )
