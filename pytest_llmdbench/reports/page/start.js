// Puts the page together once pytest-html has made its table.

const start = async () => {
  document.head.append(element("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }));
  document.documentElement.lang = "en";

  const table = byId("results-table"), scroll = element("div", { class: "llmd-scroll" });
  table.replaceWith(scroll);
  scroll.append(table);
  new MutationObserver(refresh).observe(scroll, { childList: true });

  // Versions and plugins are looked up, not read: below the table, folded.
  const environment = byId("environment"), header = byId("environment-header");
  scroll.after(header, environment);
  environment.classList.add("hidden");
  header.classList.add("collapsed");

  byId("llmd-words").addEventListener("input", narrow);
  document.querySelectorAll("[data-llmd-verdict]").forEach((button) => button.addEventListener("click", () => {
    const verdict = button.dataset.llmdVerdict;
    if (!chosenVerdicts.delete(verdict)) chosenVerdicts.add(verdict);
    markVerdicts();
    narrow();
  }));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-llmd-go]"), head = event.target.closest(".llmd-sortable th");
    if (link) { event.preventDefault(); go(link.dataset.llmdGo); }
    if (head) sortBy(head);
  });

  refresh();
  const { across } = await pageData();
  if (across && byId("llmd-across")) {
    const { figures, choices } = acrossNode(across, go);
    byId("llmd-choices").append(...choices);
    byId("llmd-across-charts").append(...figures);
  }
};

document.addEventListener("DOMContentLoaded", start);
