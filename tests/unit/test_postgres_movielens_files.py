"""Reading releases from folders and archives, and reporting what became of them."""

import csv
import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dataflix_contract.faults import Fault
from dataflix_postgres.movielens.dataset_files import (
    LONGEST_LINE,
    Entry,
    Files,
    chunks,
    lines,
    open_source,
    survey,
)
from dataflix_postgres.movielens.encodings import UTF_8, named
from dataflix_postgres.movielens.import_report import FileReport, Reject, RejectsFile, as_table, reject_lines
from dataflix_postgres.movielens.records import Reason
from dataflix_postgres.movielens.releases import FILE_NAMES, choose


def _files(path: Path) -> Files:
    with open_source(path, FILE_NAMES) as folders:
        return choose(folders)[1]


def _entry(content: bytes) -> Entry:
    return Entry("ratings.csv", lambda: io.BytesIO(content))


def test_a_folder_and_its_archives_hold_the_same_files(tmp_path: Path) -> None:
    folder = tmp_path / "ml-tiny"
    folder.mkdir()
    (folder / "movies.csv").write_bytes(b"1,Heat (1995),Crime\n")
    (folder / "ratings.csv").write_bytes(b"header\n1,2,3.0,4\n")
    archive = tmp_path / "ml-tiny.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name in ("movies.csv", "ratings.csv"):
            writer.writestr(f"__MACOSX/ml-tiny/._{name}", b"not this one")
            writer.write(folder / name, f"one/more/{name}")
    packed = tmp_path / "ml-tiny.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(folder, "ml-tiny")
    for path in (folder, folder / "ratings.csv", archive, packed):
        with open_source(path, FILE_NAMES) as folders:
            _, files = choose(folders)
            found = survey(files["ratings.csv"], holds_text=False)
            assert (set(files), found.lines) == ({"movies.csv", "ratings.csv"}, 2)
            assert found.sha256 == hashlib.sha256(b"header\n1,2,3.0,4\n").hexdigest()


def test_a_set_is_found_a_folder_up_in_an_archive_in_a_folder_and_without_regard_to_case(
    tmp_path: Path,
) -> None:
    inner = tmp_path / "downloads" / "kaggle" / "ml"
    inner.mkdir(parents=True)
    (inner / "Movies.CSV.gz").write_bytes(gzip.compress(b"1,Heat (1995),Crime\n"))
    (inner / "RATINGS.csv").write_bytes(b"1,1,3.0,4\n")
    (inner / ".movies.csv").write_bytes(b"hidden")
    for path in (tmp_path / "downloads", inner):
        files = _files(path)
        assert [each.name for each in files.values()] == ["Movies.CSV.gz", "RATINGS.csv"]
        with files["movies.csv"].open() as stream:
            assert stream.read() == b"1,Heat (1995),Crime\n"
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as writer:
        for name, entry in files.items():
            with entry.open() as stream:
                writer.writestr(name, stream.read())
    (inner / "RATINGS.csv").unlink()
    assert set(_files(tmp_path)) == {"movies.csv", "ratings.csv"}


def test_two_sets_side_by_side_are_named_and_not_guessed(tmp_path: Path) -> None:
    for name in ("ml-1m", "ml-10m"):
        (tmp_path / name).mkdir()
        for file in ("movies.dat", "ratings.dat"):
            (tmp_path / name / file).write_bytes(b"x")
    with pytest.raises(Fault, match=r"several data sets: import one.*ml-10m \(MovieLens 10M.*ml-1m \("):
        _files(tmp_path)
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as writer:
        for path in ("a/movies.csv", "a/ratings.csv", "b/movies.csv", "b/ratings.csv"):
            writer.writestr(path, b"x")
    with pytest.raises(Fault, match=r"several data sets: unpack the archive, and import one.*both\.zip/a \("):
        _files(tmp_path / "both.zip")


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no archive")
    with pytest.raises(Fault, match="must be a folder or an archive"):
        _files(text)


def test_an_encrypted_archive_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "ml.zip"
    with zipfile.ZipFile(path, "w") as writer:
        writer.writestr("movies.csv", b"x")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    path.write_bytes(content)
    with pytest.raises(Fault, match="is encrypted: unpack it"):
        _files(path)


