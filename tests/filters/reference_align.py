"""Three streams of one recording at common times, by numpy and scipy and nothing of Spillway.

    reference_align.py RECORDING RESULTS

Reads recording.json and the raw files of the folder RECORDING, and writes to the folder RESULTS,
for each way CASE of combining them, CASE-values.npy, CASE-quality.npy (the bytes, as float64; a
row an output, a column a channel) and CASE-times.npy (seconds).
"""

import json
import pathlib
import sys

import numpy as np
from scipy.interpolate import interp1d

GOOD, INTERPOLATED, BAD_MISSING = 0, 1, 3 | 0x08
# Times are float64 seconds, and right to less than 1e-12 s. Two times of different streams are
# the same, or else at least 1 / (250 * 24989) s = 160 ns apart: all rates are 24989 / 400 Hz times
# 1, 2 or 4, or 250 Hz.
SAME = 1e-9


class Stream:
    def __init__(self, folder, about):
        raw = np.fromfile(folder / about["file"], dtype="<i2").reshape(-1, about["channel_count"])
        assert len(raw) == about["frames"]
        self.times = about["time"]["t0_s"] + np.arange(len(raw)) / about["time"]["rate_hz"]
        self.values = np.empty(raw.shape)
        for c, channel in enumerate(about["channels"]):
            calibration = channel["calibration"]
            assert calibration["kind"] == "linear"
            self.values[:, c] = raw[:, c] * calibration["scale"] + calibration["offset"]
            self.values[raw[:, c] == channel["missing_raw_value"], c] = np.nan

    def at(self, times, method):
        """Values and qualities at times that are not behind the last sample."""
        before = np.searchsorted(self.times, times + SAME, side="right") - 1
        hit = times - self.times[before] < SAME
        if method == "linear":
            values = interp1d(self.times, self.values, axis=0, fill_value="extrapolate")(times)
        else:
            values = interp1d(self.times, self.values, axis=0, kind="previous",
                              fill_value="extrapolate")(times + SAME)
        values[hit] = self.values[before[hit]]
        quality = np.where(hit, GOOD, INTERPOLATED)[:, None] * np.ones(values.shape)
        quality[np.isnan(values)] = BAD_MISSING
        return values, quality


folder, results = map(pathlib.Path, sys.argv[1:])
about = json.loads((folder / "recording.json").read_text())
streams = [Stream(folder, s) for s in about["streams"]]
ends = min(s.times[-1] for s in streams)  # what is later still waits for somebody
all_times = {
    "at_ecg": streams[0].times,
    "at_250": np.arange(int(ends * 250) + 2) / 250,
}
for name, times in all_times.items():
    times = times[times <= ends + SAME]
    for method in ("linear", "last"):
        values, quality = zip(*(s.at(times, method) for s in streams))
        np.save(results / f"{name}_{method}-values.npy", np.hstack(values))
        np.save(results / f"{name}_{method}-quality.npy", np.hstack(quality))
        np.save(results / f"{name}_{method}-times.npy", times)
