"""The common ground of all options: frozen, and unknown keys are refused."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options of one thing, kept beside the thing they configure.

    Attribute docstrings become descriptions in help, forms and the recipe reference. Options never change after
    construction; to resolve a default is to make a new value (`model_copy(update=...)`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
