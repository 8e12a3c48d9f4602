"""Photos to a data set of aligned faces: TFRecords by TensorFlow Datasets, run by Apache Beam.

    python -m data_prep.build --source folder:PHOTOS --labels labels.tsv --output DIR --size 128

What cannot be used is listed in DIR/rejected.tsv with its reason, and so is what --clear, --min-age
and --unique leave out. Further arguments go to Beam as they are (`--runner=FlinkRunner …`); without
any, the DirectRunner works on this machine.
"""

import argparse
import collections
import contextlib
import csv
import dataclasses
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('GLOG_minloglevel', '2')
# TensorFlow only writes files here; with oneDNN it says so, twice.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import apache_beam as beam
import numpy as np
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions

from apgan_jax.data import png
from apgan_jax.data.records import CROP_SPEC_KEY, DATASET_NAME
from apgan_jax.errors import UserError
from apgan_jax.face import alignment, landmarks
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import ARCFACE_WINDOWS, HEAD_V1, CropSpec, Window
from apgan_jax.face.finding import FaceFinder
from apgan_jax.files.image_files import decode_image, encode_image
from data_prep.filtering import ANY_FACE, FaceFilter, FaceRules
from data_prep.near_duplicates import FacePrint, find_near_duplicates, make_print
from data_prep.sources import Photo, describe_labels, list_photos

# 1.1.0: with `photo_size`.
VERSION = '1.1.0'
MIN_FACE_WIDTH = 32
_REJECTED = 'rejected'
REJECTED_FILE = 'rejected.tsv'
# TFDS's words for a split without any example, with Beam and without.
_NO_RECORD = ('number of generated examples is 0', 'No examples were yielded')


class RejectedPhotoError(Exception):
    """Why a photo becomes no record."""


def make_features(
    data: bytes,
    spec: CropSpec,
    finder: FaceFinder,
    face_filter: FaceFilter,
    min_face_width: float,
) -> dict[str, Any]:
    """Aligns the largest face of a photo and draws its boundary map.

    Args:
      data: the photo's bytes.
      spec: the crop.
      finder: of faces.
      face_filter: what else is asked of the face.
      min_face_width: in pixels of the photo.

    Returns:
      The features of `FaceRecord` except `identity` and `file_name`.

    Raises:
      RejectedPhotoError: see `find_usable_face`.
    """
    photo, face = find_usable_face(data, finder, face_filter, min_face_width)
    return face_features(photo, face, spec)


def find_usable_face(
    data: bytes,
    finder: FaceFinder,
    face_filter: FaceFilter,
    min_face_width: float,
) -> tuple[np.ndarray, landmarks.Face]:
    """Decodes a photo and finds its largest face.

    Args:
      data: the photo's bytes.
      finder: of faces.
      face_filter: what else is asked of the face.
      min_face_width: in pixels of the photo.

    Returns:
      The photo, RGB uint8 (h, w, 3), and the face in its pixels.

    Raises:
      RejectedPhotoError: the photo is corrupt, or its face is missing, tiny or filtered out.
    """
    photo = decode_image(data)
    if photo is None:
        raise RejectedPhotoError('corrupt or no image')
    face = landmarks.largest(finder.detect(photo))
    if face is None:
        raise RejectedPhotoError('no face')
    if face.width < min_face_width:
        raise RejectedPhotoError(f'tiny face: {face.width:.0f} < {min_face_width:g} px')
    fault = face_filter.fault_of(photo, face)
    if fault is not None:
        raise RejectedPhotoError(fault)
    return photo, face