ZIPPED = io.BytesIO()
with zipfile.ZipFile(ZIPPED, "w") as _writer:
    _writer.writestr("movies.csv", b"1,Heat (1995),Crime\n" * 100)
    _writer.writestr("ratings.csv", b"1,1,3.0,4\n" * 100)
ZIP = ZIPPED.getvalue()
TAR_GZ = gzip.compress(b"no tar, and too short for one" * 100)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("ml.zip", b"", "ml.zip is empty: download the data set again"),
        (
            "ml.zip",
            ZIP[: len(ZIP) // 2],
            "ml.zip is an archive that is damaged or cut short: download it again",
        ),
        ("ml.zip", ZIP.replace(b"Heat", b"Beat", 1), "cannot read movies.csv: it is damaged: download"),
        ("ml.zip", b"<!DOCTYPE html><html>sign in", "ml.zip is a web page"),
        ("ml.tar.gz", TAR_GZ[:60], "ml.tar.gz is an archive that is damaged or cut short"),
        ("ml.tar.gz", TAR_GZ, "ml.tar.gz is an archive that is damaged or cut short"),
        ("ml.7z", b"7z\xbc\xaf\x27\x1c" + bytes(99), "ml.7z is a 7-Zip archive: unpack it"),
        ("ml.rar", b"Rar!\x1a\x07\x01" + bytes(99), "ml.rar is a RAR archive: unpack it"),
        ("ml.xlsx", ZIP[:99], "ml.xlsx is an Excel workbook: export it as CSV"),
        ("ml.parquet", b"PAR1" + bytes(99), "ml.parquet is a Parquet file: export it as CSV"),
        ("notes.zip", b"words", "notes.zip must be a folder or an archive"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason_and_what_to_do(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Fault, match=told), open_source(path, FILE_NAMES) as folders:
        survey(choose(folders)[1]["movies.csv"], holds_text=True)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("ratings.csv.gz", b"words", "cannot read ratings.csv.gz: it is damaged"),
        ("ratings.csv.gz", gzip.compress(bytes(99))[:-20], "cannot read ratings.csv.gz: it ends too early"),
        ("ratings.csv", None, "cannot read ratings.csv: it is not there, or a link to something"),
    ],
)
def test_a_file_of_a_set_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    (tmp_path / "movies.csv").write_bytes(b"1,Heat (1995),Crime\n")
    if content is None:
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Fault, match=told):
        survey(_files(tmp_path)["ratings.csv"], holds_text=False)


def test_archives_that_cannot_be_read_hide_no_set_beside_them(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(ZIP[:99])
    with pytest.raises(Fault, match=r"a\.zip is an archive that is damaged"):
        _files(tmp_path)
    (tmp_path / "b.zip").write_bytes(ZIP)
    assert set(_files(tmp_path)) == {"movies.csv", "ratings.csv"}
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as writer:
        writer.writestr("b.zip", ZIP)
    with pytest.raises(Fault, match=r"b\.zip is an archive in an archive: unpack the outer one"):
        _files(tmp_path / "c.zip")


def test_what_is_neither_file_nor_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ml.zip")
    with pytest.raises(Fault, match="neither a file nor a folder"):
        _files(tmp_path / "ml.zip")


def test_one_line_is_said_to_be_one() -> None:
    report = FileReport("ratings.csv")
    report.add(0, [Reject(7, Reason.NUMBER, ""), Reject(8, Reason.ID, ""), Reject(9, Reason.ID, "")])
    assert reject_lines([report]) == [
        "ratings.csv: 2 rejected: id out of range (lines 8, 9)",
        "ratings.csv: 1 rejected: not a number (line 7)",
    ]


@given(
    st.lists(st.text(max_size=20, alphabet="ab,1\u00e9"), max_size=30),
    st.integers(1, 7),
    st.integers(0, 10),
)
def test_reading_goes_on_from_where_any_chunk_ended(texts: list[str], at_once: int, stop: int) -> None:
    entry = _entry("".join(f"{text}\n" for text in texts).encode())
    before: list[str] = []
    done = 0
    for chunk in list(chunks(lines(entry, UTF_8), 0, at_once))[:stop]:
        assert chunk.first_line == done + 1
        before += chunk.lines
        done = chunk.last_line
    after = [line for chunk in chunks(lines(entry, UTF_8), done, at_once) for line in chunk.lines]
    assert before + after == texts


def test_a_line_without_end_is_cut_and_the_next_one_is_whole() -> None:
    content = b"1,2\n" + b"x" * (3 * LONGEST_LINE + 5) + b"\n3,4\n"
    found = list(chunks(lines(_entry(content), UTF_8), 0, 2))
    assert [len(line) for chunk in found for line in chunk.lines] == [3, LONGEST_LINE, 3]
    assert found[1].first_line == 3


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_lines_are_the_same_whatever_ends_them_and_whatever_they_are_encoded_in(end: str, codec: str) -> None:
    texts = ["movieId,title,genres", "1,Am\u00e9lie (2001),Comedy", "2,\u00c5ke (1999),Drama"]
    entry = _entry("".join(text + end for text in texts).encode(codec))
    found = survey(entry, holds_text=True)
    assert (list(lines(entry, found.encoding)), found.lines) == (texts, 3)


def test_rejects_are_written_as_csv_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    first, second = Reject(7, Reason.FIELDS, "1,2\n"), Reject(9, Reason.NUMBER, "a,b")
    for reject, resume in ((first, False), (second, True)):
        with RejectsFile(path, resume=resume) as file:
            file.write("ratings.csv", [reject])
    with path.open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["file", "line", "reason", "text"],
            ["ratings.csv", "7", "wrong number of fields", "1,2\n"],
            ["ratings.csv", "9", "not a number", "a,b"],
        ]


