"""Choices of blending, and the options that make them."""

import argparse
import dataclasses

import pytest

from apgan_jax.errors import UserError
from apgan_jax.inference.blend import DEFAULT_BLEND, STRENGTHS, Blend, add_blend_options


def chosen(*arguments):
    parser = argparse.ArgumentParser()
    add_blend_options(parser)
    return Blend.of_options(parser.parse_args(arguments))


def test_without_options_it_is_the_default():
    assert chosen() == DEFAULT_BLEND == Blend()


@pytest.mark.parametrize(
    'arguments, change',
    [
        (['--strength', '1'], {'strength': 1.0}),
        (['--keep-colour'], {'keep_colour': True}),
        (['--whole-face'], {'whole_face': True}),
        (['--whole-crop'], {'whole_crop': True}),
        (['--unsteady'], {'steady': False}),
        (['--no-detail'], {'detail': False}),
    ],
)
def test_each_option_changes_one_choice(arguments, change):
    assert chosen(*arguments) == dataclasses.replace(DEFAULT_BLEND, **change)


@pytest.mark.parametrize('strength', [0.49, 2.01, -1, float('nan'), float('inf')])
def test_strengths_that_give_no_face_are_refused(strength):
    with pytest.raises(UserError, match=r'--strength \S+: must be 0\.5 to 2') as caught:
        Blend(strength=strength)
    assert '\n' not in str(caught.value)
    for limit in STRENGTHS:
        assert Blend(strength=limit).strength == limit
