"""Identities of nobody, for `apgan anonymise`: each from a few similar synthetic faces.

    python -m data_prep.make_bank --data_dir=RECORDS --prefix=generated/ --output=FOLDER

reads aligned synthetic faces from records that `data_prep.build` wrote. It writes 00.safetensors
and so on to FOLDER: the embedding by the shipped identity encoder and the vector by SFace, no
picture.

A group is a face and those nearest to it. Plain means of groups are all alike: synthetic faces have
much in common (a cosine of 0.33 on average, where real people have 0.02), and a mean has more of
it. So the mean over all of them is subtracted from a group's: what is left sets the group apart,
and is no copy of any of its faces either (a cosine of 0.7). Groups are far from each other.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from apgan_jax.bundle import load_bundle
from apgan_jax.data.records import FaceRecord, RecordDataset
from apgan_jax.errors import UserError
from apgan_jax.identity_file import save_identity
from apgan_jax.inference.swapper import Swapper
from apgan_jax.models.identity import IdentityEmbedding, IdentityEncoder
from apgan_jax.networks.recognisers import SFaceRecogniser

_BATCH = 32
_STARTS = 20
_MOST_ALIKE = 0.3


class EmbeddedFaces(NamedTuple):
    """Faces by both networks.

    Attributes:
      embeddings: of the identity encoder, leading axis n.
      sface: unit vectors, float32 (n, 128).
      names: of the photos.
    """

    embeddings: IdentityEmbedding
    sface: np.ndarray
    names: list[str]


def embed_faces(data_dir: Path, prefix: str, swapper: Swapper) -> EmbeddedFaces:
    """Embeds the records whose photo's name begins with `prefix`.

    Raises:
      UserError: there are none.
    """
    records = map(FaceRecord.parse, RecordDataset(data_dir))
    found = [record for record in records if record.file_name.startswith(prefix)]
    if not found:
        raise UserError(f'--prefix {prefix}: no record of {data_dir} begins so')
    sface, window = SFaceRecogniser(), swapper.bundle.crop_spec.arcface_window
    parts, vectors = [], []
    for crops in _batches(found):
        parts.append(jax.device_get(swapper.embed(crops)))
        vectors.append(sface.embed(crops, window))
    count = len(found)
    embeddings = jax.tree.map(lambda *arrays: np.concatenate(arrays)[:count], *parts)
    names = [record.file_name for record in found]
    return EmbeddedFaces(embeddings, np.concatenate(vectors)[:count], names)


def _batches(found: Sequence[FaceRecord]) -> Iterator[np.ndarray]:
    """Batches of one size, the last one filled up with the first faces: one program."""
    for start in range(0, len(found), _BATCH):
        numbers = np.arange(start, start + _BATCH) % len(found)
        yield np.stack([found[int(number)].decode_image() for number in numbers])


def distinct_vectors(vectors: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """What sets groups apart: their means less the mean over all faces, unit length.

    Args:
      vectors: of all faces, (n, d).
      groups: numbers of the faces of each group, (g, size).

    Returns:
      (g, d).
    """
    apart = vectors[groups].mean(axis=1) - vectors.mean(axis=0)
    return apart / np.linalg.norm(apart, axis=1, keepdims=True)


def choose_groups(vectors: np.ndarray, *, count: int, size: int, most_alike: float) -> np.ndarray:
    """Groups of similar faces that are far from each other.

    Starts from many faces, takes the group whose nearest one taken so far is farthest, and keeps
    the start that leads to the most groups.

    Args:
      vectors: unit vectors of the faces, (n, d).
      count: groups wanted.
      size: faces a group; none is in two groups.
      most_alike: the cosine of any two groups' `distinct_vectors` is less.

    Returns:
      Numbers of the faces of each group, (count, size).

    Raises:
      UserError: fewer groups can be found.
    """
    candidates = np.argsort(-(vectors @ vectors.T), axis=1)[:, :size]
    apart = distinct_vectors(vectors, candidates)
    starts = np.linspace(0, len(vectors) - 1, min(_STARTS, len(vectors))).astype(int)
    chains = (_chain(apart, candidates, int(start), most_alike) for start in starts)
    best = max(chains, key=len)
    if len(best) < count:
        raise UserError(f'--count {count}: only {len(best)} groups are unlike each other')
    return candidates[best[:count]]


def _chain(apart: np.ndarray, candidates: np.ndarray, start: int, most_alike: float) -> list[int]:
    """The groups taken from one start on, each the farthest from those before it."""
    chain, used = [start], set(candidates[start])
    nearest = apart @ apart[start]
    while True:
        for number in np.argsort(nearest):
            if used.isdisjoint(candidates[number]):
                break
        if nearest[number] >= most_alike:
            return chain
        chain.append(int(number))
        used |= set(candidates[number])
        nearest = np.maximum(nearest, apart @ apart[number])


def write_bank(
    faces: EmbeddedFaces, output: Path, encoder: IdentityEncoder, *, count: int, size: int
) -> str:
    """Writes the identities.

    Returns:
      The names of the photos behind each, a line each.

    Raises:
      UserError: too few faces, or `output` holds identities already.
    """
    if any(output.glob('*.safetensors')):
        raise UserError(f'--output {output}: holds identities already; choose another folder')
    vectors = np.asarray(faces.embeddings.vector)
    groups = choose_groups(vectors, count=count, size=size, most_alike=_MOST_ALIKE)
    apart, sface_apart = (distinct_vectors(each, groups) for each in (vectors, faces.sface))
    output.mkdir(parents=True, exist_ok=True)
    for number, group in enumerate(groups):
        mean = jax.tree.map(
            lambda x, group=group: x[group].mean(0, keepdims=True), faces.embeddings
        )
        save_identity(
            output / f'{number:02d}.safetensors',
            mean.replace(vector=apart[number : number + 1]),
            encoder,
            sface_vector=sface_apart[number],
            description=f'from {size} synthetic faces',
        )
    for name, each in (('identity encoder', apart), ('SFace', sface_apart)):
        between = (each @ each.T)[np.triu_indices(count, 1)]
        print(f'{name}: cosine of two identities {between.mean():.3f}, at most {between.max():.3f}')
    return '\n'.join(' '.join(faces.names[number] for number in group) for group in groups)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog='python -m data_prep.make_bank', description=__doc__)
    parser.add_argument('--data_dir', type=Path, required=True, help='of data_prep.build')
    parser.add_argument('--prefix', required=True, help='of the names of the synthetic faces')
    parser.add_argument('--output', type=Path, required=True)
    parser.add_argument('--count', type=int, default=32)
    parser.add_argument('--size', type=int, default=3, help='faces an identity')
    options = parser.parse_args(arguments)
    swapper = Swapper(load_bundle(None))
    try:
        faces = embed_faces(options.data_dir, options.prefix, swapper)
        encoder = swapper.bundle.identity_encoder
        print(write_bank(faces, options.output, encoder, count=options.count, size=options.size))
    except UserError as error:
        print(f'data_prep.make_bank: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
