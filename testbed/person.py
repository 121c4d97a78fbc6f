"""Somebody who uses Superset's pages without a browser: follows addresses, and sends forms."""

import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Person:
    """Somebody with a browser of their own: pages, and forms with the token of the newest page."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self._token = ""
        self.headers: dict[str, str] = {}

    def get(self, path: str) -> tuple[int, str]:
        return self._ask(urllib.request.Request(self._url + path))

    def post(self, path: str, *, token: bool = True, **fields: str | list[str]) -> tuple[int, str]:
        sent = fields | ({"csrf_token": self._token} if token else {})
        return self._ask(urllib.request.Request(self._url + path, urllib.parse.urlencode(sent, doseq=True).encode()))

    def _ask(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with self._opener.open(request) as answer:
                status, page, self.headers = answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            status, page, self.headers = error.code, error.read().decode(), dict(error.headers)
        if found := TOKEN.search(page):
            self._token = found.group(1)
        return status, page
