# SPDX-License-Identifier: Apache-2.0
import pickle
import re

import pytest

from koma import errors


def test_every_condition_has_a_dotted_code_of_its_own() -> None:
    codes = [each.code for each in errors.ERRORS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", code) for code in codes)


def test_the_list_of_conditions_is_complete() -> None:
    found = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.KomaError)}
    assert found == set(errors.ERRORS)


@pytest.mark.parametrize("kind", errors.ERRORS)
def test_an_error_reads_as_what_is_wrong_and_what_to_do(kind: type[errors.KomaError]) -> None:
    assert str(kind("a.csv line 3: bad number", hint="Write digits")) == "a.csv line 3: bad number. Write digits"
    assert str(kind("bad")) == "bad"


def test_an_error_crosses_processes_whole() -> None:
    copy = pickle.loads(pickle.dumps(errors.HandoverError("bad", hint="mend it")))  # noqa: S301  our own bytes
    assert type(copy) is errors.HandoverError
    assert (copy.message, copy.hint) == ("bad", "mend it")
