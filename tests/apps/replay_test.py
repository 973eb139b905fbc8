"""spillway replay: the live output again, other graphs and calibrations, what must not be left behind."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import resource
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from support import DATA, SPILLWAY, Case

REFERENCE = pathlib.Path(os.environ.get("SPILLWAY_REFERENCE_DIR") or DATA.parent / "reference")

LIVE = """
title: live
sources:
  - type: generator
    name: g
    rate: 1 kHz
    speed: max
    duration: {duration}
    channels:
      - {{name: x, unit: V, frequency: 3 Hz, noise: 0.1, limit: 0.95}}
      - {{name: y, unit: V, shape: noise}}
    faults:
      - {{kind: lost, first: 1003, count: 17, every: 3000}}
      - {{kind: nan, channel: y, first: 50, count: 3}}
  - type: generator
    name: h
    rate: 250 Hz
    speed: max
    duration: {duration}
    channels: [{{name: z, unit: V, frequency: 2 Hz}}]
graph:
  - {{id: mean, type: moving_average, input: g, window: 16}}
  - {{id: low, type: lowpass, input: mean, order: 4, cutoff: 20 Hz}}
  - {{id: few, type: decimate, input: low, factor: 10}}
  - {{id: filled, type: median, input: g/y, window: 9, fill_gaps: 20}}
  - {{id: hz, type: derivative, input: h}}
record:
  - {{path: run.{format}}}
"""
DERIVED = ("mean", "low", "few", "filled", "hz")


def bits(column):
    return column.view(np.uint64) if column.dtype == np.float64 else column


class Replay(Case):
    def live(self, duration="20 s", format="h5"):
        self.record(LIVE.format(duration=duration, format=format).replace("run.csv", "run-{stream}.csv"), "-q", "-f")
        return self.out / f"data/run.{format}"

    def replay(self, *arguments, check=0, **options):
        return self.run_spillway("replay", *arguments, check=check, **options)

    def files(self):
        return sorted(p.name for p in self.out.iterdir())

    def assert_equal_to_the_bit(self, a, b, streams):
        """Two HDF5 recordings, by h5py and numpy alone."""
        compared = 0
        with h5py.File(a) as f, h5py.File(b) as g:
            for stream in streams:
                self.assertEqual(sorted(f[f"entry/{stream}"]), sorted(g[f"entry/{stream}"]))
                for name in f[f"entry/{stream}"]:
                    if name == "time":
                        continue
                    np.testing.assert_array_equal(bits(f[f"entry/{stream}/{name}"][()]), bits(g[f"entry/{stream}/{name}"][()]), f"{stream}/{name}")
                    compared += len(f[f"entry/{stream}/{name}"])
                for table in ("segments", "gaps"):
                    np.testing.assert_array_equal(f[f"entry/spillway/{stream}/{table}"][()], g[f"entry/spillway/{stream}/{table}"][()], f"{stream}/{table}")
        return compared

    def test_as_live_equals_the_live_output_to_the_bit(self):
        run = self.live()
        summary = json.loads(self.replay(run, "-o", self.out / "again.h5", "--json").stdout)
        self.assertEqual((summary["mode"], summary["differences"]), ("as live", []))
        self.assertEqual([s["name"] for s in summary["files"][0]["streams"]], list(DERIVED))
        self.assertGreater(self.assert_equal_to_the_bit(run, self.out / "again.h5", DERIVED), 200_000)
        self.run_spillway("verify", self.out / "again.h5", check=0)
        # Whatever the threads and the speed.
        self.replay(run, "-o", self.out / "other.h5", "--threads", 3, "--speed", 100)
        self.assert_equal_to_the_bit(run, self.out / "other.h5", DERIVED)
        text = self.replay(run, "-o", self.out / "again.h5", "-f").stdout
        self.assertRegex(text, r"20 s of data in .* times as fast")

    def test_at_a_speed_samples_do_not_come_before_their_time(self):
        run = self.live()  # 20 s
        for threads in (1, 2):
            begin = time.monotonic()
            self.replay(run, "-o", self.out / "paced.h5", "-f", "--speed", 10, "--threads", threads)
            self.assertGreater(time.monotonic() - begin, 1.85)

    def test_check_says_equal_or_names_what_differs(self):
        run = self.live()
        result = self.replay(run, "--check", "--json")
        report = json.loads(result.stdout)
        self.assertTrue(report["equal"])
        with h5py.File(run) as f:
            for s in report["streams"]:
                rows = len(f[f"entry/{s['name']}/{'z' if s['name'] == 'hz' else 'y'}"])
                self.assertEqual((s["equal"], s["different"], s["only_recorded"], s["only_now"]), (rows, 0, 0, 0))
        self.assertIn("equal to the bit", self.replay(run, "--check").stdout)
        # One bit of one value of a derived stream, in a copy without checksums.
        self.run_spillway("export", run, "-o", self.out / "copy.h5", "-q", check=0)
        with h5py.File(self.out / "copy.h5", "r+") as f:
            value = f["entry/low/x"][777:778].view(np.uint64)
            f["entry/low/x"][777:778] = (value ^ 1).view(np.float64)
            del f["entry/spillway/integrity"]
        result = self.replay(self.out / "copy.h5", "--check", check=1)
        self.assertIn("low: 19,880 samples equal to the bit, 1 DIFFERENT", result.stdout)
        self.assertIn("first at sample 777: 'x' is", result.stdout)
        self.assertIn("nothing explains it", result.stderr)

    def test_own_graph_and_csv(self):
        import pandas

        run = self.live()
        graph = self.write("graph.yaml", "graph:\n  - {id: m, type: moving_average, input: g/x, window: 4}\n")
        self.replay(run, "--graph", graph, "-o", self.out / "m.csv")
        table = pandas.read_csv(self.out / "m.csv", float_precision="round_trip")
        with h5py.File(run) as f:
            x = f["entry/g/x"][()]
            np.testing.assert_allclose(table["x"].to_numpy()[3:1003], np.convolve(x[:1003], np.full(4, 0.25), "valid"), atol=1e-12)
        # Several streams are a file each; raw ones may go with them; a part of the time.
        self.replay(run, "--graph", graph, "--outputs", "m,g", "--range", "2:4", "-o", self.out / "p-{stream}.csv")
        self.assertEqual(len(pandas.read_csv(self.out / "p-m.csv")), 2000)
        np.testing.assert_array_equal(pandas.read_csv(self.out / "p-g.csv", float_precision="round_trip")["x"].to_numpy(), x[2000 - 17:4000 - 17])

    def test_complete_with_other_calibrations(self):
        run = self.live()
        corrected = self.write("c.yaml", """
