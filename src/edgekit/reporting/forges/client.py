"""The REST API of a forge, as far as issues and comments need it.

The token comes from the environment, goes into one header of one host, and is in no message, log or repr.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement
from edgekit.reporting.forges.forge import GITHUB, Forge

if TYPE_CHECKING:
    import requests

Json = dict[str, Any]
Asked = Mapping[str, str | int] | None
MOST_CHARACTERS = 65_536
"""Of the body of an issue or a comment: GitHub refuses longer ones."""
PAGE = 100
_TIMEOUT_S = (10.0, 30.0)  # to connect, and between two parts of an answer
_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
_MINUTE_S = 60.0
_LIMITS = (HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
_HERE = ("127.0.0.1", "::1", "localhost")


class Token:
    """A token of the environment; only :attr:`header` shows it, and :meth:`hide` takes it out of texts."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    @classmethod
    def of_environment(cls, forge: Forge = GITHUB) -> Token:
        """The value of the forge's variable.

        Raises:
            MissingRequirement: it is not set, or empty.
        """
        found = os.environ.get(forge.token, "").strip()
        if not found:
            raise MissingRequirement(f"a token in {forge.token}", note=f"set it; {forge.may}")
        return cls(found)

    @property
    def header(self) -> str:
        """The value of ``Authorization``."""
        return f"Bearer {self._secret}"

    def hide(self, text: str) -> str:
        """The text without the token, whoever put it there."""
        return text.replace(self._secret, "***")

    def __repr__(self) -> str:
        return "Token(***)"


