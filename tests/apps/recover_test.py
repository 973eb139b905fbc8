"""spillway recover, verify and info as a user runs them, after kill -9."""

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


class Recover(Case):
    def crash(self):
        """A recorder that was killed after it had flushed something."""
        (self.out / "data").mkdir()
        config = self.write("config.yaml", ENDLESS)
        recorder = subprocess.Popen([SPILLWAY, "record", config, "-o", self.out / "data", "-q"])
        part = self.out / "data" / "run.h5.part"
        try:
            for _ in range(600):
                if part.exists() and self.rows(part) > 2500:
                    break
                time.sleep(0.1)
            alive = self.run_spillway("recover", part)
            self.assert_one_line(alive, "its recorder lives")
            info = self.run_spillway("info", part, check=0).stdout
            self.assertIn("Its recorder lives", info)
        finally:
            recorder.send_signal(signal.SIGKILL)
            recorder.wait()
        return part

    def rows(self, part):
        result = self.run_spillway("info", part, "--json")
        if result.returncode != 0:
            return 0
        return min(s["rows"] for s in json.loads(result.stdout)["streams"])

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
            for key in ("rows", "segments", "gaps", "counts", "channels"):
                self.assertEqual(a[key], b[key])
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

    def test_nothing_and_errors(self):
        empty = self.out / "empty"
        empty.mkdir()
        self.assertIn("no unfinished recordings", self.run_spillway("recover", empty, check=0).stdout)
        self.assert_one_line(self.run_spillway("recover", self.out / "none.h5"), "no such recording")
        self.assert_one_line(self.run_spillway("recover", empty, "-o", "x.h5"), "--output")
        self.assert_one_line(self.run_spillway("verify", self.out / "none.h5"), "none.h5")


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

    def test_without_a_seal_it_holds_with_a_remark(self):
        path = self.unsealed("none.h5", lambda f: None)
        report = json.loads(self.run_spillway("verify", path, "--json", check=0).stdout)[0]
        self.assertFalse(report["sealed"])
        self.assertIn("no seal", report["remarks"][0])

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
