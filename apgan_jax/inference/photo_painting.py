"""Painting faces into photos at their own depth and in their own colours.

Only the small picture of a patch is converted; what no patch covers stays as it was read.
"""

import dataclasses
from collections.abc import Iterable

from apgan_jax.face.blending import Patch, blend, with_room_for_detail
from apgan_jax.files.photos import WholePhoto


def paint_photo(photo: WholePhoto, patches: Iterable[Patch]) -> WholePhoto:
    """A copy of a photo with patches blended in, later ones on top."""
    pixels = photo.pixels.copy()
    for patch in patches:
        covered = None if patch.covered is None else photo.own_colours(patch.covered)
        picture = with_room_for_detail(photo.own_colours(patch.picture), covered, patch.detail)
        blend(
            [pixels],
            [picture],
            patch.mask,
            patch.picture_from_frame,
            detail=patch.detail,
            highest=photo.highest,
        )
    return dataclasses.replace(photo, pixels=pixels)
