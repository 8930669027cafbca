"""Objects of the user's code, named on the command line as `MODULE:NAME`."""

import importlib
import sys
from pathlib import Path

from taquba.cli._command import CommandError

__all__ = ["load"]


def load(name: str) -> object:
    """Import a module, and return what it calls so.

    The current directory is searched first, as by `python -m`.

    Args:
        name: `package.module:name`, or `package.module:thing.attribute`.

    Raises:
        CommandError: There is no such module, or it has no such name.
        Exception: What the module raises when it is imported.
    """
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        message = f"`{name}`: give MODULE:NAME, such as `app.work:runner`"
        raise CommandError(message)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # One that the module itself needs is told with the place where it is missing.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        message = f"there is no module `{error.name}` in {here}, nor is it installed"
        raise CommandError(message, code="module-not-found") from None
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            message = f"`{module_name}` has no `{path}`"
            raise CommandError(message, code="name-not-found") from None
    return found
