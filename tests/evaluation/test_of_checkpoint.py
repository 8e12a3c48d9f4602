"""`--mode=evaluate` on data sets; on a run's own pairs it is tested with training."""

import json

import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation import clip_runs, of_checkpoint
from apgan_jax.evaluation.of_checkpoint import evaluate_run
from apgan_jax.evaluation.report import Report
from apgan_jax.evaluation.table import Table


@pytest.fixture
def workdir(tmp_path, tiny_bundle, monkeypatch):
    """Of a run whose latest checkpoint is the tiny bundle."""
    monkeypatch.setattr(of_checkpoint, 'bundle_of_run', lambda _: (tiny_bundle, {}))
    return tmp_path


def test_photos_of_a_data_set_make_a_table_in_the_workdir(workdir, lfw, capsys):
    evaluate_run(workdir, protocol='lfw', root=lfw, ks=[1])
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads((workdir / 'evaluation.json').read_text())
    assert printed['columns'] == ['tiny k=1']
    assert (workdir / 'evaluation.md').is_file()


@pytest.mark.parametrize('ks, asked', [((), [10]), ((1, 5), [1, 5])])
def test_the_checkpoint_is_measured_on_videos_whatever_k(workdir, monkeypatch, ks, asked):
    (workdir / 'original_sequences' / 'youtube' / 'c23' / 'videos').mkdir(parents=True)
    asked_for = {}

    def evaluate(*_, **options):
        asked_for.update(options)
        return Report(Table.of('FaceForensics++', [], {}), {}, {})

    monkeypatch.setattr(clip_runs, 'evaluate_ffpp', evaluate)
    evaluate_run(workdir, protocol='ffpp', root=workdir, ks=ks)
    assert [each.bundle.name for each in asked_for['swappers']] == ['tiny']
    assert list(asked_for['ks']) == asked
    assert len(asked_for['swaps']) == 140
    assert (workdir / 'evaluation.json').is_file()


@pytest.mark.parametrize('protocol', ['lfw', 'celebahq', 'ffpp'])
def test_data_sets_need_their_folder(workdir, protocol):
    with pytest.raises(UserError, match=rf'--protocol {protocol}: needs --root'):
        evaluate_run(workdir, protocol=protocol)


def test_a_k_that_no_source_has_is_refused(workdir):
    with pytest.raises(UserError, match='--k 0: must be at least 1'):
        evaluate_run(workdir, protocol='heldout', ks=[0])
