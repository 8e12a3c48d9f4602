"""Every module imports, and each half of the project without the other half's libraries."""

import ast
import collections
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
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
    'apgan_jax.main',
]

# A config ends at `experiment`; below it there are plain fields.
READERS_OF_CONFIGS = {
    'apgan_jax.api',
    'apgan_jax.cli',
    'apgan_jax.main',
    'apgan_jax.training.config_arguments',
    'apgan_jax.training.experiment',
    'apgan_jax.training.train',
}


def module_names(folder: Path) -> list[str]:
    paths = [path.relative_to(ROOT).with_suffix('') for path in sorted(folder.rglob('*.py'))]
    return ['.'.join(path.parts).removesuffix('.__init__') for path in paths]


def loaded_after_import(modules: list[str]) -> set[str]:
    """Top-level names in `sys.modules` of a fresh interpreter that has imported `modules`."""
    return {name.partition('.')[0] for name in modules_after_import(modules)}


def modules_after_import(modules: list[str]) -> list[str]:
    """`sys.modules` of a fresh interpreter that has imported `modules`."""
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
    return json.loads(result.stdout.splitlines()[-1])


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


@pytest.mark.parametrize('room', ['inference', 'video'])
def test_whoever_swaps_loads_neither_metrics_nor_evaluation(room):
    loaded = modules_after_import(module_names(ROOT / 'apgan_jax' / room))
    forbidden = ('apgan_jax.metrics', 'apgan_jax.evaluation')
    assert [name for name in loaded if name.startswith(forbidden)] == []


@pytest.mark.parametrize('room', ['video', 'provenance'])
def test_files_are_handled_without_jax_and_without_a_config(room):
    loaded = loaded_after_import(module_names(ROOT / 'apgan_jax' / room))
    assert not loaded & {'jax', 'flax', 'ml_collections', 'tensorflow'}


# From the bottom up: a room knows of the rows before its own, and of no room beside it.
ROWS = (
    {'assets', 'errors', 'runtime'},
    {'files'},
    {'face', 'provenance', 'reports'},
    {'data', 'video'},
    {'models'},
    {'bundle', 'identity_file'},
    {'networks'},
    {'metrics'},
    {'inference', 'training'},
    {'api', 'evaluation'},
    {'cli', 'main'},
    {'demo'},
)
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}


