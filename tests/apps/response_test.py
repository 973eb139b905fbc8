"""`spillway response`: drawings of what filters do."""

import unittest
import xml.etree.ElementTree

from support import Case

GRAPH = """
graph:
  - {id: low, type: lowpass, input: s, order: 4, cutoff: 40 Hz}
  - {id: "a<b", type: notch, input: low, frequency: 50 Hz}
  - {id: tenth, type: decimate, input: s, factor: 10}
  - {id: slow, type: fir_lowpass, input: tenth, cutoff: 10 Hz}
  - {id: med, type: median, input: s/x, window: 5}
"""
SOURCES = """
sources:
  - {type: generator, name: s, rate: 1 kHz, channels: [{name: x}]}
record: [{path: run.h5}]
"""


class Response(Case):
    def draw(self, text, *arguments, check=None):
        return self.run_spillway("response", self.write("g.yaml", text), *arguments, check=check, cwd=self.out)

    def test_a_graph_alone_and_a_configuration_give_the_same(self):
        alone = self.draw(GRAPH, "--rate", "1000", check=0)
        self.assertIn("g-response.svg: 4 filters", alone.stdout)
        self.assertIn("'med' is not drawn: median has no frequency response", alone.stderr)
        drawing = (self.out / "g-response.svg").read_text()
        self.draw(GRAPH + SOURCES, "-o", "other.svg", check=0)
        self.assertTrue((self.out / "other.svg").read_text() == drawing)
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), ["g-response.svg", "g.yaml", "other.svg"])
        root = xml.etree.ElementTree.fromstring(drawing)
        text = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("a<b (notch)", text)
        self.assertIn("low (lowpass)", text)
        self.assertEqual(text.count("magnitude, dB"), 4)
        # The filter behind the decimation works at a tenth of the rate.
        at = text.index("slow (fir_lowpass)")
        self.assertTrue(text[at + 1].startswith("at 100 Hz; delay at 0 Hz 50 samples = 500 ms"), text[at + 1])
        for path in root.iter("{http://www.w3.org/2000/svg}path"):
            self.assertGreater(len(path.get("d")), 20)

    def test_errors_are_one_line_and_leave_nothing(self):
        self.assert_one_line(self.draw(GRAPH), "lacks the key 'sources'", "graph alone", "--rate")
        self.assert_one_line(self.draw("graph: [{id: m, type: median, input: s, window: 3}]", "--rate", "1"), "nothing to draw")
        self.assert_one_line(self.draw(GRAPH, "--rate", "60"), "node 'low'", "40")
        self.assertEqual(self.draw(GRAPH, "--rate", "-1").returncode, 1)
        self.assertEqual([p.name for p in self.out.iterdir()], ["g.yaml"])
        (self.out / "there.svg").write_text("mine")
        self.assert_one_line(self.draw(GRAPH, "--rate", "1000", "-o", "there.svg"), "exists already", "--force")
        self.assertEqual((self.out / "there.svg").read_text(), "mine")
        self.draw(GRAPH, "--rate", "1000", "-o", "there.svg", "--force", check=0)
        self.assertIn("<svg", (self.out / "there.svg").read_text())
        self.assert_one_line(self.draw(GRAPH, "--rate", "1000", "-o", "no/such.svg"), "no")
        self.assert_one_line(self.draw(GRAPH, "--rate", "1000", "-o", "a.png"), "--output a.png: must end in .svg")


if __name__ == "__main__":
    unittest.main()
