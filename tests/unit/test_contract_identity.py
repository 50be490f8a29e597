"""When two addresses are one person's, and that PostgreSQL's function has the same tables as the masker."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflix_contract import Masking
from dataflix_contract.identity import BLANK, fold, normal_email, normal_name
from dataflix_postgres.migrations import shipped_migrations

MASKING = Masking("a key for the unit tests", "t1")

#: Each line is one person, written in several ways; two lines are two people.
PEOPLE = [
    ["ada@example.org", "Ada@Example.ORG ", "\xa0ada@example.org\u200b", "\ufeffADA@example.org"],
    ["a\u200bda@example.org"],
    ["zoë@example.org", "zoe\u0308@example.org", "ZOË@example.org", "ZOE\u0308@EXAMPLE.ORG"],
    ["zoe@example.org"],
    ["straße@example.org", "STRAẞE@example.org"],
    ["strasse@example.org", "STRASSE@example.org"],
    ["ﬁona@example.org"],
    ["fiona@example.org", "FIONA@example.org"],
    ["οδος@example.org", "ΟΔΟΣ@example.org", "οδοσ@example.org"],
    ["иван@пример.рф", "ИВАН@ПРИМЕР.РФ", "иван@xn--e1afmkfd.xn--p1ai"],
    ["ivan@xn--e1afmkfd.xn--p1ai", "IVAN@ПРИМЕР.XN--P1AI"],
    ["ada@münchen.de", "ada@MU\u0308NCHEN.de", "ada@xn--mnchen-3ya.de", "ADA@XN--MNCHEN-3YA.DE"],
    ["ada@munchen.de"],
    ["ada@straße.de", "ada@xn--strae-oqa.de"],
    ["ada@strasse.de"],
    ["ada@例え.jp", "ada@例え。jp", "ada@例え\uff0e\uff4a\uff50", "ada@xn--r8jz45g.jp"],
    ["ada@xn--.de", "ada@XN--.de"],
    ["ada@xn--99999999.de", "ada@xn--99999999.DE"],
    ["xn--mnchen-3ya@example.org"],
    ["münchen@example.org"],
    ["İnci@example.org", "I\u0307nci@example.org", "i\u0307nci@example.org"],
    ["\u0131nci@example.org"],
    ["inci@example.org"],
    ["no address", "NO ADDRESS "],
]  # fmt: skip


@pytest.mark.parametrize("spellings", PEOPLE, ids=lambda spellings: ascii(spellings[0]))
def test_one_person_has_one_token_however_the_address_is_written(spellings: list[str]) -> None:
    assert len({MASKING.email(spelling) for spelling in spellings}) == 1


def test_two_people_have_two_tokens() -> None:
    for one, another in combinations(PEOPLE, 2):
        assert MASKING.email(one[0]) != MASKING.email(another[0])


def test_a_name_is_trimmed_and_composed_and_keeps_its_case() -> None:
    assert normal_name("\xa0Zoe\u0308 \ufeff") == "Zoë"
    assert normal_name("Ada") != normal_name("ADA")


@given(st.text())
def test_case_blanks_and_composition_make_no_difference(text: str) -> None:
    address = f"{text}@example.org"
    for other in (f"\u2003{address}\t", unicodedata.normalize("NFD", address), "".join(map(fold, address))):
        assert normal_email(other) == normal_email(address)


def test_of_the_blanks_only_the_space_is_printable() -> None:
    assert [blank for blank in BLANK if blank.isprintable()] == [" "]


def _literals(function: str) -> list[str]:
    """The texts of the first call in a function of the migration, each out of all its lines."""
    (sql,) = [each.sql for each in shipped_migrations() if each.name.endswith("email_identity.sql")]
    body = sql.partition(f"FUNCTION {function}(")[2].partition("(")[2].partition(")\n")[0].partition(");")[0]
    texts = re.findall(r"E?((?:'[^']*'\s*)+)", body)
    return ["".join(re.findall(r"'([^']*)'", text)) for text in texts]


def _characters() -> Iterable[str]:
    return (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)


def test_postgresql_folds_every_character_as_the_masker_does() -> None:
    before, after = _literals("email_identity_folded")
    decomposed = (each for each in _characters() if unicodedata.is_normalized("NFD", each))
    assert dict(zip(before, after, strict=True)) == {
        each: fold(each) for each in decomposed if fold(each) != each
    }


def test_postgresql_trims_what_the_masker_trims() -> None:
    text = _literals("email_identity")[0]
    assert re.sub(r"\\u([0-9A-F]{4})", lambda match: chr(int(match[1], 16)), text) == BLANK
