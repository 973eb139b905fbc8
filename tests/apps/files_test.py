"""The files, opened with the tools people have: h5py, h5dump, xarray, pandas."""

import json
import shutil
import subprocess
import unittest

import h5py
import numpy as np

from support import GENERATOR, SPILLWAY, Case

FAST = GENERATOR.format(speed="max", duration="5 s")


class Files(Case):
    def setUp(self):
        super().setUp()
        self.record(FAST, "-q")
        self.path = self.out / "data/run.h5"

    def test_h5py(self):
        with h5py.File(self.path) as f:
            self.assertEqual(f["entry/spillway/status"][()], b"complete")
            group = f["entry/g"]
            x, quality, t = group["x"][()], group["x_quality"][()], group["time"][()]
            self.assertEqual(x.dtype, np.float64)
            self.assertEqual(len(x), 4966)
            np.testing.assert_array_equal(quality, np.where(np.abs(x) >= 0.95, 2 | 4, 0))
            self.assertTrue(np.isnan(group["y"][50:53]).all())
            self.assertEqual(group["y_quality"][50], 3 | 8)
            numbers = np.concatenate([np.arange(0, 1000), np.arange(1017, 4000), np.arange(4017, 5000)])
            np.testing.assert_allclose(t, numbers / 1000.0, rtol=0, atol=1e-12)
            segments = f["entry/spillway/g/segments"][()]
            np.testing.assert_array_equal(segments["first_sample"], [0, 1017, 4017])
            np.testing.assert_array_equal(segments["row"], [0, 1000, 3983])
            gaps = f["entry/spillway/g/gaps"][()]
            np.testing.assert_array_equal(gaps["first_sample"], [1000, 4000])
            np.testing.assert_array_equal(gaps["missing"], [17, 17])
            counts = f["entry/spillway/g/counts"][0]
            self.assertEqual(counts["recorded"] + counts["lost"] + counts["missing"], counts["produced"])
            self.assertEqual(f["entry/spillway/configuration"][()].decode(), FAST)
            provenance = json.loads(f["entry/spillway/provenance"][()])
            self.assertEqual(len(provenance["nodes"][0]["sections"]), 2)
            self.assertEqual(group["x"].attrs["units"], b"V")
            self.assertEqual(group["x_quality"].fillvalue, 0xFF)
            self.assertEqual(len(group["x_quality"].attrs["flag_meanings"].split()), len(group["x_quality"].attrs["flag_masks"]))

    def test_flags_decode_as_CF_says(self):
        with h5py.File(self.path) as f:
            attrs = f["entry/g/x_quality"].attrs
            meanings = attrs["flag_meanings"].decode().split()
            decode = lambda q: [m for m, mask, value in zip(meanings, attrs["flag_masks"], attrs["flag_values"]) if q & mask == value]
            self.assertEqual(decode(0), ["good"])
            self.assertEqual(decode(3 | 8), ["bad", "missing"])
            self.assertEqual(decode(2 | 4), ["suspect", "out_of_range"])

    def test_nexus_leads_to_a_plottable_signal(self):
        with h5py.File(self.path) as f:
            text = lambda v: v.decode() if isinstance(v, bytes) else str(v)
            entry = f[text(f.attrs["default"])]
            self.assertEqual(text(entry.attrs["NX_class"]), "NXentry")
            data = entry[text(entry.attrs["default"])]
            self.assertEqual(text(data.attrs["NX_class"]), "NXdata")
            signal, axis = data[text(data.attrs["signal"])], data[text(data.attrs["axes"])]
            self.assertEqual(signal.ndim, 1)
            self.assertEqual(signal.shape, axis.shape)
            for name in data.attrs["auxiliary_signals"]:
                self.assertEqual(data[text(name)].shape, signal.shape)

    def test_time_is_a_dimension_scale_for_every_library(self):
        with h5py.File(self.path) as f:
            scale = f["entry/g/time"]
            self.assertTrue(h5py.h5ds.is_scale(scale.id))
            for name in ("x", "x_quality", "y", "y_quality"):
                self.assertTrue(h5py.h5ds.is_attached(f["entry/g"][name].id, scale.id, 0))
            # netCDF takes it for one only if its texts end with a zero.
            for name in ("CLASS", "NAME"):
                self.assertEqual(scale.attrs.get_id(name).get_type().get_strpad(), h5py.h5t.STR_NULLTERM)

    def test_h5dump(self):
        result = subprocess.run([shutil.which("h5dump") or "h5dump", "-H", self.path], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        for word in ("entry", "DIMENSION_LIST", "H5T_STD_U8LE", "segments"):
            self.assertIn(word, result.stdout)
        data = subprocess.run(["h5dump", "-d", "/entry/spillway/g/gaps", self.path], capture_output=True, text=True)
        self.assertEqual(data.returncode, 0, data.stderr)
        self.assertIn("1000", data.stdout)

    def test_xarray(self):
        import xarray

        with xarray.open_dataset(self.path, group="entry/g", engine="h5netcdf") as dataset:
            self.assertEqual(dataset["x"].dims, ("time",))
            self.assertEqual(dataset.sizes["time"], 4966)
            self.assertIn("time", dataset.coords)
            with h5py.File(self.path) as f:
                np.testing.assert_array_equal(dataset["x"].values, f["entry/g/x"][()])
        with xarray.open_dataset(self.path, group="entry/low", engine="h5netcdf") as dataset:
            self.assertEqual(set(dataset.data_vars), {"x", "x_quality", "y", "y_quality"})

    def test_pandas_says_the_same(self):
        import pandas

        table = pandas.read_csv(self.out / "data/run.csv", float_precision="round_trip")
        with h5py.File(self.path) as f:
            group = f["entry/g"]
            for name in ("x", "x_quality", "y", "y_quality"):
                np.testing.assert_array_equal(table[name].to_numpy(), group[name][()])
            np.testing.assert_array_equal(np.round(group["time"][()] * 1e9).astype(np.int64), table["time_ns"].to_numpy())
            self.assertEqual(table["sample"].iloc[1000], 1017)
        sidecar = json.loads((self.out / "data/run.csv-metadata.json").read_text())
        self.assertEqual(sidecar["@context"], "http://www.w3.org/ns/csvw")

    def test_live_reading(self):
        config = self.write("live.yaml", GENERATOR.format(speed="real", duration="1 h"))
        live = self.out / "live"
        live.mkdir()
        process = subprocess.Popen([SPILLWAY, "record", config, "-o", live, "-q"])
        try:
            part = live / "run.h5.part"
            self.wait_until(lambda: self.rows(part) > 0, process)
            with h5py.File(part, "r", libver="latest", swmr=True) as f:
                x, quality = f["entry/g/x"], f["entry/g/x_quality"]
                lengths = set()

                def look():
                    quality.refresh()
                    x.refresh()
                    n = min(len(x), len(quality))
                    lengths.add(n)
                    # Nothing is there that was not written: the fill value would show as 0xFF.
                    self.assertFalse((quality[:n] == 0xFF).any())
                    self.assertFalse(np.isnan(x[:n]).any())
                    return len(lengths) >= 6

                self.wait_until(look, process)
        finally:
            process.terminate()
            process.wait(timeout=300)
        self.assertEqual(process.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
