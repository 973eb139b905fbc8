"""The command line: summaries, errors, exit statuses, signals, full disks."""

import json
import os
import pty
import re
import resource
import select
import signal
import subprocess
import unittest

from support import GENERATOR, SPILLWAY, Case

FAST = GENERATOR.format(speed="max", duration="5 s")
ENDLESS = GENERATOR.format(speed="real", duration="1 h")


class CommandLine(Case):
    def test_help_names_every_command_and_status(self):
        text = self.run_spillway("--help", check=0).stdout
        for word in ("record", "info", "demo", "Exit status", "Examples"):
            self.assertIn(word, text)
        self.assertRegex(self.run_spillway("--version", check=0).stdout, r"^spillway \d+\.\d+\.\d+")

    def test_summary_and_info_agree(self):
        result = self.record(FAST, "--json")
        import json
        summary = json.loads(result.stdout)
        self.assertEqual(summary["errors"], [])
        for recording in summary["recordings"]:
            for stream in recording["streams"]:
                self.assertEqual(stream["produced"], 5000)
                self.assertEqual(stream["missing"], 34)
                self.assertEqual(stream["recorded"] + stream["lost"] + stream["missing"], 5000)
        info = self.info(self.out / "data/run.h5")
        self.assertEqual(info["status"], "complete")
        self.assertEqual([s["name"] for s in info["streams"]], ["g", "low"])
        self.assertEqual(info["streams"][0]["counts"], {"produced": 5000, "recorded": 4966, "lost": 0, "missing": 34})
        self.assertEqual([(g["first_sample"], g["count"]) for g in info["streams"][0]["gaps"]], [(1000, 17), (4000, 17)])
        text = self.run_spillway("info", self.out / "data/run.h5", check=0).stdout
        self.assertIn("produced 5,000 = recorded 4,966 + lost 0 + missing 34", text)
        self.assertIn("samples 1000 to 1016: missing at the source (17)", text)

    def test_existing_output_is_refused_unless_forced(self):
        self.record(FAST, "-q")
        before = (self.out / "data/run.h5").read_bytes()
        self.assert_one_line(self.record(FAST, check=None), "run.h5", "exists already", "--force")
        self.assertEqual((self.out / "data/run.h5").read_bytes(), before)
        self.assertFalse(list((self.out / "data").glob("*.part")))
        self.record(FAST, "--force", "-q")
        self.assertNotEqual((self.out / "data/run.h5").read_bytes(), before)

    def test_errors_are_one_line_and_leave_nothing(self):
        cases = [
            (FAST.replace("cutoff", "cutof"), ("config.yaml:", "did you mean 'cutoff'")),
            (FAST.replace("20 Hz", "500 Hz"), ("config.yaml:", "node 'low'", "500")),
            (FAST.replace("input: g", "input: low"), ("cycle",)),
            (FAST.replace("1 kHz", "1 mile"), ("config.yaml:6:11: 'rate' of 'sources[0]' of the configuration: '1 mile' is not",)),
            (FAST.replace("count: 3}", "count: x}"), ("'count' of 'faults[1]' of 'sources[0]' of the configuration: 'x'",)),
            (FAST.replace("path: run.csv", "pat: run.csv"), ("unknown key 'pat' in 'record[1]' of the configuration",)),
            (FAST.replace("path: run.csv, streams: [g]", "path: ./run.h5"), ("config.yaml:19:5", "run.h5: another recording of this run has that path already")),
            (FAST + "title: again\n", ("'title' stands twice",)),
            (FAST.replace("run.h5", "missing/run.h5"), ("missing",)),
        ]
        for text, parts in cases:
            with self.subTest(parts):
                self.assert_one_line(self.record(text, check=None), *parts)
                self.assertEqual(list((self.out / "data").iterdir()), [])
        self.assert_one_line(self.run_spillway("record", self.out / "none.yaml"), "none.yaml", "No such file")
        self.assert_one_line(self.run_spillway("info", self.out / "none.h5"), "none.h5", "No such file")
        self.assert_one_line(self.run_spillway("info", self.write("text.h5", "hello")), "text.h5", "neither a recording")

    def test_a_command_that_does_not_exist_is_named(self):
        self.assert_one_line(self.run_spillway("vew", "x.h5"), "unknown command 'vew'; did you mean 'view'?")
        self.assert_one_line(self.run_spillway("rekord", "-f", "x"), "'rekord'", "'record'")
        self.assert_one_line(self.run_spillway("transmogrify"), "'transmogrify'; allowed: record, info, view,")
        self.assert_one_line(self.run_spillway("--colour", "view", "x.h5"), "--colour")
        self.assert_one_line(self.run_spillway("--colour"), "'--colour'", "command")
        self.assert_one_line(self.run_spillway(), "subcommand is required")
        self.assert_one_line(self.run_spillway("view"), "file is required")
        self.assert_one_line(self.run_spillway("view", "x.h5", "--rnage", "1:2"), "--rnage")

    def test_what_is_no_text_is_no_configuration(self):
        binary = self.out / "x.npy"
        binary.write_bytes(b"\x93NUMPY\x01\x00")
        for command in (("record",), ("graph",), ("graph", "--rate", "100")):
            with self.subTest(command):
                self.assert_one_line(self.run_spillway(*command, "/dev/zero"), "/dev/zero: is a device, not a ")
                self.assert_one_line(self.run_spillway(*command, binary), f"{binary}: is not text")

    def test_an_output_directory_that_is_none_is_blamed_itself(self):
        config = self.write("config.yaml", FAST)
        for directory, why in ((self.out / "none", "No such file or directory"), (config, "is not a directory")):
            with self.subTest(directory.name):
                result = self.run_spillway("record", config, "-o", directory)
                self.assert_one_line(result, f"--output {directory}: {why}")
                self.assertNotIn("config.yaml:", result.stderr.replace(f"{directory}:", ""))
        self.assertEqual(list(self.out.iterdir()), [config])

    @unittest.skipIf(os.geteuid() == 0, "root may write anywhere")
    def test_unwritable_directory(self):
        (self.out / "data").mkdir()
        (self.out / "data").chmod(0o500)
        self.assert_one_line(self.record(FAST, check=None), "Permission denied")

    def test_signals_stop_cleanly(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                config = self.write("config.yaml", ENDLESS)
                data = self.out / f"data{number}"
                data.mkdir()
                process = subprocess.Popen([SPILLWAY, "record", config, "-o", data], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.wait_until(lambda: self.rows(data / "run.h5.part") > 0, process)
                process.send_signal(number)
                out, err = process.communicate(timeout=300)
                self.assertEqual(process.returncode, 0, out + err)
                self.assertIn("stopped by a signal", out)
                info = self.info(data / "run.h5")
                self.assertEqual(info["status"], "complete")
                counts = info["streams"][0]["counts"]
                self.assertGreater(counts["recorded"], 0)
                self.assertEqual(counts["recorded"] + counts["lost"] + counts["missing"], counts["produced"])
                self.assertEqual(sorted(p.name for p in data.iterdir()), ["run.csv", "run.csv-metadata.json", "run.h5"])

    def test_a_terminal_that_goes_away_does_not_end_a_recording(self):
        # Far too fast for a small ring: losses, and so lines on standard error, are as good as certain.
        text = GENERATOR.format(speed="real", duration="200 ms").replace("rate: 1 kHz", "rate: 20 MHz\n    capacity: 1 ms").replace("path: run.csv", "path: unused.csv")
        config = self.write("config.yaml", text)

        def close_all():
            for fd in (0, 1, 2):
                os.close(fd)

        def broken_pipe():
            reading, writing = os.pipe()
            os.dup2(writing, 2)
            os.close(reading)
            os.close(writing)

        for name, prepare in (("closed", close_all), ("stderr", lambda: os.close(2)), ("pipe", broken_pipe)):
            with self.subTest(name):
                data = self.out / name
                data.mkdir()
                process = subprocess.Popen([SPILLWAY, "record", config, "-o", data], preexec_fn=prepare, stdout=subprocess.DEVNULL if name == "pipe" else None)
                self.assertIn(process.wait(timeout=300), (0, 3))
                info = self.info(data / "run.h5")
                self.assertEqual(info["status"], "complete")
                self.assertEqual(info["streams"][0]["counts"]["produced"], 4_000_000)

    def test_durations_that_make_no_sense(self):
        for duration in ("nan", "inf", "-1", "0"):
            result = self.record(FAST, f"--duration={duration}", check=None)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)

    def test_kill_leaves_what_was_flushed(self):
        config = self.write("config.yaml", ENDLESS)
        process = subprocess.Popen([SPILLWAY, "record", config, "-o", self.out, "-q"])
        self.wait_until(lambda: self.rows(self.out / "run.h5.part") > 200, process)
        again = self.run_spillway("record", config, "-o", self.out, "--force")
        self.assert_one_line(again, "run.h5.part: another recorder writes it at this moment")
        self.assertNotIn("unfinished", again.stderr)
        report = json.loads(self.run_spillway("verify", self.out / "run.h5.part", "--json").stdout)[0]
        self.assertEqual([remark for remark in report["remarks"] if "its recorder lives" in remark], report["remarks"])
        self.assertEqual(len(report["remarks"]), 1)
        process.kill()
        process.wait()
        self.assertFalse((self.out / "run.h5").exists())
        info = self.info(self.out / "run.h5.part")
        self.assertEqual(info["status"], "recording")
        self.assertGreater(info["streams"][0]["rows"], 200)
        again = self.run_spillway("record", config, "-o", self.out, "--force")
        self.assert_one_line(again, "unfinished recording", "run.h5.part", "recorder lives no more", "spillway recover")
        self.assertNotIn("another recorder", again.stderr)

    def test_file_size_limit(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

        result = self.record(GENERATOR.format(speed="max", duration="200 s"), check=1, preexec_fn=limit)
        self.assertIn("run.h5", result.stderr)
        self.assertNotIn("terminate", result.stderr)
        for path in (self.out / "data").iterdir():
            if path.name == "run.h5":
                self.assertTrue(self.info(path)["status"].startswith("incomplete"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root, for a small disk of its own")
    def test_full_disk(self):
        small = GENERATOR.format(speed="max", duration="2000 s")
        # Chunks of half a megabyte, of which closing may need one a dataset.
        fast = small.replace("rate: 1 kHz", "rate: 100 kHz").replace("count: 17, every: 3000", "count: 17, every: 300000")
        for text, size in ((small, "8m"), (fast, "32m")):
            with self.subTest(size):
                self.full_disk(text, size)

    def full_disk(self, text, size):
        (self.out / "data").mkdir(exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "spillway-test", self.out / "data"], capture_output=True).returncode != 0:
            self.skipTest("no small disk to be had here")
        try:
            self.check_full_disk(text)
        finally:
            subprocess.run(["umount", self.out / "data"], check=True)

    def check_full_disk(self, text):
        # It waits for room until it is stopped; what came meanwhile is lost, and told.
        result = self.record(text, "--duration", "6", "--json", check=1)
        self.assertRegex(result.stderr, r"spillway: .*(disk is full|No space left)")
        for recording in json.loads(result.stdout)["recordings"]:
            for stream in recording["streams"]:
                self.assertEqual(stream["recorded"] + stream["lost"] + stream["missing"], stream["produced"])
        info = self.info(self.out / "data/run.h5")
        if "run.h5" in result.stderr:
            self.assertTrue(info["status"].startswith("incomplete"), info["status"])
        for stream in info["streams"]:
            counts = stream["counts"]
            self.assertGreater(counts["recorded"], 1000)
            self.assertEqual(counts["recorded"] + counts["lost"] + counts["missing"], counts["produced"])

    def test_memory_does_not_grow_with_the_length(self):
        def peak_kib(seconds):
            # Without gaps: the books of each are kept.
            text = GENERATOR.format(speed="max", duration=f"{seconds} s").replace("path: run.csv", "path: long.csv")
            config = self.write("config.yaml", "".join(line for line in text.splitlines(True) if "kind: lost" not in line))
            out = self.out / f"data{seconds}"
            out.mkdir()
            # The address sanitizer, if there is one, would keep what was freed.
            options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
            process = subprocess.Popen([SPILLWAY, "record", config, "-o", out, "-q"], env={**os.environ, "ASAN_OPTIONS": options})
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            self.assertEqual(status, 0)
            return usage.ru_maxrss

        # The first is long enough to fill every buffer there is, and what a sanitizer keeps.
        short, long = peak_kib(250), peak_kib(2000)
        print(f"peak memory: {short} KiB for 250,000 samples, {long} KiB for 2,000,000")
        self.assertLess(long - short, 8 * 1024)

    def test_the_files_told_are_those_that_are_there(self):
        text = GENERATOR.format(speed="max", duration="200 s").replace("flush: 100 ms", "flush: 2 ms, split: {size: 32 KiB}, keep: {size: 100 KiB}")
        (first, second) = json.loads(self.record(text, "--json").stdout)["recordings"]
        data = self.out / "data"
        for recording in (first, second):
            self.assertEqual(recording["bytes"], sum(os.path.getsize(path) for path in recording["files"]))
        self.assertEqual(first["files"], sorted(str(p) for p in data.glob("run-*.h5")))
        self.assertGreater(len(first["deleted"]), 0)
        self.assertFalse(set(first["deleted"]) & set(first["files"]))
        self.assertEqual(second["files"], [str(data / "run.csv")])
        self.assertEqual(second["deleted"], [])
        summary = self.record(text, "--force").stdout
        self.assertRegex(summary, r"run-\d+\.h5( and \d+ more files?, the last .*run-\d+\.h5)?, \d+ deleted  [\d.]+ [kM]B")
        self.assertIn(f"run.csv  {os.path.getsize(data / 'run.csv') / 1e6:.1f} MB", summary)

    def test_a_duration_is_that_of_the_data(self):
        source = "  - {{type: generator, name: g{0}, rate: 8 Hz, speed: real, duration: 1 h, channels: [{{name: x, frequency: 3 Hz}}]}}\n"
        names = [f"g{i}" for i in range(12)]
        text = "sources:\n" + "".join(source.format(i) for i in range(12)) + f"record:\n  - {{path: run.h5, streams: [{', '.join(names)}]}}\n"
        result = json.loads(self.record(text, "--json", "-d", "0.25").stdout)
        if result["seconds"] >= 1.25:
            self.skipTest("a source was a second behind")
        for stream in result["recordings"][0]["streams"]:
            self.assertGreaterEqual(stream["recorded"], 2)

    def test_status_line_on_a_terminal(self):
        config = self.write("config.yaml", GENERATOR.format(speed="real", duration="1 s"))
        leader, follower = pty.openpty()
        process = subprocess.Popen([SPILLWAY, "record", config, "-o", self.out], stdout=subprocess.DEVNULL, stderr=follower)
        os.close(follower)
        seen = b""
        while True:
            ready, _, _ = select.select([leader], [], [], 300)
            if not ready:
                break
            try:
                seen += os.read(leader, 4096)
            except OSError:
                break
        self.assertEqual(process.wait(timeout=300), 0)
        os.close(leader)
        self.assertRegex(seen.decode(), r"samples .*unsaved [0-9.]+ s .*lost 0 .*missing \d+ .*B")

    def test_demo_shows_what_it_recorded(self):
        result = self.run_spillway("demo", "-d", "1", "-o", self.out / "demo")
        self.assertIn(result.returncode, (0, 3), result.stderr)
        self.assertIn("timing_average/lateness in us", result.stdout)
        info = self.info(self.out / "demo/demo.h5")
        for stream in info["streams"]:
            if stream["name"] in ("timing", "signal"):
                counts = stream["counts"]
                shown = re.search(rf"{stream['name']}/\w+ in \w+: ([\d,]+) samples", result.stdout).group(1)
                self.assertEqual(int(shown.replace(",", "")), counts["recorded"])
                self.assertGreater(counts["recorded"], 100)
        self.assertIn("⣿" if "⣿" in result.stdout else "⠀", result.stdout)
        # Again, over the earlier one.
        self.assertIn(self.run_spillway("demo", "-d", "0.5", "-o", self.out / "demo").returncode, (0, 3))


if __name__ == "__main__":
    unittest.main(verbosity=2)
