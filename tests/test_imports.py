"""Every module imports, and each half of the project without the other half's libraries."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ('apgan_jax', 'data_prep', 'configs')
# Of the extra data_prep: whoever only runs a model does without.
DATA_PREP_LIBRARIES = {
    'ai_edge_litert',
    'apache_beam',
    'onnx',
    'tensorflow',
    'tensorflow_datasets',
}
TRAINING_MODULES = [
    'apgan_jax.training.train_step',
    'apgan_jax.data.pipeline',
    'apgan_jax.training.train',
]

# A config ends at `experiment`; below it there are plain fields.
READERS_OF_CONFIGS = {
    'apgan_jax.cli',
    'apgan_jax.main',
    'apgan_jax.training.experiment',
    'apgan_jax.training.train',
}


def module_names(folder: Path) -> list[str]:
    paths = [path.relative_to(ROOT).with_suffix('') for path in sorted(folder.rglob('*.py'))]
    return ['.'.join(path.parts).removesuffix('.__init__') for path in paths]


def loaded_after_import(modules: list[str]) -> set[str]:
    """Top-level names in `sys.modules` of a fresh interpreter that has imported `modules`."""
    code = (
        'import importlib, json, sys\n'
        f'for name in {modules!r}: importlib.import_module(name)\n'
        # A None entry blocks a module: it is not one that was loaded.
        'print(json.dumps([name for name, module in sys.modules.items() if module]))'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return {name.partition('.')[0] for name in json.loads(result.stdout.splitlines()[-1])}


@pytest.mark.parametrize(
    'name', [name for package in PACKAGES for name in module_names(ROOT / package)]
)
def test_module_imports(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or '').partition('.')[0]
        if name.startswith('data_prep') and missing in DATA_PREP_LIBRARIES:
            pytest.skip(f'{missing} is not installed (extra data_prep)')
        raise


@pytest.mark.parametrize('name', TRAINING_MODULES)
def test_training_needs_neither_tensorflow_nor_mediapipe(name):
    if not (ROOT / name.replace('.', '/')).with_suffix('.py').is_file():
        pytest.skip(f'{name} does not exist yet')
    loaded = loaded_after_import([name])
    assert 'jax' in loaded
    assert not loaded & (DATA_PREP_LIBRARIES | {'mediapipe'})


def test_the_face_package_needs_numpy_and_opencv_but_no_jax_and_no_config():
    loaded = loaded_after_import(module_names(ROOT / 'apgan_jax' / 'face'))
    assert {'numpy', 'cv2'} <= loaded
    assert not loaded & {'jax', 'flax', 'ml_collections', 'tensorflow'}


def reads_a_config(source: str) -> bool:
    """Whether a module imports ml_collections or looks at a field of something called config."""
    for node in ast.walk(ast.parse(source)):
        imported: list[str] = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or '']
        if any(name.partition('.')[0] == 'ml_collections' for name in imported):
            return True
        if isinstance(node, ast.Attribute) and getattr(node.value, 'id', '') == 'config':
            return True
    return False


@pytest.mark.parametrize(
    'source, expected',
    [
        ('from ml_collections import config_flags', True),
        ('import ml_collections.config_dict', True),
        ('def f(config): return config.size', True),
        ("def f(config): return config['size']", False),
        ("jax.config.update('a', 1)", False),
    ],
)
def test_a_reader_of_configs_is_recognised(source, expected):
    assert reads_a_config(source) == expected


def test_a_config_ends_at_experiment():
    found = {
        name
        for name in module_names(ROOT / 'apgan_jax')
        if reads_a_config(_path_of(name).read_text(encoding='utf-8'))
    }
    assert found == READERS_OF_CONFIGS


def _path_of(name: str) -> Path:
    path = ROOT.joinpath(*name.split('.'))
    return path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
