"""Writes a table as CSV with pandas: one line "seconds CPU-seconds".

usage: pandas_to_csv.py INPUT OUTPUT BLOCKS CHANNELS FRAMES RATE (quality|values)
INPUT has blocks of float32, channel by channel, used over and over. The table is made before the clock runs.
quality: a column of it beside each channel. Prints nothing without the libraries.
"""

import os
import resource
import sys
import time

try:
    import numpy as np
    import pandas as pd
except ImportError:
    sys.exit()

source, path, blocks, channels, frames, rate, form = sys.argv[1:8]
blocks, channels, frames, rate = int(blocks), int(channels), int(frames), int(rate)
data = np.fromfile(source, np.float32).reshape(-1, channels, frames)
data = np.concatenate([data[b % len(data)] for b in range(blocks)], axis=1)
sample = np.arange(data.shape[1])
columns = {"sample": sample, "time_ns": sample * 1_000_000_000 // rate}
for c in range(channels):
    columns[f"ch{c:02}"] = data[c]
    if form == "quality":
        columns[f"ch{c:02}_quality"] = np.zeros(len(sample), np.uint8)
table = pd.DataFrame(columns)


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


cpu = cpu_seconds()
begin = time.perf_counter()
with open(path, "x", newline="") as file:
    table.to_csv(file, index=False)
    file.flush()
    os.fdatasync(file.fileno())
print(time.perf_counter() - begin, cpu_seconds() - cpu)
