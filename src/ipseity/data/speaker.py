"""Asks a language model of transformers that lies on this machine; nothing is fetched."""

from pathlib import Path
from typing import Any

from ipseity.core.errors import WeightsError
from ipseity.core.weights import check_loaded, locate, quiet, unreadable, weight_files

_PATTERNS = ("*.json", "*.txt", "*.model", "*.jinja", "model.safetensors", "model-0*.safetensors")
_OPENING = '{"phrases": ["'
"""The first words of every answer: small models go on in JSON once they are in it."""
_NOTHING = " " * 32
"""Blanks that some models go on with instead of an answer."""
_MIN_ROOM = 16


class LocalSpeaker:
    """A language model in memory, in any layout that transformers reads as text generation.

    Args:
        model: folder, `.gguf` file (transformers reads those with the package `gguf`), or Hub id in the local cache.
        temperature: how freely it speaks; 0 takes the likeliest word each time.
        max_tokens: longest answer, in tokens.

    Raises:
        WeightsError: it is not on this machine, cannot be trusted, or is no language model.
    """

    def __init__(self, model: str, *, temperature: float, max_tokens: int) -> None:
        import torch

        self._name, self._temperature, self._max_tokens = model, temperature, max_tokens
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer, self._model = _load(_folder(model))
        self._model.to(self._device)
        self.notices: list[str] = []

    def say(self, question: str, *, num_asked: int, seed: int) -> str:
        """Answer a question; equal seeds give equal answers on one machine.

        Args:
            question: what the user of a chat would write.
            num_asked: phrases that it asks for; a model that says more is stopped there.
            seed: decides the words where the temperature is above 0.

        Raises:
            WeightsError: the question is longer than what the model can read.
        """
        import torch
        from transformers import StoppingCriteriaList

        told = self._tokenizer(self._prompt(question), return_tensors="pt", add_special_tokens=False)
        told = {name: told[name].to(self._device) for name in ("input_ids", "attention_mask")}
        length = int(told["input_ids"].shape[1])
        freely: dict[str, Any] = {"do_sample": self._temperature > 0}
        if self._temperature > 0:
            freely |= {"temperature": self._temperature, "top_p": 0.95}
        devices = [torch.cuda.current_device()] if self._device == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices), quiet():
            torch.manual_seed(seed)
            tokens = self._model.generate(
                **told,
                **freely,
                max_new_tokens=self._room(length),
                stopping_criteria=StoppingCriteriaList([self._ends(length, num_asked)]),
                pad_token_id=self._silence(),
            )
        return _OPENING + self._tokenizer.decode(tokens[0, length:], skip_special_tokens=True)

    def _ends(self, length: int, num_asked: int) -> Any:
        """Stop at the bracket that closes the list, and where a small model would go on for ever.

        The library's own stop strings fail on some tokenizers.
        """
        import torch

        def closed(tokens: Any, _scores: Any, **_more: Any) -> Any:
            said = self._tokenizer.decode(tokens[0, length:])
            # the opening holds the first of the quotes; a comma has to follow the last phrase that counts
            is_over = "]" in said or said.count('"') >= 2 * num_asked or said.endswith(_NOTHING)
            return torch.full((tokens.shape[0],), is_over, device=tokens.device, dtype=torch.bool)

        return closed

    def _room(self, length: int) -> int:
        """Give the longest answer that fits behind the question."""
        context = getattr(self._model.config, "max_position_embeddings", None) or length + self._max_tokens
        if context - length < _MIN_ROOM:
            raise WeightsError(
                f"the language model {self._name} reads {context} tokens, and the question has {length}",
                f"room for at least {_MIN_ROOM} more",
                "choose a model with a longer context",
            )
        return min(self._max_tokens, context - length)

    def _prompt(self, question: str) -> str:
        """Put the question as the model was taught to hear one; a model without a chat form just goes on with the text."""
        if self._tokenizer.chat_template:
            turn = [{"role": "user", "content": question}]
            asked = self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        else:
            asked = f"{self._tokenizer.bos_token or ''}{question}\n\n"
        return asked + _OPENING

    def _silence(self) -> int | None:
        pad = self._tokenizer.pad_token_id
        return self._tokenizer.eos_token_id if pad is None else pad


def _folder(model: str) -> Path:
    try:
        return locate(model, allow=_PATTERNS)
    except WeightsError as error:
        raise WeightsError(
            f"there is no language model '{model}' on this machine",
            "a folder in the transformers layout with safetensors files, a .gguf file, or a Hub id that is in the local cache",
            "check `model`, fetch it once with `hf download`, or name an `endpoint`",
        ) from error


def _load(folder: Path) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if folder.is_dir():
        weight_files(folder)
    maker: Any = AutoModelForCausalLM  # the library does not type the pair that it gives with its loading report
    trusted: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    form: dict[str, Any] = {"dtype": "auto", "use_safetensors": True}
    if folder.suffix == ".gguf":
        trusted["gguf_file"], form, home = folder.name, {"dtype": "float32"}, folder.parent
    else:
        home = folder
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(home, **trusted)
            model, told = maker.from_pretrained(home, output_loading_info=True, **form, **trusted)
    except (OSError, ValueError, ImportError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise unreadable(folder, error) from error
    check_loaded(str(folder), model, told)
    return tokenizer, model.eval()
