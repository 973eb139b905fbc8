#!/usr/bin/env python3
"""Reads journals by docs/journal.md alone: what it prints is compared with what JournalReader says.

    journal_reader.py FILE...

For each file a line "file", a line for each record of the commits that count, and a last one: how
many bytes count, the number of the last commit, and where reading stopped; or a line "error".
"""
import json
import struct
import sys


def table():
    entries = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        entries.append(i)
    return entries


TABLE = table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


class Wrong(Exception):
    """The file is no journal, or a frame with right checksums does not say what it should."""


class Payload:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def bytes(self, count):
        if count > len(self.data) - self.at:
            raise Wrong("too short")
        self.at += count
        return self.data[self.at - count:self.at]

    def numbers(self, form):
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))

    def text(self):
        return self.bytes(self.numbers("Q")[0])

    def done(self):
        if self.at != len(self.data):
            raise Wrong("too long")


BEGIN, CHUNKS, ROWS, TEXT, BOOKS, EVENT, LOG, END, COMMIT = range(1, 10)
SIZES = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8,
         "uint64": 8, "float32": 4, "float64": 8}


def hexed(data):
    return "'" + data.hex()


def spaced(*items):
    return " ".join(str(item) for item in items)


class Journal:
    def __init__(self, data):
        self.data = data
        if len(data) < 32 or data[:8] != b"\x89SPW\r\n\x1a\n":
            raise Wrong("no journal")
        if crc32c(data[:28]) != struct.unpack_from("<I", data, 28)[0]:
            raise Wrong("file header")
        major, self.minor = struct.unpack_from("<HH", data, 8)
        if major != 1 or self.minor != 0:
            raise Wrong("version")
        self.id = data[12:28]
        self.columns = []  # of each stream, the bytes of a row
        self.channels = []

    def frame(self, at, number):
        """(type, payload, end) of the frame at `at`, or None."""
        head = self.data[at:at + 32]
        if len(head) < 32:
            return None
        magic, kind, _, sequence, length, crc, head_crc = struct.unpack("<IHHQQII", head)
        if magic != 0x4D524657 or head_crc != crc32c(self.id + head[:28]) or sequence != number:
            return None
        end = at + 32 + (length + 7) // 8 * 8
        if end > len(self.data) or crc != crc32c(self.id + self.data[at + 32:end]):
            return None
        return kind, self.data[at + 32:at + 32 + length], end

    def scan(self):
        """The frames up to the last commit, its end and number, and where reading stopped."""
        at, number, commit, good, counting = 32, 0, 0, 0, 0
        frames = []
        while at < len(self.data):
            found = self.frame(at, number)
            if not found:
                break
            kind, payload, end = found
            if kind == COMMIT:
                told = struct.unpack("<Q", payload)[0] if len(payload) == 8 else 0
                if told == 0 or (commit and told != commit + 1):
                    break
                commit, good = told, end
            frames.append((kind, payload))
            if kind == COMMIT:
                counting = len(frames)
            at, number = end, number + 1
        if not commit:
            raise Wrong("no commit")
        return frames[:counting], commit, good, at

    def lines(self, kind, payload, first):
        if (kind == BEGIN) != first:
            raise Wrong("begin")
        p = Payload(payload)
        if kind == BEGIN:
            yield self.begin(p)
        elif kind == CHUNKS:
            while p.at < len(payload):
                *numbers, flags = p.numbers("IIQIIQIII")
                if numbers[1] >= len(self.columns[numbers[0]]) or flags > 1:
                    raise Wrong("chunk")
                yield spaced("chunk", *numbers, flags)
        elif kind == ROWS:
            yield self.rows(p)
        elif kind == TEXT:
            yield spaced("text", *p.numbers("QQQI"))
        elif kind == BOOKS:
            yield self.books(p)
        elif kind == EVENT:
            numbers = p.numbers("qQQ")
            yield spaced("event", *numbers, hexed(p.text()), hexed(p.text()), hexed(p.text()))
        elif kind == LOG:
            yield spaced("log", hexed(p.text()))
        elif kind == END:
            yield spaced("end", p.numbers("I")[0], hexed(p.text()), hexed(p.text()))
        elif kind == COMMIT:
            p.numbers("Q")
        else:
            raise Wrong("type")
        p.done()

    def begin(self, p):
        fields = {}
        for _ in range(p.numbers("Q")[0]):
            key = p.text()
            fields[key.decode()] = p.text()
        for stream in json.loads(fields["streams"]):
            columns = []
            for channel in stream["channels"]:
                columns += [SIZES[channel["type"]], 1]
            self.columns.append(columns + ([] if "rate" in stream else [8]))
            self.channels.append(len(stream["channels"]))
        order = ("format", "file", "path", "durability", "title", "start_time", "configuration",
                 "provenance", "streams", "chunk_rows", "state")
        return spaced("begin", *(hexed(fields[key]) for key in order))

    def rows(self, p):
        stream, rows, first, columns = p.numbers("IIQI")
        forms = p.bytes(columns)
        if [form & 0x7F for form in forms] != self.columns[stream]:
            raise Wrong("columns")
        unpacked = b""
        for form in forms:
            width = form & 0x7F
            unpacked += p.bytes(width) * rows if form & 0x80 else p.bytes(width * rows)
        return spaced("rows", stream, first, rows, hexed(unpacked))

    def books(self, p):
        stream, flags = p.numbers("II")
        counts = p.numbers("QQQQ")
        finished, gaps, anchors, calibrations = p.numbers("QQQQ")
        line = spaced("books", stream, flags >> 1, *counts, "open")
        segment = lambda: " (" + spaced(*p.numbers("QQQqQq")) + ")"
        if flags & 1:
            line += segment()
        line += " finished"
        for _ in range(finished):
            line += segment()
        for _ in range(gaps):
            line += " [" + spaced(*p.numbers("QQQQI")) + "]"
        for _ in range(anchors):
            line += " <" + spaced(*p.numbers("QqQ")) + ">"
        for _ in range(calibrations):
            sample, text = p.numbers("Q")[0], p.text()
            if len(json.loads(text)) != self.channels[stream]:
                raise Wrong("calibrations")
            line += " {" + spaced(sample, hexed(text)) + "}"
        return line


def read(data):
    journal = Journal(data)
    frames, commit, good, stopped = journal.scan()
    for index, (kind, payload) in enumerate(frames):
        yield from journal.lines(kind, payload, index == 0)
    yield spaced(good, "bytes", commit, "commits", stopped, "of", len(data))


for path in sys.argv[1:]:
    print("file")
    with open(path, "rb") as file:
        content = file.read()
    try:
        for line_read in read(content):
            print(line_read)
    except (Wrong, IndexError, KeyError):
        print("error")
