"""What a photo shows to whoever wants to see it: people are drawn in more than its colours.

Transparency draws where it differs, whatever lies beneath; and what is nearly black is bright after
one click. Both are searched for faces, or nobody would anonymise them.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from apgan_jax.face.finding import FaceFinder
from apgan_jax.face.locations import Location
from apgan_jax.files.photos import WholePhoto

_WHITE, _BLACK = 255, 0


def exposed(photo: WholePhoto, finder: FaceFinder) -> tuple[WholePhoto, float]:
    """A photo in which everybody can be found.

    Args:
      photo: as it was read.
      finder: of faces.

    Returns:
      The photo, opaque if its transparency shows a face that its colours do not, and by how much it
      was made brighter: 1 for one that is not nearly black.
    """
    photo, gain = photo.brightened()
    if photo.alpha is None:
        return photo, gain
    flat = [photo.over(background) for background in (_WHITE, _BLACK)]
    shown = [_places(each.rgb, finder) for each in flat]
    known = _places(photo.rgb, finder)
    is_drawn = any(_places(view, finder) for view in _drawings(photo.alpha))
    if is_drawn or not all(place.is_among(known) for places in shown for place in places):
        # Black ink is not seen before black.
        return flat[int(len(shown[1]) > len(shown[0]))], gain
    return photo, gain


def _drawings(alpha: np.ndarray) -> Iterator[np.ndarray]:
    """Opacity as a picture, and as its negative."""
    grey = alpha if alpha.dtype == np.uint8 else (alpha // 257).astype(np.uint8)
    for drawing in (grey, 255 - grey):
        yield cv2.cvtColor(drawing, cv2.COLOR_GRAY2RGB)


def _places(picture: np.ndarray, finder: FaceFinder) -> list[Location]:
    found = finder.find(picture)
    return [*(face.location for face in found.faces), *found.unread]
