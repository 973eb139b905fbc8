"""What `spillway export` and `spillway replay` make of files that are not as they should be: taken
for what they are, or refused in one line that says why, and then nothing is written."""

import copy
import io
import json
import os
import struct
import unittest

import h5py
import numpy as np

from support import DATA, Case

GRAPH = "graph:\n  - {id: m, type: moving_average, input: t, window: 1}\n"
TABLE = "time [s],x [V]\n0,1\n0.5,2\n1,3\n1.5,4\n"
VALUES = np.arange(12.0).reshape(6, 2)


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def wav(data=struct.pack("<100h", *range(100)), format=1, channels=1, rate=8000, bits=16, length=None):
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", format, channels, rate, rate * frame, frame, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(data) if length is None else length) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


class Input(Case):
    def setUp(self):
        super().setUp()
        self.graph = self.write("graph.yaml", GRAPH)

    def put(self, name, content):
        path = self.out / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def both(self, path, *arguments):
        """The results of both commands."""
        exported = ["--input-rate" if a == "--rate" else a for a in arguments]
        yield self.run_spillway("export", path, "-o", self.out / "x.h5", *exported)
        yield self.run_spillway("replay", path, "--graph", self.graph, "-o", self.out / "y.h5", *arguments)

    def refused(self, name, content, *parts, options=()):
        path = self.put(name, content)
        before = sorted(os.listdir(self.out))
        for result in self.both(path, *options):
            with self.subTest(parts=parts, options=options):
                self.assert_one_line(result, name, *parts)
                self.assertEqual(result.stderr.count("\n"), 1)
                self.assertEqual(sorted(os.listdir(self.out)), before)

    def taken(self, name, content, values, *remarks, options=(), bad=(), flags=0):
        """`values` by channel; rows `bad` are missing, and `flags` of others."""
        path = self.put(name, content)
        for result, stream in zip(self.both(path, *options), ("t", "m")):
            with self.subTest(name=name, remarks=remarks, options=options, stream=stream):
                self.assertEqual(result.returncode, 0, result.stderr)
                for remark in remarks:
                    self.assertIn(remark, result.stderr)
                file = self.out / ("x.h5" if stream == "t" else "y.h5")
                self.run_spillway("verify", file, check=0)
                with h5py.File(file) as f:
                    for channel, expected in values.items():
                        np.testing.assert_array_equal(f[f"entry/{stream}/{channel}"][()], expected)
                        quality = f[f"entry/{stream}/{channel}_quality"][()]
                        self.assertEqual([row for row, q in enumerate(quality) if q & 3 == 3], list(bad))
                        if flags:
                            self.assertEqual(quality.tolist(), flags)
                file.unlink()

    def test_tables(self):
        one_to_four = {"x": [1, 2, 3, 4]}
        self.taken("t.csv", TABLE, one_to_four, "2 Hz")
        self.taken("t.csv", "\ufeff" + TABLE, one_to_four)
        self.taken("t.csv", TABLE.replace("\n", "\r\n"), one_to_four)
        self.taken("t.csv", TABLE.replace(".", ",").replace(",", ";", 1).replace("0,", "0;", 1).replace("5,2", "5;2").replace("1,3", "1;3").replace("5,4", "5;4"), one_to_four, "separated by ';', decimal ','")
        self.taken("t.csv", "time;x\n0;1,25\n0,5;-2\n1;3e2\n", {"x": [1.25, -2, 300]}, "decimal ','")
        self.taken("t.csv", "time\tx\n0\t1\n1\t2\n2\t3\n", {"x": [1, 2, 3]})
        self.taken("t.csv", TABLE.replace(",2\n", ",\n"), {"x": [1, np.nan, 3, 4]}, bad=[1])
        self.taken("t.csv", TABLE.replace(",2\n", ",NaN\n"), {"x": [1, np.nan, 3, 4]}, bad=[1])
        # A time that stands twice: the row is kept, and suspect for its time (2, 0x80).
        self.taken("t.csv", TABLE.replace("1,3", "0.5,3"), one_to_four, "first on line 4", flags=[0, 0, 0x82, 0])
        self.taken("t.csv", "time,x\n0,1\n1,2\n2", {"x": [1, 2]}, "line 4", "left out")
        self.taken("t.csv", "# made by hand\n" + TABLE + "\n\n", one_to_four)
        self.taken("t.csv", "1\n2\n3\n", {"ch0": [1, 2, 3]}, options=("--rate", 10))
        self.taken("t.csv", "0,1\n1,2\n2,3\n", {"ch0": [1, 2, 3]}, options=("--separator", ","))
        self.taken("t.csv", "time [ms],x\n0,1\n4,2\n8,3\n", {"x": [1, 2, 3]}, "250 Hz")
        self.taken("t.csv", "t,x\n0,1\n4,2\n8,3\n", {"x": [1, 2, 3]}, "250 Hz", options=("--time-unit", "ms"))

    def test_tables_that_are_none(self):
        self.refused("t.csv", "", "not a recording")
        self.refused("t.csv", "time,x\n", "line 1", "numbers")
        self.refused("t.csv", "hello\n", "neither a recording nor a table", "'hello'")
        self.refused("t.csv", TABLE.replace(",2\n", ",abc\n"), "line 3", "'abc'", "column 2")
        self.refused("t.csv", TABLE.replace(",2\n", ",2 V\n"), "line 3", "'2 V'")
        self.refused("t.csv", TABLE.replace(",2\n", ",2,9\n"), "line 3", "3 columns", "2")
        self.refused("t.csv", TABLE.replace("0.5,2\n", "\n"), "line 3", "empty")
        self.refused("t.csv", TABLE.replace("0.5,", "half,"), "line 3", "'half'")
        self.refused("t.csv", TABLE.replace("0.5,", ","), "line 3")
        self.refused("t.csv", TABLE.replace(",2\n", ",\0\n"), "not a recording")
        self.refused("t.csv", TABLE.encode("utf-16"), "not a recording")
        self.refused("t.csv", TABLE.replace("1.5", "1e30"), "line 5", "'1e30'")
        self.refused("t.csv", "0,1\n1,2\n2,3\n", "'0,1'", "--separator", "--decimal")
        self.refused("t.csv", "n,x\n5,1\n3,2\n9,1\n2,2\n", "line 3", "does not rise", "rate")
        self.refused("t.csv", TABLE, "leave it out", options=("--rate", 2))
        # Far behind the lines that are looked at first.
        late = "time,x\n" + "".join(f"{i},{i}\n" for i in range(20_000))
        self.refused("t.csv", late + "20000;1\n20001;2\n", "line 20002")
        self.refused("t.csv", late + "20000,1,5\n20001,2,5\n", "line 20002")

    def test_the_rate_that_is_missing_is_asked_for_by_its_option(self):
        for name, content in (("t.npy", npy(VALUES)), ("t.csv", "x\n1\n2\n3\n"), ("t.csv", "n,x\n5,1\n3,2\n9,1\n2,2\n")):
            path = self.put(name, content)
            exported, replayed = self.both(path)
            self.assert_one_line(exported, name, "--input-rate")
            self.assert_one_line(replayed, name, "--rate")
            self.assertNotIn("--input-rate", replayed.stderr)

    def test_numpy(self):
        rate = ("--rate", 10)
        columns = {"ch0": VALUES[:, 0], "ch1": VALUES[:, 1]}
        self.taken("t.npy", npy(VALUES), columns, options=rate)
        self.taken("t.npy", npy(np.asfortranarray(VALUES)), columns, options=rate)
        self.taken("t.npy", npy(VALUES.astype(">f8")), columns, options=rate)
        self.taken("t.npy", npy(VALUES.astype(">i2")), columns, options=rate)
        self.taken("t.npy", npy(VALUES[:, 0]), {"ch0": VALUES[:, 0]}, options=rate)
        holes = np.where(VALUES[:, :1] == 4, np.nan, VALUES[:, :1])
        self.taken("t.npy", npy(holes), {"ch0": holes[:, 0]}, bad=[2], options=rate)
        self.taken("t.npy", npy(VALUES[:0]), {"ch0": [], "ch1": []}, options=rate)
        self.taken("t.npy", npy(VALUES) + b"xyz", columns, "3 bytes behind", options=rate)
        self.taken("t.npy", npy(VALUES).replace(b"(6, 2)", b"(5, 2)"), {"ch1": VALUES[:5, 1]}, "16 bytes behind", options=rate)

    def test_numpy_files_that_are_none(self):
        whole = npy(VALUES)
        for array, part in [
            (VALUES + 1j, "complex"), (VALUES > 1, "bool"), (np.array(["a"]), "strings"), (np.array([None]), "objects"),
            (VALUES.astype("f2"), "'<f2'"), (np.zeros(3, [("a", "f8")]), "structured"), (np.zeros(3, "M8[s]"), "dates"),
            (np.zeros((2, 2, 2)), "3 dimensions"), (np.array(5.0), "0 dimensions"), (np.zeros((3, 0)), "no channels"),
        ]:
            self.refused("t.npy", npy(array), part, options=("--rate", 10))
        for content, part in [
            (whole[:-3], "truncated"), (whole[:50], "header"), (whole[:6], ""),
            (whole.replace(b"(6, 2)", b"(7, 2)"), "truncated"),
            (whole.replace(b"(6, 2)", b"(-6,2)"), "header"),
            (whole.replace(b"(6, 2), ", b"(9223372036854775807, 2), "), "(9223372036854775807, 2)"),
            (whole.replace(b"descr", b"descx"), "'descx'"),
            (whole.replace(b"'<f8'", b"open()"), "header"),
            (whole[:8] + b"\xff\xff" + whole[10:], "header"),
            (whole[:6] + b"\x09" + whole[7:], "format 9.0"),
        ]:
            self.refused("t.npy", content, part, options=("--rate", 10))

    def test_wave(self):
        full_scale = np.arange(100) / 32768

        def check(content, n, *remarks):
            path = self.put("t.wav", content)
            exported, replayed = self.both(path)
            for result in (exported, replayed):
                self.assertEqual(result.returncode, 0, result.stderr)
                for remark in remarks:
                    self.assertIn(remark, result.stderr)
            with h5py.File(self.out / "x.h5") as f, h5py.File(self.out / "y.h5") as g:
                np.testing.assert_array_equal(f["entry/t/ch0"][()], np.arange(n))
                np.testing.assert_array_equal(g["entry/m/ch0"][()], full_scale[:n])
            for name in ("x.h5", "y.h5"):
                (self.out / name).unlink()

        check(wav(), 100)
        check(wav()[:100], 28, "200 bytes", "56 are there")
        check(wav(length=10**9), 100, "1000000000")
        check(wav(length=0xFFFFFFFF), 100)
        check(wav(struct.pack("<3h", 0, 1, 2) + b"\0"), 3, "not whole")
        for content, part in [
            (wav()[:30], "ends"), (wav()[:36], "no chunk 'data'"), (wav(format=0x55), "format 85"), (wav(bits=12), "12 bits"),
            (wav(channels=0), "0 channels"), (wav(rate=0), "0 Hz"),
        ]:
            self.refused("t.wav", content, part)

    @unittest.skipUnless((DATA / "ecg_mitbih_100").is_dir(), f"no recordings at {DATA}")
    def test_raw_with_sidecar(self):
        original = DATA / "ecg_mitbih_100"
        sidecar = json.loads((original / "recording.json").read_text())
        stream = sidecar["streams"][0]
        stream["name"], stream["frames"] = "t", 1000
        raw = (original / stream["file"]).read_bytes()[:1000 * 4]
        self.put(stream["file"], raw)
        for result in self.both(self.put("recording.json", json.dumps(sidecar))):
            self.assertEqual(result.returncode, 0, result.stderr)
        with h5py.File(self.out / "x.h5") as f:
            np.testing.assert_array_equal(f["entry/t/MLII"][()], np.frombuffer(raw, "<i2").reshape(-1, 2)[:, 0])
        for name in ("x.h5", "y.h5"):
            (self.out / name).unlink()

        def refused(change, *parts):
            changed = copy.deepcopy(sidecar)
            change(changed["streams"][0])
            self.refused("recording.json", json.dumps(changed), *parts)

        refused(lambda s: s.update(frames=1001), "1001 rows", "4000 bytes")
        refused(lambda s: s.update(frames=-1), "'frames'", "-1")
        refused(lambda s: s.update(frames=2**62), "rows")
        refused(lambda s: s.update(offset_bytes=10**12), "1000000000000")
        refused(lambda s: s.update(dtype="complex128"), "'complex128'", "float64")
        refused(lambda s: s.update(channel_count=3), "channel_count is 3")
        refused(lambda s: s.pop("frames"), "'frames' is missing")
        refused(lambda s: s["time"].update(rate_hz=0), "rate 0 Hz")
        for text, part in (('{"streams": [', "not JSON: line 1"), ("{}", "'streams' is missing"), ("[]", "'[]'")):
            self.refused("recording.json", text, part)
        path = self.put("recording.json", json.dumps(sidecar))
        (self.out / stream["file"]).unlink()
        for result in self.both(path):
            self.assert_one_line(result, stream["file"], "No such file")

    def test_a_csv_recording_that_is_damaged_or_cut(self):
        self.record("""
title: t
sources: [{type: generator, name: t, rate: 1 kHz, speed: max, duration: 2 s, channels: [{name: x, unit: V, noise: 0.1}]}]
record: [{path: t.csv}]
""", "-q")
        content, books = ((self.out / "data" / n).read_bytes() for n in ("t.csv", "t.csv-metadata.json"))
        self.put("t.csv-metadata.json", books)
        self.put("t.csv", content)
        for result in self.both(self.out / "t.csv"):
            self.assertEqual(result.returncode, 0, result.stderr)
        for name in ("x.h5", "y.h5"):
            (self.out / name).unlink()
        lines = content.splitlines(True)
        for changed in (
            content[:len(content) // 2], b"".join(lines[:-1]), b"".join(lines[:1000] + lines[1001:]), b"".join(lines[:1000] + lines[999:]),
            content.replace(b",0\r\n", b",1\r\n", 1), content.replace(b",0\r\n", b",x\r\n", 1), content.replace(b",0\r\n", b"\r\n", 1), content[100:],
        ):
            self.refused("t.csv", changed)
        self.put("t.csv", content)
        before = sorted(os.listdir(self.out))
        for broken in (books[:len(books) // 2], b"{}", b""):
            self.put("t.csv-metadata.json", broken)
            for result in self.both(self.out / "t.csv"):
                self.assert_one_line(result, "t.csv")
                self.assertEqual(sorted(os.listdir(self.out)), before)

    def test_times_that_nobody_knows_are_not_those_of_the_conversion(self):
        inputs = [
            (self.put("t.wav", wav()), (), ""),
            (self.put("t.npy", npy(VALUES)), ("--rate", 10), ""),
            (self.put("u.csv", TABLE), (), ""),
            (self.put("v.csv", "time,x\n2026-05-04T10:00:00Z,1\n2026-05-04T10:00:01Z,2\n"), (), "2026-05-04T10:00:00Z"),
        ]
        for path, options, start in inputs:
            self.write("graph.yaml", GRAPH.replace("input: t", f"input: {path.stem}"))
            for _ in self.both(path, *options):
                pass
            self.run_spillway("export", self.out / "x.h5", "-o", self.out / "x.csv", check=0)
            self.run_spillway("export", self.out / "x.csv", "-o", self.out / "x.npy", check=0)
            for name in ("x.h5", "y.h5", "x.csv", "x.npy"):
                with self.subTest(path=path.name, output=name):
                    told = self.info(self.out / name)
                    self.assertEqual((told["start_time"], told["end_time"]), (start, ""))
                    self.assertNotIn("ended", self.run_spillway("info", self.out / name, check=0).stdout)
                    if name != "x.npy":
                        self.run_spillway("verify", self.out / name, check=0)
            for written in self.out.glob("[xy].*"):
                written.unlink()

    def test_info_tells_remarks_and_takes_the_options_that_files_need(self):
        array = self.put("t.npy", npy(VALUES))
        self.assert_one_line(self.run_spillway("info", array), "t.npy", "(--rate)")
        self.assertEqual(json.loads(self.run_spillway("info", array, "--json", "--rate", 10, check=0).stdout)["streams"][0]["rate_hz"], 10)
        self.assertIn("10 Hz", self.run_spillway("info", array, "--rate", 10, check=0).stdout)
        table = self.put("t.csv", "0,1\n1,2\n2,3\n")
        self.assert_one_line(self.run_spillway("info", table), "t.csv", "(--separator or --decimal)")
        told = self.run_spillway("info", table, "--separator", ",", "--unit", "bar", "--time-unit", "ms", check=0).stdout
        self.assertIn("1000 Hz", told)
        self.assertIn("bar", told)
        self.assert_one_line(self.run_spillway("info", table, "--separator", "x"), "--separator 'x'")
        table = self.put("fs.csv", "time [fs],x\n0,1\n1,2\n2,3\n")
        for result in (self.run_spillway("info", table), *self.both(table)):
            self.assert_one_line(result, "fs.csv", "'time [fs]' is not understood", "(--time-unit)")
        self.assertIn("1000 Hz", self.run_spillway("info", table, "--time-unit", "ms", check=0).stdout)
        # Of one thing there is no plural.
        one = self.run_spillway("info", self.put("one.npy", npy(VALUES[:1])), "--rate", 10, check=0).stdout
        self.assertIn("one: 10 Hz, 1 sample over 100 ms\n", one)
        self.assertIn("  1 segment, 0 gaps\n", one)
        # Remarks are those of view.
        table = self.put("t.csv", TABLE)
        shown = self.run_spillway("view", table, check=0).stdout
        notes = [line for line in shown.splitlines() if line.startswith("note: ")]
        self.assertTrue(notes)
        told = self.run_spillway("info", table, check=0).stdout.splitlines()
        self.assertEqual([line for line in told if line.startswith("note: ")], notes)
        self.assertEqual(["note: " + remark for remark in self.info(table)["remarks"]], notes)
        vibration = DATA / "vibration_ssx66115/recording.json"
        if vibration.exists():
            self.assertIn("bivariate", self.run_spillway("info", vibration, check=0).stdout)
            self.assertTrue(any("bivariate" in remark for remark in self.info(vibration)["remarks"]))

    def test_options_for_what_a_file_says_itself(self):
        wave = self.put("t.wav", wav())
        array = self.put("t.npy", npy(VALUES))
        dates = self.put("dates.csv", "2026-01-01T00:00:00Z,1\n2026-01-01T00:00:01Z,2\n2026-01-01T00:00:02Z,3\n")
        united = self.put("united.csv", "time [s],x [V]\n0,1\n1,2\n2,3\n")
        minutes = self.put("minutes.csv", "time [min],x\n0,1\n1,2\n2,3\n")
        ours = self.out / "ours.h5"
        self.run_spillway("export", united, "-o", ours, "-q", check=0)
        for name in ("ours.csv", "ours.npy"):
            self.run_spillway("export", ours, "-o", self.out / name, "-q", check=0)
        made_here = [("--rate", 10), ("--unit", "V"), ("--separator", ","), ("--decimal", "."), ("--time-unit", "ms")]
        cases = [(self.out / name, option, "made by Spillway") for name in ("ours.h5", "ours.csv", "ours.npy") for option in made_here]
        cases += [(wave, option, "a WAVE file") for option in made_here[2:]] + [(array, ("--rate", 10, *option), "a NumPy file") for option in made_here[2:]]
        cases += [(path, ("--time-unit", unit), why) for unit in ("s", "ms") for path, why in ((ours, "made by Spillway"), (wave, "a WAVE file"), (dates, "dates"), (united, "says the unit of its times"), (minutes, "says the unit of its times"))]
        cases += [(array, ("--rate", 10, "--time-unit", "s"), "a NumPy file"), (united, ("--unit", "mV"), "says the unit of each channel")]
        before = sorted(os.listdir(self.out))
        for path, option, why in cases:
            with self.subTest(path=path.name, option=option):
                for result in self.both(path, *option):
                    asked = result.args[-2].replace("--rate", "--input-rate") if result.args[1] == "export" else result.args[-2]
                    self.assert_one_line(result, path.name, why, f"({asked})")
                for command in ("info", "view"):
                    self.assert_one_line(self.run_spillway(command, path, *option), path.name, why, f"({option[-2]})")
                self.assertEqual(sorted(os.listdir(self.out)), before)
        self.assert_one_line(self.record(f"sources: [{{type: recording, path: {ours}, rate: 10 Hz}}]\nrecord: [{{path: x.h5}}]\n", check=1), "ours.h5", "(rate)")

    def test_options_that_are_wrong(self):
        path = self.put("t.npy", npy(VALUES))
        before = sorted(os.listdir(self.out))
        for option, value, part in [
            ("--rate", "0", "above 0"), ("--rate", "-5", "above 0"), ("--rate", "nan", "above 0"), ("--rate", "fast", "fast"), ("--rate", "1e300", "1e12 Hz"),
            ("--separator", "x", "--separator 'x'"), ("--decimal", "x", "--decimal 'x'"), ("--time-unit", "y", "--time-unit 'y'"), ("--time-unit", "", "--time-unit"),
        ]:
            for result in self.both(path, option, value):
                with self.subTest(option=option, value=value):
                    self.assert_one_line(result, part)
                    self.assertEqual(result.stderr.count("\n"), 1)
                    self.assertEqual(sorted(os.listdir(self.out)), before)
        for arguments in (("replay",), ("export", path), ("replay", path, "--speed", "0"), ("export", path, "-o", "x.h5", "--every", "1"), ("rekord",), ("replay", path, "--as-live", "--complete")):
            with self.subTest(arguments):
                result = self.run_spillway(*arguments)
                self.assert_one_line(result)
                self.assertEqual(result.stderr.count("\n"), 1)

    def test_the_input_is_never_the_output(self):
        path = self.put("t.csv", TABLE)
        link, hard, within = self.out / "link.csv", self.out / "hard.csv", self.out / "data"
        link.symlink_to(path)
        os.link(path, hard)
        within.mkdir()
        for output in (path, link, hard, within / ".." / "t.csv"):
            for command in (("export", path), ("replay", path, "--graph", self.graph)):
                with self.subTest(output=output.name, command=command[0]):
                    self.assert_one_line(self.run_spillway(*command, "-o", output, "-f"), "is the input")
                    self.assertEqual(path.read_bytes(), TABLE.encode())

    def test_what_the_input_is_made_of_is_never_the_output(self):
        raw = self.put("data.csv", np.arange(100, dtype="<i2").tobytes())
        sidecar = self.put("recording.json", json.dumps({"streams": [{
            "name": "t", "file": "data.csv", "offset_bytes": 0, "dtype": "int16", "byte_order": "little", "layout": "interleaved", "frames": 100,
            "channel_count": 1, "time": {"kind": "uniform", "rate_hz": 100.0, "t0_s": 0.0},
            "channels": [{"name": "x", "unit": "V", "calibration": {"kind": "linear", "scale": 1.0, "offset": 0.0}, "missing_raw_value": None}]}]}))
        self.run_spillway("export", sidecar, "-o", self.out / "ours.npy", "-q", check=0)
        for path, part in ((sidecar, raw), (self.out / "ours.npy", self.out / "ours.quality.npy")):
            before = part.read_bytes()
            for command in (("export", path, "-o", part), ("replay", path, "--graph", self.graph, "-o", part), ("view", path, "--svg", part), ("view", path, "--html", part)):
                with self.subTest(part=part.name, command=command[0]):
                    self.assert_one_line(self.run_spillway(*command, "-f"), f"{part}: is part of the input, {path}; choose another name")
                    self.assertEqual(part.read_bytes(), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
