"""One clock for a file whose own begins anew, such as transport streams joined end to end.

Times that go back, or far ahead at once, belong to another recording. What follows is moved so that
it begins where the stream that shows it first had ended. All streams move by the same time, so that
sound and picture stay together; each moves when its own packets jump, because those of different
streams overlap at a joint.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

# Streams are not stored exactly in the order of their times.
_LEAST_JUMP_BACK = Fraction(1, 10)
_LEAST_JUMP_AHEAD = 10


@dataclass
class _Line:
    """A stream on the file's own clock, seconds."""

    part: int = 0
    last: Fraction | None = None
    step: Fraction = Fraction()

    @property
    def end(self) -> Fraction:
        return (self.last or Fraction()) + self.step


class Clock:
    """Gives packets the times that they would have if the clock had gone on.

    Args:
      may_restart: whether it has to look; if not, every packet keeps its times.
      may_jump_ahead: whether a long pause in all streams is another recording, rather than a pause.

    Attributes:
      restarts: how often the clock began anew so far.
    """

    def __init__(self, *, may_restart: bool, may_jump_ahead: bool) -> None:
        self._may_restart, self._may_jump_ahead = may_restart, may_jump_ahead
        self._lines: dict[int, _Line] = {}
        # Of each part of the file: what is added to its times, and the latest of them.
        self._shifts = [Fraction()]
        self._latest = [Fraction()]

    @property
    def restarts(self) -> int:
        """Parts of the file after the first one."""
        return len(self._shifts) - 1

    def mend(self, packet: Any) -> None:
        """Moves a packet, which must be the next one of the file's sound, picture and text."""
        # Pictures are shown in another order than they are stored in.
        stamp = packet.pts if packet.stream.type == 'audio' else packet.dts
        if stamp is None or not self._may_restart:
            return
        time = Fraction(stamp * packet.time_base)
        # Text has pauses of any length: it goes with the others.
        part = self.restarts if packet.stream.type == 'subtitle' else self._part(packet, time)
        shift = round(self._shifts[part] / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift

    def _part(self, packet: Any, time: Fraction) -> int:
        """The part of the file that a packet of sound or picture belongs to."""
        line = self._lines.setdefault(packet.stream.index, _Line())
        if line.last is None:
            line.part = self.restarts
        elif self._jumps(line, time):
            if line.part == self.restarts:
                self._shifts.append(line.end + self._shifts[-1] - time)
                self._latest.append(time)
            line.part = self.restarts
        elif time > line.last:
            line.step = time - line.last
        line.last = time
        self._latest[line.part] = max(self._latest[line.part], time)
        return line.part

    def _jumps(self, line: _Line, time: Fraction) -> bool:
        if time < (line.last or 0) - _LEAST_JUMP_BACK:
            return True
        return self._may_jump_ahead and time > self._latest[line.part] + _LEAST_JUMP_AHEAD
