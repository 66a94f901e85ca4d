"""Measures how many figures a second are drawn: `python -m toybox.world.figures.bench [COUNT]`."""

import sys
from collections.abc import Callable

from toybox.world.bench import rate
from toybox.world.description import Light, Pose, Thing
from toybox.world.figures import FIGURES, describe_figure, doing, draw_figure, made, wearing

PIXELS = 164  # what a scene of 128 px, painted at twice its size, asks for on average


def _drawn(build: Callable[[int], Thing]) -> Callable[[int], object]:
    """Draws the figure of each number, seen from another side each time."""
    return lambda index: draw_figure(
        build(index), Pose(0.5, 0.9, 0.6, azimuth=37.0 * index % 200 - 100, elevation=14), Light(-35, 40, 1.0), PIXELS
    )


def main(count: int) -> None:
    """Prints the rates.

    Args:
        count: Figures a row.
    """
    props = [noun for noun, figure in FIGURES.items() if figure.family == "prop"]
    rows: dict[str, Callable[[int], Thing]] = {
        "props, another each time": lambda i: describe_figure(props[i % len(props)], i),
        "knights, another each time": lambda i: doing(describe_figure("knight", i), "running", i),
        "dogs, another each time": lambda i: doing(describe_figure("dog", i), "running", i),
        "one dog, from all sides": lambda i: describe_figure("dog", 1),
        "wet cats in hats": lambda i: made(wearing(describe_figure("cat", i), "hat", "red"), "wet"),
    }
    for name, build in rows.items():
        work = _drawn(build)
        for index in range(count, count + 4):  # programs are compiled and archives read before the clock starts
            work(index)
        print(f"{name:30} {rate(work, count):7.1f} a second and core (processor time)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
