"""dataflix-import against a real server, in every format."""

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from dataflix_contract.faults import Fault
from dataflix_postgres.importer import app
from dataflix_postgres.movielens import batch_loading, replacement
from dataflix_postgres.movielens.batch_loading import WalHeadroom
from support.waiting import wait_until

FLAGS = "|0" * 18
MOVIES = 'movieId,title,genres\n1,Toy Story (1995),Comedy\n2,"King, The (2001)",(no genres listed)\n'
RATINGS = "userId,movieId,rating,timestamp\n1,1,4.0,1000\n1,2,3.5,900\n2,1,0.5,2000\n"
TINY: dict[str, dict[str, bytes]] = {
    "csv": {"movies.csv": MOVIES.encode(), "ratings.csv": RATINGS.encode()},
    "1m": {
        "movies.dat": "1::Toy Story (1995)::Comedy\n2::King, The (2001)::Drama\n".encode("latin-1"),
        "users.dat": b"1::F::25::10::48067\n2::M::1::0::00000\n",
        "ratings.dat": b"1::1::4::1000\n1::2::3::900\n2::1::1::2000\n",
    },
    "10m": {
        "movies.dat": b"1::Toy Story (1995)::Comedy\n2::King, The (2001)::Drama\n",
        "ratings.dat": b"1::1::4::1000\n1::2::3.5::900\n2::1::0.5::2000\n",
    },
    "100k": {
        "u.item": f"1|Toy Story (1995)|01-Jan-1995|||0{FLAGS}\n2|King, The (2001)||||0{FLAGS}\n".encode(
            "latin-1"
        ),
        "u.user": b"1|24|M|technician|85711\n2|53|F|other|94043\n",
        "u.data": b"1\t1\t4\t1000\n1\t2\t3\t900\n2\t1\t1\t2000\n",
    },
}


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _import(path: Path, *options: str) -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(app, [str(path), "--json", *options])
    assert result.exit_code == 0, result.output
    return {each["file"]: each for each in json.loads(result.stdout)["files"]}


def _refused(path: Path, *options: str) -> str:
    result = CliRunner().invoke(app, [str(path), *options])
    assert result.exit_code == 1, result.output
    return result.stderr


