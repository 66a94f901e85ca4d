"""Phrases from a language model: a scripted server on this machine, and a tiny model in a folder."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ipseity.core.errors import RecipeError, Refusal, RunError, WeightsError
from ipseity.core.events import Event, Noticed, Progressed
from ipseity.core.rng import Rng
from ipseity.core.types import Subject
from ipseity.data.answers import clean, distinct
from ipseity.data.inquiry import InquiryOptions, ask_phrases, save_bank
from ipseity.data.phrases import Phrases, phrases_for
from ipseity.data.questions import Counts, Question, questions
from ipseity.data.regularization.structured import Structured, StructuredSetOptions

NONE = dict.fromkeys(Counts.model_fields, 0)
COLOURS = ("amber", "jade", "ruby red", "slate gray", "ivory", "plum", "ochre", "mint green")
PLACES = ("on a windowsill", "in a pantry", "beside a loaf of bread", "under a pergola", "near a stove", "at a picnic")
KEY = "sk-very-secret-4711"


@dataclass(frozen=True)
class Spoken:
    """An answer that comes piece by piece, as llama.cpp's and other servers send it."""

    words: Sequence[str]
    ends: Sequence[str] = ('{"choices": [{"delta": {}, "finish_reason": "stop"}]}', "[DONE]")
    pause: float = 0
    """Seconds before each piece but the first."""

    def lines(self) -> Iterator[bytes]:
        yield b": still there\r\n\r\n"
        yield b'data: {"choices": [{"delta": {"role": "assistant", "content": null}, "finish_reason": null}]}\n\n'
        yield b'data: {"choices": [{"delta": {"reasoning_content": "[\\"not these\\"]"}}]}\r\n\r\n'
        for number, words in enumerate(self.words):
            time.sleep(self.pause if number else 0)
            yield (
                b"data: "
                + json.dumps({"choices": [{"delta": {"content": words}, "finish_reason": None}]}).encode()
                + b"\n\n"
            )
        yield from (f"data:{end}\n\n".encode() for end in self.ends)


Script = Callable[[dict[str, Any], int], tuple[int, Any]]
"""The body of a question and its number in, status and answer out; None instead of an answer hangs up."""


