"""The data of the MNIST examples: every place it may come from, and what is not believed."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import mnist_data
import numpy as np
import pytest
from mnist_data import load
from sklearn.datasets import load_digits

from tune.host import boot

RNG = np.random.default_rng(0)
ARRAYS = {
    "x_train": RNG.integers(0, 256, (50, 28, 28), np.uint8),
    "y_train": RNG.integers(0, 10, 50, np.uint8),
    "x_test": RNG.integers(0, 256, (20, 28, 28), np.uint8),
    "y_test": RNG.integers(0, 10, 20, np.uint8),
}
REFUSING = "http://127.0.0.1:9/"  # where nobody listens


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


PLAIN = dict(zip(mnist_data.FILES, map(idx, ARRAYS.values()), strict=True))
GZIPPED = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in PLAIN.items()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def npz() -> bytes:
    buffer = BytesIO()
    np.savez(buffer, **ARRAYS)
    return buffer.getvalue()


def is_ours(data: mnist_data.Data) -> bool:
    return data.name == "MNIST" and all(
        np.array_equal(np.rint(getattr(data, key) * (255 if key[0] == "x" else 1)), array)
        for key, array in ARRAYS.items()
    )


class Mirror:
    """A server on loopback: the files in `folder`, and which were asked for."""

    def __init__(self, folder: Path) -> None:
        asked = self.asked = []

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (its name there)
                asked.append(self.path)

        self.folder = folder
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    mirror = Mirror(write(tmp_path / "mirror", GZIPPED))
    yield mirror
    mirror.server.shutdown()
    mirror.server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache; nobody has it yet, and nobody may reach the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("MNIST_DIR", raising=False)
    digests = {name: hashlib.sha256(GZIPPED[f"{name}.gz"]).hexdigest() for name in PLAIN}
    monkeypatch.setattr(mnist_data, "FILES", digests)
    monkeypatch.setattr(mnist_data, "MIRRORS", (REFUSING,))
    return tmp_path / "cache" / "mnist-data"


@pytest.mark.parametrize(
    "files", [PLAIN, GZIPPED, {"mnist.npz": npz()}], ids=["as they are", "gzipped", "npz"]
)
def test_folder_of_ones_own_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]
) -> None:
    monkeypatch.setenv("MNIST_DIR", str(write(tmp_path / "mine", files)))
    data = load()
    assert is_ours(data)
    assert (data.x_train.dtype, data.y_train.dtype) == (np.float32, np.int64)
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    fewer = load(images=7)
    assert np.array_equal(fewer.x_train, data.x_train[:7])
    assert np.array_equal(fewer.y_train, data.y_train[:7])
    assert len(fewer.x_test) == len(fewer.y_test) == 20


def test_folder_without_a_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {name: content for name, content in PLAIN.items() if not name.startswith("t10k-labels")}
    monkeypatch.setenv("MNIST_DIR", str(write(tmp_path / "mine", lacking)))
    with pytest.raises(FileNotFoundError, match=r"mine has neither .* t10k-labels-idx1-ubyte nor"):
        load()


@pytest.mark.parametrize("damage", [lambda content: content[:-3], lambda content: b"no " + content])
@pytest.mark.parametrize("files", [PLAIN, GZIPPED], ids=["as it is", "gzipped"])
def test_damaged_file_is_named(tmp_path: Path, monkeypatch, files: dict[str, bytes], damage) -> None:
    first, content = next(iter(files.items()))
    monkeypatch.setenv("MNIST_DIR", str(write(tmp_path / "mine", {**files, first: damage(content)})))
    with pytest.raises(ValueError, match=f"mine/{first} is "):
        load()


def test_download_happens_once(mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(mnist_data, "MIRRORS", (REFUSING, mirror.url))
    assert is_ours(load())
    assert sorted(mirror.asked) == sorted(f"/{name}" for name in GZIPPED)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == GZIPPED
    assert is_ours(load())
    assert len(mirror.asked) == 4
    assert capsys.readouterr().err == f"mnist-data: MNIST, 50 images to train with, from {cache}\n" * 2


def test_damaged_cache_is_fetched_again(mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, content = next(iter(GZIPPED.items()))
    write(cache, {**GZIPPED, name: content[:100]})
    monkeypatch.setattr(mnist_data, "MIRRORS", (mirror.url,))
    assert is_ours(load())
    assert mirror.asked == [f"/{name}"]
    assert (cache / name).read_bytes() == content


def test_other_content_is_not_believed(
    mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(mnist_data, "MIRRORS", (mirror.url,))
    write(mirror.folder, {"t10k-labels-idx1-ubyte.gz": b"<html>Log in first</html>"})
    assert load().name == "digits"
    assert "t10k-labels-idx1-ubyte.gz: 25 bytes that are not this file" in capsys.readouterr().err
    assert {path.name for path in cache.iterdir()} == GZIPPED.keys() - {"t10k-labels-idx1-ubyte.gz"}


def test_trials_side_by_side_download_whole_files(
    mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_data, "MIRRORS", (mirror.url,))
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: load(), range(8)))
    assert all(map(is_ours, loaded))
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == GZIPPED


def test_cache_that_cannot_be_written_is_done_without(
    mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(mnist_data, "MIRRORS", (mirror.url,))
    cache.parent.write_text("a file, where a folder should be")
    assert is_ours(load())
    assert capsys.readouterr().err.count("is not kept: ") == 4


def test_digits_stand_in_and_it_is_said(capsys) -> None:
    data = load(images=1000)
    assert data.name == "digits"
    said = capsys.readouterr().err
    assert "digits, 1000 images to train with, from scikit-learn, because MNIST cannot be had" in said
    assert f"{REFUSING}train-images-idx3-ubyte.gz: " in said
    assert "name a folder that has it in MNIST_DIR" in said
    assert (data.x_train.shape, data.x_test.shape) == ((1000, 28, 28), (297, 28, 28))
    originals = load_digits()
    whole = load()
    seen = np.concatenate([whole.x_train, whole.x_test])[:, 2:-2:3, 2:-2:3] * 16
    expected = {
        (*image.ravel(), label) for image, label in zip(originals.images, originals.target, strict=True)
    }
    labels = np.concatenate([whole.y_train, whole.y_test])
    assert {(*image.ravel(), label) for image, label in zip(np.rint(seen), labels, strict=True)} == expected


def test_trials_on_other_machines_can_import_it() -> None:
    names = zipfile.ZipFile(BytesIO(boot.runtime_archive()[1])).namelist()
    assert "mnist_data/__init__.py" in names
