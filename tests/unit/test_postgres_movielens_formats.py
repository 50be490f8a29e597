"""Every format of MovieLens: good lines become records, bad ones a reason."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflix_postgres.faults import Fault
from dataflix_postgres.movielens.formats import LONGEST_LINE, RELEASES, recognise
from dataflix_postgres.movielens.records import BadLineError, Movie, Rating, Reason, User

CSV, ML_1M, ML_10M, ML_100K = RELEASES

ITEM = b"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"


@pytest.mark.parametrize(
    ("names", "release"),
    [
        (["movies.csv", "ratings.csv", "links.csv", "tags.csv", "README.txt"], "csv"),
        (["movies.dat", "ratings.dat", "users.dat", "README"], "1m"),
        (["movies.dat", "ratings.dat", "tags.dat"], "10m"),
        (["u.data", "u.item", "u.user", "u.genre", "ua.base"], "100k"),
    ],
)
def test_a_release_is_recognised_by_its_files(names: list[str], release: str) -> None:
    assert recognise(names).name == release


@pytest.mark.parametrize("names", [[], ["movies.csv"], ["u.data", "u.item"], ["ratings.csv", "movies.dat"]])
def test_other_folders_are_refused(names: list[str]) -> None:
    with pytest.raises(Fault, match=r"no MovieLens release.*movies.csv, ratings.csv"):
        recognise(names)


@pytest.mark.parametrize(
    ("parsed", "expected"),
    [
        (CSV.movies.parse(b"1,Toy Story (1995),Adventure|Children\r\n"),
         Movie(1, "Toy Story", 1995, ("Adventure", "Children"))),
        (CSV.movies.parse(b'11,"American President, The (1995)",Comedy\n'),
         Movie(11, "The American President", 1995, ("Comedy",))),
        (CSV.movies.parse(b'7789,"11\'09""01 - September 11 (2002)",Drama'),
         Movie(7789, "11'09\"01 - September 11", 2002, ("Drama",))),
        (CSV.movies.parse(b"5,Paterson,(no genres listed)\n"), Movie(5, "Paterson", None, ())),
        (CSV.movies.parse("6,Amélie (2001),Comedy|Comedy|".encode()), Movie(6, "Amélie", 2001, ("Comedy",))),
        (ML_1M.movies.parse("73::Mis\xe9rables, Les (1995)::Children's|Musical\n".encode("latin-1")),
         Movie(73, "Les Misérables", 1995, ("Children", "Musical"))),
        (ML_10M.movies.parse("73::Misérables, Les (1995)::Drama\n".encode()),
         Movie(73, "Les Misérables", 1995, ("Drama",))),
        (ML_100K.movies.parse(ITEM), Movie(1, "Toy Story", 1995, ("Animation", "Children", "Comedy"))),
        (ML_100K.movies.parse(b"267|unknown||||1" + b"|0" * 18), Movie(267, "unknown", None, ())),
        (ML_100K.movies.parse(b"9|Heat|02-Feb-1996|||0|1" + b"|0" * 17), Movie(9, "Heat", 1996, ("Action",))),
    ],
)  # fmt: skip
def test_films(parsed: Movie, expected: Movie) -> None:
    assert parsed == expected


@pytest.mark.parametrize(
    ("parsed", "expected"),
    [
        (CSV.ratings.parse(b"1,31,2.5,1260759144\r\n"), Rating(1, 31, "2.5", 1260759144)),
        (CSV.ratings.parse(b"1,3168,4.0,964982495 \r\n"), Rating(1, 3168, "4.0", 964982495)),
        (CSV.ratings.parse(b'"1","31","5","0"'), Rating(1, 31, "5.0", 0)),
        (ML_1M.ratings.parse(b"1::1193::5::978300760\n"), Rating(1, 1193, "5.0", 978300760)),
        (ML_10M.ratings.parse(b"1::122::0.5::838985046\n"), Rating(1, 122, "0.5", 838985046)),
        (ML_100K.ratings.parse(b"196\t242\t3\t881250949\n"), Rating(196, 242, "3.0", 881250949)),
    ],
)
def test_ratings(parsed: Rating, expected: Rating) -> None:
    assert parsed == expected


def test_users_have_a_year_of_birth_near_the_truth() -> None:
    assert ML_1M.users is not None
    assert ML_1M.users.parse(b"1::F::25::10::48067\n") == User(1, 1970)
    assert ML_100K.users is not None
    assert ML_100K.users.parse(b"1|24|M|technician|85711\n") == User(1, 1974)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,31,2.5\n", Reason.FIELDS),
        (b"1,31,2.5,1260759144,x\n", Reason.FIELDS),
        (b"\n", Reason.FIELDS),
        (b"one,31,2.5,1260759144\n", Reason.NUMBER),
        (b"1,31,good,1260759144\n", Reason.NUMBER),
        (b"1,31,2.5,-1\n", Reason.NUMBER),
        (b"1,31,2.5,1e9\n", Reason.NUMBER),
        ("1,31,2.5,\u0661\n".encode(), Reason.NUMBER),
        (b"1,31,2.5," + b"9" * 3000, Reason.NUMBER),
        (b"1,31,0.3,1260759144\n", Reason.RATING),
        (b"1,31,0,1260759144\n", Reason.RATING),
        (b"1,31,5.5,1260759144\n", Reason.RATING),
        (b"1,31,nan,1260759144\n", Reason.RATING),
        (b"1,31,2.5,10413792000\n", Reason.TIME),
        (b"-9223372036854775809,31,2.5,1\n", Reason.ID),
        (b"1,9223372036854775808,2.5,1\n", Reason.ID),
        (b'1,"31,2.5,1260759144\n', Reason.QUOTES),
        (b"\xff\xfe,1,2.5,1\n", Reason.ENCODING),
        (b"1" * LONGEST_LINE, Reason.LENGTH),
    ],
)
def test_bad_ratings_have_a_reason(line: bytes, reason: Reason) -> None:
    with pytest.raises(BadLineError) as caught:
        CSV.ratings.parse(line)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,Toy Story (1995)\n", Reason.FIELDS),
        (b"1,Heat, the film,Action\n", Reason.FIELDS),
        (b"1,,Action\n", Reason.TITLE),
        (b"1,He\0at (1995),Action\n", Reason.TITLE),
        (b"x,Heat (1995),Action\n", Reason.NUMBER),
        (b'1,"Heat (1995),Action\n', Reason.QUOTES),
    ],
)
def test_bad_films_have_a_reason(line: bytes, reason: Reason) -> None:
    with pytest.raises(BadLineError) as caught:
        CSV.movies.parse(line)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1|24|M|technician\n", Reason.FIELDS),
        (b"1|old|M|technician|85711\n", Reason.NUMBER),
        (b"1|99|M|technician|85711\n", Reason.AGE),
        (b"1|124|M|technician|85711\n", Reason.AGE),
    ],
)
def test_bad_users_have_a_reason(line: bytes, reason: Reason) -> None:
    assert ML_100K.users is not None
    with pytest.raises(BadLineError) as caught:
        ML_100K.users.parse(line)
    assert caught.value.reason is reason


def test_flags_of_100k_are_counted_and_checked() -> None:
    with pytest.raises(BadLineError, match=Reason.FIELDS.value):
        ML_100K.movies.parse(ITEM.replace(b"|0\n", b"\n"))
    with pytest.raises(BadLineError, match=Reason.NUMBER.value):
        ML_100K.movies.parse(ITEM.replace(b"|0\n", b"|2\n"))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_a_reason(line: bytes) -> None:
    for release in RELEASES:
        for file in (release.movies, release.ratings, release.users):
            if file is not None:
                with suppress(BadLineError):
                    assert file.parse(line)
