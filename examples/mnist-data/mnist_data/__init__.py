"""MNIST for the examples: handwritten digits from disk, or from the network, or else smaller ones."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import sys
import tempfile
import urllib.request
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["Data", "load"]

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = {  # and the SHA-256 of each, gzipped as in MIRRORS
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
LARGEST = 20_000_000  # bytes of a download; the largest file has 9.9 million
TIMEOUT_S = 10


class Data(NamedTuple):
    """Images, shape (n, 28, 28), float32 from 0 to 1, and what digit each shows, shape (n,), int64."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(images: int | None = None) -> Data:
    """MNIST, or scikit-learn's digits where MNIST is neither on disk nor to be had; stderr tells which.

    Args:
        images: How many to train with, all by default. Those to test with are always all.

    Raises:
        FileNotFoundError: The folder that MNIST_DIR names does not hold MNIST.
        ValueError: A file there is damaged.
    """
    name, source = "MNIST", os.environ.get("MNIST_DIR", "")
    if source:
        x_train, y_train, x_test, y_test = _from_folder(Path(source).expanduser())
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mnist-data"
        try:
            x_train, y_train, x_test, y_test = (_array(_fetched(f"{each}.gz", cache), each) for each in FILES)
            source = str(cache)
        except ConnectionError as error:
            x_train, y_train, x_test, y_test = _digits()
            name, source = "digits", f"scikit-learn, because MNIST cannot be had:\n{error}"
    x_train, y_train = x_train[:images], y_train[:images]
    print(f"mnist-data: {name}, {len(x_train)} images to train with, from {source}", file=sys.stderr)
    return Data(name, _scaled(x_train), y_train.astype(np.int64), _scaled(x_test), y_test.astype(np.int64))


def _scaled(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(255)


def _from_folder(folder: Path) -> list[np.ndarray]:
    """The four arrays, in the order of FILES."""
    if (folder / "mnist.npz").is_file():
        with np.load(folder / "mnist.npz", allow_pickle=False) as content:
            return [content[key] for key in ("x_train", "y_train", "x_test", "y_test")]
    arrays = []
    for name in FILES:
        found = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
        if not found:
            raise FileNotFoundError(f"MNIST_DIR: {folder} has neither mnist.npz nor {name} nor {name}.gz")
        arrays.append(_array(found[0].read_bytes(), str(found[0])))
    return arrays


def _array(content: bytes, name: str) -> np.ndarray:
    """What is in an IDX file of bytes: 0, 0, 8, how many dimensions, the length of each, the bytes."""
    dimensions = 3 if "idx3" in name else 1
    start = 4 + 4 * dimensions
    try:
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        shape = np.frombuffer(plain[4:start], ">u4")
        if plain[:4] == bytes((0, 0, 8, dimensions)):
            return np.frombuffer(plain, np.uint8, offset=start).reshape(shape)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{name} is damaged: {error}") from error
    raise ValueError(
        f"{name} is no IDX file of bytes in {dimensions} dimensions: it begins with {plain[:4]!r}"
    )


def _fetched(name: str, cache: Path) -> bytes:
    """The file `name` from `cache`, or else from a mirror, and then it is there too."""
    path, digest = cache / name, FILES[name[: -len(".gz")]]
    if path.is_file() and hashlib.sha256(content := path.read_bytes()).hexdigest() == digest:
        return content
    problems = []
    for url in (mirror + name for mirror in MIRRORS):
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310 (https)
                content = response.read(LARGEST)
        except (OSError, http.client.HTTPException) as error:
            problems.append(f"  {url}: {error}")
            continue
        if hashlib.sha256(content).hexdigest() == digest:
            _keep(content, path)
            return content
        problems.append(f"  {url}: {len(content)} bytes that are not this file")
    raise ConnectionError("\n".join([*problems, "  name a folder that has it in MNIST_DIR"]))


def _keep(content: bytes, path: Path) -> None:
    """Write a file whole or not at all, whoever else writes it; one that cannot be is fetched again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder, path.name)
            part.write_bytes(content)
            part.replace(path)
    except OSError as error:
        print(f"mnist-data: {path} is not kept: {error}", file=sys.stderr)


def _digits() -> list[np.ndarray]:
    """scikit-learn's, 8 x 8 pixels from 0 to 16: each pixel 3 x 3 times, a margin of 2, from 0 to 255."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))  # they lie in the order of their writers
    images, labels = images[order].reshape(-1, 8, 8) * (255 / 16), labels[order]
    images = np.pad(np.kron(images, np.ones((1, 3, 3))), ((0, 0), (2, 2), (2, 2)))
    return [images[:1500], labels[:1500], images[1500:], labels[1500:]]
