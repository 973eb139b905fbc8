"""`spillway graph`: what a configuration computes, as a table, as JSON and drawn."""

import json
import re
import unittest
import xml.etree.ElementTree

from support import SOURCE, Case

SVG = "{http://www.w3.org/2000/svg}"
SOURCES = """
title: {title}
sources:
  - type: generator
    name: s
    rate: 1 kHz
    channels: [{{name: x, unit: V}}, {{name: y, unit: mm}}]
  - {{type: timing, name: late}}
"""
GRAPH = """
graph:
  - {id: slow, type: decimate, input: low, factor: 10, taps: 21}
  - {id: low, type: lowpass, input: s/x, order: 4, cutoff: 40 Hz}
  - {id: sum, type: integral, input: "raw(s/y)"}
  - {id: mean, type: moving_average, input: slow, window: 5, fill_gaps: 3}
  - {id: both, type: arithmetic, operation: add, inputs: [low, s/y]}
  - {id: lost, type: median, input: late, window: 3}
"""
USES = """
record: [{path: run.h5, streams: [s, mean]}, {path: "{stream}.csv", streams: [mean, sum]}]
publish: [slow, {stream: both, name: hall}]
"""
TEXT = SOURCES.format(title="Bench") + GRAPH + USES


def generator(name, channels, rate="1 kHz"):
    return f"  - {{type: generator, name: {name}, rate: {rate}, channels: [{', '.join('{name: %s}' % c for c in channels)}]}}\n"


class Drawing:
    """A drawing as it can be read back: boxes by name, the arrows' tips, the lines' pieces."""

    number = r"(-?[\d.]+)"

    def __init__(self, text):
        self.root = xml.etree.ElementTree.fromstring(text)
        self.size = float(self.root.get("width")), float(self.root.get("height"))
        self.boxes, self.classes, self.tips = {}, {}, {}
        for group in self.root.iter(f"{SVG}g"):
            title = group.find(f"{SVG}title")
            if title is None:
                continue  # of the legend
            name = re.sub(r", line \d+$", "", title.text.splitlines()[0])
            rect = group.find(f"{SVG}rect")
            self.boxes[name] = tuple(float(rect.get(k)) for k in ("x", "y", "width", "height"))
            self.classes[name] = group.get("class").split()
            self.tips[name] = title.text
        self.arrows = [tuple(map(float, re.match(rf"M{self.number} {self.number}l", p.get("d")).groups())) for p in self.of("arrow")]
        self.picks = [t.find(f"{SVG}title").tail for t in self.of("pick")]
        self.trees = {p.find(f"{SVG}title").text: self.pieces(p.get("d")) for p in self.of("wire")}

    def of(self, style):
        return [e for e in self.root.iter() if e.get("class") == style]

    def pieces(self, way):
        """From and to of each piece of a line."""
        n = self.number
        found = []
        for move in way.split("M")[1:]:
            level = re.fullmatch(rf"{n} {n}H{n}", move)
            if level:
                x, y, to_x = map(float, level.groups())
                found.append((x, y, to_x, y))
                continue
            x, y, a, b, c, d, to_x, to_y = map(float, re.fullmatch(rf"{n} {n}C{n} {n} {n} {n} {n} {n}", move).groups())
            # Level at both ends, and between them all the way: it stays within its rectangle.
            assert b == y and d == to_y and x < a == c < to_x, move
            found.append((x, y, to_x, to_y))
        return found

    def leads_to(self, name):
        """The boxes that can be reached from a box along its lines."""
        pieces = self.trees.get(name, [])
        x, y, width, height = self.boxes[name]
        points, reached = {(round(x + width, 1), round(y + height / 2, 1))}, []
        todo = list(points)
        while todo:
            at = todo.pop()
            ends = [p[2:] for p in pieces if abs(p[0] - at[0]) < 0.25 and abs(p[1] - at[1]) < 0.25]
            for end in ends:
                if end in points:
                    continue
                points.add(end)
                todo.append(end)
            if not ends:
                reached += [other for other, (bx, by, _, bh) in self.boxes.items() if abs(bx - at[0]) < 0.25 and by < at[1] < by + bh]
        return sorted(reached)


