"""Files by URL, from servers on this machine that cut connections, know no ranges, or have another file."""

import hashlib
import http.server
import multiprocessing
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlic_mm.safe_load.download import DownloadError, download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]


class Server(http.server.ThreadingHTTPServer):
    """Serves ``content`` (None: 404), with ``ranges`` or without, and cuts each connection after ``cuts`` bytes.

    ``headers`` are sent besides, or in place of the server's own; of None they are left out.
    """

    def __init__(
        self,
        content: bytes | None,
        *,
        ranges: bool = True,
        cuts: list[int] | None = None,
        headers: dict[str, str | None] | None = None,
    ) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.content = content
        self.ranges = ranges
        self.cuts = list(cuts or [])
        self.headers = headers or {}
        self.asked: list[str | None] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}/net-{DIGITS}.pth'


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers['Range']
        self.server.asked.append(wanted)
        content = self.server.content
        if content is None:
            return self.send_error(404)
        start = 0
        if wanted and self.server.ranges:
            start = int(re.fullmatch(r'bytes=(\d+)-', wanted)[1])
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        else:
            self.send_response(200)
        for name, value in ({'Content-Length': str(len(content) - start)} | self.server.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        end = start + self.server.cuts.pop(0) if self.server.cuts else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *args: object) -> None:
        pass


Serve = Callable[..., Server]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    servers: list[Server] = []

    def start(*args, **kwargs) -> Server:
        servers.append(Server(*args, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / 'cache' / f'net-{DIGITS}.pth'


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith('.'))


def test_a_cut_is_gone_on_with_at_once(serve: Serve, file: Path) -> None:
    server = serve(CONTENT, cuts=[1000, 2000])
    download([server.url], file, DIGITS)
    assert file.read_bytes() == CONTENT
    assert server.asked == [None, 'bytes=1000-', 'bytes=3000-']
    assert visible(file.parent) == [file.name]


def test_the_next_home_goes_on_with_it(serve: Serve, file: Path) -> None:
    first, second = serve(CONTENT, cuts=[5000, 0]), serve(CONTENT)
    download([first.url, second.url], file, DIGITS)
    assert file.read_bytes() == CONTENT
    assert (first.asked, second.asked) == ([None, 'bytes=5000-'], ['bytes=5000-'])


def test_the_next_call_goes_on_with_it(serve: Serve, file: Path) -> None:
    server = serve(CONTENT, cuts=[700, 0])
    with pytest.raises(
        DownloadError, match=rf'^{server.url}: the connection was cut after 700 of {len(CONTENT)} bytes$'
    ):
        download([server.url], file, DIGITS)
    assert visible(file.parent) == [f'{file.name}.part']
    download([server.url], file, DIGITS)
    assert server.asked[-1] == 'bytes=700-'
    assert file.read_bytes() == CONTENT
    assert visible(file.parent) == [file.name]


def test_a_server_without_ranges_sends_all_of_it(serve: Serve, file: Path) -> None:
    server = serve(CONTENT, ranges=False, cuts=[700])
    download([server.url], file, DIGITS)
    assert file.read_bytes() == CONTENT
    assert server.asked == [None, 'bytes=700-']


@pytest.mark.parametrize('left', [b'another file', CONTENT[:-1] + b'x', CONTENT + b'more'])
def test_a_beginning_of_another_file_is_thrown_away(serve: Serve, file: Path, left: bytes) -> None:
    """Found by the sum: fetched anew, once."""
    file.parent.mkdir()
    file.with_name(f'{file.name}.part').write_bytes(left)
    server = serve(CONTENT)
    download([server.url], file, DIGITS)
    assert file.read_bytes() == CONTENT
    assert server.asked == [f'bytes={len(left)}-', None]


def test_a_whole_part_needs_nothing_more(serve: Serve, file: Path) -> None:
    file.parent.mkdir()
    file.with_name(f'{file.name}.part').write_bytes(CONTENT)
    download([serve(CONTENT).url], file, DIGITS)
    assert file.read_bytes() == CONTENT


def test_a_wrong_file_is_never_given_the_name(serve: Serve, file: Path) -> None:
    """The first home lacks it, the second has another one."""
    gone, wrong = serve(None), serve(CONTENT[::-1])
    with pytest.raises(DownloadError, match=rf'^{gone.url}: HTTP Error 404.*; {wrong.url}: .* promises, {DIGITS}$'):
        download([gone.url, wrong.url], file, DIGITS)
    assert wrong.asked == [None]
    assert visible(file.parent) == []
    download([gone.url, wrong.url, serve(CONTENT).url], file, DIGITS)
    assert file.read_bytes() == CONTENT


def test_without_a_sum_nothing_is_resumed(serve: Serve, file: Path) -> None:
    """Nothing would show that two halves belong together; half a file is no file."""
    server = serve(CONTENT, cuts=[700])
    with pytest.raises(DownloadError, match='cut after 700 of'):
        download([server.url], file)
    assert visible(file.parent) == []
    download([server.url], file)
    assert server.asked == [None, None]
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ('content', 'headers', 'reason'),
    [
        (b'', {}, 'the server sent an empty file'),
        (b'', {'Content-Length': None}, 'the server sent an empty file'),
        (b'<p>Log in</p>', {'Content-Type': 'text/html; charset=utf-8'}, 'a web page in place of the file'),
        (CONTENT, {'Content-Encoding': 'gzip'}, r'a packed file \(gzip\) in place of the file'),
    ],
)
@pytest.mark.parametrize('digits', ['', DIGITS])
def test_what_is_not_the_file_leaves_all_as_it_was(
    serve: Serve, file: Path, content: bytes, headers: dict, reason: str, digits: str
) -> None:
    wrong = serve(content, headers=headers)
    with pytest.raises(DownloadError, match=rf'^{wrong.url}: .*{reason}$'):
        download([wrong.url], file, digits)
    assert visible(file.parent) == []
    download([wrong.url, serve(CONTENT).url], file, digits)
    assert file.read_bytes() == CONTENT


