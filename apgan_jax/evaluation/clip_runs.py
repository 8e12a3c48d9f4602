"""The evaluations on clips: of given files, of bundles on one target, of FaceForensics++."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from apgan_jax.evaluation import ffpp
from apgan_jax.evaluation.clip_report import (
    ALL_PICTURES,
    ClipOfPerson,
    ClipOptions,
    ClipReport,
)
from apgan_jax.evaluation.columns import bundle_lines, bundle_names
from apgan_jax.evaluation.people import Galleries, people_of, person_of, read_person
from apgan_jax.evaluation.pictures import Clip
from apgan_jax.evaluation.report import Report
from apgan_jax.evaluation.suite import Suite
from apgan_jax.evaluation.swaps import SourcePerson, Wanted, make_swaps
from apgan_jax.inference.swapper import Swapper

# The paper's choice for videos (IV-D).
DEFAULT_K = 10
_SWAPPED_HERE = (
    'bundles: the file that `apgan swap` writes, only the face blended in, decoded again; k '
    'frames or photos a source'
)
# A method of the data set has seen the whole source; so many frames stand for it.
_FRAMES_OF_OTHERS = 10


def evaluate_clips(
    clips: Sequence[Clip],
    suite: Suite,
    title: str,
    *,
    source: SourcePerson | None = None,
    gallery: Sequence[Path] = (),
    k: int | None = None,
    options: ClipOptions = ALL_PICTURES,
) -> Report:
    """One column: files that somebody swapped.

    Args:
      clips: to measure.
      suite: what to measure with.
      title: of the table.
      source: whom all of them should show; None leaves the identity rows out.
      gallery: other people to look among; those of videos and single pictures among the targets
        are added.
      k: photos or frames of the source that the model was given, the other photos may be found;
        None: all photos, or 10 frames.
      options: how clips are measured and shown.

    Raises:
      UserError: a file cannot be read.
    """
    report = ClipReport(suite, title, options)
    if source is None:
        report.add_column('swapped', map(ClipOfPerson, clips))
        return report.finish(['no --source: identity rows are left out'])
    targets = [clip.target for clip in clips if isinstance(clip.target, Path)]
    galleries = _galleries(suite, source, targets, gallery)
    k = k or (_FRAMES_OF_OTHERS if source.is_video else len(source.files))
    metrics = galleries.metrics(source.key, source.given_crops(k))
    report.add_column('swapped', [ClipOfPerson(clip, metrics) for clip in clips])
    return report.finish([galleries.line()])


def evaluate_bundles(
    target: Path,
    suite: Suite,
    *,
    source: SourcePerson,
    swappers: Sequence[Swapper],
    ks: Sequence[int] = (DEFAULT_K,),
    gallery: Sequence[Path] = (),
    options: ClipOptions = ALL_PICTURES,
) -> Report:
    """A column for each bundle and k: what it makes of one target.

    Args:
      target: photo or video.
      suite: what to measure with.
      source: whom it should show.
      swappers: the bundles.
      ks: photos or frames of the source.
      gallery: other people to look among; the target's is added.
      options: how clips are measured and shown.

    Raises:
      UserError: a file cannot be read, or the source has fewer photos.
    """
    for k in ks:
        source.given(k)
    report = ClipReport(suite, str(target), options)
    galleries = _galleries(suite, source, [target], gallery)
    wanted = [Wanted(f'{target.stem}_{source.name}', target, source)]
    _add_columns(report, swappers, ks, wanted, galleries, options.limit)
    return report.finish([galleries.line(), *bundle_lines(swappers), _SWAPPED_HERE])


def evaluate_ffpp(
    data: ffpp.FaceForensics,
    suite: Suite,
    *,
    swaps: Sequence[ffpp.DatasetSwap],
    methods: Sequence[str] = (),
    swappers: Sequence[Swapper] = (),
    ks: Sequence[int] = (DEFAULT_K,),
    gallery: Sequence[Path] = (),
    options: ClipOptions = ALL_PICTURES,
) -> Report:
    """A column for each method of the data set, then for each bundle and k (tables III to V).

    Args:
      data: the data set; all of its originals are looked among.
      suite: what to measure with.
      swaps: to measure; those of which there are no files are left out and named.
      methods: whose videos are in the data set.
      swappers: bundles.
      ks: frames a source.
      gallery: further people to look among.
      options: how clips are measured and shown.

    Raises:
      UserError: a file cannot be read, or there is none for a method.
    """
    files = {method: [(swap, data.needed(method, swap)) for swap in swaps] for method in methods}
    there = {method: ffpp.those_there(needed, method) for method, needed in files.items()}
    lines = [f'FaceForensics++ {data.compression}, {len(swaps)} swaps asked for']
    wanted = []
    if swappers:
        needed = [(swap, data.originals_of(swap)) for swap in swaps]
        found, line = ffpp.those_there(needed, 'bundles')
        wanted = [_wanted(data, swap) for swap in found]
        lines += [line, _SWAPPED_HERE, *bundle_lines(swappers)]
    galleries = Galleries(suite.recognisers)
    _fill(galleries, [*data.originals(), *people_of(gallery)])
    report = ClipReport(suite, 'FaceForensics++', options)
    for method, (found, line) in there.items():
        report.add_column(method, (_distributed(data, method, swap, galleries) for swap in found))
        lines.append(line)
    _add_columns(report, swappers, ks, wanted, galleries, options.limit)
    return report.finish([*lines, galleries.line()])


def column_name(bundle: str, k: int) -> str:
    """Of a bundle and k."""
    return f'{bundle} k={k}'


def _add_columns(
    report: ClipReport,
    swappers: Sequence[Swapper],
    ks: Sequence[int],
    wanted: Sequence[Wanted],
    galleries: Galleries,
    limit: int | None,
) -> None:
    for swapper, name in zip(swappers, bundle_names(swappers), strict=True):
        for k in ks:
            swaps = make_swaps(swapper, wanted, k, galleries, limit=limit)
            report.add_column(column_name(name, k), swaps)


def _distributed(
    data: ffpp.FaceForensics, method: str, swap: ffpp.DatasetSwap, galleries: Galleries
) -> ClipOfPerson:
    clip = Clip(swap.name, data.original(swap.target), data.swapped(method, swap), True)
    source = data.original(swap.source)
    if method in ffpp.REENACTMENTS or not source.is_file():
        return ClipOfPerson(clip)
    person = SourcePerson(swap.source, (source,))
    return ClipOfPerson(clip, galleries.metrics(person.key, person.given_crops(_FRAMES_OF_OTHERS)))


def _wanted(data: ffpp.FaceForensics, swap: ffpp.DatasetSwap) -> Wanted:
    target, source = data.originals_of(swap)
    return Wanted(swap.name, target, SourcePerson(swap.source, (source,)))


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
