"""Downloads of weights, from a server on this computer."""

import hashlib
import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from napari_uml.errors import DownloadError
from napari_uml.weights import fetch, find_weights

PIECE = 1 << 16
CONTENT = bytes(range(256)) * (4 * PIECE // 256)
HALF = len(CONTENT) // 2


class Handler(BaseHTTPRequestHandler):
    """Sends CONTENT in the way that the path names; the server logs path and Range, and counts the bytes sent."""

    def do_GET(self) -> None:
        server, way = self.server, self.path.strip("/")
        server.asked.append((way, self.headers["Range"]))
        first = [way for way, _ in server.asked].count(way) == 1
        if way == "missing":
            self.send_error(404)
            return
        if way.startswith("busy") and first:
            self.send_error(int(way.removeprefix("busy")))
            return
        content = {"wrong": CONTENT[::-1], "short": CONTENT[:-1], "long": CONTENT + b"!"}.get(way, CONTENT)
        start = int(self.headers["Range"][len("bytes=") : -1]) if self.headers["Range"] and way != "no-range" else 0
        self.send_response(206 if start else 200)
        if start:
            claimed = 0 if way == "liar" else start
            self.send_header("Content-Range", f"bytes {claimed}-{len(content) - 1}/{len(content)}")
        if way not in ("long", "no-length"):
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        breaks = way in ("broken", "liar", "no-range", "no-length") and first
        part = content[start : HALF if breaks else None]
        server.sent += len(part)  # before the client has them all and looks
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server():
    """A running server with its log."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    server.asked, server.sent = [], 0
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def offer(tmp_path, monkeypatch, server):
    """Register "fundus" at these addresses (a word is a path of the server) and return the cache folder."""
    monkeypatch.setattr("napari_uml.weights.registry.bundled_folder", lambda: tmp_path)
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    monkeypatch.setenv("NAPARI_UML_CACHE", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    def register(*urls: str) -> Path:
        base = f"http://127.0.0.1:{server.server_port}/"
        model = {
            "file": "fundus.safetensors",
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "size": len(CONTENT),
            "urls": [url if "://" in url else base + url for url in urls],
            "title": "Fundus",
        }
        (tmp_path / "registry.json").write_text(json.dumps({"models": {"fundus": model}}))
        return tmp_path / "cache"

    return register


def closed_address() -> str:
    """An address of this computer where nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}/x"


def test_fetched_file_is_verified_complete_and_found(offer, server):
    cache = offer("good")
    path = fetch("fundus")
    assert path.read_bytes() == CONTENT
    assert find_weights("fundus") == path
    assert list(cache.iterdir()) == [path]


def test_second_fetch_asks_nobody(offer, server):
    offer("good")
    assert fetch("fundus") == fetch("fundus")
    assert server.asked == [("good", None)]


def test_progress_rises_to_the_size(offer):
    offer("good")
    seen = []
    fetch("fundus", lambda have, size: seen.append((have, size)))
    assert [have for have, _ in seen] == [PIECE, 2 * PIECE, 3 * PIECE, 4 * PIECE]
    assert {size for _, size in seen} == {len(CONTENT)}


@pytest.mark.parametrize("way", ["broken", "no-length"])
def test_broken_transfer_is_resumed_without_sending_a_byte_twice(offer, server, way):
    offer(way)
    assert fetch("fundus").read_bytes() == CONTENT
    assert server.asked == [(way, None), (way, f"bytes={HALF}-")]
    assert server.sent == len(CONTENT)


def test_cancelled_download_goes_on_where_it_stopped(offer, server):
    class CancelledError(Exception):
        pass

    def cancel(have, _size):
        if have >= HALF:
            raise CancelledError

    cache = offer("good")
    with pytest.raises(CancelledError):
        fetch("fundus", cancel)
    assert [path.name for path in cache.iterdir()] == ["fundus.safetensors.part"]
    assert fetch("fundus").read_bytes() == CONTENT
    assert server.asked[-1] == ("good", f"bytes={HALF}-")


def test_server_that_cannot_resume_sends_everything_again(offer, server):
    offer("no-range")
    assert fetch("fundus").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, f"bytes={HALF}-"]
    assert server.sent == HALF + len(CONTENT)


@pytest.mark.parametrize("way", ["busy503", "busy429"])
def test_busy_server_is_asked_again(offer, server, way):
    offer(way)
    assert fetch("fundus").read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_stale_part_of_another_file_is_thrown_away(offer):
    cache = offer("good")
    cache.mkdir()
    (cache / "fundus.safetensors.part").write_bytes(b"an older version")
    assert fetch("fundus").read_bytes() == CONTENT


def test_missing_file_is_not_asked_for_again_and_the_next_address_is_tried(offer, server):
    offer("missing", "good")
    assert fetch("fundus").read_bytes() == CONTENT
    assert [way for way, _ in server.asked] == ["missing", "good"]


def test_next_address_completes_what_the_first_began(offer, server):
    offer("liar", "good")
    assert fetch("fundus").read_bytes() == CONTENT
    assert server.asked[-1] == ("good", f"bytes={HALF}-")


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("missing", r"answers 404 \(Not Found\)"),
        ("wrong", "wrong SHA-256"),
        ("short", f"has a file of {len(CONTENT) - 1} bytes, expected {len(CONTENT)}"),
        ("long", f"sends more than the {len(CONTENT)} bytes"),
        ("liar", "another part of the file"),
    ],
)
def test_failure_says_which_address_why_and_where_to_put_the_file(offer, server, way, words):
    cache = offer(way)
    with pytest.raises(DownloadError, match=words) as raised:
        fetch("fundus")
    assert f"http://127.0.0.1:{server.server_port}/{way}" in str(raised.value)
    assert f"Get fundus.safetensors (0.3 MB) in another way and put it into {cache} by hand." in str(raised.value)
    assert not (cache / "fundus.safetensors").exists()


def test_server_that_is_gone_is_named(offer):
    url = closed_address()
    offer(url)
    with pytest.raises(DownloadError, match=f"{url} cannot be reached"):
        fetch("fundus")


def test_proxy_that_is_gone_is_named(offer, monkeypatch):
    offer("good")
    monkeypatch.setenv("http_proxy", closed_address())
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DownloadError, match="cannot be reached through the proxy"):
        fetch("fundus")


def test_every_address_that_failed_is_listed(offer):
    offer("missing", "wrong")
    with pytest.raises(
        DownloadError, match=r"/missing answers 404 .*; http.*/wrong sends a file with the wrong SHA-256"
    ):
        fetch("fundus")


def test_model_without_an_address_says_so(offer):
    offer()
    with pytest.raises(DownloadError, match="the registry has no address for it"):
        fetch("fundus")


def test_cache_that_cannot_be_written_is_named(offer, server):
    cache = offer("good")
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(DownloadError, match=f"cannot be saved in {cache}"):
        fetch("fundus")


def test_unknown_name_is_a_bad_argument(offer):
    offer("good")
    with pytest.raises(ValueError, match=r"one of the models fundus, got 'fundos'\. Did you mean 'fundus'"):
        fetch("fundos")
