"""Asks a language model through a server that speaks OpenAI's chat protocol (OpenAI, vLLM, Ollama, llama.cpp)."""

import http.client
import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import Field

from ipseity.core.errors import RecipeError, Refusal, RunError
from ipseity.core.options import Options
from ipseity.data.access import check_address, read_key

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MAX_BYTES = 4 * 2**20
_NOBODY = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError, UnicodeError)
"""What a server that is not there, or is another, is known by; waiting would not help."""
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"phrases": {"type": "array", "items": {"type": "string"}}},
    "required": ["phrases"],
    "additionalProperties": False,
}
_FORMATS: tuple[Mapping[str, Any] | None, ...] = (
    {"type": "json_schema", "json_schema": {"name": "phrases", "strict": True, "schema": _SCHEMA}},
    {"type": "json_object"},
    None,
)
"""Ways to ask for JSON, the strictest first; servers refuse with 400 or 422 what they do not know."""
_NO_MODEL = re.compile(r"model\W+(?:[\w.:/'\"`\\-]+\W+)?(?:does not exist|not found|is not found|not exist)|(?:invalid|unknown|no such) model", re.IGNORECASE)  # fmt: skip


class EndpointOptions(Options):
    """Which model is asked, where, and how patiently."""

    model: str = Field(min_length=1, max_length=300)
    """Name of the model at the endpoint; without an endpoint, a folder in the transformers layout or a cached Hub id."""
    endpoint: str | None = None
    """Base URL of a server that speaks OpenAI's chat protocol ("http://127.0.0.1:8000/v1"); unset asks a local model."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the API key, if the server wants one. Never the key itself."""
    temperature: float = Field(0.8, ge=0, le=2)
    """How freely the model speaks; 0 repeats itself."""
    max_tokens: int = Field(4096, ge=64, le=65536)
    """Longest answer, in tokens."""
    timeout_seconds: float = Field(120, gt=0, le=3600)
    """How long one answer may take."""
    retries: int = Field(4, ge=0, le=20)
    """How often a question is asked again that was not answered, or not so that it can be read."""
    backoff_seconds: float = Field(1, ge=0, le=60)
    """First wait before asking again; it doubles, up to 32 times, and a server that names a longer one is heard so far."""


@dataclass(frozen=True)
class _Reply:
    status: int
    body: str
    wait_seconds: float = 0
    place: str = ""
    """Where a redirect points to."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A question that is sent on would become a GET, and would carry the key to another host."""

    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        """Follow nothing; the refusal says where it would have gone."""