class Server:
    """A server that does as it is told, and remembers what it was asked."""

    def __init__(self, script: Script) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.more: dict[str, str] = {}
        outer = self

        class Desk(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(200, {"data": [{"id": "small"}, {"id": "large"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body)
                outer.headers.append(dict(self.headers))
                self.answer(*script(body, len(outer.asked)))

            def answer(self, status: int, said: Any) -> None:
                if said is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if isinstance(said, Spoken):
                    self.speak(said)
                    return
                raw = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(raw)), **outer.more}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # who asked has waited long enough
                    self.wfile.write(raw)

            def speak(self, said: Spoken) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                with contextlib.suppress(OSError):
                    for line in said.lines():
                        self.wfile.write(line)

            def log_message(self, *_: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        self.thread = threading.Thread(target=lambda: self.http.serve_forever(poll_interval=0.01))
        self.thread.start()

    def stop(self) -> None:
        if self.thread.is_alive():
            self.http.shutdown()
            self.http.server_close()
            self.thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    servers: list[Server] = []

    def start(script: Script) -> Server:
        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def chat(text: object) -> tuple[int, Any]:
    said = text if isinstance(text, str) else json.dumps({"phrases": text})
    return 200, {"choices": [{"message": {"role": "assistant", "content": said}}]}


def by_slot(body: dict[str, Any], _: int) -> tuple[int, Any]:
    return chat(COLOURS if "adjectives of color" in body["messages"][0]["content"] else PLACES)


def made(url: str | None, **given: Any) -> InquiryOptions:
    counts = Counts(**{**NONE, **given.pop("counts", {"colour": 4, "background": 4})})
    usual = {"endpoint": url, "model": "small", "backoff_seconds": 0.001, "retries": 2, "timeout_seconds": 5}
    return InquiryOptions(counts=counts, **{**usual, **given})


def ask(options: InquiryOptions, folder: Path, noun: str = "teapot", **given: Any) -> tuple[Phrases, list[Event]]:
    asking = ask_phrases(noun, options=options, folder=folder, **{"living": False, **given})
    events: list[Event] = []
    while True:
        try:
            events.append(next(asking))
        except StopIteration as end:
            return end.value, events


def notices(events: Sequence[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Noticed)]


def test_good_answers_become_a_bank_that_a_recipe_can_name(serve, tmp_path):
    server = serve(by_slot)
    phrases, events = ask(made(server.url), tmp_path / "answers")
    assert phrases.colour == COLOURS[:4] and phrases.background == PLACES[:4]
    assert phrases.shape == phrases_for("teapot", living=False).shape, "slots that were not asked for keep the shipped"
    assert events[-1] == Progressed("phrases", 8, 8) and not notices(events)
    assert [body["response_format"]["type"] for body in server.asked] == ["json_schema"] * 2
    lists = [body["response_format"]["json_schema"]["schema"]["properties"]["phrases"] for body in server.asked]
    assert [(each["minItems"], each["maxItems"]) for each in lists] == [(5, 5), (5, 5)], "as many as are asked for"
    assert {body["model"] for body in server.asked} == {"small"} and "Authorization" not in server.headers[0]

    save_bank(phrases, tmp_path / "bank.json")
    assert phrases_for("teapot", living=False, bank=str(tmp_path / "bank.json")) == phrases
    subject = Subject(name="teapot", photos=(), class_noun="teapot", token="sks", living=False)
    options = StructuredSetOptions(images=60, share_a=0, bank=str(tmp_path / "bank.json"), slot_dropout=0)
    prompts = [request.prompt for request in Structured.plan(subject, (), options, Rng(0))]
    assert all(any(place in prompt for place in PLACES[:4]) for prompt in prompts)
    assert any("ruby red" in prompt for prompt in prompts)


def test_nothing_is_asked_twice_and_the_second_time_needs_no_server(serve, tmp_path, monkeypatch):
    server = serve(by_slot)
    monkeypatch.setenv("TEAPOT_KEY", KEY)
    first, _ = ask(made(server.url, api_key_env="TEAPOT_KEY"), tmp_path)
    server.stop()
    monkeypatch.delenv("TEAPOT_KEY")
    assert ask(made("http://127.0.0.1:9/v1", api_key_env="TEAPOT_KEY"), tmp_path)[0] == first, "wherever it was asked"
    assert all(header["Authorization"] == f"Bearer {KEY}" for header in server.headers)
    assert not any(KEY in path.read_text() or "TEAPOT" in path.read_text() for path in tmp_path.iterdir())
    for other in ({"seed": 1}, {"model": "large"}, {"counts": {"colour": 5}}):
        with pytest.raises(RunError, match="does not answer"):
            ask(made("http://127.0.0.1:9/v1", **other), tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        'Sure! Here you are:\n```json\n{"phrases": ["amber", "jade", "ruby red", "plum"]}\n```\nEnjoy.',
        '["amber", "jade", "ruby red", "plum"]',
        '{"colors": [{"phrase": "amber"}, {"phrase": "jade"}, {"phrase": "ruby red"}, {"phrase": "plum"}]}',
        '<think>["no", "not", "these", "four"]</think>{"phrases": ["amber", "jade", "ruby red", "plum"]}',
        '{"phrases": ["amber", "jade", "ruby red", "plum", "sla',
        "1. amber\n2. jade\n3. Ruby red.\n4. plum",
        '{"phrases": ["Amber", "a jade teapot", "  ruby   red teapots.", "\\"plum\\"", "JADE", 7, null]}',
    ],
)
def test_answers_in_many_wrappings(serve, tmp_path, said):
    server = serve(lambda *_: chat(said))
    assert ask(made(server.url, counts={"colour": 4}), tmp_path)[0].colour == ("amber", "jade", "ruby red", "plum")
    assert len(server.asked) == 1


def test_what_came_twice_or_does_not_fit_is_asked_for_again(serve, tmp_path):
    turns = (
        ["on a table", "On  a Table.", "on the tables", "in a teapot shop", "kitchen", "in a hall, on a rug"],
        ["on a table", "in the snow", "on a sunny beach near sks", "in a green house"],
        ["in a greenhouse", "beside a well"],
    )
    server = serve(lambda _, number: chat(turns[number - 1]))
    options = made(server.url, counts={"background": 3})
    assert ask(options, tmp_path, held_out=("in the snow", "sks"))[0].background == (
        "on a table",
        "in a green house",
        "beside a well",
    )
    assert len(server.asked) == 3
    again = server.asked[1]["messages"][0]["content"]
    assert 'Give none of these again: "on a table"' in again and "List 3 " in again


def test_a_model_that_has_no_more_is_said_aloud(serve, tmp_path):
    server = serve(lambda *_: chat(["amber", "jade"]))
    phrases, events = ask(made(server.url, counts={"colour": 9}, reasks=2), tmp_path)
    assert phrases.colour == ("amber", "jade") and len(server.asked) == 3
    assert "gave 2 of 9 phrases for colour" in notices(events)[0]
    ask(made(server.url, counts={"colour": 9}, reasks=2), tmp_path)
    assert len(server.asked) == 3
    ask(made(server.url, counts={"colour": 9}, reasks=3), tmp_path)
    assert len(server.asked) == 4, "more patience goes on from what is kept"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_or_broken_server_is_asked_again(serve, tmp_path, status):
    server = serve(lambda body, number: (status, {"error": "busy"}) if number < 3 else by_slot(body, number))
    server.more = {"Retry-After": "3600"}
    start = time.monotonic()
    assert ask(made(server.url, counts={"colour": 2}), tmp_path)[0].colour == COLOURS[:2]
    assert len(server.asked) == 3 and time.monotonic() - start < 2, "a wait is never longer than 32 times the first"


def test_truncated_json_and_hanging_up_are_asked_again(serve, tmp_path):
    broken = {1: (200, b'{"choices": [{"mess'), 2: (200, None), 3: chat("no idea"), 4: chat('{"phrases": [')}
    server = serve(lambda body, number: broken.get(number) or by_slot(body, number))
    assert ask(made(server.url, counts={"colour": 2}), tmp_path)[0].colour == COLOURS[:2]
    assert len(server.asked) == 5
    assert len({body["seed"] for body in server.asked[2:]}) == 3, "another seed, for the same one would say the same"


def test_a_slow_server_runs_out_of_time(serve, tmp_path):
    def slow(*_: Any) -> tuple[int, Any]:
        time.sleep(0.05)
        return chat(COLOURS)

    server = serve(slow)
    with pytest.raises(RunError, match=r"does not answer within 0.01 s \(.*timed out.*raise `timeout_seconds`"):
        ask(made(server.url, timeout_seconds=0.01, retries=1), tmp_path)
    assert len(server.asked) == 2


@pytest.mark.parametrize("takes", ["plain", "json_object", None, "bare"])
def test_servers_that_refuse_the_way_of_asking(serve, tmp_path, takes):
    def picky(body: dict[str, Any], number: int) -> tuple[int, Any]:
        form = body.get("response_format", {}).get("type")
        form = "plain" if form == "json_schema" and "minItems" not in json.dumps(body) else form
        if form not in (takes, None) or (takes == "bare" and "temperature" in body):
            return 400, {"error": {"message": "this is not supported", "param": "response_format"}}
        return by_slot(body, number)

    server = serve(picky)
    phrases, events = ask(made(server.url), tmp_path)
    assert phrases.colour == COLOURS[:4] and phrases.background == PLACES[:4]
    steps = {"plain": 1, "json_object": 2, None: 3, "bare": 4}[takes]
    assert len(server.asked) == steps + 2, "what was refused once is not tried again"
    assert notices(events)[0] == (
        "The server does not take the question as it is (this is not supported); it is put more simply."
    )


def test_answers_that_come_piece_by_piece(serve, tmp_path):
    server = serve(lambda *_: (200, Spoken(('{"phrases": ["am', 'ber", "jade', '", "ruby red"]}'))))
    phrases, events = ask(made(server.url, counts={"colour": 3}), tmp_path)
    assert phrases.colour == COLOURS[:3] and not notices(events)
    assert len(server.asked) == 1 and server.asked[0]["stream"] is True


@pytest.mark.parametrize(
    ("ends", "why"),
    [((), "the line broke"), (('{"error": {"code": 500, "message": "out of memory"}}',), "out of memory")],
)
def test_what_came_before_the_line_broke_is_kept(serve, tmp_path, ends, why):
    turns = {
        1: ('{"phra', 'ses": ["am'),
        2: ('{"phrases": ["amber", "jade", "ru',),
        3: ("1. ruby red\n2. plum\n3. och",),
    }
    server = serve(lambda body, number: (200, Spoken(turns[number], ends)) if number < 4 else chat(COLOURS))
    phrases, events = ask(made(server.url, counts={"colour": 4}, at_once=4), tmp_path)
    assert phrases.colour == ("amber", "jade", "ruby red", "plum") and len(server.asked) == 3
    assert [why in told for told in notices(events)] == [True, True], "the first had nothing in it, and was asked again"
    with pytest.raises(RunError, match=rf"does not answer \(.*{why}"):
        ask(made(serve(lambda *_: (200, Spoken(("{",), ends))).url), tmp_path / "none")


def test_a_model_that_never_ends_is_stopped_and_what_it_said_is_kept(serve, tmp_path):
    # a model of 270 million parameters went on so for 2000 tokens
    endless = ('{"phrases": ["amber", "jade", ', *["\n\t "] * 200)
    server = serve(lambda *_: (200, Spoken(endless, pause=0.02)))
    start = time.monotonic()
    phrases, events = ask(made(server.url, counts={"colour": 2}, timeout_seconds=0.2), tmp_path)
    assert phrases.colour == ("amber", "jade") and time.monotonic() - start < 2
    assert "the answer took too long" in notices(events)[0]


def test_a_server_that_reads_its_model_in_is_waited_for(serve, tmp_path):
    loading = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
    server = serve(lambda body, number: (503, loading) if number < 4 else by_slot(body, number))
    assert ask(made(server.url, counts={"colour": 2}, retries=0), tmp_path)[0].colour == COLOURS[:2]
    with pytest.raises(RunError, match="Loading model"):
        ask(made(serve(lambda *_: (503, loading)).url, retries=0, timeout_seconds=0.1), tmp_path / "never")


def test_what_small_models_repeat_of_the_question_is_no_phrase(serve, tmp_path):
    parrots = ["first phrase", "second phrase", "thirteen phrases", "...", "shape", "round shape", "photo of a teapot"]
    stuck = ["two two red", "round-round", "red-and-blue-and-green-and-red", "{ ", "A_Photo_of_a_teapot.jpg"]
    server = serve(lambda *_: chat([*parrots, *stuck]))
    assert ask(made(server.url, counts={"shape": 3}, reasks=0), tmp_path)[0].shape == ("round",)
    for noun in ("teapot", "gizmo", "dog"):
        for question in questions(noun, living=noun == "dog", counts=Counts()):
            form = question.text(5).splitlines()[-1].partition("of this form: ")[2]
            given = json.loads(form)["phrases"]
            assert "phrase" not in str(given) and len(given) > 1
            assert given == ["...", "..."] or tuple(clean(each, question) for each in given) == tuple(given)


def test_death_in_mid_run_loses_nothing(serve, tmp_path):
    server = serve(lambda body, number: by_slot(body, number) if number == 1 else (200, None))
    with pytest.raises(RunError) as died:
        ask(made(server.url), tmp_path)
    assert len(server.asked) == 1 + 3
    assert f"8 phrases received so far are kept in {tmp_path}; repeating the command goes on" in str(died.value)
    server.stop()
    with pytest.raises(RunError, match="8 phrases received so far are kept"):
        ask(made(server.url), tmp_path)

    revived = serve(by_slot)
    phrases, events = ask(made(revived.url), tmp_path)
    assert phrases.colour == COLOURS[:4] and phrases.background == PLACES[:4]
    assert len(revived.asked) == 1 and "places" in revived.asked[0]["messages"][0]["content"]
    assert events[0] == Progressed("phrases", 4, 8)


def test_a_wrong_key_is_never_shown(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("TEAPOT_KEY", KEY)
    server = serve(lambda *_: (401, {"error": {"message": f"bad key {KEY}"}}))
    with pytest.raises(RecipeError, match="refuses the API key in TEAPOT_KEY") as wrong:
        ask(made(server.url, api_key_env="TEAPOT_KEY"), tmp_path)
    assert KEY not in str(wrong.value) and len(server.asked) == 1
    with pytest.raises(RecipeError, match="refuses a question without API key"):
        ask(made(server.url), tmp_path)
    server = serve(lambda *_: (400, {"error": {"message": f"odd {KEY}"}}))
    with pytest.raises(RecipeError, match=r"odd \*\*\*"):
        ask(made(server.url, api_key_env="TEAPOT_KEY"), tmp_path)


@pytest.mark.parametrize(
    ("variable", "held", "said"),
    [
        (KEY, None, "is no name of an environment variable"),
        ("hf_abc", None, "is no name of an environment variable"),
        ("TEAPOT_KEY", None, "TEAPOT_KEY is not set"),
        ("TEAPOT_KEY", "two\nlines", "TEAPOT_KEY holds no key"),
    ],
)
def test_keys_that_are_none(tmp_path, monkeypatch, variable, held, said):
    if held is not None:
        monkeypatch.setenv("TEAPOT_KEY", held)
    with pytest.raises(RecipeError, match=said) as refused:
        ask(made("http://127.0.0.1:9/v1", api_key_env=variable), tmp_path)
    assert KEY not in str(refused.value) and "hf_abc" not in str(refused.value) and "lines" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/v1",
        "127.0.0.1:8000",
        "http://",
        "http://host:99999/v1",
        "http://host/v1/chat/completions",
        "http://me:hunter2@host/v1",
        "http://host/v1?api_key=hunter2",
        "http://[::1",
        "http://ho st/v1",
    ],
)
def test_addresses_that_are_none(tmp_path, url):
    with pytest.raises(RecipeError, match="a base URL such as") as refused:
        ask(made(url), tmp_path)
    assert "hunter2" not in str(refused.value)


def test_a_redirect_is_not_followed(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("TEAPOT_KEY", KEY)
    thief = serve(by_slot)
    for status in (301, 302, 307, 308):
        server = serve(lambda *_, status=status: (status, {}))
        server.more = {"Location": thief.url + "/chat/completions"}
        with pytest.raises(RecipeError, match=f"sends on to {thief.url}"):
            ask(made(server.url, api_key_env="TEAPOT_KEY"), tmp_path)
    assert not thief.asked


def test_a_proxy_is_not_asked_about_this_machine(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ask(made(serve(by_slot).url), tmp_path)[0].colour == COLOURS[:4]


def test_an_unknown_model_names_those_there_are(serve, tmp_path):
    for status, words in ((404, 'model "tiny" not found, try pulling it first'), (400, "Invalid model name passed")):
        server = serve(lambda *_, status=status, words=words: (status, {"error": {"message": words}}))
        with pytest.raises(RecipeError, match=r"knows no model 'tiny'.* one of: small, large\. "):
            ask(made(server.url, model="tiny"), tmp_path)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (chat("I would rather not."), "answered 3 times with no list of phrases .*the last began with: I would rather"),
        (chat(""), "the last was empty"),
        (chat(["a teapot", "round, red", "x" * 300]), "gave no phrase that fits the slot 'colour' of 'teapot'"),
        ((200, {"hello": "world"}), "answers, but not as a chat"),
        ((200, b"<html>proxy</html>"), r"does not answer \(an answer that is no JSON"),
        ((500, b"<html><h1>Oops</h1></html>"), r"does not answer \(HTTP 500: Oops"),
        ((402, {"detail": "pay first"}), r"refuses the question \(HTTP 402: pay first"),
        ((200, b"[" * 100_000), "no JSON"),
    ],
)
def test_answers_of_no_use(serve, tmp_path, answer, said):
    server = serve(lambda *_: answer)
    with pytest.raises(Refusal, match=said) as refused:
        ask(made(server.url, counts={"colour": 2}, reasks=1), tmp_path)
    assert refused.value.needed and refused.value.todo


def test_nobody_there_is_said_at_once(tmp_path):
    with pytest.raises(RunError, match="does not answer .*refused.*no phrase was received yet"):
        ask(made("http://127.0.0.1:9/v1", backoff_seconds=60), tmp_path)


def test_folders_that_cannot_be_used(serve, tmp_path):
    server = serve(by_slot)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot be written"):
        ask(made(server.url), tmp_path / "file")
    assert not server.asked, "no answer is paid for that could not be kept"
    ask(made(server.url), tmp_path / "answers")
    for path in (tmp_path / "answers").iterdir():
        path.write_text("{}" if "colour" in path.name else "{")
    with pytest.raises(RunError, match="does not hold the answers|cannot be read"):
        ask(made(server.url), tmp_path / "answers")
    with pytest.raises(RecipeError, match="the class noun is"):
        ask(made(server.url), tmp_path / "answers", noun=" ")


def test_living_things_are_asked_for_motion_and_not_for_shape(serve, tmp_path):
    server = serve(lambda *_: chat(["trotting", "is yawning", "runs", "to jump", "smiling widely"]))
    counts = {"shape": 5, "motion": 3}
    phrases, _ = ask(made(server.url, counts=counts), tmp_path, noun="dog", living=True)
    assert phrases.motion == ("trotting", "yawning", "smiling widely") and not phrases.shape
    assert len(server.asked) == 1 and "a photo of a dog ___" in server.asked[0]["messages"][0]["content"]
    ask(made(server.url, counts={**counts, "size": 2}), tmp_path, noun="woman", living=True)
    assert len(server.asked) == 2


# --- a model in a folder: each word says which one follows, so that its answer is known ---

CHAIN = ('["', 'amber",', '"jade",', '"ruby', 'red",', '"plum"]}', "<end>")


def taught(folder: Path, chain: Sequence[str]) -> Path:
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["<unknown>", '{"phrases":', *dict.fromkeys((*chain, "<end>"))]
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    size = len(words) + len(words) % 2
    config = GPT2Config(
        vocab_size=size, n_embd=size, n_layer=1, n_head=1, n_positions=512, eos_token_id=words.index("<end>"),
        bos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.ln_f.weight.fill_(1)
        model.transformer.wte.weight.copy_(torch.eye(size))
        for before, after in pairwise(chain):
            model.lm_head.weight[words.index(after), words.index(before)] = 100
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unknown>").save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def talking_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught(tmp_path_factory.mktemp("weights") / "talking", CHAIN)


def test_a_local_model_that_never_ends_is_stopped(tmp_path):
    chain = (*CHAIN[:-2], '"plum",', '"jade",')
    folder = taught(tmp_path / "endless", chain)
    options = made(None, model=str(folder), counts={"colour": 4}, max_tokens=400, reasks=0)
    assert ask(options, tmp_path / "answers")[0].colour == ("amber", "jade", "ruby red", "plum")
    record = next(path for path in (tmp_path / "answers").glob("*colour*"))
    (answer,) = json.loads(record.read_text())["answers"]
    assert len(answer) == 5, "as many as were asked for"


def test_a_gguf_file_that_is_none(tmp_path):
    (tmp_path / "small.gguf").write_bytes(b"GGUF" + b"\0" * 60)
    with pytest.raises(WeightsError, match="small.gguf cannot be loaded"):
        ask(made(None, model=str(tmp_path / "small.gguf")), tmp_path / "answers")


def test_a_model_on_this_machine_answers_too(talking_folder, tmp_path):
    options = made(None, model=str(talking_folder), counts={"colour": 4}, max_tokens=64)
    phrases, _ = ask(options, tmp_path)
    assert phrases.colour == ("amber", "jade", "ruby red", "plum")
    assert ask(options.model_copy(update={"temperature": 0}), tmp_path)[0] == phrases


def test_local_models_that_are_none(tmp_path, tiny_folder):
    for model, said in (
        ("nobody/has-this", "there is no language model 'nobody/has-this' on this machine"),
        (str(tmp_path / "nowhere"), "there is no language model"),
        (str(tiny_folder / "text_encoder"), "cannot be loaded|lacks"),
        (str(tiny_folder / "tokenizer"), "holds no|there"),
    ):
        with pytest.raises(WeightsError, match=said):
            ask(made(None, model=model), tmp_path / "answers")


@pytest.mark.parametrize(("bank", "living"), [("object", False), ("animal", True), ("person", True)])
def test_what_is_shipped_would_pass(bank, living):
    noun = "person" if bank == "person" else "gizmo"
    shipped = phrases_for(noun, living=living, bank=bank)
    for question in questions(noun, living=living, counts=Counts()):
        phrases = getattr(shipped, question.slot)
        assert tuple(clean(phrase, question) for phrase in phrases) == phrases == distinct(phrases)


@pytest.mark.parametrize(
    ("slot", "raw", "kept"),
    [
        ("colour", "- A Red teapot.", "red"),
        ("colour", "red or blue", ""),
        ("colour", "red, blue", ""),
        ("texture", "made of teapot metal", ""),
        ("quality", "high resolution photo", "high resolution"),
        ("quality", "HDR", "HDR"),
        ("style", "A watercolor painting of", "watercolor painting"),
        ("style", "photo of a teapot", ""),
        ("style", "3D render", "3D render"),
        ("background", "In a garden.", "in a garden"),
        ("background", "a garden", ""),
        ("background", "in a garden with teapots", ""),
        ("background", "in a garden (at night)", ""),
        ("background", "in " + "a very " * 5 + "long garden", ""),
        ("siblings", "a kettle", "kettle"),
        ("siblings", "Teapots", ""),
        ("siblings", "photo of a Teapot", ""),
        ("colour", "rust color", "rust"),
        ("colour", "image", ""),
        ("shape", "\u201cegg\u2011shaped\u201d", "egg-shaped"),
        ("shape", "\x00round", ""),
        ("shape", "", ""),
    ],
)
def test_cleaning_unwraps_and_never_rewords(slot, raw, kept):
    assert clean(raw, Question(slot, "teapot", living=False, count=5)) == kept


def test_one_meaning_is_kept_once():
    said = ("grey", "Gray", "black and white", "white and black", "gray-colored", "light gray", "", "in a green house")
    assert distinct((*said, "in the greenhouse")) == ("grey", "black and white", "light gray", "in a green house")


def test_a_lone_surrogate_can_be_kept(serve, tmp_path):
    server = serve(lambda *_: chat('{"phrases": ["amber\\ud800", "jade"]}'))
    assert ask(made(server.url, counts={"colour": 2}), tmp_path)[0].colour == ("amber", "jade")
