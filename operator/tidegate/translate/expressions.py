"""Text with NGINX variables, taken apart for the data plane, which puts it together for each request."""

from __future__ import annotations

import re
from typing import Final

from tidegate.findings import brief
from tidegate.settings.texts import has_sound_variables
from tidegate.settings.variables import unknown_variable
from tidegate.translate.backends import hash_parts

_ESCAPED_URI: Final = re.compile(r"\$escaped_request_uri(?![A-Za-z0-9_])|\$\{escaped_request_uri\}")
"""A variable that the data plane makes itself."""


class UnsoundExpression(ValueError):
    """Text that NGINX would not take: the message says why."""


def check_variables(text: str, more: frozenset[str] = frozenset()) -> None:
    """For text that NGINX reads: raise UnsoundExpression for a `$` that begins no variable, or one that it lacks.

    `more` are those that it knows besides its own: `GlobalSettings.own_variables`.
    """
    if not has_sound_variables(text):
        raise UnsoundExpression(f"found {brief(text)}, in which a $ does not begin the name of a variable")
    if unknown := unknown_variable(text, more=more):
        raise UnsoundExpression(f"found the variable ${unknown[:100]}, allowed: those that NGINX knows")


def check_expression(text: str, more: frozenset[str] = frozenset()) -> None:
    """The same for text that the data plane puts together."""
    check_variables(_ESCAPED_URI.sub("", text), more)


def expression_parts(text: str, more: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """`http://${host}/a` as (`http://`, `$host`, `/a`). Raises UnsoundExpression."""
    check_expression(text, more)
    return hash_parts(text)
