"""Options that would do nothing: said before the work, so that nobody takes them for done."""

from collections.abc import Mapping, Sequence
from typing import Any

from apgan_jax.errors import UserError
from apgan_jax.inference.targets import TargetKind

_VIDEOS: tuple[TargetKind, ...] = ('video', 'camera', 'folder')
_FOLDERS: tuple[TargetKind, ...] = ('folder', 'folder of photos')
# Options, and the kinds of target of which they say something.
_MEANT_FOR: dict[str, Sequence[TargetKind]] = {
    'start': _VIDEOS,
    'end': _VIDEOS,
    'codec': _VIDEOS,
    'quality': _VIDEOS,
    'preset': _VIDEOS,
    'chroma': _VIDEOS,
    'unsteady': _VIDEOS,
    'resume': ('video', *_FOLDERS),
    'contact_sheet': ('photo', 'video', *_FOLDERS),
}
# Options that leave nothing to say for others.
_SAID_BY: dict[str, tuple[str, ...]] = {'map': ('face',), 'whole_crop': ('whole_face',)}
# What a command does whatever is said.
_DONE_BY: dict[str, tuple[str, ...]] = {'anonymise': ('no_detail',)}


def check_idle_options(options: Mapping[str, Any], kind: TargetKind) -> None:
    """Refuses options that would have no effect.

    Args:
      options: values by name, with underscores; None and False of those that were not given.
      kind: of the target.

    Raises:
      UserError: there is one.
    """
    given = {name for name, value in options.items() if value is not None and value is not False}
    for name, kinds in _MEANT_FOR.items():
        if name in given and kind not in kinds:
            raise UserError(f'{_shown(name)}: has no effect on a {kind}; leave it out')
    for name, others in _SAID_BY.items():
        for other in others:
            if {name, other} <= given:
                raise UserError(
                    f'{_shown(other)}: has no effect with {_shown(name)}; leave one of them out'
                )
    command = options.get('command', '')
    for name in _DONE_BY.get(command, ()):
        if name in given:
            raise UserError(f'{_shown(name)}: is what {command} does anyway; leave it out')
    # A folder is never replaced, but its contact sheet may be.
    if kind in _FOLDERS and 'overwrite' in given and 'contact_sheet' not in given:
        raise UserError(
            f'--overwrite: has no effect on a {kind}, which is never replaced; leave it out'
        )


def check_mask(options: Mapping[str, Any], *, has_mask: bool) -> None:
    """Refuses options that a bundle leaves nothing to say.

    Args:
      options: see `check_idle_options`.
      has_mask: whether its generator says itself where the face is shown.

    Raises:
      UserError: there is one.
    """
    if has_mask and options['whole_face']:
        raise UserError(
            '--whole-face: has no effect with this bundle, whose generator has a mask; leave it out'
        )


def _shown(name: str) -> str:
    return '--' + name.replace('_', '-')
