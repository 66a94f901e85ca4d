"""`ipseity phrases` from the command line, against a scripted server."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipseity.surfaces.cli import app


class _Poet(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # noqa: N802 - the library's name
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = re.findall(r"[a-z]+", json.dumps(asked))
        phrases = [f"{word}like {letter * 3}" for word in ("moon", "sun", "pear") for letter in "abcdefghij"]
        content = json.dumps({"phrases": phrases if words else []})
        body = json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Poet)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}/v1"
    made.shutdown()
    made.server_close()
    thread.join()


COUNTS = tuple(
    word
    for slot in ("quality", "size", "colour", "texture", "background", "style")
    for word in ("--set", f"counts.{slot}=0")
)


def test_a_bank_is_written_and_named(server: str, tmp_path: Path) -> None:
    words = ["phrases", "tea pot", "--endpoint", server, "--model", "poet", "--out", str(tmp_path), *COUNTS]
    made = CliRunner().invoke(app, [*words, "--set", "counts.shape=5", "--json"])
    assert made.exit_code == 0, made.output
    bank = json.loads((tmp_path / "tea-pot.json").read_text(encoding="utf-8"))
    assert len(bank["shape"]) == 5
    assert "regularization.bank=" in made.output


def test_a_wrong_option_is_three_parts_and_exit_2(tmp_path: Path) -> None:
    words = ["phrases", "mug", "--endpoint", "http://127.0.0.1:9/v1", "--model", "poet", "--out", str(tmp_path)]
    made = CliRunner().invoke(app, [*words, "--set", "retrys=3"])
    assert made.exit_code == 2
    assert "retries" in made.output


def test_a_dead_server_is_three_parts_and_exit_2(tmp_path: Path) -> None:
    words = ["phrases", "mug", "--endpoint", "http://127.0.0.1:9/v1", "--model", "poet", "--out", str(tmp_path)]
    made = CliRunner().invoke(app, [*words, "--set", "retries=0", "--set", "backoff_seconds=0"])
    assert made.exit_code == 2
