"""Who is one user in PostgreSQL has one token, and who is two has two."""

import random
import unicodedata

import psycopg
import pytest
from psycopg import errors

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.identity import BLANK, fold, normal_email
from dataflix_postgres.bootstrap import ensure_roles_and_database
from dataflix_postgres.database import connect_admin, connect_owner
from dataflix_postgres.migrations import migrate, shipped_migrations

_PEOPLE = [
    ["ada@example.org", "\xa0ADA@example.org", "\ufeffada@example.org "],
    ["straße@example.org"],
    ["strasse@example.org"],
    ["ﬁona@example.org"],
    ["fiona@example.org"],
    ["zoë@example.org", "zoe\u0308@example.org", "ZOË@example.org"],
    ["ada@münchen.de", "ada@xn--mnchen-3ya.de", "Ada@XN--MNCHEN-3YA.de"],
    ["ada@munchen.de"],
]
_INSERT = "INSERT INTO users (email) VALUES (%s)"


def test_one_person_is_one_user_and_two_people_are_two(empty: psycopg.Connection) -> None:
    for first, *others in _PEOPLE:
        empty.execute(_INSERT, [first])
        for other in others:
            with pytest.raises(errors.UniqueViolation):
                empty.execute(_INSERT, [other])


def test_any_number_of_users_may_have_no_address(empty: psycopg.Connection) -> None:
    for blank in (None, None, "", "", " ", "\u00a0"):
        empty.execute(_INSERT, [blank])


def _is_plain(character: str) -> bool:
    """Whether it stays as it is by itself, and next to any other character."""
    return (
        unicodedata.is_normalized("NFKD", character)
        and fold(character) == character
        and not unicodedata.combining(character)
        and character not in BLANK
        and not 0x1100 <= ord(character) < 0x1200  # letters that compose to Korean syllables
    )


def test_the_source_and_the_tokens_read_every_code_point_alike(empty: psycopg.Connection) -> None:
    """Each code point that can change, in every part of an address; and that no other one does."""
    known = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
    syllables = [each for each in known if "가" < each <= "힣" and (ord(each) - 0xAC00) % 97]  # all alike
    changing = [each for each in known if not _is_plain(each)]
    addresses = [f"{each}a{each}@e{each}.{each}" for each in sorted({*changing} - {*syllables})]
    rows = empty.execute("SELECT email_identity(one) FROM unnest(%s::text[]) AS one", [addresses])
    assert [row[0] for row in rows] == [normal_email(address) for address in addresses]

    for texts in ("".join(syllables), "".join(each for each in known if _is_plain(each))):
        for form in ("NFD", "NFKD", "NFC", "NFKC"):
            row = empty.execute(f"SELECT normalize(%s, {form})", [texts]).fetchone()
            assert row == (unicodedata.normalize(form, texts),)


def _label(dice: random.Random) -> str:
    letters = "abz019-" if dice.random() < 0.5 else "aüÜß\u03c3ς中가例\u0308\u200b\U0001f600"
    text = "".join(dice.choices(letters, k=dice.randint(0, 12)))
    return dice.choice(["xn--", "XN--", ""]) + (text if text.isascii() else text.encode("punycode").decode())


def test_the_source_and_the_tokens_read_domains_alike(empty: psycopg.Connection) -> None:
    """Labels that are Punycode, and labels that only look like it."""
    dice = random.Random(20)
    addresses = ["@", "a@", "a@b@XN--mnchen-3ya.de", f"a@xn--{'a' * 60}", f"a@xn--{'z' * 59}"]
    addresses += [f"a@{'.'.join(_label(dice) for _ in range(dice.randint(1, 3)))}" for _ in range(4000)]
    rows = empty.execute("SELECT email_identity(one) FROM unnest(%s::text[]) AS one", [addresses])
    assert [row[0] for row in rows] == [normal_email(address) for address in addresses]
    assert sum(not normal_email(address).isascii() for address in addresses) > 500


def test_an_upgrade_names_the_users_that_are_one_person(unmigrated: Settings) -> None:
    with connect_admin(unmigrated) as admin:
        ensure_roles_and_database(admin, unmigrated)
    with connect_owner(unmigrated) as owner:
        owner.autocommit = True
        shipped = shipped_migrations()
        before = next(place for place, each in enumerate(shipped) if each.name.endswith("email_identity.sql"))
        migrate(owner, shipped[:before])
        owner.execute(
            "INSERT INTO users (user_id, email) VALUES"
            " (3, 'zoë@example.org'), (7, E'zoe\\u0308@example.org'), (8, 'ada@example.org')"
        )
        with pytest.raises(Fault, match=r"spellings: user_id 3, 7\. Give") as refused:
            migrate(owner, shipped)
        assert "example.org" not in str(refused.value)
        owner.execute("DELETE FROM users WHERE user_id = 7")
        migrate(owner, shipped)
