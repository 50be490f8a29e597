"""Recognising data sets as people have them, and reading their first lines."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from dataflix_contract.faults import Fault
from dataflix_postgres.movielens.dataset_files import lines, open_source
from dataflix_postgres.movielens.formats import FileFormat
from dataflix_postgres.movielens.records import BadLineError, Movie, Rating, Reason, User
from dataflix_postgres.movielens.releases import FILE_NAMES, Release, choose, recognise

FLAGS = "|0" * 18
HETREC = "id\ttitle\timdbID\tspanishTitle\timdbPictureURL\tyear\trtID\n"
METADATA = (
    "adult,belongs_to_collection,budget,genres,homepage,id,imdb_id,original_language,original_title,overview,"
    "popularity,poster_path,production_companies,production_countries,release_date,revenue,runtime,"
    "spoken_languages,status,tagline,title,video,vote_average,vote_count\n"
)
RATINGS = b"userId,movieId,rating,timestamp\n1,1,4.0,1000\n"


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _recognise(path: Path) -> Release:
    with open_source(path, FILE_NAMES) as folders:
        return recognise(*choose(folders))


def _records(release: Release, file: FileFormat[Any]) -> list[Any]:
    found = []
    for line in list(lines(release.entries[file.name], file.encoding))[file.header_lines :]:
        try:
            found.append(file.parse(line))
        except BadLineError as error:
            found.append(error.reason)
    return found


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"movies.csv": b"1,Heat,Crime\n", "ratings.csv": RATINGS, "links.csv": b"", "tags.csv": b""},
         "MovieLens as CSV (latest, 20M, 25M, 32M)"),
        ({"movie.csv": b"1,Heat,Crime\n", "rating.csv": RATINGS, "link.csv": b""}, "Kaggle's movielens-20m"),
        ({"movies.dat": b"1::Heat::Crime\n", "ratings.dat": b"1::1::4::1\n", "users.dat": b"1::F::1::9::4"},
         "MovieLens 1M"),
        ({"movies.dat": b"1::Heat::Crime\n", "ratings.dat": b"1::1::4::1\n", "tags.dat": b""},
         "MovieLens 10M, or 1M without its users"),
        ({"u.item": f"1|Heat|02-Feb-1996|||0{FLAGS}\n".encode(), "u.data": b"1\t1\t4\t1\n",
          "u.user": b"1|24|M|technician|85711\n", "ua.base": b""}, "MovieLens 100K"),
        ({"u.item": f"1|Heat|02-Feb-1996|||0{FLAGS}\n".encode(), "u.data": b"1\t1\t4\t1\n"},
         "MovieLens 100K without its users"),
        ({"movies.csv": b"1,Heat,Crime\n", "ratings.csv": RATINGS, "movies.dat": b"1::Heat::Crime\n"},
         "MovieLens as CSV (latest, 20M, 25M, 32M)"),
        ({"movies.csv": b"1,Heat,Crime\n", "movies.dat": b"1::Heat::Crime\n", "ratings.dat": b"1::1::4::1\n"},
         "MovieLens 10M, or 1M without its users"),
    ],
)  # fmt: skip
def test_a_data_set_is_recognised_by_its_files(tmp_path: Path, files: dict[str, bytes], name: str) -> None:
    assert _recognise(_write(tmp_path, files)).name == name


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ([], ""),
        (["movies.csv"], "ratings.csv is missing"),
        (["ratings.csv"], "ratings.csv is there.*movies.csv is missing"),
        (["u.data", "u.item.bak"], "u.item is missing"),
        (["ratings.csv", "movies.dat"], "ratings.csv is there.*movies.csv is missing"),
        (["movies_metadata.csv", "ratings.csv"], "Kaggle's the-movies-dataset links.csv is missing"),
        (["movies_metadata.csv", "links.csv"], "Kaggle's the-movies-dataset ratings.csv is missing"),
        (["movies.dat", "user_ratedmovies.dat"], "HetRec 2011 movie_genres.dat is missing"),
    ],
)
def test_what_is_missing_of_a_set_is_named(tmp_path: Path, names: list[str], missing: str) -> None:
    _write(tmp_path, dict.fromkeys(names, b"x"))
    with pytest.raises(Fault, match=rf"(?s)no MovieLens release.*{missing}.*movies.csv, ratings.csv"):
        _recognise(tmp_path)


def test_the_sets_are_named_with_the_files_that_they_need(tmp_path: Path) -> None:
    with pytest.raises(Fault) as told:
        _recognise(tmp_path)
    assert "there is no file in it" in str(told.value)
    for line in (
        "movies.csv, ratings.csv: MovieLens as CSV (latest, 20M, 25M, 32M)",
        "movies.dat, movie_genres.dat, user_ratedmovies-timestamps.dat: HetRec 2011",
        "links.csv, movies_metadata.csv, ratings.csv: Kaggle's the-movies-dataset",
    ):
        assert f"\n  {line}" in str(told.value)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["movies.csv", "ratings (1).csv"], r"rename ratings \(1\).csv to ratings.csv"),
        (["Movies - Copy.csv", "ratings.csv"], "rename Movies - Copy.csv to movies.csv"),
        (["movies.txt", "ratings.txt"], "rename movies.txt to movies.csv; rename ratings.txt to ratings.csv"),
        (["movies.csv", "ratings.csv.txt"], "rename ratings.csv.txt to ratings.csv"),
        (["movies.csv", "ratings.csv.bz2"], "ratings.csv.bz2 is compressed by bzip2: unpack it"),
        (["ml-25m.7z"], "ml-25m.7z is a 7-Zip archive: unpack it"),
        (["ml-25m.rar"], "ml-25m.rar is a RAR archive: unpack it"),
        (["movies.parquet"], "movies.parquet is a Parquet file: export it as CSV"),
        (["movies.json"], "movies.json is JSON: export it as CSV"),
        (["a/movies.csv", "b/ratings.csv"], "into one folder: movies.csv is in .*/a, ratings.csv is in .*/b"),
    ],
)
def test_what_is_there_instead_of_a_set_is_named_with_what_to_do(
    tmp_path: Path, names: list[str], told: str
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(Fault, match=told):
        _recognise(tmp_path)


def test_ml_1m_keeps_its_accents_with_and_without_its_users_and_encoded_anew(tmp_path: Path) -> None:
    text = "73::Misérables, Les (1995)::Drama|Musical\n2::Amélie (2001)::Comedy\n"
    rest = {"ratings.dat": b"1::73::4::1000\n"}
    for content in (text.encode("latin-1"), text.encode(), text.encode().decode("latin-1").encode()):
        release = _recognise(_write(tmp_path, rest | {"movies.dat": content}))
        assert _records(release, release.movies) == [
            Movie(73, "Les Misérables", 1995, ("Drama", "Musical")),
            Movie(2, "Amélie", 2001, ("Comedy",)),
        ]
    release = _recognise(_write(tmp_path, {"users.dat": b"1::F::25::10::48067\n"}))
    assert release.users is not None
    assert _records(release, release.users) == [User(1, 1970)]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_csv_files_are_read_in_every_encoding_and_with_every_separator(tmp_path: Path, codec: str) -> None:
    for separator in (",", ";", "\t"):
        films = (
            f'"movieId"{separator}"title"{separator}"genres"\r\n1{separator}Amélie (2001){separator}A|B\r\n'
        )
        stars = (
            f"userId{separator}movieId{separator}rating{separator}timestamp\r\n1.0{separator}1{separator}4"
        )
        files = {
            "Movies.csv": films.encode(codec),
            "ratings.CSV": f"{stars}{separator}1000\r\n".encode(codec),
        }
        release = _recognise(_write(tmp_path, files))
        assert _records(release, release.movies) == [Movie(1, "Amélie", 2001, ("A", "B"))]
        assert _records(release, release.ratings) == [Rating(1, 1, "4.0", 1000)]
    assert "separated by tabs" in str(release)


def test_kaggles_movielens_20m_is_read(tmp_path: Path) -> None:
    files = {
        "movie.csv.gz": gzip.compress(
            b'"movieId","title","genres"\n1,"Toy Story (1995)","Adventure|Fantasy"\n'
        ),
        "rating.csv.gz": gzip.compress(
            b'"userId","movieId","rating","timestamp"\n1,1,3.5,"2005-04-02 23:53:47"\n'
        ),
    }
    release = _recognise(_write(tmp_path, files))
    assert _records(release, release.movies) == [Movie(1, "Toy Story", 1995, ("Adventure", "Fantasy"))]
    assert _records(release, release.ratings) == [Rating(1, 1, "3.5", 1112486027)]


def test_hetrec_2011_is_read_with_the_genres_of_their_own_file(tmp_path: Path) -> None:
    films = "1\tToy story\t0114709\tToy story (juguetes)\thttp://x\t1995\ttoy_story\n"
    films += '2\t"Amélie"\t0211915\tAmélie\thttp://x\t2001\t\\N\n3\tNowhere\t1\tx\thttp://x\t\\N\t\\N\n'
    files = {
        "movies.dat": (HETREC + films).encode("latin-1"),
        "movie_genres.dat": b"movieID\tgenre\n1\tAdventure\n1\tChildren\n2\tComedy\n",
        "user_ratedmovies.dat": (
            b"userID\tmovieID\trating\tdate_day\tdate_month\tdate_year\tdate_hour\tdate_minute\tdate_second\n"
            b"75\t3\t1\t29\t10\t2006\t22\t17\t16\n75\t3\t1\t31\t2\t2006\t22\t17\t16\n75\t1\t4\t1\t1\t2000\t0\t0\t0\n"
        ),
    }
    release = _recognise(_write(tmp_path, files))
    assert _records(release, release.movies) == [
        Movie(1, "Toy story", 1995, ("Adventure", "Children")),
        Movie(2, '"Amélie"', 2001, ("Comedy",)),
        Movie(3, "Nowhere", None, ()),
    ]
    assert _records(release, release.ratings)[:2] == [Rating(75, 3, "1.0", 1162160236), Reason.TIME]
    _write(
        tmp_path,
        {"user_ratedmovies-timestamps.dat": b"userID\tmovieID\trating\ttimestamp\n75\t3\t1\t1162160236000\n"},
    )
    release = _recognise(tmp_path)
    assert release.ratings.name == "user_ratedmovies-timestamps.dat"
    assert _records(release, release.ratings) == [Rating(75, 3, "1.0", 1162160236)]


def test_the_movies_dataset_is_read_with_metadata_joined_over_its_links(tmp_path: Path) -> None:
    metadata = (
        METADATA + "False,,1,\"[{'id': 16, 'name': 'Animation'}, {'id': 878, 'name': 'Science Fiction'}]\","
        'http://x,862,tt0,en,Toy Story,"Led by Woody,\nthe toys ""live"".",21.9,/x.jpg,[],[],1995-10-30,'
        "373554033.0,81.0,[],Released,,Toy Story,False,7.7,5415.0\n"
        " - Written by somebody,0.06,/x.jpg,[],[],1,0,0,1997-08-20,0,104.0,[],Released,,False,6.0,1,,,,,,,\n"
        "False,,1,oops,http://x,8844,tt1,en,Jumanji,,1,/x.jpg,[],[],1995-12-15,1,104,[],Released,,Jumanji,F,6,2\n"
        "False,,1,[],http://x,9,tt2,de,Lola,,1,/x.jpg,[],[],,1,104,[],Released,,L\u00f6la,F,6,2\n"
    )
    files = {
        "movies_metadata.csv": metadata.encode(),
        "links.csv": b"movieId,imdbId,tmdbId\n1,0114709,862\n7,0114709,862.0\n2,0113497,8844\n3,1,\n4,2,9\n",
        "ratings.csv": b"userId,movieId,rating,timestamp\n1,1,4.0,1425941529\n",
        "ratings_small.csv": b"userId,movieId,rating,timestamp\n1,2,4.0,1425941529\n",
    }
    release = _recognise(_write(tmp_path, files))
    assert release.name == "Kaggle's the-movies-dataset"
    assert set(release.digests) == {"movies_metadata.csv", "links.csv", "ratings.csv"}
    toys = Movie(1, "Toy Story", 1995, ("Animation", "Sci-Fi"), 'Led by Woody, the toys "live".')
    assert _records(release, release.movies) == [
        *(toys, toys._replace(movie_id=7), Reason.GENRES, Reason.METADATA),
        Movie(4, "L\u00f6la", None, (), None),
    ]
    (tmp_path / "ratings.csv").unlink()
    assert _recognise(tmp_path).ratings.name == "ratings_small.csv"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"ratings.csv": b"userId,movieId,rating,timestamp\n" + b"1,1,8,1000\n" * 9},
            "9 of the first 9 lines",
        ),
        ({"ratings.csv": b"userId,movieId,rating,timestamp\n"}, "nothing but a header"),
        ({"ratings.csv": b"userId,movieId,rating,timestamp\n\n\n"}, "nothing but a header"),
        ({"ratings.csv": b""}, "ratings.csv is empty"),
        ({"ratings.csv": b"userId,movieId,rating\n1,1,4\n"}, "no column timestamp"),
        ({"movies.csv": b"no film at all\n"}, "movies.csv does not begin with movieId"),
        ({"movies.csv": b"PK\x03\x04 no film at all\n"}, "movies.csv is a zip archive: unpack it"),
        ({"movies.csv": gzip.compress(b"1,Heat,Crime\n")}, "gzip: give it a name that ends in .gz"),
        ({"movies.csv": b"<!DOCTYPE html>\n<html>"}, "movies.csv is a web page.*download"),
        ({"movies.csv": b"version https://git-lfs.github.com/spec/v1\n"}, "git lfs pull"),
        ({"movies.csv": b'\xef\xbb\xbf [{"movieId": 1}]\n'}, "movies.csv is JSON: export it as CSV"),
        ({"ratings.csv": b"PAR1\x15\x04"}, "ratings.csv is a Parquet file: export it as CSV"),
        ({"movies.csv": b"movieId,title,genres\nx,Heat,Crime\n"}, "not a number, as in line 2"),
        ({"movies.csv": b"movieId,title,genres\nx,Heat,Crime\n"}, "the only line of movies.csv"),
        (
            {"ratings.csv": b"userId,movieId,rating,timestamp\n1,1,4,04/02/2005 11:53 PM\n"},
            "time that cannot be read.*line 2. Write times as seconds since 1970",
        ),
    ],
)
def test_files_that_cannot_be_read_are_refused_at_the_first_look(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    good = {"movies.csv": b"movieId,title,genres\n1,Heat (1995),Crime\n", "ratings.csv": RATINGS}
    with pytest.raises(Fault, match=message):
        _recognise(_write(tmp_path, good | files))


def test_ratings_of_another_scale_are_refused_though_most_of_them_could_be_stars(tmp_path: Path) -> None:
    ratings = "".join(f"{user},1,{user % 6 + 1},1000\n" for user in range(600))
    files = {"movies.csv": b"1,Heat (1995),Crime\n", "ratings.csv": ratings.encode()}
    with pytest.raises(
        Fault, match=r"100 of the first 600 lines.*above 5 stars, as in line 6.*another scale"
    ):
        _recognise(_write(tmp_path, files))
    likes = "userId,movieId,rating,timestamp\n"
    likes += "".join(f"{user},1,{min(user % 5, 1)},1000\n" for user in range(600))
    with pytest.raises(Fault, match=r"120 of the first 600 lines.*rating of 0.*another scale"):
        _recognise(_write(tmp_path, files | {"ratings.csv": likes.encode()}))
    slips = ratings.replace(",6,", ",5,") + "9,1,6,1000\n"
    release = _recognise(_write(tmp_path, {"ratings.csv": slips.encode()}))
    assert _records(release, release.ratings).count(Reason.SCALE) == 1


def test_empty_lines_are_no_bad_lines(tmp_path: Path) -> None:
    files = {
        "movies.csv": b"\n\nmovieId,title,genres\r\r\n1,Heat (1995),Crime\r\r\n\n\n",
        "ratings.csv": b"sep=,\n" + RATINGS + b"\n\n\n",
    }
    release = _recognise(_write(tmp_path, files))
    assert Movie(1, "Heat", 1995, ("Crime",)) in _records(release, release.movies)
    assert _records(release, release.ratings)[0] == Rating(1, 1, "4.0", 1000)


def test_a_folder_of_a_file_s_name_with_this_file_in_it_is_the_file(tmp_path: Path) -> None:
    _write(tmp_path, {"movies.csv": b"1,Heat (1995),Crime\n"})
    (tmp_path / "ratings.csv").mkdir()
    _write(tmp_path / "ratings.csv", {"ratings.csv": RATINGS})
    assert _recognise(tmp_path).ratings.name == "ratings.csv"
