"""The toybox's own byte-level BPE in CLIP's form: whole words for the world, and any word tokenizes."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from toybox.train.runs import BUILD
from toybox.train.shards import each_shard
from toybox.train.sizes import POSITIONS

VOCAB = 2200
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
RARE = ("sks", "zwx", "ohwx", "qrv", "vlk", "xyz")
"""Words kept free for subjects: one token each, never bound to a thing in training."""
RARE_ADDED = ("xyz1",)
"""CLIP splits digits off, so this one is an added token with an ordinary row in the table."""

COMMON = tuple((Path(__file__).parent / "words.txt").read_text().split())
"""Frequent English words, so that ordinary prompts become short rows."""


def _train_merges(lines: Iterable[str], count: int) -> list[tuple[str, str]]:
    """Learns `count` merges over CLIP's own normal form and word splitting."""
    seed = CLIPTokenizer(vocab={BOS: 0, EOS: 1}, merges=[])
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = seed.backend_tokenizer.normalizer
    bpe.pre_tokenizer = seed.backend_tokenizer.pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=count + 512,
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        min_frequency=1,
        show_progress=False,
    )
    bpe.train_from_iterator(lines, trainer)
    learned = json.loads(bpe.to_str())["model"]["merges"]
    return [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in learned][:count]


def _rare_merges(word: str) -> list[tuple[str, str]]:
    """Returns the merges that make one token of a short made-up word."""
    pieces = [*word[:-1], word[-1] + "</w>"]
    out = []
    while len(pieces) > 1:
        out.append((pieces[0], pieces[1]))
        pieces = [pieces[0] + pieces[1], *pieces[2:]]
    return out


def train_tokenizer(captions: Iterable[str], words: Iterable[str], *, size: int = VOCAB) -> CLIPTokenizer:
    """Trains the vocabulary.

    Args:
        captions: sentences of the world, as often as they should count.
        words: further words that should become short rows of tokens.
        size: number of entries wanted, all told.

    Returns:
        A tokenizer padded with its end token to 77 positions (the first encoder's form).
    """
    rare = [pair for word in RARE for pair in _rare_merges(word)]
    room = size - 512 - len(rare) - len(RARE_ADDED) - 2
    text = [*captions, *(w for w in words for _ in range(3)), *COMMON]
    # The made-up words come first: otherwise a learned merge inside them would win and split them.
    merges = list(dict.fromkeys([*rare, *_train_merges(text, room)]))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=lambda c: (c != "!", c))
    entries = [*alphabet, *(c + "</w>" for c in alphabet), *(a + b for a, b in merges), *RARE_ADDED, BOS, EOS]
    vocab = {entry: i for i, entry in enumerate(dict.fromkeys(entries))}
    return _clip_tokenizer(vocab, merges, pad=EOS)


def _clip_tokenizer(vocab: dict[str, int], merges: list[tuple[str, str]], *, pad: str) -> CLIPTokenizer:
    made = CLIPTokenizer(
        vocab=vocab,
        merges=merges,
        unk_token=EOS,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=pad,
        model_max_length=POSITIONS,
    )
    made.add_tokens(list(RARE_ADDED))
    return made


def second_form(tokenizer: CLIPTokenizer) -> CLIPTokenizer:
    """Returns the same vocabulary padded with id 0, as SDXL's second encoder expects."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in state["merges"]]
    first = next(entry for entry, i in state["vocab"].items() if i == 0)
    return _clip_tokenizer(state["vocab"], merges, pad=first)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Writes `tokenizer.json` and, for older readers, `vocab.json` and `merges.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    tokenizer.backend_tokenizer.model.save(str(folder))


def prepare_tokenizer(name: str, build: Path = BUILD) -> CLIPTokenizer:
    """Trains the tokenizer on the captions of a set and the world's word list, and keeps it for all that follows."""
    from toybox.world import wordlist

    folder = build / "tokenizer"
    captions = (c for shard in each_shard(name, build) for f in shard.facts for c in f["captions"])
    made = train_tokenizer(captions, wordlist())
    save_tokenizer(made, folder)
    return made
