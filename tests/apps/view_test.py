"""`spillway view`: recordings in the terminal, as drawings, as pages."""

import base64
import html
import json
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import subprocess
import unittest
import xml.etree.ElementTree

import h5py
import numpy as np

from support import DATA, GENERATOR, SOURCE, Case

SVG = "{http://www.w3.org/2000/svg}"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Where pictures of the pages go, for people to look at.
PICTURES = os.environ.get("SPILLWAY_PICTURES")

# Everything that can be bad at once, by an exact number.
FAULTY = """
title: "faults </script><!-- & <b>bold</b>"
sources:
  - type: generator
    name: "s<i>"
    rate: 10 kHz
    speed: max
    duration: {seconds} s
    channels:
      - {{name: 'x"<y>&', unit: V, frequency: 3 Hz, amplitude: 2, limit: 1.9}}
      - {{name: level, unit: Pa, frequency: 0.1 Hz, amplitude: 0.01, offset: 1000000}}
    faults:
      - {{kind: lost, first: 30000, count: 5000}}
      - {{kind: nan, channel: 'x"<y>&', first: 40000, count: 100}}
record: [{{path: run.h5}}]
"""


class Page:
    """A page, read without a browser."""

    def __init__(self, path):
        self.text = pathlib.Path(path).read_text()
        self.recording = json.loads(re.search(r'<script type="application/json" id="recording">(.*?)</script>', self.text, re.S)[1])
        self.blocks = {int(i): base64.b64decode(data, validate=True)
                       for i, data in re.findall(r'<script type="application/octet-stream" id="d(\d+)">([^<]*)</script>', self.text)}

    def stream(self, name):
        return next(s for s in self.recording["streams"] if s["name"] == name)

    def level(self, level):
        """(low, high, quality) of all points."""
        low, high, quality = [], [], []
        for c, (block, offset, scale, common) in enumerate(level["chunks"]):
            n = min(level["per"], level["points"] - c * level["per"])
            data = self.blocks[block]
            floats = np.frombuffer(data, "<f4", n * (2 if level["pairs"] else 1)).astype(float) * scale + offset
            low.append(floats[:n])
            high.append(floats[-n:])
            rest = data[4 * len(floats):]
            quality.append(np.full(n, common, np.uint8) if common >= 0 else np.frombuffer(rest, np.uint8))
            assert len(quality[-1]) == n and len(rest) == (0 if common >= 0 else n)
        return [np.concatenate(a) if a else np.zeros(0) for a in (low, high, quality)]


