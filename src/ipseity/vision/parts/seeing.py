"""What an encoder says when it is asked for something that it does not offer."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from ipseity.core.errors import CapabilityError


class Seeing:
    """An encoder of pictures; what else it can do, it defines itself."""

    offers: ClassVar[frozenset[str]] = frozenset({"image"})
    name: str

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        """Refuse: this encoder knows no words.

        Raises:
            CapabilityError: always.
        """
        raise self._refusal("text")

    def patches(self, pixels: Tensor) -> Tensor:
        """Refuse: this encoder tells nothing of patches.

        Raises:
            CapabilityError: always.
        """
        raise self._refusal("patches")

    def _refusal(self, ability: str) -> CapabilityError:
        return CapabilityError(
            f"encoder '{self.name}' offers {', '.join(sorted(self.offers))}",
            f"'{ability}'",
            "choose another: `ipseity list encoders` says what each offers",
        )