def test_a_login_page_does_not_cost_what_came_before(serve: Serve, file: Path) -> None:
    file.parent.mkdir()
    file.with_name(f'{file.name}.part').write_bytes(CONTENT[:700])
    second = serve(CONTENT)
    download([serve(b'<p>', ranges=False, headers={'Content-Type': 'text/html'}).url, second.url], file, DIGITS)
    assert second.asked == ['bytes=700-']


@pytest.mark.parametrize('length', [None, 'abc', '-5', '²'.encode().decode('latin-1')])
@pytest.mark.parametrize('ranges', [True, False])
def test_a_length_that_is_not_known(serve: Serve, file: Path, length: str | None, ranges: bool) -> None:
    """A cut shows in the sum alone; what came is gone on with, by the next call where need be."""
    headers = {'Content-Length': length}
    download([serve(CONTENT, headers=headers).url], file)
    assert file.read_bytes() == CONTENT
    file.unlink()
    server = serve(CONTENT, headers=headers, ranges=ranges, cuts=[700, 0] if ranges else [700, 700])
    with pytest.raises(DownloadError, match=rf'^{server.url}: the connection ended after 700 bytes'):
        download([server.url], file, DIGITS)
    assert visible(file.parent) == [f'{file.name}.part']
    download([server.url], file, DIGITS)
    assert server.asked == [None, 'bytes=700-', 'bytes=700-']
    assert file.read_bytes() == CONTENT
    assert visible(file.parent) == [file.name]


@pytest.mark.process
def test_two_processes_fetch_once(serve: Serve, file: Path) -> None:
    server = serve(CONTENT)
    processes = [
        multiprocessing.get_context('fork').Process(target=download, args=([server.url], file, DIGITS)) for _ in 'ab'
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0]
    assert server.asked == [None]
    assert file.read_bytes() == CONTENT


def test_a_link_laid_there_is_not_followed(serve: Serve, file: Path, tmp_path: Path) -> None:
    file.parent.mkdir()
    (tmp_path / 'precious').write_text('mine')
    file.with_name(f'{file.name}.part').symlink_to(tmp_path / 'precious')
    with pytest.raises(DownloadError, match=r'net-.*\.part'):
        download([serve(CONTENT).url], file, DIGITS)
    assert (tmp_path / 'precious').read_text() == 'mine'


def test_a_folder_that_cannot_be_made(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / 'cache').write_text('a file')
    with pytest.raises(DownloadError, match='cache'):
        download([serve(CONTENT).url], tmp_path / 'cache' / 'net.pth')
