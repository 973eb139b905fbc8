"""rt-bench as a user runs it, with tiny counts: complete results, books that balance, errors in one line."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

RT_BENCH = os.environ["RT_BENCH"]
CORES = sorted(os.sched_getaffinity(0))
TWO_CORES = unittest.skipIf(len(CORES) < 2, "needs two cores")
CONTESTANTS = {"Spillway", "Boost spsc_queue, fixed", "Boost spsc_queue, run-time size", "moodycamel ReaderWriterQueue",
               "moodycamel ConcurrentQueue, tokens", "std::mutex + std::deque"}
RING = ["idle", "paced", "burst", "burst-pausing", "stalled", "sustained", "sustained-pausing", "blocks", "round-trip"]
FILTERS = [f"filter-{family}-{type}" for family in ("sos4", "sos8", "mean64", "mean1024", "fir64", "fir256", "median5", "median31") for type in ("double", "float")]
GRAPH = [f"graph-chain-{type}-{lanes}" for type in ("int16", "double") for lanes in (1, 16, 64)] + ["graph-fan-out-int16-16", "graph-build"]
STORAGE = ["storage-hdf5", "storage-compressed", "storage-csv", "storage-stalled-disk"]
REPLAY = ["replay-hdf5", "replay-compressed", "replay-length"]


class Program(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="rt-bench-")
        self.addCleanup(directory.cleanup)
        self.out = pathlib.Path(directory.name)

    def run_bench(self, *arguments, check=None, **options):
        result = subprocess.run([RT_BENCH, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=self.out, **options)
        if check is not None:
            self.assertEqual(result.returncode, check, result.stdout + result.stderr)
        return result

    def assert_error(self, *arguments, parts=(), **options):
        """One line on standard error, status 1, and no file under any name."""
        before = sorted(self.out.iterdir())
        result = self.run_bench(*arguments, check=1, **options)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("error: "), result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)
        self.assertEqual(sorted(self.out.iterdir()), before)

    def check_rows(self, workload):
        for row in workload["rows"]:
            counts = row["counts"]
            with self.subTest(workload=workload["id"], row=row["name"]):
                for metric in row["metrics"]:
                    self.assertEqual(metric["median"], sorted(metric["rounds"])[len(metric["rounds"]) // 2])
                if "times" in row:
                    times = row["times"]
                    self.assertEqual(sum(n for _, n in times["buckets"]), times["count"])
                    self.assertLessEqual(times["min"], times["p50"])
                    self.assertLessEqual(times["p50"], times["p99"])
                    self.assertLessEqual(times["p99"], times["max"])
                self.assertEqual(counts.get("wrong", 0), 0)
                if "pushed" in counts:
                    self.assertGreater(counts["pushed"], 0)
                    self.assertEqual(counts["pushed"], counts["delivered"] + counts["lost"])

    def check_replay(self, workload):
        rows = {row["name"]: row for row in workload["rows"]}
        for row in rows.values():
            metrics = {m["name"]: m["median"] for m in row["metrics"]}
            self.assertGreater(metrics["samples"], 0)
            self.assertGreater(metrics["memory"], 0)
        if workload["id"] == "replay-length":
            self.assertEqual(len(workload["rows"]), 3)
            return
        self.assertLessEqual({"replay, 1 thread", "replay, 2 threads", "H5Ocopy", "copy() to an Hdf5Sink"}, set(rows))
        self.assertRegex(workload["note"], r"Bars: .*\((at least|at most) [\d.]+(: met|: MISSED)?\)\.$")
        if "h5py, SciPy" in rows:
            # The output was compared with the script's.
            self.assertEqual(rows["replay, 2 threads"]["counts"]["wrong"], 0)

    @TWO_CORES
    def test_everything_is_measured_accounted_for_and_reported(self):
        result = self.run_bench("all", "--rounds", 3, "--samples", 65536, "--seconds", 0.05, "--json", "all.json", check=0)
        self.assertEqual([p.name for p in self.out.iterdir()], ["all.json"])
        results = json.loads((self.out / "all.json").read_text())
        for key in ("cpu", "kernel", "governor", "turbo", "virtualisation", "tsc_invariant", "tsc_mhz", "load_average"):
            self.assertIn(key, results["machine"])
        for key in ("compiler", "flags", "commit"):
            self.assertTrue(results["build"][key])
        self.assertEqual(len(results["machine"]["cores_used"]), 2)
        self.assertEqual(results["settings"]["ring rounds"], "3")
        self.assertRegex(results["date"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        for warning in results["warnings"]:
            self.assertIn(f"warning: {warning}", result.stdout)
        ids = [w["id"] for w in results["workloads"]]
        self.assertEqual(ids[:len(RING)], RING)
        self.assertEqual(ids[len(RING):len(RING) + 3], ["path-ring", "path-step", "path-thread"])
        self.assertEqual(ids[-len(REPLAY):], REPLAY)
        ids = ids[:-len(REPLAY)]
        self.assertEqual(ids[-len(STORAGE):], STORAGE)
        ids = ids[:-len(STORAGE)]
        self.assertEqual(ids[-len(GRAPH):], GRAPH)
        ids = ids[:-len(GRAPH)]
        self.assertEqual(ids[len(RING) + 3:-len(FILTERS)], [f"jitter-{us}us-{load}" for us in (1000, 100) for load in ("idle", "busy")])
        self.assertEqual(ids[-len(FILTERS):], FILTERS)
        for workload in results["workloads"]:
            self.assertIn(workload["title"], result.stdout)
            self.check_rows(workload)
            # How memory goes with the length takes no rounds.
            rounds = 1 if workload["id"] == "replay-length" else 3
            for row in workload["rows"]:
                for metric in row["metrics"]:
                    self.assertEqual(len(metric["rounds"]), rounds)
            if workload["id"] in REPLAY:
                self.check_replay(workload)
            if workload["id"] in RING:
                self.assertLessEqual(CONTESTANTS, {row["name"] for row in workload["rows"]})
        stalled = {row["name"]: row["counts"] for row in results["workloads"][ids.index("stalled")]["rows"]}
        self.assertEqual(stalled["Spillway"]["newest lost"], 0)
        for name in CONTESTANTS:
            # Everybody holds what was asked for, in each of the rounds.
            self.assertGreaterEqual(stalled[name]["delivered"], 3 * 65536, name)
            overwrites = name in ("Spillway", "std::mutex + std::deque")
            self.assertEqual(stalled[name]["refused"] == 0, overwrites, name)
        waked = results["workloads"][ids.index("jitter-1000us-idle")]
        for row in waked["rows"]:
            self.assertEqual(row["times"]["count"] + row["counts"]["missed"], row["counts"]["due"])

        self.run_bench("report", "all.json", check=0)
        page = (self.out / "report.html").read_text()
        for workload in results["workloads"]:
            self.assertIn(f'<h2 id="{workload["id"]}">', page)
        self.assertFalse(re.search(r"https?://", page))
        self.run_bench("report", "all.json", "all.json", "-o", "both.html", check=0)
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), ["all.json", "both.html", "report.html"])

    @TWO_CORES
    def test_one_workload_on_cores_of_choice(self):
        a, b = CORES[1], CORES[0]
        self.run_bench("ring", "--workload", "blocks,idle", "--cores", f"{a},{b}", "--rounds", 1, "--samples", 1000, "--json", "r.json", check=0)
        results = json.loads((self.out / "r.json").read_text())
        self.assertEqual([w["id"] for w in results["workloads"]], ["idle", "blocks"])
        self.assertEqual(results["machine"]["cores_used"], [a, b])
        for workload in results["workloads"]:
            self.check_rows(workload)

    def test_filters_with_an_instruction_set_of_choice(self):
        result = self.run_bench("filters", "--workload", "filter-sos4-double", "--isa", "baseline", "--rounds", 3, "--samples", 1000, "--json", "f.json", check=0)
        self.assertIn("baseline", result.stdout)
        (workload,) = json.loads((self.out / "f.json").read_text())["workloads"]
        self.check_rows(workload)
        rows = {row["name"] for row in workload["rows"]}
        self.assertLessEqual({"scalar", "Spillway bank", "Spillway filter", "Spillway bank, block"}, rows)
        self.assert_error("filters", "--isa", "MMX", parts=("--isa",))

    def test_a_graph_beside_its_filters(self):
        result = self.run_bench("graph", "--workload", "graph-chain-int16-1,graph-fan-out-int16-16", "--rounds", 3, "--samples", 1000, "--json", "g.json", check=0)
        self.assertRegex(result.stdout, r"Scheduling, relative to the filters: -?\d+\.\d % \(-?\d+ ns a node and block\) in blocks of 64, ")
        workloads = json.loads((self.out / "g.json").read_text())["workloads"]
        self.assertEqual([w["id"] for w in workloads], ["graph-chain-int16-1", "graph-fan-out-int16-16"])
        for workload in workloads:
            self.check_rows(workload)
            rows = {row["name"].strip(): row for row in workload["rows"]}
            # Values were compared, and not nothing.
            self.assertEqual(rows["Graph::process"]["counts"]["wrong"], 0)
            self.assertEqual(rows["Engine::step, ring to rings"]["counts"]["wrong"], 0)
            for row in rows.values():
                self.assertEqual([m["name"] for m in row["metrics"]], [f"blocks of {n}" for n in (64, 256, 1024, 4096)])
            times = {name: [m["median"] for m in row["metrics"]] for name, row in rows.items()}
            self.assertTrue(all(t > 0 for name in ("filters by hand", "conversion", "Graph::process") for t in times[name]))
        self.assert_error("graph", "--workload", "idle", parts=("--workload",))

    def test_recording_beside_others(self):
        files = self.out / "files"
        files.mkdir()
        result = self.run_bench("storage", "--directory", files, "--rounds", 3, "--samples", 300_000, "--json", "s.json", check=0)
        self.assertEqual(list(files.iterdir()), [])
        results = json.loads((self.out / "s.json").read_text())
        self.assertEqual([w["id"] for w in results["workloads"]], STORAGE)
        self.assertRegex(results["settings"]["storage directory"], r"^\w+ on ")
        for workload in results["workloads"]:
            self.check_rows(workload)
            # Each bar is judged, or said to be without figures.
            self.assertRegex(workload["note"], r"Bars: .*\((at least|at most) [\d.]+(: met|: MISSED)?\)\.$")
            for row in workload["rows"]:
                for metric in row["metrics"]:
                    self.assertEqual(len(metric["rounds"]), 3)
        rows = {w["id"]: {row["name"]: row for row in w["rows"]} for w in results["workloads"]}
        # What the sinks and those they are compared with wrote was read back.
        for workload, names in (("storage-hdf5", ("process", "full", "none")), ("storage-compressed", ("0 threads", "1 thread", "2 threads"))):
            for name in names:
                self.assertEqual(rows[workload][f"Hdf5Sink, {name}"]["counts"]["wrong"], 0)
        self.assertEqual(rows["storage-compressed"]["H5Dwrite, shuffle + deflate 1"]["counts"]["wrong"], 0)
        self.assertEqual(rows["storage-csv"]["CsvSink"]["counts"]["wrong"], 0)
        self.assertEqual(rows["storage-csv"]["std::ofstream <<"]["counts"]["wrong"], 0)
        sizes = {row: {m["name"]: m["median"] for m in figures["metrics"]}["file"] for row, figures in rows["storage-hdf5"].items()}
        self.assertAlmostEqual(sizes["raw write"], 100.0)
        for row in rows["storage-stalled-disk"].values():
            self.assertGreaterEqual(row["counts"]["blocks"], 3 * 111)

        self.run_bench("storage", "--workload", "storage-csv", "--rounds", 1, "--samples", 1, "--json", "c.json", check=0)
        self.assertEqual([w["id"] for w in json.loads((self.out / "c.json").read_text())["workloads"]], ["storage-csv"])
        self.assert_error("storage", "--directory", "nowhere", parts=("--directory", "nowhere"))
        self.assert_error("storage", "--workload", "graph-build", parts=("--workload",))

    def test_usage_errors(self):
        self.assert_error()
        self.assert_error("wring", parts=("wring",))
        self.assert_error("ring", "--rounds", "0", parts=("--rounds",))
        self.assert_error("ring", "--samples", "many", parts=("--samples",))
        self.assert_error("ring", "--workload", "nothing", parts=("--workload",))
        self.assert_error("jitter", "--interval", "0", parts=("--interval",))
        self.assert_error("jitter", "--interval", "nan", parts=("--interval",))
        self.assert_error("jitter", "--seconds", "nan", parts=("--seconds",))
        self.assert_error("report")
        self.assertIn("jitter", self.run_bench("--help", check=0).stdout)
        self.assertIn("--json", self.run_bench("ring", "--help", check=0).stdout)

    def test_cores_that_are_not_there(self):
        for cores in ("0", "0,0", "0,99999", "a,b", "0,1,2", "-1,0", ","):
            self.assert_error("ring", f"--cores={cores}", "--json", "x.json", parts=(f"--cores {cores}",))

    def test_one_core_is_told_where_two_are_needed(self):
        def one_core():
            os.sched_setaffinity(0, {CORES[0]})

        for command in ("ring", "path", "all"):
            self.assert_error(command, parts=("two cores",), preexec_fn=one_core)
        result = self.run_bench("jitter", "--rounds", 1, "--seconds", 0.01, check=0, preexec_fn=one_core)
        self.assertIn("no second core", result.stdout)

    def test_files_that_can_not_be_read_or_written(self):
        self.assert_error("report", "none.json", parts=("none.json", "No such file"))
        self.assert_error("report", self.out, parts=("not a file",))
        good = self.out / "good.json"
        self.run_bench("jitter", "--rounds", 1, "--seconds", 0.01, "--json", good, check=0)
        text = good.read_text()
        for name, content in (("empty.json", ""), ("cut.json", text[:len(text) // 2]), ("other.json", "{}"), ("binary.json", "\0\1\2"),
                              ("deep.json", "[" * 100)):
            (self.out / name).write_text(content)
            self.assert_error("report", name, parts=(name,))
            self.assert_error("report", good, name, "-o", "page.html", parts=(name,))
        self.assert_error("report", good, "-o", "nowhere/page.html", parts=("nowhere/page.html", "No such file"))
        # As /dev/null would be: what is no file must not be replaced by one.
        os.mkfifo(self.out / "pipe")
        self.assert_error("report", good, "-o", "pipe", parts=("pipe", "not a file"))
        self.assert_error("jitter", "--rounds", 1, "--seconds", 0.01, "--json", "pipe", parts=("pipe", "not a file"))
        self.assertTrue((self.out / "pipe").is_fifo())
        self.assert_error("jitter", "--json", "nowhere/x.json", parts=("nowhere/x.json",))
        self.assert_error("jitter", "--json", self.out, parts=("directory",))
        # A report that fails leaves the one that was there.
        (self.out / "report.html").write_text("old")
        self.assert_error("report", "cut.json")
        self.assertEqual((self.out / "report.html").read_text(), "old")

    def test_a_signal_ends_it_in_order(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                process = subprocess.Popen([RT_BENCH, "jitter", "--seconds", "60", "--rounds", "1", "--json", "x.json"], cwd=self.out,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                # The heading comes once it listens for signals.
                self.assertIn("rt-bench", process.stdout.readline())
                time.sleep(0.2)
                process.send_signal(number)
                _, err = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 128 + number)
                self.assertEqual(err, "error: interrupted; nothing was written\n")
                self.assertEqual(list(self.out.iterdir()), [])

    def test_output_nobody_reads_costs_no_results(self):
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.run([RT_BENCH, "jitter", "--rounds", "1", "--seconds", "0.01", "--json", "x.json"], cwd=self.out, stdout=writing, timeout=60)
        os.close(writing)
        self.assertEqual(process.returncode, 0)
        self.assertTrue((self.out / "x.json").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
