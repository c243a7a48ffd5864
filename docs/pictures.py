"""Draw what each tuner does on one function of two parameters: docs/_static/algorithms/<name>.svg.

`nox -s pictures` for all that are installed, `nox -s pictures -- TPE GP` for some. The function is Branin's,
which has three equal minima; darker is lower. Forty trials, one at a time, the later the lighter; a ring is
around the best.
"""

from __future__ import annotations

import base64
import math
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from tune_core import AskTell, TuneError
from tune_core.plugins import plugins

FOLDER = Path(__file__).parent / "_static" / "algorithms"
SPACE = {name: {"_type": "uniform", "_value": [0, 1]} for name in "xy"}
TRIALS = 40
SIZE = 240  # pixels of the picture
CELLS = 60  # of its background


def branin(x: float, y: float) -> float:
    """On the unit square; least 0.397887 at (0.124, 0.818), (0.543, 0.152) and (0.962, 0.165)."""
    u, v = 15 * x - 5, 15 * y
    valley = v - 5.1 / (4 * math.pi**2) * u**2 + 5 / math.pi * u - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(u) + 10


def trials(name: str) -> list[tuple[float, float]] | None:
    """Where it looks; None if it does not take the space, or has to be told more than results."""
    try:
        search = AskTell(name, SPACE, mode="minimize", seed=1)
        found: list[tuple[float, float]] = []
        while len(found) < TRIALS:
            asked = search.ask()
            if asked is None or asked.parameters.keys() != {"x", "y"}:
                return None
            found.append((asked.parameters["x"], asked.parameters["y"]))
            search.tell(asked, branin(*found[-1]))
    except TuneError:
        return None
    return found


def png(rows: Sequence[Sequence[int]]) -> bytes:
    """A picture in shades of grey, 0 to 255."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    data = b"".join(b"\0" + bytes(row) for row in rows)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def background() -> str:
    """The function as twelve shades, as a data address."""

    def shade(column: int, row: int) -> int:
        value = branin((column + 0.5) / CELLS, 1 - (row + 0.5) / CELLS)
        return 130 + 10 * min(12, int(2 * math.log(value)) + 1 if value > 0.6 else 0)

    rows = [[shade(column, row) for column in range(CELLS)] for row in range(CELLS)]
    return "data:image/png;base64," + base64.b64encode(png(rows)).decode()


def drawing(points: Sequence[tuple[float, float]]) -> str:
    best = min(points, key=lambda point: branin(*point))
    size = f'width="{SIZE}" height="{SIZE}"'
    dots = [circle(point, 4, f"hsl(215 90% {20 + 45 * at // TRIALS}%)") for at, point in enumerate(points)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" {size}>',
            f'<image href="{background()}" {size} preserveAspectRatio="none"/>',
            '<g stroke="#fff" stroke-width="0.8">',
            *dots,
            "</g>",
            f'<g stroke="#c22" stroke-width="2">{circle(best, 8, "none")}</g>',
            "</svg>\n",
        ]
    )


def circle(point: tuple[float, float], radius: int, fill: str) -> str:
    x, y = SIZE * point[0], SIZE * (1 - point[1])
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}"/>'


def main(wanted: Sequence[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for found in plugins().all("tuner"):
        name = found.driver.name
        if wanted and name not in wanted:
            continue
        points = trials(name)
        if points is None:
            print(f"{name}: not for two real parameters")
            continue
        path = FOLDER / f"{name.lower()}.svg"
        path.write_text(drawing(points))
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