def _staged(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT to_regnamespace('movielens_staging') IS NOT NULL").fetchone()
    return row == (True,)


def _everything(connection: psycopg.Connection) -> list[Any]:
    """Every row of every table, and the import's record."""
    tables = ("users", "movies", "watched_movies", "ratings", "movielens_imports")
    return [connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in tables]


@contextmanager
def _killed_when(path: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """A --replace in a process of its own, killed as soon as something is so."""
    code = "from dataflix_postgres.importer import app; app()"
    command = [sys.executable, "-c", code, str(path), "--replace"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(ready, "the import has come so far")
            yield
        finally:
            process.send_signal(signal.SIGKILL)


def _wait_for_the_lock(connection: psycopg.Connection) -> None:
    """The server ends a killed session, and with it the lock, when it next hears from it."""
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"
    wait_until(lambda: connection.execute(held, [0xDA7AF119]).fetchone() == (0,), "the import has ended")


def _many_ratings(folder: Path, count: int) -> Path:
    """A set in MovieLens' shape that takes more than a moment to load."""
    users = count // 100
    movies = "".join(f"{movie},Film {movie} (2000),Drama\n" for movie in range(1, 101))
    ratings = "".join(
        f"{user},{movie},4.0,{1000 + user}\n" for user in range(1, users + 1) for movie in range(1, 101)
    )
    return _write(
        folder,
        {
            "movies.csv": b"movieId,title,genres\n" + movies.encode(),
            "ratings.csv": b"userId,movieId,rating,timestamp\n" + ratings.encode(),
        },
    )


def _counts(connection: psycopg.Connection) -> tuple[int, ...]:
    return (
        connection.execute(
            "SELECT (SELECT count(*) FROM movies), (SELECT count(*) FROM users),"
            " (SELECT count(*) FROM watched_movies), (SELECT count(*) FROM ratings)"
        ).fetchone()
        or ()
    )


@pytest.mark.parametrize("release", TINY)
def test_every_format_is_loaded(empty: psycopg.Connection, tmp_path: Path, release: str) -> None:
    _import(_write(tmp_path, TINY[release]))
    assert _counts(empty) == (2, 2, 3, 3)
    assert empty.execute("SELECT title, release_year FROM movies ORDER BY movie_id").fetchall() == [
        ("Toy Story", 1995),
        ("The King", 2001),
    ]
    assert empty.execute(
        "SELECT extract(epoch FROM created_at)::int FROM users ORDER BY user_id"
    ).fetchall() == [
        (900,),
        (2000,),
    ]
    row = empty.execute("SELECT count(name), count(DISTINCT email), count(birth_year) FROM users").fetchone()
    assert row == (2, 2, 2)
    assert empty.execute("INSERT INTO users DEFAULT VALUES RETURNING user_id").fetchone() == (3,)


def test_an_archive_is_loaded_like_its_folder(empty: psycopg.Connection, tmp_path: Path) -> None:
    path = tmp_path / "ml-tiny.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in TINY["csv"].items():
            archive.writestr(f"ml-tiny/{name}", content)
    _import(path)
    assert _counts(empty) == (2, 2, 3, 3)


def test_bad_lines_are_rejected_by_number_and_good_ones_kept(
    empty: psycopg.Connection, tmp_path: Path
) -> None:
    bad = b"1,9,4.0,1000\n2,2,0.3,1\ngarbage\n2,1,5.0,3000\n\xff,1,2.0,1\n3,2,5.0,5000\n3,2,4.0,6000"
    files = TINY["csv"] | {"ratings.csv": RATINGS.encode() + bad}
    files["movies.csv"] += b"2,Twice (1999),Drama\nthree,No id,Drama\n3,Good (1999),Drama\n"
    report = _import(_write(tmp_path / "ml", files), "--rejects", str(tmp_path / "rejects.csv"))
    assert report["movies.csv"]["rejected_lines"] == {"duplicate": [4], "not a number": [5]}
    assert report["movies.csv"]["loaded"] == 3
    assert report["ratings.csv"]["rejected_lines"] == {
        "unknown movie": [5],
        "rating is not one of 0.5, 1.0 ... 5.0": [6],
        "wrong number of fields": [7],
        "duplicate": [8, 11],
        "not in the file's encoding": [9],
    }
    assert (report["ratings.csv"]["read"], report["ratings.csv"]["loaded"]) == (10, 4)
    assert _counts(empty) == (3, 3, 4, 4)
    kept = empty.execute("SELECT rating::float8 FROM ratings WHERE (user_id, movie_id) = (3, 2)").fetchone()
    assert kept == (5.0,)  # of two ratings in the file, the first
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["file"], int(row["line"])) for row in rows] == [
        ("movies.csv", 4),
        ("movies.csv", 5),
        *(("ratings.csv", line) for line in (5, 6, 7, 8, 9, 11)),
    ]


def test_unknown_users_are_rejected_where_a_file_lists_them(
    empty: psycopg.Connection, tmp_path: Path
) -> None:
    files = TINY["100k"] | {"u.data": TINY["100k"]["u.data"] + b"3\t1\t4\t1000\n"}
    report = _import(_write(tmp_path, files))
    assert report["u.data"]["rejected"] == {"unknown user": 1}
    assert _counts(empty) == (2, 2, 3, 3)


def test_an_unchanged_release_is_not_loaded_again(empty: psycopg.Connection, tmp_path: Path) -> None:
    folder = _write(tmp_path, TINY["csv"])
    _import(folder)
    empty.execute("UPDATE ratings SET rating = 1.5")
    report = _import(folder)
    assert all(each["unchanged"] for each in report.values())
    assert report["ratings.csv"]["loaded"] == 3
    assert empty.execute("SELECT DISTINCT rating::float8 FROM ratings").fetchall() == [(1.5,)]
    _import(folder, "--replace")
    assert empty.execute("SELECT count(DISTINCT rating) FROM ratings").fetchone() == (3,)


def test_other_data_are_replaced_only_when_told(empty: psycopg.Connection, tmp_path: Path) -> None:
    folder = _write(tmp_path, TINY["csv"])
    empty.execute("INSERT INTO movies (movie_id, title) VALUES (1, 'Another')")
    assert "the tables hold other data" in _refused(folder)
    _import(folder, "--replace")
    (folder / "ratings.csv").write_text(RATINGS + "2,2,5.0,3000\n")
    assert "another MovieLens release, or another version of it" in _refused(folder)
    assert _counts(empty) == (2, 2, 3, 3)
    _import(folder, "--replace")
    assert _counts(empty) == (2, 2, 4, 4)


def test_a_foreign_header_is_refused(empty: psycopg.Connection, tmp_path: Path) -> None:
    files = TINY["csv"] | {"ratings.csv": b"user,item,stars,time\n1,1,4.0,1000\n"}
    assert "ratings.csv does not begin with userId,movieId" in _refused(_write(tmp_path, files))
    assert _counts(empty)[3] == 0


def test_a_path_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, [str(tmp_path / "missing")]).exit_code == 2


