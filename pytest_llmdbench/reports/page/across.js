// The charts across cases: trade-off of latency and throughput, effects of factors, load programs side by side.

const select = (label, measures, chosen) => {
  const made = element("select", {}, ...measures.map(([name, title]) => element("option", { value: name }, title)));
  made.value = measures.some(([name]) => name === chosen) ? chosen : measures[0]?.[0];
  return { label: element("label", {}, `${label} `, made), made };
};

// A level that is a long list has its number, for others may begin alike.
const label = (level, place) => plain(level.length > 24 ? `${level.slice(0, 20)}… (${place + 1})` : level);

// Points that no other beats in both: less of x, more of y.
const front = (points) => {
  let best = -Infinity;
  return [...points].sort((one, other) => one.x - other.x || other.y - one.y).filter((one) => one.y > best && ((best = one.y), true));
};

const acrossNode = (across, go) => {
  const known = (name) => across.cases.some((one) => name in one.measures || one.stages.some((stage) => name in stage.measures));
  const measures = across.measures.filter(([name]) => known(name));
  const titleOf = (name) => { const found = measures.find((one) => one[0] === name); return found ? found[1] + (found[2] ? `, ${found[2]}` : "") : name; };
  // What there is a bound of is what people came for.
  const first = measures.find(([name, , unit]) => unit && name in across.bounds)?.[0] ?? "ttft_p99";
  const latency = select("Latency", measures.filter((one) => one[2]), first);
  const throughput = select("Throughput", measures.filter((one) => !one[2]), "output_tokens_per_second");
  const effect = select("Effects on", measures, first);

  // A legend that is a line a name needs its own room.
  const tall = (names) => Math.min(640, Math.max(340, 250 + 20 * names.length));

  const tradeOff = {
    title: "Latency against throughput",
    height: tall([...new Set(across.cases.map((one) => one.series))]),
    note: "The stages of a case are joined, and so are cases of one stack and workload that have one stage. Dotted: what no other point beats. Hollow: did not pass. Choose a point to see its case.",
    choose: (point) => point.customdata && go(point.customdata),
    build: () => {
      const x = latency.made.value, y = throughput.made.value;
      const points = across.cases.flatMap((one) => (one.stages.length ? one.stages : [{ load: "", measures: one.measures }])
        .filter((stage) => x in stage.measures && y in stage.measures)
        .map((stage) => ({ x: stage.measures[x], y: stage.measures[y], one, text: [one.name, stage.load, one.outcome].filter(Boolean).map(plain).join("<br>") })));
      const series = [...new Set(points.map((point) => point.one.series))];
      const data = series.map((name, place) => {
        const all = points.filter((point) => point.one.series === name);
        // The stages of a case are one line, cases of a single stage are one together; null parts lines.
        const single = all.filter((point) => !point.one.stages.length).sort((one, other) => one.y - other.y);
        const staged = [...new Set(all.map((point) => point.one))].filter((one) => one.stages.length).flatMap((one) => [...all.filter((point) => point.one === one), null]);
        const own = [...staged, ...single];
        const each = (part) => own.map((point) => (point ? part(point) : null));
        return { x: each((point) => point.x), y: each((point) => point.y), text: each((point) => point.text), customdata: each((point) => point.one.key), name: plain(name), mode: "lines+markers",
          line: { color: nth(place), width: 1.2 }, marker: { color: nth(place), size: 9, symbol: each((point) => (point.one.outcome === "PASS" ? "circle" : "circle-open")), line: { width: 2, color: nth(place) } }, hovertemplate: `%{text}<br>${titleOf(x)}: %{x:.4~g}<br>${titleOf(y)}: %{y:.4~g}<extra></extra>` };
      });
      const edge = front(points);
      if (edge.length > 1) data.push({ x: edge.map((point) => point.x), y: edge.map((point) => point.y), mode: "lines", line: { color: colour("soft"), dash: "dot", shape: "hv" }, name: "Pareto front", hoverinfo: "skip" });
      const bound = across.bounds[x];
      const shapes = bound === undefined ? [] : [{ type: "line", xref: "x", yref: "paper", x0: bound, x1: bound, y0: 0, y1: 1, line: { color: colour("fail"), dash: "dash", width: 1.5 } }];
      const type = axisType(points.map((point) => point.x));
      if (bound !== undefined) data.push({ x: [bound], y: [Math.min(...points.map((point) => point.y))], mode: "markers", marker: { opacity: 0 }, showlegend: false, hovertemplate: `bound of ${titleOf(x)}: %{x:~g}<extra></extra>` });
      return { data, layout: { shapes, xaxis: { title: { text: titleOf(x) }, type }, yaxis: { title: { text: titleOf(y) } } } };
    },
  };

  const factorChart = ([factor, levels]) => ({
    title: `Effect of ${factor}`,
    note: "Each mark a case; lines join the means of all cases of a level.",
    choose: (point) => point.customdata && go(point.customdata),
    build: () => {
      const name = effect.made.value;
      const cases = across.cases.filter((one) => factor in one.levels && name in one.measures);
      const groups = [...new Set(cases.map((one) => one.group))];
      const shown = levels.map(label);
      const data = groups.flatMap((group, place) => {
        const own = cases.filter((one) => one.group === group);
        const means = levels.map((level) => { const values = own.filter((one) => one.levels[factor] === level).map((one) => one.measures[name]); return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null; });
        return [
          { x: shown, y: means, name: plain(group), legendgroup: group, mode: "lines+markers", line: { color: nth(place), width: 2.5 }, marker: { size: 9 }, hovertemplate: `mean at %{x}: %{y:.4~g}<extra>${plain(group)}</extra>` },
          { x: own.map((one) => shown[levels.indexOf(one.levels[factor])]), y: own.map((one) => one.measures[name]), text: own.map((one) => plain(one.name)), customdata: own.map((one) => one.key), legendgroup: group, showlegend: false, mode: "markers", marker: { color: nth(place), size: 7, symbol: "line-ew-open", line: { width: 2 } }, hovertemplate: "%{text}: %{y:.4~g}<extra></extra>" },
        ];
      });
      return { data, layout: { xaxis: { type: "category", title: { text: plain(factor) }, categoryorder: "array", categoryarray: shown }, yaxis: { title: { text: titleOf(name) }, type: axisType(cases.map((one) => one.measures[name])) } } };
    },
  });

  const programs = {
    title: "Load programs side by side",
    height: tall([...new Set(across.programs.flatMap((load) => load.cases.map((place) => across.cases[place].program)))]),
    note: "The same load on the same stack, sent by different programs.",
    choose: (point) => point.customdata && go(point.customdata),
    build: () => {
      const name = effect.made.value;
      const cases = across.programs.map((load) => [load.name, load.cases.map((place) => across.cases[place]).filter((one) => name in one.measures)]);
      const all = [...new Set(cases.flatMap(([, own]) => own.map((one) => one.program)))];
      const data = all.map((program, place) => {
        const own = cases.flatMap(([load, several]) => several.filter((one) => one.program === program).map((one) => [load, one]));
        return { type: "bar", name: plain(program), x: own.map(([load]) => plain(load)), y: own.map(([, one]) => one.measures[name]), customdata: own.map(([, one]) => one.key), marker: { color: nth(place) }, hovertemplate: `%{y:.4~g}<extra>${plain(program)}</extra>` };
      });
      return { data, layout: { barmode: "group", xaxis: { type: "category" }, yaxis: { title: { text: titleOf(name) }, rangemode: "tozero" } } };
    },
  };

  const factors = Object.entries(across.factors);
  const figures = [
    ...(latency.made.value && throughput.made.value ? [chart(tradeOff)] : []),
    ...factors.map((one) => chart(factorChart(one))),
    ...(across.programs.length ? [chart(programs)] : []),
  ];
  const choices = [latency, throughput, ...(factors.length || across.programs.length ? [effect] : [])];
  choices.forEach(({ made }) => made.addEventListener("change", drawAgain));
  return { figures: measures.length ? figures : [], choices: measures.length ? choices.map(({ label }) => label) : [] };
};
