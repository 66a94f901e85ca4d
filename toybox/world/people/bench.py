"""Measures how many pictures of people a second are drawn: `python -m toybox.world.people.bench [COUNT]`."""

import sys
import time

from toybox.world.description import Light
from toybox.world.people.drawing import draw_person
from toybox.world.people.person import Portrait, describe_person, describe_portrait
from toybox.world.people.scene import describe_people, render_people


def main(count: int) -> None:
    """Prints the rates of each kind of picture.

    Args:
        count: Pictures of each kind.
    """
    light = Light(-30.0, 35.0, 1.0)
    for seed in range(24):  # fills the caches that a long run has filled: curls, cuts, floors
        render_people(describe_people(seed), 128)
    kinds = {
        "somebody new, 128 px": lambda index: draw_person(describe_person(index), describe_portrait(index), light, 128),
        "one person again, 128 px": lambda index: draw_person(describe_person(0), Portrait(yaw=index % 40), light, 128),
        "somebody new, 256 px": lambda index: draw_person(describe_person(index), describe_portrait(index), light, 256),
        "a scene in a place, 128 px": lambda index: render_people(describe_people(1000 + index), 128),
    }
    for name, work in kinds.items():
        started = time.process_time()
        for index in range(count):
            work(index)
        print(f"{name:28} {count / (time.process_time() - started):6.1f} a second and core (processor time)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