def test_two_imports_at_once_are_refused(empty: psycopg.Connection, tmp_path: Path) -> None:
    empty.execute("SELECT pg_advisory_lock(%s)", [0xDA7AF119])
    assert "another dataflix-import is running" in _refused(_write(tmp_path, TINY["csv"]))


def test_an_import_waits_until_the_lock_of_the_one_before_is_gone(
    empty: psycopg.Connection, tmp_path: Path
) -> None:
    """PostgreSQL may still hold the lock of an import whose process has just ended."""
    empty.execute("SELECT pg_advisory_lock(%s)", [0xDA7AF119])
    waiting = (
        "SELECT count(*) FROM pg_locks AS held JOIN pg_database AS here ON here.oid = held.database"
        " WHERE here.datname = current_database() AND held.locktype = 'advisory' AND NOT held.granted"
    )

    def waits() -> bool:
        return empty.execute(waiting).fetchone() == (1,)

    with ThreadPoolExecutor(1) as other:
        report = other.submit(_import, _write(tmp_path, TINY["csv"]))
        wait_until(waits, "the import waits for the lock", seconds=30, every=0.02)
        empty.execute("SELECT pg_advisory_unlock(%s)", [0xDA7AF119])
        assert report.result()["ratings.csv"]["loaded"] == 3


def test_movielens_is_loaded_to_the_row(empty: psycopg.Connection, movielens: Path) -> None:
    report = _import(movielens)
    assert report["movies.csv"]["loaded"] == 9_742
    assert report["ratings.csv"]["loaded"] == 100_836
    assert _counts(empty) == (9_742, 610, 100_836, 100_836)
    mean = empty.execute("SELECT avg(rating)::float8 FROM ratings").fetchone()
    assert mean == (pytest.approx(3.501557, abs=5e-7),)
    years = empty.execute("SELECT count(*) FROM movies WHERE release_year IS NULL").fetchone()
    assert years == (12,)


def test_a_killed_import_goes_on_where_it_was(empty: psycopg.Connection, movielens: Path) -> None:
    command = [sys.executable, "-c", "from dataflix_postgres.importer import app; app()", str(movielens)]
    with subprocess.Popen(
        command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        done = "SELECT lines_done FROM movielens_imports WHERE file = 'ratings.csv' AND lines_done > 0"
        limit = time.monotonic() + 120
        while empty.execute(done).fetchone() is None:
            assert time.monotonic() < limit
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    before = _counts(empty)[3]
    assert 0 < before < 100_836
    # The server ends the killed session, and with it the lock, when it next hears from it.
    while empty.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s",
                        [0xDA7AF119]).fetchone() != (0,):  # fmt: skip
        assert time.monotonic() < limit
        time.sleep(0.1)
    report = _import(movielens)
    assert report["movies.csv"]["unchanged"]
    assert report["ratings.csv"]["loaded"] == 100_836
    assert _counts(empty) == (9_742, 610, 100_836, 100_836)


@pytest.mark.parametrize(
    "files",
    [
        {"ratings.csv": b"userId,movieId,rating\n1,1,4\n"},
        {"ratings.csv": b"userId,movieId,rating,timestamp\n"},
        {"movies.csv": "movieId,title,genres\n1,Amélie (2001),Comedy\n".encode("cp850")},
        {"movies.csv": b"movieId,title,genres\n7,Another (2001),Comedy\n"},  # ratings are of other films
        {
            "ratings.csv": b"userId,movieId,rating,timestamp\n"
            + b"1,1,4.0,1000\n" * 2000
            + b"1,1,10,1\n" * 2500
        },
        {
            "ratings.csv": b"userId,movieId,rating,timestamp\n"
            + b"".join(b"%d,1,4.0,1000\n" % user for user in range(2000))
            + b"1,1,6,1\n" * 200
        },
    ],
    ids=[
        *("column missing", "no ratings", "encoding unknown", "films of another set"),
        *("most lines at the end", "a tenth above five stars at the end"),
    ],
)
def test_a_refused_replacement_leaves_every_row_where_it_was(
    empty: psycopg.Connection, tmp_path: Path, files: dict[str, bytes]
) -> None:
    _import(_write(tmp_path / "old", TINY["csv"]))
    before = _everything(empty)
    assert _refused(_write(tmp_path / "new", TINY["csv"] | files), "--replace")
    assert _everything(empty) == before
    assert not _staged(empty)


