"use strict";

// Times are nanoseconds from `recording.base`, the first moment that is shown; as numbers for
// drawing, which are exact for 104 days, and as BigInt where they are read by people.
(() => {
  const recording = JSON.parse(document.getElementById("recording").textContent);
  const $ = (id) => document.getElementById(id);
  const baseNs = BigInt(recording.base.from_origin_ns);
  const epochNs = recording.base.since_1970_ns === null ? null : BigInt(recording.base.since_1970_ns);
  const zone = recording.base.zone;
  const zoneName = zone.replace(/[ ()]/g, "");
  const verdicts = ["good", "interpolated", "suspect", "bad"];
  const reasons = [[4, "out of range"], [8, "missing"], [16, "transient"], [32, "implausible"], [64, "calibration"],
    [128, "time uncertain"]];
  const qualityText = (byte) => {
    const words = reasons.filter(([bit]) => byte & bit).map(([, word]) => word);
    return verdicts[byte & 3] + (words.length > 0 ? ": " + words.join(", ") : "");
  };
  const merged = (a, b) => Math.max(a & 3, b & 3) | ((a | b) & 0xfc);
  const count = (n) => n.toLocaleString("en-US");

  // ---------------------------------------------------------------- data

  const blocks = new Map();  // decoded, by number
  function bytesOf(block) {
    let bytes = blocks.get(block);
    if (bytes) return bytes;
    const element = $("d" + block);
    const text = element.textContent;
    if (Uint8Array.fromBase64) {
      bytes = Uint8Array.fromBase64(text);
    } else {
      const binary = atob(text);
      bytes = new Uint8Array(binary.length);
      for (let i = 0; i < binary.length; ++i) bytes[i] = binary.charCodeAt(i);
    }
    blocks.set(block, bytes);
    element.remove();
    return bytes;
  }

  // Points [c * per, ...) of a level: values are offset + scale * low[i].
  function chunkOf(level, c) {
    let chunk = level.decoded[c];
    if (chunk) return chunk;
    const [block, offset, scale, quality] = level.chunks[c];
    const n = Math.min(level.per, level.points - c * level.per);
    const bytes = bytesOf(block);
    const low = new Float32Array(bytes.buffer, bytes.byteOffset, n);
    const high = level.pairs ? new Float32Array(bytes.buffer, bytes.byteOffset + 4 * n, n) : low;
    const each = quality < 0 ? new Uint8Array(bytes.buffer, bytes.byteOffset + (level.pairs ? 8 : 4) * n, n) : null;
    chunk = { low, high, offset, scale, each, quality: Math.max(quality, 0) };
    level.decoded[c] = chunk;
    return chunk;
  }

  // Times of points of the finest level of an irregular stream.
  function timeOf(stream, point) {
    const c = Math.floor(point / stream.times.per);
    let chunk = stream.times.decoded[c];
    if (!chunk) {
      const bytes = bytesOf(stream.times.blocks[c]);
      chunk = stream.times.decoded[c] = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
    }
    return chunk[point - c * stream.times.per];
  }

  const panels = [];  // every channel, shown or not
  for (const stream of recording.streams) {
    const s = stream.segments;
    stream.count = s.row.length;
    stream.dt = stream.rate ? 1e9 * stream.rate.seconds / stream.rate.samples : 0;
    if (stream.times) stream.times.decoded = [];
    stream.ascending = true;
    for (let i = 1; i < stream.count; ++i) if (s.begin[i] < s.end[i - 1]) stream.ascending = false;
    stream.firsts = new Map();  // rows a point -> the first point of each segment
    for (const gap of stream.gaps) gap.end = Math.max(gap.end, gap.begin);
    stream.channels.forEach((channel, i) => {
      for (const level of channel.levels) level.decoded = [];
      panels.push({ stream, channel, index: i, shown: false, low: 0, high: 1 });
    });
  }
  // A few of each stream to begin with.
  {
    let room = recording.shown;
    recording.streams.forEach((stream, i) => {
      const share = Math.ceil(room / (recording.streams.length - i));
      const own = panels.filter((p) => p.stream === stream).slice(0, share);
      for (const panel of own) panel.shown = true;
      room -= own.length;
    });
  }

  function firstPoints(stream, rows) {
    let first = stream.firsts.get(rows);
    if (first) return first;
    first = new Float64Array(stream.count + 1);
    for (let s = 0; s < stream.count; ++s) first[s + 1] = first[s] + Math.ceil(stream.segments.count[s] / rows);
    stream.firsts.set(rows, first);
    return first;
  }

  // The first of n that holds, if all behind it do.
  function firstWhere(n, holds) {
    let low = 0;
    let high = n;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (holds(middle)) high = middle; else low = middle + 1;
    }
    return low;
  }

  // Segments [first, last) that may reach into [begin, end].
  function segmentsIn(stream, begin, end) {
    if (!stream.ascending) return [0, stream.count];
    return [firstWhere(stream.count, (s) => stream.segments.end[s] >= begin),
      firstWhere(stream.count, (s) => stream.segments.begin[s] > end)];
  }

  // Points of a segment, from 0 to count, whose time is `time` or later; `rows` rows a point.
  function pointAt(stream, s, rows, points, time) {
    const t0 = stream.segments.begin[s];
    if (stream.rate) return Math.min(Math.max(Math.ceil((time - t0) / (stream.dt * rows)), 0), points);
    const first = firstPoints(stream, stream.fold)[s];
    const each = rows / stream.fold;
    return firstWhere(points, (i) => timeOf(stream, first + i * each) >= time);
  }

  function pointTime(stream, s, rows, i) {
    if (stream.rate) return stream.segments.begin[s] + i * rows * stream.dt;
    return timeOf(stream, firstPoints(stream, stream.fold)[s] + i * (rows / stream.fold));
  }

  function rowsIn(stream, begin, end) {
    const [first, last] = segmentsIn(stream, begin, end);
    if (last - first > 1000) return stream.segments.row[last - 1] + stream.segments.count[last - 1] - stream.segments.row[first];
    let rows = 0;
    for (let s = first; s < last; ++s) {
      const points = Math.ceil(stream.segments.count[s] / stream.fold);
      rows += stream.fold * (pointAt(stream, s, stream.fold, points, end) - pointAt(stream, s, stream.fold, points, begin));
    }
    return rows;
  }

  // Exact, from the origin.
  function exactTime(stream, s, row) {
    if (!stream.rate) {
      const at = stream.fold === 1 ? timeOf(stream, firstPoints(stream, 1)[s] + row - stream.segments.row[s])
        : pointTime(stream, s, stream.fold, Math.floor((row - stream.segments.row[s]) / stream.fold));
      return baseNs + BigInt(Math.round(at));
    }
    const number = BigInt(stream.segments.number[s]) + BigInt(row - stream.segments.row[s]);
    const samples = BigInt(stream.rate.samples);
    const since = (number - BigInt(stream.segments.clock_sample[s])) * BigInt(stream.rate.seconds) * 1000000000n;
    return BigInt(stream.segments.clock_ns[s]) + (since * 2n + samples) / (samples * 2n);
  }

  // ---------------------------------------------------------------- view

  const whole = { begin: 0, end: Math.max(recording.length_ns, 1) };
  const view = { begin: whole.begin, end: whole.end };
  let cursor = null;  // time under the pointer, or where keys put it
  let box = null;     // [x, x] that is being marked
  let calendar = epochNs !== null;
  let fitted = true;
  let dirty = false;
  const narrowest = 100;  // ns

  function setView(begin, end) {
    const length = Math.min(Math.max(end - begin, narrowest), (whole.end - whole.begin) * 1.1);
    let at = (begin + end) / 2 - length / 2;
    // Some of the recording stays in sight.
    at = Math.min(Math.max(at, whole.begin - length * 0.5), whole.end - length * 0.5);
    view.begin = at;
    view.end = at + length;
    redraw();
  }
  const zoom = (factor, at = (view.begin + view.end) / 2) =>
    setView(at - (at - view.begin) / factor, at + (view.end - at) / factor);
  const pan = (share) => {
    const by = (view.end - view.begin) * share;
    setView(view.begin + by, view.end + by);
  };
  const reset = () => setView(whole.begin, whole.end);

  function redraw() {
    if (dirty) return;
    dirty = true;
    requestAnimationFrame(() => { if (dirty) draw(); });
  }

  // ---------------------------------------------------------------- words

  const pad = (n, digits) => String(n).padStart(digits, "0");

  // "2018-06-21 18:21:56.250", to `digits` of a second.
  function calendarText(ns, digits) {
    const at = epochNs + (ns - baseNs);
    let second = at / 1000000000n;
    let rest = at % 1000000000n;
    if (rest < 0n) { rest += 1000000000n; second -= 1n; }
    const d = new Date(Number(second) * 1000);
    const text = `${pad(d.getUTCFullYear(), 4)}-${pad(d.getUTCMonth() + 1, 2)}-${pad(d.getUTCDate(), 2)} ` +
      `${pad(d.getUTCHours(), 2)}:${pad(d.getUTCMinutes(), 2)}:${pad(d.getUTCSeconds(), 2)}`;
    return digits > 0 ? `${text}.${pad(rest, 9).slice(0, digits)}` : text;
  }

  // A decimal number of `unit` nanoseconds.
  function decimalText(ns, unit, digits) {
    const negative = ns < 0n;
    const size = negative ? -ns : ns;
    const power = 10n ** BigInt(digits);
    const scaled = (size * power * 2n + BigInt(unit)) / (BigInt(unit) * 2n);
    const text = pad(scaled, digits + 1);
    const front = digits > 0 ? text.slice(0, -digits) + "." + text.slice(-digits) : text;
    return (negative && scaled > 0n ? "-" : "") + front;
  }

  // Digits of a second that tell pixels apart.
  function timeDigits() {
    const pixel = (view.end - view.begin) / Math.max(size.plot, 1);
    return Math.min(Math.max(Math.ceil(9 - Math.log10(Math.max(pixel, 1))), 0), 9);
  }

  function durationText(ns) {
    for (const [unit, name] of [[86400e9, "d"], [3600e9, "h"], [60e9, "min"], [1e9, "s"], [1e6, "ms"], [1e3, "µs"]])
      if (ns >= unit * (unit > 1e9 ? 2 : 1)) return `${Number((ns / unit).toPrecision(4))} ${name}`;
    return `${Math.round(ns)} ns`;
  }

  function timeText(ns) {
    const digits = timeDigits();
    const relative = decimalText(ns, 1000000000, digits) + " s";
    return epochNs === null ? relative : `${relative} · ${calendarText(ns, digits)}${zone}`;
  }

  // As many digits as a 32 bit float has, relative to the offset.
  function valueText(value, offset, scale) {
    if (Number.isNaN(value)) return "no value";
    if (!Number.isFinite(value)) return value > 0 ? "infinite" : "-infinite";
    if (offset === 0 && scale !== 1) return String(Number(value.toPrecision(8)));
    if (offset === 0) {
      // The shortest that is this very float.
      for (let digits = 6; digits < 9; ++digits)
        if (Math.fround(Number(value.toPrecision(digits))) === value) return String(Number(value.toPrecision(digits)));
      return String(Number(value.toPrecision(9)));
    }
    const difference = Math.abs(value - offset);
    if (difference === 0) return String(value);
    const digits = 7 - Math.ceil(Math.log10(difference));
    return digits < 0 || digits > 20 ? String(value) : String(Number(value.toFixed(digits)));
  }

  const withUnit = (text, channel) => (channel.unit === "1" || channel.unit === "" ? text : `${text} ${channel.unit}`);

  // ---------------------------------------------------------------- ticks

  function decimalStep(range, most) {
    const rough = range / Math.max(most, 1);
    const power = 10 ** Math.floor(Math.log10(rough));
    for (const factor of [1, 2, 5]) if (factor * power >= rough * (1 - 1e-9)) return factor * power;
    return 10 * power;
  }

  // The number of the fewest digits that is not further from `middle` than `range`.
  function roundNumberNear(middle, range) {
    for (let unit = 10 ** Math.ceil(Math.log10(Math.abs(middle))); ; unit /= 10) {
      const number = Math.round(middle / unit) * unit;
      if (Math.abs(number - middle) <= range) return number;
    }
  }

  // { ticks: [{ at, label }], note }
  function valueAxis(low, high, most) {
    const axis = axisOfSteps(low, high, most);
    return axis.ticks.length > 1 ? axis : axisOfSteps(low, high, 2 * most);
  }

  function axisOfSteps(low, high, most) {
    const step = decimalStep(high - low, most);
    let offset = 0;
    let note = "";
    if (Math.max(Math.abs(low), Math.abs(high)) / step > 2e5) {
      offset = roundNumberNear((low + high) / 2, high - low);
      note = (offset < 0 ? "" : "+") + Number(offset.toPrecision(15));
    }
    const largest = Math.max(Math.abs(low - offset), Math.abs(high - offset));
    let scale = 1;
    if (largest >= 1e6 || largest < 1e-2 || (largest < 1 && step < 1e-6 * (1 - 1e-9))) {
      const exponent = Math.floor(Math.log10(largest) / 3) * 3;
      scale = 10 ** exponent;
      note = `x1e${exponent}` + (note ? " " + note : "");
    }
    const digits = Math.min(Math.max(0, -Math.floor(Math.log10(step / scale) + 1e-9)), 20);
    const ticks = [];
    for (let k = Math.ceil((low - offset) / step - 1e-6); k * step <= high - offset + step * 1e-6; ++k)
      ticks.push({ at: offset + k * step, label: (k === 0 ? 0 : k * step / scale).toFixed(digits) });
    return { ticks, note };
  }

  const calendarSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
    2 * 86400, 5 * 86400, 10 * 86400, 20 * 86400, 50 * 86400, 100 * 86400, 365 * 86400].map((s) => s * 1e9);
  // Each for ranges from the third on.
  const timeUnits = [[86400e9, "d", 3 * 86400e9], [3600e9, "h", 7200e9], [60e9, "min", 600e9], [1e9, "s", 1e9],
    [1e6, "ms", 1e6], [1e3, "µs", 1e3], [1, "ns", 0]];
  // Of 60 minutes and of 24 hours, in which decimal steps do not end.
  const unitSteps = { min: [0.5, 1, 2, 5, 10, 15, 30, 60, 120], h: [0.25, 0.5, 1, 2, 3, 6, 12, 24, 48] };

  function timeAxis() {
    const range = view.end - view.begin;
    const most = Math.max(size.plot / (calendar ? 120 : 95), 2);
    const ticks = [];
    if (calendar) {
      const rough = range / most;
      const step = rough < 1e9 ? decimalStep(range, most)
        : calendarSteps.find((s) => s >= rough) || calendarSteps[calendarSteps.length - 1];
      const bigStep = BigInt(Math.max(Math.round(step), 1));
      const begin = epochNs + BigInt(Math.ceil(view.begin));
      const digits = step >= 1e9 ? 0 : Math.ceil(9 - Math.log10(step) - 1e-9);
      let at = begin / bigStep * bigStep;
      if (at < begin) at += bigStep;
      for (; ; at += bigStep) {
        const t = Number(at - epochNs);
        if (!(t <= view.end)) break;
        const text = calendarText(at - epochNs + baseNs, digits);
        ticks.push({ at: t, label: step >= 86400e9 ? text.slice(0, 10) : step >= 60e9 ? text.slice(11, 16) : text.slice(11) });
      }
      return { ticks, note: zoneName };
    }
    // Short stretches in the unit of where they lie: 10.0002 s rather than 10000200 us.
    const furthest = Math.max(Math.abs(Number(baseNs) + view.begin), Math.abs(Number(baseNs) + view.end));
    const wanted = range < 600e9 ? Math.min(furthest, 1e9) : range;
    const [unit, name] = timeUnits.find(([, , from]) => wanted >= from * (1 - 1e-9));
    const steps = unitSteps[name];
    const each = steps ? steps.find((s) => range / (s * unit) < most) || steps[steps.length - 1] : decimalStep(range / unit, most);
    const step = Math.max(each * unit, 1);
    const digits = each === 0.25 ? 2 : Math.min(Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9)), 9);
    const bigStep = BigInt(Math.round(step));
    const begin = baseNs + BigInt(Math.ceil(view.begin));
    let at = begin / bigStep * bigStep;
    if (at < begin) at += bigStep;
    for (; ; at += bigStep) {
      const t = Number(at - baseNs);
      if (!(t <= view.end)) break;
      ticks.push({ at: t, label: decimalText(at, unit, digits) });
    }
    return { ticks, note: name };
  }

  // ---------------------------------------------------------------- drawing

  const canvas = $("panels");
  const context = canvas.getContext("2d");
  const axisCanvas = $("axis");
  const mapCanvas = $("map");
  const scroll = $("scroll");
  const gutter = 74;     // for value axes
  const rightMargin = 12;
  const head = 24;       // of a panel, for its name and values
  const foot = 10;
  const strip = 5;       // of quality
  const size = { width: 0, height: 0, plot: 0, panel: 160, scale: 1 };
  const colours = {};
  let shown = [];
  let hatch = null;
  let lastDetail = [];

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["ground", "raised", "line", "grid", "text", "faint", "curve", "gap", "hatch", "interpolated",
      "suspect", "bad", "cursor", "mark"])
      colours[name] = style.getPropertyValue("--" + name).trim();
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const c = tile.getContext("2d");
    c.fillStyle = colours.gap;
    c.fillRect(0, 0, 8, 8);
    c.strokeStyle = colours.hatch;
    c.lineWidth = 1.5;
    c.beginPath();
    for (const x of [-8, 0, 8]) { c.moveTo(x, 8); c.lineTo(x + 8, 0); }
    c.stroke();
    hatch = context.createPattern(tile, "repeat");
  }

  function fitCanvas(element, width, height) {
    const w = Math.round(width * size.scale);
    const h = Math.round(height * size.scale);
    if (element.width !== w || element.height !== h) { element.width = w; element.height = h; }
  }

  function layout() {
    shown = panels.filter((p) => p.shown);
    size.scale = window.devicePixelRatio || 1;
    size.width = scroll.clientWidth;
    size.height = scroll.clientHeight;
    size.plot = Math.max(size.width - gutter - rightMargin, 40);
    size.panel = Math.min(Math.max(Math.floor((size.height - 4) / Math.max(shown.length, 1)), 120), 600);
    $("room").style.height = Math.max(size.panel * shown.length, size.height) + "px";
    canvas.style.height = size.height + "px";
    fitCanvas(canvas, size.width, size.height);
    fitCanvas(axisCanvas, size.width, 40);
    fitCanvas(mapCanvas, size.width, 26);
    draw();  // at once: a canvas of another size is empty
  }

  const xOf = (t) => gutter + (t - view.begin) / (view.end - view.begin) * size.plot;
  const timeAtX = (x) => view.begin + (x - gutter) / size.plot * (view.end - view.begin);

  // The coarsest level that has a point for each pixel, else the finest.
  function levelFor(stream, channel, rows, pixels) {
    for (let k = channel.levels.length - 1; k > 0; --k)
      if (rows / channel.levels[k].rows >= pixels) return channel.levels[k];
    return channel.levels[0];
  }

  // Columns of device pixels, used again for each panel.
  let columns = null;
  function freshColumns(n) {
    if (!columns || columns.low.length < n)
      columns = { low: new Float64Array(n), high: new Float64Array(n), quality: new Uint8Array(n), state: new Uint8Array(n) };
    columns.low.fill(Infinity, 0, n);
    columns.high.fill(-Infinity, 0, n);
    columns.quality.fill(0, 0, n);
    columns.state.fill(0, 0, n);
    return columns;
  }
  const has = 1;      // samples
  const begins = 2;   // a segment: not connected with what is before

  // Fills the columns with what there is in view, and, if that are few points, returns them.
  function gather(panel, n) {
    const { stream, channel } = panel;
    const rows = rowsIn(stream, view.begin, view.end);
    const level = levelFor(stream, channel, rows, n);
    const c = freshColumns(n);
    const points = !level.pairs && rows <= n ? [] : null;
    const perPixel = n / (view.end - view.begin);
    const [firstSegment, lastSegment] = segmentsIn(stream, view.begin, view.end);
    const firsts = firstPoints(stream, level.rows);
    for (let s = firstSegment; s < lastSegment; ++s) {
      const total = firsts[s + 1] - firsts[s];
      // One more at both sides: a bin that reaches in, a line that goes on.
      const i0 = Math.max(pointAt(stream, s, level.rows, total, view.begin) - 1, 0);
      const i1 = Math.min(pointAt(stream, s, level.rows, total, view.end) + 1, total);
      for (let i = i0; i < i1;) {
        const at = firsts[s] + i;
        const index = Math.floor(at / level.per);
        const chunk = chunkOf(level, index);
        const shift = index * level.per - firsts[s];
        const end = Math.min(i1, (index + 1) * level.per - firsts[s]);
        const { low, high, each, offset, scale } = chunk;
        const t0 = stream.segments.begin[s];
        const step = stream.dt * level.rows;
        const lastColumn = n - 1;
        for (; i < end; ++i) {
          const t = stream.rate ? t0 + i * step : pointTime(stream, s, level.rows, i);
          const x = (t - view.begin) * perPixel;
          const lowest = offset + scale * low[i - shift];
          const highest = offset + scale * high[i - shift];
          if (points) points.push(x, lowest, i === 0 ? 1 : 0, each ? each[i - shift] : chunk.quality);
          // A bin that begins before the view counts if it reaches in.
          if (x > lastColumn + 1 || (x < 0 && !(level.pairs && i + 1 < i1))) continue;
          const column = x < 0 ? 0 : x > lastColumn ? lastColumn : x | 0;
          c.state[column] |= i === 0 ? has | begins : has;
          const q = each ? each[i - shift] : chunk.quality;
          if (q !== 0) c.quality[column] = merged(c.quality[column], q);
          if (lowest < c.low[column]) c.low[column] = lowest;
          if (highest > c.high[column]) c.high[column] = highest;
        }
      }
    }
    return { points, level, rows };
  }

  // Between two samples the quality is that of the nearer one.
  function spreadQuality(points, n) {
    for (let i = 4; i < points.length; i += 4) {
      if (points[i + 2] === 1 || (points[i - 1] === 0 && points[i + 3] === 0)) continue;
      const middle = (points[i - 4] + points[i]) / 2;
      const last = Math.min(Math.ceil(points[i]) - 1, n - 1);
      for (let x = Math.max(Math.floor(points[i - 4]) + 1, 0); x <= last; ++x)
        if (!(columns.state[x] & has)) columns.quality[x] = points[x < middle ? i - 1 : i + 3];
    }
  }

  // The front of a text, in so many pixels: letters are not squeezed.
  function shortened(text, width) {
    if (context.measureText(text).width <= width) return text;
    const length = firstWhere(text.length, (n) => context.measureText(text.slice(0, n + 1) + "…").width > width);
    return text.slice(0, length).trimEnd() + "…";
  }

  function drawPanel(panel, top) {
    const { stream, channel } = panel;
    const k = size.scale;
    const n = Math.max(Math.round(size.plot * k), 1);
    const { points, level, rows } = gather(panel, n);
    lastDetail.push({ stream: stream.name, channel: channel.name, rows_per_point: level.rows, rows_in_view: rows });
    const plotTop = top + head;
    const bottom = top + size.panel - foot;
    const curveBottom = bottom - strip - 2;

    // Values of what is drawn, or of everything.
    let low = Infinity;
    let high = -Infinity;
    if (fitted) {
      for (let x = 0; x < n; ++x) {
        if (columns.low[x] > -Infinity && columns.low[x] < low) low = columns.low[x];
        if (columns.high[x] < Infinity && columns.high[x] > high) high = columns.high[x];
      }
      // Between two samples: the line from one to the other.
      if (points && low > high) for (let i = 1; i < points.length; i += 4)
        if (Number.isFinite(points[i])) {
          low = Math.min(low, points[i]);
          high = Math.max(high, points[i]);
        }
    } else if (channel.low !== null) {
      low = channel.low;
      high = channel.high;
    }
    const any = low <= high;
    if (!any) { low = -1; high = 1; }
    const extent = Math.max(Math.abs(low), Math.abs(high));
    const least = Math.max(extent * 1e-14, Number.MIN_VALUE * 1e16);
    const margin = high - low > least ? (high - low) * 0.05 : extent > 0 ? extent * 0.05 : 1;
    low -= margin;
    high += margin;
    panel.low = low;
    panel.high = high;
    // Lines may lead out of sight, but not to infinity.
    const far = 4 * (high - low);
    const yOf = (v) => curveBottom - (Math.min(Math.max(v, low - far), high + far) - low) / (high - low) * (curveBottom - plotTop);

    // Gaps below everything; many of them may share a pixel.
    const gapFirst = firstWhere(stream.gaps.length, (g) => stream.gaps[g].end >= view.begin);
    let drawnTo = -Infinity;
    context.fillStyle = hatch;
    for (let g = gapFirst; g < stream.gaps.length && stream.gaps[g].begin <= view.end; ++g) {
      const from = Math.max(xOf(stream.gaps[g].begin), gutter);
      const to = Math.max(Math.min(xOf(stream.gaps[g].end), gutter + size.plot), from + 2);
      if (to - drawnTo < 0.5) continue;
      context.fillRect(from, plotTop, to - from, bottom - plotTop);
      drawnTo = to;
    }

    // Quality: a tint over the panel, and a strip that is seen however faint the tint is.
    if (points) spreadQuality(points, n);
    for (let x = 0; x < n;) {
      const verdict = columns.quality[x] & 3;
      let end = x + 1;
      while (end < n && (columns.quality[end] & 3) === verdict) ++end;
      if (verdict > 0) {
        const width = Math.max((end - x) / k, 2);
        context.fillStyle = colours[verdicts[verdict]];
        context.globalAlpha = 0.13;
        context.fillRect(gutter + x / k, plotTop, width, bottom - strip - plotTop);
        context.globalAlpha = 1;
        context.fillRect(gutter + x / k, bottom - strip, width, strip);
      }
      x = end;
    }

    // Grid and values.
    const axis = valueAxis(low, high, Math.max(Math.floor((curveBottom - plotTop) / 34), 2));
    context.lineWidth = 1;
    context.font = "12px system-ui, sans-serif";
    context.strokeStyle = colours.grid;
    context.beginPath();
    for (const tick of axis.ticks) {
      const y = Math.round(yOf(tick.at)) + 0.5;
      context.moveTo(gutter, y);
      context.lineTo(gutter + size.plot, y);
    }
    for (const tick of axisTicks.ticks) {
      const x = Math.round(xOf(tick.at)) + 0.5;
      context.moveTo(x, plotTop);
      context.lineTo(x, bottom);
    }
    context.stroke();
    context.fillStyle = colours.faint;
    context.textAlign = "right";
    context.textBaseline = "middle";
    if (any) for (const tick of axis.ticks) context.fillText(tick.label, gutter - 7, yOf(tick.at));

    // The curve.
    context.save();
    context.beginPath();
    context.rect(gutter, plotTop - 1, size.plot, bottom - plotTop + 1);
    context.clip();
    context.strokeStyle = context.fillStyle = colours.curve;
    context.lineJoin = "round";
    if (points) drawPoints(points, k, yOf); else drawColumns(n, k, yOf);
    context.restore();
    context.strokeStyle = colours.line;
    context.strokeRect(gutter + 0.5, plotTop + 0.5, size.plot - 1, bottom - plotTop - 1);

    // Name, and what is under the cursor.
    context.textBaseline = "alphabetic";
    context.textAlign = "left";
    context.font = "600 13px system-ui, sans-serif";
    context.fillStyle = colours.text;
    // Unit and scale stay whole, however little room there is: without them values are wrong.
    let about = channel.unit !== "" && channel.unit !== "1" ? ", " + channel.unit : "";
    if (any && axis.note) about += ` (${axis.note})`;
    const baseline = plotTop - 7;
    const reading = cursor === null ? null : readingAt(panel, cursor);
    const told = reading && reading.text ? reading.text : panelFacts(panel);
    // What is read goes before the name, of which a third is enough to know it by.
    context.font = "13px system-ui, sans-serif";
    const wanted = context.measureText(told).width + 16;
    context.font = "600 13px system-ui, sans-serif";
    const room = Math.max(size.plot - wanted, size.plot * (reading && reading.text ? 0.33 : 0.6));
    const name = shortened(`${stream.name}/${channel.name}`, room - context.measureText(about).width) + about;
    context.fillText(name, gutter, baseline);
    const used = context.measureText(name).width;
    context.font = "13px system-ui, sans-serif";
    context.textAlign = "right";
    context.fillStyle = reading && reading.quality & 3 ? colours[verdicts[reading.quality & 3]] : colours.faint;
    context.fillText(shortened(told, Math.max(size.plot - used - 16, 40)), gutter + size.plot, baseline);
    if (reading && reading.at !== null && reading.value !== null && Number.isFinite(reading.value)) {
      const x = xOf(reading.at);
      if (x >= gutter && x <= gutter + size.plot) {
        context.fillStyle = colours.ground;
        context.strokeStyle = colours.cursor;
        context.lineWidth = 1.5;
        context.beginPath();
        context.arc(x, yOf(reading.value), 3.5, 0, 2 * Math.PI);
        context.fill();
        context.stroke();
      }
    }
  }

  function panelFacts(panel) {
    const { stream, channel } = panel;
    const parts = [stream.rate_text, `${count(stream.rows)} samples`];
    if (stream.gaps.length > 0) parts.push(`${count(stream.gaps.length)} gap${stream.gaps.length === 1 ? "" : "s"}`);
    if (channel.values === 0) parts.push("no values");
    if (channel.worst & 3) parts.push("worst " + qualityText(channel.worst));
    return parts.join(" · ");
  }

  function drawPoints(points, k, yOf) {
    const near = points.length / 4 * 9 < size.plot * k;  // far enough apart for dots
    context.lineWidth = 1.3;
    context.beginPath();
    let drawing = false;
    let drawn = 0;
    for (let i = 0; i < points.length; i += 4) {
      const value = points[i + 1];
      if (Number.isNaN(value)) { drawing = false; continue; }
      const x = gutter + points[i] / k;
      const y = yOf(value);
      if (drawing && points[i + 2] === 0) context.lineTo(x, y); else context.moveTo(x, y);
      drawing = true;
      // One long path costs browsers more than many short ones.
      if (++drawn % 16 === 0) {
        context.stroke();
        context.beginPath();
        context.moveTo(x, y);
      }
    }
    context.stroke();
    for (let i = 0; i < points.length; i += 4) {
      if (Number.isNaN(points[i + 1])) continue;
      const alone = (i === 0 || points[i + 2] === 1 || Number.isNaN(points[i - 3])) &&
        (i + 4 >= points.length || points[i + 6] === 1 || Number.isNaN(points[i + 5]));
      if (!near && !alone) continue;
      const verdict = points[i + 3] & 3;
      context.fillStyle = verdict ? colours[verdicts[verdict]] : colours.curve;
      context.beginPath();
      context.arc(gutter + points[i] / k, yOf(points[i + 1]), near ? 2.6 : 1.6, 0, 2 * Math.PI);
      context.fill();
    }
  }

  // A vertical line a column, which browsers draw many times faster than the outline of them all.
  function drawColumns(n, k, yOf) {
    const { low, high, state } = columns;
    const half = 0.6;  // of the least thickness
    context.lineWidth = 1 / k;
    context.beginPath();
    let before = -1;  // the column to be connected with
    for (let x = 0; x < n; ++x) {
      if (!(state[x] & has)) continue;
      if (state[x] & begins) before = -1;
      if (low[x] > high[x]) { before = -1; continue; }
      const at = gutter + (x + 0.5) / k;
      let top = yOf(high[x]);
      let bottom = yOf(low[x]);
      if (before >= 0 && before + 1 < x) {
        context.moveTo(gutter + (before + 0.5) / k, yOf((low[before] + high[before]) / 2));
        context.lineTo(at, (top + bottom) / 2);
      } else if (before >= 0) {
        top = Math.min(top, yOf(low[before]));
        bottom = Math.max(bottom, yOf(high[before]));
      }
      if (bottom - top < 2 * half) {
        const middle = (top + bottom) / 2;
        top = middle - half;
        bottom = middle + half;
      }
      context.moveTo(at, top);
      context.lineTo(at, bottom);
      before = x;
    }
    context.stroke();
  }

  let axisTicks = { ticks: [], note: "" };

  function drawAxis() {
    const c = axisCanvas.getContext("2d");
    c.setTransform(size.scale, 0, 0, size.scale, 0, 0);
    c.clearRect(0, 0, size.width, 40);
    c.font = "12px system-ui, sans-serif";
    c.fillStyle = colours.faint;
    c.strokeStyle = colours.faint;
    c.textAlign = "center";
    c.beginPath();
    c.moveTo(gutter, 0.5);
    c.lineTo(gutter + size.plot, 0.5);
    for (const tick of axisTicks.ticks) {
      const x = Math.round(xOf(tick.at)) + 0.5;
      c.moveTo(x, 0);
      c.lineTo(x, 5);
      const half = c.measureText(tick.label).width / 2;
      c.fillText(tick.label, Math.min(Math.max(x, half + 2), size.width - half - 2), 18);
    }
    c.stroke();
    const digits = Math.max(timeDigits() - 1, 0);
    const begin = baseNs + BigInt(Math.round(view.begin));
    const end = baseNs + BigInt(Math.round(view.end));
    const texts = epochNs === null ? ["", ""] : calendar
      ? [calendarText(begin, digits).slice(0, 10), calendarText(end, digits).slice(0, 10)]
      : [calendarText(begin, digits), calendarText(end, digits) + zone];
    c.textAlign = "left";
    c.fillText(texts[0], gutter, 34);
    c.textAlign = "right";
    c.fillText(texts[1], gutter + size.plot, 34);
    c.textAlign = "center";
    c.fillText(`${axisTicks.note} · ${durationText(view.end - view.begin)} in view`, gutter + size.plot / 2, 34);
  }

  function drawMap() {
    const c = mapCanvas.getContext("2d");
    c.setTransform(size.scale, 0, 0, size.scale, 0, 0);
    c.clearRect(0, 0, size.width, 26);
    c.fillStyle = colours.raised;
    c.fillRect(gutter, 4, size.plot, 18);
    const x = (t) => gutter + (t - whole.begin) / (whole.end - whole.begin) * size.plot;
    const streams = new Set(shown.map((p) => p.stream));
    c.fillStyle = colours.hatch;
    for (const stream of streams) {
      let drawnTo = -Infinity;
      for (const gap of stream.gaps) {
        const to = Math.max(x(gap.end), x(gap.begin) + 2);
        if (to - drawnTo < 0.5) continue;
        c.fillRect(x(gap.begin), 4, to - x(gap.begin), 18);
        drawnTo = to;
      }
    }
    const from = Math.max(x(view.begin), gutter);
    const to = Math.min(Math.max(x(view.end), from + 3), gutter + size.plot);
    c.fillStyle = colours.mark;
    c.fillRect(from, 2, to - from, 22);
    c.strokeStyle = colours.curve;
    c.lineWidth = 1.5;
    c.strokeRect(from, 2.5, Math.max(to - from, 2), 21);
    c.strokeStyle = colours.line;
    c.lineWidth = 1;
    c.strokeRect(gutter + 0.5, 4.5, size.plot - 1, 17);
  }

  // Everything that is in sight; returns how long it took, in ms.
  function draw() {
    const started = performance.now();
    dirty = false;
    lastDetail = [];
    context.setTransform(size.scale, 0, 0, size.scale, 0, 0);
    context.fillStyle = colours.ground;
    context.fillRect(0, 0, size.width, size.height);
    axisTicks = timeAxis();
    const offset = scroll.scrollTop;
    const first = Math.max(Math.floor(offset / size.panel), 0);
    const last = Math.min(Math.ceil((offset + size.height) / size.panel), shown.length);
    for (let i = first; i < last; ++i) drawPanel(shown[i], i * size.panel - offset);
    if (shown.length === 0) {
      context.fillStyle = colours.faint;
      context.font = "14px system-ui, sans-serif";
      context.textAlign = "center";
      context.fillText(panels.length === 0 ? "There is nothing in this recording." : "No channel is chosen.", size.width / 2, size.height / 2);
    }
    if (cursor !== null) {
      const x = Math.round(xOf(cursor)) + 0.5;
      if (x >= gutter && x <= gutter + size.plot) {
        context.strokeStyle = colours.cursor;
        context.globalAlpha = 0.6;
        context.lineWidth = 1;
        context.beginPath();
        context.moveTo(x, 0);
        context.lineTo(x, size.height);
        context.stroke();
        context.globalAlpha = 1;
      }
      $("time").textContent = timeText(cursorTime());
    } else {
      $("time").textContent = "";
    }
    if (box) {
      context.fillStyle = colours.mark;
      context.fillRect(Math.min(...box), 0, Math.abs(box[1] - box[0]), size.height);
    }
    drawAxis();
    drawMap();
    return performance.now() - started;
  }

  // ---------------------------------------------------------------- what is there at a time

  function gapText(gap) {
    return `gap: ${count(gap.count)} sample${gap.count === 1 ? "" : "s"} ${recording.causes[gap.cause]}, ` +
      `#${gap.first} to #${gap.first + gap.count - 1}`;
  }

  // The gap that holds a time; a gap without length, of streams at irregular times, has a pixel.
  function gapAt(stream, time) {
    const reach = (view.end - view.begin) / size.plot * 2;
    const g = firstWhere(stream.gaps.length, (i) => stream.gaps[i].end >= time - reach);
    let narrow = null;
    for (let i = g; i < stream.gaps.length && stream.gaps[i].begin <= time + reach; ++i) {
      const gap = stream.gaps[i];
      if (gap.begin <= time && time < gap.end) return gap;
      if (gap.end - gap.begin < reach) narrow = gap;
    }
    return narrow;
  }

  // The row nearest to a time, and its segment; null where there is none.
  function nearestRow(stream, time) {
    let best = null;
    const tryRow = (s, row) => {
      const i = row - stream.segments.row[s];
      const at = pointTime(stream, s, stream.fold, Math.floor(i / stream.fold));
      if (best === null || Math.abs(at - time) < Math.abs(best.at - time)) best = { s, row, at };
    };
    const around = [];
    if (stream.ascending) {
      const after = firstWhere(stream.count, (s) => stream.segments.begin[s] > time);
      if (after > 0) around.push(after - 1);
      if (after < stream.count) around.push(after);
    } else {
      for (let s = 0; s < stream.count; ++s) around.push(s);
    }
    for (const s of around) {
      const points = Math.ceil(stream.segments.count[s] / stream.fold);
      const i = pointAt(stream, s, stream.fold, points, time);
      // Of a bin, the one that the time lies in.
      if (i < points && (stream.fold === 1 || i === 0)) tryRow(s, stream.segments.row[s] + i * stream.fold);
      if (i > 0) tryRow(s, stream.segments.row[s] + (i - 1) * stream.fold);
    }
    return best;
  }

  // { text, at, sample, value, low, high, quality, gap }
  function readingAt(panel, time) {
    const { stream, channel } = panel;
    const nothing = { text: "", at: null, sample: null, value: null, quality: 0, gap: null };
    const gap = gapAt(stream, time);
    const nearest = nearestRow(stream, time);
    // Between samples of one segment the nearest counts, in a gap the gap.
    if (gap && !(nearest && Math.abs(nearest.at - time) <= stream.dt / 2))
      return { ...nothing, text: gapText(gap), gap };
    if (!nearest) return nothing;
    const reach = Math.max(stream.dt, (view.end - view.begin) / size.plot * 12);
    const inside = time >= stream.segments.begin[nearest.s] - reach && time <= stream.segments.end[nearest.s] + reach + stream.dt;
    if (!inside) return nothing;
    return reading(panel, nearest);
  }

  function reading(panel, { s, row, at }) {
    const { stream, channel } = panel;
    const level = channel.levels[0];
    const point = firstPoints(stream, level.rows)[s] + Math.floor((row - stream.segments.row[s]) / level.rows);
    const index = Math.floor(point / level.per);
    const chunk = chunkOf(level, index);
    const i = point - index * level.per;
    const low = chunk.offset + chunk.scale * chunk.low[i];
    const high = chunk.offset + chunk.scale * chunk.high[i];
    const quality = chunk.each ? chunk.each[i] : chunk.quality;
    const sample = stream.segments.number[s] + row - stream.segments.row[s];
    const result = { at, sample, low, high, quality, gap: null, value: low };
    const show = (v) => valueText(v, chunk.offset, chunk.scale);
    const missing = (quality & 3) === 3 && quality & 8;
    if (level.pairs) {
      const end = Math.min(sample + level.rows, stream.segments.number[s] + stream.segments.count[s]) - 1;
      const values = Number.isNaN(low) ? "no value" : withUnit(low === high ? show(low) : `${show(low)} to ${show(high)}`, channel);
      result.value = null;
      result.text = `#${sample} to #${end}: ${values} · ${qualityText(quality)}`;
    } else {
      result.text = `#${sample}: ${missing ? "missing" : Number.isNaN(low) ? "no value" : withUnit(show(low), channel)} · ${qualityText(quality)}`;
    }
    return result;
  }

  // Of the sample under the cursor if samples can be told apart, else of the cursor.
  function cursorTime() {
    if (shown.length > 0) {
      const { stream } = shown[0];
      const nearest = nearestRow(stream, cursor);
      const pixel = (view.end - view.begin) / size.plot;
      const apart = stream.rate ? stream.dt > 3 * pixel : nearest && Math.abs(nearest.at - cursor) < 3 * pixel;
      if (nearest && apart && Math.abs(nearest.at - cursor) <= Math.max(stream.dt, 3 * pixel))
        return exactTime(stream, nearest.s, nearest.row);
    }
    return baseNs + BigInt(Math.round(cursor));
  }

  function speak() {
    if (cursor === null || shown.length === 0) return;
    const words = shown.slice(0, 4).map((p) => `${p.channel.name} ${readingAt(p, cursor).text}`);
    $("spoken").textContent = `${timeText(cursorTime())}; ${words.join("; ")}`;
  }

  // ---------------------------------------------------------------- by hand

  const pointers = new Map();
  let pinch = null;
  let grabbed = null;
  const xOfEvent = (event) => event.clientX - canvas.getBoundingClientRect().left;

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, xOfEvent(event));
    const x = xOfEvent(event);
    if (pointers.size === 2) {
      box = grabbed = null;
      const [a, b] = [...pointers.values()];
      pinch = { a: timeAtX(a), b: timeAtX(b) };
    } else if (event.shiftKey) {
      box = [x, x];
    } else {
      grabbed = { x, begin: view.begin, end: view.end };
      canvas.classList.add("moving");
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    const x = xOfEvent(event);
    if (pointers.has(event.pointerId)) pointers.set(event.pointerId, x);
    if (pinch && pointers.size === 2) {
      // What was under the fingers stays under them.
      const [a, b] = [...pointers.values()];
      if (Math.abs(a - b) > 8) {
        const each = (pinch.b - pinch.a) / (b - a);
        const begin = pinch.a - (a - gutter) * each;
        if (each > 0) setView(begin, begin + each * size.plot);
      }
    } else if (box) {
      box[1] = x;
    } else if (grabbed) {
      const by = (grabbed.x - x) / size.plot * (grabbed.end - grabbed.begin);
      setView(grabbed.begin + by, grabbed.end + by);
    }
    cursor = x >= gutter && x <= gutter + size.plot ? timeAtX(x) : null;
    redraw();
  });
  function letGo(event) {
    pointers.delete(event.pointerId);
    if (pinch) {
      if (pointers.size < 2) pinch = null;
      return;
    }
    if (box) {
      const [a, b] = [Math.min(...box), Math.max(...box)];
      box = null;
      if (event.type === "pointerup" && b - a > 4) setView(timeAtX(a), timeAtX(b));
    }
    grabbed = null;
    canvas.classList.remove("moving");
    redraw();
  }
  canvas.addEventListener("pointerup", letGo);
  canvas.addEventListener("pointercancel", letGo);
  canvas.addEventListener("pointerleave", () => { if (!grabbed && !box) { cursor = null; redraw(); } });
  canvas.addEventListener("dblclick", reset);
  canvas.addEventListener("wheel", (event) => {
    const x = xOfEvent(event);
    if (x < gutter && !event.ctrlKey) return;  // scrolls the panels
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 33 : event.deltaMode === 2 ? 400 : 1;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      pan((event.deltaX || event.deltaY) * unit / 1000);
    } else {
      zoom(Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.002)), timeAtX(x));
    }
  }, { passive: false });

  let mapGrab = null;
  const mapTime = (event) => whole.begin +
    (event.clientX - mapCanvas.getBoundingClientRect().left - gutter) / size.plot * (whole.end - whole.begin);
  mapCanvas.addEventListener("pointerdown", (event) => {
    mapCanvas.setPointerCapture(event.pointerId);
    const t = mapTime(event);
    const length = view.end - view.begin;
    mapGrab = t >= view.begin && t <= view.end ? t - view.begin : length / 2;
    setView(t - mapGrab, t - mapGrab + length);
  });
  mapCanvas.addEventListener("pointermove", (event) => {
    if (mapGrab === null) return;
    const length = view.end - view.begin;
    const begin = mapTime(event) - mapGrab;
    setView(begin, begin + length);
  });
  for (const type of ["pointerup", "pointercancel"]) mapCanvas.addEventListener(type, () => { mapGrab = null; });
  scroll.addEventListener("scroll", redraw);

  // ---------------------------------------------------------------- by keys

  // To the next or the previous sample of the first panel.
  function stepSample(by) {
    if (shown.length === 0) return;
    const { stream } = shown[0];
    if (stream.rows === 0) return;
    const nearest = nearestRow(stream, cursor === null ? (view.begin + view.end) / 2 : cursor);
    if (!nearest) return;
    let { s, row } = nearest;
    if (cursor !== null) row += by * stream.fold;
    row = Math.min(Math.max(row, 0), stream.rows - 1);
    while (row < stream.segments.row[s]) --s;
    while (row >= stream.segments.row[s] + stream.segments.count[s]) ++s;
    cursor = pointTime(stream, s, stream.fold, Math.floor((row - stream.segments.row[s]) / stream.fold));
    if (cursor < view.begin || cursor > view.end) {
      const length = view.end - view.begin;
      setView(cursor - length / 2, cursor + length / 2);
    }
    redraw();
    speak();
  }

  function stepGap(by) {
    const gaps = [];
    for (const stream of new Set(shown.map((p) => p.stream))) gaps.push(...stream.gaps);
    gaps.sort((a, b) => a.begin - b.begin);
    const from = cursor === null ? (view.begin + view.end) / 2 : cursor;
    const middle = (gap) => (gap.begin + gap.end) / 2;
    const gap = by > 0 ? gaps.find((g) => middle(g) > from + 1) : gaps.reverse().find((g) => middle(g) < from - 1);
    if (!gap) return;
    const length = view.end - view.begin;
    cursor = middle(gap);
    setView(cursor - length / 2, cursor + length / 2);
    speak();
  }

  function setClock(toCalendar) {
    calendar = toCalendar && epochNs !== null;
    $("clock").textContent = calendar ? "Axis: " + zoneName : "Axis: seconds";
    $("clock").disabled = epochNs === null;
    redraw();
  }
  function setFitted(toView) {
    fitted = toView;
    $("fit").textContent = fitted ? "Values: in view" : "Values: all";
    $("fit").setAttribute("aria-pressed", String(!fitted));
    redraw();
  }
  function setList(open) {
    $("list").hidden = !open;
    $("channels").setAttribute("aria-expanded", String(open));
    layout();
  }
  function setHelp(open) {
    $("keys").hidden = !open;
    $("help").setAttribute("aria-expanded", String(open));
    layout();
  }

  const keys = {
    "+": () => zoom(2), "=": () => zoom(2), "-": () => zoom(0.5), "_": () => zoom(0.5),
    "ArrowLeft": () => pan(-0.2), "ArrowRight": () => pan(0.2),
    "Home": () => setView(whole.begin, whole.begin + view.end - view.begin),
    "End": () => setView(whole.end - (view.end - view.begin), whole.end),
    "0": reset, ",": () => stepSample(-1), ".": () => stepSample(1),
    "g": () => stepGap(1), "G": () => stepGap(-1),
    "u": () => setClock(!calendar), "v": () => setFitted(!fitted),
    "c": () => setList($("list").hidden), "?": () => setHelp($("keys").hidden),
    "ArrowDown": () => scroll.scrollBy(0, size.panel), "ArrowUp": () => scroll.scrollBy(0, -size.panel),
    "PageDown": () => scroll.scrollBy(0, size.height - 40), "PageUp": () => scroll.scrollBy(0, 40 - size.height),
    "Escape": () => { cursor = box = null; redraw(); },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.type === "search") return;
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  for (const [id, key] of [["in", "+"], ["out", "-"], ["back", "ArrowLeft"], ["on", "ArrowRight"], ["all", "0"], ["clock", "u"],
    ["fit", "v"], ["channels", "c"], ["help", "?"]])
    $(id).addEventListener("click", keys[key]);

  // ---------------------------------------------------------------- the list of channels

  const mostNames = 400;  // in the list at once

  function setShown(list, on) {
    for (const panel of list) panel.shown = on;
    layout();
    fillList();
  }

  function fillList() {
    const wanted = $("filter").value.toLowerCase();
    const names = $("names");
    names.textContent = "";
    let room = mostNames;
    let left = 0;
    for (const stream of recording.streams) {
      const own = panels.filter((p) => p.stream === stream &&
        `${stream.name}/${p.channel.name}`.toLowerCase().includes(wanted));
      if (own.length === 0) continue;
      const field = document.createElement("fieldset");
      const legend = document.createElement("legend");
      const title = document.createElement("span");
      title.textContent = stream.name;
      legend.append(title);
      for (const [text, on] of [["all", true], ["none", false]]) {
        const button = document.createElement("button");
        button.textContent = text;
        button.setAttribute("aria-label", `Show ${text} of ${stream.name}`);
        button.addEventListener("click", () => setShown(own, on));
        legend.append(button);
      }
      field.append(legend);
      for (const panel of own) {
        if (room === 0) { ++left; continue; }
        --room;
        const label = document.createElement("label");
        const input = document.createElement("input");
        input.type = "checkbox";
        input.checked = panel.shown;
        input.addEventListener("change", () => { panel.shown = input.checked; layout(); });
        const name = document.createElement("span");
        name.textContent = panel.channel.name + " ";
        const unit = document.createElement("small");
        unit.textContent = panel.channel.unit === "1" ? "" : panel.channel.unit;
        name.append(unit);
        name.title = panel.channel.facts;
        label.append(input, name);
        field.append(label);
      }
      names.append(field);
    }
    if (left > 0) {
      const more = document.createElement("p");
      more.className = "more";
      more.textContent = `${count(left)} more: filter by name`;
      names.append(more);
    }
  }
  $("filter").addEventListener("input", fillList);

  // ---------------------------------------------------------------- begin

  $("facts").textContent = recording.facts;
  $("notes").textContent = recording.notes.join(" · ");
  const few = recording.streams.every((s) => s.channels.length <= 1) && panels.length <= 3;
  if (few || window.innerWidth <= 700) $("list").hidden = true;
  $("channels").setAttribute("aria-expanded", String(!$("list").hidden));
  readColours();
  setClock(calendar);
  setFitted(true);
  fillList();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
  window.addEventListener("resize", layout);
  new ResizeObserver(() => requestAnimationFrame(layout)).observe(scroll);
  layout();

  // For scripts; docs/view.md tells what each does.
  const seconds = (t) => Number(baseNs + BigInt(Math.round(t))) / 1e9;
  const fromSeconds = (s) => s * 1e9 - Number(baseNs);
  const named = (name) => panels.filter((p) => name === p.stream.name || name === p.channel.name ||
    name === `${p.stream.name}/${p.channel.name}`);
  window.spillway = Object.freeze({
    range(begin, end) {
      if (begin !== undefined) setView(fromSeconds(begin), fromSeconds(end));
      return [seconds(view.begin), seconds(view.end)];
    },
    zoom(factor, at) { zoom(factor, at === undefined ? undefined : fromSeconds(at)); },
    pan(share) { pan(share); },
    reset,
    draw,
    channels: () => panels.map((p) => ({ name: `${p.stream.name}/${p.channel.name}`, shown: p.shown })),
    show(name, on) { setShown(named(name), on); },
    hover(at) {
      cursor = fromSeconds(at);
      redraw();
      return { time: timeText(cursorTime()), panels: shown.map((p) => {
        const r = readingAt(p, cursor);
        return { name: `${p.stream.name}/${p.channel.name}`, ...r, at: r.at === null ? null : seconds(r.at) };
      }) };
    },
    detail: () => lastDetail.map((d) => ({ ...d })),
  });
})();