def face_features(photo: np.ndarray, face: landmarks.Face, spec: CropSpec) -> dict[str, Any]:
    """What a record says of a face, `identity` and `file_name` apart.

    Args:
      photo: RGB uint8 (h, w, 3).
      face: in it.
      spec: the crop.
    """
    aligned = align_face(photo, face.landmarks, spec)
    return {
        'image': encode_image(aligned.crop, '.jpg'),
        'boundary_map': png.encode_map(aligned.boundary_map),
        'landmarks': aligned.landmarks,
        'five_points': landmarks.five_points(aligned.landmarks),
        'crop_from_frame': aligned.crop_from_frame.astype(np.float32),
        'photo_size': np.array(photo.shape[:2], np.float32),
    }


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which photos become records; see the options of the command.

    Attributes:
      min_face_width: of the face mesh, pixels of the photo.
      rules: what is asked of a face.
      unique: whether photos that are there twice are left out.
    """

    min_face_width: float = MIN_FACE_WIDTH
    rules: FaceRules = ANY_FACE
    unique: bool = False


EVERYTHING = Selection()


class AlignFace(beam.DoFn):
    """(key, photo) → (key, (photo, features)); what cannot be used goes to 'rejected'."""

    def __init__(self, spec: CropSpec, selection: Selection) -> None:
        self._spec = spec
        self._selection = selection

    def setup(self) -> None:
        """Starts MediaPipe and the other networks once a worker."""
        self._finder = FaceFinder(expressions=True)
        self._filter = FaceFilter(self._selection.rules, crop=self._spec.name)

    def teardown(self) -> None:
        """Frees MediaPipe."""
        self._finder.close()
        self._filter.close()

    def process(self, item: tuple[str, Photo]) -> Iterator[Any]:
        """Aligns one photo."""
        key, photo = item
        try:
            features = make_features(
                photo.path.read_bytes(),
                self._spec,
                self._finder,
                self._filter,
                self._selection.min_face_width,
            )
        except (RejectedPhotoError, OSError) as error:
            yield _rejected(photo, str(error))
            return
        labels = {'identity': photo.identity, 'file_name': photo.file_name}
        yield key, (photo, features | labels)


class DropNearDuplicates(beam.DoFn):
    """Sends to 'rejected' what `find_near_duplicates` named."""

    def process(
        self, item: tuple[str, tuple[Photo, dict[str, Any]]], left_out: dict[str, str]
    ) -> Iterator[Any]:
        """Passes one aligned face on, or not."""
        key, (photo, _) = item
        if key in left_out:
            yield _rejected(photo, f'near-duplicate: {left_out[key]}')
        else:
            yield item


def _rejected(photo: Photo, reason: str) -> beam.pvalue.TaggedOutput:
    return beam.pvalue.TaggedOutput(_REJECTED, rejected_line(photo, reason))


def rejected_line(photo: Photo, reason: str) -> str:
    """A photo that becomes no record, as the report has it."""
    return f'{photo.path}\t{reason}'


def _print_of(item: tuple[str, tuple[Photo, dict[str, Any]]], window: Window) -> FacePrint:
    key, (photo, features) = item
    crop = decode_image(features['image'])
    assert crop is not None  # encoded a moment ago
    width = np.ptp(features['landmarks'][:468, 0]) / alignment.scale_of(features['crop_from_frame'])
    return make_print(
        crop, window, key=key, name=str(photo.path), identity=photo.identity, width=float(width)
    )


class FaceRecordBuilder(  # type: ignore[call-arg]
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """What TensorFlow Datasets knows of every data set of faces; always named `apgan_faces`.

    Attributes:
      photos: what to read.
      spec: the crop.
      selection: which of them.
      rejected_prefix: files whose names begin so hold the lines of `rejected_line`.
    """

    name = DATASET_NAME
    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        *,
        photos: Sequence[Photo],
        spec: CropSpec,
        selection: Selection,
        rejected_prefix: Path,
        **kwargs: Any,
    ) -> None:
        self.photos = photos
        self.spec = spec
        self.selection = selection
        self.rejected_prefix = rejected_prefix
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        shape = (self.spec.size, self.spec.size, 3)
        return tfds.core.DatasetInfo(
            builder=self,
            description='Aligned faces with feature-wise boundary maps for AP-GAN.',
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(shape=shape, encoding_format='jpeg'),
                    'boundary_map': tfds.features.Image(shape=shape, encoding_format='png'),
                    'landmarks': tfds.features.Tensor(
                        shape=(landmarks.NUM_LANDMARKS, 2), dtype=np.float32
                    ),
                    'five_points': tfds.features.Tensor(shape=(5, 2), dtype=np.float32),
                    'crop_from_frame': tfds.features.Tensor(shape=(2, 3), dtype=np.float32),
                    'photo_size': tfds.features.Tensor(shape=(2,), dtype=np.float32),
                    'identity': tfds.features.Text(),
                    'file_name': tfds.features.Text(),
                }
                | self.more_features()
            ),
            metadata=tfds.core.MetadataDict(
                {CROP_SPEC_KEY: self.spec.to_dict()} | self.more_metadata()
            ),
        )

    def more_features(self) -> dict[str, Any]:
        """Features beside those of every record."""
        return {}

    def more_metadata(self) -> dict[str, Any]:
        """What the data set says of itself, JSON values, beside its crop."""
        return {}

    def _generate_examples(self, *args: Any) -> Any:
        raise NotImplementedError('_split_generators returns the examples themselves')


class ApganFaces(FaceRecordBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Records of photos, made by Beam."""

    name = DATASET_NAME

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager, pipeline: beam.Pipeline
    ) -> dict[str, Any]:
        del dl_manager
        # Two sources may hold files of the same name: the number keeps the keys apart.
        keyed = [(f'{number:09d}', photo) for number, photo in enumerate(self.photos)]
        align = beam.ParDo(AlignFace(self.spec, self.selection))
        faces, *rejects = (
            pipeline
            | 'Photos' >> beam.Create(keyed)
            | 'Spread' >> beam.Reshuffle()
            | 'Align' >> align.with_outputs(_REJECTED, main='aligned')
        )
        if self.selection.unique:
            faces, duplicates = _drop_near_duplicates(faces, self.spec.arcface_window)
            rejects.append(duplicates)
        # TFDS runs the pipeline; the list of rejects is written beside it by the same run.
        report = beam.io.WriteToText(os.fspath(self.rejected_prefix))
        _ = tuple(rejects) | 'Rejects' >> beam.Flatten() | 'Report' >> report
        return {'train': faces | 'Features' >> beam.MapTuple(lambda key, face: (key, face[1]))}


