"""Asks a language model through a server that speaks OpenAI's chat protocol (OpenAI, vLLM, Ollama, llama.cpp)."""

import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field

from ipseity.core.errors import RecipeError, Refusal, RunError
from ipseity.core.options import Options
from ipseity.data.access import check_address, read_key
from ipseity.data.wire import BROKEN, Reply, read_reply

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NOBODY = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError, UnicodeError)
"""What a server that is not there, or is another, is known by; waiting would not help."""
_LOOK_AGAIN = 0.2
"""Seconds between two looks at a server that reads its model in, at least."""
_MAX_CHARS = 100
"""Longest phrase that a bounded list may hold; what is longer fits no slot."""
_NUM_RUNGS = 4
"""Ways to ask for JSON, the strictest first; servers refuse with 400 or 422 what they do not know. Behind the last of
them is a question with nothing in it that could be refused."""
_NO_MODEL = re.compile(r"model\W+(?:[\w.:/'\"`\\-]+\W+)?(?:does not exist|not found|is not found|not exist)|(?:invalid|unknown|no such) model", re.IGNORECASE)  # fmt: skip


class EndpointOptions(Options):
    """Which model is asked, where, and how patiently."""

    model: str = Field(min_length=1, max_length=300)
    """Name of the model at the endpoint; without an endpoint, a folder in the transformers layout, a .gguf file or a cached Hub id."""
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

    def say(self, question: str, *, num_asked: int, seed: int) -> str:
        """Ask once, and again where the server is busy or refuses the way of asking.

        Args:
            question: what the user of a chat would write.
            num_asked: phrases that it asks for; servers that can are told to end the list there.
            seed: given to servers that take one.

        Raises:
            RecipeError: the server refuses the key, the model or the question.
            RunError: the server does not answer.
        """
        while True:
            reply = self._exchange("/chat/completions", self._body(question, num_asked, seed))
            if reply.status == 200:
                return self._content(reply)
            steps_down = reply.status in (400, 422) and not _NO_MODEL.search(reply.body) and self._rung < _NUM_RUNGS
            if not steps_down:
                raise self._refusal(reply)
            self._rung += 1
            self.notices.append(f"The server does not take the question as it is ({self._words(reply)}); it is put more simply.")  # fmt: skip

    def _body(self, question: str, num_asked: int, seed: int) -> bytes:
        options = self._options
        body: dict[str, Any] = {"model": options.model, "messages": [{"role": "user", "content": question}]}
        if self._rung < _NUM_RUNGS:
            body |= {"temperature": options.temperature, "max_tokens": options.max_tokens, "seed": seed, "stream": True}
            if form := _form(self._rung, num_asked):
                body["response_format"] = form
        return json.dumps(body).encode()

    def _exchange(self, path: str, body: bytes) -> Reply:
        """Send and wait, send again: a busy or broken server may come back; one that never spoke is not waited for."""
        reason, attempt = Exception(), 0
        first, patience = self._options.backoff_seconds, time.monotonic() + self._options.timeout_seconds
        while attempt <= self._options.retries:
            wait = 0.0
            try:
                reply = self._send(path, body)
                self._answered = True
                if not reply.failure:
                    return reply
                reason, wait = ConnectionError(f"{reply.failure}: {self._words(reply)}"), reply.wait_seconds
                if reply.is_loading and time.monotonic() < patience:
                    time.sleep(max(first, _LOOK_AGAIN))
                    continue
            except BROKEN as error:
                reason = error.reason if isinstance(error, urllib.error.URLError) else error
                if not self._answered and isinstance(reason, _NOBODY):
                    break
            if attempt < self._options.retries:
                time.sleep(min(max(first * 2**attempt, wait), first * 32))
            attempt += 1
        raise self._silence(reason)

    def _send(self, path: str, body: bytes | None) -> Reply:
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "User-Agent": "ipseity"}  # fmt: skip
        request = urllib.request.Request(self._url + path, data=body, headers=headers)
        if self._key:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        seconds = self._options.timeout_seconds
        try:
            with self._opener.open(request, timeout=seconds) as response:
                return read_reply(response, seconds)
        except urllib.error.HTTPError as error:
            with error:
                return read_reply(error, seconds)

    def _content(self, reply: Reply) -> str:
        if reply.broken:
            self.notices.append(f"An answer broke off ({self._short(reply.broken)}); what had come of it is kept.")
        if reply.said is not None:
            return reply.said
        try:
            said = json.loads(reply.body)["choices"][0]["message"]["content"]
        except (LookupError, TypeError) as error:
            raise RecipeError(
                f"the endpoint {self._url} answers, but not as a chat ({self._words(reply)})",
                "a server that speaks OpenAI's chat protocol",
                "check the address: it mostly ends in /v1",
            ) from error
        return said if isinstance(said, str) else ""

    def _silence(self, reason: object) -> RunError:
        """Say that no answer came; a server that is slow is mended otherwise than one that is gone."""
        options = self._options
        said = self._short(str(reason) or type(reason).__name__)
        if isinstance(reason, TimeoutError):
            return RunError(
                f"the endpoint {self._url} does not answer within {options.timeout_seconds:g} s ({said})",
                f"the first of the phrases in that time, at one of {options.retries + 1} tries",
                "look whether the server works on it; raise `timeout_seconds` or lower `at_once` if it is only slow, "
                "start it anew if it hangs, and repeat the command",
            )
        return RunError(
            f"the endpoint {self._url} does not answer ({said})",
            "a server that speaks OpenAI's chat protocol and is running",
            "start it, or check the address, the network and your quota, and repeat the command",
        )

    def _refusal(self, reply: Reply) -> Refusal:
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

    def _unknown(self, reply: Reply) -> RecipeError:
        """Tell a model that is not there from an address that is none, by the list of models."""
        found = f"the endpoint {self._url} knows no model '{self._options.model}' (HTTP {reply.status}: {self._words(reply)})"  # fmt: skip
        try:
            told = json.loads(self._send("/models", None).body)["data"]
            names = [str(model["id"]) for model in told]
        except (*BROKEN, ValueError, LookupError, TypeError, RecursionError):
            return RecipeError(
                found,
                "a model that the server has, at a base URL that mostly ends in /v1",
                "check `model` and `endpoint`, or fetch the model on the server",
            )
        listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        return RecipeError(
            found, f"one of: {self._without_key(listed) or 'none, it lists no model'}", "set `model` to it"
        )

    def _words(self, reply: Reply) -> str:
        """Give the server's own words, short, on one line."""
        told: Any = None
        try:
            told = json.loads(reply.body)
            for name in ("error", "detail", "message"):
                told = cast(Mapping[str, Any], told).get(name, told) if isinstance(told, Mapping) else told
        except (ValueError, RecursionError):
            told = re.sub(r"<[^>]*>", " ", reply.body)
        return self._short(str(told)) or "no words"

    def _short(self, text: str) -> str:
        text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        text = self._without_key(text)
        return (text[:200] + "..." if len(text) > 200 else text).rstrip(".")

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _form(rung: int, num_asked: int) -> Mapping[str, Any] | None:
    """Give what a rung asks of the form of an answer.

    The bounded list matters most to small models: left alone, they stop after three phrases or never.
    """
    if rung >= 2:
        return {"type": "json_object"} if rung == 2 else None
    bounds, lengths = (
        ({"minItems": num_asked, "maxItems": num_asked}, {"maxLength": _MAX_CHARS}) if rung == 0 else ({}, {})
    )
    phrases = {"type": "array", "items": {"type": "string", **lengths}, **bounds}
    schema = {
        "type": "object",
        "properties": {"phrases": phrases},
        "required": ["phrases"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "phrases", "strict": True, "schema": schema}}
