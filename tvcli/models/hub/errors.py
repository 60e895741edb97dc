"""Errors of the hub, the network, the token and the disk, each as one sentence without the token."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import constants, errors, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import logging as hub_logging
from huggingface_hub.utils import parse_ratelimit_headers

from tvcli.errors import UnavailableError, reason

LOG_IN = "set HF_TOKEN or run: hf auth login"


@contextmanager
def hub_errors(repository: str, revision: str) -> Iterator[None]:
    """Turns what huggingface_hub and its HTTP client raise into UnavailableError, and silences the logs of both."""
    _quieten()
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise UnavailableError(
            f"{repository} is not on this machine, and HF_HUB_OFFLINE forbids fetching it; unset it"
        ) from error
    except HfHubHTTPError as error:
        raise UnavailableError(_refusal(error, repository, revision)) from error
    except (httpx2.LocalProtocolError, httpx2.InvalidURL, UnicodeError):
        # not chained: these quote the invalid header, which may contain the token
        raise UnavailableError(
            "no request to the hub is possible: HF_TOKEN or HF_ENDPOINT has non-ASCII or control characters"
        ) from None
    except httpx2.HTTPError as error:
        raise UnavailableError(f"{repository} cannot be fetched: {words(error)}") from error
    except OSError as error:
        raise UnavailableError(f"{repository} cannot be written to the cache: {reason(error)}") from error


def _quieten() -> None:
    """Nothing but tv's own output on stderr, and no telemetry requests."""
    hub_logging.set_verbosity(logging.CRITICAL)
    constants.HF_HUB_DISABLE_TELEMETRY = True


def _refusal(error: HfHubHTTPError, repository: str, revision: str) -> str:
    """An error message for the hub's answer."""
    code = error.response.status_code
    if isinstance(error, errors.GatedRepoError):
        then = "your token's account has no access yet" if _has_token() else f"then {LOG_IN}"
        return f"{repository} is gated: accept its terms at {host()}/{repository}; {then}"
    if isinstance(error, errors.DisabledRepoError):
        return f"{repository} has been disabled on {host()}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no revision {revision}"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{repository} does not have a file that it lists; try again"
    if code == 401 and _has_token():
        return f"{host()} refuses the token (401); create a new one, then {LOG_IN}"
    if code in (401, 404):
        return f"there is no repository {repository} on {host()}, or it is private; check the name, or {LOG_IN}"
    if code == 403:
        return f"access to {repository} is forbidden (403): the token has no permission to read it"
    if code == 429:
        return f"{host()} received too many requests (429){_when(error)}; try again later, or {LOG_IN}"
    return f"{repository} cannot be fetched: {words(error)}"


def _when(error: HfHubHTTPError) -> str:
    wait = asked_wait(error.response)
    return f" and asks to wait {wait:.0f} s" if wait else ""


def asked_wait(response: httpx2.Response) -> float:
    """The seconds that the hub asks to wait, in ``Retry-After`` or its own ``RateLimit`` header."""
    limit = parse_ratelimit_headers(response.headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    after = response.headers.get("Retry-After", "")
    return float(after) if after.isdigit() else 0.0


def _has_token() -> bool:
    return get_token() is not None


def words(error: Exception) -> str:
    """A short reason, without text from the server."""
    if isinstance(error, HfHubHTTPError):
        return f"{host()} answered {error.response.status_code}"
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol, httpx2.ProxyError)):
        return f"{host()} cannot be reached"
    if isinstance(error, httpx2.TimeoutException):
        return f"{host()} does not answer"
    return f"the connection to {host()} was lost"


def host() -> str:
    """The hub's address, without the password that HF_ENDPOINT may contain."""
    scheme, _, rest = constants.ENDPOINT.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest
