"""The Python interface: what the commands do, for programs.

    import apgan_jax

    model = apgan_jax.load()
    who = model.identity(['ann-1.jpg', 'ann-2.jpg'])
    swapped = model.swap(apgan_jax.read('group.jpg'), who)
    apgan_jax.save(swapped.image, 'out.png', swapped)
    model.swap_video('clip.mp4', 'out.mp4', who=who)

Pictures are RGB uint8 (h, w, 3). What is wrong with an argument or a file is a `UserError` of one
line: the value, the rule, the remedy. Importing this loads neither JAX nor MediaPipe; `load` does.
A `Model` belongs to one thread at a time.
"""

import atexit
import dataclasses
import functools
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from apgan_jax.errors import UserError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from apgan_jax.face.finding import FaceFinder
    from apgan_jax.face.landmarks import Face
    from apgan_jax.inference.blend import Blend
    from apgan_jax.inference.face_counts import FaceCounts, Fate
    from apgan_jax.inference.swap import Job, Output, SwapReport
    from apgan_jax.inference.swapper import Swapper
    from apgan_jax.models.identity import IdentityEmbedding
    from apgan_jax.provenance.manifest import ProvenanceReport

FilePath = Path | str
Pictures = Sequence[FilePath | np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Identity:
    """Who a face becomes.

    Attributes:
      embedding: what the generator is given, leading axis 1.
      used: pictures in the average; 0 of a saved identity.
      left_out: 'name: reason' of the others.
      doubts: likewise, why pictures in the average may be wrong ones.
    """

    embedding: 'IdentityEmbedding'
    used: int = 0
    left_out: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What to tell of it on a terminal."""
        from apgan_jax.inference.sources import Source

        return Source(self.embedding, self.used, self.left_out, self.doubts).lines()


People = Mapping[int, Identity] | Mapping[Path, Identity] | Mapping[str, Identity]


@dataclasses.dataclass(frozen=True, eq=False)
class FoundFace:
    """A face of a picture.

    Attributes:
      number: from 1, from the left: that of `faces='2'` and of a mapping.
      box: (left, top, right, bottom), pixels.
      points: eyes, nose tip and mouth corners, float32 (5, 2), pixels.
      pose: yaw, pitch and roll, degrees.
      vector: of the identity, of length 1, (d,): the same person's have a cosine above 0.4.
      thumbnail: RGB uint8, a square of the model's resolution, upright.
    """

    number: int
    box: tuple[float, float, float, float]
    points: np.ndarray
    pose: tuple[float, float, float]
    vector: np.ndarray
    thumbnail: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class SwappedImage:
    """A picture with new faces, which `save` marks.

    Attributes:
      image: RGB uint8 (h, w, 3).
      counts: what became of its faces.
      kind: 'swapped' or 'anonymised'.
      model: that did it.
    """

    image: np.ndarray
    counts: 'FaceCounts'
    kind: Literal['swapped', 'anonymised']
    model: 'Model'

    @property
    def fates(self) -> list['Fate']:
        """What was done to each face that has a number, in their order."""
        people = self.counts.people
        return [people[person].fate for person in sorted(people)]


class Model:
    """A bundle, ready for use; see `load`.

    Args:
      swapper: runs it.
    """

    def __init__(self, swapper: 'Swapper') -> None:
        self._swapper = swapper

    @property
    def name(self) -> str:
        """Of the bundle's model card."""
        return self._swapper.bundle.name

    @property
    def sha256(self) -> str:
        """Of the bundle's file, hexadecimal."""
        return self._swapper.bundle.sha256

    @property
    def size(self) -> int:
        """Of the crops that it works on, pixels."""
        return self._swapper.bundle.crop_spec.size

    @property
    def has_mask(self) -> bool:
        """Whether the generator says itself where the face is shown."""
        return self._swapper.bundle.generator.mask

    @functools.cached_property
    def _finder(self) -> 'FaceFinder':
        from apgan_jax.face.finding import FaceFinder

        finder = FaceFinder(expressions=True)
        _close_at_exit(finder)
        return finder

    def identity(self, pictures: Pictures | FilePath | np.ndarray) -> Identity:
        """The mean over pictures of one person, or a saved identity.

        Args:
          pictures: photos, videos, folders of photos, and RGB uint8 arrays (h, w, 3), whose largest
            faces are taken; or one identity file.

        Raises:
          UserError: a file is unreadable, no picture shows a face, or an identity file was made
            with another identity encoder.
        """
        from apgan_jax.inference.sources import load_source

        given = [pictures] if isinstance(pictures, str | Path | np.ndarray) else pictures
        if not given:
            raise UserError('identity([]): needs at least one picture of the person; give some')
        checked = [_checked(each) if isinstance(each, np.ndarray) else Path(each) for each in given]
        source = load_source(checked, self._swapper)
        return Identity(source.identity, source.used, source.left_out, source.doubts)

    def save_identity(self, identity: Identity, path: FilePath) -> None:
        """Writes an identity without its pictures, for `identity` to read; replaces a file.

        Raises:
          UserError: the name does not end in .safetensors, or its folder is not there.
        """
        from apgan_jax.identity_file import save_identity

        path = Path(path)
        if path.suffix != '.safetensors' or not path.parent.is_dir():
            raise UserError(f'{path}: the name must end in .safetensors, in a folder that is there')
        save_identity(path, identity.embedding, self._swapper.bundle.identity_encoder)

    def faces(self, image: np.ndarray) -> list[FoundFace]:
        """All faces of a picture whose landmarks can be read, from the left.

        Raises:
          UserError: it is no RGB uint8 array (h, w, 3).
        """
        image = _checked(image)
        found = self._finder.find(image).faces
        return [self._found(number, image, face) for number, face in enumerate(found, start=1)]

    def swap(
        self,
        image: np.ndarray,
        who: Identity | People,
        *,
        faces: str | int = 'largest',
        strength: float | None = None,
        blend: 'Blend | None' = None,
    ) -> SwappedImage:
        """A picture in which faces have another identity.

        Args:
          image: RGB uint8 (h, w, 3), not changed.
          who: they become, or who each of some faces becomes: by number, or all by photos of them.
          faces: with one identity, which faces: 'largest', 'all', 'left', 'right', a number or
            'like:PHOTO'.
          strength: of the identity, 0.5 to 2: that of `blend`.
          blend: how generated faces go into the picture; see `inference.blend.Blend`.

        Raises:
          UserError: an argument is out of its range.
        """
        return self._swap_image(image, self._job(who, faces, strength, blend))

    def anonymise(
        self,
        image: np.ndarray,
        *,
        strength: float | None = None,
        blend: 'Blend | None' = None,
    ) -> SwappedImage:
        """A picture in which everybody has an invented identity, or is blurred.

        Args:
          image: RGB uint8 (h, w, 3), not changed.
          strength: see `swap`.
          blend: see `swap`.

        Returns:
          The picture; `counts.doubtful` has the places where somebody may be recognisable still.

        Raises:
          UserError: an argument is out of its range.
        """
        return self._swap_image(image, self._anonymise_job(strength, blend))

    def swap_video(
        self,
        target: FilePath,
        output: FilePath,
        *,
        who: Identity | People,
        faces: str | int = 'largest',
        strength: float | None = None,
        blend: 'Blend | None' = None,
        how: 'Output | None' = None,
        overwrite: bool = False,
        progress: Callable[[], Any] | None = None,
    ) -> 'SwapReport':
        """Swaps the faces of a video, photo, camera or folder, and marks what is written.

        Args:
          target: see `apgan swap --target`.
          output: likewise; nothing lies there before it is whole and signed.
          who: they become, or who each of some people becomes: by number, in the order of their
            appearance and from the left, or all by photos of them.
          faces: see `swap`.
          strength: see `swap`.
          blend: see `swap`.
          how: encoding, part, label, credentials; see `inference.swap.Output`.
          overwrite: whether an output that exists is replaced.
          progress: called after each frame.

        Returns:
          What became of faces and streams; its `lines()` are the command's report.

        Raises:
          UserError: a file or an argument is not what it must be, or nobody was swapped.
        """
        job = self._job(who, faces, strength, blend)
        return _swap_target(target, output, job, how, overwrite, progress)

    def anonymise_video(
        self,
        target: FilePath,
        output: FilePath,
        *,
        strength: float | None = None,
        blend: 'Blend | None' = None,
        how: 'Output | None' = None,
        overwrite: bool = False,
        progress: Callable[[], Any] | None = None,
    ) -> 'SwapReport':
        """As `anonymise`, a video, photo, camera or folder; for the arguments see `swap_video`.

        Returns:
          What became of faces and streams; `counts.doubtful` as of `anonymise`.

        Raises:
          UserError: see `swap_video`.
        """
        job = self._anonymise_job(strength, blend)
        return _swap_target(target, output, job, how, overwrite, progress)

    def _found(self, number: int, image: np.ndarray, face: 'Face') -> FoundFace:
        from apgan_jax.face.aligned import align_face
        from apgan_jax.networks.pose_estimator import euler_angles

        crop = align_face(image, face.landmarks, self._swapper.bundle.crop_spec).crop
        yaw, pitch, roll = (float(angle) for angle in euler_angles(face.pose_matrix[:3, :3]))
        return FoundFace(
            number=number,
            box=face.box,
            points=face.five_points,
            pose=(yaw, pitch, roll),
            vector=self._swapper.embed_vectors(crop[None])[0],
            thumbnail=crop,
        )

    def _swap_image(self, image: np.ndarray, job: 'Job') -> SwappedImage:
        from apgan_jax.inference.swap import swap_picture

        image = _checked(image)
        look = job.look() if job.look else None
        picture, counts = swap_picture(image, self._finder.find(image), job.begin(), look)
        return SwappedImage(picture, counts, job.kind, self)

    def _job(
        self,
        who: Identity | People,
        faces: str | int,
        strength: float | None,
        blend: 'Blend | None',
    ) -> 'Job':
        from apgan_jax.inference import jobs

        blend = _blend(strength, blend)
        if isinstance(who, Identity):
            return jobs.identity_job(self._swapper, who.embedding, face=str(faces), blend=blend)
        if faces != 'largest':
            raise UserError(f'faces={faces!r}: the mapping says which faces; leave it out')
        numbers, photos = _people(who)
        if photos:
            return jobs.map_job(self._swapper, photos, blend=blend)
        return jobs.people_job(self._swapper, numbers, blend=blend)

    def _anonymise_job(self, strength: float | None, blend: 'Blend | None') -> 'Job':
        from apgan_jax.inference import jobs

        return jobs.anonymise_job(self._swapper, blend=_blend(strength, blend))


def load(bundle: FilePath | None = None) -> Model:
    """A model, from a bundle's file; the shipped one by default.

    Raises:
      UserError: the file is missing, of another format, or incomplete.
    """
    from apgan_jax.bundle import load_bundle
    from apgan_jax.inference.swapper import Swapper
    from apgan_jax.runtime import use_compilation_cache

    use_compilation_cache()
    return Model(Swapper(load_bundle(None if bundle is None else Path(bundle))))


def read(path: FilePath) -> np.ndarray:
    """A photo of any format that `--target` takes: RGB uint8 (h, w, 3), upright, sRGB.

    Raises:
      UserError: it cannot be read.
    """
    from apgan_jax.files.photos import read_photo

    return read_photo(Path(path)).rgb


def save(image: np.ndarray, path: FilePath, swapped: SwappedImage) -> tuple[str, ...]:
    """Writes a picture with the mark that it is synthetic, as every file of this project has it.

    Args:
      image: RGB uint8 (h, w, 3): `swapped.image`, or what was made of it.
      path: of a photo, in a format that can carry the mark; one that exists is replaced.
      swapped: what was done.

    Returns:
      What the format could not hold, for people.

    Raises:
      UserError: no face was changed, the path cannot carry the mark, or it cannot be written.
    """
    from apgan_jax.files.photo_writing import write_photo
    from apgan_jax.files.photos import WholePhoto
    from apgan_jax.provenance import manifest

    counts = swapped.counts
    if not (counts.swapped or counts.blurred):
        raise UserError(f'{path}: no face was changed, so there is nothing to mark; save the image')
    edit = manifest.Edit(
        kind=swapped.kind, faces_swapped=counts.swapped, faces_blurred=counts.blurred
    )
    model = swapped.model
    with manifest.marked_output(
        Path(path), parent=None, model_name=model.name, bundle_sha256=model.sha256, edit=edit
    ) as unsigned:
        return write_photo(unsigned, WholePhoto(_checked(image)))


def verify(path: FilePath, *, trust: Sequence[FilePath] = ()) -> 'ProvenanceReport':
    """What a file says of itself, and whether to believe it.

    Args:
      path: of any photo or video.
      trust: PEM files of other signers, or time stampers.

    Raises:
      UserError: a file cannot be read.
    """
    from apgan_jax.provenance import manifest

    return manifest.verify(Path(path), trust=[Path(each) for each in trust])


def train(config: 'ConfigDict', workdir: FilePath) -> None:
    """Trains, or goes on with, a model: what `python -m apgan_jax.main` does on one machine.

    Args:
      config: `get_config()` of a module of `configs`, with its `data_dir`.
      workdir: of checkpoints and logs.

    Raises:
      UserError: see `training.train.train_and_evaluate`.
    """
    from apgan_jax.runtime import prepare_process
    from apgan_jax.training.train import train_and_evaluate

    prepare_process()
    train_and_evaluate(config, Path(workdir))


def _close_at_exit(finder: 'FaceFinder') -> None:
    """Closes it while MediaPipe's threads are there, which end before `atexit` has its turn."""
    reference = weakref.ref(finder)

    def close() -> None:
        left = reference()
        if left is not None:
            left.close()

    getattr(threading, '_register_atexit', atexit.register)(close)


def _swap_target(
    target: FilePath,
    output: FilePath,
    job: 'Job',
    how: 'Output | None',
    overwrite: bool,
    progress: Callable[[], Any] | None,
) -> 'SwapReport':
    from apgan_jax.inference import targets
    from apgan_jax.inference.folders import swap_target
    from apgan_jax.inference.swap import Output

    how, output = how or Output(), Path(output)
    targets.check_files(
        str(target), output, codec=how.encoding.codec, overwrite=overwrite, resume=how.resume
    )
    return swap_target(str(target), output, job=job, how=how, on_frame=progress)


def _people(
    who: People,
) -> tuple[dict[int, 'IdentityEmbedding'], dict[Path, 'IdentityEmbedding']]:
    """Who people become, by number and by photo; only one of the two has any."""
    numbers = {key: each.embedding for key, each in who.items() if isinstance(key, int)}
    photos = {Path(key): each.embedding for key, each in who.items() if not isinstance(key, int)}
    wrong = min(numbers, default=1)
    if wrong < 1 or bool(numbers) == bool(photos):
        shown = f'the number {wrong}' if wrong < 1 else 'both' if numbers else 'nobody'
        raise UserError(
            f'who: has {shown}; map numbers of people, from 1, or photos of them to identities'
        )
    return numbers, photos


def _blend(strength: float | None, blend: 'Blend | None') -> 'Blend':
    from apgan_jax.inference.blend import DEFAULT_BLEND

    chosen = blend or DEFAULT_BLEND
    return chosen if strength is None else dataclasses.replace(chosen, strength=strength)


def _checked(image: np.ndarray) -> np.ndarray:
    """An image that is one, C-contiguous."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UserError(
            f'image: {image.dtype} {image.shape}; must be RGB uint8 (h, w, 3), convert it'
        )
    return np.ascontiguousarray(image)
