"""Times the same filters in Python's libraries: ns per sample and channel, a line "name lanes ns" for each round.

usage: python_filters.py (sos|mean|median|fir) (float32|float64) LANES,LANES... ROUNDS NUMBER,NUMBER...
The numbers are the sections, six each, the window, or the taps. Prints nothing without the libraries.
"""

import sys
import time

SAMPLES = 1 << 18  # at once, so that the interpreter's own time does not count

try:
    import numpy as np

    kind, dtype, lanes, rounds, numbers = sys.argv[1:6]
    numbers = [float(x) for x in numbers.split(",")]
    if kind in ("mean", "median"):
        import bottleneck

        name = f"bottleneck.move_{kind}"
        moving = getattr(bottleneck, f"move_{kind}")

        def filtered(x):
            return moving(x, int(numbers[0]), axis=-1)
    else:
        import scipy.signal

        if kind == "sos":
            sos = np.array(numbers, dtype).reshape(-1, 6)
            name = "scipy.signal.sosfilt"

            def filtered(x):
                return scipy.signal.sosfilt(sos, x, axis=-1)
        else:
            taps = np.array(numbers, dtype)
            name = "scipy.signal.lfilter"

            def filtered(x):
                return scipy.signal.lfilter(taps, np.ones(1, dtype), x, axis=-1)
except ImportError:
    sys.exit()

for count in [int(n) for n in lanes.split(",")]:
    x = np.random.default_rng(1).uniform(-1, 1, (count, SAMPLES // count)).astype(dtype)
    filtered(x)
    for _ in range(int(rounds)):
        begin = time.perf_counter_ns()
        filtered(x)
        print(name, count, (time.perf_counter_ns() - begin) / x.size)