def _drop_near_duplicates(
    faces: beam.PCollection, window: Window
) -> tuple[beam.PCollection, beam.PCollection]:
    """The faces to keep, and the report's lines on the others."""
    left_out = (
        faces
        | 'Prints' >> beam.Map(_print_of, window)
        | 'All prints' >> beam.combiners.ToList()
        | 'Near-duplicates' >> beam.Map(find_near_duplicates)
    )
    drop = beam.ParDo(DropNearDuplicates(), beam.pvalue.AsSingleton(left_out))
    kept, rejects = faces | 'Drop' >> drop.with_outputs(_REJECTED, main='kept')
    return kept, rejects


def build(
    photos: Sequence[Photo],
    *,
    output: Path,
    spec: CropSpec,
    selection: Selection = EVERYTHING,
    beam_arguments: Sequence[str] = (),
) -> collections.Counter[str]:
    """Writes the data set; nothing appears under `output` before it is complete.

    Args:
      photos: what to read.
      output: folder to make.
      spec: the crop.
      selection: which of them.
      beam_arguments: Beam's own options.

    Returns:
      Number of photos by outcome: 'records' and each reason for a reject.

    Raises:
      UserError: `output` exists, a network is missing, or no photo could be used.
    """
    with work_folder(output, selection) as work:
        builder = ApganFaces(
            photos=photos,
            spec=spec,
            selection=selection,
            rejected_prefix=work / _REJECTED,
            data_dir=work,
        )
        return write_dataset(builder, output, beam_arguments)


