"""`make demo`: the whole path on data that comes with the packages.

A clip is made from the public-domain portrait in scikit-image by a virtual camera, gets a synthetic
identity, and its mark is verified; then a few records are built and the tiny configuration trains
on them for a few steps. Everything goes through the commands that a user would type.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data

import configs
from apgan_jax import cli
from apgan_jax.files.image_files import write_image
from apgan_jax.identity_file import SHIPPED_IDENTITY

_WIDTH, _HEIGHT, _FRAME_RATE, _SECONDS = 1280, 720, 25, 4
_SOUND_RATE, _TONE_HERTZ = 48_000, 220.0
_FACE_CENTRE = (224.0, 122.0)
_TRAINING_PHOTOS, _TRAINING_STEPS = 10, 10


def virtual_camera(count: int) -> Iterator[np.ndarray]:
    """`count` frames of a slow pan, zoom and roll over the portrait, RGB uint8 (720, 1280, 3)."""
    portrait = skimage.data.astronaut()
    for phase in np.linspace(0.0, 1.0, count):
        frame_from_portrait = cv2.getRotationMatrix2D(
            _FACE_CENTRE, 8.0 * np.sin(2 * np.pi * phase), 2.2 + 0.8 * np.sin(np.pi * phase)
        )
        position = np.array([_WIDTH * (0.38 + 0.24 * phase), _HEIGHT * 0.42])
        frame_from_portrait[:, 2] += np.subtract(position, _FACE_CENTRE)
        yield cv2.warpAffine(
            portrait,
            frame_from_portrait,
            (_WIDTH, _HEIGHT),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )


def write_clip(path: Path) -> None:
    """Writes the virtual camera's frames with a quiet tone, H.264 and AAC."""
    with av.open(str(path), 'w') as container:
        picture = container.add_stream('libx264', rate=_FRAME_RATE, options={'crf': '18'})
        picture.width, picture.height, picture.pix_fmt = _WIDTH, _HEIGHT, 'yuv420p'
        sound = container.add_stream('aac', rate=_SOUND_RATE, layout='mono')
        for image in virtual_camera(_FRAME_RATE * _SECONDS):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(picture.encode(None))
        for frame in _tone():
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


def _tone() -> Iterator[av.AudioFrame]:
    samples = np.arange(_SOUND_RATE * _SECONDS)
    wave = 0.1 * np.sin(2 * np.pi * _TONE_HERTZ * samples / _SOUND_RATE)
    for start in range(0, len(wave), 1024):
        part = wave[None, start : start + 1024].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(part, format='fltp', layout='mono')
        frame.sample_rate, frame.pts = _SOUND_RATE, start
        frame.time_base = Fraction(1, _SOUND_RATE)
        yield frame


def swap_and_verify(output: Path) -> None:
    """Swaps a shipped synthetic identity into the clip and checks the mark."""
    clip, swapped = output / 'target.mp4', output / 'swapped.mp4'
    write_clip(clip)
    swap = ['swap', '--source', SHIPPED_IDENTITY, '--target', clip, '--output', swapped]
    _apgan(*swap, '--contact-sheet', output / 'contact_sheet.png', '--overwrite')
    _apgan('verify', swapped)


def train_a_little(output: Path) -> None:
    """Builds records of a few frames and trains the tiny configuration on them."""
    photos, records, run = output / 'photos', output / 'records', output / 'run'
    photos.mkdir()
    for number, frame in enumerate(virtual_camera(_TRAINING_PHOTOS)):
        write_image(photos / f'{number:03d}.jpg', frame)
    build = ['data_prep.build', f'--source=folder:{photos}', f'--output={records}', '--size=64']
    _module(*build)
    tiny = Path(configs.__file__).parent / 'tiny.py'
    train = ['apgan_jax.main', f'--config={tiny}', f'--config.data_dir={records}']
    _module(*train, f'--workdir={run}', f'--config.num_steps={_TRAINING_STEPS}')


def _apgan(*arguments: object) -> None:
    print('$ apgan', *arguments, flush=True)
    status = cli.main([str(argument) for argument in arguments])
    if status:
        sys.exit(status)


def _module(*arguments: str) -> None:
    print('$ python -m', *arguments, flush=True)
    status = subprocess.run([sys.executable, '-m', *arguments], check=False).returncode
    if status:
        sys.exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog='python -m apgan_jax.demo', description=__doc__)
    parser.add_argument('--output', type=Path, required=True, help='folder, made anew')
    output = parser.parse_args(arguments).output
    _clear(output)
    swap_and_verify(output)
    train_a_little(output)
    print(f'done: look at {output / "contact_sheet.png"} and play {output / "swapped.mp4"}')
    return 0


def _clear(output: Path) -> None:
    """Removes what an earlier demo left, and nothing else."""
    output.mkdir(parents=True, exist_ok=True)
    for name in ('photos', 'records', 'run'):
        shutil.rmtree(output / name, ignore_errors=True)
    for name in ('target.mp4', 'swapped.mp4', 'contact_sheet.png'):
        (output / name).unlink(missing_ok=True)


if __name__ == '__main__':
    sys.exit(main())
