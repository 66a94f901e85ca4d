"""People who do not exist, for the toybox's world: described by a seed, drawn with exact truth.

`describe_person` draws who, `describe_portrait` how they are seen, `draw_person` the picture with mask, five facial
points, box and joints; `describe_in_words` and `attributes` say the same in words and values. `describe_people`,
`render_people` and `caption_people` put one or two of them into the world's places.
"""

from toybox.world.people.drawing import Drawn, draw_person
from toybox.world.people.person import Person, Portrait, called, describe_person, describe_portrait
from toybox.world.people.scene import PeopleRendered, PeopleScene, caption_people, describe_people, render_people
from toybox.world.people.together import Group, together
from toybox.world.people.words import attributes, describe_in_words, vocabulary

__all__ = [
    "Drawn",
    "Group",
    "PeopleRendered",
    "PeopleScene",
    "Person",
    "Portrait",
    "attributes",
    "called",
    "caption_people",
    "describe_in_words",
    "describe_people",
    "describe_person",
    "describe_portrait",
    "draw_person",
    "render_people",
    "together",
    "vocabulary",
]
