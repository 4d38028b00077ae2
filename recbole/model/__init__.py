"""Finds recommendation models by class name. Class ``X`` is defined in the module ``<folder>/x.py`` (in lower case).

To add a model, add such a module to one of the three folders. Another installed distribution can offer a model through
an entry point whose group is :data:`recbole.utils.plugins.MODELS` and whose name is that of the class.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from recbole.model.dok_update import restore_dok_update
from recbole.utils import UserError, plugins, suggest

if TYPE_CHECKING:
    from recbole.model.recommender import AbstractRecommender

FOLDERS = ("general_recommender", "sequential_recommender", "next_basket_recommender")


def model_modules() -> dict[str, str]:
    """Return a dict from lower-case model name to the dotted path of its module; no such module is imported."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        package = importlib.import_module(f"recbole.model.{folder}")
        for module in pkgutil.iter_modules(package.__path__):
            found.setdefault(module.name, f"{package.__name__}.{module.name}")
    return found


def get_model(name: str) -> type[AbstractRecommender]:
    """Return the model class called ``name``. Of all modules with models, only the module of this class is imported.

    A method that SciPy has removed and RecBole's graph models call is restored, see :func:`restore_dok_update`.

    Raises:
        UserError: there is no such model (the message suggests the most similar name), or the entry point of another
            distribution loads something else than a model class of this name.
    """
    found = _found(name)
    restore_dok_update()
    return found


def _found(name: str) -> type[AbstractRecommender]:
    """Import and return the model class called ``name``; raises the same errors as :func:`get_model`."""
    modules = model_modules()
    path = modules.get(name.lower())
    if path is None:
        others = plugins.offered(plugins.MODELS, _class_names(modules))
        if name in others:
            return _offered(name, plugins.load(others[name]))
        raise UserError(f"--model: there is no model '{name}'{suggest(name, [*_class_names(modules), *others])}")
    module = importlib.import_module(path)
    if not hasattr(module, name):
        found = [key for key in vars(module) if key.lower() == name.lower()]
        raise UserError(f"--model: there is no model '{name}'{suggest(name, found) or f' in {path}'}")
    return getattr(module, name)


def _offered(name: str, thing: Any) -> type[AbstractRecommender]:
    """Return ``thing``, which an entry point loaded; raise a UserError if it is not a model class called ``name``."""
    from recbole.model.recommender import AbstractRecommender

    if not (isinstance(thing, type) and issubclass(thing, AbstractRecommender) and thing.__name__ == name):
        raise UserError(f"--model: the entry point '{name}' loads {thing!r:.80}, not a model class of that name")
    return thing


def names() -> list[str]:
    """Return the class names of this package's models, without those of other distributions."""
    return _class_names(model_modules())


def _class_names(modules: Iterable[str]) -> list[str]:
    """Return the class name of the model in each of the given modules, whose names are in lower case.

    The file of default settings in ``properties/model``, such as ``LightGCN.yaml``, has the spelling of the class name.
    A module without such a file is returned under its own name.
    """
    from pathlib import Path

    properties = Path(__file__).parent.parent / "properties" / "model"
    pretty = {path.stem.lower(): path.stem for path in properties.glob("*.yaml")}
    return [pretty.get(name, name) for name in modules]
