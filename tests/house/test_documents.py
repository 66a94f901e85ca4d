"""Documents that must agree with the code."""

import re
from pathlib import Path

import pytest

import ipseity
from ipseity.core.registry import find
from ipseity.recipe import PLUGINS, make_recipe, parse, read_recipe, shelf

ROOT = Path(__file__).parents[2]


def test_changelog_and_version_agree() -> None:
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == ipseity.__version__


def test_the_walk_exists() -> None:
    """docs/walk.md names five doors from a typed command to a loss; each must be there."""
    doors = re.findall(r"`(src/ipseity/[\w/]+\.py):(\w+)`", (ROOT / "docs" / "walk.md").read_text())
    assert len(doors) >= 5
    for path, name in doors:
        assert re.search(rf"(def|class) {name}\b", (ROOT / path).read_text()), f"{path} has no {name}"


@pytest.mark.parametrize("name", shelf())
def test_every_recipe_on_the_shelf_resolves(name: str) -> None:
    recipe = read_recipe(Path(name), ["subject.photos=photos", "subject.class_noun=mug"])
    assert recipe == make_recipe(parse(recipe.to_toml(), name)), "a resolved recipe reads back as itself"
    for table, room in PLUGINS.items():
        assert getattr(recipe, table).plugin is find(room, getattr(recipe, table).name)


def test_documents_say_nothing_of_the_workshop() -> None:
    texts = [
        path
        for pattern in ("*.md", "docs/**/*.md", "src/**/*.py", "toybox/**/*.py", "toybox/*.md")
        for path in ROOT.glob(pattern)
    ]
    word = re.compile(r"/work/|\bsession\b(?! of)|\bsubagent|farm-bench|\.library", re.IGNORECASE)
    found = [f"{path.relative_to(ROOT)}: {match.group()}" for path in texts if (match := word.search(path.read_text()))]
    assert not found
