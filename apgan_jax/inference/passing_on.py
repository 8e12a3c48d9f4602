"""Files in which nothing is to be changed: they get no mark, and where people are anonymised they
keep nothing but what is to be seen and heard."""

import filecmp
import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.files.photo_writing import write_photo
from apgan_jax.files.photos import is_photo, read_photo
from apgan_jax.files.unfinished import unfinished_folder
from apgan_jax.video.encoding import Encoding
from apgan_jax.video.reader import VideoReader
from apgan_jax.video.writer import VideoStats, VideoWriter

# Mean difference of encoded pictures, of 255, from what was encoded, at most.
_ENCODING = 8.0


@dataclass(frozen=True)
class PassedOn:
    """What became of a file that was passed on.

    Attributes:
      not_kept: what a photo had and its copy has not.
      video: what became of a video's streams; None of photos and copies.
    """

    not_kept: tuple[str, ...] = ()
    video: VideoStats | None = None


@dataclass(frozen=True)
class PassingOn:
    """How files are passed on.

    Attributes:
      bare: without metadata.
      encoding: of videos that are written anew.
      start: of a part of a video, seconds; None: the beginning.
      end: likewise.
    """

    bare: bool
    encoding: Encoding
    start: float | None = None
    end: float | None = None

    def copies(self, target: Path) -> bool:
        """Whether a file can be passed on byte for byte, under a name of its own format."""
        is_part = self.start is not None or self.end is not None
        return not self.bare and (not is_part or is_photo(target))

    def put(self, target: Path, output: Path) -> PassedOn:
        """Puts a photo or video under the output's name, whole or not at all.

        Raises:
          UserError: the target cannot be read, or the output cannot be written.
        """
        with unfinished_folder(output) as folder:
            part = folder / output.name
            passed_on = self._write(target, part)
            os.replace(part, output)
        return passed_on

    def has_put(self, target: Path, output: Path) -> bool:
        """Whether a file is what `put` makes of a target.

        Raises:
          UserError: see `put`.
        """
        if self._is_copy(target, output):
            return filecmp.cmp(target, output, shallow=False)
        if not is_photo(target):
            return self._is_encoded(target, output)
        with tempfile.TemporaryDirectory() as folder:
            again = Path(folder) / output.name
            self._write(target, again)
            return filecmp.cmp(again, output, shallow=False)

    def _is_encoded(self, target: Path, output: Path) -> bool:
        """Whether a video shows what the target does; its bytes x264 makes anew each time."""
        try:
            with (
                VideoReader(target, start=self.start, end=self.end) as wanted,
                VideoReader(output) as found,
            ):
                pairs = itertools.zip_longest(wanted, found)
                alike = all(
                    one and other and _are_alike(one.rgb, other.rgb) for one, other in pairs
                )
                return alike and not found.decode_errors
        except UserError:
            return False

    def _is_copy(self, target: Path, output: Path) -> bool:
        return self.copies(target) and output.suffix.lower() == target.suffix.lower()

    def _write(self, target: Path, output: Path) -> PassedOn:
        if self._is_copy(target, output):
            shutil.copyfile(target, output)
            return PassedOn()
        if is_photo(target):
            photo = read_photo(target)
            lost = write_photo(output, photo.bare() if self.bare else photo)
            return PassedOn(photo.not_kept + lost)
        with VideoReader(target, start=self.start, end=self.end) as reader:
            writer = VideoWriter(output, reader, encoding=self.encoding, bare=self.bare)
            for frame in writer.in_segments(reader):
                writer.write(frame, [])
            return PassedOn(video=writer.finish())


def _are_alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures differ by encoding only, and by lines and columns added for it."""
    rows, columns = np.minimum(one.shape, other.shape)[:2]
    added = np.abs(np.subtract(one.shape, other.shape)).max()
    difference = cv2.absdiff(one[:rows, :columns], other[:rows, :columns])
    return bool(added <= 1 and difference.mean() < _ENCODING)
