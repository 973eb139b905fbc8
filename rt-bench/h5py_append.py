"""Records blocks into HDF5 as they come, with h5py: one line "seconds CPU-seconds".

usage: h5py_append.py INPUT OUTPUT BLOCKS CHANNELS FRAMES (columns|table)
INPUT has blocks of float32, channel by channel, used over and over. columns: a dataset a channel; table: one for all.
Prints nothing without the libraries.
"""

import os
import resource
import sys
import time

try:
    import h5py
    import numpy as np
except ImportError:
    sys.exit()

source, path, blocks, channels, frames, form = sys.argv[1:7]
blocks, channels, frames = int(blocks), int(channels), int(frames)
data = np.fromfile(source, np.float32).reshape(-1, channels, frames)
if form == "table":
    data = np.ascontiguousarray(data.transpose(0, 2, 1))
names = [f"ch{c:02}" for c in range(channels)]


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


cpu = cpu_seconds()
begin = flushed = time.perf_counter()
# The chunk cache holds a chunk of a dataset, so that none is written before it is full.
with h5py.File(path, "x", libver="latest", rdcc_nbytes=4 << 20) as file:
    if form == "table":
        datasets = [file.create_dataset("data", (0, channels), "f4", chunks=(frames, channels), maxshape=(None, channels))]
    else:
        datasets = [file.create_dataset(name, (0,), "f4", chunks=(65536,), maxshape=(None,)) for name in names]
    rows = 0
    for b in range(blocks):
        block = data[b % len(data)]
        if form == "table":
            (dataset,) = datasets
            dataset.resize(rows + frames, axis=0)
            dataset[rows:rows + frames] = block
        else:
            for dataset, values in zip(datasets, block):
                dataset.resize(rows + frames, axis=0)
                dataset[rows:rows + frames] = values
        rows += frames
        now = time.perf_counter()
        if now - flushed >= 1.0:
            flushed = now
            file.flush()
descriptor = os.open(path, os.O_RDONLY)
os.fdatasync(descriptor)
os.close(descriptor)
print(time.perf_counter() - begin, cpu_seconds() - cpu)
