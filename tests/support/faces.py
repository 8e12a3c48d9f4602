"""One public-domain portrait, NASA's of Eileen Collins, data sets made of it, random weights."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
import skimage.data

from apgan_jax.data import png
from apgan_jax.data.example import serialise_example
from apgan_jax.data.records import CROP_SPEC_KEY, DATASET_NAME
from apgan_jax.data.tfrecord import write_tfrecord
from apgan_jax.face import landmarks
from apgan_jax.face.alignment import CropSpec
from apgan_jax.files.image_files import encode_image, write_image
from apgan_jax.training.train_step import TrainingModel, TrainState, create_train_state

EYES = ((203, 101), (246, 103))

# x -> size - 1 - x exchanges these points; points that no boundary map uses stay where they are.
MIRRORED_POINTS = np.arange(landmarks.NUM_LANDMARKS)
for _left, _right in (
    (landmarks.LEFT_EYE, landmarks.RIGHT_EYE),
    (landmarks.LEFT_IRIS, landmarks.RIGHT_IRIS),
):
    MIRRORED_POINTS[list(_left)], MIRRORED_POINTS[list(_right)] = _right, _left
for _lip in (landmarks.OUTER_LIP, landmarks.INNER_LIP):
    # Both rings start at a mouth corner and have 20 points.
    MIRRORED_POINTS[list(_lip)] = [_lip[(10 - place) % 20] for place in range(20)]


def portrait() -> np.ndarray:
    """RGB uint8 (512, 512, 3); the face is about 90 px wide."""
    return skimage.data.astronaut()


def head() -> np.ndarray:
    """The head alone, RGB uint8 (232, 220, 3)."""
    return np.ascontiguousarray(portrait()[:232, 115:335])


def blank() -> np.ndarray:
    """No face, RGB uint8 (200, 200, 3)."""
    return np.full((200, 200, 3), 120, np.uint8)


def brighter(image: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(image * factor, 0, 255).astype(np.uint8)


def variations() -> dict[str, np.ndarray]:
    """Eight photos by name: four 'people', two photos each."""
    photo, close = portrait(), head()
    return {
        'ann/1.png': photo,
        'ann/2.jpg': close,
        'bob/1.png': photo[:, ::-1],
        'bob/2.png': close[:, ::-1],
        'cat/1.png': brighter(close, 0.6),
        'cat/2.png': brighter(close, 1.3),
        'dan/1.png': cv2.resize(close, None, fx=2.0, fy=2.0),
        'dan/2.png': cv2.GaussianBlur(photo[:320, 60:400], (0, 0), 1.5),
    }


def write_photos(folder: Path, photos: dict[str, np.ndarray]) -> Path:
    for name, photo in photos.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, photo)
    return folder


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """A rotation with these angles (degrees), by the inverse of 3DDFA_V2's formulas."""
    x, y, z = np.radians([yaw, pitch, roll])
    about_x = [[1, 0, 0], [0, np.cos(y), -np.sin(y)], [0, np.sin(y), np.cos(y)]]
    about_y = [[np.cos(x), 0, -np.sin(x)], [0, 1, 0], [np.sin(x), 0, np.cos(x)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


def mirrored(points: np.ndarray, size: int) -> np.ndarray:
    """Landmarks (478, 2) of the mirrored picture."""
    return points[MIRRORED_POINTS] * [-1, 1] + [size - 1, 0]


def numbered_picture(number: int, size: int = 16) -> np.ndarray:
    """RGB uint8 (size, size, 3) that tells its number (red) and whether it is mirrored (blue)."""
    picture = np.zeros((size, size, 3), np.uint8)
    picture[..., 0] = 8 * number
    picture[..., 2] = np.arange(size)
    return picture


def oval_landmarks(size: int, *, turned: bool = False) -> np.ndarray:
    """Landmarks (478, 2) on an upright oval, the five points where a face has them."""
    angles = np.linspace(0, 2 * np.pi, landmarks.NUM_LANDMARKS, endpoint=False)
    oval = np.stack([0.5 + 0.3 * np.cos(angles), 0.55 + 0.35 * np.sin(angles)], axis=1)
    for eye, x in ((landmarks.LEFT_EYE, 0.37), (landmarks.RIGHT_EYE, 0.63)):
        oval[list(eye)] = (x, 0.45)
    oval[landmarks.NOSE_TIP] = (0.62 if turned else 0.5, 0.6)
    oval[landmarks.LEFT_MOUTH_CORNER], oval[landmarks.RIGHT_MOUTH_CORNER] = (0.4, 0.75), (0.6, 0.75)
    return (oval * size).astype(np.float32)


def make_records(
    count: int,
    identity: Callable[[int], str],
    size: int = 16,
    *,
    points: Callable[[int], np.ndarray] = lambda number: np.zeros((478, 2), np.float32),
    more: Callable[[int], dict[str, bytes | np.ndarray]] = lambda number: {},
) -> list[bytes]:
    """Up to 32 records with `numbered_picture`s and one boundary map."""
    boundary_map = np.zeros((size, size, 3), np.uint8)
    boundary_map[2:5, 1:4], boundary_map[2:5, 9:12], boundary_map[9] = (
        (255, 0, 0),
        (0, 0, 255),
        (0, 255, 0),
    )
    return [
        serialise_example(
            {
                'image': encode_image(numbered_picture(number, size), '.png'),
                'boundary_map': png.encode_map(boundary_map),
                'landmarks': points(number),
                'five_points': landmarks.five_points(points(number)),
                'crop_from_frame': np.eye(2, 3, dtype=np.float32),
                'identity': identity(number).encode(),
                'file_name': f'{number:03d}.png'.encode(),
                **more(number),
            }
        )
        for number in range(count)
    ]


def write_dataset(folder: Path, serialised: Iterable[bytes], size: int = 16) -> Path:
    """A data set of one shard, as far as training reads it."""
    folder.mkdir(parents=True)
    serialised = list(serialised)
    name = f'{DATASET_NAME}-train.tfrecord-00000-of-00001'
    write_tfrecord(folder / name, serialised)
    splits = [{'name': 'train', 'shardLengths': [str(len(serialised))]}]
    (folder / 'dataset_info.json').write_text(json.dumps({'splits': splits}))
    metadata = {CROP_SPEC_KEY: CropSpec(size=size).to_dict()}
    (folder / 'metadata.json').write_text(json.dumps(metadata))
    return folder


def flip_byte(path: Path, place: int) -> None:
    """Damages a file: one bit of the byte at `place`."""
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


@dataclasses.dataclass(frozen=True)
class BuiltDataset:
    """What `data_prep.build` made of the variations and of three photos that it must reject."""

    folder: Path
    photos: Path
    counts: dict[str, int]


def build_dataset(folder: Path) -> BuiltDataset:
    pytest.importorskip('tensorflow_datasets')
    from data_prep import build, sources

    photos = write_photos(folder / 'photos', variations())
    names = sorted(variations())
    rows = ['file\tidentity', *(f'{name}\t{name[:3]}' for name in names)]
    (folder / 'labels.tsv').write_text('\n'.join(rows) + '\n')
    tiny = cv2.resize(head(), (64, 64), interpolation=cv2.INTER_AREA)
    write_photos(photos, {'rejects/blank.png': blank(), 'rejects/tiny.png': tiny})
    whole = (photos / 'ann' / '2.jpg').read_bytes()
    (photos / 'rejects' / 'corrupt.jpg').write_bytes(whole[:10])
    write_photos(photos, {'left-out/no.png': blank()})
    listed = sources.list_photos(
        [f'folder:{photos}'], labels=folder / 'labels.tsv', exclude=['left-out/*']
    )
    counts = build.build(listed, output=folder / 'dataset', spec=CropSpec(size=64))
    return BuiltDataset(folder / 'dataset', photos, dict(counts))


def random_state(model: TrainingModel) -> TrainState:
    """What `create_train_state` makes, without half a minute of compiling it."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: create_train_state(model, key), jax.random.key(0))

    def fill(path, leaf):
        values = np.zeros(leaf.shape, leaf.dtype)
        parts = jax.tree_util.keystr(path, simple=True, separator='/').split('/')
        if 'optimizer' in parts[0]:
            return values
        if 'spectral' in parts[0]:
            vector = rng.normal(size=leaf.shape)
            values += (vector / np.linalg.norm(vector)).astype(np.float32)
        elif parts[-1] == 'kernel':
            scale = 0.02 if parts[-2] == 'head' else np.prod(leaf.shape[:-1]) ** -0.5
            values += (scale * rng.normal(size=leaf.shape)).astype(np.float32)
        elif parts[-1] == 'rho':
            values += np.float32(0.9)
        return values

    state = jax.tree_util.tree_map_with_path(fill, shapes)
    return state.replace(generator_ema_params=jax.tree.map(np.copy, state.generator_params))


def turned(degrees: float) -> np.ndarray:
    """A pose matrix (4, 4) of a face that looks so far to the side."""
    angle = np.radians(degrees)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)],
        [0, 1, 0],
        [-np.sin(angle), 0, np.cos(angle)],
    ]
    return matrix
