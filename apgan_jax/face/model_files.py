"""Where the files of other people's networks are looked for; each is pinned by its hash."""

import dataclasses
import functools
import hashlib
import importlib.util
import os
from pathlib import Path

from apgan_jax.errors import UserError


def files_in_package(package: str, name: str) -> list[Path]:
    """The files of this name that an installed pip package carries; it is not imported."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    return [path for folder in folders for path in sorted(Path(folder).rglob(name))]


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A file that is not part of this project.

    Attributes:
      name: of the file.
      title: what it is, for messages.
      sha256: of its bytes.
      variable: the environment variable that may name its path.
      package: the pip package that carries it; '' where none does.
      install: the command that brings it.
    """

    name: str
    title: str
    sha256: str
    variable: str
    package: str
    install: str

    def find(self, path: Path | None = None) -> Path:
        """Looks at `path`, the variable, the user's cache folder and the package, in this order.

        Raises:
          UserError: it is in none of the places, or what is there is another file.
        """
        for candidate in self._candidates(path):
            if candidate.is_file():
                return self._checked(candidate)
        wanted = path or os.environ.get(self.variable) or self.name
        raise UserError(
            f'{wanted}: the {self.title} was not found; run `{self.install}` or set '
            f'{self.variable} to the file'
        )

    def _candidates(self, path: Path | None) -> list[Path]:
        # An explicit place must not be overruled by another one further down the list.
        if path is not None:
            return [Path(path)]
        if os.environ.get(self.variable):
            return [Path(os.environ[self.variable])]
        cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
        in_package = files_in_package(self.package, self.name) if self.package else []
        return [cache / 'apgan_jax' / self.name, *in_package]

    def _checked(self, path: Path) -> Path:
        digest = _sha256(path)
        if digest != self.sha256:
            raise UserError(
                f'{path}: sha256 {digest[:12]}… is not that of {self.name} '
                f'({self.sha256[:12]}…); remove it and run `{self.install}`'
            )
        return path


@functools.cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
