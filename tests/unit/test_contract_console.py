"""Progress where no terminal is, and on one."""

import io

from rich.console import Console

from dataflix_contract.console import progress


def lines(*, terminal: bool) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, force_terminal=terminal, width=100), written


def test_without_a_terminal_what_is_told_and_the_end_are_lines() -> None:
    console, written = lines(terminal=False)
    with progress("ratings", console) as shown:
        shown.tell("loading about 4 rows")
        shown.expect(4)
        shown.advance(1)
        shown.advance(3)
    assert written.getvalue().splitlines() == ["ratings: loading about 4 rows", "ratings: 100 %"]


def test_what_was_done_before_counts() -> None:
    console, written = lines(terminal=False)
    with progress("ratings", console, total=10, done=9) as shown:
        shown.advance(1)
    assert written.getvalue() == "ratings: 100 %\n"


def test_work_of_unknown_size_tells_no_share() -> None:
    console, written = lines(terminal=False)
    with progress("ratings", console) as shown:
        shown.expect(0)
        shown.advance(7)
    assert written.getvalue() == ""


def test_on_a_terminal_there_is_a_bar() -> None:
    console, written = lines(terminal=True)
    with progress("ratings", console, total=4) as shown:
        shown.tell("[bold] comparing")
        shown.advance(4)
    assert "ratings: [bold] comparing" in written.getvalue()
    assert "100%" in written.getvalue()
