"""Whether a regular expression can be one: NGINX's engine is PCRE, and only it knows for sure."""

from __future__ import annotations

import re
import warnings

LONGEST_PATTERN = 8192  # PCRE compiles to at most 64 KiB


# What PCRE knows and Python's expressions do not: literal text, names of groups, escapes, options, calls, verbs.
FOREIGN = re.compile(
    r"\\Q.*?(?:\\E|\Z)|(?P<kept>\\\\)|\(\?(?:<(?=[A-Za-z_])|')(?P<name>\w+)[>']|(?P<group>\(\?\|)"
    r"|\\[pPxogkN]\{[^{}]*\}|\\[pP][A-Za-z]|\\[hHRKGzZXCNeEgk]"
    r"|\(\?[a-zA-Z^-]+\)|\(\?(?:R|[+-]?[0-9]+|&\w+|P>\w+)\)|\(\*[A-Z_]+(?:[:=]\w*)?\)",
    re.DOTALL,
)
HOPELESS = re.compile(
    r"missing \), unterminated subpattern|unbalanced parenthesis|unterminated character set|nothing to repeat"
    r"|multiple repeat|bad character range|bad escape \(end of pattern\)|min repeat greater than max repeat"
)


def _for_python(foreign: re.Match[str]) -> str:
    """Something for Python that is as sound in the place of this."""
    if foreign["kept"]:
        return foreign["kept"]
    if foreign["name"]:
        return f"(?P<{foreign['name']}>"
    return "(?:" if foreign["group"] else "x"


def pattern_fault(pattern: str) -> str:
    """Why no engine takes this pattern; empty if there is hope.

    The real engine is PCRE, which knows more than Python: only faults that both must find count.
    """
    if len(pattern) > LONGEST_PATTERN:
        return f"longer than {LONGEST_PATTERN} characters"
    pattern = FOREIGN.sub(_for_python, pattern)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (OverflowError, RecursionError) as error:
        return str(error)
    except re.error as error:
        return str(error) if HOPELESS.search(error.msg) else ""
    return ""
