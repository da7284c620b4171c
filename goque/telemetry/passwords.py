"""Hides passwords in texts that the app wrote: the messages of its exceptions may have URLs of any service."""

from __future__ import annotations

import re
from typing import Final

SENSITIVE_NAME: Final = (
    r"(?i:([\w.%-]*(?:pass|pwd|secret|token|credential|signature|(?:api|access|account|private|client|server)[_-]?key"
    r"|(?<![a-z])(?:auth|jwt|sig)(?![a-z]))[\w.%-]*))"
)
"""The name of a parameter whose value is a secret, as a group of a regular expression."""


def hide_passwords(text: str) -> str:
    """Return a text with `***` for the password of each URL in it, of whatever kind, and for secret parameters."""
    return _PARAMETER.sub(r"\1=***", _CREDENTIALS.sub(r"\1***@", text))


_QUOTED: Final = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_PARAMETER: Final = re.compile(rf"(?<![\w.%-]){SENSITIVE_NAME}=(?:{_QUOTED}|[^&;\s\"'<>)]*)")
_CREDENTIALS: Final = re.compile(
    r"([a-zA-Z][\w+.-]*://(?:[^\s:/@\"'<>]*:|(?=[^\s:/@\"'<>]+@)(?<=http://|ttps://)))[^\s\"'<>]+@"
)
"""What stands between a URL's user and its last @; in a web address without a password, the user may be a token."""