calibrations:
  - {stream: g, channel: x, from_sample: 5000, to_sample: 6000, calibration: {slope: 2, offset: 1}, reason: gain}
""")
        self.replay(run, "--complete", "--calibration", corrected, "--outputs", "mean", "-o", self.out / "c.h5")
        with h5py.File(run) as f, h5py.File(self.out / "c.h5") as g:
            self.assertEqual(g["entry/mean/x"].attrs["units"], b"V")
            before, after = f["entry/mean/x"][()], g["entry/mean/x"][()]
            row = 5000 - 2 * 17  # two gaps before it
            np.testing.assert_array_equal(before[:row], after[:row])
            np.testing.assert_allclose(after[row + 16:row + 900], 2 * before[row + 16:row + 900] + 1, atol=1e-12)
            np.testing.assert_array_equal(bits(f["entry/mean/y"][()]), bits(g["entry/mean/y"][()]))
            provenance = json.loads(g["entry/spillway/provenance"][()])
        self.assertIn("replay", provenance)
        self.assert_one_line(self.replay(run, "--calibration", corrected, "-o", self.out / "x.h5", check=None), "--calibration", "--complete")

    def test_what_is_wrong_is_one_line_and_leaves_no_file(self):
        run = self.live("3 s")
        lacking = self.write("lacking.yaml", "graph:\n  - {id: m, type: moving_average, input: g/w, window: 4}\n")
        strange = self.write("strange.yaml", "graph:\n  - {id: m, type: moving_avrage, input: g, window: 4}\n")
        fine = self.write("fine.yaml", "graph:\n  - {id: m, type: moving_average, input: g, window: 4}\n")
        empty = self.write("empty.yaml", "title: nothing\n")
        wrong = self.write("wrong.yaml", "calibrations:\n  - {stream: g, chanel: x, calibration: {slope: 1}}\n")
        np.save(self.out / "plain.npy", np.arange(1000.0))
        plain = self.write("plain.yaml", "graph:\n  - {id: m, type: lowpass, input: plain, order: 2, cutoff: 20 Hz}\n")
        content = bytearray(run.read_bytes())
        with h5py.File(run) as f:
            content[f["entry/g/x"].id.get_chunk_info(0).byte_offset + 1000] ^= 0x10
        (self.out / "damaged.h5").write_bytes(content)
        (self.out / "truncated.h5").write_bytes(run.read_bytes()[:50_000])
        (self.out / "taken.h5").write_bytes(b"somebody's")
        before = self.files()
        out = ("-o", self.out / "x.h5")
        for arguments, parts in [
            ((run, "--graph", lacking, *out), ("lacking.yaml:2:5", "'m'", "no channel 'w'")),
            ((run, "--graph", strange, *out), ("strange.yaml:2:19", "moving_average")),
            ((run, "--graph", empty, *out), ("empty.yaml", "has no 'graph'")),
            ((run, "--graph", self.out / "absent.yaml", *out), ("absent.yaml", "No such file")),
            ((run, "--complete", "--calibration", wrong, *out), ("wrong.yaml:2:17", "'chanel'", "did you mean 'channel'")),
            ((self.out / "plain.npy", "--graph", plain, *out), ("plain.npy", "rate")),
            ((self.out / "plain.npy", *out), ("plain.npy",)),
            ((self.out / "plain.npy", "--rate", 1000, "--unit", "V", *out), ("plain.npy", "no graph", "--graph")),
            ((run, "-o", run, "-f"), ("run.h5", "is the input")),
            ((run, "-o", self.out / "taken.h5"), ("taken.h5", "exists already")),
            ((run, "-o", self.out / "nowhere/x.h5"), ("nowhere",)),
            ((run, "-o", self.out / "x.wav"), ("x.wav", ".npy")),
            ((run, "--range", "1:2", *out), ("--range", "--complete")),
            ((run, "--complete", "--range", "100:200", *out), ("run.h5: range '100:200'", "no sample")),
            ((run, "--graph", fine, "--range", "#3000:", *out), ("run.h5: range '#3000:'", "no sample")),
            ((run, "--graph", fine, "--range", "1.0035:1.015", *out), ("range '1.0035:1.015'", "no sample")),  # a gap
            ((run, "--outputs", "nothing", *out), ("no output 'nothing'", "'low'")),
            ((run,), ("-o OUT.h5", "--check")),
            ((self.out / "damaged.h5", *out), ("damaged.h5", "g/x")),
            ((self.out / "truncated.h5", *out), ("truncated.h5",)),
            ((self.out, *out), ("is a directory",)),
        ]:
            with self.subTest([str(a) for a in arguments[1:]]):
                self.assert_one_line(self.replay(*arguments, check=None), *parts)
                self.assertEqual(self.files(), before)
        for asked in (("--graph", fine), ("--complete",), ("--complete", "--range", "1:2"), ("--resume",)):
            result = self.replay(run, *asked, check=None)
            self.assert_one_line(result, "-o OUT.h5")
            self.assertNotIn("--check", result.stderr)
        # With a rate the plain file is as good as any.
        self.replay(self.out / "plain.npy", "--rate", 1000, "--unit", "V", "--graph", plain, *out)
        self.run_spillway("verify", self.out / "x.h5", check=0)

    def test_a_range_in_which_nothing_lies_that_is_read(self):
        self.record(LIVE.format(duration="3 s", format="h5").replace("duration: 3 s", "duration: 1 s", 1), "-q")
        run = self.out / "data/run.h5"
        out = ("-o", self.out / "x.csv")
        graph = self.write("g.yaml", "graph:\n  - {id: m, type: moving_average, input: g, window: 4}\n  - {id: n, type: moving_average, input: h, window: 4}\n")
        for arguments in (("--complete", "--outputs", "low"), ("--complete", "--outputs", "g"), ("--graph", graph, "--outputs", "m")):
            for text in ("2:3", "#1000:"):
                self.assert_one_line(self.replay(run, *arguments, "--range", text, *out, check=None), f"run.h5: range '{text}'", "no sample")
        # What is not read beside it is not looked at.
        self.replay(run, "--complete", "--outputs", "hz", "--range", "#500:", *out)
        # One that has samples there is enough, and nothing untrue is told of the other.
        both = self.replay(run, "--complete", "--outputs", "low,hz", "--range", "2:3", "-o", self.out / "x.h5")
        self.assertNotIn("'g' begins", both.stderr)
        self.assertIn("'h' begins at sample 500", both.stderr)

    def test_losses_that_the_log_tells_are_replayed(self):
        # The raw stream of a derived one that was recorded without it.
        self.record(LIVE.format(duration="3 s", format="h5").replace("{path: run.h5}", "{path: run.h5, streams: [g, low]}"), "-q")
        self.replay(self.out / "data/run.h5", "-o", self.out / "low.h5")
        self.assert_equal_to_the_bit(self.out / "data/run.h5", self.out / "low.h5", ["low"])
        self.record(LIVE.format(duration="3 s", format="h5").replace("{path: run.h5}", "{path: raw.h5, streams: [low]}"), "-q")
        self.assert_one_line(self.replay(self.out / "data/raw.h5", "-o", self.out / "x.h5", check=None), "'g'")

    def test_a_recording_that_lacks_samples_says_so(self):
        run = self.live()
        # As a damaged file that was saved: samples of the raw stream are gone.
        self.run_spillway("export", run, "-o", self.out / "part.h5", "-q", check=0)
        with h5py.File(self.out / "part.h5", "r+") as f:
            books = f["entry/spillway/g"]
            segments, gaps = books["segments"][()], books["gaps"][()]
            gaps["cause"][1] = 2  # lost, by the recorder
            gaps["lost"][1], gaps["missing"][1] = gaps["count"][1], 0
            books["gaps"][...] = gaps
            del f["entry/spillway/integrity"]
            self.assertEqual(int(segments["first_sample"][2]), 4020)
        result = self.replay(self.out / "part.h5", "-o", self.out / "again.h5", check=3)
        self.assertIn("note: not as live: 'g': 17 samples from 4003 on are not in the recording", result.stderr)
        report = json.loads(self.replay(self.out / "part.h5", "-o", self.out / "again.h5", "-f", "--json", check=3).stdout)
        self.assertGreaterEqual(len(report["differences"]), 2)

    def test_file_size_limit_leaves_nothing(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        run = self.live()
        before = self.files()
        for name in ("x.h5", "x.csv"):
            self.assert_one_line(self.replay(run, "-o", self.out / name, check=None, preexec_fn=limit), str(self.out / "x"))
            self.assertEqual(self.files(), before)

    def begin(self, *arguments):
        return subprocess.Popen([SPILLWAY, "replay", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def interrupt(self, until, how, *arguments):
        """Ends a slow replay when a file is there."""
        process = self.begin(*arguments)
        while process.poll() is None and not until.exists():
            time.sleep(0.001)
        process.send_signal(how)
        _, error = process.communicate(timeout=300)
        self.assertNotEqual(process.returncode, 0, error)
        return error

    def test_interrupted_at_once_leaves_nothing(self):
        run = self.live("200 s")
        before = self.files()
        error = self.interrupt(self.out / "x.h5.part", signal.SIGTERM, run, "-o", self.out / "x.h5", "--speed", 1)
        self.assertRegex(error, r"spillway: .*x\.h5: interrupted; nothing was written\n")
        self.assertEqual(self.files(), before)

    def test_interrupted_goes_on_with_the_same_bits(self):
        run, x = self.live("600 s"), self.out / "x.h5"
        before = self.files()
        arguments = (run, "-o", x)
        error = self.interrupt(self.out / "x.h5.resume", signal.SIGINT, *arguments, "--speed", 80)
        self.assertRegex(error, r"spillway: .*x\.h5: interrupted; --resume goes on\n")
        self.assertEqual(self.files(), sorted([*before, "x.h5.part", "x.h5.journal", "x.h5.resume"]))
        self.assert_one_line(self.replay(*arguments, check=None), "x.h5", "--resume", "--force")
        # Another graph does not go on with this one's output; what there is stays.
        other = self.write("other.yaml", "graph:\n  - {id: low, type: moving_average, input: g, window: 16}\n")
        left = self.state()
        for refused in (("--graph", other), ("--outputs", "low"), ("--complete",)):
            self.assert_one_line(self.replay(*arguments, *refused, "--resume", check=None), f"{x}: the checkpoint")
            self.assertEqual(self.state(), left)
        x.write_bytes(b"of others")
        self.assert_one_line(self.replay(*arguments, "--resume", check=None), "x.h5: exists already", "--force")
        x.unlink()
        self.assertEqual(self.state(), left)
        # Killed when it had just begun to go on, and again behind a checkpoint of its own.
        self.interrupt(self.out / "x.h5.before.part", signal.SIGKILL, *arguments, "--resume", "--speed", 1)
        self.assertTrue((self.out / "x.h5.before.part").exists())
        process = self.begin(*arguments, "--resume", "--speed", 50)
        while process.poll() is None and (self.out / "x.h5.before.part").exists():
            time.sleep(0.001)
        self.assert_one_line(self.replay(*arguments, "--resume", check=None), "another replay")
        process.kill()
        process.communicate()
        self.replay(*arguments, "--resume", "--threads", 3)
        self.assertEqual(self.files(), sorted([*before, "other.yaml", "x.h5"]))
        self.run_spillway("verify", x, check=0)
        self.assert_equal_to_the_bit(run, x, DERIVED)
        self.assert_one_line(self.replay(*arguments, "--resume", "-f", check=None), "no interrupted replay")

    def test_goes_on_on_one_thread_before_any_checkpoint_of_its_own(self):
        run = self.live()
        before = self.files()
        graph = self.write("m.yaml", "graph:\n  - {id: m, type: moving_average, input: g, window: 16}\n")
        for name in ("x.h5", "x.csv"):
            arguments = (run, "--graph", graph, "-o", self.out / name)
            self.interrupt(self.out / f"{name}.resume", signal.SIGKILL, *arguments, "--speed", 1)
            self.replay(*arguments, "--resume", "--threads", 1)
            self.run_spillway("verify", self.out / name, check=0)
        self.assertEqual(self.files(), sorted([*before, "m.yaml", "x.csv", "x.csv-metadata.json", "x.h5"]))

    def test_an_interrupted_csv_goes_on(self):
        run, x = self.live("400 s"), self.out / "x.csv"
        arguments = (run, "--outputs", "low", "-o", x)
        self.interrupt(self.out / "x.csv.resume", signal.SIGTERM, *arguments, "--speed", 80)
        self.replay(*arguments, "--resume")
        self.run_spillway("verify", x, check=0)
        self.replay(run, "--channels", "low", "-o", self.out / "y.csv")
        self.assertEqual(x.read_bytes(), (self.out / "y.csv").read_bytes())
        self.assertEqual([n for n in self.files() if n.startswith("x.")], ["x.csv", "x.csv-metadata.json"])
        # Or is begun anew.
        self.interrupt(self.out / "x.csv.resume", signal.SIGTERM, *arguments, "-f", "--speed", 80)
        self.replay(*arguments, "-f")
        self.assertEqual(x.read_bytes(), (self.out / "y.csv").read_bytes())
        self.assertEqual([n for n in self.files() if n.startswith("x.")], ["x.csv", "x.csv-metadata.json"])

    def test_killed_before_a_checkpoint_is_told_and_kept(self):
        run = self.live()
        self.interrupt(self.out / "x.h5.part", signal.SIGKILL, run, "-o", self.out / "x.h5", "--speed", 1)
        left = self.files()
        self.assertNotIn("x.h5", left)
        # Nobody but a person can know that it is no recorder's.
        for arguments, part in (((), "x.h5.part: an unfinished recording"), (("-f",), "x.h5.part: an unfinished recording"), (("--resume",), "no interrupted replay")):
            self.assert_one_line(self.replay(run, "-o", self.out / "x.h5", *arguments, check=None), part)
            self.assertEqual(self.files(), left)

    def kill_again_and_again(self, run, name, outputs):
        arguments = (run, "-o", self.out / name, "--outputs", ",".join(outputs), "--speed", 80)
        resume, kills = self.out / f"{name}.resume", 0
        while not (self.out / name).exists():
            begun = resume.stat().st_mtime_ns if resume.exists() else None
            process = self.begin(*arguments, *(["--resume"] if begun else []))
            # A checkpoint further each time; the first of one that goes on has only been copied.
            checkpoints = {begun}
            while process.poll() is None and len(checkpoints) < (3 if begun else 2):
                if not (self.out / f"{name}.before.part").exists() and resume.exists() and (self.out / f"{name}.part").exists():
                    checkpoints.add(resume.stat().st_mtime_ns)
                time.sleep(0.001)
            kills += process.poll() is None
            process.kill()
            _, error = process.communicate()
            self.assertIn(process.returncode, (0, -signal.SIGKILL), error)
            self.assertLess(kills, 20, "no checkpoint brought it further")
        self.assertGreaterEqual(kills, 1)
        self.run_spillway("verify", self.out / name, check=0)
        if resume.exists():  # killed behind its end
            self.assert_one_line(self.replay(*arguments, "--resume", check=None), "it is whole")
        self.assertEqual([n for n in self.files() if n.startswith(name) and "metadata" not in n], [name])

    def test_killed_again_and_again_it_ends_with_the_same_bits(self):
        run = self.live("400 s")
        # They sleep most of their time.
        with concurrent.futures.ThreadPoolExecutor() as both:
            for done in [both.submit(self.kill_again_and_again, run, name, outputs) for name, outputs in (("x.h5", DERIVED), ("x.csv", ("low",)))]:
                done.result()
        self.assert_equal_to_the_bit(run, self.out / "x.h5", DERIVED)
        self.replay(run, "--outputs", "low", "-o", self.out / "y.csv")
        self.assertEqual((self.out / "x.csv").read_bytes(), (self.out / "y.csv").read_bytes())

    def state(self):
        return {p.name: p.read_bytes() for p in self.out.iterdir() if p.is_file()}

    def restore(self, state):
        for path in self.out.iterdir():
            if path.is_file() and path.name not in state:
                path.unlink()
        for name, content in state.items():
            (self.out / name).write_bytes(content)

    def test_nobody_goes_on_from_what_is_not_as_it_was(self):
        run, x = self.live("100 s"), self.out / "x.h5"
        arguments = (run, "-o", x, "--complete")
        self.interrupt(self.out / "x.h5.resume", signal.SIGKILL, *arguments, "--speed", 20)
        left = self.state()
        # A damaged checkpoint, whichever of its bits it is, or a part of it.
        resume = left["x.h5.resume"]
        damaged = [resume[:n] for n in (0, 10, 40, len(resume) // 2, len(resume) - 1)] + [b"\x81" * 1_000_000]
        for bit in range(0, 8 * len(resume), 8 * len(resume) // 40 + 1):
            damaged.append(resume[: bit // 8] + bytes([resume[bit // 8] ^ (1 << bit % 8)]) + resume[bit // 8 + 1 :])
        for content in damaged:
            (self.out / "x.h5.resume").write_bytes(content)
            for option in ("--resume", "--force"):
                self.assert_one_line(self.replay(*arguments, option, check=None), "x.h5.resume", "damaged")
            self.assertEqual(self.state(), {**left, "x.h5.resume": content})
        # Other calibrations.
        self.restore(left)
        self.write("c.yaml", "calibrations:\n  - {stream: g, channel: x, calibration: {slope: 10, offset: 5}, unit: kV}\n")
        self.run_spillway("calibrate", run, self.out / "c.yaml", check=0)
        self.assert_one_line(self.replay(*arguments, "--resume", check=None), "x.h5.resume", "other calibrations")
        # Nothing was touched by that, and with the old ones it goes on.
        self.restore(left)
        pathlib.Path(f"{run}.calibrations.json").unlink()
        self.replay(*arguments, "--resume")
        self.replay(run, "-o", self.out / "y.h5", "--complete")
        self.assert_equal_to_the_bit(self.out / "y.h5", x, DERIVED)

    def test_a_damaged_input_costs_no_progress(self):
        run, x = self.live("200 s"), self.out / "x.h5"
        arguments = (run, "-o", x)
        self.interrupt(self.out / "x.h5.resume", signal.SIGKILL, *arguments, "--speed", 20)
        good = run.read_bytes()
        bad = bytearray(good)
        with h5py.File(run) as f:
            column = f["entry/g/x"].id
            bad[column.get_chunk_info(column.get_num_chunks() - 1).byte_offset + 1000] ^= 0x10
        run.write_bytes(bad)
        # The slow one comes to a checkpoint of its own before it comes to the damage.
        for options, own in ((("--threads", 1), False), (("--threads", 2, "--speed", 40), True), (("--threads", 1), False)):
            self.assert_one_line(self.replay(*arguments, "--resume", *options, check=None), "run.h5", "g/x")
            self.assertFalse(x.exists())
            self.assertEqual((self.out / "x.h5.part").exists(), own)
        run.write_bytes(good)
        self.replay(*arguments, "--resume")
        self.run_spillway("verify", x, check=0)
        self.assert_equal_to_the_bit(run, x, DERIVED)
        self.assertEqual([n for n in self.files() if n.startswith("x")], ["x.h5"])

    def test_nobody_goes_on_with_another_file_of_others(self):
        x, npy = self.out / "x.h5", self.out / "in.npy"
        values = np.random.default_rng(1).normal(size=60_000)
        np.save(npy, values)
        graph = self.write("g.yaml", "graph:\n  - {id: mean, type: moving_average, input: in, window: 16}\n")
        arguments = (npy, "--graph", graph, "-o", x)
        self.interrupt(self.out / "x.h5.resume", signal.SIGKILL, *arguments, "--rate", "1000", "--speed", 12)
        left = self.state()
        for options in (("--rate", "500"), ("--rate", "1000", "--unit", "V")):
            self.assert_one_line(self.replay(*arguments, *options, "--resume", check=None), "x.h5.resume", "read otherwise")
        np.save(npy, values[::-1].copy())
        self.assert_one_line(self.replay(*arguments, "--rate", "1000", "--resume", check=None), "x.h5.resume", "another recording")
        self.restore(left)
        self.replay(*arguments, "--rate", "1000", "--resume")
        self.replay(npy, "--graph", graph, "-o", self.out / "y.h5", "--rate", "1000")
        self.assert_equal_to_the_bit(self.out / "y.h5", x, ("mean",))

    def test_a_recorder_that_has_taken_the_name_keeps_what_it_left(self):
        run, x = self.live("100 s"), self.out / "x.h5"
        self.interrupt(self.out / "x.h5.resume", signal.SIGKILL, run, "-o", x, "--speed", 20)
        # Interrupted when it had moved what there is out of the way: the name is free.
        self.interrupt(self.out / "x.h5.before.part", signal.SIGTERM, run, "-o", x, "--resume", "--speed", 1)
        self.assertFalse((self.out / "x.h5.part").exists())
        for durability in ("process", "none"):
            with self.subTest(durability=durability):
                config = self.write("rec.yaml", f"""
