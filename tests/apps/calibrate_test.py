"""spillway calibrate: what becomes known after a recording was made, beside it."""

import json
import os
import unittest

import h5py
import numpy as np

from support import Case

ADC = """
title: adc
sources:
  - type: generator
    name: g
    rate: 1 kHz
    speed: max
    duration: 4 s
    channels:
      - {name: x, unit: V, frequency: 3 Hz, noise: 0.1}
      - {name: y, unit: V, frequency: 1 Hz}
graph:
  - {id: same, type: calibrate, input: g}
record:
  - {path: run.h5}
  - {path: run.csv, streams: [g]}
"""

CORRECTED = """
calibrations:
  - {stream: g, channel: x, calibration: {slope: 2, offset: 1}, unit: mV, reason: gain}
  - {stream: g, channel: y, from_sample: 1000, to_sample: 3000, calibration: {polynomial: [0, 1, 1]}, unit: V}
"""


class Calibrate(Case):
    def setUp(self):
        super().setUp()
        self.record(ADC, "-q")
        self.run = self.out / "data/run.h5"
        self.corrected = self.write("corrected.yaml", CORRECTED)
        self.graph = self.write("graph.yaml", "graph:\n  - {id: c, type: calibrate, input: g}\n")

    def calibrate(self, *arguments, check=0, **options):
        return self.run_spillway("calibrate", *arguments, check=check, **options)

    def column(self, path, name):
        with h5py.File(path) as f:
            return f[f"entry/{name}"][()]

    def expected(self):
        x, y = self.column(self.run, "g/x"), self.column(self.run, "g/y")
        y[1000:3000] += y[1000:3000] ** 2
        return 2 * x + 1, y

    def assert_in_force(self, path):
        x, y = self.expected()
        np.testing.assert_allclose(self.column(path, "c/x"), x, atol=1e-14)
        np.testing.assert_allclose(self.column(path, "c/y"), y, atol=1e-14)
        with h5py.File(path) as f:
            self.assertEqual(f["entry/c/x"].attrs["units"], b"mV")
            self.assertEqual(f["entry/c/y"].attrs["units"], b"V")

    def test_what_a_node_made_is_in_its_units_already(self):
        corrected = self.write("derived.yaml", "calibrations:\n  - {stream: same, channel: x, calibration: {slope: 2, offset: 0}}\n")
        self.assert_one_line(self.calibrate(self.run, corrected, check=None), "'same' was made by a node of the graph")
        self.assertFalse((self.out / "data/run.h5.calibrations.json").exists())
        result = self.run_spillway("replay", self.run, "--complete", "--calibration", corrected, "-o", self.out / "no.h5")
        self.assert_one_line(result, "'same', which a node of the graph made")
        self.assertFalse((self.out / "no.h5").exists())

    def test_nothing_is_written_over_what_belongs_to_a_recording(self):
        self.calibrate(self.run, self.corrected)
        self.run_spillway("export", self.run, "-o", self.out / "g.npy", "-c", "g", "-q", check=0)
        for path, part in ((self.run, "data/run.h5.calibrations.json"), (self.out / "data/run.csv", "data/run.csv-metadata.json"), (self.out / "g.npy", "g.npy.json")):
            before = (self.out / part).read_bytes()
            for command in ("--svg", "--html"):
                result = self.run_spillway("view", path, command, self.out / part, "-f")
                self.assert_one_line(result, f"{self.out / part}: is part of the input")
            self.assertEqual((self.out / part).read_bytes(), before)

    def test_it_is_in_force_wherever_the_recording_is_read(self):
        before = self.run.read_bytes()
        live = self.column(self.run, "same/x")
        text = self.calibrate(self.run, self.corrected).stdout
        self.assertEqual(len(text.splitlines()), 4)
        self.assertRegex(text, r"run\.h5\.calibrations\.json: 2 calibrations appended\n")
        self.assertRegex(text, r"g/x, all samples: .*2.*\(gain\), added 20")
        self.assertRegex(text, r"g/y, samples 1000 to 2999: .* in V, added 20.*\n  0 \+ 1 x \+ 1 x\^2\n")
        self.assertEqual(self.run.read_bytes(), before)
        self.run_spillway("verify", self.run, check=0)

        # replay
        self.run_spillway("replay", self.run, "--graph", self.graph, "-o", self.out / "c.h5", "-q", check=0)
        self.assert_in_force(self.out / "c.h5")
        self.run_spillway("replay", self.run, "--complete", "-o", self.out / "complete.h5", "-q", check=0)
        np.testing.assert_array_equal(self.column(self.out / "complete.h5", "same/x"), self.column(self.out / "c.h5", "c/x"))
        # As live is as it was.
        self.run_spillway("replay", self.run, "-o", self.out / "live.h5", "-q", check=0)
        np.testing.assert_array_equal(self.column(self.out / "live.h5", "same/x"), live)
        self.run_spillway("replay", self.run, "--check", check=0)

        # export: raw values stay, and the calibrations go with them.
        for name in ("e.h5", "e.csv", "e.npy"):
            self.run_spillway("export", self.run, "--channels", "g", "-o", self.out / name, "-q", check=0)
            self.run_spillway("replay", self.out / name, "--graph", self.graph, "-o", self.out / "c.h5", "-q", "-f", check=0)
            self.assert_in_force(self.out / "c.h5")
        np.testing.assert_array_equal(self.column(self.out / "e.h5", "g/y"), self.column(self.run, "g/y"))
        self.run_spillway("export", self.run, "--channels", "g/x", "--every", 2, "-o", self.out / "m.h5", "-q", check=0)
        np.testing.assert_allclose(self.column(self.out / "m.h5", "g/x"), self.expected()[0], atol=1e-14)

        # info, and a list.
        self.assertRegex(self.run_spillway("info", self.run, check=0).stdout, r"x: float64, .* by 2 x \+ 1\n(.*\n)*.*y: float64, V\n")
        self.assertEqual(self.calibrate(self.run, "--list").stdout, text)
        listed = json.loads(self.calibrate(self.run, "--list", "--json").stdout)
        self.assertEqual(listed["file"], f"{self.run}.calibrations.json")
        first, second = listed["calibrations"]
        self.assertEqual((first["stream"], first["channel"], first["from_sample"], first["reason"]), ("g", "x", 0, "gain"))
        self.assertNotIn("to_sample", first)
        self.assertEqual((second["from_sample"], second["to_sample"], second["unit"]), (1000, 3000, "V"))

    def test_the_list_shows_all_that_a_record_has(self):
        corrected = self.write("full.yaml", """
calibrations:
  - stream: g
    channel: x
    calibration:
      steps:
        - {polynomial: [0.5, -2, 1e-3]}
        - {table: {x: [0, 1, 4], y: [0, 2.5, -3], outside: nan}}
        - {slope: 2, offset: 1}
      unit_in: V
      unit_out: N
      reference_date: "2026-01-15"
      valid_until: "2027-01-15"
      certificate: DKD-1234
""")
        self.calibrate(self.run, corrected)
        lines = self.calibrate(self.run, "--list").stdout.splitlines()[1:]
        self.assertRegex(lines[0], r"g/x, all samples: polynomial of degree 2, then table of 3 points, then 2 x \+ 1")
        self.assertEqual(lines[1:], [
            "  0.5 - 2 x + 0.001 x^2",
            "  0 to 0, 1 to 2.5, 4 to -3; outside NaN",
            "  from V, to N, reference date 2026-01-15, valid until 2027-01-15, certificate DKD-1234",
        ])
        [record] = json.loads(self.calibrate(self.run, "--list", "--json").stdout)["calibrations"]
        self.assertEqual(record["certificate"], "DKD-1234")
        self.assertEqual(record["steps"][0], {"kind": "polynomial", "coefficients": [0.5, -2, 0.001]})
        self.assertEqual(record["steps"][1]["y"], [0, 2.5, -3])

    def test_a_later_one_corrects_an_earlier_one(self):
        self.calibrate(self.run, self.corrected)
        back = self.write("back.yaml", "calibrations:\n  - {stream: g, channel: x, calibration: {slope: 1}}\n")
        self.assertEqual(len(self.calibrate(self.run, back).stdout.splitlines()), 5)
        self.run_spillway("replay", self.run, "--graph", self.graph, "-o", self.out / "c.h5", "-q", check=0)
        np.testing.assert_array_equal(self.column(self.out / "c.h5", "c/x"), self.column(self.run, "g/x"))
        np.testing.assert_allclose(self.column(self.out / "c.h5", "c/y"), self.expected()[1], atol=1e-14)

    def test_a_channel_has_one_unit(self):
        before = self.run_spillway("info", self.run, check=0).stdout
        for record in ("to_sample: 100, calibration: {slope: 1000, offset: 0}, unit: mV", "from_sample: 3000, calibration: {slope: 1000, offset: 0, unit_out: mV}"):
            part = self.write("part.yaml", "calibrations:\n  - {stream: g, channel: y, " + record + "}\n")
            self.assert_one_line(self.calibrate(self.run, part, check=None), "g/y", "'mV'", "'V'", "one unit", "for all samples")
            self.assert_one_line(self.run_spillway("replay", self.run, "--complete", "--calibration", part, "-o", self.out / "x.h5", check=None), "one unit")
        self.assertEqual(self.run_spillway("info", self.run, check=0).stdout, before)

    def test_a_part_begins_with_the_calibration_in_force_there(self):
        part = self.write("part.yaml", "calibrations:\n  - {stream: g, channel: y, to_sample: 100, calibration: {slope: 2, offset: 0}}\n  - {stream: g, channel: y, from_sample: 2000, calibration: {slope: 3, offset: 0}}\n")
        self.calibrate(self.run, part)
        for begin, slope in ((0, "2 x"), (50, "2 x"), (1000, None), (2000, "3 x"), (2500, "3 x")):
            self.run_spillway("export", self.run, "--channels", "g", "--range", f"#{begin}:#3000", "-o", self.out / "p.h5", "-f", "-q", check=0)
            with h5py.File(self.out / "p.h5") as f:
                told = f["entry/g/y"].attrs.get("calibration")
                self.assertEqual(told.decode() if told is not None else None, slope, begin)
                self.assertEqual(f["entry/g/y"].attrs["units"], b"V")

    def test_a_csv_recording(self):
        path = self.out / "data/run.csv"
        before = path.read_bytes()
        self.calibrate(path, self.corrected)
        self.assertEqual(path.read_bytes(), before)
        self.run_spillway("verify", path, check=0)
        self.run_spillway("replay", path, "--graph", self.graph, "-o", self.out / "c.h5", "-q", check=0)
        self.assert_in_force(self.out / "c.h5")

    def test_another_recording_of_the_name_does_not_get_them(self):
        self.calibrate(self.run, self.corrected)
        sidecar = self.out / "data/run.h5.calibrations.json"
        # Not replaced: they would be lost, or of others.
        before = self.run.read_bytes()
        self.assert_one_line(self.record(ADC, "-q", "-f", check=None), str(sidecar), "move it away")
        self.assert_one_line(self.run_spillway("export", self.out / "data/run.csv", "-o", self.run, "-f"), str(sidecar), "move it away")
        replay = ("replay", self.out / "data/run.csv", "--graph", self.graph, "-f", "-o", self.run)
        self.assert_one_line(self.run_spillway(*replay), str(sidecar), "move it away")
        self.assertEqual(self.run.read_bytes(), before)
        self.assertFalse(list((self.out / "data").glob("*.part")))
        # Recorded afresh: refused by whatever reads it.
        for path in self.out.glob("data/run.*"):
            if "calibrations" not in path.name:
                path.unlink()
        self.record(ADC, "-q")
        new = ("-o", self.out / "new.h5")
        for command in (("info", self.run), ("info", self.run, "--json"), ("view", self.run), ("export", self.run, *new), ("replay", self.run, "--graph", self.graph, *new), ("calibrate", self.run, "--list"), ("calibrate", self.run, self.corrected)):
            self.assert_one_line(self.run_spillway(*command), f"{sidecar}: does not belong to {self.run}", "start", "move it away")
        self.run_spillway("verify", self.run, check=0)
        self.run_spillway("replay", self.run, "--check", check=0)
        sidecar.rename(self.out / "old.json")
        self.assertNotIn("calibrations appended", self.run_spillway("info", self.run, check=0).stdout)
        self.record(ADC, "-q", "-f")

    def test_they_go_with_a_recording_that_is_moved(self):
        self.calibrate(self.run, self.corrected)
        moved = self.out / "moved.h5"
        (self.out / "data/run.h5.calibrations.json").rename(f"{moved}.calibrations.json")
        self.run.rename(moved)
        self.run_spillway("replay", moved, "--graph", self.graph, "-o", self.out / "c.h5", "-q", check=0)
        self.run = moved
        self.assert_in_force(self.out / "c.h5")

    def test_whoever_looks_is_told(self):
        told = f"2 calibrations appended, from {self.run}.calibrations.json"
        self.calibrate(self.run, self.corrected)
        self.assertIn(f"note: {told}\n", self.run_spillway("info", self.run, check=0).stdout)
        info = self.info(self.run)
        self.assertEqual(info["remarks"], [told])
        self.assertEqual(info["appended_calibrations"], {"count": 2, "file": f"{self.run}.calibrations.json"})
        self.assertIn(f"note: {told}\n", self.run_spillway("view", self.run, check=0).stdout)
        self.run_spillway("view", self.run, "--svg", self.out / "a.svg", "--width", 2000, check=0)
        named = f"2 calibrations appended, from {self.run.name}.calibrations.json"
        self.assertIn(named, (self.out / "a.svg").read_text())
        self.run_spillway("view", self.run, "--html", self.out / "a.html", check=0)
        self.assertIn(named, (self.out / "a.html").read_text())
        self.assertIn(told, self.run_spillway("export", self.run, "-o", self.out / "e.h5", check=0).stderr)
        # As live they are not in force.
        self.assertNotIn(told, self.run_spillway("replay", self.run, "-o", self.out / "l.h5", check=0).stderr)

    def test_samples_that_are_not_there(self):
        def yaml(samples):
            return self.write("range.yaml", f"calibrations:\n  - {{stream: g, channel: x, {samples}, calibration: {{slope: 2}}}}\n")

        for samples in ("from_sample: 4000", "from_sample: 5000, to_sample: 6000"):
            self.assert_one_line(self.calibrate(self.run, yaml(samples), check=None), "calibration 1", "has samples 0 to 3999")
        self.assertFalse((self.out / "data/run.h5.calibrations.json").exists())
        result = self.calibrate(self.run, yaml("from_sample: 3999, to_sample: 4001"))
        self.assertRegex(result.stderr, r"^note: calibration 1 .*samples 3999 to 4000, .* only samples 0 to 3999\n$")
        result = self.calibrate(self.run, yaml("from_sample: 3999, to_sample: 4001"), "--json")
        self.assertIn("only samples 0 to 3999", json.loads(result.stdout)["remarks"][0])
        self.assertEqual(self.calibrate(self.run, yaml("from_sample: 3999")).stderr, "")

    def test_samples_of_a_gap(self):
        faults = "    faults: [{kind: lost, first: 1000, count: 17}, {kind: lost, first: 3990, count: 10}]\ngraph:"
        self.record(ADC.replace("graph:", faults), "-q", "-f")

        def yaml(samples):
            return self.write("range.yaml", f"calibrations:\n  - {{stream: g, channel: x, {samples}, calibration: {{slope: 2}}}}\n")

        for samples, asked in (("from_sample: 1000, to_sample: 1017", "1000 to 1016"), ("from_sample: 1003, to_sample: 1004", "1003 to 1003"),
                               ("from_sample: 3995", "samples from 3995 on"), ("from_sample: 3990, to_sample: 4000", "3990 to 3999")):
            self.assert_one_line(self.calibrate(self.run, yaml(samples), check=None), "calibration 1", asked, "'g' has a gap there: none was recorded")
        self.assertFalse((self.out / "data/run.h5.calibrations.json").exists())
        for samples, first in (("from_sample: 1003, to_sample: 1018", 1017), ("from_sample: 999, to_sample: 1010", 999), ("from_sample: 1010", 1017)):
            before = self.column(self.run, "g/x")
            self.assertEqual(self.calibrate(self.run, yaml(samples)).stderr, "")
            self.run_spillway("replay", self.run, "--graph", self.graph, "-o", self.out / "c.h5", "-q", "-f", check=0)
            row = first if first < 1000 else first - 17
            self.assertEqual(self.column(self.out / "c.h5", "c/x")[row], 2 * before[row])
            (self.out / "data/run.h5.calibrations.json").unlink()

    def test_a_file_of_others(self):
        path = self.out / "x.npy"
        np.save(path, np.arange(100.0))
        corrected = self.write("x.yaml", "calibrations:\n  - {stream: x, channel: ch0, calibration: {slope: 2}}\n")
        self.assert_one_line(self.calibrate(path, corrected, check=None), "x.npy", "(--rate)")
        self.calibrate(path, corrected, "--rate", 10)
        self.calibrate(path, "--list", "--rate", 10)
        self.assertRegex(self.run_spillway("info", path, "--rate", 10, check=0).stdout, r"note: 1 calibration appended")
        np.save(path, np.arange(100.0) + 1)
        self.assert_one_line(self.run_spillway("info", path, "--rate", 10), "does not belong", "other samples")

    def test_nothing_appended_is_no_error(self):
        self.assertRegex(self.calibrate(self.run, "--list").stdout, r"0 calibrations appended\n$")
        self.assertFalse((self.out / "data/run.h5.calibrations.json").exists())

    def test_what_is_wrong_is_one_line_and_appends_nothing(self):
        def yaml(name, text):
            return self.write(name, "calibrations:\n  - " + text + "\n")

        text = self.write("text.h5", "hello")
        (self.out / "data/taken.h5").write_bytes(self.run.read_bytes())
        self.write("data/taken.h5.calibrations.json", '{"format": "spillway calibrations"')
        before = sorted(os.listdir(self.out / "data"))
        for arguments, parts in [
            ((self.run,), ("run.h5", "--list")),
            ((self.run, self.out / "none.yaml"), ("none.yaml", "No such file")),
            ((self.out / "none.h5", self.corrected), ("none.h5", "No such file")),
            ((self.out / "none.h5", "--list"), ("none.h5", "No such file")),
            ((text, self.corrected), ("text.h5", "neither a recording")),
            ((text, "--list"), ("text.h5", "neither a recording")),
            ((self.out / "data", self.corrected), ("data", "is a directory")),
            ((self.run, text), ("text.h5", "must be a mapping")),
            ((self.run, yaml("a.yaml", "{stream: h, channel: x, calibration: {slope: 1}}")), ("run.h5", "no stream 'h'", "'g'")),
            ((self.run, yaml("b.yaml", "{stream: g, channel: z, calibration: {slope: 1}}")), ("run.h5", "no channel 'z'", "'x', 'y'")),
            ((self.run, yaml("c.yaml", "{stream: g, channel: x, calibration: {slop: 1}}")), ("c.yaml:2:43", "'slop'", "did you mean 'slope'")),
            ((self.run, yaml("d.yaml", "{stream: g, channel: x, from_sample: 5, to_sample: 5, calibration: {slope: 1}}")), ("d.yaml:2:", "not behind from_sample")),
            ((self.run, yaml("e.yaml", "{stream: g, channel: x, calibration: {slope: .nan}}")), ("e.yaml:2:", "slope")),
            ((self.run, yaml("f.yaml", '{stream: g, channel: x, calibration: {slope: 1}, reason: "two\\nlines"}')), ("reason", "one line")),
            ((self.run, self.write("g.yaml", "calibrations: []")), ("g.yaml:1:15", "at least one")),
            ((self.run, self.write("h.yaml", "calibrations: [}")), ("h.yaml:1:",)),
            ((self.out / "data/taken.h5", self.corrected), ("taken.h5.calibrations.json", "not JSON")),
            ((self.out / "data/taken.h5", "--list"), ("taken.h5.calibrations.json", "not JSON")),
        ]:
            with self.subTest([getattr(a, "name", a) for a in arguments]):
                self.assert_one_line(self.calibrate(*arguments, check=None), *parts)
                left = sorted(n for n in os.listdir(self.out / "data") if not n.endswith(".lock"))
                self.assertEqual(left, before)
        # Who reads a recording whose calibrations can't be read is told, not given others.
        self.assert_one_line(self.run_spillway("export", self.out / "data/taken.h5", "-o", self.out / "x.h5"), "taken.h5.calibrations.json")

    def test_all_or_none_of_a_file_are_appended(self):
        half = self.write("half.yaml", CORRECTED + "  - {stream: g, channel: z, calibration: {slope: 1}}\n")
        self.assert_one_line(self.calibrate(self.run, half, check=None), "calibration 3", "no channel 'z'")
        self.assertFalse((self.out / "data/run.h5.calibrations.json").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