def imports_of(path: Path) -> Iterator[str]:
    """The modules of this project that a module imports anywhere in it, functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith('apgan_jax.'))
        elif isinstance(node, ast.ImportFrom) and node.module == 'apgan_jax':
            names = (alias.name for alias in node.names)
            yield from (f'apgan_jax.{name}' for name in names if not name.startswith('__'))
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith('apgan_jax.'):
            yield node.module or ''


def room_of(module: str) -> str:
    """'apgan_jax.face.alignment' is in 'face'."""
    return module.split('.')[1]


def test_every_room_has_its_row():
    rooms = {room_of(name) for name in module_names(ROOT / 'apgan_jax') if name != 'apgan_jax'}
    assert rooms == ROW_OF.keys(), 'put new rooms into ROWS'


def imports_that_lead_up(name: str) -> list[str]:
    """What a module imports from its own row of `ROWS` or from one above, its room apart."""
    path = ROOT.joinpath(*name.split('.'))
    path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
    own = room_of(name)
    others = [other for other in imports_of(path) if room_of(other) != own]
    return [other for other in others if ROW_OF[room_of(other)] >= ROW_OF[own]]


def test_imports_lead_down():
    names = [name for name in module_names(ROOT / 'apgan_jax') if name != 'apgan_jax']
    up = {name: found for name in names if (found := imports_that_lead_up(name))}
    assert not up, f'imports from a row that is not below (see ROWS): {up}'


# Names that may be twice, each with its reason.
SHARED_NAMES = {
    'main',  # of each command
    'compose',  # two maps; what a generator painted and its target
    *('read', 'save', 'train', 'verify'),  # apgan_jax.read and so on, and what does it
}


def public_names(path: Path) -> list[str]:
    """Classes and functions at the top of a module, without those that begin with '_'."""
    definitions = (ast.FunctionDef, ast.ClassDef)
    body = ast.parse(path.read_text(encoding='utf-8')).body
    return [node.name for node in body if isinstance(node, definitions) and node.name[:1] != '_']


def test_public_names_are_unique():
    places = collections.defaultdict(list)
    for package in ('apgan_jax', 'data_prep'):
        for path in sorted((ROOT / package).rglob('*.py')):
            for name in public_names(path):
                places[name].append(path.relative_to(ROOT).as_posix())
    twice = {
        name: found for name, found in places.items() if len(found) > 1 and name not in SHARED_NAMES
    }
    assert not twice, f'one name for two things: {twice}'


# Of documents that are in no copy of the project, and of Markdown files that may be in none.
ABSENT_DOCUMENT = re.compile(r'\b(?:FACTS|DESIGN|LAYOUT)\b')
DOCUMENT = re.compile(r'\b(?:docs/)?[A-Z][A-Z_]+\.md\b|\bdocs/[\w-]+\.md\b')


def absent_documents(path: Path) -> list[str]:
    """What a source file names that whoever has the project cannot read."""
    text = path.read_text(encoding='utf-8')
    named = [name for name in DOCUMENT.findall(text) if not (ROOT / name).is_file()]
    return named + ABSENT_DOCUMENT.findall(text)


def test_code_names_no_document_that_is_not_there():
    folders = ('apgan_jax', 'benchmarks', 'configs', 'data_prep', 'tests')
    sources = {path for folder in folders for path in (ROOT / folder).rglob('*.py')}
    found = {
        path.relative_to(ROOT).as_posix(): absent_documents(path)
        for path in sorted(sources - {Path(__file__).resolve()})
    }
    wrong = {path: names for path, names in found.items() if names}
    assert not wrong, f'documents that are not there: {wrong}'


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


# Modules without a test file of their name, each with the reason and the place that tests it.
TESTED_ELSEWHERE: dict[str, str] = {
    'apgan_jax.inference.remembering': 'a protocol; tests/inference/test_session.py',
    'apgan_jax.face.face_pair': 'records without code, in tests/metrics and tests/evaluation',
    'apgan_jax.metrics.metric': 'records without code, in tests/metrics and tests/evaluation',
}
# Test files that bear no module's name, each with what it tests.
OF_NO_MODULE: dict[str, str] = {
    'tests/benchmarks/test_benchmarks.py': 'what of several benchmarks needs no quiet machine',
    'tests/benchmarks/test_torch_parity.py': 'benchmarks.torch_models against our networks',
    'tests/configs/test_hours.py': 'the hours in the docstrings of all configs',
    'tests/test_docs.py': 'the documents',
    'tests/test_imports.py': 'the map of the project',
    'tests/test_others_files.py': 'files of other people, whichever module reads them',
    'tests/test_old_formats.py': 'files of earlier versions, whichever module reads them',
    'tests/training/test_equations.py': 'the equations of the paper, whichever module has them',
    'tests/training/test_resume.py': 'whole runs that are stopped and go on',
}


def has_code(path: Path) -> bool:
    """Whether there is anything to test: most `__init__.py` are a docstring and a constant."""
    definitions = (ast.FunctionDef, ast.ClassDef)
    body = ast.parse(path.read_text(encoding='utf-8')).body
    return path.name != '__init__.py' or any(isinstance(node, definitions) for node in body)


def modules_with_code(package: str) -> list[str]:
    paths = [path for path in sorted((ROOT / package).rglob('*.py')) if has_code(path)]
    names = ['.'.join(path.relative_to(ROOT).with_suffix('').parts) for path in paths]
    return [name.removesuffix('.__init__') for name in names]


def place_of_tests(module: str) -> str:
    """'apgan_jax.face.hair' → 'tests/face/test_hair.py'; of other packages the first name stays."""
    *folders, name = module.removeprefix('apgan_jax.').split('.')
    return '/'.join(['tests', *folders, f'test_{name}.py'])


def test_every_module_has_a_test_file_of_its_name():
    modules = [
        name for package in ('apgan_jax', 'data_prep') for name in modules_with_code(package)
    ]
    places = {name: place_of_tests(name) for name in modules}
    missing = {name: path for name, path in places.items() if not (ROOT / path).is_file()}
    assert missing.keys() == TESTED_ELSEWHERE.keys(), f'no such test files: {missing}'


def test_every_test_file_names_a_module():
    packages = ('apgan_jax', 'benchmarks', 'configs', 'data_prep')
    places = {place_of_tests(name) for package in packages for name in modules_with_code(package)}
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'tests').rglob('test_*.py')}
    assert found - places == OF_NO_MODULE.keys(), 'name it after its module, or say what it tests'
