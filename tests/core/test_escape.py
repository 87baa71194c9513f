"""Words of strangers in a terminal, in JSON and in Markdown."""

import json
import random

import pytest
from markdown_it import MarkdownIt

from i2i.core import escape

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- ",
    "<details>",
    "&lt;b&gt; &#60;b&#62;",
    "</td></tr>",
    "[x](http://evil.example)",
    "![x](http://evil.example/x.png)",
    "![x][y]",
    "[y]: http://evil.example",
    "<http://evil.example>",
    "http://evil.example",
    "www.evil.example",
    "x@evil.example",
    "@somebody",
    "# title",
    "- item",
    "1. item",
    "2) item",
    "+ item",
    "> quote",
    "---",
    "===",
    "***",
    "```",
    "~~~",
    "`code`",
    "a | b | c",
    "|---|",
    "**bold** _em_ ~~gone~~",
    "$$x$$",
    "\\",
    "\\\\<b>",
    "a\n\n<b>\n\n# b",
    "\t<b>",
    "    code",
    "::: warning",
    ":---",
    "^[note]",
    "[^1]",
    "{{ x }}",
    "{% x %}",
    "!",
    "&#x3c;script&#x3e;",
]
MARKS = ("strong_open", "em_open", "s_open", "code_inline", "link_open", "image", "html_inline", "html_block", "fence")
BLOCKS = ("heading_open", "bullet_list_open", "ordered_list_open", "blockquote_open", "hr", "code_block", "table_open")


def tokens(text):
    """All tokens of a Markdown text with HTML, tables and struck words."""
    found = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    return [t for token in found for t in (token, *(token.children or ()))]


def shown(text):
    """The words that a reader sees."""
    return "".join(t.content for t in tokens(text) if t.type == "text" or t.type == "text_special")


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_a_text_and_does_nothing(text):
    line = escape.markdown(text)
    assert "\n" not in line
    assert [t.type for t in tokens(line) if t.type in (*MARKS, *BLOCKS)] == []
    assert shown(line) == " ".join(text.split())
    for mark in ("<", ">", "://", "www.", "@"):
        assert mark not in line
    row = tokens(f"| a | b |\n|---|---|\n| x | {line} |\n")
    assert [t.type for t in row if t.type in (*MARKS, *BLOCKS)] == ["table_open"]
    assert sum(t.type == "td_open" for t in row) == 2


def test_random_texts_in_markdown():
    draw = random.Random(0)
    letters = "<>[]()!`*_~#|\\&;:/@.-+=$^ \n\ta1\u202e\x1b"
    for _ in range(1000):
        text = "".join(draw.choices(letters, k=draw.randrange(1, 30)))
        line = escape.markdown(text)
        assert [t.type for t in tokens(line) if t.type in (*MARKS, *BLOCKS)] == [], text
        assert shown(line) == escape.printable(" ".join(text.split())), text


def test_long_and_plain_words():
    assert escape.markdown("pix2pix trained on earth, 256 px") == "pix2pix trained on earth, 256 px"
    assert escape.markdown("x" * 500) == "x" * 200 + "..."
    assert escape.markdown("<" * 500, most=3) == "&lt;&lt;&lt;..."
    assert escape.markdown(5) == "5"
    assert escape.markdown("") == ""


@pytest.mark.parametrize("text", ["a: 1", "```\n# out\n```", "````\n", "`" * 50, "~~~\n<b>", "a\x1b[2Jb", ""])
def test_a_fence_holds_whatever_is_in_it(text):
    found = tokens("\n".join([*escape.fenced(text, "yaml"), "", "after"]))
    assert [t.type for t in found if t.type in (*MARKS, *BLOCKS)] == ["fence"]
    assert found[0].content == escape.printable(text, keep="\n").rstrip() + "\n"
    assert found[-2].content == "after"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 日本 😀", "plain é 日本 😀"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\nb\tc\rd\x07\x00\x7f\x9b", "a\\nb\\tc\\rd\\x07\\x00\\x7f\\x9b"),
        ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
        ("\u2066a\u2069\u200e\u061c\u2028", "\\u2066a\\u2069\\u200e\\u061c\\u2028"),
        ("família\u200d👩\u200d👧", "família\u200d👩\u200d👧"),  # joiners of scripts and emoji stay
        ("\udcff", "?"),
    ],
)
def test_terminals(text, expected):
    assert escape.printable(text) == expected
    value = {"a": [text]}
    if "\udcff" not in text:
        out = escape.json_printable(json.dumps(value, ensure_ascii=False))
        assert json.loads(out) == value
        assert escape.printable(out) == out


def test_what_stays():
    assert escape.printable("a\n\x1b", keep="\n") == "a\n\\x1b"
