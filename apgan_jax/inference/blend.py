"""How generated faces go into their frames: the choices, and the options that make them."""

import argparse
import dataclasses
from typing import Self

from apgan_jax.errors import UserError

# Below the first the target is hardly changed, above the second faces are caricatures.
STRENGTHS = 0.5, 2.0
DEFAULT_STRENGTH = 1.35


@dataclasses.dataclass(frozen=True)
class Blend:
    """How generated faces go into their frames.

    Attributes:
      strength: of the identity: 1 is the source's, more is farther away from the target's own.
      keep_colour: whether they keep the colour and light that the generator gave their skin, and do
        not take over the target's. Faces of grey pictures are grey all the same.
      whole_crop: whether all of the crop is blended in, as by the paper's eq. 12, and not only what
        is in the face's outline; with a generator that has a mask, all that this shows.
      whole_face: whether forehead and temples are blended in where the target has hair there too;
        of no effect with a generator that has a mask, which decides that.
      steady: whether a person's generated faces are steadied from frame to frame.
      detail: whether they get the frame's detail, as far as it fits them.

    Raises:
      UserError: a strength that gives no face.
    """

    strength: float = DEFAULT_STRENGTH
    keep_colour: bool = False
    whole_crop: bool = False
    whole_face: bool = False
    steady: bool = True
    detail: bool = True

    def __post_init__(self) -> None:
        low, high = STRENGTHS
        if not low <= self.strength <= high:
            raise UserError(
                f'--strength {self.strength:g}: must be {low:g} to {high:g}; 1 is the source as it '
                'is'
            )

    @classmethod
    def of_options(cls, options: argparse.Namespace) -> Self:
        """What the options of `add_blend_options` say."""
        return cls(
            strength=options.strength,
            keep_colour=options.keep_colour,
            whole_crop=options.whole_crop,
            whole_face=options.whole_face,
            steady=not options.unsteady,
            detail=not options.no_detail,
        )


DEFAULT_BLEND = Blend()


def add_blend_options(parser: argparse._ActionsContainer) -> None:
    """Adds the options of `Blend` to a command."""
    parser.add_argument(
        '--strength',
        type=float,
        default=DEFAULT_STRENGTH,
        help='of the identity: 1 is the source, more is farther from the target (0.5 to 2)',
    )
    parser.add_argument(
        '--keep-colour', action='store_true', help='leave the skin as generated, not as the target'
    )
    parser.add_argument(
        '--whole-face', action='store_true', help="also over the target's hair on the forehead"
    )
    parser.add_argument(
        '--whole-crop', action='store_true', help='blend as the paper does, about the face too'
    )
    parser.add_argument(
        '--unsteady', action='store_true', help='leave each generated face as its frame gave it'
    )
    parser.add_argument(
        '--no-detail', action='store_true', help="leave faces as soft as the model's resolution"
    )
