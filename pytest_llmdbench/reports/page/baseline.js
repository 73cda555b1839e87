// The chart of a comparison with a baseline: how much worse each metric is.

// Each verdict on a metric has a colour and a shape.
const COMPARED = {
  REGRESSION: ["regression", "fail", "x"],
  INCONCLUSIVE: ["cannot be told", "inconclusive", "diamond-open"],
  "NO REGRESSION": ["no regression", "pass", "circle"],
};

// Where there is no room beside the rows, their texts are above them.
const NARROW = matchMedia("(max-width: 720px)");
NARROW.addEventListener("change", () => drawAgain());

const rowText = (text, more) => ({ text, showarrow: false, font: { size: 12, color: colour("ink") }, xref: "paper", ...more });

const baselineChart = ({ reason, rows, others }) => ({
  title: "Against the baseline, metric by metric",
  said: `${reason}. The table has every metric`,
  wide: true,
  height: rows.length * 36 + 130,
  note: `Right of the solid line is worse: higher latencies, lower rates. Bars: intervals; the red area is beyond the margin.${others ? ` The table has ${others} more.` : ""}`,
  build: () => {
    const narrow = NARROW.matches;
    const limits = rows.map((one) => one.limit).filter((one) => one !== null);
    // What is far from all that was found would leave no room to see it.
    const far = Math.max(...rows.map((one) => Math.abs(Math.log(one.worse))), ...limits.map(Math.log), 0.01);
    const within = (one) => Math.min(Math.max(one, Math.exp(-2.5 * far)), Math.exp(2.5 * far));
    const ends = [...rows.flatMap((one) => [one.worse, one.low, one.high]).filter((one) => one !== null).map(within), ...limits, 1];
    const times = Math.max(...ends) > 4;
    const at = (ratio) => (times ? ratio : ratio - 1), place = (ratio) => (times ? Math.log10(ratio) : ratio - 1);
    const [least, most] = [Math.min(...ends), Math.max(...ends)].map(place);
    const pad = 0.06 * (most - least), range = [Math.min(least, -0.3 * most) - pad, most + 2 * pad];
    const shapes = [], data = [rule([at(1), at(1)], [-1, rows.length], { color: colour("soft"), width: 1.5 })];
    rows.forEach((one, row) => {
      if (one.limit === null) return;
      const edge = times ? 10 ** range[1] : range[1];
      shapes.push({ type: "rect", xref: "x", yref: "y", x0: at(one.limit), x1: edge, y0: row - 0.5, y1: row + 0.5, fillcolor: colour("fail"), opacity: 0.1, line: { width: 0 }, layer: "below" });
      data.push(rule([at(one.limit), at(one.limit)], [row - 0.5, row + 0.5], { color: colour("fail"), width: 1.5, dash: "dash" }));
    });
    Object.entries(COMPARED).forEach(([word, [name, hue, symbol]]) => {
      const own = rows.map((one, row) => ({ ...one, row })).filter((one) => one.word === word);
      if (!own.length) return;
      const x = own.map((one) => at(one.worse)), ends = (which) => own.map((one) => (one[which] === null ? null : at(one[which])));
      data.push({
        x, y: own.map((one) => one.row), name, mode: "markers", text: own.map((one) => plain(`${one.metric}: ${one.text}`)),
        marker: { color: colour(hue), symbol, size: 11, line: { color: colour(hue), width: symbol.endsWith("open") ? 2.5 : 0 } },
        error_x: { ...errorBar(x, ends("low"), ends("high")), color: colour(hue), thickness: 2.5 },
        hovertemplate: `%{text}<extra>${name}</extra>`,
      });
    });
    const names = rows.map((one) => `<b>${plain(one.metric)}</b>`), texts = rows.map((one) => plain(one.text));
    const annotations = rows.map((_, y) => (narrow
      ? rowText(`${names[y]} ${texts[y]}`, { x: 0, xanchor: "left", y, yshift: 15, bgcolor: colour("panel"), borderpad: 0 })
      : rowText(texts[y], { x: 1, xanchor: "left", xshift: 6, y })));
    return { data, layout: { shapes, annotations, showlegend: true, margin: narrow ? { l: 12, r: 12, t: 28, b: 44 } : { l: 12, r: 200, t: 28, b: 44 },
      xaxis: { title: { text: times ? "← better  ·  times the baseline  ·  worse →" : "← better than the baseline  ·  worse →" }, range, zeroline: false, nticks: 9, ...(times ? { type: "log" } : { tickformat: "+~%" }) },
      yaxis: { range: [rows.length - 0.5, narrow ? -0.9 : -0.5], tickvals: narrow ? [] : rows.map((_, row) => row), ticktext: names, showgrid: false, zeroline: false, fixedrange: true } } };
  },
});
