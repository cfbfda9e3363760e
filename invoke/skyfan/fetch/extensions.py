"""Some HDUs of a file: the primary header, and the chosen HDUs byte by byte."""

import re
from dataclasses import dataclass

from skyfan_contract.hdus import Hdu

from ..errors import InputError, UsageError
from . import headers
from .content import Content
from .recipe import Copy, Recipe
from .source import Reader, Version

_NAME = re.compile(r"[A-Za-z0-9_+\-]+")


@dataclass(frozen=True)
class Extensions:
    """HDUs by EXTNAME, and EXTVER if it is not None."""

    chosen: tuple[tuple[str, int | None], ...]

    @classmethod
    def parse(cls, text: str) -> "Extensions":
        """Of "SCI,DQ" all SCI and all DQ; of "SCI,1,DQ" the first SCI. Raises UsageError."""
        found: list[tuple[str, int | None]] = []
        for word in (part.strip() for part in text.split(",")):
            if word.isdecimal() and found:
                if found[-1][1] is None:
                    found[-1] = found[-1][0], int(word)
                else:
                    found.append((found[-1][0], int(word)))
            elif _NAME.fullmatch(word) and not word.isdecimal():
                found.append((word.upper(), None))
            else:
                raise UsageError(
                    f"--extensions {text!r}: give names, such as SCI,DQ; an EXTVER may follow its name: SCI,1"
                )
        return cls(tuple(found))

    @property
    def word(self) -> str:
        """SCI-DQ, SCI1."""
        return "-".join(f"{name}{'' if version is None else version}" for name, version in self.chosen)

    @property
    def text(self) -> str:
        """As in the option."""
        words = (f"{name}{'' if version is None else f',{version}'}" for name, version in self.chosen)
        return f"extensions {','.join(words)}"

    def select(self, content: Content) -> list[Hdu]:
        """The chosen HDUs of a file. Raises InputError if one that was named is missing."""
        found: list[Hdu] = []
        for name, version in self.chosen:
            fits = [hdu for hdu in content.hdus if hdu.name == name and version in (None, hdu.version)]
            if not fits:
                wanted = name if version is None else f"{name} {version}"
                raise InputError(f"{content.uri} has no {wanted}, but {headers.labels(content.hdus)}")
            found += fits
        return [hdu for hdu in content.hdus if hdu in found]

    async def recipe(self, reader: Reader, uri: str, version: Version) -> tuple[Recipe, tuple[str, ...]]:
        """The primary header and the chosen HDUs, with the lookup tables that their WCS needs."""
        content = await Content.of(reader, uri, version)
        primary, *others = content.hdus
        chosen = self.select(content)
        needed = {
            (name, number)
            for hdu in chosen
            for _, name, number in headers.tables_of(headers.parse(hdu.header))
        }
        tables = [hdu for hdu in others if (hdu.name, hdu.version) in needed and hdu not in chosen]
        kept = [hdu for hdu in others if hdu in chosen or hdu in tables]
        left_out = [hdu for hdu in others if hdu not in kept]
        header = headers.parse(primary.header)
        texts = [headers.origin(uri, version.etag), f"kept: {headers.labels([primary, *kept])}"]
        has_data = primary in chosen
        if not has_data:
            if primary.end > primary.data:
                texts.append("left out: the data of the primary HDU")
            headers.without_data(header)
        if left_out:
            texts.append(f"left out: {headers.labels(left_out)}")
        headers.drop_sums(header, data=False)
        if "NEXTEND" in header:
            header["NEXTEND"] = len(kept)
        headers.say(header, texts)
        parts: list[bytes | Copy] = [headers.to_bytes(header)]
        if has_data:
            parts.append(content.part(Copy(primary.data, primary.end - primary.data)))
        parts += [content.part(Copy(hdu.start, hdu.end - hdu.start)) for hdu in kept]
        notes = list(content.notes)
        if tables:
            notes.append(f"with {headers.labels(tables)}, which the WCS needs")
        return Recipe(tuple(parts)), tuple(notes)
