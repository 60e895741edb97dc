"""Every error that a user can cause, with the exit code that a script sees.

    TvError                1  the work failed
    ├── UsageError         2  the request or its text input is invalid
    │   └── NotApplicableError 2  one of the paper's results cannot be made with this model or these tasks
    ├── UnavailableError   3  a model, image or file cannot be used
    └── VectorError        4  a task vector is broken or does not fit the model

The message is one sentence: what is wrong, with the value or the file and line, and what to do.
"""

from __future__ import annotations


class TvError(Exception):
    """Base of all errors that are reported as one sentence, without a traceback."""

    exit_code = 1


class UsageError(TvError):
    """Invalid arguments, pairs or queries."""

    exit_code = 2


class NotApplicableError(UsageError):
    """One of the paper's results that cannot be made with this model or these tasks."""


class UnavailableError(TvError):
    """A model, image or other file that is missing, unreadable or invalid."""

    exit_code = 3


class VectorError(TvError):
    """A vector file that is malformed, or a vector whose shape does not fit the model."""

    exit_code = 4


def reason(error: OSError) -> str:
    """The operating system's message for `error`, without number and path ("no such file or directory")."""
    return (error.strerror or str(error)).lower()
