// The charts of one case.

const curvesChart = ({ curves, objectives }) => ({
  title: "Latencies: share of requests within a time",
  note: curves.some((one) => one.percentiles) ? "Curves with marks run through percentiles, the others through single requests. Dashed: bounds." : "All completed requests. Dashed: bounds; ring: the value that was judged, with its confidence interval.",
  build: () => {
    const [unit, scale] = unitOf(curves.flatMap((one) => one.times));
    const data = curves.map((one) => ({
      x: scaled(one.times, scale), y: one.shares, name: one.title, legendgroup: one.name, mode: one.percentiles || one.times.length < 2 ? "lines+markers" : "lines",
      line: { color: colour(NAMED[one.name]), shape: one.percentiles ? "linear" : "hv", width: 2 }, marker: { size: 5 },
      visible: one.name === "itl" ? "legendonly" : true,
      hovertemplate: `%{y:.2%} within %{x:.4~g} ${unit}<extra>${one.title}${one.count ? `, ${count(one.count)} values` : ""}</extra>`,
    }));
    objectives.filter((one) => one.bound !== null && curves.some((curve) => curve.name === one.metric)).forEach((one) => {
      const look = { legendgroup: one.metric, showlegend: false };
      data.push({ ...look, x: [one.bound * scale, one.bound * scale], y: [0, 1], mode: "lines", line: { color: colour(NAMED[one.metric]), dash: "dash", width: 1.5 }, hovertemplate: `${plain(one.text)}<extra>bound</extra>` });
      if (one.value === null || one.share === null) return;
      const low = one.low ?? one.value, high = one.high ?? one.value;
      data.push({ ...look, x: [one.value * scale], y: [one.share], mode: "markers", marker: { symbol: "circle-open", size: 11, color: colour(one.outcome.toLowerCase()) || colour("none"), line: { width: 2.5 } },
        error_x: { type: "data", symmetric: false, array: [Math.max(0, high - one.value) * scale], arrayminus: [Math.max(0, one.value - low) * scale], color: colour("soft") },
        hovertemplate: `${plain(one.text)}: %{x:.4~g} ${unit}<extra>judged</extra>` });
    });
    return { data, layout: { xaxis: { title: { text: `time, ${unit}` }, type: axisType(data.filter((one) => one.visible !== "legendonly").flatMap((one) => one.x)) }, yaxis: { tickformat: ".0%", range: [-0.02, 1.03], title: { text: "share of requests" } } } };
  },
});

const loadChart = ({ loads, unit: loadUnit, lines, objectives }) => ({
  title: "Latency against load",
  note: "One point a stage. Dashed: bounds.",
  build: () => {
    const [unit, scale] = unitOf(lines.flatMap((one) => one.times));
    const data = lines.map((one) => ({
      x: loads, y: scaled(one.times, scale), name: one.title, legendgroup: one.name, mode: "lines+markers",
      visible: one.name === "itl" ? "legendonly" : true,
      line: { color: colour(NAMED[one.name]), dash: one.title.endsWith("p50") ? "dot" : "solid", width: 2 },
      hovertemplate: `%{y:.4~g} ${unit} at %{x:~g} ${loadUnit}<extra>${one.title}</extra>`,
    }));
    const within = objectives.filter((one) => one.bound !== null && lines.some((line) => line.name === one.metric));
    within.forEach((one) => {
      const at = one.stage === null || one.stage === undefined ? [Math.min(...loads), Math.max(...loads)] : [loads[one.stage]];
      data.push({ x: at, y: at.map(() => one.bound * scale), mode: at.length > 1 ? "lines" : "markers", marker: { symbol: "line-ew-open", size: 14 }, line: { color: colour(NAMED[one.metric]), dash: "dash", width: 1.5 }, name: plain(one.text), legendgroup: one.metric, showlegend: false, hovertemplate: `${plain(one.text)}<extra>bound</extra>` });
    });
    return { data, layout: { xaxis: { title: { text: loadUnit }, rangemode: "tozero" }, yaxis: { title: { text: unit }, type: axisType(data.flatMap((one) => one.y).filter((one) => one !== null)) } } };
  },
});

