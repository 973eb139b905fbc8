"""Published streams: `publish` in a configuration, `spillway channels`, `spillway tail`."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from support import SPILLWAY, Case

CONFIGURATION = """
sources:
  - type: generator
    name: g
    rate: {rate}
    speed: real
    duration: {duration}
    capacity: {capacity}
    channels:
      - {{name: ramp, unit: V, shape: sine, frequency: 3 Hz, amplitude: 2}}
      - {{name: noise, unit: m/s2, shape: noise, limit: 1.5}}
    faults:
      - {{kind: lost, first: 500, count: 20, every: 1000}}
graph:
  - {{id: low, type: lowpass, input: g, cutoff: 20 Hz}}
publish: [{{stream: g, name: {name}}}, {{stream: low, name: {name} low}}]
"""


class SharedMemory(Case):
    def setUp(self):
        super().setUp()
        self.name = f"test-{os.getpid()}-{self._testMethodName}"
        self.addCleanup(self.remove_segments)

    def remove_segments(self):
        for file in pathlib.Path("/dev/shm").glob(f"spillway.{self.name}*"):
            file.unlink()

    def configuration(self, duration="1 h", rate="2 kHz", capacity="2 s"):
        return self.write("config.yaml", CONFIGURATION.format(duration=duration, rate=rate, capacity=capacity, name=self.name))

    def start(self, *arguments):
        """Its output goes to a file, since a full pipe would hold it up."""
        with tempfile.NamedTemporaryFile("w", dir=self.out, suffix=".txt", delete=False) as output:
            process = subprocess.Popen([SPILLWAY, *map(str, arguments)], stdout=output, stderr=subprocess.PIPE, text=True)
        process.output = pathlib.Path(output.name)
        return process

    def finish(self, process):
        err = process.communicate(timeout=300)[1]
        return process.output.read_text(), err

    @contextlib.contextmanager
    def publisher(self, **options):
        process = self.start("record", self.configuration(**options))
        try:
            self.wait_until(lambda: any(c.get("stream") == "low" and c.get("process") == process.pid for c in self.channels()), process)
            yield process
        finally:
            process.kill()
            process.communicate()

    def wait_for_lines(self, tail, more=0):
        """Until it has written more than that; returns how many there are."""
        lines = lambda: tail.output.read_text().count("\n")
        self.wait_until(lambda: lines() > more, tail)
        return lines()

    def channels(self):
        """Those of this test; other programs may publish meanwhile."""
        listed = json.loads(self.run_spillway("channels", "--json", check=0).stdout)
        return [c for c in listed if c["name"].startswith(self.name)]

    @staticmethod
    def books(err):
        """What tail says at its end: read, lost, missing."""
        return [int(n.replace(",", "")) for n in re.search(r"read ([\d,]+), lost ([\d,]+), missing ([\d,]+)", err).groups()]

    def test_channels_lists_what_is_published(self):
        with self.publisher() as process:
            g, low = self.channels()
            self.assertEqual([g["name"], low["name"]], [self.name, self.name + " low"])
            self.assertEqual([g["stream"], low["stream"]], ["g", "low"])
            self.assertEqual(g["publisher"], "alive")
            self.assertEqual(g["process"], process.pid)
            self.assertEqual(g["rate_hz"], 2000)
            self.assertEqual([(c["name"], c["type"], c["unit"]) for c in g["channels"]],
                             [("ramp", "float64", "V"), ("noise", "float64", "m/s2")])
            self.wait_until(lambda: self.channels()[0]["produced"] >= 2000, process)
            again = self.channels()[0]
            self.assertGreater(again["produced"], g["produced"])
            self.assertEqual(again["missing"], 20 * sum(1 for first in range(500, again["produced"], 1000)))
            text = self.run_spillway("channels", check=0).stdout
            self.assertIn("ramp (V), noise (m/s2)", text)
            self.assertRegex(text, rf"(?m)^{self.name} +2000 Hz +[\d,]+ +process {process.pid}, \d+ s")

    def test_tail_follows_until_the_publisher_finishes(self):
        with self.publisher() as process:
            tail = self.start("tail", self.name, "-n", "100000")
            self.wait_for_lines(tail, 2000)
            process.send_signal(signal.SIGINT)
            out, err = self.finish(tail)
            self.assertEqual(process.wait(timeout=300), 0)
        self.assertEqual(tail.returncode, 0, err)
        self.assertIn("finished", err)
        lines = out.splitlines()
        self.assertEqual(lines[0], "sample,time_s,ramp (V),noise (m/s2)")
        # The source tells of a gap as far as it has come, so it may be told in two parts.
        told = re.findall(r"(?m)^# from sample (\d+): (\d+) samples missing at the source$", out)
        missing = [first + i for first, count in ((int(a), int(b)) for a, b in told) for i in range(count)]
        read, lost, absent = self.books(err)
        end = read + absent
        self.assertGreater(end, 2000)
        self.assertEqual((lost, absent), (0, len(missing)))
        self.assertEqual(missing, [n for n in range(end) if 500 <= n % 1000 < 520])
        samples = [line.split(",") for line in lines[1:] if not line.startswith("#")]
        expected = [n for n in range(end) if not 500 <= n % 1000 < 520]
        self.assertTrue([int(s[0]) for s in samples] == expected, samples[:3])
        self.assertTrue([s[1] for s in samples] == [f"{n / 2000:.9f}" for n in expected], samples[:3])
        self.assertTrue(any(line.endswith(",1.5  # noise: suspect: out of range") for line in lines))

    def test_tail_tells_a_burst_in_one_line_a_summary(self):
        config = self.configuration(duration="3 s")
        config.write_text(config.read_text().replace("first: 500, count: 20, every: 1000", "first: 2500, count: 2000"))
        process = self.start("record", config)
        try:
            self.wait_until(lambda: len(self.channels()) == 2, process)
            tail = self.start("tail", self.name, "-n", "100000", "--every", "0.5")
            out, err = self.finish(tail)
        finally:
            process.kill()
            process.communicate()
        self.assertEqual(tail.returncode, 0, err)
        told = [int(count.replace(",", "")) for count in re.findall(r"(?m)^# from sample \d+: ([\d,]+) samples missing", out)]
        self.assertEqual(sum(told), 2000, out)
        # A summary may fall into the burst; nothing else may come between two lines of it.
        self.assertNotRegex(out, r"(?m)^#.*\n#")
        self.assertLess(len(told), 10)

    def test_tail_tells_that_the_publisher_died(self):
        with self.publisher() as process:
            tail = self.start("tail", self.name + " low", "--every", "0.1")
            self.wait_for_lines(tail)
            process.kill()
            out, err = self.finish(tail)
        self.assertEqual(tail.returncode, 3, err)
        self.assertIn("died", err)
        self.assertRegex(out, r"to sample \d+: [\d,]+ samples; ramp -?[\d.e-]+ to ")
        # It stays, is named as what it is, readable, and makes room for the next one.
        self.assertEqual([c["publisher"] for c in self.channels()], ["gone", "gone"])
        rest = self.run_spillway("tail", self.name, "-n", "5")
        self.assertEqual(rest.returncode, 3)
        self.assertEqual(len(rest.stdout.splitlines()), 6)
        with self.publisher() as process:
            self.assertEqual([c["process"] for c in self.channels()], [process.pid] * 2)
            self.assertEqual([c["publisher"] for c in self.channels()], ["alive"] * 2)

    def test_tail_goes_on_with_a_publisher_that_took_over(self):
        with self.publisher() as first:
            tail = self.start("tail", self.name)
            self.wait_for_lines(tail, 1)
            tail.send_signal(signal.SIGSTOP)
            first.kill()
            first.wait()
            with self.publisher():
                tail.send_signal(signal.SIGCONT)
                self.wait_until(lambda: re.search(r"(?m)^[1-9]\d*,.*\n(#.*\n)*0,", tail.output.read_text()), tail)
                tail.send_signal(signal.SIGINT)
                out, err = self.finish(tail)
        self.assertEqual(tail.returncode, 0, err)
        self.assertIn("died and another took over", err)
        numbers = [int(line.split(",")[0]) for line in out.splitlines()[1:] if not line.startswith("#")]
        restarts = [i for i in range(1, len(numbers)) if numbers[i] <= numbers[i - 1]]
        self.assertEqual(len(restarts), 1)

    def while_stopped(self, tails, first, what):
        """Kills the first publisher and does `what` before the tails can look."""
        for tail in tails:
            tail.send_signal(signal.SIGSTOP)
        first.kill()
        first.wait()
        what()
        for tail in tails:
            tail.send_signal(signal.SIGCONT)

    def test_tail_of_a_dead_publisher_whose_successor_is_gone_too(self):
        with self.publisher() as first:
            tail = self.start("tail", self.name)
            self.wait_for_lines(tail, 1)
            self.while_stopped([tail], first, self.remove_segments)
            out, err = self.finish(tail)
        self.assertEqual(tail.returncode, 3, err)
        self.assertIn("died", err)
        self.assertEqual(self.books(err)[0], sum(not line.startswith("#") for line in out.splitlines()) - 1)

    def test_tail_tells_the_channels_of_a_publisher_that_took_over(self):
        self.configuration()
        other = self.write("other.yaml", CONFIGURATION.format(duration="1 h", rate="2 kHz", capacity="2 s", name=self.name)
                           .replace("name: ramp, unit: V", "name: current, unit: A"))
        with self.publisher() as first:
            samples = self.start("tail", self.name)
            summaries = self.start("tail", self.name, "--every", "1")
            self.wait_for_lines(samples, 1)
            self.wait_for_lines(summaries)
            self.while_stopped([samples, summaries], first, lambda: setattr(self, "second", self.start("record", other))
                               or self.wait_until(lambda: self.channels()[0]["process"] == self.second.pid, self.second))
            self.addCleanup(self.second.kill)
            self.wait_until(lambda: "current" in samples.output.read_text(), samples)
            self.wait_until(lambda: "; current " in summaries.output.read_text(), summaries)
            self.second.send_signal(signal.SIGINT)
            out, err = self.finish(samples)
            headers = [line for line in out.splitlines() if line.startswith("sample,")]
            self.assertEqual(headers, ["sample,time_s,ramp (V),noise (m/s2)", "sample,time_s,current (A),noise (m/s2)"], err)
            out, err = self.finish(summaries)
            self.finish(self.second)
        told = [int(n.replace(",", "")) for n in re.findall(r"(?m)^to sample \d+: ([\d,]+) samples; ", out)]
        self.assertIn("; ramp ", out)
        self.assertIn("; current ", out)
        self.assertEqual(sum(told), self.books(err)[0])

    def test_output_that_can_not_be_written_is_an_error(self):
        with self.publisher(), open("/dev/full", "w") as full:
            for arguments in (["channels"], ["tail", self.name, "-n", "100", "-d", "0.2"]):
                result = subprocess.run([SPILLWAY, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn("output could be written", result.stderr)
            # One who has seen enough is none.
            reader = subprocess.run(f"{SPILLWAY} tail '{self.name}' -d 0.5 | head -n 1; exit ${{PIPESTATUS[0]}}", shell=True,
                                    executable="/bin/bash", capture_output=True, text=True, timeout=300)
            self.assertEqual(reader.returncode, 0, reader.stderr)

    def test_tail_counts_what_it_was_too_slow_for(self):
        with self.publisher(rate="100 kHz", capacity="10 ms") as process:
            tail = self.start("tail", self.name)
            self.wait_for_lines(tail, 1)
            tail.send_signal(signal.SIGSTOP)
            # The ring holds more than was asked for: at least 16,384 samples for a generator.
            before = self.channels()[0]["produced"]
            self.wait_until(lambda: self.channels()[0]["produced"] > before + 200_000, process)
            tail.send_signal(signal.SIGCONT)
            self.wait_until(lambda: re.search(r"samples lost: .*\n\d", tail.output.read_text()), tail)
            tail.send_signal(signal.SIGTERM)
            out, err = self.finish(tail)
        self.assertEqual(tail.returncode, 3, err)
        read, lost, missing = self.books(err)
        told = sum(int(n.replace(",", "")) for n in re.findall(r"(?m)^# from sample \d+: ([\d,]+) samples lost: overwritten before they were read$", out))
        self.assertGreater(lost, 100_000)
        self.assertEqual(told, lost)
        numbers = [int(line.split(",")[0]) for line in out.splitlines()[1:] if not line.startswith("#")]
        self.assertEqual(len(numbers), read)
        self.assertEqual(numbers[-1] - numbers[0] + 1, read + lost + missing)

    def test_one_publisher_a_name(self):
        with self.publisher() as process:
            second = self.run_spillway("record", self.configuration())
            self.assert_one_line(second, f"process {process.pid}", self.name)

    def test_clear_errors(self):
        self.assert_one_line(self.run_spillway("tail", self.name), f"no stream is published as '{self.name}'")
        self.assert_one_line(self.run_spillway("tail", "a/b"), "a/b")
        self.assert_one_line(self.run_spillway("tail", "x" * 300), "1 to 200 bytes")
        self.assert_one_line(self.run_spillway("tail", ""), "empty")
        damaged = pathlib.Path(f"/dev/shm/spillway.{self.name}")
        for content in (b"", b"SPILLWAY", b"x" * 5000, b"SPILLWAY" + b"\xff" * 5000):
            with self.subTest(len(content)):
                damaged.write_bytes(content)
                self.assert_one_line(self.run_spillway("tail", self.name), self.name)
                self.assertIn("error", self.channels()[0])
                self.run_spillway("channels", check=0)

    def test_nothing_to_do(self):
        text = self.configuration().read_text()
        without = self.write("without.yaml", text[:text.index("publish:")])
        self.assert_one_line(self.run_spillway("record", without), "record", "publish")
        self.assertEqual(self.run_spillway("tail", self.name, "--every", "0").returncode, 1)
        self.assertIn("--every", self.run_spillway("tail", self.name, "--every", "nan").stderr)
        self.assertIn("--duration", self.run_spillway("tail", self.name, "-d", "nan").stderr)


if __name__ == "__main__":
    unittest.main()
