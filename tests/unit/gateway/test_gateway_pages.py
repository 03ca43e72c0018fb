# SPDX-License-Identifier: Apache-2.0
import json
import re
from pathlib import Path

import pytest

from gateway.description import TARGET, description
from gateway.errors import NotFoundRefusal, OverloadRefusal, Refusal, StartError
from gateway.file_list import list_page, variants
from gateway.nginx_files import problem_pages
from gateway.places import address_of, sockets_of
from gateway.problems import PROBLEMS, answer, body

ROOT = Path(__file__).parent.parent.parent.parent
CODES = {
    "request.malformed": 400,
    "auth.token": 401,
    "auth.proof": 401,
    "auth.scope": 403,
    "auth.certificate": 403,
    "not_found": 404,
    "request.method": 405,
    "format.unsupported": 406,
    "feed.cursor_gone": 410,
    "request.too_large": 413,
    "request.media_type": 415,
    "request.range": 416,
    "request.invalid": 422,
    "limit.rate": 429,
    "zone.inner_unavailable": 503,
    "zone.overload": 503,
    "zone.replay_store": 503,
}


def test_every_code_of_the_contract_is_there_with_its_status_and_no_other() -> None:
    assert {code: problem.status for code, problem in PROBLEMS.items()} == CODES


def test_every_refusal_names_a_problem_that_is_there() -> None:
    assert {each.problem for each in Refusal.__subclasses__()} <= PROBLEMS.keys()


def test_an_answer_tells_the_problem_and_keeps_the_reason() -> None:
    response = answer(NotFoundRefusal("because of this"), "0" * 32)
    told = json.loads(bytes(response.body))
    assert response.headers["content-type"] == "application/problem+json"
    assert list(told) == ["type", "title", "status", "code", "detail", "detail_ja", "trace_id", "errors"]
    assert b"because" not in bytes(response.body)
    late = answer(OverloadRefusal("x"), "0" * 32)
    assert late.headers["retry-after"] == str(json.loads(bytes(late.body))["retry_after"])


def test_the_edge_s_pages_are_the_application_s_but_for_the_trace_id() -> None:
    pages = problem_pages()
    for code in ("not_found", "request.method", "request.too_large", "zone.inner_unavailable", "auth.certificate"):
        assert f"return {CODES[code]} '{body(PROBLEMS[code], '$request_id')}';" in pages
    assert pages.count("Retry-After") == 2


def test_the_configurations_hold_none_of_what_was_found_dangerous() -> None:
    """No rewrite, no captures, no variables set, no body put together, no caching of answers."""
    for file in (ROOT / "gateway" / "nginx").glob("*.conf"):
        text = re.sub(r"#.*", "", file.read_text())
        for word in ("rewrite ", "set $", "proxy_set_body", "charset_map", "$uri", "proxy_cache", "auth_request", "$1"):
            assert word not in text, (file.name, word)


def test_the_committed_description_is_what_the_code_says() -> None:
    assert TARGET.read_text(encoding="utf-8") == description(), "python -m gateway.description"


def test_a_file_list_counts_from_one() -> None:
    assert b"<!--  -->" in list_page([], "utf-8")
    assert [each.name for each in variants()] == ["default"]


@pytest.mark.parametrize("url", ["http://localhost:1", "https://localhost:1/x", "https://"])
def test_addresses_that_cannot_be_listened_on(url: str) -> None:
    with pytest.raises(StartError):
        address_of(url)


def test_parts_say_who_has_to_start_them() -> None:
    with pytest.raises(StartError, match="koma gateway up"):
        sockets_of({})


@pytest.mark.parametrize("rule", ["RET-001", "RET-004", "RET-005"])
def test_each_rule_of_the_right_to_read_is_quoted_in_code_and_tests(rule: str) -> None:
    for folder in ("gateway", "tests/integration"):
        assert any(rule in file.read_text() for file in (ROOT / folder).rglob("*.py")), folder
