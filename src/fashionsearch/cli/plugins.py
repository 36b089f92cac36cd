"""Python files of the user's own, named on the command line, that register backbones."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path

from fashionsearch import errors


def run_plugins(files: Sequence[Path]) -> None:
    """Run the files, as `import` would: what they register is there afterwards.

    Raises:
        InputError: if one isn't there, or fails.
    """
    for file in files:
        path = file.expanduser().resolve()
        if not path.is_file():
            raise errors.InputError(f"--plugin {file}: there is no such file")
        name = f"fashionsearch_plugin_{path.stem}"
        loader = SourceFileLoader(name, str(path))
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        if spec is None:
            raise errors.InputError(f"--plugin {file} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and the like look their module up
        try:
            loader.exec_module(module)
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            del sys.modules[name]
            raise errors.InputError(f"--plugin {file} failed: {type(error).__name__}: {error}") from error
