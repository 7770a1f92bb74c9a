"""Snippets of a location: the lines of its Ingress, those of the global settings, and what they need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from tidegate.model import Directive, Match, Policy
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings, IngressSettings

CAPTURE = re.compile(r"\$\{?([1-9]|[A-Za-z_]\w*)")
GROUP = re.compile(r"\(\?(?:P?<|')([A-Za-z_]\w*)[>']")


def _words(directives: Iterable[Directive]) -> Iterator[str]:
    for item in directives:
        yield from (item.name, *item.args)
        yield from _words(item.block or ())


def uses_captures(snippet: Iterable[Directive], pattern: str) -> bool:
    """Whether a snippet names something that this pattern captures."""
    named = set(GROUP.findall(pattern))
    return any(name.isdigit() or name in named for word in _words(snippet) for name in CAPTURE.findall(word))


def with_snippets(
    policy: Policy, settings: IngressSettings, globals_: GlobalSettings, match: Match, path: str
) -> Policy:
    """The policy of a location with the lines that count in it; the global ones keep their place in the globals."""
    snippet, common = settings.get(ann.CONFIGURATION_SNIPPET), globals_.get(cm.LOCATION_SNIPPET)
    if not snippet and not common:
        return policy
    captures = path if match is Match.REGEX and uses_captures((*snippet, *common), path) else ""
    policy = _with_pages(policy, settings, (*snippet, *common))
    lines = (*snippet, *_redirect_lines(settings, globals_, (*snippet, *common)))
    return replace(policy, snippet=lines, captures=captures, common_snippet=bool(common))


def _with_pages(policy: Policy, settings: IngressSettings, snippet: tuple[Directive, ...]) -> Policy:
    """A snippet with error pages: they count before those of the Ingress, and in the place of the ConfigMap's."""
    pages = {code for line in snippet if line.name == "error_page" for code in line.args}
    if not pages or not policy.intercept:
        return policy
    own = settings.is_set(ann.CUSTOM_HTTP_ERRORS)
    left = tuple(code for code in policy.intercept if own and str(code) not in pages)
    return replace(policy, intercept=left, intercept_pages=True)


def _redirect_lines(
    settings: IngressSettings, globals_: GlobalSettings, snippet: tuple[Directive, ...]
) -> tuple[Directive, ...]:
    """How redirects to a path that a snippet makes are written, where the Ingress says otherwise than all do."""
    relative, port = settings.get(ann.RELATIVE_REDIRECTS), settings.get(ann.USE_PORT_IN_REDIRECTS)
    found = []
    if relative != globals_.get(cm.RELATIVE_REDIRECTS):
        found.append(Directive("absolute_redirect", ("off" if relative else "on",)))
    if port:
        found.append(Directive("port_in_redirect", ("on",)))
    own = {line.name for line in snippet}
    return tuple(line for line in found if line.name not in own)
