"""How long to wait for a hub: never for minutes, and never silently."""

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
WAITS = (1.0, 2.0, 4.0)  # seconds before each new attempt; they start over when some bytes came
LONGEST_WAIT = 60.0  # seconds that a hub may ask for before tv gives up
TRANSIENT = (408, 429, 500, 502, 503, 504)


def with_retries(request: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
    """The request's result; tried again, with a warning and a pause, where that may help.

    `progress` counts what has come so far. A host that cannot be reached at all is not tried again: nobody
    wants to wait for a network that is off.
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