class View(Case):
    def view(self, path, *arguments, check=0, columns="80", **options):
        environment = {**os.environ, "COLUMNS": columns, **options.pop("env", {})}
        return self.run_spillway("view", path, *arguments, check=check, env=environment, **options)

    def faulty(self, seconds=10):
        self.record(FAULTY.format(seconds=seconds), "-q")
        return self.out / "data/run.h5"

    # ---------------------------------------------------------------- terminal

    def test_the_terminal_shows_streams_gaps_and_quality_in_its_width(self):
        path = self.faulty()
        for columns in (60, 80, 132):
            text = self.view(path, columns=str(columns)).stdout
            self.assertNotIn("\x1b", text)
            for line in text.splitlines():
                self.assertLessEqual(len(line), columns if not line.startswith(("complete", "  95,000", str(path))) else 200, line)
            self.assertIn('s<i>/x"<y>&, V: -1.9 to 1.9', text)
            self.assertIn("95,000", text)
            self.assertRegex(text, r"- gap  s suspect  b bad")
            self.assertIn("⣿" if columns == 60 else "⡇", text)
        # Values that differ in their seventh digit are told apart.
        self.assertIn("values +1000000", text)
        self.assertEqual(self.view(path, "--width", "100", columns="60").stdout, self.view(path, columns="100").stdout)
        lines = [l for l in self.view(path, "-c", "level", "--height", "3").stdout.splitlines() if "│" in l or "┤" in l]
        self.assertEqual(len(lines), 3)

    def test_every_gap_is_marked_whatever_comes_after_it(self):
        # A filter that starts anew behind each gap: suspect samples, in the same column as the gap.
        self.record("""
sources:
  - type: generator
    name: g
    rate: 1 kHz
    speed: max
    duration: 40 s
    channels: [{name: x, unit: V, frequency: 3 Hz, noise: 0.1}]
    faults: [{kind: lost, first: 1000, count: 20, every: 2000}]
graph: [{id: low, type: lowpass, input: g, order: 2, cutoff: 50 Hz}]
record: [{path: run.h5}]
""", "-q")
        for columns in (80, 200):
            lines = self.view(self.out / "data/run.h5", "-c", "low", columns=str(columns)).stdout.splitlines()
            (legend,) = (i for i, line in enumerate(lines) if "- gap" in line)
            self.assertIn("s suspect", lines[legend])
            gaps, quality = lines[legend - 2 : legend]
            self.assertEqual([set(run) for run in gaps.split()], [{"-"}] * 20)
            self.assertGreaterEqual(len(quality.split()), 20)
            self.assertLessEqual(set(quality), set(" s"))

    def test_a_damaged_column_keeps_nothing_else_from_being_seen(self):
        self.record(GENERATOR.format(speed="max", duration="5 s"), "-q")
        for column, seen in (("x", "g/y, V: "), ("x_quality", "g/y, V: "), ("y", "g/x, V: ")):
            content = bytearray((self.out / "data/run.h5").read_bytes())
            with h5py.File(self.out / "data/run.h5") as f:
                chunk = f[f"entry/g/{column}"].id.get_chunk_info(0)
            content[chunk.byte_offset + chunk.size // 2] ^= 0x10
            (self.out / "damaged.h5").write_bytes(content)
            result = self.view(self.out / "damaged.h5", check=None)
            self.assert_one_line(result, "damaged.h5", "not all of it can be read", "verify")
            self.assertEqual(len(re.findall(rf"(?m)^g/{column[0]} can't be read: .*g/{column}", result.stdout)), 1, result.stdout)
            self.assertIn(seen, result.stdout)
            self.assertIn("low/low_x, V: " if "low/low_x" in result.stdout else "low/x, V: ", result.stdout)
            self.assertNotIn("can't be read: ", self.view(self.out / "damaged.h5", "-c", "low").stdout)

    def test_a_drawing_and_a_page_mark_what_is_damaged_and_show_the_rest(self):
        self.record(GENERATOR.format(speed="max", duration="200 s"), "-q")
        path = self.out / "data/run.h5"
        content = bytearray(path.read_bytes())
        with h5py.File(path) as f:
            rows, chunks = f["entry/g/x"].shape[0], f["entry/g/x"].id.get_num_chunks()
            per_chunk, chunk = f["entry/g/x"].chunks[0], f["entry/g/x"].id.get_chunk_info(1)
        self.assertGreater(chunks, 2)
        content[chunk.byte_offset + chunk.size // 2] ^= 0x10
        (self.out / "damaged.h5").write_bytes(content)
        for of, name in ((path, "whole"), (self.out / "damaged.h5", "damaged")):
            for option in ("--svg", "--html"):
                result = self.view(of, option, self.out / f"{name}.{option[2:]}", "-c", "g", check=None)
                self.assertIn(f"{name}.{option[2:]}: ", result.stdout)
                if name == "whole":
                    self.assertEqual((result.returncode, result.stderr), (0, ""))
                else:
                    self.assert_one_line(result, "damaged.h5", "not all of it can be read", "verify")
        drawing = (self.out / "damaged.svg").read_text()
        self.assertEqual(drawing.count("not all can be read"), 1)
        self.assertNotIn("can be read", (self.out / "whole.svg").read_text())
        bad = [float(width) for width in re.findall(r'class="bad" x="[^"]*" y="[^"]*" width="([^"]*)"[^>]*><title>bad', drawing)]
        self.assertAlmostEqual(max(bad), (960 - 84 - 24) * per_chunk / 200_000, delta=4)
        pages = {name: Page(self.out / f"{name}.html") for name in ("whole", "damaged")}
        self.assertEqual([n for n in pages["damaged"].recording["notes"] if "can't" in n], [f"g/x: {per_chunk:,} samples can't be read"])
        samples = {name: page.level(page.stream("g")["channels"][0]["levels"][0]) for name, page in pages.items()}
        lost = slice(per_chunk, 2 * per_chunk)
        self.assertTrue(np.isnan(samples["damaged"][0][lost]).all())
        self.assertTrue((samples["damaged"][2][lost] & 3 == 3).all())
        for part in (slice(0, per_chunk), slice(2 * per_chunk, rows)):
            for a, b in zip(samples["whole"], samples["damaged"]):
                np.testing.assert_array_equal(a[part], b[part])

    def test_colours_are_for_terminals_that_want_them(self):
        path = self.faulty(4)

        def on_a_terminal(**environment):
            master, slave = pty.openpty()
            process = subprocess.Popen([os.environ["SPILLWAY"], "view", path], stdout=slave,
                                       env={**os.environ, "TERM": "xterm", "COLUMNS": "90", **environment})
            os.close(slave)
            text = b""
            try:
                while part := os.read(master, 65536):
                    text += part
            except OSError:
                pass  # Linux tells the end of a terminal so
            os.close(master)
            self.assertEqual(process.wait(), 0)
            return text.decode()

        environment = dict(os.environ)
        os.environ.pop("NO_COLOR", None)
        self.addCleanup(lambda: os.environ.update(environment))
        self.assertIn("\x1b[33m", on_a_terminal())
        self.assertNotIn("\x1b", on_a_terminal(NO_COLOR="1"))
        self.assertNotIn("\x1b", on_a_terminal(TERM="dumb"))

    def test_channels_and_ranges_are_chosen(self):
        path = self.faulty()
        self.assertNotIn("level,", self.view(path, "-c", 's<i>/x"<y>&').stdout)
        self.assertIn("level,", self.view(path, "-c", "s<i>").stdout)
        part = self.view(path, "-c", "level", "-r", "#29990:#35010").stdout
        self.assertIn(" 20 ", part)
        self.assertIn("5,000", part)
        self.assertIn("5,000 rows", self.view(path, "-c", "level", "-r", "1:1.5", columns="50").stdout)
        for range in ("100:200", "#200000:"):
            self.assert_one_line(self.view(path, "-r", range, "--html", self.out / "a.html", check=None), "holds nothing",
                                 "from 0 s to 10 s, #0 to #99999")
        self.assertFalse((self.out / "a.html").exists())
        self.assertIn("level, Pa: no samples, missing at the source", self.view(path, "-r", "3.1:3.2").stdout)
        # A gap that a range lies in, or ends in, is told: that is no silence.
        for range, rows, duration in (("3.1:3.2", 0, "100 ms"), ("2.999:3.001", 10, "2 ms"), ("3.4:3.501", 10, "101 ms")):
            line = next(l for l in self.view(path, "-r", range, columns="120").stdout.splitlines() if l.startswith("s<i>  "))
            self.assertRegex(line, rf" {duration} +{rows} +1 +0 +5,000 ", range)
        self.assert_one_line(self.view(path, "-c", "nothing", check=None), "nothing", "s<i>/level")
        self.assert_one_line(self.view(path, "-r", "2:1", check=None), "not behind its begin")
        self.assert_one_line(self.view(path, "-r", "2026-01-01:", check=None), "not known")
        self.assert_one_line(self.view(path, "-r", "x", check=None), "BEGIN:END")
        self.assert_one_line(self.view(self.out / "no.h5", check=None), "no.h5")
        self.assertEqual(self.view(path, "--svg", "a.svg", "--html", "a.html", check=None, cwd=self.out).returncode, 1)
        for option, name, allowed in (("--svg", "a.png", ".svg"), ("--svg", "a.html", ".svg"), ("--svg", "svg", ".svg"), ("--html", "a.txt", ".html or .htm"), ("--html", "a.svg", ".html or .htm")):
            self.assert_one_line(self.view(path, option, name, check=None, cwd=self.out), f"{option} {name}:", f"must end in {allowed}")
            self.assertFalse((self.out / name).exists())
        self.view(path, "--html", "a.htm", cwd=self.out)

    def test_info_tells_the_same_duration_and_the_calendar(self):
        np.arange(3000, dtype="<i2").tofile(self.out / "x.i16")
        stream = {"name": "s", "file": "x.i16", "offset_bytes": 0, "dtype": "int16", "byte_order": "little", "layout": "single", "frames": 3000,
                  "channel_count": 1, "channels": [{"name": "x", "unit": "V"}], "time": {"kind": "uniform", "rate_hz": 2.0, "t0_s": 1767225600.0}}
        for start, zone in (({"utc": "1970-01-01T00:00:00"}, " UTC"), ({"local": "1970-01-01T00:00:00"}, " (local)"), (None, None)):
            path = self.write("recording.json", json.dumps({"start": start, "streams": [stream]}))
            info = self.run_spillway("info", path, check=0).stdout
            self.assertIn("s: 2 Hz, 3,000 samples over 25 min\n", info)
            self.assertRegex(self.view(path).stdout, r"s  +1 +V +2 Hz +25 min ")
            told = self.info(path)["streams"][0]
            self.assertEqual(told["seconds"], 1500)
            if zone:
                self.assertIn(f"\n  2026-01-01 00:00:00 to 2026-01-01 00:25:00{zone}\n", info)
                self.assertEqual((told["begin"], told["end"]), ("2026-01-01 00:00:00", "2026-01-01 00:25:00"))
            else:
                self.assertNotIn("2026-", info)
                self.assertNotIn("begin", told)

    def test_files_that_are_no_recordings_are_refused_in_one_line(self):
        path = self.faulty(2)
        (self.out / "empty.h5").write_bytes(b"")
        (self.out / "random.bin").write_bytes(np.random.default_rng(1).bytes(1000))
        (self.out / "half.h5").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        for name in ("empty.h5", "random.bin", "half.h5", "no.h5", "data"):
            for arguments in ((), ("--svg", self.out / "a.svg"), ("--html", self.out / "a.html")):
                self.assert_one_line(self.view(self.out / name, *arguments, check=None), name)
        self.assertEqual([p.name for p in self.out.iterdir() if p.name.startswith("a.")], [])

    def test_quality_of_samples_that_are_far_apart_reaches_to_the_next(self):
        path = self.faulty()
        # Ten missing samples, eight pixels from one to the next.
        self.view(path, "-c", 's<i>/x"<y>&', "-r", "#39990:#40090", "--svg", self.out / "a.svg")
        root = xml.etree.ElementTree.parse(self.out / "a.svg").getroot()
        strips = [r for r in root.iter(f"{SVG}rect") if r.get("class") == "bad"]
        self.assertEqual(len(strips), 2)  # and the legend
        width = (960 - 84 - 24) / 100
        self.assertAlmostEqual(float(strips[0].get("x")), 84 + 9.5 * width, delta=1.5)
        self.view(path, "-c", 's<i>/x"<y>&', "--html", self.out / "a.html")
        found = self.in_browser(self.out / "a.html", """
          S.range(3.9995, 4.0005); S.draw();
          const canvas = document.getElementById("panels"), context = canvas.getContext("2d");
          const foot = document.getElementById("scroll").clientHeight - 4 - 10 - 3;
          const red = (x) => { const [r, g] = context.getImageData(x, foot, 1, 1).data; return r > 150 && g < 100; };
          const from = 74, to = canvas.width - 12;
          found.red = [];
          for (let x = from; x < to; ++x) if (red(x)) found.red.push((x - from) / (to - from));
          found.columns = to - from;
        """, "missing")
        self.assertAlmostEqual(min(found["red"]), 0.45, delta=0.01)
        self.assertGreater(len(found["red"]) / found["columns"], 0.5)

    def odd(self):
        """Channels without values, constant, infinite here and there; and an empty stream."""
        values = np.zeros((300, 4))
        values[:, 0] = np.nan
        values[:, 1] = 7
        values[:, 2] = np.sin(np.arange(300) / 10)
        values[100:102, 2] = np.inf, -np.inf
        values[:, 3] = np.inf
        values.astype("<f8").tofile(self.out / "odd.f64")
        (self.out / "empty.f64").write_bytes(b"")

        def stream(name, frames, channels):
            return {"name": name, "file": f"{name}.f64", "offset_bytes": 0, "dtype": "float64", "byte_order": "little",
                    "layout": "interleaved", "frames": frames, "channel_count": len(channels),
                    "time": {"kind": "uniform", "rate_hz": 100.0, "t0_s": 0.0},
                    "channels": [{"name": c, "unit": "V", "calibration": {"kind": "linear", "scale": 1.0, "offset": 0.0},
                                  "missing_raw_value": None} for c in channels]}

        sidecar = {"schema": "recording/1", "name": "odd", "title": "odd", "start": {"utc": "2026-05-04T10:44:18"},
                   "streams": [stream("odd", 300, "abcd"), stream("empty", 0, "z")]}
        self.write("recording.json", json.dumps(sidecar))
        self.record(f'sources: [{{type: recording, path: "{self.out}/recording.json"}}]\nrecord: [{{path: run.h5}}]\n', "-q")
        return self.out / "data/run.h5"

    def test_odd_values_are_drawn_and_told(self):
        path = self.odd()
        result = self.view(path)
        self.assertIn("no values, all missing or NaN", result.stdout)
        self.assertIn("7 throughout", result.stdout)
        self.assertIn("and infinite", result.stdout)
        for kind in ("svg", "html"):
            self.view(path, f"--{kind}", self.out / f"a.{kind}")
        self.assertIn("some infinite", (self.out / "a.svg").read_text())
        self.assertIn("infinite throughout", result.stdout)
        self.assertIn("empty/z, V: no samples", result.stdout)
        self.assertIn("2026-05-04 10:44:18.00", result.stdout)
        channels = Page(self.out / "a.html").stream("odd")["channels"]
        self.assertEqual(channels[0]["values"], 0)
        self.assertIsNone(channels[0]["low"])
        self.assertEqual((channels[1]["low"], channels[1]["high"]), (7, 7))
        self.assertEqual((channels[2]["values"], channels[3]["low"]), (300, None))
        found = self.in_browser(self.out / "a.html", "S.draw(); found.at = S.hover(1.0); S.range(0.9, 1.1); S.draw();", "odd")
        texts = [p["text"] for p in found["at"]["panels"]]
        self.assertEqual(texts[0][:13], "#100: missing")
        self.assertEqual(texts[1:4], ["#100: 7 V · good", "#100: infinite V · good", "#100: infinite V · good"])

    def test_a_growing_recording_is_shown_as_far_as_it_is(self):
        config = self.write("config.yaml", GENERATOR.format(speed="real", duration="1 h"))
        (self.out / "data").mkdir()
        process = subprocess.Popen([os.environ["SPILLWAY"], "record", config, "-o", self.out / "data", "-q"])
        try:
            part = self.out / "data/run.h5.part"
            shown = lambda result: result.returncode == 0 and "no samples" not in result.stdout
            self.wait_until(lambda: shown(self.view(part, check=None)), process)
            result = self.view(part)
            self.assertIn("not finished", result.stdout)
            self.assertIn("g/x, V", result.stdout)
            self.view(part, "--html", self.out / "a.html")
            self.assertIn("not finished", Page(self.out / "a.html").recording["facts"])
        finally:
            process.terminate()
            process.wait()

    # ---------------------------------------------------------------- drawing

    def test_a_drawing_is_whole_and_its_size_goes_by_pixels(self):
        sizes = []
        for seconds in (10, 60):
            path = self.faulty(seconds)
            self.view(path, "--svg", self.out / "a.svg", "--force")
            sizes.append((self.out / "a.svg").stat().st_size)
            shutil.rmtree(self.out / "data")
        self.assertLess(max(sizes), 150_000)
        root = xml.etree.ElementTree.parse(self.out / "a.svg").getroot()
        texts = [t.text for t in root.iter(f"{SVG}text")]
        self.assertIn('s<i>/x"<y>&, V', texts)
        self.assertIn("faults </script><!-- & <b>bold</b>", texts)
        self.assertTrue(any(t.startswith("time, ") for t in texts), texts)
        self.assertLessEqual({"gap", "suspect", "bad"}, set(texts))
        classes = [r.get("class") for r in root.iter(f"{SVG}rect")]
        self.assertEqual(classes.count("gap"), 3)  # one a panel, and the legend
        # The gap is where it is: samples 30000 to 34999 of 600000.
        width = 960 - 84 - 24
        gap = next(r for r in root.iter(f"{SVG}rect") if r.get("class") == "gap")
        self.assertAlmostEqual(float(gap.get("x")), 84 + 0.05 * width, delta=1.5)
        self.assertAlmostEqual(float(gap.get("width")), 5 / 600 * width, delta=1.5)
        envelopes = [p.get("d") for p in root.iter(f"{SVG}path") if p.get("class") == "envelope"]
        self.assertEqual(len(envelopes), 2)
        self.assertGreaterEqual(envelopes[0].count("M"), 2)  # interrupted by the gap
        numbers = np.array(re.findall(r"[-\d.]+", envelopes[0]), float)
        self.assertTrue(np.isfinite(numbers).all())
        # One sample a pixel, and fewer, are a line through the samples themselves.
        self.record(FAULTY.format(seconds=4), "-q")
        self.view(self.out / "data/run.h5", "-r", "#1000:#1100", "--svg", self.out / "line.svg")
        root = xml.etree.ElementTree.parse(self.out / "line.svg").getroot()
        curves = [p.get("d") for p in root.iter(f"{SVG}path") if p.get("class") == "curve"]
        self.assertEqual([c.count("M") + c.count("L") for c in curves], [100, 100])

    def test_files_are_not_replaced_and_not_left_half_done(self):
        path = self.faulty(2)
        for kind in ("svg", "html"):
            there = self.out / f"there.{kind}"
            there.write_text("mine")
            self.assert_one_line(self.view(path, f"--{kind}", there, check=None), "exists already", "--force")
            self.assertEqual(there.read_text(), "mine")
            self.view(path, f"--{kind}", there, "--force")
            self.assertIn("<svg" if kind == "svg" else "<!doctype html>", there.read_text())
            self.assert_one_line(self.view(path, f"--{kind}", self.out / "no/such", check=None), "no")
            # Never the recording itself, whatever it is called.
            before = path.read_bytes()
            link, hard = self.out / f"link.{kind}", self.out / f"hard.{kind}"
            link.symlink_to(path)
            os.link(path, hard)
            for same in (path, link, hard):
                self.assert_one_line(self.view(path, f"--{kind}", same, "--force", check=None), "is the input")
            self.assertTrue(path.read_bytes() == before)
            self.assert_one_line(self.view(path, f"--{kind}", "/dev/full", check=None), "/dev/full")
        small = self.out / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "spillway-test", small], capture_output=True).returncode != 0:
            print("the full disk is not tested: that takes the right to mount")
            return
        try:
            self.assert_one_line(self.view(path, "--html", small / "a.html", check=None), "a.html", "No space left")
            self.assertEqual(list(small.iterdir()), [])
        finally:
            subprocess.run(["umount", small], check=True)

    def test_a_view_that_was_killed_is_in_nobodys_way(self):
        path = self.faulty(2)
        pages = self.out / "pages"
        pages.mkdir()

        def killed_by_the_first_write():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        for kind in ("svg", "html"):
            page = pages / f"a.{kind}"
            result = self.view(path, f"--{kind}", page, check=-signal.SIGXFSZ, preexec_fn=killed_by_the_first_write)
            self.assertEqual(result.stderr, "")
            self.assertFalse(page.exists())
            self.assertEqual(len(list(pages.glob(f"a.{kind}.*part"))), 1)  # else there was nothing to be in the way
            self.view(path, f"--{kind}", page)
            self.assertTrue(page.exists())
        self.assertNotIn("a.", self.run_spillway("recover", pages, check=0).stdout)

    def test_a_recording_without_a_title_is_headed_by_the_name_of_its_file(self):
        path = self.write("t.csv", "time,x\n0,1\n1,2\n2,1\n")
        self.assertEqual(self.view(path).stdout.splitlines()[0], str(path))
        self.assertEqual(self.run_spillway("info", path, check=0).stdout.splitlines()[0], str(path))
        for kind in ("svg", "html"):
            self.view(path, f"--{kind}", self.out / f"t.{kind}")
            self.assertEqual(re.search("<title>(.*)</title>", (self.out / f"t.{kind}").read_text())[1], "t.csv")
            self.assertNotIn(str(self.out), (self.out / f"t.{kind}").read_text())
        # Nor does that of one with a title tell where it lies.
        path = self.faulty(2)
        for kind in ("svg", "html"):
            self.view(path, f"--{kind}", self.out / f"u.{kind}")
            text = (self.out / f"u.{kind}").read_text()
            self.assertIn("· run.h5", text)
            self.assertNotIn(str(self.out), text)

    # ---------------------------------------------------------------- page

    def test_a_page_holds_every_sample(self):
        path = self.faulty()
        self.view(path, "--html", self.out / "a.html")
        page = Page(self.out / "a.html")
        # Names are data and words, never code.
        self.assertEqual(page.text.count("<script"), len(page.blocks) + 2)
        self.assertEqual(page.text.count("<b>"), 0)
        self.assertNotIn("http", re.sub(r"http-equiv", "", page.text))
        self.assertIn(html.escape("faults </script><!-- & <b>bold</b>", quote=False), page.text)
        stream = page.stream("s<i>")
        self.assertEqual(stream["fold"], 1)
        self.assertEqual([(g["first"], g["count"]) for g in stream["gaps"]], [(30000, 5000)])
        self.assertAlmostEqual(stream["gaps"][0]["begin"], 3e9)
        self.assertAlmostEqual(stream["gaps"][0]["end"], 3.5e9)
        self.assertEqual(stream["segments"]["number"], [0, 35000])
        with h5py.File(path) as f:
            for channel in stream["channels"]:
                recorded = f["entry/s<i>"][channel["name"]][:].astype(float)
                quality = f["entry/s<i>"][channel["name"] + "_quality"][:]
                low, high, flags = page.level(channel["levels"][0])
                np.testing.assert_array_equal(flags, quality)
                missing = ((quality & 3) == 3) & ((quality & 8) != 0)
                np.testing.assert_array_equal(np.isnan(low), missing | np.isnan(recorded))
                there = ~np.isnan(low)
                # A float of what a block's samples differ by.
                tolerance = np.ptp(recorded[there]) * 2.0**-24 + 1e-300
                self.assertLessEqual(np.abs(low - recorded)[there].max(), tolerance)
                for level in channel["levels"][1:]:
                    self.check_level(page, level, recorded, quality, stream["segments"], tolerance)

    def check_level(self, page, level, recorded, quality, segments, tolerance):
        low, high, flags = page.level(level)
        at = 0
        for row, n in zip(segments["row"], segments["count"]):
            for begin in range(row, row + n, level["rows"]):
                part = slice(begin, min(begin + level["rows"], row + n))
                values = recorded[part][~np.isnan(recorded[part])]
                if len(values) == 0:
                    self.assertTrue(np.isnan(low[at]))
                else:
                    self.assertLessEqual(abs(low[at] - values.min()), tolerance)
                    self.assertLessEqual(abs(high[at] - values.max()), tolerance)
                self.assertEqual(flags[at] & 3, (quality[part] & 3).max())
                self.assertEqual(flags[at] & 0xFC, np.bitwise_or.reduce(quality[part]) & 0xFC)
                at += 1
        self.assertEqual(at, level["points"])

    def test_a_page_of_more_than_its_budget_is_coarser_and_says_so(self):
        # Two channels are more than 64 MiB at full detail; one sample in eight keeps this test short.
        text = FAULTY.format(seconds=1000).replace("    faults:", "    faults:\n      - {kind: lost, first: 9000000, count: 10}")
        self.record(text, "-q")
        result = self.view(self.out / "data/run.h5", "--html", self.out / "a.html")
        self.assertRegex(result.stdout, r"finest detail of s<i>: \d+ samples a point")
        self.assertLess((self.out / "a.html").stat().st_size, 64 * 2**20 * 4 / 3 * 1.02 + 300_000)
        page = Page(self.out / "a.html")
        self.assertIn("finest detail", page.recording["notes"][0])
        stream = page.stream("s<i>")
        self.assertGreater(stream["fold"], 1)
        self.assertEqual([c["levels"][0]["rows"] for c in stream["channels"]], [stream["fold"]] * 2)

    def test_irregular_times_and_raw_values(self):
        if not DATA.is_dir():
            self.skipTest(f"no recordings at {DATA}")
        for name, channel in (("machine_temperature", "temperature"), ("ecg_mitbih_100", "MLII")):
            self.record(f'sources: [{{type: recording, path: "{DATA}/{name}/recording.json"}}]\nrecord: [{{path: {name}.h5}}]\n', "-q")
            path = self.out / f"data/{name}.h5"
            self.view(path, "--html", self.out / f"{name}.html", "--raw", "-c", channel)
            page = Page(self.out / f"{name}.html")
            stream = page.recording["streams"][0]
            self.assertEqual([c["name"] for c in stream["channels"]], [channel])
            self.assertIn("raw values", page.recording["notes"])
            with h5py.File(path) as f:
                group = f["entry"][stream["name"]]
                np.testing.assert_array_equal(page.level(stream["channels"][0]["levels"][0])[0], group[channel][:].astype(np.float32))
                if stream["times"]:
                    times = np.concatenate([np.frombuffer(page.blocks[b], "<f8") for b in stream["times"]["blocks"]])
                    np.testing.assert_array_equal(times, (group["time_ns"][:] - int(page.recording["base"]["from_origin_ns"])).astype(float))

    # ---------------------------------------------------------------- browser

    def in_browser(self, page, script, name):
        """Runs a script in the page, which leaves what it found in `found`; returns that, and what went wrong."""
        if CHROMIUM is None:
            self.skipTest("chromium is not installed")
        text = page.read_text()
        end = text.rindex("</body>")
        errors = ("<script>window.wrong = []; addEventListener('error', (e) => wrong.push(e.message)); "
                  "addEventListener('securitypolicyviolation', (e) => wrong.push(e.violatedDirective)); "
                  "for (const k of ['error', 'warn']) console[k] = (...a) => wrong.push(a.join(' '));</script>")
        begin = text.index("</head>")
        tested = self.out / f"tested-{name}.html"
        tested.write_text(text[:begin] + errors + text[begin:end] + f"<script>{{ const found = {{}}; const S = window.spillway;\n"
                          f"try {{ {script} }} catch (e) {{ wrong.push(String(e.stack)); }}\n"
                          "const out = document.createElement('pre'); out.id = 'found';"
                          "out.textContent = JSON.stringify({found, wrong}); document.body.append(out); }</script>" + text[end:])
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,720",
                   f"--user-data-dir={self.out}/profile"]
        result = subprocess.run([*command, "--dump-dom", tested.as_uri()], capture_output=True, text=True, timeout=240)
        answer = re.search(r'<pre id="found">(.*?)</pre>', result.stdout, re.S)
        self.assertIsNotNone(answer, result.stderr[-2000:])
        if PICTURES:
            pathlib.Path(PICTURES).mkdir(parents=True, exist_ok=True)
            subprocess.run([*command, f"--screenshot={PICTURES}/{name}.png", tested.as_uri()], capture_output=True, timeout=240)
        answer = json.loads(html.unescape(answer[1]))
        self.assertEqual(answer["wrong"], [])
        return answer["found"]

    # The colour of a pixel that is not the ground, grid or text; where the curve is.
    PIXELS = """
      const canvas = document.getElementById("panels"); const context = canvas.getContext("2d");
      const columnOf = (x) => { const d = context.getImageData(x, 0, 1, 200).data; let curve = 0;
        for (let y = 30; y < 200; ++y) if (d[4*y] < 60 && d[4*y+2] > 120) ++curve; return curve; };
    """

    def test_the_page_shows_what_is_recorded(self):
        path = self.faulty()
        self.view(path, "--html", self.out / "a.html")
        found = self.in_browser(self.out / "a.html", self.PIXELS + """
          found.whole = S.range();
          found.first = S.hover(0.1234);
          S.draw();
          const left = 74 + 1, width = canvas.width - 74 - 12;
          found.in_gap = columnOf(Math.round(left + 0.325 * width));
          found.beside = [columnOf(Math.round(left + 0.28 * width)), columnOf(Math.round(left + 0.37 * width))];
          found.gap = S.hover(3.2);
          found.missing = S.hover(4.005);
          S.range(2.9999, 3.0001);
          S.draw();
          found.detail = S.detail();
          found.last = S.hover(2.9999);
          S.zoom(2, 3.0);
          found.zoomed = S.range();
          S.pan(0.5);
          found.panned = S.range();
          S.show("level", false);
          found.channels = S.channels();
          S.reset();
          found.reset = S.range();
          S.hover(20);
          const key = (k) => document.dispatchEvent(new KeyboardEvent("keydown", { key: k }));
          key("+"); found.key = S.range(); key("0"); key("ArrowRight"); found.arrow = S.range(); key("0");
          key("Escape"); key("."); key("."); found.spoken = document.getElementById("spoken").textContent;
          key("G"); found.gap_spoken = document.getElementById("spoken").textContent;
          const box = canvas.getBoundingClientRect();
          canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -500, clientX: box.left + 400, clientY: box.top + 80, cancelable: true }));
          found.wheel = S.range();
          canvas.dispatchEvent(new MouseEvent("dblclick")); found.double = S.range();
          found.title = document.title;
          found.names = [...document.querySelectorAll("#names label")].map((l) => l.textContent);
        """, "faulty")
        with h5py.File(path) as f:
            x = f["entry/s<i>"]['x"<y>&'][:]
            level = f["entry/s<i>"]["level"][:]
        self.assertEqual(found["whole"], [0, 10])
        first = {p["name"]: p for p in found["first"]["panels"]}
        self.assertEqual(first['s<i>/x"<y>&']["sample"], 1234)
        self.assertAlmostEqual(first['s<i>/x"<y>&']["value"], x[1234], delta=3.8 * 2**-24)
        self.assertAlmostEqual(first["s<i>/level"]["value"], level[1234], delta=np.ptp(level) * 2**-23)
        self.assertRegex(first['s<i>/x"<y>&']["text"], r"^#1234: [-\d.]+ V · ")
        self.assertEqual(found["in_gap"], 0)
        self.assertGreater(min(found["beside"]), 0)
        for panel in found["gap"]["panels"]:
            self.assertEqual(panel["text"], "gap: 5,000 samples missing at the source, #30000 to #34999")
        missing = found["missing"]["panels"][0]
        self.assertEqual((missing["sample"], missing["text"]), (40050, "#40050: missing · bad: missing"))
        self.assertEqual(found["detail"][0]["rows_per_point"], 1)
        self.assertEqual(found["last"]["panels"][0]["sample"], 29999)
        self.assertEqual(found["last"]["time"], "2.9999000 s")
        np.testing.assert_allclose(found["zoomed"], [2.99995, 3.00005], atol=1e-7)
        np.testing.assert_allclose(found["panned"], [3.0, 3.0001], atol=1e-7)
        self.assertEqual([c["shown"] for c in found["channels"]], [True, False])
        self.assertEqual(found["reset"], [0, 10])
        np.testing.assert_allclose(found["key"], [2.5, 7.5])
        np.testing.assert_allclose(found["arrow"], [2, 12])
        self.assertIn("#50", found["spoken"])
        self.assertIn("gap: 5,000 samples", found["gap_spoken"])
        self.assertLess(found["wheel"][1] - found["wheel"][0], 9.9)
        self.assertEqual(found["double"], [0, 10])
        self.assertEqual(found["title"], "faults </script><!-- & <b>bold</b>")
        self.assertEqual(found["names"], ['x"<y>& V', "level Pa"])

    def test_pages_of_real_recordings(self):
        if not DATA.is_dir():
            self.skipTest(f"no recordings at {DATA}")
        for name in ("das_idas005", "flight_px4_small", "gw_strain_h1", "icu_segments_s25047", "machine_temperature"):
            with self.subTest(name):
                self.record(f'memory_budget: 2 GiB\nsources: [{{type: recording, path: "{DATA}/{name}/recording.json"}}]\nrecord: [{{path: {name}.h5}}]\n', "-q")
                self.view(self.out / f"data/{name}.h5", "--html", self.out / f"{name}.html")
                found = self.in_browser(self.out / f"{name}.html", """
                  S.draw(); const [a, b] = S.range(); found.range = [a, b]; S.hover((a + b) / 2);
                  for (let i = 0; i < 40; ++i) { S.zoom(1.5, a + (b - a) * 0.6); S.draw(); found.hover = S.hover(a + (b - a) * 0.6); }
                  S.reset(); S.draw(); found.shown = S.channels().filter((c) => c.shown).length; found.all = S.channels().length;
                """, name)
                with h5py.File(self.out / f"data/{name}.h5") as f:
                    streams = [s for s in self.info(self.out / f"data/{name}.h5")["streams"]]
                self.assertEqual(found["all"], sum(len(s["channels"]) for s in streams))
                self.assertLessEqual(found["shown"], 9)
                self.assertTrue(any(p["sample"] is not None for p in found["hover"]["panels"]), found["hover"])
            shutil.rmtree(self.out / "data")


if __name__ == "__main__":
    unittest.main()
