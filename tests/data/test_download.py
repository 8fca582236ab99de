"""Downloads against a server in this process: whole, cut, resumed, wrong, missing, full disk."""

import errno
import hashlib
import os
import shutil
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from gtsrb_files import expect, official, official_test, write, zipped

from minicnn.data import download
from minicnn.data.download import ARCHIVES, MIRRORS, Archive, download_gtsrb, fetch
from minicnn.data.gtsrb import load_gtsrb
from minicnn.errors import ConfigError, DataError

CONTENT = bytes(range(256)) * 5000  # 1.28 MB
SIGNS = Archive("signs.zip", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Server(ThreadingHTTPServer):
    """Serves `files`; misbehaves as told."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.requests = []  # (path, Range header)
        self.cuts = []  # for each of the first answers: close after so many bytes
        self.ranges = True
        self.announce = True  # send Content-Length
        self.elsewhere = ""  # where to send everybody
        self.stall = 0.0  # seconds before a cut connection closes
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()

    def handle_error(self, request, client_address):
        """Say nothing of clients that hang up."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append((self.path, wanted))
        data = server.files.get(self.path.strip("/"))
        if server.elsewhere:
            self.send_response(302)
            self.send_header("Location", server.elsewhere)
            self.end_headers()
            return
        if data is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start >= len(data) and start:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if server.announce:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else None
        self.wfile.write(data[start:][:cut])
        if cut is not None:
            time.sleep(self.server.stall)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(files=None, **traits):
        server = Server({SIGNS.name: CONTENT} if files is None else files)
        for name, value in traits.items():
            setattr(server, name, value)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


def check(folder, path):
    assert path == folder / SIGNS.name
    assert path.read_bytes() == CONTENT
    assert [p.name for p in folder.iterdir()] == [SIGNS.name]


@pytest.mark.parametrize("announce", [True, False])
def test_whole(serve, tmp_path, announce):
    server = serve(announce=announce)
    check(tmp_path / "new", fetch(SIGNS, tmp_path / "new", [server.url]))
    assert server.requests == [("/signs.zip", None)]


def test_twice_is_once(serve, tmp_path):
    server = serve()
    for _ in range(2):
        check(tmp_path, fetch(SIGNS, tmp_path, [server.url]))
    assert len(server.requests) == 1


def test_damaged_file_is_fetched_again(serve, tmp_path, caplog):
    write(tmp_path / SIGNS.name, CONTENT[:-1] + b"x")
    check(tmp_path, fetch(SIGNS, tmp_path, [serve().url]))
    assert "its SHA-256 is not the official archive's" in caplog.text


@pytest.mark.parametrize("announce", [True, False])
def test_cut_connection_is_resumed_at_once(serve, tmp_path, announce):
    server = serve(cuts=[300_000, 500_000], announce=announce)
    check(tmp_path, fetch(SIGNS, tmp_path, [server.url]))
    assert [r for _, r in server.requests] == [None, "bytes=300000-", "bytes=800000-"]


def test_killed_run_is_resumed_later(serve, tmp_path):
    write(tmp_path / "signs.zip.part", CONTENT[:1000])
    server = serve()
    check(tmp_path, fetch(SIGNS, tmp_path, [server.url]))
    assert server.requests == [("/signs.zip", "bytes=1000-")]


def test_complete_first_part_needs_no_server(tmp_path):
    write(tmp_path / "signs.zip.part", CONTENT)
    check(tmp_path, fetch(SIGNS, tmp_path, ["http://127.0.0.1:1/"]))


def test_server_without_ranges(serve, tmp_path):
    write(tmp_path / "signs.zip.part", CONTENT[:1000])
    check(tmp_path, fetch(SIGNS, tmp_path, [serve(ranges=False).url]))


@pytest.mark.parametrize("part", [b"from elsewhere" * 50, b"x" * len(CONTENT), b"x" * 2_000_000])
def test_first_part_of_another_file(serve, tmp_path, part):
    """It is noticed at the end, and everything is fetched once more."""
    write(tmp_path / "signs.zip.part", part)
    check(tmp_path, fetch(SIGNS, tmp_path, [serve().url]))


def test_wrong_content_is_thrown_away(serve, tmp_path):
    evil = serve({SIGNS.name: CONTENT[:-1] + b"x"})
    with pytest.raises(DataError, match=r"wrong content \(its SHA-256 differs\); thrown away"):
        fetch(SIGNS, tmp_path, [evil.url])
    assert list(tmp_path.iterdir()) == []
    check(tmp_path, fetch(SIGNS, tmp_path, [evil.url, serve().url]))


@pytest.mark.parametrize("content", [CONTENT + b"more", b"<html>not here any more</html>"])
def test_wrong_length_is_not_even_fetched(serve, tmp_path, content):
    with pytest.raises(DataError, match=r"offers [\d,]+ bytes, but the archive has 1,280,000"):
        fetch(SIGNS, tmp_path, [serve({SIGNS.name: content}).url])
    assert list(tmp_path.iterdir()) == []


def test_endless_answer_is_stopped(serve, tmp_path):
    endless = serve({SIGNS.name: CONTENT * 3}, announce=False)
    with pytest.raises(DataError, match="sends more than the archive's 1,280,000 bytes"):
        fetch(SIGNS, tmp_path, [endless.url])
    assert (tmp_path / "signs.zip.part").stat().st_size == 0
    check(tmp_path, fetch(SIGNS, tmp_path, [serve().url]))


def test_mirror_with_a_shorter_file(serve, tmp_path):
    """It answers 416 to our range; the next mirror gets its chance from the start."""
    write(tmp_path / "signs.zip.part", CONTENT[:1000])
    short = serve({SIGNS.name: CONTENT[:500]})
    check(tmp_path, fetch(SIGNS, tmp_path, [short.url, serve().url]))


def test_next_mirror_goes_on_where_the_first_stopped(serve, tmp_path):
    first, second = serve(cuts=[400_000, 0]), serve()
    check(tmp_path, fetch(SIGNS, tmp_path, [first.url, second.url]))
    assert second.requests == [("/signs.zip", "bytes=400000-")]


def test_missing_on_the_first_mirror(serve, tmp_path):
    check(tmp_path, fetch(SIGNS, tmp_path, [serve({}).url, serve().url]))


def test_all_mirrors_down(serve, tmp_path):
    mirrors = [serve({}).url, "http://127.0.0.1:1/", "nonsense", serve(cuts=[0] * 9).url]
    with pytest.raises(DataError) as caught:
        fetch(SIGNS, tmp_path, mirrors)
    message = str(caught.value)
    for mirror, reason in zip(
        mirrors, ["HTTP 404", "refused", "unknown url type", "closed before anything"], strict=True
    ):
        assert f"{mirror.rstrip('/')}/signs.zip: " in message
        assert reason in message
    assert "run again (what has arrived is kept), or fetch it by hand into" in message


@pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
def test_nothing_but_the_web_is_read(serve, tmp_path, scheme):
    """Neither as a mirror nor where one sends us; a local file's content might be taken."""
    write(tmp_path / "there/signs.zip", CONTENT)
    for mirror in (f"{scheme}://{tmp_path}/there", serve(elsewhere=f"{scheme}:///etc/hosts").url):
        with pytest.raises(DataError, match=rf"signs\.zip: (unknown url type|HTTP 302).*{scheme}?"):
            fetch(SIGNS, tmp_path / "here", [mirror])
    assert list((tmp_path / "here").iterdir()) == []


def test_an_address_that_cannot_be_taken_apart(tmp_path):
    with pytest.raises(DataError, match=r"no mirror delivered it; http://\[/signs.zip: ValueError"):
        fetch(SIGNS, tmp_path, ["http://["])


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="no way here to refuse links")
def test_a_link_in_place_of_the_first_part_is_not_written_through(serve, tmp_path):
    precious = write(tmp_path / "precious", "x" * 100)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/signs.zip.part").symlink_to(precious)
    with pytest.raises(DataError, match=r"signs\.zip\.part: is a link or something special"):
        fetch(SIGNS, tmp_path / "here", [serve().url])
    assert precious.read_text() == "x" * 100


