"""Filters a recording block by block with h5py and SciPy: one line "seconds CPU-seconds peak-megabytes".

usage: replay_filters.py INPUT GROUP OUTPUT WINDOW SECTIONS
INPUT holds a dataset of float32 for each channel in GROUP. Each goes through a moving average of WINDOW samples, then
the sections (six numbers each, comma-separated), into a dataset of float64 in OUTPUT. Prints nothing without the libraries.
"""

import os
import resource
import sys
import time

try:
    import h5py
    import numpy as np
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import sosfilt
except ImportError:
    sys.exit()

ROWS = 65536  # a chunk

source, group, path, window, sections = sys.argv[1:6]
window = int(window)
sos = np.array([float(x) for x in sections.split(",")]).reshape(-1, 6)


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


cpu = cpu_seconds()
begin = time.perf_counter()
with h5py.File(source, "r") as recording, h5py.File(path, "x", libver="latest", rdcc_nbytes=1 << 20) as file:
    inputs = [d for name, d in recording[group].items() if d.ndim == 1 and d.dtype == np.float32 and not name.endswith("_quality")]
    names = [d.name.rsplit("/", 1)[1] for d in inputs]
    rows = len(inputs[0])
    outputs = [file.create_dataset(n, (rows,), "f8", chunks=(ROWS,)) for n in names]
    # The window begins among zeros here, and its last window - 1 samples go before the next block.
    past = np.zeros((len(inputs), window - 1))
    state = np.zeros((len(sos), len(inputs), 2))
    for first in range(0, rows, ROWS):
        block = np.stack([d[first:first + ROWS] for d in inputs]).astype(np.float64)
        joined = np.concatenate([past, block], axis=1)
        past = joined[:, joined.shape[1] - (window - 1):]
        # Output k of the filter is in the middle of its window: shifted so that it is at the window's end.
        mean = uniform_filter1d(joined, window, axis=1, origin=(window - 1) // 2 if window % 2 else window // 2 - 1)[:, window - 1:]
        filtered, state = sosfilt(sos, mean, axis=1, zi=state)
        for d, values in zip(outputs, filtered):
            d[first:first + ROWS] = values
descriptor = os.open(path, os.O_RDONLY)
os.fdatasync(descriptor)
os.close(descriptor)
print(time.perf_counter() - begin, cpu_seconds() - cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.024e-3)
