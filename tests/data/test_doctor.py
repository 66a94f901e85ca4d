"""What is noticed about photos before time is spent on them."""

import os
from pathlib import Path

import pytest
from PIL import Image, ImageFilter, ImageOps

from ipseity.data.doctor import inspect_photos, is_flat, sharpness
from ipseity.data.likeness import copies, groups
from ipseity.data.subject import SubjectOptions, hold_out, read_subject
from tests.conftest import draw_photo
from tests.fixtures.bad_images import good_folder, photo


def messages(folder: Path, **options) -> list[str]:
    return [finding.message for finding in inspect_photos(folder, **options)]


def test_good_photos_need_no_words(tmp_path: Path):
    assert messages(good_folder(tmp_path / "photos", 5), resolution=64) == []


def test_small_photos_are_told_against_the_base(tmp_path: Path):
    folder = good_folder(tmp_path / "photos", 4)
    said = messages(folder, resolution=128)
    assert len(said) == 4 and "00.png is 96 x 96 pixels and will be enlarged to 128" in said[0]


def test_blur_is_told(tmp_path: Path):
    folder = good_folder(tmp_path / "photos", 4)
    photo(7, (512, 512)).filter(ImageFilter.GaussianBlur(8)).save(folder / "soft.png")
    assert [line for line in messages(folder) if "blurred" in line] == [
        "soft.png looks blurred. Blur is learned too: replace it by a sharp photo if you can."
    ]
    assert sharpness(photo(7, (512, 512))) > 10 * sharpness(photo(7, (512, 512)).filter(ImageFilter.GaussianBlur(8)))


@pytest.mark.parametrize("change", ["same", "jpeg", "smaller", "brighter", "mirrored", "shifted", "shifted mirrored"])
def test_copies_are_told(tmp_path: Path, change: str):
    folder = good_folder(tmp_path / "photos", 4)
    wide = photo(1, (96, 128))
    wide.crop((0, 0, 96, 96)).save(folder / "01.png")
    elsewhere = wide.crop((32, 0, 128, 96))
    source, target = wide.crop((0, 0, 96, 96)), folder / "copy.png"
    if change == "jpeg":
        source.save(folder / "copy.jpg", quality=60)
        target = folder / "copy.jpg"
    else:
        changed = {
            "same": source.copy,
            "smaller": lambda: source.resize((70, 70)),
            "brighter": lambda: source.point(lambda level: min(255, level + 25)),
            "mirrored": lambda: ImageOps.mirror(source),
            "shifted": lambda: elsewhere,
            "shifted mirrored": lambda: ImageOps.mirror(elsewhere),
        }[change]()
        changed.save(target)
    said = [line for line in messages(folder) if target.name in line]
    assert len(said) == 1 and "01.png" in said[0]
    assert (f"a {change} copy" in said[0]) == ("mirrored" in change or "shifted" in change)


def test_different_views_of_one_thing_are_no_copies():
    assert copies([draw_photo(number) for number in range(6)]) == []


def test_groups_join_chains():
    images = [photo(0), photo(1), photo(0), ImageOps.mirror(photo(0)), photo(2)]
    assert groups(5, copies(images)) == [[0, 2, 3], [1], [4]]


@pytest.mark.parametrize(("count", "said"), [(1, "There is only 1 photo."), (3, "There are only 3 photos.")])
def test_too_few_is_told(tmp_path: Path, count: int, said: str):
    lines = messages(good_folder(tmp_path / "photos", count))
    assert len(lines) == 1 and lines[0].startswith(said[:-1])


def test_of_a_thousand_photos_some_are_used_and_told(tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(1000):
        target = folder / f"{number:04d}.png"
        if number % 20:  # only every twentieth is ever opened
            os.link(folder / f"{number - number % 20:04d}.png", target)
        else:
            photo(number, (64, 64)).save(target)
    subject = read_subject(SubjectOptions(photos=folder, class_noun="mug"))
    assert len(subject.photos) == 50 and subject.photos[-1].path.name == "0980.png"
    assert any("There are 1000 photos; 50 of them" in finding for finding in subject.findings)


def test_long_photos_are_told(tmp_path: Path):
    folder = good_folder(tmp_path / "photos", 4)
    photo(8, (64, 300)).save(folder / "panorama.png")
    assert any("panorama.png is very long" in line for line in messages(folder))


def test_flatness():
    assert is_flat(Image.new("RGB", (64, 64))) and is_flat(Image.new("L", (64, 64), 200))
    assert not is_flat(photo()) and not is_flat(Image.linear_gradient("L"))


@pytest.mark.slow
@pytest.mark.skipif("IPSEITY_DREAMBENCH" not in os.environ, reason="IPSEITY_DREAMBENCH names no folder of real photos")
def test_dreambench():
    """Real photos: nothing is refused, each photo that tells its place is found, and so are the two copies."""
    root = Path(os.environ["IPSEITY_DREAMBENCH"])
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    wanted, told, copied = 0, 0, []
    for folder in folders:
        subject = read_subject(SubjectOptions(photos=folder, class_noun="thing"))
        split = hold_out(subject)
        assert split.score and split.pick, folder
        for path in folder.iterdir():
            with Image.open(path) as file:
                wanted += 0x8825 in file.getexif()
        for finding in inspect_photos(folder):
            assert finding.level != "stop", finding
            if "GPS" in finding.message:
                names, _, more = finding.message.partition(":")[0].partition(" and ")
                told += names.count(".jpg") + int((more or "0").split()[0])
            kind = next((word for word in ("shifted", "mirrored") if f"a {word} copy" in finding.message), None)
            copied += [f"{finding.path.relative_to(root).as_posix()} {kind}"] if kind else []
    assert told == wanted > 0 and copied == ["cat/03.jpg shifted", "dog5/03.jpg mirrored"]