def test_a_file_that_holds_no_rejects_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "movies.csv"
    path.write_text("movieId,title,genres\n1,Heat (1995),Crime\n")
    for resume in (True, False):
        with pytest.raises(Fault, match="holds no rejects"):
            RejectsFile(path, resume=resume)
    assert path.read_text().endswith("Crime\n")
    path.write_text("")
    for _ in range(2):  # an empty one, and one of an earlier import
        with RejectsFile(path, resume=False) as file:
            file.write("ratings.csv", [Reject(1, Reason.FIELDS, "x")])


def test_no_path_no_file_and_a_bad_path_is_a_fault(tmp_path: Path) -> None:
    with RejectsFile(None, resume=False) as file:
        file.write("ratings.csv", [Reject(1, Reason.FIELDS, "")])
    with pytest.raises(Fault, match="cannot write the rejects"):
        RejectsFile(tmp_path / "missing" / "rejects.csv", resume=False)


@pytest.mark.parametrize("rejects", [[], [Reject(1, Reason.FIELDS, "x")]], ids=["header", "rejects"])
def test_a_full_disk_is_told_from_a_folder_in_which_nobody_may_write(rejects: list[Reject]) -> None:
    with (
        pytest.raises(Fault, match=r"No space left on device\. Make room there"),
        RejectsFile(Path("/dev/full"), resume=False) as file,
    ):
        file.write("ratings.csv", rejects)


def test_names_in_a_zip_of_windows_are_paths(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as writer:
        for name in ("movies.csv", "ratings.csv"):
            info = zipfile.ZipInfo("x")
            info.filename = f"ml-tiny\\{name}"
            writer.writestr(info, b"x")
    assert set(_files(tmp_path / "ml.zip")) == {"movies.csv", "ratings.csv"}


def test_the_same_bytes_in_an_encoding_that_was_named_are_another_import() -> None:
    entry = _entry("1,Сталкер (1979),Drama\n".encode("koi8-r"))
    found = [survey(entry, holds_text=True, named=named(name)) for name in ("koi8-r", "cp1251")]
    assert found[0].sha256 != found[1].sha256
    assert next(lines(entry, found[0].encoding)) == "1,Сталкер (1979),Drama"


def test_a_report_counts_over_runs_and_shows_some_line_numbers() -> None:
    report = FileReport("ratings.csv", loaded=10)
    report.add(5, [Reject(line, Reason.NUMBER, "") for line in range(1, 8)])
    report.seconds = 0.5
    assert (report.read, report.loaded, report.rows_per_second) == (22, 15, 10)
    assert reject_lines([report]) == ["ratings.csv: 7 rejected: not a number (lines 1, 2, 3, 4, 5, ...)"]
    assert report.as_json()["rejected"] == {"not a number": 7}
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(as_table([report, FileReport("movies.csv", loaded=3, unchanged=True)]))
    text = console.export_text()
    assert "22" in text
    assert "unchanged" in text
