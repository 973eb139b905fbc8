"""spillway recover, verify and info as a user runs them, after kill -9."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import h5py
import numpy as np
from support import GENERATOR, SPILLWAY, Case

ENDLESS = GENERATOR.format(speed="real", duration="1 h")


def joined(gaps):
    """A gap that was found in pieces may be named in pieces."""
    one = []
    for gap in gaps:
        if one and one[-1]["cause"] == gap["cause"] and one[-1]["first_sample"] + one[-1]["count"] == gap["first_sample"]:
            for key in ("count", "lost", "missing"):
                one[-1][key] += gap[key]
        else:
            one.append(dict(gap))
    return one


class Recover(Case):
    def crash(self):
        """A recorder that was killed after it had flushed something."""
        (self.out / "data").mkdir()
        config = self.write("config.yaml", ENDLESS)
        recorder = subprocess.Popen([SPILLWAY, "record", config, "-o", self.out / "data", "-q"])
        part = self.out / "data" / "run.h5.part"
        try:
            self.wait_until(lambda: part.exists() and self.rows(part) > 2500, recorder)
            alive = self.run_spillway("recover", part)
            self.assert_one_line(alive, "its recorder lives")
            info = self.run_spillway("info", part, check=0).stdout
            self.assertIn("Its recorder lives", info)
        finally:
            recorder.send_signal(signal.SIGKILL)
            recorder.wait()
        return part

    def test_after_kill(self):
        part = self.crash()
        info = self.run_spillway("info", part, check=0).stdout
        self.assertIn("Safe by its journal", info)
        self.assertIn(f"spillway recover {part}", info)
        before = self.info(part)
        self.assertEqual(before["checked_by"], "journal")
        self.assertEqual(before["unfinished"]["recorder"], "ended")
        unclean = json.loads(self.run_spillway("verify", part, "--json", check=0).stdout)[0]
        self.assertTrue(unclean["holds"])
        self.assertFalse(unclean["sealed"])

        # The command that info says, as it says it.
        subprocess.run(before["unfinished"]["command"].replace("spillway", SPILLWAY, 1), shell=True, check=True, capture_output=True)
        result = part.parent / "run.recovered.h5"
        text = self.run_spillway("verify", result, check=0).stdout
        self.assertIn("holds", text)
        self.assertIn("sealed with checksums", text)
        after = self.info(result)
        self.assertTrue(after["status"].startswith("recovered: by its journal"))
        for a, b in zip(after["streams"], before["streams"], strict=True):
            for key in ("rows", "segments", "counts", "channels"):
                self.assertEqual(a[key], b[key])
            self.assertEqual(joined(a["gaps"]), joined(b["gaps"]))
        with h5py.File(result) as f:
            g = f["entry/g"]
            self.assertEqual(len(g["x"]), after["streams"][0]["rows"])
            self.assertTrue(np.isfinite(g["x"][()]).all())

        again = json.loads(self.run_spillway("recover", part, "--json", check=0).stdout)
        self.assertTrue(again["was_there"])
        # All of the directory: the CSV as well.
        all_of_it = json.loads(self.run_spillway("recover", part.parent, "--json", check=0).stdout)
        self.assertEqual([os.path.basename(r["input"]) for r in all_of_it], ["run.csv.part", "run.h5.part"])
        self.assertEqual([r["outcome"] for r in all_of_it], ["complete", "complete"])
        self.run_spillway("verify", part.parent / "run.recovered.csv", check=0)

        # What was in chunks is gone: of these rows the journal does not have all.
        os.truncate(part, 4096)
        lost = self.run_spillway("recover", part, "-o", self.out / "half.h5", check=3)
        self.assertIn("damaged:", lost.stdout)
        self.run_spillway("verify", self.out / "half.h5", check=0)
        self.assertEqual(json.loads(self.run_spillway("verify", part, "--json", check=1).stdout)[0]["findings"][0]["kind"], "checksum")

    def test_without_a_journal_that_can_be_read(self):
        part = self.crash()
        data = part.parent
        for name in ("run.h5", "run.csv"):
            journal = bytearray((data / f"{name}.journal").read_bytes())
            journal[120:124] = b"XXXX"
            (data / f"{name}.journal").write_bytes(journal)
        report = self.run_spillway("recover", part, check=3)
        self.assertIn("unknown: what was found is in it, and nobody can tell", report.stdout)
        self.assertNotIn("complete", report.stdout)
        self.assertEqual(json.loads(self.run_spillway("recover", part, "--json", check=3).stdout)["outcome"], "unknown")
        table = data / "run.csv.part"
        damaged = self.run_spillway("recover", table)
        self.assert_one_line(damaged, "run.csv.journal", "keep it and its journal")
        self.assertEqual(damaged.stdout, "")
        # Of a directory it is a failure.
        self.assertIn("run.csv.journal", self.run_spillway("recover", data, check=1).stderr)
        os.remove(data / "run.csv.journal")
        self.assert_one_line(self.run_spillway("recover", table), "keep it")
        # What is not there does not come as zeros, and is not left out.
        os.remove(data / "run.h5.journal")
        os.remove(data / "run.recovered.h5")
        whole = part.read_bytes()
        for tenths in range(1, 10):
            part.write_bytes(whole[: len(whole) * tenths // 10])
            result = subprocess.run([SPILLWAY, "recover", part, "-o", self.out / f"{tenths}.h5"], capture_output=True, text=True)
            self.assertIn(result.returncode, (1, 3), result)
            if result.returncode == 1:
                self.assert_one_line(result, "run.h5.part")
            else:
                self.assertIn("lost:", result.stdout)
                with h5py.File(self.out / f"{tenths}.h5") as f:
                    x, quality = f["entry/g/x"][()], f["entry/g/x_quality"][()]
                    self.assertFalse(np.any((x == 0) & (quality == 0) & (np.arange(len(x)) > 0)))

    def test_the_journal_of_another_recording(self):
        part = self.crash()
        os.rename(part.parent, self.out / "first")
        other = self.crash()
        # Not the CSV: the generator makes the same text each time, and that fits.
        shutil.copy(self.out / "first" / "run.h5.journal", other.parent)
        before = sorted(other.parent.iterdir())
        for command in ("recover", "info"):
            refused = self.run_spillway(command, other)
            self.assert_one_line(refused, "the journal of another recording")
        self.assertEqual(sorted(other.parent.iterdir()), before)

    def test_a_recovery_that_is_ended_by_a_signal_is_made_again(self):
        part = self.crash()
        files = {path: path.read_bytes() for path in part.parent.iterdir() if path.name.startswith("run.h5")}
        for number, delay in itertools.product((signal.SIGINT, signal.SIGTERM), (0, 0.003, 0.01, 0.03)):
            with self.subTest(number=number, delay=delay):
                recovery = subprocess.Popen([SPILLWAY, "recover", part], stdout=subprocess.DEVNULL)
                time.sleep(delay)
                recovery.send_signal(number)
                # By the signal, unless it was faster.
                self.assertIn(recovery.wait(timeout=300), (-number, 0))
                # Nothing of it holds on to the files.
                self.run_spillway("recover", part, check=0)
                self.run_spillway("verify", part.parent / "run.recovered.h5", check=0)
                self.assertEqual(list(part.parent.glob("*.recover*")), [part.parent / "run.recovered.h5"])
                os.remove(part.parent / "run.recovered.h5")
        for path, content in files.items():
            self.assertEqual(path.read_bytes(), content)

    def test_of_a_directory_that_can_only_be_read(self):
        part = self.crash()
        config = self.write("again.yaml", ENDLESS.replace("run.", "again."))
        with self.read_only(part.parent):
            self.assertEqual(self.info(part)["checked_by"], "journal")
            self.run_spillway("verify", part, check=0)
            reasons = "Read-only file system|Permission denied"
            refused = self.run_spillway("recover", part)
            self.assert_one_line(refused, "run.recovered.h5")
            self.assertRegex(refused.stderr, reasons)
            self.run_spillway("recover", part, "-o", self.out / "elsewhere.h5", check=0)
            self.run_spillway("verify", self.out / "elsewhere.h5", check=0)
            refused = self.run_spillway("record", config, "-o", part.parent)
            self.assert_one_line(refused, "again.h5")
            self.assertRegex(refused.stderr, reasons)

    @contextlib.contextmanager
    def read_only(self, directory):
        if os.geteuid() != 0:
            os.chmod(directory, 0o555)
            try:
                yield
            finally:
                os.chmod(directory, 0o755)
            return
        # Who may write everywhere may not write to a disk that is read-only.
        if subprocess.run(["mount", "--bind", directory, directory], capture_output=True).returncode != 0:
            self.skipTest("no read-only disk to be had here")
        try:
            if subprocess.run(["mount", "-o", "remount,ro,bind", directory], capture_output=True).returncode != 0:
                self.skipTest("no read-only disk to be had here")
            yield
        finally:
            subprocess.run(["umount", directory], check=True)

    def test_odd_names(self):
        for name in ("a b", "-dash", "Höhe \u6f22 \U0001f40e", "new\nline", "quo'te\"$x`\\", "100%s{}*"):
            with self.subTest(name):
                directory = self.out / f"d {name}"
                directory.mkdir()
                text = GENERATOR.format(speed="real", duration="1 h").replace("run.h5", "RUN").replace("run.csv", "TABLE")
                text = text.replace("RUN", json.dumps(f"{name}.h5", ensure_ascii=False)).replace("TABLE", json.dumps(f"{name}.csv", ensure_ascii=False))
                (directory / "c.yaml").write_text(text)
                part = directory / f"{name}.h5.part"
                with subprocess.Popen([SPILLWAY, "record", "c.yaml", "-q"], cwd=directory) as recorder:
                    try:
                        self.wait_until(lambda: self.rows(part) > 0 and self.rows(directory / f"{name}.csv.part") > 0, recorder)
                    finally:
                        recorder.kill()
                run = lambda *arguments: self.run_spillway(*arguments, cwd=directory, check=0).stdout
                # By the name alone, as a shell gives it.
                unfinished = json.loads(run("info", "--json", "--", part.name))
                subprocess.run(unfinished["unfinished"]["command"].replace("spillway", f"'{SPILLWAY}'", 1), shell=True, check=True, capture_output=True, cwd=directory)
                for suffix in (".h5", ".csv"):
                    run("recover", "--", f"{name}{suffix}.part")
                    run("recover", "--json", "--", f"{name}{suffix}.part")
                    made = f"{name}.recovered{suffix}"
                    self.assertIn(made, run("info", "--", made))
                    self.assertIn("holds", run("verify", "--", made))
                    self.assertEqual(json.loads(run("info", "--json", "--", made))["path"], made)
                    self.assertEqual(json.loads(run("verify", "--json", "--", made))[0]["path"], made)

    def test_nothing_and_errors(self):
        empty = self.out / "empty"
        empty.mkdir()
        self.assertIn("no unfinished recordings", self.run_spillway("recover", empty, check=0).stdout)
        self.assert_one_line(self.run_spillway("recover", self.out / "none.h5"), "no such recording")
        self.assert_one_line(self.run_spillway("recover", empty, "-o", "x.h5"), "--output")
        self.assert_one_line(self.run_spillway("verify", self.out / "none.h5"), "none.h5")
        np.save(self.out / "plain.npy", np.arange(10.0))
        for name in ("plain.npy", self.write("recording.json", '{"schema": "recording/1"}').name):
            result = self.run_spillway("recover", self.out / name)
            self.assert_one_line(result, name, "nothing to recover")
            self.assertNotIn("verify", result.stderr)


class Crash(Case):
    """Files that nothing guards may crash the HDF5 library: here one that always does."""

    def setUp(self):
        super().setUp()
        self.record(GENERATOR.format(speed="max", duration="5 s"), "-q")
        self.data = self.out / "data"
        self.part = self.data / "run.h5.part"
        with h5py.File(self.data / "run.h5", "r+") as f:
            f["entry/spillway/integrity"][...] = 0
        os.rename(self.data / "run.h5", self.part)
        self.environment = {**os.environ, "LD_PRELOAD": os.environ["SPILLWAY_CRASHING_HDF5"], "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def crashed(self, *arguments):
        return self.run_spillway(*arguments, env=self.environment, check=1)

    def test_it_is_told_in_one_line(self):
        self.run_spillway("info", self.part, check=0)
        for command in (["info"], ["info", "--json"], ["recover"], ["recover", "--json"]):
            with self.subTest(command):
                result = self.crashed(*command, self.part)
                self.assert_one_line(result, str(self.part), "HDF5 library crashed on it")
                self.assertEqual(result.stdout, "")
        report = json.loads(self.crashed("verify", "--json", self.part).stdout)[0]
        self.assertEqual([(f["kind"], f["where"]) for f in report["findings"]], [("layout", str(self.part))])
        self.assertIn("crashed", report["findings"][0]["what"])
        self.assertEqual(report["bytes"], self.part.stat().st_size)
        self.assertIn("DOES NOT HOLD", self.crashed("verify", self.part).stdout)
        # Nothing was left behind.
        self.assertEqual(sorted(p.name for p in self.data.iterdir()), ["run.csv", "run.csv-metadata.json", "run.h5.part"])

    def test_the_others_of_a_directory_are_recovered(self):
        text = ENDLESS.replace("path: run.h5, flush: 100 ms", "path: other.csv, streams: [low]").replace("run.csv", "more.csv")
        with subprocess.Popen([SPILLWAY, "record", self.write("c.yaml", text), "-o", self.data, "-q"]) as recorder:
            try:
                self.wait_until(lambda: all(self.rows(self.data / f"{name}.csv.part") > 0 for name in ("other", "more")), recorder)
            finally:
                recorder.kill()
        result = self.crashed("recover", self.data, "--json")
        by_name = {os.path.basename(r["input"]): r for r in json.loads(result.stdout)}
        self.assertIn("crashed", by_name["run.h5.part"]["error"])
        self.assertEqual([by_name[f"{name}.csv.part"]["outcome"] for name in ("more", "other")], ["complete"] * 2)


class Verify(Case):
    def setUp(self):
        super().setUp()
        self.record(GENERATOR.format(speed="max", duration="5 s"), "-q")
        self.file = self.out / "data" / "run.h5"

    def findings(self, path, check=1):
        return json.loads(self.run_spillway("verify", path, "--json", check=check).stdout)[0]["findings"]

    def unsealed(self, name, change):
        """A copy without seal, and with something else in its books."""
        path = self.out / name
        shutil.copy(self.file, path)
        with h5py.File(path, "r+") as f:
            extra = f["entry/spillway"]
            extra["integrity"][...] = 0
            del extra["integrity"]
            change(f)
        return path

    def test_a_sealed_recording_holds(self):
        self.assertEqual(self.findings(self.file, check=0), [])
        text = self.run_spillway("verify", self.file, self.out / "data" / "run.csv", check=0).stdout
        self.assertEqual(text.count(": holds"), 2)

    def test_a_seal_that_was_taken_away_is_found(self):
        path = self.unsealed("none.h5", lambda f: None)
        found = self.findings(path)
        self.assertEqual([(f["kind"], f["where"]) for f in found], [("checksum", "/entry/spillway/integrity")])
        self.assertIn("has its seal", found[0]["what"])
        # Every durability seals.
        self.record(GENERATOR.format(speed="max", duration="1 s"), "-q", "--force", "--durability", "none")
        self.assertEqual(self.findings(self.file, check=0), [])
        self.assertEqual(len(self.findings(self.unsealed("less.h5", lambda f: None))), 1)

    def test_without_a_seal_it_holds_with_a_remark(self):
        def older(f):
            for name in ("events", "log"):
                del f["entry/spillway"][name]

        report = json.loads(self.run_spillway("verify", self.unsealed("old.h5", older), "--json", check=0).stdout)[0]
        self.assertFalse(report["sealed"])
        self.assertIn("no seal", report["remarks"][0])
        split = "{path: run.h5, split: {size: 32 KiB}, master: true}"
        self.record(GENERATOR.format(speed="max", duration="5 s").replace("{path: run.h5, flush: 100 ms}", split), "-q", "--force")
        report = json.loads(self.run_spillway("verify", self.file, "--json", check=0).stdout)[0]
        self.assertFalse(report["sealed"])
        self.assertIn("is the master of", report["remarks"][0])

    def test_a_master_tells_of_its_files(self):
        split = "{path: run.h5, split: {duration: 1 s}, master: true}"
        self.record(GENERATOR.format(speed="real", duration="3 s").replace("{path: run.h5, flush: 100 ms}", split), "-q", "--force")
        second = self.file.parent / "run-0002.h5"
        good = second.read_bytes()
        second.write_bytes(good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 4]) + good[len(good) // 2 + 1 :])
        self.run_spillway("verify", second, check=1)
        self.assertIn("run-0002.h5: ", self.run_spillway("verify", self.file, check=1).stdout)
        copy = self.out / "copy.h5"
        self.assert_one_line(self.run_spillway("export", self.file, "-o", copy), "run-0002.h5")
        self.assertFalse(copy.exists())

        second.unlink()
        text = self.run_spillway("verify", self.file, check=1).stdout
        self.assertIn("DOES NOT HOLD: 1 finding\n", text)
        self.assertIn("layout: run-0002.h5: is not there\n", text)
        note = "note: run-0002.h5: is not there, its rows are Bad, missing\n"
        self.assertIn(note, self.run_spillway("export", self.file, "-o", copy, check=0).stderr)
        self.assertIn(note, self.run_spillway("info", self.file, check=0).stdout)
        self.assertIn(note, self.run_spillway("view", self.file, check=0).stdout)

    def test_every_kind_of_finding(self):
        def edit(table, column, row, change):
            def run(f):
                rows = f[table][()]
                rows[column][row] += change
                f[table][...] = rows

            return run

        def shorter(f):
            f["entry/g/y"].resize((len(f["entry/g/y"]) - 5,))

        def no_signal(f):
            del f["entry/g"].attrs["signal"]

        def time(f):
            f["entry/g/time"][7] += 1e-3

        for kind, what, change in (
            ("continuity", "in no segment and no gap", edit("entry/spillway/g/segments", "first_sample", -1, 1)),
            ("continuity", "ends with sample", edit("entry/spillway/g/gaps", "count", 0, 3)),
            ("accounting", "is not produced", edit("entry/spillway/g/counts", "lost", 0, 1)),
            ("accounting", "its tables name", edit("entry/spillway/g/gaps", "lost", 0, 2)),
            ("accounting", "is not", edit("entry/spillway/g/gaps", "missing", 0, 2)),
            ("time", "by its clock", edit("entry/spillway/g/segments", "t0_ns", 1, 1)),
            ("time", "where the books say", time),
            ("layout", "rows, where", shorter),
            ("layout", "is not there", no_signal),
        ):
            with self.subTest(what):
                found = self.findings(self.unsealed("changed.h5", change))
                self.assertTrue(any(f["kind"] == kind and what in f["what"] for f in found), found)

    def test_a_seal_that_is_gone_is_found(self):
        def seal(f):
            f["entry/spillway"].create_dataset("integrity", data=np.zeros(10, "u1"))

        found = self.findings(self.unsealed("gone.h5", seal))
        self.assertEqual([(f["kind"], f["what"]) for f in found], [("checksum", "the seal is gone")])

    def test_a_truncated_file_is_found(self):
        path = self.out / "short.h5"
        shutil.copy(self.file, path)
        os.truncate(path, os.path.getsize(path) - 1000)
        self.assertNotEqual(self.findings(path), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