@contextlib.contextmanager
def work_folder(output: Path, selection: Selection) -> Iterator[Path]:
    """A folder to build in beside the output, which is removed at the end.

    Raises:
      UserError: `output` exists, or a network that the selection needs is missing.
    """
    selection.rules.require_models()
    output = Path(output)
    if output.exists():
        raise UserError(f'--output {output}: exists already; remove it or choose another folder')
    output.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, so that the last step is one rename.
    work = Path(tempfile.mkdtemp(prefix=f'.{output.name}.', dir=output.parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_dataset(
    builder: FaceRecordBuilder, output: Path, beam_arguments: Sequence[str] = ()
) -> collections.Counter[str]:
    """Runs a builder and gives its folder the final name, the report in it.

    Args:
      builder: that builds in a `work_folder`.
      output: folder to make.
      beam_arguments: Beam's own options.

    Returns:
      Number of photos by outcome: 'records' and each reason for a reject.

    Raises:
      UserError: no photo could be used.
    """
    options = PipelineOptions(list(beam_arguments) or _local_arguments())
    config = tfds.download.DownloadConfig(beam_options=options, try_download_gcs=False)
    try:
        builder.download_and_prepare(download_config=config, file_format='tfrecord')
    except (ValueError, AssertionError) as error:
        # The list of rejects dies with TFDS's pipeline.
        if not any(words in str(error) for words in _NO_RECORD):
            raise
        raise UserError(
            f'{len(builder.photos)} photos, none usable: each is corrupt, shows no face or one '
            f'narrower than {builder.selection.min_face_width:g} px, or was left out by --clear or '
            '--min-age; give photos with clear, large faces'
        ) from error
    counts = _write_report(builder.rejected_prefix, builder.data_path / REJECTED_FILE)
    counts['records'] = builder.info.splits['train'].num_examples
    os.replace(builder.data_path, output)
    return counts


def _local_arguments() -> list[str]:
    # Beam's multi-threaded mode holds every element several times: 20,000 photos outgrew 24 GB,
    # where the in-memory mode needs 2 GB and is as fast.
    return ['--runner=FnApiRunner', '--direct_running_mode=in_memory']


def _rejected_lines(prefix: Path) -> list[str]:
    parts = prefix.parent.glob(f'{prefix.name}-*')
    return sorted(line for part in parts for line in part.read_text().splitlines())


def _write_report(prefix: Path, path: Path) -> collections.Counter[str]:
    rows = [line.split('\t', 1) for line in _rejected_lines(prefix)]
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, delimiter='\t')
        writer.writerow(['file', 'reason'])
        writer.writerows(rows)
    # 'tiny face: 20 < 32 px' counts as 'tiny face'.
    return collections.Counter(reason.split(':')[0] for _, reason in rows)


def add_photo_options(parser: argparse.ArgumentParser) -> None:
    """Adds what every command has that makes records of photos."""
    parser.add_argument('--source', action='append', required=True, metavar='KIND:PATH')
    parser.add_argument('--labels', type=Path, help='tab-separated, header: file identity')
    parser.add_argument('--exclude', action='append', default=[], metavar='GLOB')
    parser.add_argument('--output', type=Path, required=True)
    parser.add_argument('--size', type=int, default=128, help='of the crops, pixels')
    parser.add_argument(
        '--crop',
        default=HEAD_V1,
        help=f'{" or ".join(ARCFACE_WINDOWS)}: the whole head, or the face from brow to chin',
    )
    parser.add_argument('--min-face', type=float, default=MIN_FACE_WIDTH, help='width, pixels')
    parser.add_argument(
        '--clear',
        action='store_true',
        help='leave out faces that are blurred, turned away, covered or cut by the border',
    )
    parser.add_argument(
        '--min-age',
        type=float,
        default=0.0,
        metavar='YEARS',
        help='leave out faces that look younger; 22 for adults only, since the estimate errs',
    )
    parser.add_argument(
        '--rejected',
        type=Path,
        metavar='TSV',
        help="leave out what another build's report lists, and people it mostly calls young",
    )


def photos_of_options(options: argparse.Namespace) -> list[Photo]:
    """The photos that the options of `add_photo_options` name; tells how far the labels fit.

    Raises:
      UserError: see `list_photos`.
    """
    photos = list_photos(
        options.source,
        labels=options.labels,
        exclude=options.exclude,
        rejected=options.rejected,
    )
    if options.labels:
        print(describe_labels(photos, options.labels))
    return photos


def spec_of_options(options: argparse.Namespace) -> CropSpec:
    """The crop that the options of `add_photo_options` ask for.

    Raises:
      UserError: it is too small.
    """
    if options.size < 16:
        raise UserError(f'--size {options.size}: must be 16 or more pixels')
    return CropSpec.named(options.crop, options.size)


def selection_of_options(options: argparse.Namespace, *, unique: bool = False) -> Selection:
    """Which photos the options of `add_photo_options` take."""
    return Selection(
        min_face_width=options.min_face,
        rules=FaceRules(clear=options.clear, min_age=options.min_age),
        unique=unique,
    )


def print_counts(counts: collections.Counter[str], photos: int, output: Path) -> None:
    """Tells what became of the photos.

    Args:
      counts: of `write_dataset`.
      photos: how many there were.
      output: where the data set is.
    """
    rejects = counts - collections.Counter(records=counts['records'])
    print(f'{counts["records"]} records of {photos} photos in {output}')
    for reason, count in rejects.most_common():
        print(f'  rejected, {reason}: {count} (listed in {output / REJECTED_FILE})')


def _parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog='python -m data_prep.build', description=__doc__)
    add_photo_options(parser)
    parser.add_argument(
        '--unique', action='store_true', help='of photos that are nearly the same keep one'
    )
    return parser.parse_known_args(arguments)


def quieten_beam() -> None:
    """Hides what Beam logs that tells a user nothing."""
    # Beam logs the traceback of whatever it raises.
    logging.getLogger('apache_beam').setLevel(logging.CRITICAL)
    # And that it has no client of BigQuery, to the root logger.
    logging.getLogger().addFilter(lambda record: 'apitools' not in record.getMessage())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options, beam_arguments = _parse(arguments)
    quieten_beam()
    try:
        spec = spec_of_options(options)
        photos = photos_of_options(options)
        counts = build(
            photos,
            output=options.output,
            spec=spec,
            selection=selection_of_options(options, unique=options.unique),
            beam_arguments=beam_arguments,
        )
    except UserError as error:
        print(f'data_prep.build: {error}', file=sys.stderr)
        return 1
    print_counts(counts, len(photos), options.output)
    return 0


if __name__ == '__main__':
    sys.exit(main())
