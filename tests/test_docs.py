"""The pages that the documentation makes of the code, and the README."""

import argparse
from pathlib import Path

import pytest

from configs import default
from docs_build import api_pages, command_page, config_page, home_page, markdown

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
DEFAULT = ROOT / 'configs' / 'default.py'


def leaf_fields() -> dict[str, object]:
    flat: dict[str, object] = {}

    def visit(prefix: str, fields: dict) -> None:
        for name, value in fields.items():
            if isinstance(value, dict):
                visit(f'{prefix}{name}.', value)
            else:
                flat[prefix + name] = value

    visit('', default.get_config().to_dict())
    return flat


def config_file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / 'some.py'
    body = ['config = ConfigDict()', *lines, 'return config']
    path.write_text('def get_config():\n' + '\n'.join(f'    {line}' for line in body) + '\n')
    return path


def rows_of(page: str) -> list[list[str]]:
    """Cells of all rows of all tables."""
    return [line[2:-2].split(' | ') for line in page.splitlines() if line.startswith('| ')]


class TestConfigPage:
    def test_every_field_with_its_type_default_and_description(self):
        rows = {row[0]: row for row in rows_of(config_page.config_page(DEFAULT))}
        for name, value in leaf_fields().items():
            _, kind, default_text, description = rows[f'<code>config.{name}</code>']
            assert kind.split()[0] == type(value).__name__
            assert default_text.startswith('<code>')
            assert description.strip()

    def test_no_field_that_is_not_there(self):
        entries = config_page.read_entries(DEFAULT)
        assert {entry.name for entry in entries if entry.value is not None} == set(leaf_fields())

    def test_groups_are_described(self):
        groups = [e for e in config_page.read_entries(DEFAULT) if e.value is None]
        assert {'loss', 'data', 'data.source_jitter'} <= {group.name for group in groups}
        assert all(group.description for group in groups)

    def test_comment_of_several_lines(self, tmp_path):
        path = config_file(tmp_path, '# One', '# two.', 'config.a = 1_000')
        assert config_page.read_entries(path) == [
            config_page.Entry('a', '1_000', 'int', 'One two.')
        ]

    def test_values_in_quotes_are_code(self, tmp_path):
        path = config_file(
            tmp_path, "# The encoders' file; '': the shipped one's.", "config.a = ''"
        )
        (entry,) = config_page.read_entries(path)
        assert entry.description == "The encoders' file; `''`: the shipped one's."

    def test_field_without_a_comment_is_named(self, tmp_path):
        path = config_file(tmp_path, '# One.', 'config.a = 1', 'config.b = (2, 3)')
        with pytest.raises(ValueError, match=r'no comment above b; write what it says'):
            config_page.read_entries(path)


class TestCommandPage:
    def test_every_subcommand(self):
        names = [command.name for command in command_page.apgan_commands()]
        known = ['swap', 'anonymise', 'verify', 'identity save', 'evaluate', 'info', 'report']
        assert {f'apgan {name}' for name in known} <= set(names)

    @pytest.mark.parametrize('command', command_page.apgan_commands(), ids=lambda c: c.name)
    def test_every_option(self, command):
        names = [row[0] for row in rows_of(command_page.option_table(command.parser))]
        for action in command.parser._actions:
            word = action.option_strings[-1] if action.option_strings else action.dest
            assert word == '--help' or any(word in name for name in names)

    def test_options_with_defaults_and_required_ones(self):
        parser = argparse.ArgumentParser(prog='tool')
        parser.add_argument('--count', type=int, default=0, help='a|b <c>')
        parser.add_argument('--file', required=True)
        assert rows_of(command_page.option_table(parser))[2:] == [
            ['<code>--count COUNT</code>', 'a&#124;b &lt;c&gt;', '<code>0</code>'],
            ['<code>--file FILE</code>', '', 'required'],
        ]

    def test_flags_of_training(self):
        table = command_page.flag_table('apgan_jax.main')
        for flag in ('config', 'mode', 'workdir', 'output', 'with_discriminator', 'config.FIELD'):
            assert f'<code>--{flag}</code>' in table

    def test_tool_whose_main_makes_the_parser(self):
        command = command_page.tool_command('data_prep.port_arcface')
        assert command.name == 'python -m data_prep.port_arcface'
        assert '--kind' in command_page.option_table(command.parser)

    def test_runnable_modules(self):
        modules = command_page.runnable_modules(ROOT, 'data_prep')
        assert 'data_prep.build' in modules
        assert 'data_prep.sources' not in modules


class TestApiPages:
    def test_a_page_for_every_package(self):
        pages = api_pages.api_pages(ROOT)
        for init in (ROOT / 'apgan_jax').rglob('__init__.py'):
            name = '.'.join(init.parent.relative_to(ROOT).parts)
            assert f'({name}.md)' in pages[api_pages.INDEX]
            assert pages[f'api/{name}.md'].startswith(f'# {name}\n')

    def test_a_package_lists_its_public_modules(self, tmp_path):
        for package in ('apgan_jax', 'data_prep'):
            (tmp_path / package).mkdir()
            (tmp_path / package / '__init__.py').write_text('"""What it is."""')
        (tmp_path / 'apgan_jax' / 'some.py').touch()
        (tmp_path / 'apgan_jax' / '_own.py').touch()
        pages = api_pages.api_pages(tmp_path)
        assert '| [apgan_jax](apgan_jax.md) | What it is. |' in pages[api_pages.INDEX]
        assert '::: apgan_jax.some' in pages['api/apgan_jax.md']
        assert '_own' not in pages['api/apgan_jax.md']


class TestReadme:
    def test_length(self):
        assert len(README.splitlines()) <= 110

    def test_links_lead_to_files(self):
        links = [link for link in home_page.links(README) if '://' not in link]
        assert links
        assert [link for link in links if not (ROOT / link).is_file()] == []

    def test_links_of_the_first_page_are_seen_from_docs(self):
        page = (
            '[a](docs/swap.md#source) ![b](docs/b.png) [c](configs/default.py) [d](https://e.org)'
        )
        assert home_page.home_page(page) == (
            '[a](swap.md#source) ![b](b.png) [c](reference/config.md) [d](https://e.org)'
        )


def test_lines_of_pages_fit():
    for path in (ROOT / 'docs').glob('*.md'):
        long = [
            number
            for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1)
            if len(line) > 120 and not line.startswith(('|', '{'))
        ]
        assert long == [], path.name


def test_every_benchmark_has_its_row():
    page = (ROOT / 'docs' / 'speed.md').read_text(encoding='utf-8')
    named = {f'benchmarks.{row[0].strip("`").split()[0]}' for row in rows_of(page)}
    assert set(command_page.runnable_modules(ROOT, 'benchmarks')) <= named


def test_plain_text_means_nothing_to_markdown():
    assert markdown.plain('a_b *c* [d] <e> | `f_g|h`') == (
        'a\\_b \\*c\\* \\[d\\] &lt;e&gt; &#124; <code>f_g&#124;h</code>'
    )