sources:
  - {{type: generator, name: g, rate: 1 kHz, channels: [{{name: x, frequency: 3 Hz}}]}}
record:
  - {{path: {x}, flush: 100 ms, durability: {durability}}}
""")
                recorder = subprocess.Popen([SPILLWAY, "record", config, "-q"], stdout=subprocess.DEVNULL)
                while recorder.poll() is None and not (self.out / "x.h5.part").exists():
                    time.sleep(0.001)
                time.sleep(0.3)
                for option in ("--resume", "--force"):
                    result = self.replay(run, "-o", x, option, check=None)
                    self.assert_one_line(result, "x.h5")
                    self.assertTrue((self.out / "x.h5.part").exists(), option)
                recorder.kill()
                recorder.wait()
                part = (self.out / "x.h5.part").read_bytes()
                for option in ("--resume", "--force"):
                    self.assert_one_line(self.replay(run, "-o", x, option, check=None), "x.h5.part", "unfinished recording")
                    self.assertEqual((self.out / "x.h5.part").read_bytes(), part, option)
                for name in ("x.h5.part", "x.h5.journal"):
                    (self.out / name).unlink(missing_ok=True)

    def test_of_two_that_go_on_at_once_one_does(self):
        run, x = self.live("100 s"), self.out / "x.h5"
        self.interrupt(self.out / "x.h5.resume", signal.SIGKILL, run, "-o", x, "--speed", 20)
        left = self.state()
        refused = 0
        for other in ("--resume", "--force") * 6:
            self.restore(left)
            both = [subprocess.Popen([SPILLWAY, "replay", run, "-o", x, option, "-q"], stderr=subprocess.PIPE, text=True) for option in ("--resume", other)]
            errors = [process.communicate(timeout=60)[1] for process in both]
            refused += sum(p.returncode != 0 for p in both)
            self.assertIn(0, [p.returncode for p in both], errors)
            self.run_spillway("verify", x, check=0)
            self.assert_equal_to_the_bit(run, x, DERIVED)
            self.assertEqual([n for n in self.files() if n.startswith("x")], ["x.h5"])
        self.assertGreater(refused, 0)

    def test_its_own_part_is_no_input(self):
        run, x = self.live("100 s"), self.out / "x.h5"
        self.interrupt(self.out / "x.h5.resume", signal.SIGKILL, run, "-o", x, "--speed", 20)
        left = self.state()
        self.assert_one_line(self.replay(self.out / "x.h5.part", "-o", x, "--force", check=None), "x.h5.part", "another output")
        # Nor does --force remove anything before it is known that something can be made.
        self.assert_one_line(self.replay(run, "-o", x, "--force", "--outputs", "nope", check=None), "nope")
        self.assertEqual(self.state(), left)

    def fill(self, disk):
        """Nothing more goes onto it; returns what has to go to make room."""
        ballast = disk / "ballast"
        with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        return ballast

    def on_a_small_disk(self, size):
        small = self.out / "small"
        small.mkdir(exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "spillway-test", small], capture_output=True).returncode != 0:
            self.skipTest("takes the right to mount")
        self.addCleanup(subprocess.run, ["umount", small], check=True)
        return small

    def test_a_full_disk_behind_a_checkpoint_goes_on_with_more_room(self):
        run, small = self.live("400 s"), self.on_a_small_disk("64m")
        for name, outputs in (("x.h5", DERIVED), ("x.csv", ("low",))):
            arguments = (run, "-o", small / name, "--outputs", ",".join(outputs))
            process = self.begin(*arguments, "--speed", 80)
            self.wait_until((small / f"{name}.resume").exists, process)
            ballast = self.fill(small)
            _, error = process.communicate(timeout=300)
            self.assertEqual(process.returncode, 1, error)
            self.assertRegex(error, rf"spillway: .*{small / name}.* with more room, --resume goes on\n")
            self.assertFalse((small / name).exists())
            ballast.unlink()
            self.replay(*arguments, "--resume")
            self.run_spillway("verify", small / name, check=0)
            if name == "x.h5":
                self.assert_equal_to_the_bit(run, small / name, DERIVED)
                (small / name).unlink()
        self.replay(run, "--outputs", "low", "-o", self.out / "y.csv")
        self.assertEqual((small / "x.csv").read_bytes(), (self.out / "y.csv").read_bytes())

    def test_a_full_disk_before_a_checkpoint_leaves_nothing(self):
        run, small = self.live(), self.on_a_small_disk("256k")
        for command in ("replay", "export"):
            for name in ("x.h5", "x.csv", "x.npy"):
                with self.subTest(command=command, name=name):
                    outputs = ("--outputs", "low") if command == "replay" and name == "x.npy" else ()
                    self.assert_one_line(self.run_spillway(command, run, "-o", small / name, *outputs), str(small / "x"))
                    self.assertEqual(os.listdir(small), [])

    def test_killed_at_its_end_it_is_whole(self):
        run, x = self.live("400 s"), self.out / "x.h5"
        self.interrupt(self.out / "x.h5.resume", signal.SIGKILL, run, "-o", x, "--speed", 80)
        # As if it had been killed when the output had just got its name.
        self.replay(run, "-o", self.out / "whole.h5")
        (self.out / "whole.h5").rename(x)
        (self.out / "x.h5.part").unlink()
        self.assert_one_line(self.replay(run, "-o", x, check=None), "x.h5: exists already")
        self.assert_one_line(self.replay(run, "-o", x, "--resume", check=None), "x.h5", "it is whole")
        self.assertEqual([n for n in self.files() if n.startswith("x")], ["x.h5"])
        self.assert_equal_to_the_bit(run, x, DERIVED)


@unittest.skipUnless(DATA.is_dir(), f"no recordings at {DATA}")
class Recordings(Case):
    def test_every_recording_through_a_small_graph(self):
        for directory in sorted(p.parent for p in DATA.glob("*/recording.json")):
            with self.subTest(directory.name):
                sidecar = directory / "recording.json"
                streams = json.loads(sidecar.read_text())["streams"]
                graph = self.write("g.yaml", "graph:\n" + "".join(f"  - {{id: '{s['name']}_mean', type: moving_average, input: '{s['name']}', window: 5}}\n" for s in streams))
                for source in (sidecar, self.out / "copy.h5"):
                    if source != sidecar:
                        self.run_spillway("export", sidecar, "-o", source, "-q", "-f", check=0)
                    self.run_spillway("replay", source, "--graph", graph, "-o", self.out / f"{source.stem}-out.h5", "-q", "-f", check=0)
                    self.run_spillway("verify", self.out / f"{source.stem}-out.h5", check=0)
                with h5py.File(self.out / "recording-out.h5") as f, h5py.File(self.out / "copy-out.h5") as g:
                    for s in streams:
                        group = f[f"entry/{s['name']}_mean"]
                        for name in [n for n in group if n != "time"][:10]:
                            np.testing.assert_array_equal(bits(group[name][()]), bits(g[f"entry/{s['name']}_mean/{name}"][()]))

    def test_a_damaged_stream_that_is_not_needed_does_no_harm(self):
        run = self.out / "flight.h5"
        self.run_spillway("export", DATA / "flight_px4_small/recording.json", "-o", run, "-q", check=0)
        graph = self.write("g.yaml", "graph:\n  - {id: mean, type: moving_average, input: sensor_combined_0, window: 5}\n")
        self.run_spillway("replay", run, "--graph", graph, "-o", self.out / "good.h5", check=0)
        with h5py.File(run) as f:
            times = f["entry/airspeed_0/time_ns"].id
            chunk = times.get_chunk_info(0)
        content = bytearray(run.read_bytes())
        for byte in range(chunk.size):
            content[chunk.byte_offset + byte] ^= 0x10
        run.write_bytes(content)
        self.run_spillway("verify", run, check=1)
        self.run_spillway("replay", run, "--graph", graph, "-o", self.out / "x.h5", check=0)
        with h5py.File(self.out / "good.h5") as f, h5py.File(self.out / "x.h5") as g:
            for name in f["entry/mean"]:
                np.testing.assert_array_equal(f[f"entry/mean/{name}"][()], g[f"entry/mean/{name}"][()])

    @unittest.skipUnless((REFERENCE / "index.json").is_file(), f"no reference vectors at {REFERENCE}")
    def test_reference_vectors_of_recordings(self):
        cases = {c["id"]: c for c in json.loads((REFERENCE / "index.json").read_text())["cases"]}
        checked = 0

        def compare(case, actual, tolerance):
            nonlocal checked
            expected = np.load(REFERENCE / case["output"])
            if expected.ndim == 1:
                expected = expected[:, None]
            with self.subTest(case["id"]):
                self.assertEqual(actual.shape, expected.shape)
                np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance, equal_nan=True)
            checked += 1

        def run(recording, graph, id, columns, first, frames, *arguments):
            file = self.write("case.yaml", "graph:\n" + graph)
            self.run_spillway("replay", DATA / recording / "recording.json", "--graph", file, "-o", self.out / "case.h5", "--outputs", id, "-f", "-q", *arguments, check=0)
            with h5py.File(self.out / "case.h5") as f:
                return np.stack([f[f"entry/{id}/{c}"][first:first + frames] for c in columns], axis=1)

        for case in cases.values():
            p = case["params"]
            if case["filter"] == "calibrate_segments":
                compare(case, run(p["recording"], f"  - {{id: c, type: calibrate, input: {p['stream']}}}\n", "c", p["columns"], p["first_frame"], p["frames"]), case["tolerance_abs"])
        one = "  - {{id: c, type: {}, input: {}}}\n"
        for id, recording, stream, channel, first, frames, kind in [
            ("ma_ecg_n36_grow", "ecg_mitbih_100", "ecg", "MLII", 0, 7200, "moving_average, window: 36"),
            ("median_ecg_n71_causal", "ecg_mitbih_100", "ecg", "MLII", 0, 7200, "median, window: 71"),
            ("butter_lowpass_o4_f40_ecg", "ecg_mitbih_100", "ecg", "MLII", 0, 7200, "lowpass, order: 4, cutoff: 40 Hz"),
            ("butter_highpass_o2_f0.5_ecg", "ecg_mitbih_100", "ecg", "MLII", 0, 7200, "highpass, order: 2, cutoff: 0.5 Hz"),
            ("butter_bandpass_o4_f35-350_strain", "gw_strain_h1", None, None, 32768, 16384, "bandpass, order: 4, low: 35 Hz, high: 350 Hz"),
        ]:
            if stream is None:
                s = json.loads((DATA / recording / "recording.json").read_text())["streams"][0]
                stream, channel = s["name"], s["channels"][0]["name"]
            case = cases[id]
            actual = run(recording, one.format(kind, f"{stream}/{channel}"), "c", [channel], 0, frames, "--range", f"#{first}:#{first + frames}")
            compare(case, actual, case.get("tolerance_abs_own_design") or case["tolerance_abs"])
        self.assertEqual(checked, 8)


if __name__ == "__main__":
    unittest.main(verbosity=2)
