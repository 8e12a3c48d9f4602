"""What a part of a swap that remembers earlier frames has to offer, so that a run can go on."""

from typing import Any, Protocol


class Remembering(Protocol):
    """What remembers something from frame to frame."""

    def state(self) -> Any:
        """All of it as JSON values and arrays, none of which changes later."""

    def restore(self, state: Any) -> None:
        """Takes up what `state` gave, maybe in another process."""
