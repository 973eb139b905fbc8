"""What the program tests share."""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

SPILLWAY = os.environ["SPILLWAY"]
SOURCE = pathlib.Path(os.environ["SPILLWAY_SOURCE"])
DATA = pathlib.Path(os.environ.get("SPILLWAY_DATA_DIR") or os.environ["SPILLWAY_DEFAULT_DATA_DIR"])

GENERATOR = """
title: test
sources:
  - type: generator
    name: g
    rate: 1 kHz
    speed: {speed}
    duration: {duration}
    channels:
      - {{name: x, unit: V, frequency: 3 Hz, noise: 0.1, limit: 0.95}}
      - {{name: y, unit: V, shape: noise}}
    faults:
      - {{kind: lost, first: 1000, count: 17, every: 3000}}
      - {{kind: nan, channel: y, first: 50, count: 3}}
graph:
  - {{id: low, type: lowpass, input: g, order: 4, cutoff: 20 Hz}}
record:
  - {{path: run.h5, flush: 100 ms}}
  - {{path: run.csv, streams: [g]}}
"""


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="spillway-")
        self.addCleanup(self.directory.cleanup)
        self.out = pathlib.Path(self.directory.name)

    def write(self, name, text):
        path = self.out / name
        path.write_text(text)
        return path

    def run_spillway(self, *arguments, check=None, **options):
        result = subprocess.run([SPILLWAY, *map(str, arguments)], capture_output=True, text=True, timeout=600, **options)
        if check is not None:
            self.assertEqual(result.returncode, check, result.stdout + result.stderr)
        return result

    def wait_until(self, condition, process):
        """For what a process does before long, on a busy machine too."""
        end = time.monotonic() + 300
        while not condition():
            if process.poll() is not None:
                self.fail(f"it has ended: {process.communicate()}")
            self.assertLess(time.monotonic(), end, "it never happened")
            time.sleep(0.02)

    def record(self, text, *arguments, check=0, **options):
        (self.out / "data").mkdir(exist_ok=True)
        config = self.write("config.yaml", text)
        return self.run_spillway("record", config, "-o", self.out / "data", *arguments, check=check, **options)

    def assert_one_line(self, result, *parts):
        """A clear, single line on standard error, an exit status of 1."""
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        lines = [line for line in result.stderr.splitlines() if line.startswith("spillway: ")]
        self.assertEqual(len(lines), 1, result.stderr)
        for part in parts:
            self.assertIn(part, lines[0])

    def info(self, path):
        return json.loads(self.run_spillway("info", path, "--json", check=0).stdout)

    def rows(self, path):
        """How many of all streams there are; 0 of what can't be read yet."""
        result = self.run_spillway("info", path, "--json")
        if result.returncode != 0:
            return 0
        return min(s["rows"] for s in json.loads(result.stdout)["streams"])
