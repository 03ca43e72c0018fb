# SPDX-License-Identifier: Apache-2.0
"""The file list as existing retailer clients read it, with its variants per operator from `file_list.toml`."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from importlib import resources

from gateway.release_index import Stored


@dataclass(frozen=True, slots=True)
class Variant:
    """Paths, methods and charset of one operator's doors."""

    name: str
    methods: tuple[str, ...]
    list: str
    receive: str
    charset: str


def variants() -> tuple[Variant, ...]:
    """All variants of the data file."""
    data = tomllib.loads((resources.files("gateway") / "file_list.toml").read_text(encoding="utf-8"))
    return tuple(
        Variant(each["name"], tuple(each["methods"]), each["list"], each["receive"], each["charset"])
        for each in data["variant"]
    )


def charset_of(name: str) -> str:
    """Charset of a variant; UTF-8 for one that is not there."""
    return next((each.charset for each in variants() if each.name == name), "utf-8")


def list_page(files: Iterable[Stored], charset: str) -> bytes:
    """HTML page with the entries inside a comment, numbered from 1 without gaps.

    `rfilename1:"NAME",rfilesize1:"BYTES",rfilename2:…`
    """
    entries = ",".join(
        f'rfilename{number}:"{each.object.name}",rfilesize{number}:"{each.bytes}"'
        for number, each in enumerate(files, 1)
    )
    page = f'<!DOCTYPE html>\n<html><head><meta charset="{escape(charset)}"><title>FileList</title></head>\n'
    return f"{page}<body><!-- {entries} --></body></html>\n".encode(charset)
