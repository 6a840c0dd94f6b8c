"""Files of data sets: found, checked, read, explained when missing, downloaded."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pooch
import pytest

from bcnmf_jax import datasets
from bcnmf_jax.datasets import files
from bcnmf_jax.datasets.tenx import read_counts

LOADERS = {
    "mouse_protein": datasets.mouse_protein,
    "mnist": datasets.mnist_on_photos,
    "mixseq": datasets.mixseq,
    "kang_lymphocytes": datasets.kang_lymphocytes,
    "kang_cross_donor": datasets.kang_cross_donor,
    "leukemia": datasets.leukemia,
    "mixseq_full": datasets.mixseq_full,
    "mdd": datasets.mdd,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty data folder."""
    monkeypatch.setenv("BCNMF_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", LOADERS)
def test_a_missing_file_says_where_it_comes_from(name, folder, monkeypatch):
    source = files.SOURCES[name]
    with pytest.raises(FileNotFoundError) as caught:
        LOADERS[name]()
    for part in (source.file, source.origin, str(folder), f"experiments.prepare {name} PATH"):
        assert part in str(caught.value)
    monkeypatch.delenv("BCNMF_DATA")
    with pytest.raises(FileNotFoundError, match="BCNMF_DATA is not set"):
        LOADERS[name]()


@pytest.mark.parametrize("name", [name for name in LOADERS if files.SOURCES[name].sha256])
def test_another_file_of_that_name_is_refused(name, folder):
    (folder / files.SOURCES[name].file).write_text("something else")
    with pytest.raises(ValueError, match=f"sha256 is .* expected {files.SOURCES[name].sha256}"):
        LOADERS[name]()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n", "no Matrix Market"),
        ("%%MatrixMarket matrix coordinate integer general\nx\n", "three sizes"),
        ("%%MatrixMarket matrix coordinate integer general\n2 2 3\n1 1 4\n", "1 of its 3"),
        ("%%MatrixMarket matrix coordinate integer general\n2 2 1\n3 1 4\n", "outside"),
        ("%%MatrixMarket matrix coordinate real general\n2 2 1\n1 1 .5\n", "no counts"),
        ("%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 1 -5\n", "no counts"),
        ("%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 1 3000000000\n", "no counts"),
    ],
)
def test_read_counts_refuses_odd_files(tmp_path, text, message):
    (tmp_path / "m.mtx").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_counts(tmp_path / "m.mtx")


CONTENT = b"0123456789" * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT whole, or half of it for a path that says so."""

    served = 0

    def do_GET(self):
        type(self).served += 1
        self.send_response(404 if "absent" in self.path else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if "half" in self.path else CONTENT)

    def log_message(self, *_args):
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve on the loopback interface while the test runs."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Handler.served = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_fetch_keeps_the_checked_file_and_shows_progress(server, tmp_path, capfd):
    path = datasets.fetch(f"{server}/x", DIGEST, "x.bin", tmp_path)
    assert path.read_bytes() == CONTENT and [p.name for p in tmp_path.iterdir()] == ["x.bin"]
    assert "100%" in capfd.readouterr().err
    assert datasets.fetch(f"{server}/x", DIGEST.upper(), "x.bin", tmp_path) == path
    assert Handler.served == 1
    path.write_bytes(b"damaged on disk")
    assert datasets.fetch(f"{server}/x", DIGEST, "x.bin", tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "digest", "error"),
    [
        ("/x", "0" * 64, ValueError),
        ("/half", DIGEST, ConnectionError),
        ("/absent", DIGEST, ConnectionError),
    ],
)
def test_fetch_keeps_nothing_wrong(server, tmp_path, path, digest, error):
    with pytest.raises(error, match=r"x\.bin"):
        datasets.fetch(server + path, digest, "x.bin", tmp_path)
    assert not list(tmp_path.iterdir())
    assert datasets.fetch(f"{server}/x", DIGEST, "x.bin", tmp_path).read_bytes() == CONTENT


def test_fetch_asks_for_a_whole_sha256(tmp_path):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        datasets.fetch("http://127.0.0.1:9/x", "", "x.bin", tmp_path)


def test_a_file_with_a_known_address_is_downloaded(server, folder, monkeypatch):
    known = files.Source("x.bin", "a test", "", sha256=DIGEST, url=f"{server}/x")
    monkeypatch.setitem(files.SOURCES, "x", known)
    monkeypatch.setattr(pooch, "os_cache", lambda _project: folder / "cache")
    assert files.locate("x") == folder / "cache" / "x.bin"
    (folder / "x.bin").write_bytes(CONTENT)
    assert files.locate("x") == folder / "x.bin" and Handler.served == 1
