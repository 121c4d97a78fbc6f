"""Lines of code: neither blank, nor a comment, nor a docstring."""

import ast
import io
import tokenize
from collections.abc import Iterable
from pathlib import Path

_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}


def code_lines(paths: Iterable[Path]) -> int:
    """Lines of code in Python files together."""
    return sum(code_lines_of(path.read_text()) for path in paths)


def code_lines_of(text: str) -> int:
    """Lines of code in a Python file's text. Raises SyntaxError."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    with_code = {
        line for token in tokens if token.type not in _NO_CODE for line in range(token.start[0], token.end[0] + 1)
    }
    return len(with_code - _docstring_lines(ast.parse(text)))


def _docstring_lines(tree: ast.AST) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and ast.get_docstring(node) is not None:
                lines |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines
