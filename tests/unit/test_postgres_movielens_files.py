"""Reading releases from folders and archives, and reporting what became of them."""

import csv
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dataflix_postgres.faults import Fault
from dataflix_postgres.movielens.formats import LONGEST_LINE
from dataflix_postgres.movielens.records import Reason
from dataflix_postgres.movielens.report import FileReport, Reject, RejectsFile, as_table, reject_lines
from dataflix_postgres.movielens.source import chunks, open_release


def test_a_folder_and_its_archive_hold_the_same_files(tmp_path: Path) -> None:
    folder = tmp_path / "ml-tiny"
    folder.mkdir()
    (folder / "ratings.csv").write_bytes(b"header\n1,2,3.0,4\n")
    archive = tmp_path / "ml-tiny.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("__MACOSX/ml-tiny/ratings.csv", b"not this one")
        writer.write(folder / "ratings.csv", "ml-tiny/ratings.csv")
    with open_release(folder) as plain, open_release(archive) as packed:
        assert plain.keys() == packed.keys() == {"ratings.csv"}
        assert plain["ratings.csv"].size == packed["ratings.csv"].size == 17
        assert plain["ratings.csv"].sha256() == packed["ratings.csv"].sha256()


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no archive")
    with pytest.raises(Fault, match="must be a folder or a zip archive"), open_release(text):
        pass


@given(
    st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=30),
    st.integers(1, 7),
    st.integers(0, 10),
)
def test_reading_goes_on_from_where_any_chunk_ended(lines: list[bytes], at_once: int, stop: int) -> None:
    content = b"\n".join(lines)
    stream = io.BytesIO(content)
    before: list[bytes] = []
    end = done = 0
    for chunk in list(chunks(stream, 0, at_once))[:stop]:
        assert chunk.first_line == done + 1
        before += chunk.lines
        end, done = chunk.end, done + len(chunk.lines)
    rest = io.BytesIO(content)
    rest.seek(end)
    after = [line for chunk in chunks(rest, done, at_once) for line in chunk.lines]
    assert before + after == list(io.BytesIO(content))


def test_a_line_without_end_is_cut_and_the_next_one_is_whole() -> None:
    content = b"1,2\n" + b"x" * (3 * LONGEST_LINE + 5) + b"\n3,4\n"
    found = list(chunks(io.BytesIO(content), 0, 2))
    assert [len(line) for chunk in found for line in chunk.lines] == [4, LONGEST_LINE, 4]
    assert found[0].end == len(content) - 4
    assert found[1].first_line == 3


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


def test_no_path_no_file_and_a_bad_path_is_a_fault(tmp_path: Path) -> None:
    with RejectsFile(None, resume=False) as file:
        file.write("ratings.csv", [Reject(1, Reason.FIELDS, "")])
    with pytest.raises(Fault, match="cannot write the rejects"):
        RejectsFile(tmp_path / "missing" / "rejects.csv", resume=False)


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
