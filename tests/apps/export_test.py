"""spillway export: whole recordings and parts, fewer samples, what must not be left behind."""

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

from support import DATA, GENERATOR, SPILLWAY, Case

LOST = 1000  # where the first gap of GENERATOR begins; 17 samples


def values(file, path):
    """The column as bits, so that NaN compares."""
    column = file[f"entry/{path}"][()]
    return column.view(np.uint64) if column.dtype == np.float64 else column


class Export(Case):
    def setUp(self):
        super().setUp()
        self.record(GENERATOR.format(speed="max", duration="20 s"), "-q")
        self.run = self.out / "data/run.h5"

    def export(self, *arguments, check=0, **options):
        return self.run_spillway("export", self.run, *arguments, check=check, **options)

    def damaged(self, column, chunk):
        """A copy of the recording with a byte changed in the middle of a chunk."""
        path = self.out / "damaged.h5"
        content = bytearray(self.run.read_bytes())
        with h5py.File(self.run) as f:
            info = f[f"entry/{column}"].id.get_chunk_info(chunk)
        content[info.byte_offset + info.size // 2] ^= 0x10
        path.write_bytes(content)
        return path

    def files(self):
        return sorted(p.name for p in self.out.iterdir() if p.is_file() and p.name != "config.yaml")

    def assert_same_samples(self, a, b, streams):
        """Two HDF5 recordings, by h5py alone."""
        with h5py.File(a) as f, h5py.File(b) as g:
            for stream in streams:
                for name in f[f"entry/{stream}"]:
                    if name != "time":
                        np.testing.assert_array_equal(values(f, f"{stream}/{name}"), values(g, f"{stream}/{name}"), f"{stream}/{name}")
                for table in ("segments", "gaps", "calibration"):
                    np.testing.assert_array_equal(f[f"entry/spillway/{stream}/{table}"][()], g[f"entry/spillway/{stream}/{table}"][()])

    def test_a_whole_recording_goes_through_csv_and_back(self):
        result = self.export("-o", self.out / "all.csv", "--json")
        files = json.loads(result.stdout)["files"]
        self.assertEqual([pathlib.Path(f["path"]).name for f in files], ["all-g.csv", "all-low.csv"])
        self.assertEqual([f["streams"][0]["recorded"] for f in files], [20000 - 7 * 17] * 2)
        for stream in ("g", "low"):
            self.run_spillway("verify", self.out / f"all-{stream}.csv", check=0)
            self.run_spillway("export", self.out / f"all-{stream}.csv", "-o", self.out / f"{stream}.h5", "-q", check=0)
            self.run_spillway("verify", self.out / f"{stream}.h5", check=0)
            self.assert_same_samples(self.run, self.out / f"{stream}.h5", [stream])
            before, after = self.info(self.run), self.info(self.out / f"{stream}.h5")
            self.assertEqual(before["title"], after["title"])
            self.assertEqual(before["end_time"], after["end_time"])

    def test_pandas_and_numpy_read_what_was_exported(self):
        import pandas

        self.export("-o", self.out / "{stream}.csv", "-q")
        table = pandas.read_csv(self.out / "g.csv", float_precision="round_trip")
        with h5py.File(self.run) as f:
            np.testing.assert_array_equal(table["x"].to_numpy(), f["entry/g/x"][()])
            np.testing.assert_array_equal(table["y_quality"].to_numpy(), f["entry/g/y_quality"][()])
        self.export("-o", self.out / "long.csv", "--long", "-q")
        long = pandas.read_csv(self.out / "long.csv", float_precision="round_trip")
        np.testing.assert_array_equal(long[long["channel"] == "low/y"]["value"].to_numpy(), pandas.read_csv(self.out / "low.csv", float_precision="round_trip")["y"].to_numpy())
        self.run_spillway("verify", self.out / "long.csv", check=0)

    def test_npy(self):
        self.export("-o", self.out / "g.npy", "--channels", "g", "-q")
        array = np.load(self.out / "g.npy", mmap_mode="r")
        with h5py.File(self.run) as f:
            np.testing.assert_array_equal(array[:, 0], f["entry/g/x"][()])
            np.testing.assert_array_equal(array[:, 1], f["entry/g/y"][()])
        self.run_spillway("export", self.out / "g.npy", "-o", self.out / "back.h5", "-q", check=0)
        self.assert_same_samples(self.run, self.out / "back.h5", ["g"])

    def test_the_bytes_told_are_those_of_the_files(self):
        for arguments in (["x.h5"], ["x.npy"], ["x.csv"], ["x-long.csv", "--long"]):
            result = json.loads(self.export("-o", self.out / arguments[0], *arguments[1:], "--json").stdout)
            for file in result["files"]:
                self.assertEqual(file["bytes"], os.path.getsize(file["path"]), file["path"])
        for command in ("export", "replay"):
            text = self.run_spillway(command, self.run, "-f", "-o", self.out / "x.h5", check=0).stdout
            self.assertIn(f"x.h5  {os.path.getsize(self.out / 'x.h5') / 1e3:.1f} kB", text)

    def test_parts(self):
        self.export("-o", self.out / "y.h5", "--channels", "g/y", "--range", "0.9:1.1", "-q")
        with h5py.File(self.run) as f, h5py.File(self.out / "y.h5") as g:
            self.assertEqual([k for k in g["entry/g"] if not k.startswith("time")], ["y", "y_quality"])
            segments = g["entry/spillway/g/segments"][()]
            self.assertEqual(segments["first_sample"].tolist(), [900, LOST + 17])
            self.assertEqual(segments["count"].tolist(), [100, 1100 - LOST - 17])
            np.testing.assert_array_equal(g["entry/g/y"][()], f["entry/g/y"][900:1100 - 17])
        self.export("-o", self.out / "n.h5", "--channels", "x", "--range", "#2000:#2010", "-q")
        with h5py.File(self.run) as f, h5py.File(self.out / "n.h5") as g:
            for stream in ("g", "low"):
                np.testing.assert_array_equal(g[f"entry/{stream}/x"][()], f[f"entry/{stream}/x"][2000 - 17:2010 - 17])
        for name in ("y", "n"):
            self.run_spillway("verify", self.out / f"{name}.h5", check=0)

    def bins(self, n, channel):
        """Raw values and sample numbers of each bin, by numpy."""
        with h5py.File(self.run) as f:
            segments = f["entry/spillway/g/segments"][()]
            numbers = np.concatenate([np.arange(s["first_sample"], s["first_sample"] + s["count"]) for s in segments])
            x, q = f[f"entry/g/{channel}"][()], f[f"entry/g/{channel}_quality"][()]
        for k in range(0, 20000 // n + (20000 % n > 0)):
            part = numbers // n == k
            if part.any():
                yield k, x[part], q[part]

    def expected_quality(self, x, q, n):
        merged = [(2 | (b & 0xFC) | 8) if np.isnan(v) else b for v, b in zip(x, q)] + ([2 | 8] if len(x) < n else [])
        return max(b & 3 for b in merged) | int(np.bitwise_or.reduce([b & 0xFC for b in merged]))

    def test_minmax_misses_nothing(self):
        for n in (7, 100):
            self.export("-o", self.out / "m.h5", "--channels", "g", "--every", n, "-f", "-q")
            self.run_spillway("verify", self.out / "m.h5", check=0)
            with h5py.File(self.out / "m.h5") as f:
                for channel in ("x", "y"):
                    low_high, quality = f[f"entry/g/{channel}"][()], f[f"entry/g/{channel}_quality"][()]
                    expected = []
                    for k, x, q in self.bins(n, channel):
                        low, high = np.nanargmin(x), len(x) - 1 - np.nanargmax(x[::-1])
                        expected.append((x[min(low, high)], x[max(low, high)], self.expected_quality(x, q, n)))
                    np.testing.assert_array_equal(low_high.reshape(-1, 2), [e[:2] for e in expected])
                    np.testing.assert_array_equal(quality.reshape(-1, 2)[:, 0], [e[2] for e in expected])
                    np.testing.assert_array_equal(quality.reshape(-1, 2)[:, 1], [e[2] for e in expected])
                self.assertAlmostEqual(f["entry/g/time"][0], 0.0)
                self.assertAlmostEqual(f["entry/g/time"][3], 1.5 * n / 1000, places=9)
        # Bins of which all is lost are a gap, and no others.
        self.assertEqual(self.info(self.out / "m.h5")["streams"][0]["gaps"], [])
        self.export("-o", self.out / "b.h5", "--channels", "g", "--every", 5, "-q")
        gap = self.info(self.out / "b.h5")["streams"][0]["gaps"][0]
        self.assertEqual((gap["first_sample"], gap["count"], gap["missing"]), (2 * (LOST // 5), 2 * 3, 2 * 3))

    def test_mean_and_rate(self):
        self.export("-o", self.out / "m.h5", "--channels", "g", "--rate", 10, "--by", "mean", "-q")
        self.run_spillway("verify", self.out / "m.h5", check=0)
        with h5py.File(self.out / "m.h5") as f:
            expected = [x.mean() for _, x, _ in self.bins(100, "x")]
            np.testing.assert_allclose(f["entry/g/x"][()], expected, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(f["entry/g/time"][()], 0.0495 + 0.1 * np.arange(200), rtol=0, atol=1e-9)
        self.assertEqual(self.info(self.out / "m.h5")["streams"][0]["rate_hz"], 10)
        self.assert_one_line(self.export("-o", self.out / "w.h5", "--rate", 300, "--by", "mean", check=None), "'g'", "whole number", "--every")

    def test_filter_is_the_decimate_node_of_the_graph(self):
        self.record("""
title: decimated
sources:
  - type: generator
    name: g
    rate: 1 kHz
    speed: max
    duration: 5 s
    channels: [{name: x, unit: V, frequency: 3 Hz, noise: 0.1}]
    faults: [{kind: lost, first: 1003, count: 17, every: 3000}]
graph:
  - {id: d, type: decimate, input: g, factor: 10}
  - {id: r, type: resample, input: g, up: 3, down: 100}
record:
  - {path: d.h5}
""", "-q")
        source = self.out / "data/d.h5"
        for target, arguments in (("d", ("--every", 10)), ("d", ("--rate", 100)), ("r", ("--rate", 30))):
            self.run_spillway("export", source, "-o", self.out / "e.h5", "-f", "-q", "--channels", "g", "--by", "filter", *arguments, check=0)
            self.run_spillway("verify", self.out / "e.h5", check=0)
            with h5py.File(source) as f, h5py.File(self.out / "e.h5") as g:
                np.testing.assert_array_equal(values(f, f"{target}/x"), values(g, "g/x"))
                np.testing.assert_array_equal(values(f, f"{target}/x_quality"), values(g, "g/x_quality"))
                np.testing.assert_array_equal(f[f"entry/spillway/{target}/segments"][()], g["entry/spillway/g/segments"][()])
                for field in ("first_sample", "count"):
                    np.testing.assert_array_equal(f[f"entry/spillway/{target}/gaps"][field], g["entry/spillway/g/gaps"][field])

    @unittest.skipUnless(DATA.is_dir(), f"no recordings at {DATA}")
    def test_a_range_filtered_has_no_gap_that_is_not_there(self):
        for begin, every in ((4100, 13), (1, 2), (7, 7), (123, 50)):
            self.export("-o", self.out / "f.h5", "-f", "-q", "--channels", "g", "--by", "filter", "--range", f"#{begin}:#8000", "--every", every)
            with h5py.File(self.out / "f.h5") as f:
                first = -(-begin // every)
                self.assertEqual(f["entry/spillway/g/segments"]["first_sample"][0], first)
                self.assertTrue((f["entry/spillway/g/gaps"]["first_sample"] > first).all())

    def test_every_recording(self):
        for directory in sorted(p.parent for p in DATA.glob("*/recording.json")):
            with self.subTest(directory.name):
                sidecar, out = directory / "recording.json", self.out / directory.name
                out.mkdir()
                self.run_spillway("export", sidecar, "-o", out / "all.h5", "-q", check=0)
                self.run_spillway("verify", out / "all.h5", check=0)
                description = json.loads(sidecar.read_text())
                with h5py.File(out / "all.h5") as f:
                    for s in description["streams"]:
                        raw = np.fromfile(directory / s["file"], dtype=np.dtype(s["dtype"]).newbyteorder("<"),
                                          count=s["frames"] * s["channel_count"], offset=s["offset_bytes"]).reshape(s["frames"], -1)
                        channels = json.loads(f[f"entry/spillway/{s['name']}/info"][()])["channels"]
                        for k, c in enumerate(channels[:20]):
                            np.testing.assert_array_equal(f[f"entry/{s['name']}/{c['name']}"][()], raw[:, k])
                self.run_spillway("export", out / "all.h5", "-o", out / "few.h5", "--every", 50, "-q", check=0)
                self.run_spillway("verify", out / "few.h5", check=0)

    @unittest.skipUnless(DATA.is_dir(), f"no recordings at {DATA}")
    def test_bins_of_an_irregular_stream_keep_real_times(self):
        sidecar = DATA / "flight_px4_small/recording.json"
        self.run_spillway("export", sidecar, "-o", self.out / "all.h5", "-q", check=0)
        with h5py.File(self.out / "all.h5") as f:
            stream = next(name for name in f["entry"] if f"entry/{name}/time_ns" in f)
            channel = next(name for name in f[f"entry/{stream}"] if f"entry/{stream}/{name}_quality" in f)
            times, x = f[f"entry/{stream}/time_ns"][()], f[f"entry/{stream}/{channel}"][()].astype(float)
        for by in ("minmax", "mean"):
            self.run_spillway("export", self.out / "all.h5", "-o", self.out / "few.h5", "--channels", f"{stream}/{channel}", "--every", 20, "--by", by, "-q", "-f", check=0)
            self.run_spillway("verify", self.out / "few.h5", check=0)
            expected = []
            for k in range(0, len(x), 20):
                part, at = x[k:k + 20], times[k:k + 20]
                if by == "mean":
                    expected.append((at[0] + (at[-1] - at[0]) // 2, part.mean()))
                else:
                    rows = sorted([np.argmin(part), len(part) - 1 - np.argmax(part[::-1])])
                    expected += [(at[i], part[i]) for i in rows]
            with h5py.File(self.out / "few.h5") as f:
                np.testing.assert_array_equal(f[f"entry/{stream}/time_ns"][()], [e[0] for e in expected])
                np.testing.assert_allclose(f[f"entry/{stream}/{channel}"][()], [e[1] for e in expected], rtol=1e-14)

    def test_what_is_wrong_is_one_line_and_leaves_no_file(self):
        before = self.files()
        cases = [
            (["-o", self.run, "-f"], ["run.h5", "is the input"]),
            (["-o", self.out / "data/run.csv"], ["run.csv" , "exists already", "--force"]),
            (["-o", self.out / "x.foo"], ["x.foo", ".npy"]),
            (["-o", self.out / "nowhere/x.h5"], ["nowhere"]),
            (["-o", self.out / "x.h5", "--channels", "nothing"], ["no stream 'nothing'", "'g', 'low'"]),
            (["-o", self.out / "x.h5", "--channels", "g/z"], ["'g' has no channel 'z'", "'x', 'y'"]),
            (["-o", self.out / "x.h5", "--range", "100:"], ["range '100:'", "no sample"]),
            (["-o", self.out / "x.h5", "--range", "2:1"], ["range '2:1'"]),
            (["-o", self.out / "x.h5", "--long"], ["x.h5", "CSV"]),
            (["-o", self.out / "x.h5", "--by", "filter", "--every", 60000], ["stream 'g': --every 60000", "1000 Hz", "up to 52428"]),
            (["-o", self.out / "x.h5", "--by", "filter", "--rate", 999.999], ["stream 'g': --rate 999.999", "1000 Hz", "1000000", "up to 52428"]),
        ]
        for arguments, parts in cases:
            arguments = [*arguments, "--channels", "g"] if arguments[1] == self.out / "data/run.csv" else arguments
            with self.subTest(arguments[1:]):
                self.assert_one_line(self.export(*arguments, check=None), *parts)
                self.assertEqual(self.files(), before)
        # Of so many channels what a filter keeps is too much.
        np.save(self.out / "wide.npy", np.zeros((2, 3000), dtype=np.int8))
        self.assert_one_line(self.run_spillway("export", self.out / "wide.npy", "-o", self.out / "x.h5", "--input-rate", 1000,
                                               "--by", "filter", "--every", 50000), "stream 'wide': its filter needs", "MiB")
        damaged = self.damaged("g/x", 1)
        truncated = self.out / "truncated.h5"
        truncated.write_bytes(self.run.read_bytes()[:100_000])
        nonsense = self.write("nonsense.h5", "nothing that anybody knows")
        for path in (damaged, truncated, nonsense, self.out, self.out / "absent.h5"):
            with self.subTest(path.name):
                self.assert_one_line(self.run_spillway("export", path, "-o", self.out / "x.h5"), str(path))
                self.assertFalse((self.out / "x.h5").exists())
                self.assertFalse((self.out / "x.h5.part").exists())

    def test_damage_anywhere_is_told_or_changes_nothing(self):
        self.export("-o", self.out / "whole.csv", "-q")
        whole = {s: (self.out / f"whole-{s}.csv").read_bytes() for s in ("g", "low")}
        # The times of regular streams are computed; the column is for other programs.
        told = []
        with h5py.File(self.run) as f:
            columns = [f"{s}/{name}" for s in whole for name in f[f"entry/{s}"] if name != "time_ns"]
        for column in columns:
            path = self.damaged(column, 3)
            self.assertEqual(self.run_spillway("verify", path).returncode, 1)
            with self.subTest(column):
                if column.endswith("/time"):
                    self.run_spillway("export", path, "-o", self.out / "x.csv", "-q", "-f", check=0)
                    for stream, content in whole.items():
                        self.assertEqual((self.out / f"x-{stream}.csv").read_bytes(), content)
                        (self.out / f"x-{stream}.csv").unlink()
                        (self.out / f"x-{stream}.csv-metadata.json").unlink()
                else:
                    self.assert_one_line(self.run_spillway("export", path, "-o", self.out / "x.csv"), str(path), column.removesuffix("_quality"))
                    self.assertEqual([n for n in self.files() if n.startswith("x")], [])
                    # What is not damaged can be had.
                    other = "low" if column.startswith("g/") else "g"
                    self.run_spillway("export", path, "--channels", other, "-o", self.out / "y.csv", "-q", "-f", check=0)
                    self.assertEqual((self.out / "y.csv").read_bytes(), whole[other])
                    told.append(column)
        self.assertEqual(len(told), 8)

    def test_any_byte_may_be_damaged(self):
        self.export("-o", self.out / "whole.csv", "-q")
        whole = [(self.out / f"whole-{s}.csv").read_bytes() for s in ("g", "low")]
        content = self.run.read_bytes()
        seed = int(os.environ.get("SPILLWAY_TEST_SEED", time.time_ns() % 2**32))
        print(f"seed {seed}")
        random = np.random.default_rng(seed)
        # Where the books are, behind the samples and in front of them, rather than in the samples. Events that
        # were flushed early are in front.
        with h5py.File(self.run) as f:
            samples, books = sorted(f[name].id.get_chunk_info(0).byte_offset for name in ("entry/g/x", "entry/spillway/events"))
        full = os.environ.get("SPILLWAY_TEST_FULL")
        places = [*random.integers(0, samples, 500 if full else 25), *random.integers(books, len(content), 500 if full else 25), *random.integers(samples, books, 200 if full else 10)]
        told = 0
        for place in map(int, places):
            damaged = bytearray(content)
            damaged[place] ^= 1 << int(random.integers(8))
            path = self.out / "damaged.h5"
            path.write_bytes(damaged)
            with self.subTest(place=place, value=damaged[place]):
                result = self.run_spillway("export", path, "-o", self.out / "x.csv", "-q")
                if result.returncode == 0:
                    for stream, expected in zip(("g", "low"), whole):
                        self.assertEqual((self.out / f"x-{stream}.csv").read_bytes(), expected)
                else:
                    self.assert_one_line(result, "damaged.h5")
                    self.assertEqual([n for n in self.files() if n.startswith("x")], [])
                    told += 1
                for name in self.files():
                    if name.startswith("x"):
                        (self.out / name).unlink()
        self.assertGreater(told, 0)

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_unwritable_directory(self):
        locked = self.out / "locked"
        locked.mkdir(mode=0o500)
        self.assert_one_line(self.export("-o", locked / "x.h5", check=None), "locked/x.h5", "Permission denied")

    def test_file_size_limit_leaves_nothing(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        before = self.files()
        for name in ("x.h5", "x.csv"):
            self.assert_one_line(self.export("-o", self.out / name, check=None, preexec_fn=limit), str(self.out / "x"))
            self.assertEqual(self.files(), before)

    def test_interrupted_leaves_nothing(self):
        self.record(GENERATOR.format(speed="max", duration="3000 s").replace("  - {path: run.csv, streams: [g]}\n", ""), "-q", "-f")
        before = self.files()
        process = subprocess.Popen([SPILLWAY, "export", self.run, "-o", self.out / "x.csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (self.out / "x-g.csv.part").exists():
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(error, r"spillway: .*x\.csv: interrupted; nothing was written\n")
        self.assertEqual(self.files(), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
