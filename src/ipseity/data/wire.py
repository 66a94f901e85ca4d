"""What comes back from a chat server: an answer in one piece, or one that is spoken piece by piece."""

import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ipseity.data.answers import read_answer

BROKEN = (OSError, http.client.HTTPException, UnicodeError)
"""How a line breaks."""
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_MAX_BYTES = 4 * 2**20
_BITE = 65536


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    body: str
    wait_seconds: float = 0
    """How long it asks to be left alone."""
    place: str = ""
    """Where a redirect points to."""
    said: str | None = None
    """The model's words, where they came piece by piece."""
    broken: str = ""
    """Why the words end before their end."""

    @property
    def failure(self) -> str:
        """What may be otherwise when asked again; empty where it will not, or need not."""
        if self.status == 200 and self.said is None and not is_json(self.body):
            return "an answer that is no JSON"
        return f"HTTP {self.status}" if self.status in _RETRIED else ""

    @property
    def is_loading(self) -> bool:
        """Whether the server still reads its model in, which may take minutes and then ends."""
        return self.status == 503 and "loading" in self.body.lower()


def read_reply(response: Any, seconds: float) -> Reply:
    """Read an answer of either kind.

    Words that came before the line broke or the time ran out count if there is a phrase in them: a slow machine would
    lose minutes of work with them.

    Args:
        response: as urllib gives it, be it an error of HTTP.
        seconds: how long reading may take.

    Raises:
        OSError, http.client.HTTPException: the line broke, or the time ran out, before there was a phrase.
    """
    deadline, told = time.monotonic() + seconds, response.headers
    if response.status == 200 and (told["Content-Type"] or "").startswith("text/event-stream"):
        return _listen(response, deadline)
    body = b"".join(_bites(response.read1, deadline)).decode("utf-8", errors="replace")
    return Reply(response.status, body, _seconds(told["Retry-After"]), told["Location"] or "")


def is_json(text: str) -> bool:
    """Tell whether a text can be read as JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _listen(response: Any, deadline: float) -> Reply:
    """Put the pieces of an answer together."""
    said, failure = "", ConnectionError("the line broke in mid-answer")
    try:
        for line in _bites(response.readline, deadline):
            piece, is_last = _piece(line)
            said += piece
            if is_last:
                return Reply(200, "", said=said)
    except BROKEN as error:
        failure = error
    # words behind the last whole line or string may be half a phrase
    half = said[: max(said.rfind("\n"), said.rfind('"')) + 1]
    try:
        read_answer(half)
    except ValueError:
        raise failure from None
    return Reply(200, "", said=half, broken=str(failure) or type(failure).__name__)


def _piece(line: bytes) -> tuple[str, bool]:
    """Read one line of a stream: the words in it, and whether they are the last ones.

    Raises:
        ConnectionError: a server that fails in mid-answer says so in the stream.
    """
    text = line.decode("utf-8", errors="replace").strip().removeprefix("data:").strip()
    if text == "[DONE]":
        return "", True
    try:
        told = json.loads(text)
        if told.get("error"):
            raise ConnectionError(f"the server failed in mid-answer: {told['error']}")
        choice = told["choices"][0]
        words = choice["delta"].get("content")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", False  # blank lines, signs of life, thoughts and counts of tokens are no words
    return words if isinstance(words, str) else "", bool(choice.get("finish_reason"))


def _bites(take: Callable[[int], bytes], deadline: float) -> Iterator[bytes]:
    """Take bite after bite, but neither without end nor for ever."""
    size = 0
    while bite := take(_BITE):
        yield bite
        size += len(bite)
        if size > _MAX_BYTES:
            raise ConnectionError(f"an answer of more than {_MAX_BYTES // 2**20} MiB")
        if time.monotonic() > deadline:
            raise TimeoutError("the answer took too long")


def _seconds(text: str | None) -> float:
    return float(text) if text and re.fullmatch(r"\d{1,6}(\.\d+)?", text) else 0
