"""Freezes in rule files: times in which nothing is changed, known beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from remediator.model.freeze import Freeze
from remediator.rulebook.document import Document
from remediator.rulebook.faults import Fault
from remediator.rulebook.parse import Entry, parse_entry
from remediator.rulebook.shapes import Duration, Name, Shape

LIST = "freezes"
LONGEST = timedelta(days=366)


def _cron(text: str) -> str:
    try:
        CronSim(text, datetime(2026, 1, 1))  # noqa: DTZ001 - only to see whether it can be read
    except CronSimError as error:
        raise ValueError(
            f"{text[:60]!r} is no cron expression ({error}); write minute, hour, day, month and weekday: '0 22 * * FRI'"
        ) from error
    return text


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{text[:60]!r} is no time zone; write its IANA name, like 'Europe/Berlin'") from error
    return text


def _moment(raw: object) -> datetime:
    if isinstance(raw, str):
        return _read(raw)
    raise ValueError("a moment is a text; put it in quotes, like '2026-12-24T00:00:00+01:00'")


def _read(text: str) -> datetime:
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise ValueError(f"{text[:60]!r} is no moment; write it like '2026-12-24T00:00:00+01:00'") from error
    if moment.tzinfo is None:
        raise ValueError(f"{text[:60]!r} has no time zone; end it with Z or an offset, like '+01:00'")
    return moment


_MOMENT_SCHEMA = {"type": "string", "format": "date-time", "examples": ["2026-12-24T00:00:00+01:00"]}
Moment = Annotated[datetime, PlainValidator(_moment), WithJsonSchema(_MOMENT_SCHEMA)]


class FreezeShape(Shape, title="Freeze"):
    """A time in which nothing is changed: again and again (cron and length), or once (begins and ends)."""

    name: Name = Field(description="The freeze's name: in the log and in the ledger. Unique over all files.")
    reason: str = Field(default="", max_length=500, description="Why; whoever is told of a hold reads it.")
    cron: Annotated[str, AfterValidator(_cron)] | None = Field(
        default=None, description="When it begins, again and again: minute, hour, day, month, weekday ('0 22 * * FRI')."
    )
    length: Duration | None = Field(default=None, description="How long each one lasts.")
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        default="UTC", description="In which the cron expression is read: an IANA name ('Europe/Berlin')."
    )
    begins: Moment | None = Field(default=None, description="When it begins, if it comes once.")
    ends: Moment | None = Field(default=None, description="When it is over: the first moment after it.")
    namespaces: list[Name] | None = Field(
        default=None, min_length=1, max_length=64, description="Where nothing is changed; everywhere if left out."
    )


def freezes_of(document: Document, raws: list[Any]) -> tuple[list[tuple[Entry[FreezeShape], Freeze]], list[Fault]]:
    """Return the freezes of a file, and what is wrong with them."""
    built: list[tuple[Entry[FreezeShape], Freeze]] = []
    faults: list[Fault] = []
    for number, raw in enumerate(raws):
        entry = parse_entry(document, (LIST, number), raw, FreezeShape)
        found = [*entry.faults, *_between_fields(entry.shape, entry)] if entry.shape else list(entry.faults)
        faults += found
        if entry.shape is not None and not found:
            built.append((entry, _freeze(entry, entry.shape)))
    return built, faults


def _between_fields(shape: FreezeShape, entry: Entry[FreezeShape]) -> Iterator[Fault]:
    """Find contradictions between fields."""
    again = [value is not None for value in (shape.cron, shape.length)]
    once = [value is not None for value in (shape.begins, shape.ends)]
    if not (all(again) and not any(once)) and not (all(once) and not any(again)):
        yield entry.fault("a freeze has 'cron' and 'length', or 'begins' and 'ends'; write one of the two pairs")
    elif shape.length == 0:
        yield entry.fault("a freeze of no length freezes nothing; write a time like '8h'", "length")
    elif shape.begins is not None and shape.ends is not None:
        if shape.begins >= shape.ends:
            yield entry.fault("the freeze is over before it begins; make 'ends' the later one", "ends")
        elif shape.ends - shape.begins > LONGEST:
            advice = "to stop acting for good, write 'mode: observe' in the rules"
            yield entry.fault(f"the freeze lasts longer than a year; {advice}", "ends")


def _freeze(entry: Entry[FreezeShape], shape: FreezeShape) -> Freeze:
    place = entry.document.place(entry.path)
    return Freeze(
        name=shape.name,
        reason=shape.reason,
        cron=shape.cron or "",
        timezone=shape.timezone,
        length_s=shape.length or 0,
        begins=shape.begins,
        ends=shape.ends,
        namespaces=tuple(shape.namespaces or ()),
        place=f"{place.file}:{place.line}",
    )
