"""Pages of the documentation, parsed as Markdown, and what stands in them: links, code, commands, lines, cells."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

MARKDOWN = MarkdownIt("commonmark").enable("table")
COMMAND = re.compile(r"(?<![\w/.-])(?:\./)?fraudctl (?=[a-z])")
MODULE = re.compile(r"python -m ([\w.]*\w)")
COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tokens(self) -> list[Token]:
        return MARKDOWN.parse(self.text)

    @property
    def inline(self) -> Iterator[Token]:
        """Links, images, code and text within lines."""
        return (child for token in self.tokens for child in token.children or ())

    @property
    def generated(self) -> bool:
        return "Written by `python -m" in " ".join(self.text[:1000].split())

    @property
    def links(self) -> list[str]:
        hrefs = [child.attrGet("href") or child.attrGet("src") for child in self.inline]
        return [str(href) for href in hrefs if href]

    @property
    def anchors(self) -> set[str]:
        """What GitHub makes of the headings."""
        found: list[str] = []
        for opening, content in zip(self.tokens, self.tokens[1:], strict=False):
            if opening.type == "heading_open":
                words = "".join(child.content for child in content.children or ())
                slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
                found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
        return set(found)

    @property
    def code(self) -> list[str]:
        """What is in backticks, and each block of code without its comments."""
        blocks = [COMMENT.sub("", token.content) for token in self.tokens if token.type == "fence"]
        return blocks + [child.content for child in self.inline if child.type == "code_inline"]

    @property
    def words(self) -> set[str]:
        """The words of all code, without the punctuation around them."""
        return {word.strip("\"'`,;:()") for code in self.code for word in code.split()}

    @property
    def commands(self) -> list[list[str]]:
        """The arguments of each `fraudctl …`."""
        return [_arguments(code[found.end() :]) for code in self.code for found in COMMAND.finditer(code)]

    @property
    def modules(self) -> list[tuple[str, list[str]]]:
        """The module of each `python -m …`, and its arguments."""
        found = ((code, match) for code in self.code for match in MODULE.finditer(code))
        return [(match[1], _arguments(code[match.end() :])) for code, match in found]

    @property
    def prose(self) -> Iterator[tuple[int, str]]:
        """The lines that are neither code nor a table's nor a comment, by number."""
        lines = self.text.splitlines()
        for token in self.tokens:
            if token.type in ("paragraph_open", "heading_open") and token.map:
                yield from ((number + 1, lines[number]) for number in range(*token.map))

    @property
    def cells(self) -> Iterator[str]:
        """The cells of the tables that people wrote."""
        generated = False
        for opening, content in zip(self.tokens, self.tokens[1:], strict=False):
            if opening.type == "html_block":
                generated = "written by `python -m" in opening.content
            elif opening.type in ("th_open", "td_open") and not generated:
                yield content.content


def _arguments(text: str) -> list[str]:
    """The arguments that a shell would hand to a command, up to the command's end."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();&|\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    arguments = []
    for word in lexer:
        if word[0] in "();&|\n":
            break
        arguments.append(word)
    return arguments
