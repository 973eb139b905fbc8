"""Real recordings through the whole program, compared with the original files.

Needs the folder that SPILLWAY_DATA_DIR names; without it there is nothing to compare.
"""

import json
import os
import pathlib
import time
import unittest

import h5py
import numpy as np

from support import DATA, SOURCE, Case

RAW_ONLY = """
title: {name}
memory_budget: 4 GiB
sources:
  - {{type: recording, path: "{path}"}}
record:
  - {{path: run.h5}}
  - {{path: "{{stream}}.csv"}}
"""


def calibrate(json_calibration, raw):
    kind = json_calibration["kind"]
    if kind == "linear":
        return json_calibration["scale"] * raw + json_calibration["offset"]
    if kind == "polynomial":
        return np.polynomial.polynomial.polyval(raw, json_calibration["coefficients"])
    for step in json_calibration["steps"]:
        raw = calibrate(step, raw)
    return raw


class Original:
    """A recording read by numpy alone."""

    def __init__(self, name):
        self.directory = DATA / name
        self.json = json.loads((self.directory / "recording.json").read_text())

    def stream(self, s):
        data = np.fromfile(self.directory / s["file"], dtype=np.dtype(s["dtype"]).newbyteorder("<"),
                           count=s["frames"] * s["channel_count"], offset=s["offset_bytes"])
        return data.reshape(s["frames"], s["channel_count"])

    @staticmethod
    def channels(s):
        for c in s["channels"]:
            if "repeat" in c:
                for i in range(c["repeat"]):
                    yield {**c, "name": f"{c['name']}[{c['first_index'] + i}]"}
            else:
                yield c

    @staticmethod
    def flags(c, raw):
        missing = np.isnan(raw) if raw.dtype.kind == "f" else np.zeros(len(raw), bool)
        if c.get("missing_raw_value") is not None:
            missing |= raw == c["missing_raw_value"]
        low, high = c.get("observed_limits") or (c["adc"]["min"], c["adc"]["max"]) if c.get("adc") else (-np.inf, np.inf)
        clipped = (raw <= low) | (raw >= high)
        return np.where(missing, 3 | 8, np.where(clipped, 2 | 4, 0)).astype(np.uint8)


