"""What a syntax error of YAML means to whoever made it: the reader's own words seldom say."""

from __future__ import annotations

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.tokens import ScalarToken

from phenoloop.errors import Problem
from phenoloop.protocol.yaml_source import Source


def syntax_problem(source: Source, error: MarkedYAMLError) -> Problem:
    """Return what is wrong where the reader gave up, in the words of the file's author."""
    mark = error.problem_mark or error.context_mark
    line = min(mark.line + 1, max(len(source.lines), 1)) if mark else None
    column = mark.column + 1 if mark else None
    said = str(error.problem or error)
    context = str(error.context or "")
    if "\\t" in said:
        said = "a tab; YAML is indented by spaces"
    elif "quoted scalar" in context:
        start = error.context_mark
        line, column = (start.line + 1, start.column + 1) if start else (line, column)
        said = "a quote is opened here and never closed"
    elif "mapping values are not allowed" in said:
        said = "a second ':' in one value; put the value in quotes, or begin a new line"
    elif "flow mapping" in context and "expected ',' or '}'" in said:
        said += "; inside { } put text that holds , [ ] { } or ': ' in quotes"
    elif "flow" in context and error.context_mark is not None and ("<" in said or "':'" in said):
        start = error.context_mark
        line, column = start.line + 1, start.column + 1
        said = "a bracket is opened here and not closed, or holds text that needs quotes"
    elif "<block end>" in said and mark is not None and (closed := _closed_before(source, mark.line, mark.column)):
        said = f"the value has ended with {closed} already; put the whole of it in quotes"
    elif "<block end>" in said:
        said = "this line is not indented like the lines it belongs to"
    elif "another document" in said:
        said = "a second document begins here; a file holds one"
    elif "cannot start any token" in said:
        said += "; put the value in quotes"
    return source.at(said, line, column)


def _closed_before(source: Source, line: int, column: int) -> str:
    """Return the bracket or quote after which, in the same line, the reader gave up; nothing where there is none."""
    before = source.lines[line][:column].rstrip() if line < len(source.lines) else ""
    return before[-1:] if before[-1:] in ("}", "]", "'", '"') else ""


def open_quote(source: Source, text: str) -> Problem | None:
    """Return the problem of a quote that swallowed the lines after it, found from the tokens before the error."""
    try:
        for token in YAML(typ="safe", pure=True).scan(text):
            if (
                isinstance(token, ScalarToken)
                and token.style in ("'", '"')
                and token.start_mark.line != token.end_mark.line
            ):
                start = token.start_mark
                said = f"the quote that is opened here is not closed before line {token.end_mark.line + 1}"
                return source.at(said, start.line + 1, start.column + 1)
    except MarkedYAMLError:
        return None  # the scanner stops where the reader did
    return None
