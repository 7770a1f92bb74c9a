"""The locations in which authentication services are asked: one for each kind of question that policies put.

Their names are no paths of a URL, as they lack the slash: no client can ask for them, and no path is taken away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tidegate.model import Buffers, KeptConnections, Policy, Question

ANSWER_VARIABLE: Final = "tidegate_answer_"
"""Followed by a number: a header of the service's answer, in the order of the route's list."""


def question_name(question: Question) -> str:
    return f"tidegate_auth_{question.digest}"


def _upstream_name(question: Question) -> str:
    if question.kept is not None:
        return f"tidegate_auth_{question.digest}"
    return "tidegate_auth_https" if question.tls else "tidegate_http"


@dataclass(frozen=True)
class QuestionLocation:
    """One kind of question as the template needs it."""

    question: Question

    @property
    def name(self) -> str:
        return question_name(self.question)

    @property
    def tls(self) -> bool:
        return self.question.tls

    def buffers(self, usual: Policy) -> Buffers:
        """Its own, or those of routes that ask for none."""
        return self.question.buffers or Buffers(usual.buffers_number, usual.buffer_size, usual.busy_buffers_size)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return self.question.headers

    @property
    def target(self) -> str:
        return f"{'https' if self.question.tls else 'http'}://{_upstream_name(self.question)}"


@dataclass(frozen=True)
class QuestionUpstream:
    """An upstream block of authentication services alone. `kept` is None where connections are not kept."""

    name: str
    kept: KeptConnections | None


def questions_of(policies: Iterable[Policy]) -> list[QuestionLocation]:
    found = {policy.question for policy in policies if policy.question is not None}
    return [QuestionLocation(question) for question in sorted(found, key=lambda question: question.digest)]


def question_upstreams_of(questions: Iterable[QuestionLocation]) -> list[QuestionUpstream]:
    """The blocks that these questions need besides those of ordinary backends."""
    needed = [item.question for item in questions if item.question.tls or item.question.kept]
    found = {_upstream_name(question): question.kept for question in needed}
    return [QuestionUpstream(name, kept) for name, kept in sorted(found.items())]


def overridden(rows: list[tuple[str, str]], others: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers, those of `others` in place of those of the same name."""
    others = list(others)
    names = {name.lower() for name, _ in others}
    return [row for row in rows if row[0].lower() not in names] + others