class Endpoint:
    """A model behind a server. It remembers which way of asking for JSON the server takes.

    Args:
        options: where it is; nothing is sent before the first question.

    Raises:
        RecipeError: the URL is none, or the variable of the key is not set.
    """

    def __init__(self, options: EndpointOptions) -> None:
        assert options.endpoint is not None
        self._options = options
        self._url = options.endpoint.rstrip("/")
        address = check_address(self._url)
        is_near = address.hostname in _LOOPBACK
        self._key = read_key(options.api_key_env)
        # a proxy cannot reach what listens on this machine
        proxy = urllib.request.ProxyHandler({} if is_near else None)
        self._opener = urllib.request.build_opener(proxy, _NoRedirect)
        self._rung = 0
        self._answered = False
        self.notices: list[str] = []
        if self._key and address.scheme == "http" and not is_near:
            self.notices.append(
                f"The API key travels unencrypted to {address.hostname}: an https address would hide it."
            )

    def say(self, question: str, *, seed: int) -> str:
        """Ask once, and again where the server is busy or refuses the way of asking.

        Args:
            question: what the user of a chat would write.
            seed: given to servers that take one.

        Raises:
            RecipeError: the server refuses the key, the model or the question.
            RunError: the server does not answer.
        """
        while True:
            reply = self._exchange("/chat/completions", self._body(question, seed))
            if reply.status == 200:
                return self._content(reply)
            steps_down = reply.status in (400, 422) and not _NO_MODEL.search(reply.body) and self._rung < len(_FORMATS)
            if not steps_down:
                raise self._refusal(reply)
            self._rung += 1
            self.notices.append(f"The server does not take the question as it is ({self._words(reply)}); it is put more simply.")  # fmt: skip

    def _body(self, question: str, seed: int) -> bytes:
        options = self._options
        body: dict[str, Any] = {"model": options.model, "messages": [{"role": "user", "content": question}]}
        if self._rung < len(_FORMATS):  # the last rung says nothing that a server could refuse
            body |= {"temperature": options.temperature, "max_tokens": options.max_tokens, "seed": seed}
            if form := _FORMATS[self._rung]:
                body["response_format"] = form
        return json.dumps(body).encode()

    def _exchange(self, path: str, body: bytes | None) -> _Reply:
        """Send and wait, send again: a busy or broken server may come back; one that never spoke is not waited for."""
        reason = ""
        for attempt in range(self._options.retries + 1):
            reply = None
            try:
                reply = self._send(path, body)
            except (OSError, http.client.HTTPException, UnicodeError) as error:
                cause = error.reason if isinstance(error, urllib.error.URLError) else error
                reason = str(cause) or type(cause).__name__
                if not self._answered and isinstance(cause, _NOBODY):
                    break
            if reply is not None:
                self._answered = True
                if reply.status not in _RETRIED and not (reply.status == 200 and not _is_json(reply.body)):
                    return reply
                reason = "an answer that is no JSON" if reply.status == 200 else f"HTTP {reply.status}: {self._words(reply)}"  # fmt: skip
            if attempt < self._options.retries:
                first = self._options.backoff_seconds
                time.sleep(min(max(first * 2**attempt, reply.wait_seconds if reply else 0), first * 32))
        raise RunError(
            f"the endpoint {self._url} does not answer ({self._without_key(reason)})",
            "a server that speaks OpenAI's chat protocol and is running",
            "start it, or check the address, the network and your quota, and repeat the command",
        )

    def _send(self, path: str, body: bytes | None) -> _Reply:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "ipseity"}
        request = urllib.request.Request(self._url + path, data=body, headers=headers)
        if self._key:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        deadline = time.monotonic() + self._options.timeout_seconds
        try:
            with self._opener.open(request, timeout=self._options.timeout_seconds) as response:
                return _Reply(response.status, _read(response, deadline))
        except urllib.error.HTTPError as error:
            with error:
                told = error.headers
                return _Reply(error.code, _read(error, deadline), _seconds(told["Retry-After"]), told["Location"] or "")

    def _content(self, reply: _Reply) -> str:
        try:
            said = json.loads(reply.body)["choices"][0]["message"]["content"]
        except (LookupError, TypeError) as error:
            raise RecipeError(
                f"the endpoint {self._url} answers, but not as a chat ({self._words(reply)})",
                "a server that speaks OpenAI's chat protocol",
                "check the address: it mostly ends in /v1",
            ) from error
        return said if isinstance(said, str) else ""

    def _refusal(self, reply: _Reply) -> Refusal:
        where, status = self._url, reply.status
        if status in (401, 403):  # the server's words are left out: some repeat the key
            named = self._options.api_key_env
            return RecipeError(
                f"the endpoint {where} refuses {f'the API key in {named}' if named else 'a question without API key'} (HTTP {status})",
                "a key that may use this model, in an environment variable that `api_key_env` names",
                f"set {named} to such a key" if named else "export it, and name the variable with `api_key_env`",
            )
        if status in range(300, 400):
            return RecipeError(
                f"the endpoint {where} sends on to {self._without_key(reply.place) or 'another place'} (HTTP {status})",
                "the address of the server itself, for a key is not handed on",
                "set `endpoint` to it if you trust it",
            )
        if status == 404 or _NO_MODEL.search(reply.body):
            return self._unknown(reply)
        return RecipeError(
            f"the endpoint {where} refuses the question (HTTP {status}: {self._words(reply)})",
            "a server and a model that answer chat questions",
            "mend what it says, or choose another `model` or `endpoint`",
        )

    def _unknown(self, reply: _Reply) -> RecipeError:
        """Tell a model that is not there from an address that is none, by the list of models."""
        found = f"the endpoint {self._url} knows no model '{self._options.model}' (HTTP {reply.status}: {self._words(reply)})"  # fmt: skip
        try:
            told = json.loads(self._send("/models", None).body)["data"]
            names = [str(model["id"]) for model in told]
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, RecursionError):
            return RecipeError(
                found,
                "a model that the server has, at a base URL that mostly ends in /v1",
                "check `model` and `endpoint`, or fetch the model on the server",
            )
        listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        return RecipeError(
            found, f"one of: {self._without_key(listed) or 'none, it lists no model'}", "set `model` to it"
        )

    def _words(self, reply: _Reply) -> str:
        """Give the server's own words, short, on one line."""
        told: Any = None
        try:
            told = json.loads(reply.body)
            for name in ("error", "detail", "message"):
                told = cast(Mapping[str, Any], told).get(name, told) if isinstance(told, Mapping) else told
        except (ValueError, RecursionError):
            told = re.sub(r"<[^>]*>", " ", reply.body)
        text = " ".join("".join(char if char.isprintable() else " " for char in str(told)).split())
        text = self._without_key(text)
        return (text[:200] + "..." if len(text) > 200 else text).rstrip(".") or "no words"

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _read(response: Any, deadline: float) -> str:
    """Read a body, but neither without end nor for ever."""
    parts: list[bytes] = []
    size = 0
    while part := response.read1(65536):
        parts.append(part)
        size += len(part)
        if size > _MAX_BYTES:
            raise ConnectionError(f"an answer of more than {_MAX_BYTES // 2**20} MiB")
        if time.monotonic() > deadline:
            raise TimeoutError("the answer took too long")
    return b"".join(parts).decode("utf-8", errors="replace")


def _seconds(text: str | None) -> float:
    return float(text) if text and re.fullmatch(r"\d{1,6}(\.\d+)?", text) else 0


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
