"""The evaluations of the command line on clips: given files, bundles, FaceForensics++."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from apgan_jax.evaluation import ffpp
from apgan_jax.evaluation.clip_report import Evaluation, Swap
from apgan_jax.evaluation.columns import bundle_lines, bundle_names
from apgan_jax.evaluation.people import Galleries, people_of, person_of, read_person
from apgan_jax.evaluation.pictures import Clip
from apgan_jax.evaluation.suite import Suite
from apgan_jax.evaluation.swaps import SourcePerson, Wanted, make_swaps
from apgan_jax.inference.swapper import Swapper

_SWAPPED_HERE = (
    'bundles: the file that `apgan swap` writes, only the face blended in, decoded again; k '
    'frames or photos a source'
)
# A method of the data set has seen the whole source; so many frames stand for it.
_FRAMES_OF_OTHERS = 10


def add_given_files(
    evaluation: Evaluation,
    suite: Suite,
    clips: Sequence[Clip],
    *,
    source: SourcePerson | None,
    gallery: Sequence[Path],
    k: int | None = None,
) -> list[str]:
    """One column: files that somebody swapped.

    Args:
      evaluation: gets the column.
      suite: its networks.
      clips: to measure.
      source: whom all of them should show; None leaves the identity rows out.
      gallery: other people to look among; those of videos and single pictures among the targets
        are added.
      k: photos or frames of the source that the model was given, the other photos may be found;
        None: all photos, or 10 frames.

    Returns:
      Lines for the protocol.

    Raises:
      UserError: a file cannot be read.
    """
    if source is None:
        evaluation.add_column('swapped', [Swap(clip) for clip in clips])
        return ['no --source: identity rows are left out']
    targets = [clip.target for clip in clips if isinstance(clip.target, Path)]
    galleries = _galleries(suite, source, targets, gallery)
    k = k or (_FRAMES_OF_OTHERS if source.is_video else len(source.files))
    metrics = galleries.metrics(source.key, source.given_crops(k))
    evaluation.add_column('swapped', [Swap(clip, metrics) for clip in clips])
    return [galleries.line()]


def add_bundles(
    evaluation: Evaluation,
    suite: Suite,
    target: Path,
    *,
    source: SourcePerson,
    swappers: Sequence[Swapper],
    ks: Sequence[int],
    gallery: Sequence[Path],
    limit: int | None = None,
) -> list[str]:
    """A column for each bundle and k: what it makes of one target.

    Args:
      evaluation: gets the columns.
      suite: its networks.
      target: photo or video.
      source: whom it should show.
      swappers: the bundles.
      ks: photos or frames of the source.
      gallery: other people to look among; the target's is added.
      limit: of frames.

    Returns:
      Lines for the protocol.

    Raises:
      UserError: a file cannot be read, or the source has fewer photos.
    """
    for k in ks:
        source.given(k)
    galleries = _galleries(suite, source, [target], gallery)
    wanted = [Wanted(f'{target.stem}_{source.name}', target, source)]
    _add_columns(evaluation, swappers, ks, wanted, galleries, limit)
    return [galleries.line(), *bundle_lines(swappers), _SWAPPED_HERE]


def add_ffpp(
    evaluation: Evaluation,
    suite: Suite,
    data: ffpp.FaceForensics,
    *,
    swaps: Sequence[ffpp.Swap],
    methods: Sequence[str],
    swappers: Sequence[Swapper],
    ks: Sequence[int],
    gallery: Sequence[Path] = (),
    limit: int | None = None,
) -> list[str]:
    """A column for each method of the data set, then for each bundle and k (tables III to V).

    Args:
      evaluation: gets the columns.
      suite: its networks.
      data: the data set; all of its originals are looked among.
      swaps: to measure; those of which there are no files are left out and named.
      methods: whose videos are in the data set.
      swappers: bundles.
      ks: frames a source.
      gallery: further people to look among.
      limit: of frames.

    Returns:
      Lines for the protocol.

    Raises:
      UserError: a file cannot be read, or there is none for a method.
    """
    files = {method: [(swap, data.needed(method, swap)) for swap in swaps] for method in methods}
    there = {method: ffpp.those_there(needed, method) for method, needed in files.items()}
    lines = [f'FaceForensics++ {data.compression}, {len(swaps)} swaps asked for']
    wanted = []
    if swappers:
        needed = [(s, (data.original(s.target), data.original(s.source))) for s in swaps]
        found, line = ffpp.those_there(needed, 'bundles')
        wanted = [_wanted(data, swap) for swap in found]
        lines += [line, _SWAPPED_HERE, *bundle_lines(swappers)]
    galleries = Galleries(suite.recognisers)
    _fill(galleries, [*data.originals(), *people_of(gallery)])
    for method, (found, line) in there.items():
        evaluation.add_column(
            method, (_distributed(data, method, swap, galleries) for swap in found)
        )
        lines.append(line)
    _add_columns(evaluation, swappers, ks, wanted, galleries, limit)
    return [*lines, galleries.line()]


def column_name(bundle: str, k: int) -> str:
    """Of a bundle and k."""
    return f'{bundle} k={k}'


def _add_columns(
    evaluation: Evaluation,
    swappers: Sequence[Swapper],
    ks: Sequence[int],
    wanted: Sequence[Wanted],
    galleries: Galleries,
    limit: int | None,
) -> None:
    for swapper, name in zip(swappers, bundle_names(swappers), strict=True):
        for k in ks:
            swaps = make_swaps(swapper, wanted, k, galleries, limit=limit)
            evaluation.add_column(column_name(name, k), swaps)


def _distributed(
    data: ffpp.FaceForensics, method: str, swap: ffpp.Swap, galleries: Galleries
) -> Swap:
    clip = Clip(swap.name, data.original(swap.target), data.swapped(method, swap), True)
    source = data.original(swap.source)
    if method in ffpp.REENACTMENTS or not source.is_file():
        return Swap(clip)
    person = SourcePerson(swap.source, (source,))
    return Swap(clip, galleries.metrics(person.key, person.given_crops(_FRAMES_OF_OTHERS)))


def _wanted(data: ffpp.FaceForensics, swap: ffpp.Swap) -> Wanted:
    source = SourcePerson(swap.source, (data.original(swap.source),))
    return Wanted(swap.name, data.original(swap.target), source)


def _galleries(
    suite: Suite, source: SourcePerson, targets: Sequence[Path], gallery: Sequence[Path]
) -> Galleries:
    galleries = Galleries(suite.recognisers)
    galleries.add(source.key, source.all_crops())
    _fill(galleries, [*targets, *people_of(gallery)])
    return galleries


def _fill(galleries: Galleries, people: Iterable[Path]) -> None:
    for path in tqdm(list(people), desc='gallery', unit='person', disable=None, leave=False):
        galleries.add(person_of(path), read_person(path))
