"""Take the picture of the README: run the demo in a terminal of its own and draw what is on the screen.

    nox -s record

The picture is of the real program: its output goes through a terminal emulator, and the fullest screen while
trials were still running is kept.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

ROOT = Path(__file__).parents[1]
COLUMNS, LINES = 100, 28
COMMAND = "tune run examples/digits/config.yml"
DEADLINE_S = 300


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "_static" / "demo.svg"
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    best: tuple[int, list[Text]] = (0, [])
    for data in output_of(COMMAND.split()):
        stream.feed(data)
        filled = sum(bool(line.strip()) for line in screen.display)
        if filled >= best[0]:
            best = (filled, [styled(screen, row) for row in range(LINES)])
    target.write_text(picture(best[1]))
    print(f"wrote {target}")
    return 0


def output_of(command: list[str]) -> Iterator[bytes]:
    """What `command` writes to a terminal of COLUMNS by LINES, as it comes."""
    manager, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "TUNE_HOME": home}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        try:
            while select.select([manager], [], [], DEADLINE_S)[0]:
                try:
                    data = os.read(manager, 65536)
                except OSError:  # the terminal's other end is closed: the command has ended
                    return
                if not data:
                    return
                yield data
            raise TimeoutError(f"{command[0]} wrote nothing for {DEADLINE_S} s")
        finally:
            process.terminate()
            process.wait()
            os.close(manager)


def styled(screen: pyte.Screen, row: int) -> Text:
    """One line of the screen, with its colours."""
    line = Text()
    for column in range(COLUMNS):
        cell = screen.buffer[row][column]
        style = Style(
            color=colour(cell.fg),
            bgcolor=colour(cell.bg),
            bold=cell.bold,
            italic=cell.italics,
            reverse=cell.reverse,
        )
        line.append(cell.data, style)
    line.rstrip()
    return line


def colour(name: str) -> str | None:
    """A colour's name in pyte as rich has it."""
    if name == "default":
        return None
    if len(name) == 6 and all(letter in "0123456789abcdef" for letter in name):
        return f"#{name}"
    return {"brown": "yellow"}.get(
        name, name.replace("bright", "bright_", 1) if name.startswith("bright") else name
    )


def picture(lines: list[Text]) -> str:
    """The lines as SVG, without what is empty at the end."""
    while lines and not lines[-1].plain.strip():
        lines = lines[:-1]
    with Path(os.devnull).open("w") as nowhere:
        console = Console(
            record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor"
        )
        for line in lines:
            console.print(line, no_wrap=True, crop=False)
    return console.export_svg(title=COMMAND, unique_id="demo")


if __name__ == "__main__":
    sys.exit(main())
