"""Retries of hub requests, with short waits and warnings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import httpx2
from huggingface_hub.errors import HfHubHTTPError

from tvcli.models.hub.errors import asked_wait, words

T = TypeVar("T")
log = logging.getLogger(__name__)

TIMEOUT = 10.0  # seconds without a byte
WAITS = (1.0, 2.0, 4.0)  # seconds before each new attempt; they start again after any progress
LONGEST_WAIT = 60.0  # seconds; tv gives up if the hub asks for more
TRANSIENT = (408, 429, 500, 502, 503, 504)


def with_retries(request: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
    """The request's result; temporary errors are retried after a warning and a pause.

    `progress` returns the number of bytes received so far. A host that was never reached is not tried again.
    """
    waits, before, start = list(WAITS), progress(), progress()
    while True:
        try:
            return request()
        except (httpx2.TransportError, HfHubHTTPError) as error:
            if progress() > before:
                waits, before = list(WAITS), progress()
            if not waits or not _may_pass(error, reached=progress() > start):
                raise
            wait = max(waits.pop(0), asked_wait(error.response) if isinstance(error, HfHubHTTPError) else 0)
            if wait > LONGEST_WAIT:
                raise
            log.warning("%s; trying again in %.0f s", words(error), wait)
        time.sleep(wait)


def _may_pass(error: Exception, *, reached: bool) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        return reached
    return not isinstance(error, (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.ProxyError))
