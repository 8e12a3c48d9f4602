"""What a data set cannot teach, found before a run starts."""

import numpy as np

from apgan_jax.data.records import CorruptRecordError, FaceRecord, RecordDataset

# Records looked at, evenly spread: a second of reading.
_MOST_RECORDS = 1_000


def pairing_warnings(dataset: RecordDataset, batch_size: int) -> list[str]:
    """One line for each thing that is missing: what was seen, what follows, the remedy.

    Args:
      dataset: to train on.
      batch_size: over all processes.
    """
    found = []
    count = len(dataset)
    if batch_size > count:
        found.append(
            f'config.batch_size={batch_size} is more than the {count} photos of '
            f'{dataset.data_dir}: a batch shows a photo several times, which takes time and '
            'teaches no more; lower it, or add photos'
        )
    labels = _labels(dataset)
    if count == 1 or (len(labels) == 1 and labels != {''}):
        found.append(
            f'{dataset.data_dir}: all photos show one person: source and target of every pair are '
            'the same photo, and no identity is learnt; build the data set again from more people, '
            'or with right --labels'
        )
    elif labels == {''}:
        found.append(
            f'{dataset.data_dir}: no photo says whom it shows: each counts as a person of its own, '
            'and config.data.same_identity_share makes no pairs; where several photos show one '
            'person, build the data set again with --labels'
        )
    return found


def _labels(dataset: RecordDataset) -> set[str]:
    """The labels of some records; no more than two, which is enough for pairs."""
    labels: set[str] = set()
    numbers = np.linspace(0, len(dataset) - 1, min(len(dataset), _MOST_RECORDS)).astype(int)
    for number in numbers:
        try:
            labels.add(FaceRecord.parse(dataset[number]).identity)
        except CorruptRecordError:
            continue
        if len(labels) == 2:
            break
    return labels