class Graph(Case):
    def graph(self, text, *arguments, check=None):
        return self.run_spillway("graph", self.write("g.yaml", text), *arguments, check=check, cwd=self.out)

    def draw(self, text, *arguments):
        self.graph(text, "-o", "g.svg", "-f", *arguments, check=0)
        drawing = Drawing((self.out / "g.svg").read_text())
        self.assert_tidy(drawing)
        return drawing

    def assert_tidy(self, drawing):
        """Boxes apart from each other, no line through a box, everything within the page."""
        boxes = sorted(drawing.boxes.items(), key=lambda item: item[1])
        for i, (name, (x, y, width, height)) in enumerate(boxes):
            self.assertGreaterEqual(x, 0)
            self.assertGreaterEqual(y, 0)
            self.assertLessEqual(x + width, drawing.size[0])
            self.assertLessEqual(y + height, drawing.size[1])
            for other, (ox, oy, owidth, oheight) in boxes[i + 1:]:
                apart = x + width < ox or ox + owidth < x or y + height < oy or oy + oheight < y
                self.assertTrue(apart, f"{name} and {other}")
        for tree, pieces in drawing.trees.items():
            for ax, ay, bx, by in pieces:
                for name, (x, y, width, height) in drawing.boxes.items():
                    through = ax < x + width - 0.2 and bx > x + 0.2 and min(ay, by) < y + height and max(ay, by) > y
                    self.assertFalse(through, f"a line of {tree} runs through {name}")

    def edges(self, text):
        """What feeds what, by the command's own JSON."""
        fed = {}
        facts = json.loads(self.graph(text, "--json", check=0).stdout)
        for node in facts["nodes"]:
            for source in node["inputs"]:
                base = re.sub(r"^raw\((.*)\)$", r"\1", source).split("/")[0]
                fed.setdefault(base, set()).add(node["name"])
        return facts, fed

    def assert_complete(self, text):
        drawing = self.draw(text)
        facts, fed = self.edges(text)
        self.assertEqual(set(drawing.boxes), {i["name"] for i in facts["streams"] + facts["nodes"]})
        for name in drawing.boxes:
            self.assertEqual(set(drawing.leads_to(name)), fed.get(name, set()), name)
        self.assertEqual(len(drawing.arrows), sum(len(n["inputs"]) for n in facts["nodes"]))
        for node in facts["nodes"]:
            x, y, _, height = drawing.boxes[node["name"]]
            ports = sorted(a for a in drawing.arrows if abs(a[0] - x) < 0.1 and y < a[1] < y + height)
            self.assertEqual(len(ports), len(node["inputs"]), node["name"])
            # From the top in the order of the file.
            for source, port in zip(node["inputs"], ports):
                base = re.sub(r"^raw\((.*)\)$", r"\1", source).split("/")[0]
                self.assertLess(drawing.boxes[base][0] + drawing.boxes[base][2], x)
                ends = [p for p in drawing.trees[base] if abs(p[2] - port[0]) < 0.1 and abs(p[3] - port[1]) < 0.1]
                self.assertEqual(len(ends), 1, f"{source} at {node['name']}")
        return drawing

    def test_json_tells_rates_units_delays_and_memory(self):
        facts = json.loads(self.graph(TEXT, "--json", check=0).stdout)
        self.assertEqual(facts["title"], "Bench")
        s, late = facts["streams"]
        self.assertEqual((s["name"], s["kind"], s["rate_hz"]), ("s", "generator", 1000))
        self.assertEqual(s["channels"], [{"name": "x", "unit": "V"}, {"name": "y", "unit": "mm"}])
        self.assertEqual((s["recorded"], s["published"], s["used"]), (["run.h5"], None, True))
        self.assertEqual((late["kind"], late["recorded"], late["used"]), ("timing", [], True))
        nodes = {n["name"]: n for n in facts["nodes"]}
        self.assertEqual(list(nodes), ["slow", "low", "sum", "mean", "both", "lost"])
        low, slow, mean = nodes["low"], nodes["slow"], nodes["mean"]
        self.assertEqual((low["kind"], low["parameters"], low["inputs"]), ("lowpass", "butterworth 4, 40 Hz", ["s/x"]))
        self.assertEqual(low["channels"], [{"name": "x", "unit": "V"}])
        self.assertEqual((slow["rate_hz"], mean["rate_hz"]), (100, 100))
        # Along the way, in samples of the stream: low, then 10 of slow's 21 taps, then 2 of 5 at a tenth.
        self.assertEqual((low["delay"]["of"], mean["delay"]["of"], nodes["lost"]["delay"]["of"]), ("s", "s", "late"))
        self.assertAlmostEqual(low["delay"]["seconds"], low["delay"]["samples"] / 1000)
        self.assertAlmostEqual(slow["delay"]["samples"], low["delay"]["samples"] + 10)
        self.assertAlmostEqual(mean["delay"]["samples"], slow["delay"]["samples"] + 20)
        self.assertAlmostEqual(mean["delay"]["seconds"], mean["delay"]["samples"] / 1000)
        # In samples of what feeds the node.
        self.assertEqual(slow["memory"], {"samples": 21, "seconds": 0.021})
        self.assertEqual(mean["memory"], {"samples": 5, "seconds": 0.05})
        self.assertGreater(low["memory"]["samples"], 21)
        self.assertIsNone(nodes["sum"]["memory"])
        self.assertEqual(nodes["both"]["memory"]["samples"], 1)
        self.assertEqual((low["gap"], nodes["sum"]["gap"], nodes["both"]["gap"]), ("reset", "hold", None))
        self.assertEqual((low["fill_gaps"], mean["fill_gaps"]), (0, 3))
        self.assertEqual(mean["recorded"], ["run.h5", "mean.csv"])
        self.assertEqual((slow["published"], nodes["both"]["published"]), ("slow", "hall"))
        self.assertEqual([n for n in nodes if not nodes[n]["used"]], ["lost"])
        text = (self.out / "g.yaml").read_text().splitlines()
        for name, node in nodes.items():
            self.assertIn(f"id: {name},", text[node["line"] - 1])

    def test_the_table_has_a_line_for_each_and_tells_what_is_useless(self):
        result = self.graph(TEXT, check=0)
        lines = result.stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["NAME", "s", "late", "slow", "low", "sum", "mean", "both", "lost"])
        self.assertEqual(len({line.index(word) for line, word in ((lines[0], "KIND"), (lines[1], "generator"), (lines[4], "lowpass"))}), 1)
        self.assertRegex(lines[4], r"lowpass butterworth 4, 40 Hz +s/x +x +V +1 kHz +10\.3\d* = 10\.3\d ms +\d+ = \d+ ms +reset +-$")
        self.assertRegex(lines[5], r"integral +raw\(s/y\) .* for ever +hold +sum\.csv$")
        self.assertRegex(lines[6], r" 100 Hz .* 5 = 50 ms +fill 3, then reset +run\.h5, mean\.csv$")
        self.assertRegex(lines[7], r"low, s/y .*published as hall$")
        self.assertEqual(result.stderr, "note: 'lost' is neither used by a node nor recorded nor published\n")
        self.assertEqual([p.name for p in self.out.iterdir()], ["g.yaml"])

    def test_a_drawing_has_every_box_line_and_mark(self):
        drawing = self.assert_complete(TEXT)
        self.assertEqual(sorted(drawing.picks), ["raw y", "x", "y"])
        self.assertEqual(drawing.classes["s"], ["stream"])
        self.assertEqual(drawing.classes["low"], ["node"])
        self.assertEqual(drawing.classes["lost"], ["node", "unused"])
        # And one each in the legend.
        self.assertEqual(len(drawing.of("recorded")), 3 + 1)
        self.assertEqual(len(drawing.of("published")), 2 + 1)
        texts = [t.text for t in drawing.root.iter(f"{SVG}text")]
        for text in ("Bench", "2 streams, 6 nodes", "lowpass butterworth 4, 40 Hz", "1 kHz · V, mm · x, y", "decimate by 10, 21 taps"):
            self.assertIn(text, texts)
        self.assertIn("published as hall", drawing.tips["both"])
        self.assertIn("fills gaps of up to 3 samples", drawing.tips["mean"])
        self.assertEqual(drawing.root.find(f"{SVG}title").text, "Bench")
        self.assertIn("low: lowpass, 1 kHz, from s/x.", drawing.root.find(f"{SVG}desc").text)

    def test_graphs_of_any_shape_are_drawn_tidily(self):
        fan = SOURCES.format(title="fan") + "graph:\n" + "".join(f"  - {{id: n{i}, type: lowpass, input: s, cutoff: {i + 1} Hz}}\n" for i in range(40)) + "record: [{path: a.h5}]\n"
        drawing = self.assert_complete(fan)
        # Not a tower.
        self.assertLess(drawing.size[1], 1.2 * drawing.size[0])
        chain = SOURCES.format(title="chain") + "graph:\n"
        for i in range(12):
            chain += f"  - {{id: n{i}, type: median, window: 3, input: {f'n{i - 1}' if i else 's/x'}}}\n"
        chain += f"  - {{id: all, type: arithmetic, operation: add, inputs: [s/x, {', '.join(f'n{i}' for i in range(12))}]}}\nrecord: [{{path: a.h5}}]\n"
        self.assert_complete(chain)
        # As if by chance, and always the same.
        state = 7
        def below(n):
            nonlocal state
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            return (state >> 33) % n
        for nodes in (20, 60, 150):
            text = "title: any\nsources:\n" + "".join(generator(f"s{k}", "xyz") for k in range(4)) + "graph:\n"
            known = [[f"s{k}"] for k in range(4)]
            for i in range(nodes):
                names = known[below(4)]
                inputs = [names[-1 - below(min(len(names), 6))] + "/x" for _ in range(1 + below(4) * below(2))]
                kind = "type: arithmetic, operation: mean" if len(inputs) > 1 else "type: median, window: 3"
                text += f"  - {{id: n{i}, {kind}, inputs: [{', '.join(inputs)}]}}\n"
                names.append(f"n{i}")
            self.assert_complete(text + "record: [{path: a.h5}]\n")
        many = "sources:\n" + "".join(generator(f"s{k}", "x") for k in range(24)) + "graph:\n" + "".join(f"  - {{id: n{k}, type: median, window: 3, input: s{k}}}\n" for k in range(24)) + "record: [{path: a.h5}]\n"
        drawing = self.assert_complete(many)
        self.assertLess(drawing.size[1], 1.5 * drawing.size[0])
        # A chain is a straight line.
        for k in range(24):
            self.assertEqual(drawing.boxes[f"s{k}"][1], drawing.boxes[f"n{k}"][1])

    def test_what_feeds_one_or_the_middle_one_of_several_is_level_with_it(self):
        text = SOURCES.format(title="level") + "graph:\n"
        for i in range(5):
            text += f"  - {{id: a{i}, type: median, window: 3, input: s}}\n  - {{id: b{i}, type: median, window: 3, input: a{i}}}\n"
        text += "  - {id: c, type: arithmetic, operation: add, inputs: [b1/x, b1/y]}\nrecord: [{path: a.h5}]\n"
        boxes = self.assert_complete(text).boxes
        for i in range(5):
            self.assertEqual(boxes[f"a{i}"][1], boxes[f"b{i}"][1])
        self.assertEqual(boxes["s"][1], boxes["a2"][1])
        self.assertEqual(boxes["c"][1], boxes["b1"][1])

    def test_a_node_that_joins_streams(self):
        text = SOURCES.format(title="join") + generator("fast", "z", "3 kHz") + generator("slow", "t", "4 Hz") + """
graph:
  - {id: joined, type: align, inputs: [s, fast/z, slow], rate: 50 Hz}
  - {id: mean, type: moving_average, input: joined, window: 4}
record: [{path: a.h5}]
"""
        drawing = self.assert_complete(text)
        self.assertEqual(drawing.picks, ["z"])
        # The lines come in as the inputs are named.
        tops = [drawing.boxes[name][1] for name in ("s", "fast", "slow")]
        self.assertEqual(tops, sorted(tops))
        facts = json.loads(self.graph(text, "--json", check=0).stdout)
        joined, mean = facts["nodes"]
        self.assertEqual((joined["rate_hz"], mean["rate_hz"]), (50, 50))
        self.assertEqual([c["name"] for c in joined["channels"]], ["x", "y", "z", "t"])
        self.assertEqual(joined["delay"]["of"], "s")
        self.assertEqual(mean["memory"], {"samples": 4, "seconds": 0.08})
        self.assertEqual(joined["parameters"], "linear, 50 Hz, waits 1 s")

    def test_names_with_anything_in_them(self):
        names = ["a<b>&amp;\"c\"'", "Größe Ω 温度", "x" * 180, "]]>", "e\u0301\U0001F321"]
        text = "title: \"<i>&\\\" Tests & Übungen\"\nsources:\n" + generator("q", [json.dumps("<&\"µ"), "y"]) + "graph:\n"
        for name in names:
            text += f"  - {{id: {json.dumps(name, ensure_ascii=False)}, type: median, window: 3, input: 'q/<&\"µ'}}\n"
        text += "record: [{path: 'a<&.h5'}]\n"
        drawing = self.assert_complete(text)
        self.assertEqual(set(drawing.boxes), {"q", *names})
        shown = [t.text for t in drawing.of("name")]
        self.assertIn(names[0], shown)
        self.assertIn(names[1], shown)
        cut = [t for t in shown if t.startswith("xxx")]
        self.assertEqual(len(cut), 1)
        self.assertRegex(cut[0], "^x{10,40}…$")
        self.assertIn("recorded: a<&.h5", drawing.tips["q"])
        table = self.graph(text, check=0).stdout.splitlines()
        self.assertEqual(len(table), 7)
        self.assertIn("Größe Ω 温度", table[3])

    def test_a_graph_alone_at_a_rate(self):
        drawing = self.draw(GRAPH, "--rate", "500")
        self.assertIn("2 streams, 6 nodes; rate, unit and channels of the streams are assumed", [t.text for t in drawing.of("facts")])
        self.assertEqual(drawing.classes["lost"], ["node"])
        facts = json.loads(self.graph(GRAPH, "--rate", "500", "--json", check=0).stdout)
        self.assertEqual([(s["kind"], s["rate_hz"]) for s in facts["streams"]], [("assumed", 500)] * 2)
        self.assertEqual(facts["title"], "g.yaml")
        self.assertEqual({c["unit"] for s in facts["streams"] for c in s["channels"]}, {""})
        couple = "graph:\n  - {id: hot, type: thermocouple, inputs: [s/x, s/t], thermocouple: K}\n"
        facts = json.loads(self.graph(couple, "--rate", "5", "--json", check=0).stdout)
        self.assertEqual([c["unit"] for c in facts["streams"][0]["channels"]], ["mV", "degC"])
        for rate in ("0", "-1", "nan"):
            self.assertEqual(self.graph(GRAPH, f"--rate={rate}").returncode, 1)
        self.assert_one_line(self.graph(TEXT, "--rate", "500"), "has sources, which tell the rates")
        self.assert_one_line(self.graph("calibrations: []\n", "--rate", "500"), "has no 'graph'")
        self.assert_one_line(self.graph(TEXT, "-o", "g.yaml", "-f"), "is the input")

    def test_errors_are_one_line_with_the_place_and_leave_nothing(self):
        for what, to, *parts in (
            ("input: s/x", "input: t/x", "g.yaml:12:5", "node 'low'", "unknown input 't/x'"),
            ("input: s/x", "input: s/z", "g.yaml:12:5", "node 'low'", "'s' has no channel 'z'"),
            ("cutoff: 40 Hz", "cutoff: 600 Hz", "g.yaml:12:5", "node 'low'", "Nyquist frequency 500 Hz"),
            ("cutoff", "cutof", "g.yaml:12:", "node 'low'", "did you mean 'cutoff'"),
            ("input: s/x", "input: slow", "g.yaml:1", "cycle: "),
            ("[mean, sum]", "[mean, sun]", "g.yaml:18:", "no stream or node 'sun'; did you mean 'sum'?"),
            ("publish: [slow", "publish: [slo", "g.yaml:19:", "no stream or node 'slo'"),
            ("sources:", "source:", "g.yaml:3:", "did you mean 'sources'"),
            ("run.h5", "run.foo", "g.yaml:18:", "run.foo: unknown kind of recording", ".h5, .hdf5, .nxs or .csv"),
            ("run.h5", "run.csv", "g.yaml:18:", "run.csv: wide CSV holds one stream, not 2"),
            ("[s, mean]}", "[s, mean]}, {path: ./run.h5, streams: [s]}", "g.yaml:18:", "./run.h5: another recording of this run has that path already"),
        ):
            with self.subTest(to):
                self.assertIn(what, TEXT)
                for arguments in ((), ("--json",), ("-o", "g.svg"), ("-o", "g.svg", "-f", "--json")):
                    result = self.graph(TEXT.replace(what, to, 1), *arguments)
                    self.assert_one_line(result, *parts)
                    self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
                    self.assertEqual(result.stdout, "")
                self.assertEqual([p.name for p in self.out.iterdir()], ["g.yaml"])
        self.assert_one_line(self.graph(GRAPH), "lacks the key 'sources'", "graph alone", "--rate")
        self.assertNotIn("--rate", self.graph(GRAPH + "record: [{path: run.h5}]\n").stderr)
        self.assert_one_line(self.run_spillway("graph", self.out / "none.yaml"), "none.yaml", "No such file")
        self.assert_one_line(self.graph(TEXT, "-o", "no/such.svg"), "no")
        self.assert_one_line(self.graph(TEXT, "-o", "a.png"), "--output a.png: must end in .svg")
        self.assertEqual(self.graph(TEXT, "-f").returncode, 1)

    def test_existing_files_are_refused_unless_forced(self):
        (self.out / "there.svg").write_text("mine")
        result = self.graph(TEXT, "-o", "there.svg")
        self.assert_one_line(result, "there.svg: exists already; choose another name or use --force")
        self.assertEqual((result.stdout, (self.out / "there.svg").read_text()), ("", "mine"))
        result = self.graph(TEXT, "-o", "there.svg", "--force", check=0)
        self.assertEqual(result.stdout, "there.svg: 2 streams, 6 nodes\n")
        self.assertIn("<svg", (self.out / "there.svg").read_text())
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), ["g.yaml", "there.svg"])

    def test_the_plant_of_the_documentation_is_what_the_command_draws(self):
        for folder in (SOURCE, SOURCE / "docs"):
            self.run_spillway("graph", SOURCE.joinpath("docs/graph/plant.yaml").relative_to(folder), "-o", self.out / "plant.svg", "-f", check=0, cwd=folder)
            made, kept = (self.out / "plant.svg").read_text(), (SOURCE / "docs/graph/plant.svg").read_text()
            self.assertTrue(made == kept, "docs/graph/plant.svg is not up to date: spillway graph docs/graph/plant.yaml -o docs/graph/plant.svg -f")
        self.assert_tidy(Drawing(kept))


if __name__ == "__main__":
    unittest.main()
