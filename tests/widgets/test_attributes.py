"""What widgets ask of themselves exists: the type checker cannot tell, since Qt's classes have no types here."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap

import pytest

from napari_uml import widgets

MODULES = sorted(module.name for module in pkgutil.walk_packages(widgets.__path__, f"{widgets.__name__}."))


def own_classes(module: str) -> list[type]:
    return [one for one in vars(importlib.import_module(module)).values() if getattr(one, "__module__", "") == module]


def attributes(cls: type, context: type[ast.expr_context]) -> set[str]:
    """Return what follows `self.` in the code of a class, where it is set or where it is used."""
    return {
        node.attr
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls))))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        if isinstance(node.ctx, context)
    }


@pytest.mark.parametrize("module", MODULES)
def test_every_attribute_that_a_class_uses_is_there(module: str) -> None:
    for cls in filter(inspect.isclass, own_classes(module)):
        ours = [base for base in cls.__mro__ if base.__module__.startswith("napari_uml.")]
        there = {name for base in ours for name in attributes(base, ast.Store) | set(inspect.get_annotations(base))}
        assert {name for name in attributes(cls, ast.Load) - there if not hasattr(cls, name)} == set(), cls
