// Charts: made when they come into view, made again when the colours of the page change.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const NAMED = { ttft: "ttft", tpot: "tpot", e2e: "e2e", itl: "itl" };
const CYCLE = ["ttft", "tpot", "e2e", "itl", "more1", "more2", "more3"];
const nth = (place) => colour(CYCLE[place % CYCLE.length]);
const TOUCHED = matchMedia("(pointer: coarse)").matches;
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];

// Seconds as people read them: milliseconds unless they are many.
const unitOf = (seconds) => (Math.max(0, ...seconds.filter((one) => one !== null)) >= 10 ? ["s", 1] : ["ms", 1000]);
const count = (number) => number.toLocaleString("en");
const scaled = (seconds, scale) => seconds.map((one) => (one === null ? null : one * scale));
const axisType = (values) => {
  const above = values.filter((one) => one > 0);
  return above.length === values.length && above.length > 1 && Math.max(...above) / Math.min(...above) > 20 ? "log" : "linear";
};

// What stands at a log axis of many decades are the decades alone: beside each other numbers take more room.
const dtickOf = (values, room) => {
  const above = values.filter((one) => one > 0);
  return Math.max(...above) / Math.min(...above) > room ? 1 : "D2";
};

// An interval may have one end alone: then its bar leaves the chart on the other side. What is not a number has no bar.
const errorBar = (values, low, high, [least, most] = [-Infinity, Infinity]) => {
  const to = (end, other, open) => values.map((value, place) => Math.abs(value - (end[place] !== null ? Math.max(end[place], least) : other[place] !== null ? open : NaN)));
  return { type: "data", symmetric: false, thickness: 1.5, width: 5, color: colour("soft"), array: to(high, low, most), arrayminus: to(low, high, least) };
};

// A line that is no curve: as a shape it would be below the grid, or above the marks.
const rule = (x, y, look) => ({ x, y, mode: "lines", line: look, showlegend: false, hoverinfo: "skip" });

const layoutOf = (layout, data) => {
  const axis = (name, given) => ({ gridcolor: colour("grid"), zerolinecolor: colour("grid"), linecolor: colour("line"), automargin: true, ...given,
    ...(given?.type === "log" ? { dtick: dtickOf(given.range?.map((one) => 10 ** one) ?? data.flatMap((one) => one[name[0]] ?? []), name[0] === "x" ? 150 : 1000), tickformat: "~g", ...given } : {}), title: { standoff: 8, ...given?.title } });
  const axes = Object.fromEntries(Object.entries(layout).filter(([name]) => /^[xy]axis/.test(name)).map(([name, given]) => [name, axis(name, given)]));
  return {
    margin: { l: 56, r: 16, t: 28, b: 44 }, hovermode: "closest", dragmode: TOUCHED ? false : "zoom",
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", tracegroupgap: 0, font: { size: 11 } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("ink") },
    ...layout, ...axes,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("ink"), family: "inherit", size: 12 },
    hoverlabel: { bgcolor: colour("paper"), bordercolor: colour("line"), font: { color: colour("ink") } },
  };
};

// A finger on a chart scrolls the page.
const CONFIG = { responsive: true, displayModeBar: TOUCHED ? false : "hover", displaylogo: false, showSendToCloud: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
const builders = new Map();

const show = async (plot) => {
  const { title, ...builder } = builders.get(plot);
  try {
    const Plotly = await library();
    const { data, layout } = builder.build();
    await Plotly.react(plot, data, layoutOf(layout, data), CONFIG);
    plot.setAttribute("data-llmd-drawn", "");
    if (builder.choose && !plot.dataset.listens) {
      plot.dataset.listens = "yes";
      plot.on("plotly_click", (event) => builder.choose(event.points[0]));
    }
  } catch (problem) {
    plot.textContent = `The chart cannot be drawn in this browser: ${problem.message}`;
    console.error(title, problem);
  }
};

const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
  seen.unobserve(target);
  show(target);
}), { rootMargin: "300px" });

// builder: title, note, build() -> {data, layout}, choose(point) where points can be chosen; said: what is seen, in
// words, for those who do not see it; wide: over the whole width; height: in pixels, where it is not that of all charts.
const chart = (builder) => {
  const plot = element("div", { class: "llmd-plot", role: "img", "aria-label": [builder.title, builder.said].filter(Boolean).join(". ") });
  if (builder.height) plot.style.height = `${builder.height}px`;
  builders.set(plot, builder);
  seen.observe(plot);
  return element("figure", { class: builder.wide ? "llmd-chart llmd-chart-wide" : "llmd-chart" }, element("figcaption", {}, builder.title), plot, element("p", { class: "llmd-small" }, builder.note ?? ""));
};

const drawAgain = () => builders.forEach((_, plot) => plot.isConnected && plot.hasAttribute("data-llmd-drawn") && show(plot));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);
