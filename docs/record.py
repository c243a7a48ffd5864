"""Take the picture of the README: run the demo in a terminal of its own and draw what is on the screen.

    nox -s record

The picture is of the real program: its output goes through a terminal emulator, and the screen at two thirds
of the run is kept.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
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
    screens: list[tuple[float, list[Text]]] = []
    for data in output_of(COMMAND.split()):
        stream.feed(data)
        screens.append((time.monotonic(), [styled(screen, row) for row in range(LINES)]))
    begin, end = screens[0][0], screens[-1][0]
    lines = min(screens, key=lambda taken: abs(taken[0] - begin - (end - begin) * 2 / 3))[1]
    target.write_text(picture(lines))
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
    cells = [screen.buffer[row][column] for column in range(COLUMNS)]
    for style, run in itertools.groupby(cells, key=style_of):
        line.append("".join(cell.data for cell in run), style)
    line.rstrip()
    return line


def style_of(cell: pyte.screens.Char) -> Style:
    return Style(
        color=colour(cell.fg),
        bgcolor=colour(cell.bg),
        bold=cell.bold,
        italic=cell.italics,
        reverse=cell.reverse,
    )


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
    svg = console.export_svg(title=COMMAND, unique_id="demo")
    # rich fetches its font from a server; any fixed-width font will do.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace")


if __name__ == "__main__":
    sys.exit(main())
