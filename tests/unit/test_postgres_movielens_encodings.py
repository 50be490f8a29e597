"""Telling a file's encoding from its bytes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflix_contract.faults import Fault
from dataflix_postgres.movielens.encodings import Encoding, EncodingFinder, named, undecodable, unmangled

FILMS = "1,Misérables, Les (1995)\n2,Plain (1999)\n3,Amélie (2001)\n4,Åsa-Nisse \u2013 Wälkom (2011)\n"


def _tell(content: bytes, *, holds_text: bool = True, at_once: int = 7) -> Encoding:
    finder = EncodingFinder(holds_text=holds_text)
    for at in range(0, len(content), at_once):
        finder.feed(content[at : at + at_once])
    return finder.encoding("movies.csv")


def _mangle(text: str, codec: str) -> str:
    return text.encode().decode(codec)


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        *(("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("cp1252", "Windows-1252")),
        *(("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("utf-16-be", "UTF-16"), ("utf-32", "UTF-32")),
    ],
)
def test_an_encoding_is_told_and_gives_the_text_back(codec: str, name: str) -> None:
    content = FILMS.encode(codec)
    found = _tell(content)
    assert (found.name, found.layers) == (name, 0)
    assert content.decode(found.codec).removeprefix("\ufeff") == FILMS


def test_latin_1_is_told_from_windows_1252() -> None:
    assert _tell("1,Misérables\n".encode("latin-1")).name == "Latin-1"


@pytest.mark.parametrize("codec", ["latin-1", "iso8859-15", "cp1252"])
def test_text_that_was_encoded_twice_is_turned_back(codec: str) -> None:
    text = "1,Misérables, Les (1995)\n2,Plain (1999)\n3,Amélie (2001)\n"
    for times in (1, 2, 3):
        mangled = text
        for _ in range(times):
            mangled = _mangle(mangled, "latin-1" if codec == "cp1252" else codec)
        found = _tell(mangled.encode())
        assert found.layers == times
        assert [found.repair(line) for line in mangled.splitlines()] == text.splitlines()


def test_text_that_windows_mangled_is_turned_back() -> None:
    mangled = _mangle("Amélie \u2013 l\u2019été à Paris, €", "cp1252")
    assert unmangled(mangled) == "Amélie \u2013 l\u2019été à Paris, €"
    assert unmangled(_mangle("Amélie \u2013 Été", "latin-1")) == "Amélie \u2013 Été"


def test_one_bad_line_is_no_reason_to_read_a_file_otherwise() -> None:
    found = _tell(FILMS.encode() + b"5,Am\xe9lie\n")
    assert found.name == "UTF-8"
    assert undecodable(b"5,Am\xe9lie".decode(found.codec, found.errors))


#: Titles of films as people have them in files that are not Western.
OTHER_LANGUAGES = {
    "cp1250": ["Příběhy obyčejného šílenství", "Obecná škola", "Knoflíkáři", "Samotáři", "Pelíšky", "Žert"],
    "iso8859-2": ["Człowiek z żelaza", "Nóż w wodzie", "Popiół i diament", "Dzień świra", "Katyń", "Miś"],
    "cp1254": ["Y\u0131ld\u0131z Savaşlar\u0131", "Babam ve Oğlum", "K\u0131ş Uykusu", "Eşk\u0131ya"],
    "cp1251": ["Сталкер (1979)", "Андрей Рублёв (1966)", "Брат 2"],
    "koi8-r": ["Сталкер (1979)", "Андрей Рублёв (1966)", "Брат 2"],
    "cp1253": ["βλέμμα Οδυσσέα", "θίασος"],
    "gb18030": ["卧虎藏龙", "花样年华"],
}


@pytest.mark.parametrize("codec", OTHER_LANGUAGES)
def test_titles_of_other_languages_are_not_read_as_latin_1_but_asked_about(codec: str) -> None:
    content = "\n".join(["1,Heat", *OTHER_LANGUAGES[codec]]).encode(codec)
    with pytest.raises(Fault, match=r"encoding of movies.csv is not clear.*--encoding"):
        _tell(content)
    assert content.decode(named(codec).codec).splitlines()[1:] == OTHER_LANGUAGES[codec]


@pytest.mark.parametrize(
    "text",
    [
        "1,Fabuleux destin d'Amélie Poulain, Le\n2,Père Noël est une ordure, Le\n3,Où est la maison",
        "1,Corações\n2,Não\n3,A Mãe\n4,Situação",
        "1,¿Qué he hecho yo?\n2,Año mariano\n3,España",
        "1,Börn náttúrunnar\n2,Nói albínói\n3,Í skugga\n4,Mýrin\n5,Bíódagar",
        "1,Børn\n2,Ørnens øye\n3,Blå måndag\n4,Täällä Pohjantähden alla\n5,Große Füße",
        "1,La città delle donne\n2,Così ridevano\n3,Lunedì\n4,È già ieri\n5,Più",
    ],
)
def test_western_languages_need_no_name(text: str) -> None:
    assert _tell(text.encode("cp1252")).codec == "cp1252"


def test_the_titles_of_movielens_are_western(movielens: Path) -> None:
    content = (movielens / "movies.csv").read_text("utf-8").encode("cp1252", "ignore")
    assert _tell(content, at_once=1 << 20).codec == "cp1252"


@pytest.mark.parametrize("utf_8_lines", [1, 9])
def test_a_line_in_another_encoding_than_its_file_is_rejected_and_not_mangled(utf_8_lines: int) -> None:
    eight_bits, utf_8 = "1,Zoë".encode("cp1252"), "2,Amélie".encode()
    content = b"\n".join([eight_bits] * 5 + [utf_8] * utf_8_lines)
    found = _tell(content)
    fits = [found.fits(line) for line in content.decode(found.codec, found.errors).split("\n")]
    assert fits == [found.codec == "cp1252"] * 5 + [found.codec == "utf-8"] * utf_8_lines


def test_a_line_of_utf_8_does_not_fit_an_encoding_of_eight_bits_that_was_named_either() -> None:
    cyrillic = named("cp1251")
    assert cyrillic.fits("Сталкер".encode("cp1251").decode("cp1251"))
    assert not cyrillic.fits("Сталкер".encode().decode("cp1251", cyrillic.errors))
    chinese = named("gb18030")  # its bytes of this title are valid UTF-8 too
    assert chinese.fits("联通")


@pytest.mark.parametrize("name", ["utf-9", "hex", "rot13", "", "a\0b"])
def test_an_encoding_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(Fault, match="there is no encoding"):
        named(name)


def test_bytes_in_a_file_of_numbers_are_faults_of_their_lines() -> None:
    assert _tell(b"1,1,4.0,1000\n\xff,1,2.0,1\n", holds_text=False).name == "UTF-8"


@pytest.mark.parametrize("codec", ["mac_roman", "cp850", "cp437"])
def test_encodings_that_would_be_mistaken_are_refused_with_what_to_do(codec: str) -> None:
    text = "1,Misérables, Les\n2,Amélie\n3,Über uns das All und mehrère\n"
    with pytest.raises(Fault, match=r"encoding of movies.csv.*iconv"):
        _tell(text.encode(codec))


@given(st.text(alphabet=st.characters(max_codepoint=0xFF, exclude_categories=["Cc"]), min_size=1))
def test_what_is_mangled_is_turned_back_and_what_is_not_stays(text: str) -> None:
    if not text.isascii():
        assert unmangled(_mangle(text, "latin-1")) == text
    assert unmangled("é") is None


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_have_an_encoding_or_are_refused(content: bytes, at_once: int) -> None:
    try:
        found = _tell(content, at_once=at_once)
    except Fault:
        return
    assert "".encode(found.codec) is not None
