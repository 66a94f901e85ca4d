"""Photos that nobody vouches for: refused in three parts, or read and told."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from ipseity.core.errors import SubjectError
from ipseity.data.doctor import inspect_photos
from ipseity.data.photos import MAX_SIDE, list_photos, read_photo
from ipseity.data.subject import SubjectOptions, read_subject
from tests.fixtures.bad_images import READ, REFUSED, disc, good_folder, photo


def parts(error: SubjectError) -> tuple[str, str, str]:
    return error.found, error.needed, error.todo


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str):
    folder = good_folder(tmp_path / "photos")
    REFUSED[name](folder / name)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SubjectError) as refusal:
        read_subject(SubjectOptions(photos=folder, class_noun="mug"))
    assert name in refusal.value.found and all(parts(refusal.value)), parts(refusal.value)
    stops = [finding for finding in inspect_photos(folder) if finding.level == "stop"]
    assert [finding.path.name for finding in stops] == [name]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before, "something was changed on disk"


@pytest.mark.parametrize("name", READ)
def test_what_is_merely_odd_is_read_and_told(tmp_path: Path, name: str):
    make, said = READ[name]
    make(tmp_path / name)
    reading = read_photo(tmp_path / name)
    image = reading.photo.image
    assert image.mode == "RGB" and not image.info and not dict(image.getexif())
    if said is None:
        assert not reading.remarks
    else:
        assert any(said in remark for remark in reading.remarks), reading.remarks
    messages = " ".join(finding.message for finding in inspect_photos(tmp_path))
    assert said is None or (said in messages and name in messages)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("gray16.png", 1), ("opaque.png", 0), ("misnamed.png", 12), ("stereo.jpg", 12), ("moving.gif", 40)],
)
def test_the_first_picture_survives(tmp_path: Path, name: str, tolerance: int):
    READ[name][0](tmp_path / name)
    got = np.asarray(read_photo(tmp_path / name).photo.image, dtype=int)
    wanted = photo().convert("L").convert("RGB") if name == "gray16.png" else photo()
    assert np.abs(got - np.asarray(wanted, dtype=int)).mean() <= tolerance


def test_sideways_photos_are_turned_upright(tmp_path: Path):
    READ["sideways.jpg"][0](tmp_path / "sideways.jpg")
    reading = read_photo(tmp_path / "sideways.jpg")
    stored = photo(size=(64, 96))
    assert reading.size == (96, 64) and reading.photo.image.size == (64, 96)
    turned = np.asarray(stored.transpose(Image.Transpose.ROTATE_270), dtype=int)
    assert np.abs(np.asarray(reading.photo.image, dtype=int) - turned).mean() < 12


def test_alpha_becomes_the_mask(tmp_path: Path):
    READ["rgba.png"][0](tmp_path / "rgba.png")
    got = read_photo(tmp_path / "rgba.png").photo
    assert got.mask is not None and np.array_equal(np.asarray(got.mask), np.asarray(disc()))
    assert got.image.getpixel((0, 0)) == (255, 255, 255)
    READ["opaque.png"][0](tmp_path / "opaque.png")
    assert read_photo(tmp_path / "opaque.png").photo.mask is None, "a solid alpha says nothing of the subject"


def test_a_profile_changes_colors_to_srgb(tmp_path: Path):
    """A picture whose channels are linear light looks lighter once it is in sRGB."""
    gray = Image.new("L", (64, 64), 100)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(_linear_gray_profile()))
    gray.save(tmp_path / "linear.png", icc_profile=profile.tobytes())
    value = read_photo(tmp_path / "linear.png").photo.image.getpixel((5, 5))[0]
    assert abs(value - 167) <= 4, "100 of 255 in linear light is 167 in sRGB"


def _linear_gray_profile() -> bytes:
    """The smallest gray profile with a straight curve, written by hand after ICC.1:2010."""
    import struct

    def tag(kind: bytes, data: bytes) -> bytes:
        return kind + bytes(4) + data

    d50 = struct.pack(">iii", 63190, 65536, 54061)
    body = {b"wtpt": tag(b"XYZ ", d50), b"kTRC": tag(b"curv", struct.pack(">I", 0))}
    table, at, blob = b"", 128 + 4 + 12 * len(body), b""
    for name, data in body.items():
        table += struct.pack(">4sII", name, at + len(blob), len(data))
        blob += data
    size = at + len(blob)
    head = (
        struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"mntr", b"GRAY", b"XYZ ")
        + bytes(12)
        + b"acsp"
        + bytes(28)
        + d50
    )
    return head.ljust(128, b"\0") + struct.pack(">I", len(body)) + table + blob


def test_links_out_of_the_folder_are_refused(tmp_path: Path):
    folder = good_folder(tmp_path / "photos")
    photo(9).save(tmp_path / "private.png")
    (folder / "zz.png").symlink_to(tmp_path / "private.png")
    with pytest.raises(SubjectError, match="outside of the folder") as refusal:
        read_subject(SubjectOptions(photos=folder, class_noun="mug"))
    assert "zz.png" in refusal.value.found


@pytest.mark.parametrize("target", ["gone.png", "loop.png"])
def test_links_to_nowhere_are_refused(tmp_path: Path, target: str):
    folder = good_folder(tmp_path / "photos")
    (folder / "loop.png").symlink_to(folder / target)
    with pytest.raises(SubjectError, match=r"loop\.png cannot be read"):
        read_subject(SubjectOptions(photos=folder, class_noun="mug"))


def test_a_link_inside_the_folder_is_fine(tmp_path: Path):
    folder = good_folder(tmp_path / "photos")
    (folder / "zz.png").symlink_to("00.png")
    assert len(read_subject(SubjectOptions(photos=folder, class_noun="mug")).photos) == 5


def test_pipes_and_folders_are_not_opened(tmp_path: Path):
    folder = good_folder(tmp_path / "photos")
    (folder / "album.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    with pytest.raises(SubjectError, match=r"pipe\.jpg is not a regular file"):
        read_subject(SubjectOptions(photos=folder, class_noun="mug"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_are_refused(tmp_path: Path):
    folder = good_folder(tmp_path / "photos")
    (folder / "00.png").chmod(0)
    with pytest.raises(SubjectError, match=r"00\.png cannot be read"):
        read_subject(SubjectOptions(photos=folder, class_noun="mug"))


def test_folders_without_photos(tmp_path: Path):
    for place, found in ((tmp_path / "gone", "not there"), (tmp_path, "no photo")):
        with pytest.raises(SubjectError, match=found) as refusal:
            read_subject(SubjectOptions(photos=place, class_noun="mug"))
        assert str(place) in refusal.value.found and all(parts(refusal.value))
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(SubjectError, match="a file"):
        read_subject(SubjectOptions(photos=tmp_path / "file", class_noun="mug"))


def test_photos_are_known_by_content_and_not_by_name(tmp_path: Path):
    folder = good_folder(tmp_path / "photos", 2)
    photo(5).save(folder / "no-ending", format="PNG")
    (folder / "notes.md").write_text("not a photo", encoding="utf-8")
    (folder / ".hidden.png").write_bytes(b"")
    assert [path.name for path in list_photos(folder)] == ["00.png", "01.png", "no-ending"]


def test_large_photos_are_shrunk_in_memory(tmp_path: Path):
    photo(size=(300, 3000)).save(tmp_path / "wide.png")
    reading = read_photo(tmp_path / "wide.png")
    assert reading.size == (300, 3000) and max(reading.photo.image.size) == MAX_SIDE


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "MPO"]),
    where=st.floats(0, 1),
    noise=st.binary(min_size=1, max_size=24),
)
def test_broken_bytes_are_read_or_refused_but_never_crash(tmp_path: Path, kind: str, where: float, noise: bytes):
    buffer = io.BytesIO()
    photo(size=(40, 48)).save(
        buffer, format=kind, **({"save_all": True, "append_images": [photo(1, (40, 48))]} if kind == "MPO" else {})
    )
    data = bytearray(buffer.getvalue())
    at = int(where * (len(data) - 1))
    data[at : at + len(noise)] = noise
    path = tmp_path / "fuzzed.img"
    path.write_bytes(bytes(data))
    try:
        assert read_photo(path).photo.image.mode == "RGB"
    except SubjectError as error:
        assert "fuzzed.img" in error.found and all(parts(error))
