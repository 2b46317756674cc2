"""Options of a command made from the fields of a settings class: names, help, bounds and defaults."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    Command = Callable[..., None]

PARAMETER: Final = "settings"


def with_options_of(
    settings: type[BaseModel], panel: str, alternatives: Mapping[str, BaseModel]
) -> Callable[[Command], Command]:
    """A decorator that gives a command one option a field, and passes on those that were typed.

    The command has a parameter `settings`: a dictionary of the fields that the user set, converted and within the
    inclusive bounds; what else a field asks for is checked where the settings are made.

    Parameters
    ----------
    settings
        Every field needs a description and a default.
    panel
        Heading of the options in the help.
    alternatives
        Settings with other defaults, by the option that chooses them; shown in the help.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != PARAMETER]
        options = [
            _parameter(name, field, panel, _default_text(name, field, alternatives))
            for name, field in settings.model_fields.items()
        ]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            typed = {name: values.pop(name) for name in settings.model_fields}
            command(**values, **{PARAMETER: {name: value for name, value in typed.items() if value is not None}})

        run.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        return run

    return decorate


def _parameter(name: str, field: FieldInfo, panel: str, default: str) -> inspect.Parameter:
    """An option that is None unless it is typed."""
    least, most = (
        next((getattr(bound, end) for bound in field.metadata if hasattr(bound, end)), None) for end in ("ge", "le")
    )
    option = typer.Option(
        None,
        min=least,
        max=most,
        help=field.description,
        show_default=default,
        rich_help_panel=panel,
    )
    kind: Any = field.annotation
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind | None)


def _default_text(name: str, field: FieldInfo, alternatives: Mapping[str, BaseModel]) -> str:
    others = {
        option: getattr(values, name)
        for option, values in alternatives.items()
        if not option.startswith(f"--{name} ")  # which chooses them
    }
    texts = [f"{_word(value)} with {option}" for option, value in others.items() if value != field.default]
    return "; ".join([_word(field.default), *texts])


def _word(value: object) -> str:
    words = {None: "none", True: "on", False: "off"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