const requestsChart = (requests, objectives) => ({
  title: `Requests over time: ${requests.metric === "ttft" ? "TTFT" : "E2E"} by when they were sent`,
  note: [
    requests.drawn < requests.of ? `${count(requests.drawn)} of ${count(requests.of)} completed requests, the slowest among them.` : `${count(requests.of)} completed requests.`,
    requests.failed.of ? `${count(requests.failed.of)} failed.` : "",
    requests.warmup.length ? "Shaded: warm-up, left out of the verdict." : "",
  ].filter(Boolean).join(" "),
  build: () => {
    const [unit, scale] = unitOf(requests.times);
    const times = scaled(requests.times, scale), floor = Math.min(...times, ...scaled(requests.failed.times, scale).filter((one) => one !== null));
    const data = [{ x: requests.sent, y: times, name: "completed", mode: "markers", marker: { color: colour(NAMED[requests.metric]), size: 5, opacity: 0.65 }, hovertemplate: `%{y:.4~g} ${unit}, sent at %{x:~g} s<extra></extra>` }];
    if (requests.failed.of) data.push({ x: requests.failed.sent, y: requests.failed.times.map((one) => (one === null ? floor : one * scale)), name: "failed", mode: "markers", marker: { color: colour("fail"), symbol: "x", size: 7 }, hovertemplate: "sent at %{x:~g} s<extra>failed</extra>" });
    const last = Math.max(0, ...requests.sent, ...requests.failed.sent);
    objectives.filter((one) => one.metric === requests.metric && one.bound !== null).forEach((one) => data.push({ x: [0, last], y: [one.bound * scale, one.bound * scale], mode: "lines", line: { color: colour("fail"), dash: "dash", width: 1.5 }, name: plain(one.text), hovertemplate: `${plain(one.text)}<extra>bound</extra>` }));
    const shapes = requests.warmup.map(([from, to]) => ({ type: "rect", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1, fillcolor: colour("shade"), line: { width: 0 }, layer: "below" }));
    const marked = requests.stages.length > 1 ? requests.stages : [];
    marked.forEach(([at]) => shapes.push({ type: "line", xref: "x", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line: { color: colour("soft"), width: 1, dash: "dot" }, layer: "below" }));
    const annotations = marked.length > 8 ? [] : marked.map(([at, load]) => ({ x: at, yref: "paper", y: 1, xanchor: "left", yanchor: "top", text: load.replace(" requests/s asked", "/s").replace(" requests at once", " at once"), showarrow: false, font: { size: 10, color: colour("soft") } }));
    return { data, layout: { shapes, annotations, xaxis: { title: { text: "sent, s after the first" } }, yaxis: { title: { text: unit }, type: axisType(data.flatMap((one) => one.y)) } } };
  },
});

const serverChart = ({ lines, loaded }) => ({
  title: "Servers over time: queue, running requests, KV cache",
  note: `As the servers say of themselves.${loaded ? " Shaded: the load." : ""}`,
  build: () => {
    const components = [...new Set(lines.map((one) => one.component))], titles = [...new Set(lines.map((one) => one.title))];
    const several = components.length > 1;
    const data = lines.map((one) => ({
      x: one.seconds, y: one.values, name: several ? `${plain(one.component)}: ${one.title}` : one.title, yaxis: one.share ? "y2" : "y", mode: one.seconds.length > 40 ? "lines" : "lines+markers", marker: { size: 4 },
      line: { color: nth(several ? components.indexOf(one.component) : titles.indexOf(one.title)), dash: several ? DASHES[titles.indexOf(one.title) % DASHES.length] : one.share ? "dot" : "solid", width: 1.8 },
      hovertemplate: `%{y:${one.share ? ".1%" : ".4~g"}} at %{x:~g} s<extra>${plain(one.component)}: ${one.title}</extra>`,
    }));
    const shapes = loaded ? [{ type: "rect", xref: "x", yref: "paper", x0: loaded[0], x1: loaded[1], y0: 0, y1: 1, fillcolor: colour("shade"), line: { width: 0 }, layer: "below" }] : [];
    return { data, layout: { shapes, xaxis: { title: { text: "s after the first request" } }, yaxis: { title: { text: "requests" }, rangemode: "tozero" },
      yaxis2: { overlaying: "y", side: "right", tickmode: "auto", nticks: 6, tickformat: "~%", rangemode: "tozero", showgrid: false, title: { text: "share" } }, margin: { l: 56, r: 60, t: 28, b: 44 } } };
  },
});

const caseNode = (one, texts) => {
  const { search, baseline, curves, load, requests, server } = one.charts;
  const objectives = curves?.objectives ?? load?.objectives ?? [];
  const charts = [...(search ? searchCharts(search) : []), baseline && baselineChart(baseline), curves && curvesChart(curves), load && loadChart(load), requests && requestsChart(requests, objectives), server && serverChart(server)];
  const node = element("div", { class: "llmd-more" });
  if (charts.some(Boolean)) node.append(element("div", { class: "llmd-charts" }, ...charts.filter(Boolean).map(chart)));
  node.insertAdjacentHTML("beforeend", one.html);
  one.texts.forEach(([title, key]) => node.append(element("details", {}, element("summary", {}, title), element("pre", {}, texts[key]))));
  return node;
};
