"""The log of a local disk, as bytes: read, and written again with one record changed.

A disk that rots changes bytes, and checksums tell. Damage that they do not tell (a bug, a write of
somebody else) is in a record that reads as whole: here such logs are made.
"""

import struct
import zlib
from dataclasses import dataclass

LOG_MAGIC = b"taquba log 2\n"
_HEAD = struct.Struct("<II")
_STEP_BYTES = 256 * 1024
_FRAME_BYTES = 17
_ROWS = 1
_PUT, _CREATED, _EXPIRES, _SAME = 1, 4, 8, 16


@dataclass
class Row:
    """One row of a record. `prefix` is what comes before its key and value."""

    prefix: bytes
    key: bytes
    value: bytes

    @property
    def is_put(self) -> bool:
        """Whether it sets its key."""
        return bool(self.prefix[0] & _PUT)


@dataclass
class Record:
    """One record: rows, or the end of the segment."""

    number: int
    kind: int
    rows: list[Row]


@dataclass
class Segment:
    """All of a segment."""

    header: bytes
    salt: int
    records: list[Record]

    @classmethod
    def read(cls, content: bytes) -> "Segment":
        """Read a segment that is whole."""
        assert content.startswith(LOG_MAGIC)
        length, _ = _HEAD.unpack_from(content, len(LOG_MAGIC))
        start = len(LOG_MAGIC) + _HEAD.size
        epoch_end = _after_varint(content, start)
        salt_start = _after_varint(content, epoch_end)
        salt = _varint(content, salt_start)
        at = start + length
        records: list[Record] = []
        while True:
            size, crc = _HEAD.unpack_from(content, at)
            rest = content[at + _HEAD.size : at + _FRAME_BYTES + size]
            if not any(content[at : at + _FRAME_BYTES]):
                return cls(content[: start + length], salt, records)
            assert zlib.crc32(content[at : at + 4] + rest, salt) == crc, "the log reads"
            number = int.from_bytes(rest[:8], "little") ^ (salt << 32 | salt)
            body = rest[9:] if rest[8] == _ROWS else b""
            records.append(Record(number, rest[8], _rows(body)))
            at += _FRAME_BYTES + size

    def write(self) -> bytes:
        """Return the bytes of a segment with these records: each reads as whole."""
        frames = [self.header]
        for record in self.records:
            body = b"".join(map(_row_bytes, record.rows))
            mixed = record.number ^ (self.salt << 32 | self.salt)
            length = len(body).to_bytes(4, "little")
            rest = mixed.to_bytes(8, "little") + bytes([record.kind]) + body
            frames += [length, zlib.crc32(length + rest, self.salt).to_bytes(4, "little"), rest]
        used = b"".join(frames)
        return used.ljust(-(-(len(used) + _FRAME_BYTES) // _STEP_BYTES) * _STEP_BYTES, b"\0")

    def newest(self) -> dict[bytes, Row]:
        """Return the last row of each key that is set."""
        rows: dict[bytes, Row] = {}
        for record in self.records:
            for row in record.rows:
                rows.pop(row.key, None)
                if row.is_put:
                    rows[row.key] = row
        return rows


def last_record(content: bytes) -> int:
    """Return where the last record of a segment begins."""
    length, _ = _HEAD.unpack_from(content, len(LOG_MAGIC))
    last = at = len(LOG_MAGIC) + _HEAD.size + int(length)
    while any(content[at : at + _FRAME_BYTES]):
        size, _ = _HEAD.unpack_from(content, at)
        last, at = at, at + _FRAME_BYTES + int(size)
    return last


def _rows(body: bytes) -> list[Row]:
    rows, at = [], 0
    while at < len(body):
        flags, start = body[at], at
        at += 1
        if not flags & _SAME:
            at += 8 + 8 * bool(flags & _CREATED) + 8 * bool(flags & _EXPIRES)
        key_bytes, value_bytes = _HEAD.unpack_from(body, at)
        prefix = body[start:at]
        at += _HEAD.size
        key, value = body[at : at + key_bytes], body[at + key_bytes : at + key_bytes + value_bytes]
        at += key_bytes + value_bytes
        rows.append(Row(prefix, key, value))
    return rows


def _row_bytes(row: Row) -> bytes:
    return row.prefix + _HEAD.pack(len(row.key), len(row.value)) + row.key + row.value


def _after_varint(content: bytes, at: int) -> int:
    while content[at] & 0x80:
        at += 1
    return at + 1


def _varint(content: bytes, at: int) -> int:
    digits = content[at : _after_varint(content, at)]
    return sum((digit & 0x7F) << 7 * place for place, digit in enumerate(digits))