@unittest.skipUnless(DATA.is_dir(), f"no recordings at {DATA}")
class Recordings(Case):
    def run_example(self, name):
        environment = {**os.environ, "SPILLWAY_DATA_DIR": str(DATA)}
        started = time.monotonic()
        self.run_spillway("record", SOURCE / "examples" / f"{name}.yaml", "-o", self.out, "-q", check=0, env=environment)
        print(f"spillway record examples/{name}.yaml: {time.monotonic() - started:.2f} s")
        return h5py.File(self.out / f"{name}.h5")

    def compare_calibrated(self, f, stream, s, data, unit_node):
        for k, c in enumerate(Original.channels(s)):
            raw = data[:, k]
            np.testing.assert_array_equal(f[f"entry/{stream}/{c['name']}"][()], raw)
            quality = Original.flags(c, raw)
            np.testing.assert_array_equal(f[f"entry/{stream}/{c['name']}_quality"][()], quality)
            derived = f[f"entry/{unit_node}/{c['name']}"]
            self.assertEqual(derived.attrs["units"].decode(), c["unit"])
            expected = calibrate(c["calibration"], raw.astype(float))
            expected[quality == (3 | 8)] = np.nan
            np.testing.assert_allclose(derived[()], expected, rtol=1e-15, atol=1e-14 * np.nanmax(np.abs(expected)))
            np.testing.assert_array_equal(f[f"entry/{unit_node}/{c['name']}_quality"][()], quality)
            self.assertEqual(f[f"entry/{stream}/{c['name']}"].attrs["units"], b"count")

    def test_ecg(self):
        original = Original("ecg_mitbih_100")
        with self.run_example("ecg") as f:
            s = original.json["streams"][0]
            self.compare_calibrated(f, "ecg", s, original.stream(s), "ecg_mV")
            segments = f["entry/spillway/ecg/segments"][()]
            self.assertEqual(segments["count"].tolist(), [650_000])
            np.testing.assert_allclose(f["entry/ecg/time"][()], np.arange(650_000) / 360.0, rtol=1e-15, atol=1e-9)
            calibration = json.loads(bytes(f["entry/spillway/ecg/calibration_bytes"][()])[: f["entry/spillway/ecg/calibration"][0]["length"]])
            self.assertEqual(calibration["steps"], [{"kind": "linear", "slope": 0.005, "offset": -5.12}])
            # Moving average of 9, by another way.
            mv = f["entry/ecg_mV/MLII"][()]
            sums = np.concatenate([[0.0], np.cumsum(mv)])
            average = (sums[9:] - sums[:-9]) / 9
            np.testing.assert_allclose(f["entry/ecg_average/MLII"][8:], average, atol=1e-8)
            # And the low-pass, of those, if SciPy is here to tell.
            try:
                from scipy import signal
            except ImportError:
                return
            sos = signal.butter(4, 40.0, fs=360.0, output="sos")
            expected = signal.sosfilt(sos, f["entry/ecg_average/MLII"][()])
            np.testing.assert_allclose(f["entry/ecg_lowpass/MLII"][()], expected, atol=1e-9)

    def test_icu_three_rates_missing_markers_clipping(self):
        import pandas

        original = Original("icu_multirate_mixed")
        nodes = {"ecg": "ecg_mV", "pressure": "pressure_calibrated", "resp": "resp_ohm"}
        with self.run_example("icu") as f:
            flagged = {}
            for s in original.json["streams"]:
                self.compare_calibrated(f, s["name"], s, original.stream(s), nodes[s["name"]])
                np.testing.assert_allclose(f[f"entry/{s['name']}/time"][()], np.arange(s["frames"]) / s["time"]["rate_hz"], atol=1e-9)
                table = pandas.read_csv(self.out / f"icu_{s['name']}.csv")
                for c in s["channels"]:
                    flagged[c["name"]] = np.bincount(f[f"entry/{s['name']}/{c['name']}_quality"][()], minlength=16)
                    for name in (c["name"], c["name"] + "_quality"):
                        np.testing.assert_array_equal(table[name].to_numpy(), f[f"entry/{s['name']}/{name}"][()])
                derived = pandas.read_csv(self.out / f"icu_{nodes[s['name']]}.csv", float_precision="round_trip")
                for c in s["channels"]:
                    np.testing.assert_array_equal(derived[c["name"]].to_numpy(), f[f"entry/{nodes[s['name']]}/{c['name']}"][()])
            # Told by the recording's own description.
            self.assertEqual(flagged["II"][3 | 8], 1024)
            self.assertEqual(flagged["ABP"][3 | 8], 192)
            self.assertEqual(flagged["Resp"][2 | 4], 2079 + 3303)
            self.assertEqual(flagged["Pleth"][2 | 4], 448)

    def verify(self, path):
        verdict = json.loads(self.run_spillway("verify", path, "--json", check=0).stdout)[0]
        self.assertTrue(verdict["holds"], verdict)
        self.assertTrue(verdict["sealed"], verdict)
        for s in verdict["streams"]:
            self.assertEqual(s["recorded"] + s["lost"] + s["missing"], s["produced"])

    def test_every_recording_comes_back(self):
        import pandas

        for directory in sorted(p.parent for p in DATA.glob("*/recording.json")):
            with self.subTest(directory.name):
                original = Original(directory.name)
                out = self.out / directory.name
                out.mkdir()
                config = self.write("all.yaml", RAW_ONLY.format(name=directory.name, path=directory / "recording.json"))
                self.run_spillway("record", config, "-o", out, "-q", check=0)
                self.verify(out / "run.h5")
                with h5py.File(out / "run.h5") as f:
                    for s in original.json["streams"]:
                        data = original.stream(s)
                        self.verify(out / f"{s['name']}.csv")
                        table = pandas.read_csv(out / f"{s['name']}.csv", float_precision="round_trip")
                        for k, c in enumerate(Original.channels(s)):
                            np.testing.assert_array_equal(table[c["name"]].to_numpy().astype(data.dtype), data[:, k])
                            np.testing.assert_array_equal(table[c["name"] + "_quality"].to_numpy(), f[f"entry/{s['name']}/{c['name']}_quality"][()])
                        for k, c in enumerate(Original.channels(s)):
                            column = f[f"entry/{s['name']}/{c['name']}"]
                            self.assertEqual(column.dtype, data.dtype)
                            np.testing.assert_array_equal(column[()], data[:, k])
                            np.testing.assert_array_equal(f[f"entry/{s['name']}/{c['name']}_quality"][()] & 0x0F, Original.flags(c, data[:, k]) | time_flags(f, s["name"], c["name"]))
                        self.compare_times(f, s, directory)

    def compare_times(self, f, s, directory):
        time = s["time"]
        if time["kind"] == "timestamps":
            ticks = np.fromfile(directory / time["file"], dtype="<i8")
            np.testing.assert_array_equal(f[f"entry/{s['name']}/time_ns"][()], ticks * round(time["tick_s"] * 1e9))
        elif time["kind"] == "blocks":
            rows = np.fromfile(directory / time["file"], dtype="<i8").reshape(-1, 4)
            anchors = f[f"entry/spillway/{s['name']}/anchors"][()]
            np.testing.assert_array_equal(anchors["sample"], rows[:, 0])
            np.testing.assert_array_equal(anchors["ticks"], rows[:, 2])
            # No frame is ever further than half a period from where its block's stamp says.
            at = f[f"entry/{s['name']}/time"][()][rows[:, 0]]
            rate = time["measured_rate_hz"]
            self.assertLessEqual(np.abs(at - rows[:, 2] * time["tick_s"]).max(), 0.5 / rate + 1e-9)


def time_flags(f, stream, channel):
    """Samples whose time runs backwards are Suspect on top of everything else."""
    quality = f[f"entry/{stream}/{channel}_quality"][()]
    return np.where(quality & 0x80, 2, 0).astype(np.uint8)


if __name__ == "__main__":
    unittest.main(verbosity=2)
