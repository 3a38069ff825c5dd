"""The wire format of protocol buffers, as far as a trace needs it: a field is its key, then its value.

Source: "Protocol Buffers: Encoding" (protobuf.dev) for varints and lengths.
"""

import struct

VARINT, FIXED_64, BYTES = 0, 1, 2
"""Wire types."""
MOST_64 = (1 << 64) - 1


def _varint(value: int) -> bytes:
    value &= MOST_64
    parts = bytearray()
    while value > 0x7F:
        parts.append((value & 0x7F) | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _key(field: int, wire: int) -> bytes:
    return _varint((field << 3) | wire)


def number_field(field: int, value: int) -> bytes:
    """A whole number, those below 0 as their complement of 64 bits."""
    return _key(field, VARINT) + _varint(value)


def fixed_field(field: int, value: int) -> bytes:
    """A whole number from 0 on in eight bytes."""
    return _key(field, FIXED_64) + struct.pack("<Q", value)


def double_field(field: int, value: float) -> bytes:
    """A float64."""
    return _key(field, FIXED_64) + struct.pack("<d", value)


def bytes_field(field: int, value: bytes) -> bytes:
    """Bytes, or a message within the message."""
    return _key(field, BYTES) + _varint(len(value)) + value


def text_field(field: int, value: str) -> bytes:
    """Text in UTF-8; what UTF-8 cannot say is spelt out."""
    return bytes_field(field, value.encode(errors="backslashreplace"))
