// pytest-html makes its table anew whenever a row is folded, sorted or filtered: ours is put in again each time.

const made = new Map();
const chosenVerdicts = new Set();
const rows = () => [...document.querySelectorAll("#results-table tbody.results-table-row")].filter((row) => row.querySelector(".collapsible"));

const fill = async (row) => {
  const place = row.querySelector(".llmd-more"), key = row.querySelector(".llmd-case")?.dataset.llmd;
  if (!place || !key || row.querySelector(".extras-row.hidden")) return;
  const name = row.querySelector(".collapsible").dataset.id;
  if (!made.has(name)) {
    const { cases, texts } = await pageData();
    if (!made.has(name) && cases[key]) made.set(name, caseNode(cases[key], texts));
  }
  if (made.has(name) && place.isConnected) place.replaceWith(made.get(name));
};

const narrow = () => {
  const words = byId("llmd-words").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  rows().forEach((row) => {
    const verdict = row.querySelector(".col-verdict")?.textContent ?? "";
    const text = [row.querySelector(".collapsible"), row.querySelector(".llmd-case > .llmd-facts")].map((part) => part?.textContent ?? "").join(" ").toLowerCase();
    const fits = words.every((word) => text.includes(word)) && (!chosenVerdicts.size || chosenVerdicts.has(verdict));
    row.classList.toggle("llmd-hidden", !fits);
    shown += fits;
  });
  byId("llmd-matches").textContent = words.length || chosenVerdicts.size ? `${shown} of ${rows().length} shown` : "";
};

const refresh = () => {
  rows().forEach((row) => {
    const head = row.querySelector(".collapsible > .col-result");
    if (head) Object.assign(head, { tabIndex: 0, onkeydown: (event) => event.key === "Enter" && head.click() });
    fill(row);
  });
  narrow();
};

// Unfold a case and bring it into view.
const go = (key) => {
  byId("llmd-words").value = "";
  chosenVerdicts.clear();
  markVerdicts();
  const find = () => rows().find((row) => row.querySelector(".llmd-case")?.dataset.llmd === key);
  if (find()?.querySelector(".extras-row.hidden")) find().querySelector(".collapsible > .col-result").click();
  narrow();
  find()?.scrollIntoView({ block: "start" });
};

const markVerdicts = () => document.querySelectorAll("[data-llmd-verdict]").forEach((button) => button.setAttribute("aria-pressed", chosenVerdicts.has(button.dataset.llmdVerdict)));

const sortBy = (head) => {
  const body = head.closest("table").tBodies[0], place = head.cellIndex;
  const falling = head.getAttribute("aria-sort") === "ascending";
  const text = (row) => row.cells[place].textContent.trim();
  // Cells of nothing come last either way.
  const sorted = [...body.rows].sort((one, other) => {
    const [first, second] = [text(one), text(other)];
    if (!first || !second) return !first - !second;
    const order = isNaN(first) || isNaN(second) ? first.localeCompare(second, "en", { numeric: true }) : first - second;
    return falling ? -order : order;
  });
  [...head.parentElement.cells].forEach((cell) => cell.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  body.append(...sorted);
};
