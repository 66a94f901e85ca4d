"""What is written beside photos, and what is left as it stands."""

import json
from pathlib import Path

import pytest

from ipseity.core.errors import SubjectError
from ipseity.data.metadata import write_rows
from ipseity.data.sidecars import Words, read_words


def test_what_is_written_is_what_is_read(tmp_path: Path):
    path = write_rows(tmp_path, {"0.png": {"colour": "bleu très vif", "background": ""}, "1.png": {"text": "a mug"}})
    assert path == tmp_path / "metadata.jsonl" and "très" in path.read_text(encoding="utf-8")
    assert read_words(tmp_path) == {"0.png": Words(slots={"colour": "bleu très vif"}), "1.png": Words("a mug")}


def test_other_lines_stay_to_the_letter_and_empty_columns_are_filled(tmp_path: Path):
    stays = '{"file_name":"0.png",   "text": "mine", "author": "ada"}'
    empty = '{"colour": "", "image": "1.png", "author": "ada", "texture": "matte"}'
    (tmp_path / "metadata.jsonl").write_text(f"\ufeff{stays}\n\n{empty}\nnot json\n[1]\n", encoding="utf-8")
    rows = {"1.png": {"colour": "red", "texture": "shiny"}, "2.png": {"colour": "blue"}}
    lines = write_rows(tmp_path, rows).read_text(encoding="utf-8").splitlines()
    assert lines[:2] == [stays, ""] and lines[3:5] == ["not json", "[1]"]
    assert json.loads(lines[2]) == {"colour": "red", "image": "1.png", "author": "ada", "texture": "matte"}
    assert json.loads(lines[5]) == {"file_name": "2.png", "colour": "blue"} and len(lines) == 6
    again = write_rows(tmp_path, rows).read_text(encoding="utf-8").splitlines()
    assert again == lines, "a second time changes nothing"


def test_tables_elsewhere_and_tables_that_are_no_text_are_left_alone(tmp_path: Path):
    folder, other = tmp_path / "photos", tmp_path / "other.jsonl"
    folder.mkdir()
    other.write_text("mine", encoding="utf-8")
    (folder / "metadata.jsonl").symlink_to(other)
    with pytest.raises(SubjectError, match="link out of the folder"):
        write_rows(folder, {"0.png": {"colour": "red"}})
    (folder / "metadata.jsonl").unlink()
    (folder / "metadata.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SubjectError, match="UTF-8"):
        write_rows(folder, {"0.png": {"colour": "red"}})
    assert other.read_text(encoding="utf-8") == "mine"
    assert (folder / "metadata.jsonl").read_bytes() == b"\xff\xfe\x00"