def test_quoted_headers_and_semicolons_replace_what_was_there(
    empty: psycopg.Connection, tmp_path: Path
) -> None:
    _import(_write(tmp_path / "old", TINY["1m"]))
    files = {name: content.replace(b",", b";") for name, content in TINY["csv"].items()}
    files["movies.csv"] = b'"movieId";"title";"genres"\n1;"Mis\xe9rables, Les (1995)";"Drama"\n2;B;C\n'
    report = _import(_write(tmp_path / "new", files), "--replace")
    assert (report["movies.csv"]["encoding"], report["movies.csv"]["separator"]) == ("Latin-1", "semicolons")
    assert _counts(empty) == (2, 2, 3, 3)
    row = empty.execute("SELECT title, release_year FROM movies WHERE movie_id = 1").fetchone()
    assert row == ("Les Misérables", 1995)
    assert not _staged(empty)
    assert empty.execute("INSERT INTO users DEFAULT VALUES RETURNING user_id").fetchone() == (3,)


def test_a_replacement_that_fails_at_its_end_leaves_every_row_and_goes_on_afterwards(
    empty: psycopg.Connection, tmp_path: Path
) -> None:
    _import(_write(tmp_path / "old", TINY["csv"]))
    before = _everything(empty)
    new = _write(tmp_path / "new", TINY["csv"] | {"ratings.csv": RATINGS.encode() + b"2,2,5.0,3000\n"})
    empty.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$"
    )
    empty.execute(
        "CREATE TRIGGER full_disk AFTER INSERT ON ratings FOR EACH STATEMENT EXECUTE FUNCTION full_disk()"
    )
    assert "SQLSTATE 53100" in _refused(new, "--replace")
    assert _everything(empty) == before
    assert _staged(empty)
    empty.execute("DROP TRIGGER full_disk ON ratings")
    report = _import(new, "--replace")
    assert all(each["unchanged"] for each in report.values())  # nothing was read again
    assert _counts(empty) == (2, 2, 4, 4)
    assert not _staged(empty)


def test_a_replacement_killed_while_it_reads_or_moves_leaves_every_row(
    empty: psycopg.Connection, tmp_path: Path
) -> None:
    _import(_write(tmp_path / "old", TINY["csv"]))
    before = _everything(empty)
    new = _many_ratings(tmp_path / "new", 60_000)
    # The move stops at its last step, with every row deleted and inserted, until this test lets go.
    empty.execute(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_lock_shared(7); RETURN NULL; END $$"
    )
    empty.execute("CREATE TRIGGER hold AFTER INSERT ON ratings FOR EACH STATEMENT EXECUTE FUNCTION hold()")

    def reading() -> bool:
        try:
            done = empty.execute(
                "SELECT lines_done > 0 FROM movielens_staging.movielens_imports WHERE file = 'ratings.csv'"
            ).fetchone()
        except psycopg.errors.UndefinedTable:
            return False
        return done == (True,)

    def moving() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted"
        return empty.execute(waiting).fetchone() == (1,)

    for stage in (reading, moving):
        empty.execute("SELECT pg_advisory_lock(7)")
        with _killed_when(new, stage):
            assert _everything(empty) == before
        empty.execute("SELECT pg_advisory_unlock(7)")
        _wait_for_the_lock(empty)
        assert _everything(empty) == before
    report = _import(new, "--replace")
    assert report["ratings.csv"]["unchanged"]  # it had been read before it was killed
    assert _counts(empty) == (100, 600, 60_000, 60_000)