def test_two_processes_do_not_write_one_file(serve, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    write(tmp_path / "signs.zip.part", CONTENT[:1000])
    with open(tmp_path / "signs.zip.part", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is fetching it; wait for that"):
            fetch(SIGNS, tmp_path, [serve().url])
    assert (tmp_path / "signs.zip.part").read_bytes() == CONTENT[:1000]
    check(tmp_path, fetch(SIGNS, tmp_path, [serve().url]))


def test_every_try_is_cut(serve, tmp_path):
    server = serve(cuts=[1000] * 50)
    with pytest.raises(DataError, match="check the connection and run again"):
        fetch(SIGNS, tmp_path, [server.url])
    assert len(server.requests) == 5
    assert (tmp_path / "signs.zip.part").read_bytes() == CONTENT[:5000]


def test_silent_server(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.1)
    check(tmp_path, fetch(SIGNS, tmp_path, [serve(cuts=[1000], stall=0.5).url]))


def test_no_mirror(tmp_path):
    with pytest.raises(ConfigError, match=r"no mirror given for signs\.zip"):
        fetch(SIGNS, tmp_path, [])


def test_full_disk_is_seen_before_it_is_full(serve, tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(DataError, match=r"signs\.zip needs 1 MB more, but the disk has 1 MB left"):
        fetch(SIGNS, tmp_path, [serve().url])
    write(tmp_path / "signs.zip.part", CONTENT[:400_000])
    check(tmp_path, fetch(SIGNS, tmp_path, [serve().url]))


def test_disk_fills_up_on_the_way(serve, tmp_path, monkeypatch):
    """One clear error, no other mirror is tried, and what has arrived is kept."""

    def full(response, file, *_):
        file.write(response.read(1000))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download, "_copy", full)
        other = serve()
        with pytest.raises(DataError, match="No space left on device; make room or give another"):
            fetch(SIGNS, tmp_path, [serve().url, other.url])
        assert other.requests == []
    assert (tmp_path / "signs.zip.part").read_bytes() == CONTENT[:1000]
    check(tmp_path, fetch(SIGNS, tmp_path, [serve().url]))


def test_folder_that_cannot_be(serve, tmp_path):
    write(tmp_path / "file", "x")
    with pytest.raises(DataError, match="see that it can be written to"):
        fetch(SIGNS, tmp_path / "file", [serve().url])


def test_one_line_without_a_terminal(serve, tmp_path, capsys):
    server = serve()
    fetch(SIGNS, tmp_path, [server.url])
    assert capsys.readouterr().err == f"fetching {server.url}signs.zip (1 MB)\n"


def test_bar_on_a_terminal(serve, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    fetch(SIGNS, tmp_path, [serve().url])
    shown = capsys.readouterr().err
    assert "signs.zip" in shown
    assert "1.3/1.3 MB" in shown


def test_the_whole_set_ends_as_a_folder_that_loads(serve, tmp_path, monkeypatch):
    """The three archives by their own names, then both parts are read from them."""
    truth = official_test(tmp_path / "s/test")
    write(tmp_path / "s/truth/GT-final_test.csv", truth)
    official(tmp_path / "s/train")
    names = [archive.name for archives in ARCHIVES.values() for archive in archives]
    made = {
        name: zipped(tmp_path / "s" / part, tmp_path / f"{part}.zip").read_bytes()
        for part, name in zip(("train", "test", "truth"), names, strict=True)
    }
    ours = {
        part: tuple(
            Archive(a.name, len(made[a.name]), hashlib.sha256(made[a.name]).hexdigest())
            for a in archives
        )
        for part, archives in ARCHIVES.items()
    }
    monkeypatch.setattr(download, "ARCHIVES", ours)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    server = serve(made)
    folder = download_gtsrb(parts=["train"], mirrors=[server.url])
    assert folder == tmp_path / "cache/gtsrb"
    assert len(server.requests) == 1
    assert download_gtsrb(folder, mirrors=[server.url]) == folder
    assert len(server.requests) == 3
    expect(load_gtsrb(folder, size=8, cache=None))
    expect(load_gtsrb(folder, size=8, cache=None, part="test"))
    with pytest.raises(ConfigError, match="part 'val' does not exist"):
        download_gtsrb(folder, parts=["val"])


def test_the_official_list_is_complete():
    archives = [a for part in ARCHIVES.values() for a in part]
    assert len(archives) == 3
    for archive in archives:
        assert len(bytes.fromhex(archive.sha256)) == 32
        assert archive.size > 90_000
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in MIRRORS)