class Client:
    """Requests about one repository.

    A server's fault (5xx, no answer) is tried again after 1, 2, 4 and 8 seconds; a rate limit after as long as it
    asks for, up to ``patience_s`` in all.  ``pause`` and ``clock`` are seconds.

    Raises:
        InputError: ``repository`` is not called as one there; ``api`` would carry the token unencrypted; the server
            does not know what was asked for.
        MissingRequirement: requests is not installed, or the token may not do it.
        EnvironmentFault: the server cannot be reached, answers with errors only, or its limit lasts too long.
    """

    def __init__(
        self,
        repository: str,
        token: Token,
        api: str | None = None,
        *,
        forge: Forge = GITHUB,
        patience_s: float = 900.0,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not re.fullmatch(forge.named, repository):
            raise InputError(f"repository {repository!r}: expected {forge.example}")
        self.repository = repository
        self._forge = forge
        self._api = _checked(forge, api or os.environ.get(forge.api) or forge.public)
        self._token = token
        self._left_s = patience_s
        self._pause, self._clock = pause, clock
        self._session = _session(forge, token)

    def hide(self, text: str) -> str:
        """The text without the token, as everything that is sent."""
        return self._token.hide(text)

    def pages(self, path: str, **parameters: str | int) -> Iterator[Json]:
        """Every entry of a list, page by page; ``path`` is below the repository, such as ``issues``."""
        url: str | None = self._url(path)
        asked: Asked = {**parameters, "per_page": PAGE}
        while url is not None:
            answer = self._send("GET", url, asked)
            yield from answer.json()
            url, asked = answer.links.get("next", {}).get("url"), None
            if url is not None and urlsplit(url)[:2] != urlsplit(self._api)[:2]:
                raise EnvironmentFault(f"{self._api} names a next page on another host; the token does not go there")

    def get(self, path: str) -> Json:
        """One document of the repository."""
        found: Json = self._send("GET", self._url(path)).json()
        return found

    def whose(self) -> Json:
        """The user whose token it is; the token of a workflow of GitHub's has none."""
        found: Json = self._send("GET", f"{self._api}/user").json()
        return found

    def change(self, path: str, document: Json) -> Json:
        """PATCH or PUT, which may be repeated, and gives what is there now."""
        changed: Json = self._send(self._forge.update, self._url(path), document=document).json()
        return changed

    def create(self, path: str, document: Json, there: Callable[[], Json | None]) -> Json:
        """POST; where the answer is lost, ``there()`` looks for what may have been made before it is asked again."""
        for wait in (*_PAUSES_S, None):
            answer = self._once("POST", self._url(path), document=document)
            if not isinstance(answer, EnvironmentFault):
                made: Json = answer.json()
                return made
            if wait is None:
                raise answer
            self._pause(wait)
            if (found := there()) is not None:
                return found
        raise AssertionError

    def _url(self, path: str) -> str:
        name = quote(self.repository, safe=self._forge.safe)
        return f"{self._api}/{self._forge.project.format(name)}/{path}"

    def _send(self, method: str, url: str, asked: Asked = None, document: Json | None = None) -> requests.Response:
        """The answer to what may be asked twice."""
        for wait in (*_PAUSES_S, None):
            answer = self._once(method, url, asked, document)
            if not isinstance(answer, EnvironmentFault):
                return answer
            if wait is None:
                raise answer
            self._pause(wait)
        raise AssertionError

    def _once(
        self, method: str, url: str, asked: Asked = None, document: Json | None = None
    ) -> requests.Response | EnvironmentFault:
        """The answer, after the waits of rate limits; as a value what leaves open whether it was done."""
        import requests

        what, sent = f"{method} {urlsplit(url).path}", self._clean(document)
        for attempt in itertools.count():
            try:
                answer = self._session.request(
                    method, url, params=asked, json=sent, timeout=_TIMEOUT_S, allow_redirects=False
                )
            except requests.RequestException as error:
                # The library's own text holds addresses of objects and the whole URL; the kind says enough.
                return EnvironmentFault(f"{what}: {self._api} gave no answer: {_kind(error)}; check the network")
            if answer.ok and not answer.is_redirect:
                return answer
            if (wait := self._limit(answer, attempt)) is not None:
                self._wait(what, wait)
            elif answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise self._refused(what, answer)
            else:
                return EnvironmentFault(f"{what}: {self._api} answered {answer.status_code}; try again later")
        raise AssertionError

    def _limit(self, answer: requests.Response, attempt: int) -> float | None:
        """Seconds to wait for the rate limit, by the server's rules; None: this is no rate limit."""
        if answer.status_code not in (*_LIMITS, HTTPStatus.SERVICE_UNAVAILABLE):
            return None
        if after := answer.headers.get("Retry-After"):
            return max(0.0, _seconds(after, self._clock()))
        if answer.status_code not in _LIMITS:
            return None
        if answer.headers.get(self._forge.remaining) == "0":
            return max(0.0, float(answer.headers.get(self._forge.reset, 0)) - self._clock()) + 1
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS or "rate limit" in answer.text.lower():
            return _MINUTE_S * 2.0**attempt
        return None

    def _wait(self, what: str, seconds: float) -> None:
        self._left_s -= max(seconds, 1.0)  # a server that asks for no wait does not keep us for ever
        if self._left_s < 0:
            raise EnvironmentFault(
                f"{what}: {self._forge.name}'s rate limit asks to wait {seconds:.0f} s, longer than this run may; "
                "run it again then"
            )
        self._pause(seconds)

    def _refused(self, what: str, answer: requests.Response) -> InputError | MissingRequirement:
        said = self._token.hide(_message(answer))
        status = f"{what} was answered {answer.status_code} ({said})"
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            note = f"{status}; {self._forge.may}"
            return MissingRequirement("a token that may do this", note=note)
        if answer.is_redirect:
            return InputError(f"{status}; the repository {self.repository} has moved: name it as it is called now")
        return InputError(f"{status}; check the repository {self.repository}, and what the token may see of it")

    def _clean(self, document: Json | None) -> Json | None:
        if document is None:
            return None
        return {key: self._token.hide(value) if isinstance(value, str) else value for key, value in document.items()}


def fitted(text: str, end: str = "") -> str:
    """``text`` and ``end`` as a body that a forge takes: what is too long is cut, and says so."""
    cut = "\n\n… (cut: the report has the rest)"
    room = MOST_CHARACTERS - len(end)
    return (text if len(text) <= room else text[: room - len(cut)] + cut) + end


def _session(forge: Forge, token: Token) -> requests.Session:
    try:
        import requests
    except ImportError as error:
        raise MissingRequirement("the requests package", 'pip install "edgekit[github]"') from error

    def signed(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = token.header
        return request

    session = requests.Session()
    session.auth = signed  # in place of what ~/.netrc may hold
    session.headers.update({**forge.headers, "User-Agent": "edgekit"})
    return session


def _checked(forge: Forge, api: str) -> str:
    parts = urlsplit(api)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE):
        return api.rstrip("/")
    raise InputError(f"{forge.api} {api!r}: a token goes over https only; expected such as {forge.public}")


def _seconds(after: str, now: float) -> float:
    """Of ``Retry-After``: seconds or a date (RFC 9110, 10.2.3); of what is neither, the minute that GitHub advises."""
    if after.strip().isdigit():
        return float(after)
    try:
        return parsedate_to_datetime(after).timestamp() - now
    except ValueError:
        return _MINUTE_S


def _message(answer: requests.Response) -> str:
    """What the server says about it, on one line."""
    try:
        document = answer.json()
    except ValueError:
        return answer.reason or "no reason given"
    if not isinstance(document, dict):
        return answer.reason or "no reason given"
    errors = [
        str(one.get("message") or one) if isinstance(one, dict) else str(one) for one in document.get("errors", ())
    ]
    return ": ".join([str(document.get("message", "no reason given")), *errors])[:500]


def _kind(error: Exception) -> str:
    """``ConnectTimeout`` as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
