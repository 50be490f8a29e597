"""A program in a terminal of its own: keys go in, and what stands on the screen can be read."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pexpect
import pyte

#: Keys as a terminal of xterm's kind sends them.
ENTER, TAB, CTRL_C, CTRL_D = "\r", "\t", "\x03", "\x04"
F1, F2, F3, F4, F5 = "\x1bOP", "\x1bOQ", "\x1bOR", "\x1bOS", "\x1b[15~"

_READ_SECONDS = 0.05


class Screen(pyte.Screen):
    """A screen that answers the program's questions, such as where the cursor is."""

    child: Any = None  #: the program: a pexpect.spawn

    def write_process_input(self, data: str) -> None:
        if self.child is not None:
            self.child.send(data)


class Terminal:
    """A running program and its screen."""

    def __init__(self, child: Any, screen: Screen) -> None:
        self._child = child
        self.screen = screen
        self._stream = pyte.ByteStream(screen)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def type(self, keys: str) -> None:
        """Press keys."""
        self._child.send(keys)

    def wait_for(self, *words: str, gone: str = "", seconds: float = 60.0) -> str:
        """Wait until all of the words stand on the screen, and ``gone`` does not; returns the screen.

        Raises:
            AssertionError: they do not; the message has the screen.
        """
        deadline = time.monotonic() + seconds
        while not (all(word in self.text for word in words) and not (gone and gone in self.text)):
            assert time.monotonic() < deadline, (
                f"not on the screen: {words}, or not gone: {gone!r}\n{self.text}"
            )
            assert self._read(), f"the program has ended without {words}\n{self.text}"
        return self.text

    def clear(self) -> None:
        """Forget what stands on the screen, above the line of the cursor."""
        for row in range(self.screen.cursor.y):
            self.screen.buffer.pop(row, None)

    def ended(self, seconds: float = 60.0) -> int:
        """Wait for the program's end and return its exit code.

        Raises:
            AssertionError: it goes on, or was ended by a signal.
        """
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, f"the program goes on\n{self.text}"
        self._child.close()
        code: int | None = self._child.exitstatus
        assert code is not None, f"ended by signal {self._child.signalstatus}\n{self.text}"
        return code

    def _read(self) -> bool:
        """Take in what the program has written; False: it has ended."""
        try:
            self._stream.feed(self._child.read_nonblocking(65536, timeout=_READ_SECONDS))
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        return True


def _heed_ctrl_c() -> None:
    """As in any terminal, also where the tests themselves run in the background, which ignores the signal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def terminal(
    *command: str, environ: Mapping[str, str], columns: int = 110, lines: int = 50
) -> Iterator[Terminal]:
    """Run a program in a terminal; it is ended at the latest with the block.

    Args:
        command: the program and its arguments.
        environ: what its environment has beside that of this process.
        columns: the terminal's width.
        lines: the terminal's height.
    """
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    env = {**kept, "TERM": "xterm-256color", **environ}
    screen = Screen(columns, lines)
    child = pexpect.spawn(
        command[0], list(command[1:]), env=env, dimensions=(lines, columns), preexec_fn=_heed_ctrl_c
    )
    screen.child = child
    try:
        yield Terminal(child, screen)
    finally:
        child.close(force=True)
