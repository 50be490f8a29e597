"""Every format of MovieLens: good lines become records, bad ones a reason."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflix_contract.faults import Fault
from dataflix_postgres.movielens import layouts
from dataflix_postgres.movielens.dataset_files import LONGEST_LINE
from dataflix_postgres.movielens.encodings import UTF_8
from dataflix_postgres.movielens.formats import FileFormat, Layout, recognise_format
from dataflix_postgres.movielens.records import BadLineError, Movie, Rating, Reason, User


def _format(layout: Layout[Any], *first_lines: str) -> FileFormat[Any]:
    return recognise_format("file", first_lines, [layout], UTF_8)


ITEM = "1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0"


CSV_MOVIES = _format(layouts.MOVIES, "movieId,title,genres")
CSV_RATINGS = _format(layouts.RATINGS, "userId,movieId,rating,timestamp")
COLON_MOVIES = _format(layouts.MOVIES, "1::Toy Story (1995)::Comedy")
COLON_RATINGS = _format(layouts.RATINGS, "1::1193::5::978300760")
COLON_USERS = _format(layouts.USERS_1M, "1::F::1::10::48067")
PIPE_MOVIES = _format(layouts.MOVIES_100K, ITEM)
TAB_RATINGS = _format(layouts.RATINGS, "196\t242\t3\t881250949")
PIPE_USERS = _format(layouts.USERS_100K, "1|24|M|technician|85711")


@pytest.mark.parametrize(
    ("parsed", "expected"),
    [
        (CSV_MOVIES.parse("1,Toy Story (1995),Adventure|Children"),
         Movie(1, "Toy Story", 1995, ("Adventure", "Children"))),
        (CSV_MOVIES.parse('11,"American President, The (1995)",Comedy'),
         Movie(11, "The American President", 1995, ("Comedy",))),
        (CSV_MOVIES.parse('7789,"11\'09""01 - September 11 (2002)",Drama'),
         Movie(7789, "11'09\"01 - September 11", 2002, ("Drama",))),
        (CSV_MOVIES.parse("5,Paterson,(no genres listed)"), Movie(5, "Paterson", None, ())),
        (CSV_MOVIES.parse("6,Amélie (2001),Comedy|Comedy|"), Movie(6, "Amélie", 2001, ("Comedy",))),
        (COLON_MOVIES.parse("73::Misérables, Les (1995)::Children's|Musical"),
         Movie(73, "Les Misérables", 1995, ("Children", "Musical"))),
        (COLON_MOVIES.parse("73::Misérables, Les (1995)::Drama"),
         Movie(73, "Les Misérables", 1995, ("Drama",))),
        (PIPE_MOVIES.parse(ITEM), Movie(1, "Toy Story", 1995, ("Animation", "Children", "Comedy"))),
        (PIPE_MOVIES.parse("267|unknown||||1" + "|0" * 18), Movie(267, "unknown", None, ())),
        (PIPE_MOVIES.parse("9|Heat|02-Feb-1996|||0|1" + "|0" * 17), Movie(9, "Heat", 1996, ("Action",))),
    ],
)  # fmt: skip
def test_films(parsed: Movie, expected: Movie) -> None:
    assert parsed == expected


@pytest.mark.parametrize(
    ("parsed", "expected"),
    [
        (CSV_RATINGS.parse("1,31,2.5,1260759144"), Rating(1, 31, "2.5", 1260759144)),
        (CSV_RATINGS.parse("1,3168,4.0,964982495 "), Rating(1, 3168, "4.0", 964982495)),
        (CSV_RATINGS.parse('"1","31","5","0"'), Rating(1, 31, "5.0", 0)),
        (COLON_RATINGS.parse("1::1193::5::978300760"), Rating(1, 1193, "5.0", 978300760)),
        (COLON_RATINGS.parse("1::122::0.5::838985046"), Rating(1, 122, "0.5", 838985046)),
        (TAB_RATINGS.parse("196\t242\t3\t881250949"), Rating(196, 242, "3.0", 881250949)),
    ],
)
def test_ratings(parsed: Rating, expected: Rating) -> None:
    assert parsed == expected


def test_users_have_a_year_of_birth_near_the_truth() -> None:
    assert COLON_USERS.parse("1::F::25::10::48067") == User(1, 1970)
    assert PIPE_USERS.parse("1|24|M|technician|85711") == User(1, 1974)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,31,2.5", Reason.FIELDS),
        ("1,31,2.5,1260759144,x", Reason.FIELDS),
        ("", Reason.FIELDS),
        ("one,31,2.5,1260759144", Reason.NUMBER),
        ("1,31,good,1260759144", Reason.NUMBER),
        ("1,31,2.5,-1", Reason.NUMBER),
        ("1,31,2.5,1e9", Reason.NUMBER),
        ("1,31,2.5,\u0661", Reason.NUMBER),
        ("1,31,2.5," + "9" * 3000, Reason.NUMBER),
        ("1,31,0.3,1260759144", Reason.RATING),
        ("1,31,0,1260759144", Reason.SCALE),
        ("1,31,5.5,1260759144", Reason.SCALE),
        ("1,31,-5,1260759144", Reason.RATING),
        ("1,31,inf,1260759144", Reason.SCALE),
        ("1,31,nan,1260759144", Reason.RATING),
        ("1,31,2.5,10413792000", Reason.TIME),
        ("-9223372036854775809,31,2.5,1", Reason.ID),
        ("1,9223372036854775808,2.5,1", Reason.ID),
        ('1,"31,2.5,1260759144', Reason.QUOTES),
        ("\udcff\udcfe,1,2.5,1", Reason.ENCODING),
        ("1" * LONGEST_LINE, Reason.LENGTH),
    ],
)
def test_bad_ratings_have_a_reason(line: str, reason: Reason) -> None:
    with pytest.raises(BadLineError) as caught:
        CSV_RATINGS.parse(line)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,Toy Story (1995)", Reason.FIELDS),
        ("1,Heat, the film,Action", Reason.FIELDS),
        ("1,,Action", Reason.TITLE),
        ("1,He\0at (1995),Action", Reason.TITLE),
        ("x,Heat (1995),Action", Reason.NUMBER),
        ('1,"Heat (1995),Action', Reason.QUOTES),
    ],
)
def test_bad_films_have_a_reason(line: str, reason: Reason) -> None:
    with pytest.raises(BadLineError) as caught:
        CSV_MOVIES.parse(line)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1|24|M|technician", Reason.FIELDS),
        ("1|old|M|technician|85711", Reason.NUMBER),
        ("1|99|M|technician|85711", Reason.AGE),
        ("1|124|M|technician|85711", Reason.AGE),
    ],
)
def test_bad_users_have_a_reason(line: str, reason: Reason) -> None:
    with pytest.raises(BadLineError) as caught:
        PIPE_USERS.parse(line)
    assert caught.value.reason is reason


def test_flags_of_100k_are_counted_and_checked() -> None:
    with pytest.raises(BadLineError, match=Reason.FIELDS.value):
        PIPE_MOVIES.parse(ITEM.removesuffix("|0"))
    with pytest.raises(BadLineError, match=Reason.NUMBER.value):
        PIPE_MOVIES.parse(ITEM.removesuffix("|0") + "|2")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_a_reason(line: bytes) -> None:
    text = line.decode("utf-8", "surrogateescape")
    for file in (CSV_MOVIES, CSV_RATINGS, COLON_MOVIES, COLON_USERS, PIPE_MOVIES, TAB_RATINGS, PIPE_USERS):
        with suppress(BadLineError):
            assert file.parse(text)


@pytest.mark.parametrize(
    "header",
    [
        *("userId,movieId,rating,timestamp", "USERID,MOVIEID,RATING,TIMESTAMP"),
        *('"userId","movieId","rating","timestamp"', "userId;movieId;rating;timestamp"),
        *("user_id\tmovie_id\trating\ttimestamp", "UserID::MovieID::Rating::Timestamp"),
        "user_id|item_id|rating|timestamp",
    ],
)
def test_headers_are_known_however_they_are_written(header: str) -> None:
    separator = next(each for each in ("::", "\t", ";", "|", ",") if each in header)
    line = separator.join(["1", "31", "2.5", "1260759144"])
    for lines in ([header, line], [f"sep={separator}", header, line]):
        file = _format(layouts.RATINGS, *lines)
        assert file.header_lines == len(lines) - 1
        assert file.parse(line) == Rating(1, 31, "2.5", 1260759144)


def test_columns_are_found_by_their_names() -> None:
    file = _format(layouts.RATINGS, ",timestamp,rating,movieId,userId", "0,1260759144,2.5,31,1")
    assert file.parse("0,1260759144,2.5,31,1") == Rating(1, 31, "2.5", 1260759144)
    with pytest.raises(BadLineError, match=Reason.FIELDS.value):
        file.parse("1260759144,2.5,31,1")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["userId,movieId,rating", "1,1,4"], "there is no column timestamp"),
        (["item,person,stars,time", *["1,2,4.0,1000"] * 50], "does not begin with userId,movieId"),
        (["userId,movieId,rating,rating,timestamp"], "two columns rating"),
        (["", " "], "is empty"),
        ([], "is empty"),
    ],
)
def test_files_without_the_columns_are_refused_by_what_is_missing(lines: list[str], message: str) -> None:
    with pytest.raises(Fault, match=message):
        _format(layouts.RATINGS, *lines)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["1.0", "31.0", "2.5", "1260759144.0"], Rating(1, 31, "2.5", 1260759144)),
        (["1", "31", "2,5", "1260759144"], Rating(1, 31, "2.5", 1260759144)),
        (["1", "31", "2.50", "1260759144000"], Rating(1, 31, "2.5", 1260759144)),
        (["1", "31", "5.00", "1260759144000000"], Rating(1, 31, "5.0", 1260759144)),
        (["1", "31", "5", "1260759144000000000"], Rating(1, 31, "5.0", 1260759144)),
        (["1", "2", "3.5", "2005-04-02 23:53:47"], Rating(1, 2, "3.5", 1112486027)),
        (["1", "2", "3.5", "2005-04-03T01:53:47+02:00"], Rating(1, 2, "3.5", 1112486027)),
        (["1", "2", "3.5", "2005-04-02T23:53:47.250Z"], Rating(1, 2, "3.5", 1112486027)),
    ],
)
def test_numbers_and_moments_are_read_as_other_programs_write_them(
    fields: list[str], expected: Rating
) -> None:
    assert layouts.RATINGS.make(fields) == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (["1.5", "31", "2.5", "1"], Reason.NUMBER),
        (["1e0", "31", "2.5", "1"], Reason.NUMBER),
        (["1", "31", "2.5", "2005-13-02 23:53:47"], Reason.TIME),
        (["1", "31", "2.5", "9999-12-31 23:59:59"], Reason.TIME),
        (["1", "31", "2.5", "1969-12-31 23:59:59"], Reason.TIME),
        (["1", "31", "2.5", "0001-01-01T00:00:00+23:59"], Reason.TIME),
        (["1", "31", "2.5", "2" + "0" * 40 + "-"], Reason.NUMBER),
    ],
)
def test_what_is_no_number_and_no_moment_is_rejected(fields: list[str], reason: Reason) -> None:
    with pytest.raises(BadLineError, match=reason.value):
        layouts.RATINGS.make(fields)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("20050402", 1112400000), ("20050402.0", 1112400000), ("19991231", 946598400)),
        *(("200504022353", 1112485980), ("20050402235347", 1112486027), ("20050402T235347", None)),
        *(("20051402", 20051402), ("978300760", 978300760), ("964982703000", 964982703)),
    ],
)
def test_a_date_of_digits_alone_is_no_number_of_seconds(text: str, seconds: int | None) -> None:
    if seconds is None:
        with pytest.raises(BadLineError):
            layouts.RATINGS.make(["1", "31", "4", text])
    else:
        assert layouts.RATINGS.make(["1", "31", "4", text]).rated_at == seconds


@pytest.mark.parametrize(
    ("text", "stars"),
    [(".5", "0.5"), (",5", "0.5"), ("3.5000", "3.5"), ("+4", "4.0"), (" 4. ", "4.0"), ("5,000", "5.0")],
)
def test_stars_are_read_however_programs_write_them(text: str, stars: str) -> None:
    assert layouts.RATINGS.make(["1", "31", text, "1"]).stars == stars


@pytest.mark.parametrize("text", ["", ".", "+", "4.25", "4.55", "-4", "4 5", "\u0664", "+.0"])
def test_what_is_no_number_of_stars_is_rejected(text: str) -> None:
    with pytest.raises(BadLineError):
        layouts.RATINGS.make(["1", "31", text, "1"])


def _films(header: str, *lines: str) -> FileFormat[Any]:
    return recognise_format("file", [header, *lines], [layouts.MOVIES_WITH_YEAR, layouts.MOVIES], UTF_8)


@pytest.mark.parametrize(
    ("header", "line", "year"),
    [
        *(("movieId,title,year,genres", "1,Heat,1995,Crime", 1995),),
        ("movieId,title,year,genres", "1,Heat,1995.0,Crime", 1995),
        ("movieId,title,year,genres", "1,Heat (1995),1996,Crime", 1995),
        ("movieId,title,year,genres", "1,Heat,,Crime", None),
        ("movieId,title,year,genres", "1,Heat,0,Crime", None),
        ("movieId,title,genres,release_year", "1,Heat,Crime,1995", 1995),
        ("movieId;title;genres;Release Date", "1;Heat;Crime;15-Dec-1995", 1995),
        ("movieId,title,release_date,genres", "1,Heat,1995-12-15,Crime", 1995),
        ("movieId,title,genres", "1,Heat,Crime", None),
    ],
)
def test_a_column_with_the_year_is_used(header: str, line: str, year: int | None) -> None:
    assert _films(header, line).parse(line) == Movie(1, "Heat", year, ("Crime",))


@pytest.mark.parametrize(
    "genres",
    [
        *("\"['Drama', 'Comedy']\"", '"[""Drama"", ""Comedy""]"', "\" ['Drama','Comedy'] \""),
        *(
            "\"[{'id': 18, 'name': 'Drama'}, {'id': 35, 'name': 'Comedy'}]\"",
            "Drama;Comedy",
            "['Drama' 'Comedy']",
            '"{Drama,""Comedy""}"',
            '"Drama, Comedy"',
        ),
    ],
)
def test_a_list_of_genres_is_read_however_it_is_written(genres: str) -> None:
    assert CSV_MOVIES.parse(f"1,Heat,{genres}").genres == ("Drama", "Comedy")
    assert CSV_MOVIES.parse("1,Heat,[]").genres == ()


@pytest.mark.parametrize("genres", ["['Drama'", "\"['Drama', 3]\"", "[print]"])
def test_a_list_of_genres_that_is_none_is_rejected(genres: str) -> None:
    with pytest.raises(BadLineError, match=Reason.GENRES.value):
        CSV_MOVIES.parse(f"1,Heat,{genres}")


def test_a_title_with_line_breaks_is_one_line_and_every_line_keeps_its_number() -> None:
    lines = [
        "movieId,title,genres",
        '1,"Heat',
        "",
        'and Dust (1983)",Drama',
        "2,Plain,Drama",
        '3,"A',
        'B",Comedy',
    ]
    joined = list(CSV_MOVIES.joined(lines))
    assert joined == [lines[0], '1,"Heat  and Dust (1983)",Drama', "", "", lines[4], '3,"A B",Comedy', ""]
    assert CSV_MOVIES.parse(joined[1]) == Movie(1, "Heat and Dust", 1983, ("Drama",))
    assert list(COLON_MOVIES.joined(['1::"A', 'B"::Drama'])) == ['1::"A', 'B"::Drama']


@pytest.mark.parametrize(
    "lines",
    [
        ['1,"Heat,Crime', "2,Plain,Drama", '3,"Ran,War'],
        ['1,"Heat,Crime', '2,Plain",Drama'],
        ['1,"Heat', "no end"],
        ['1,"Heat', *["more"] * 30, 'end",Crime'],
        ['1,"Heat', "x" * LONGEST_LINE, 'end",Crime'],
    ],
)
def test_a_stray_quote_spoils_no_other_line(lines: list[str]) -> None:
    assert list(CSV_MOVIES.joined(lines)) == lines


@given(st.lists(st.text(alphabet='1,a"', max_size=8), max_size=40))
def test_joining_lines_changes_neither_their_number_nor_those_with_paired_quotes(lines: list[str]) -> None:
    joined = list(CSV_MOVIES.joined(lines))
    assert len(joined) == len(lines)
    assert "".join("".join(joined).split()) == "".join("".join(lines).split())
