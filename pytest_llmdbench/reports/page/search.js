// The charts of a search for the highest rate: one an objective.

// Each kind of run has a colour and a shape.
const RUNS = {
  proven: ["SLO proven", "pass", "circle"],
  met: ["met as measured", "pass", "circle-open"],
  missed: ["missed", "fail", "x"],
  unsound: ["not a sound measurement", "invalid", "diamond-open"],
};

// What values of a kind are multiplied with, their unit, and how the axis writes them.
const readAs = (kind, values) => {
  if (kind === "time") { const [unit, scale] = unitOf(values); return { unit: ` ${unit}`, scale, title: `, ${unit}` }; }
  if (kind === "share") return { unit: "%", scale: 100, title: ", %" };
  return kind === "rate" ? { unit: "/s", scale: 1, title: ", /s" } : { unit: "", scale: 1, title: "" };
};

// Type and range of an axis, as the library takes them, with room for a line of text above what is drawn.
const withRoom = (values) => {
  const type = axisType(values), of = type === "log" ? values.map(Math.log10) : values;
  const least = type === "log" ? Math.min(...of) : Math.min(0, ...of), most = Math.max(...of);
  const span = most - least || Math.abs(most) || 1;
  return [type, [least === 0 && type === "linear" ? 0 : least - 0.05 * span, most + 0.22 * span]];
};

const searchChart = ({ text, rate, above, limit, at_least: asked, runs }, { subject, text: objective, kind, bound, missed, values, low, high }) => ({
  title: `Highest rate: ${subject} at each rate`,
  said: `${text}. The table has every run`,
  wide: true,
  note: [
    runs.some((run) => !run.full) ? "One mark a run; small: a short one on the way." : "One mark a run.",
    low.some((one) => one !== null) || high.some((one) => one !== null) ? "Bars: confidence intervals; one that leaves the chart has no end there." : "",
    rate !== null && above !== null ? `Shaded: ${limit === "slo" ? "between the highest rate that met the SLO and the lowest that missed it, where the limit is" : "what could not be told"}.` : "",
  ].filter(Boolean).join(" "),
  build: () => {
    const { unit, scale, title } = readAs(kind, [...values, bound]);
    const known = runs.map((run, place) => ({ ...run, value: values[place], low: low[place], high: high[place] })).filter((run) => run.value !== null);
    const times = (one) => (one === null ? null : one * scale);
    const ends = [...known.flatMap((run) => [run.value, ...(run.value > 0 && run.low === 0 ? [] : [run.low]), run.high]), bound].filter((one) => one !== null).map((one) => one * scale);
    const [type, range] = withRoom(ends), beyond = [range[0] - (range[1] - range[0]), 2 * range[1] - range[0]];
    const edges = type === "log" ? beyond.map((one) => 10 ** one) : beyond;
    const rates = [...known.map((run) => run.rate), ...(asked === null ? [] : [asked])], lowest = Math.min(...rates), highest = Math.max(...rates);
    // The search is near its answer most of the time, and that may be far from where it began.
    const log = highest > 5 * lowest, at = (one) => (log ? Math.log10(one) : one);
    const pad = 0.05 * (at(highest) - at(lowest)) || at(highest) / 2, sides = [at(lowest) - pad, at(highest) + pad];
    // A text stands on the side of its line that has more room.
    const anchor = (one) => (2 * at(one) > sides[0] + sides[1] ? "right" : "left");
    const said = (x, y, words, hue, more) => ({ x, y, text: words, showarrow: false, font: { size: 12, color: colour(hue) }, bgcolor: colour("panel"), borderpad: 1, ...more });
    const shapes = [], annotations = [], data = [];
    if (rate !== null && above !== null) shapes.push({ type: "rect", xref: "x", yref: "paper", x0: rate, x1: above, y0: 0, y1: 1, fillcolor: colour("shade"), line: { width: 0 }, layer: "below" });
    if (rate !== null) {
      data.push(rule([rate, rate], edges, { color: colour("ink"), width: 3 }));
      annotations.push(said(at(rate), 1, ` <b>${limit === "slo" ? "highest rate" : "at least"} ${rate}/s</b> `, "ink", { yref: "paper", xanchor: anchor(rate), yanchor: "top" }));
    }
    if (asked !== null) {
      data.push(rule([asked, asked], edges, { color: colour("ink"), width: 1.5, dash: "dot" }));
      annotations.push(said(at(asked), 0, ` asked for: ${asked}/s `, "ink", { yref: "paper", xanchor: anchor(asked), yanchor: "bottom" }));
    }
    if (bound !== null) {
      const all = sides.map((one) => (log ? 10 ** one : one));
      data.push(rule(all, [times(bound), times(bound)], { color: colour("fail"), width: 1.5, dash: "dash" }));
      // Left above the line, or right below it: no run that tells of the limit is there.
      const left = rate === null || anchor(rate) === "right";
      annotations.push(said(left ? 0 : 1, type === "log" ? Math.log10(times(bound)) : times(bound), plain(objective), "fail", { xref: "paper", xanchor: left ? "left" : "right", yanchor: left || !missed ? "bottom" : "top" }));
    }
    data.push(rule(known.map((run) => run.rate), known.map((run) => times(run.value)), { color: colour("soft"), width: 1, dash: "dot" }));
    Object.entries(RUNS).forEach(([word, [name, hue, symbol]]) => {
      const own = known.filter((run) => run.word === word);
      if (!own.length) return;
      const y = own.map((run) => times(run.value));
      data.push({
        x: own.map((run) => run.rate), y, name, mode: "markers",
        marker: { color: colour(hue), symbol, opacity: 1, size: own.map((run) => (run.full ? 13 : 9)), line: { color: colour(hue), width: symbol.endsWith("open") ? 2.5 : 0 } },
        error_y: errorBar(y, own.map((run) => times(run.low)), own.map((run) => times(run.high)), edges),
        text: own.map((run) => plain([run.outcome, run.requests ? `${count(run.requests)} requests` : "", run.full ? "full run" : "short run"].filter(Boolean).join(", "))),
        hovertemplate: `%{y:.4~g}${unit} at %{x:~g}/s<br>%{text}<extra>${name}</extra>`,
      });
    });
    return { data, layout: { shapes, annotations, showlegend: true, xaxis: { title: { text: "rate asked for, requests/s" }, range: sides, type: log ? "log" : "linear" },
      yaxis: { title: { text: plain(subject.split("(")[0]) + title }, type, range, ...(kind === "share" && Math.max(...ends) > 50 ? { tickvals: [0, 20, 40, 60, 80, 100] } : {}) } } };
  },
});

const searchCharts = (search) => search.charts.map((one) => searchChart(search, one));
