"""Subjects, their words, and what is held out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageOps
from pydantic import ValidationError

from ipseity.core.errors import SubjectError
from ipseity.core.types import Photo, Subject
from ipseity.data.likeness import copies
from ipseity.data.subject import SubjectOptions, hold_out, read_subject
from tests.fixtures.bad_images import disc, good_folder, photo


def make_subject(images) -> Subject:
    photos = tuple(
        Photo(Path(f"{number:02d}.png"), image, f"{(number * 7919) % 1000:064d}") for number, image in enumerate(images)
    )
    return Subject("mug", photos, "mug", "sks")


@settings(max_examples=25, deadline=None)
@given(kinds=st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=7))
def test_nothing_is_scored_on_a_picture_that_training_has_seen(kinds):
    """Whatever copies and mirrored copies there are, the three parts are disjoint pictures and lose nothing."""
    subject = make_subject([ImageOps.mirror(photo(kind)) if mirrored else photo(kind) for kind, mirrored in kinds])
    split = hold_out(subject)
    sides = [split.train.photos, split.pick, split.score]
    assert sorted(p.path.name for side in sides for p in side) == sorted(p.path.name for p in subject.photos)
    for one in range(3):
        for other in range(one):
            both = [*sides[one], *sides[other]]
            pairs = copies([p.image for p in both])
            assert not [pair for pair in pairs if (pair.first < len(sides[one])) != (pair.second < len(sides[one]))]
    distinct = len({kind for kind, _ in kinds})
    assert bool(split.pick) == (distinct >= 4) and bool(split.score) == (distinct >= 3)
    assert split.notes and split.train.photos


@pytest.mark.parametrize(
    ("count", "held", "said"),
    [
        (1, 0, "nothing is held out"),
        (2, 0, "flatter"),
        (3, 1, "none is left to pick"),
        (4, 2, "picks the checkpoint"),
        (9, 2, "7 photos train"),
    ],
)
def test_the_notes_say_what_could_not_be_separated(count: int, held: int, said: str):
    split = hold_out(make_subject([photo(number) for number in range(count)]))
    assert len(split.pick) + len(split.score) == held and said in " ".join(split.notes)


def test_the_choice_does_not_depend_on_names():
    images = [photo(number) for number in range(6)]
    subject = make_subject(images)
    shuffled = subject.with_photos(tuple(reversed(subject.photos)))
    assert hold_out(subject).score == hold_out(shuffled).score and hold_out(subject).pick == hold_out(shuffled).pick


def test_captions_come_from_text_files_and_tables(tmp_path: Path):
    folder = good_folder(tmp_path / "photos", 4)
    (folder / "00.txt").write_text("a mug\non a shelf\n", encoding="utf-8")
    rows = [
        {"file_name": "00.png", "text": "loses"},
        {"file_name": "01.png", "text": "sks mug in the sun"},
        {"file_name": "02.png", "background": "on a bench"},
    ]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    subject = read_subject(SubjectOptions(photos=folder, class_noun="mug"))
    assert [p.caption for p in subject.photos] == ["a mug on a shelf", "sks mug in the sun", None, None]
    assert subject.photos[2].slots == {"background": "on a bench"}
    assert any("1 of 2 captions do not name 'sks'" in finding for finding in subject.findings)


def test_csv_tables(tmp_path: Path):
    folder = good_folder(tmp_path / "photos", 4)
    (folder / "metadata.csv").write_text(
        'file_name,text,background\n00.png,"a mug, green",\n01.png,,on a bench\nlost.png,x,\n', encoding="utf-8"
    )
    subject = read_subject(SubjectOptions(photos=folder, class_noun="mug"))
    assert subject.photos[0].caption == "a mug, green" and subject.photos[1].slots == {"background": "on a bench"}
    assert any("lost.png" in finding for finding in subject.findings)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metadata.jsonl", '{"file_name": "00.png"}\nnot json', "line 2 is not JSON"),
        ("metadata.jsonl", "[1]", "line 1 is list"),
        ("metadata.jsonl", '{"text": "x"}', "there is no file_name"),
        ("metadata.jsonl", '{"file_name": "../x.png"}', "names another folder"),
        ("metadata.csv", "text\nx\n", "there is no file_name"),
        ("00.txt", b"\xff\xfe\x00", "cannot be read as text"),
    ],
)
def test_broken_words_are_refused_with_their_line(tmp_path: Path, name: str, text: str | bytes, said: str):
    folder = good_folder(tmp_path / "photos", 4)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SubjectError, match=said) as refusal:
        read_subject(SubjectOptions(photos=folder, class_noun="mug"))
    assert name in refusal.value.found and refusal.value.needed and refusal.value.todo


def test_masks_from_their_folder(tmp_path: Path):
    folder = good_folder(tmp_path / "photos", 4)
    (folder / "masks").mkdir()
    disc().save(folder / "masks" / "01.png")
    subject = read_subject(SubjectOptions(photos=folder, class_noun="mug"))
    assert [p.mask is not None for p in subject.photos] == [False, True, False, False]
    assert np.array_equal(np.asarray(subject.photos[1].mask), np.asarray(disc()))
    disc().resize((96, 30)).save(folder / "masks" / "02.png")
    with pytest.raises(SubjectError, match="a mask of the photo's shape"):
        read_subject(SubjectOptions(photos=folder, class_noun="mug"))


def test_living_follows_the_class_noun(tmp_path: Path):
    folder = good_folder(tmp_path / "photos", 4)
    for noun, living in (
        ("dog", True),
        ("old woman", True),
        ("stuffed animal", False),
        ("rubber duck", False),
        ("wolf plushie", False),
        ("gizmo", False),
    ):
        assert read_subject(SubjectOptions(photos=folder, class_noun=noun)).living is living, noun
    assert read_subject(SubjectOptions(photos=folder, class_noun="gizmo", living=True)).living


@pytest.mark.parametrize(
    "bad",
    [
        {"token": "two words"},
        {"token": ""},
        {"token": "..."},
        {"class_noun": ""},
        {"class_noun": "a\nb; c"},
        {"class_noun": "x" * 99},
        {"max_photos": 0},
        {"photoz": 1},
    ],
)
def test_options_refuse_nonsense(bad: dict):
    with pytest.raises(ValidationError):
        SubjectOptions(**{"photos": Path("x"), "class_noun": "mug", **bad})


def test_the_folder_name_names_the_subject(tmp_path: Path):
    folder = good_folder(tmp_path / "blue mug", 4)
    assert read_subject(SubjectOptions(photos=folder, class_noun="mug")).name == "blue mug"
    shutil.rmtree(folder)
