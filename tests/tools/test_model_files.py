"""Finding model files, and downloads that end well or leave nothing behind."""

import hashlib
import http.server
import socket
import threading

import pytest

import model_files
from gpen_core.checkpoints.registry import KnownModel
from model_files import DownloadError, UnreachableError, download, find_checkpoint, find_detector

CONTENT = b"weights" * 1000


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    folder = tmp_path / "downloads"
    monkeypatch.setattr(model_files, "DOWNLOAD_FOLDER", folder)
    monkeypatch.setattr(model_files, "CONNECT_TIMEOUT_S", 0.5)
    return folder


@pytest.fixture
def site():
    """A web server with one file, and with one that breaks off."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/missing":
                self.send_error(404)
                return
            self.send_response(200)
            excess = 10 if self.path == "/short" else 0
            self.send_header("Content-Length", str(len(CONTENT) + excess))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def known(url, content=CONTENT):
    return KnownModel("GPEN-test.onnx", url, hashlib.sha256(content).hexdigest())


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_download_known_hash_is_stored(site, downloads):
    path = download(known(f"{site}/file"), "gpen")
    assert path == downloads / "gpen" / "GPEN-test.onnx"
    assert path.read_bytes() == CONTENT
    assert files_in(downloads) == [path]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("/file", b"other", "expected SHA-256"),
        ("/missing", CONTENT, "status 404"),
        ("/short", CONTENT + b"0123456789", "expected SHA-256|broke off"),
    ],
)
def test_download_bad_answer_is_an_error_and_leaves_nothing(
    site, downloads, path, content, message
):
    with pytest.raises(DownloadError, match=message):
        download(known(site + path, content), "gpen")
    assert files_in(downloads) == []


def test_download_unpinned_file_is_refused(site, downloads):
    with pytest.raises(DownloadError, match="expected SHA-256 None"):
        download(KnownModel("GPEN-test.onnx", f"{site}/file"), "gpen")
    assert files_in(downloads) == []


def test_download_closed_port_is_unreachable(downloads):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with pytest.raises(UnreachableError):
            download(known(url), "gpen")
    assert not downloads.exists()


def test_download_silent_server_is_unreachable(downloads):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(UnreachableError, match="no answer within"):
            download(known(url), "gpen")


def test_find_checkpoint_prefers_the_largest_restoration_model(tmp_path):
    names = [
        "facerestore_models/GPEN-BFR-512.pth",
        "gpen/GPEN-BFR-1024.onnx",
        "gpen/GPEN-Colorization-2048.pth",
        "gpen/GPEN-BFR-2048.txt",
        "gpen/GFPGANv1.4.pth",
    ]
    assert find_checkpoint([tmp_path]) is None
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_checkpoint([tmp_path]) == tmp_path / "gpen/GPEN-BFR-1024.onnx"
    (tmp_path / "facerestore_models/gpen_bfr_2048.onnx").touch()
    assert find_checkpoint([tmp_path]).name == "gpen_bfr_2048.onnx"


def test_find_detector_takes_the_first_folder_that_has_it(tmp_path):
    assert find_detector([tmp_path]) is None
    folder = tmp_path / "second" / "facedetection"
    folder.mkdir(parents=True)
    (folder / "detection_mobilenet0.25_Final.pth").touch()
    assert find_detector([tmp_path, tmp_path / "second"]).parent == folder
