"""The page of a run: made of event files with known contents, and of four steps of training."""

import base64
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from apgan_jax import cli
from apgan_jax.errors import UserError
from apgan_jax.files.image_files import decode_image
from apgan_jax.training import report
from apgan_jax.training.run_log import read_run
from apgan_jax.training.train import train_and_evaluate
from configs import tiny
from support.event_files import write_session
from support.processes import ROOT


def figures(page):
    """{title: number of lines} of the page's figures, each a well-formed SVG."""
    found = {}
    for title, svg in re.findall(r'<figcaption>([^<]*).*?</figcaption>.*?(<svg.*?</svg>)', page):
        lines = [x for x in ElementTree.fromstring(svg) if x.tag in ('polyline', 'circle')]
        found[title] = len(lines)
    return found


def test_charts_warnings_and_config_are_on_the_page(tmp_path):
    values = {
        (f'{tag}', step): 0.1 * step
        for step in (1, 2)
        for tag in ('train/cos_source', 'train/cos_target', 'train/style', 'train_pairs/ssim')
    }
    values['train/occlusion', 2] = float('nan')
    texts = [('warnings/copies_target', 2, 'look <here>'), ('config', 1, '{"num_steps": 2000}')]
    write_session(tmp_path, 1, values, texts=texts)
    page = report.render_report(read_run(tmp_path), title='a & b')
    assert figures(page) == {'cos': 2, 'style': 1, 'ssim': 1}
    assert '<b>copies target</b><br>look &lt;here&gt;' in page
    assert 'step 2 of 2,000' in page
    assert '<title>a &amp; b</title>' in page
    assert 'synthetic' in page


def test_no_run_and_no_page_are_refused_in_one_line(tmp_path, capsys):
    assert cli.main(['report', str(tmp_path)]) == 1
    assert re.fullmatch(r'apgan report: .*holds no tensorboard/ files.*\n', capsys.readouterr().err)
    write_session(tmp_path, 1, {('train/style', 1): 1.0})
    with pytest.raises(UserError, match=r'must end in \.html'):
        report.write_report(tmp_path, tmp_path / 'model.safetensors')
    with pytest.raises(UserError, match='no such folder'):
        report.write_report(tmp_path, tmp_path / 'none' / 'a.html')


@pytest.fixture(scope='module')
def workdir(built_dataset, tmp_path_factory):
    """Four steps, evaluated after the second and the fourth."""
    config = tiny.get_config()
    config.data_dir = str(built_dataset.folder)
    config.num_steps = 4
    config.log_every = 1
    config.evaluation.every = 2
    config.evaluation.num_pairs = 6
    config.evaluation.num_pictures = 3
    workdir = tmp_path_factory.mktemp('run')
    train_and_evaluate(config, workdir)
    return workdir


def test_training_writes_scalars_pictures_and_histograms(workdir):
    log = read_run(workdir)
    assert set(log.scalars['train/style']) == {1, 2, 3, 4}
    # The first step compiles: it has no speed.
    assert set(log.scalars['speed/data_wait_share']) == {2, 3, 4}
    assert all(0 <= share <= 1 for share in log.scalars['speed/data_wait_share'].values())
    for name in ('encoder_source', 'encoder_target', 'ssim'):
        assert set(log.scalars[f'train_pairs/{name}']) == {2, 4}
    assert all(-1 <= v <= 1 for v in log.scalars['train_pairs/encoder_target'].values())
    _, counts = log.histograms['train_pairs/pairs/encoder_source'][4]
    assert sum(counts) == 6
    assert list(log.pictures) == ['train_pairs/pictures']
    for encoded in log.pictures['train_pairs/pictures'].values():
        assert decode_image(encoded).shape == (3 * 64, 4 * 64, 3)


def test_info_and_the_log_count_the_same_operations(workdir, capsys):
    assert cli.main(['info', '--config', str(ROOT / 'configs' / 'tiny.py')]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])['train_step']['gflop_per_pair']
    scalars = read_run(workdir).scalars
    for step, speed in scalars['speed/gflops_per_second'].items():
        pairs = scalars['speed/examples_per_second'][step]
        assert speed / pairs == pytest.approx(said, abs=0.005)


def test_the_page_of_a_training_run_needs_nothing_else(workdir, capsys):
    assert cli.main(['report', str(workdir)]) == 0
    assert capsys.readouterr().out == f'{workdir / "report.html"}\n'
    page = (workdir / 'report.html').read_text()
    assert not re.search(r'(src|href)="(?!data:)|url\(|<script|@import', page)
    pictures = re.findall(r'base64,([^"]+)"', page)
    assert [decode_image(base64.b64decode(p)).shape for p in pictures] == [(192, 256, 3)] * 2
    drawn = figures(page)
    assert {'cos', 'encoder', 'ssim', 'style', 'examples per second'} <= set(drawn)
    assert drawn['encoder: number of pairs by cosine, step 4'] == 2
    assert 'step 4 of 4' in page
    assert '"num_steps": 4' in page.replace('&quot;', '"')
