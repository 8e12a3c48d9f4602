"""The first page: the README, whose links lead to pages of the site."""

import re

# Files that the site has a page of instead.
PAGES_OF_FILES = {
    'apgan_jax/cli.py': 'reference/commands.md',
    'configs/default.py': 'reference/config.md',
}
_LINK = re.compile(r'(?<=\]\()[^)\s#]+')


def home_page(readme: str) -> str:
    """The README with links as they are seen from docs/."""
    return _LINK.sub(lambda link: _target(link[0]), readme)


def links(readme: str) -> list[str]:
    """What the README links to or shows."""
    return _LINK.findall(readme)


def _target(link: str) -> str:
    return PAGES_OF_FILES.get(link, link.removeprefix('docs/'))