def test_a_replacement_larger_than_the_slots_may_keep_is_made_in_steps(
    empty: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _import(_many_ratings(tmp_path / "old", 2_000))
    monkeypatch.setattr(WalHeadroom, "limit", lambda _: 1)
    monkeypatch.setattr(replacement, "_BLOCKS_AT_ONCE", 3)
    steps: list[int] = []
    monkeypatch.setattr(WalHeadroom, "wait_for", lambda _, needed: steps.append(needed))
    new = _many_ratings(tmp_path / "new", 20_000)
    _import(new, "--replace")
    assert _counts(empty) == (100, 200, 20_000, 20_000)
    assert len(steps) > 50
    report = _import(new)
    assert all(each["unchanged"] for each in report.values())


def test_an_import_waits_for_slots_and_says_who_must_read_them(
    empty: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_loading, "_ROOM", "SELECT 5::bigint")
    monkeypatch.setattr(batch_loading, "_SECONDS_BETWEEN_LOOKS", 0)
    monkeypatch.setattr(batch_loading, "_SECONDS_WITHOUT_PROGRESS", 0)
    room = WalHeadroom(empty, Console(file=io.StringIO()))
    room.wait_for(5)
    with pytest.raises(Fault, match="nothing reads the replication slots"):
        room.wait_for(6)


def test_a_file_most_of_whose_lines_are_rejected_is_no_success(
    empty: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_loading, "LINES_AT_ONCE", 2)
    files = TINY["csv"] | {"ratings.csv": RATINGS.encode() + b"1,9,4.0,1000\n" * 4}
    message = _refused(_write(tmp_path, files))
    assert "4 of 7 lines of ratings.csv" in message
    assert "unknown movie (4)" in message
    assert "4 of 7 lines" in _refused(tmp_path)  # nor is it one when it is run again
    lines = RATINGS.encode().partition(b"\n")[2]
    files["ratings.csv"] = RATINGS.encode() + 2 * lines  # the same again is no fault of the format
    report = _import(_write(tmp_path, files), "--replace")
    assert report["ratings.csv"]["rejected"] == {"duplicate": 6}
    assert _counts(empty) == (2, 2, 3, 3)


def test_empty_lines_are_neither_loaded_nor_rejected(empty: psycopg.Connection, tmp_path: Path) -> None:
    files = {name: content.replace(b"\n", b"\r\r\n") for name, content in TINY["csv"].items()}
    report = _import(_write(tmp_path, files))
    assert [(each["read"], each["loaded"], each["rejected"]) for each in report.values()] == [
        (2, 2, {}),
        (3, 3, {}),
    ]
    assert _counts(empty) == (2, 2, 3, 3)


def test_compressed_files_and_archives_are_loaded(empty: psycopg.Connection, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    _write(plain, {f"{name.title()}.gz": gzip.compress(content) for name, content in TINY["csv"].items()})
    assert _import(plain)["Ratings.Csv.gz"]["loaded"] == 3
    packed = tmp_path / "up" / "ml.tar.gz"
    packed.parent.mkdir()
    with tarfile.open(packed, "w:gz") as tar:
        for name, content in TINY["1m"].items():
            info = tarfile.TarInfo(f"ml-1m/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    for path in (packed, packed.parent):
        assert _import(path, "--replace")["ratings.dat"]["loaded"] == 3
        assert _counts(empty) == (2, 2, 3, 3)


def test_a_cyrillic_set_with_years_lists_dates_and_line_breaks_is_asked_about_and_loaded_whole(
    empty: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_loading, "LINES_AT_ONCE", 2)
    movies = (
        "movieId,title,year,genres\n"
        "1,Сталкер,1979,\"['Drama', 'Sci-Fi']\"\n"
        '2,"Ирония судьбы,\nили лёгкий пар!\n(1976)",,Comedy\n'
        "3,Солярис\x1b,1972.0,Drama\n"
    )
    ratings = "userId,movieId,rating,timestamp\n1,1,.5,20050402\n1,2,+4,20050402235347\n1,3,3.5000,1000\n"
    files = {"movies.csv": movies.encode("cp1251"), "ratings.csv": ratings.encode()}
    told = _refused(_write(tmp_path, files))
    assert "the encoding of movies.csv is not clear" in told
    assert "--encoding" in told
    assert _counts(empty) == (0, 0, 0, 0)
    assert "there is no encoding 'cp125l'" in _refused(tmp_path, "--encoding", "cp125l")
    files["movies.csv"] += "4,Брат,1997,Crime\n".encode()
    report = _import(_write(tmp_path, files), "--encoding", "cp1251")
    assert report["movies.csv"]["rejected_lines"] == {"not in the file's encoding": [7]}
    assert empty.execute("SELECT title, release_year, genres FROM movies ORDER BY movie_id").fetchall() == [
        ("Сталкер", 1979, ["Drama", "Sci-Fi"]),
        ("Ирония судьбы, или лёгкий пар!", 1976, ["Comedy"]),
        ("Солярис", 1972, ["Drama"]),
    ]
    assert empty.execute(
        "SELECT rating::float8, extract(epoch FROM rated_at)::bigint FROM ratings ORDER BY movie_id"
    ).fetchall() == [(0.5, 1112400000), (4.0, 1112486027), (3.5, 1000)]
