"use strict";
// Comforts; the page is complete without them: copy a command, filter and sort tables, compare two
// networks, close an enlarged figure.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

for (const button of all("button.copy[type=button]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // no clipboard for a local file: select it instead
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// ---- claims: one filter for the tables of all sources

const form = document.querySelector(".claimfilter");
const rows = all("tr.claim");
const boxes = all("[type=checkbox]", form);
const filter = () => {
  const text = form.querySelector("[type=search]").value.trim().toLowerCase();
  const on = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  let shown = 0;
  for (const row of rows) {
    row.hidden = !(on.has(row.dataset.status) && row.textContent.toLowerCase().includes(text));
    shown += !row.hidden;
  }
  const filtering = shown < rows.length;
  document.body.classList.toggle("filtering", filtering);
  for (const section of all("section.source")) {
    if (section.querySelector("tr.claim")) {
      section.hidden = filtering && !section.querySelector("tr.claim:not([hidden])");
    }
  }
  form.querySelector("output").textContent = `${shown} of ${rows.length} claims`;
};
form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
for (const link of all("a.count")) { // a count shows the claims of its status
  link.addEventListener("click", (event) => {
    event.preventDefault();
    for (const box of boxes) box.checked = box.value === link.hash.replace("#status-", "");
    form.querySelector("[type=search]").value = "";
    filter();
    document.getElementById("claims").scrollIntoView();
  });
}
filter();

// ---- networks

for (const box of all(".netfilter")) {
  const table = box.nextElementSibling;
  const show = () => {
    const text = box.querySelector("input").value.trim().toLowerCase();
    let shown = 0;
    const found = all("tbody tr", table);
    for (const row of found) {
      row.hidden = !row.textContent.toLowerCase().includes(text);
      shown += !row.hidden;
    }
    box.querySelector("output").textContent = `${shown} of ${found.length} networks`;
  };
  box.hidden = false;
  box.addEventListener("input", show);
  box.addEventListener("submit", (event) => event.preventDefault());
  show();
}

const data = document.getElementById("pair-data");
const pairs = data ? JSON.parse(data.textContent) : {};
for (const box of all("form.pair")) {
  const group = pairs[box.dataset.set];
  const number = (n) => n.toLocaleString("en");
  const compare = () => {
    const [a, b] = ["a", "b"].map((name) => Number(box.elements[name].value));
    const output = box.querySelector("output");
    if (a === b) {
      output.textContent = "One network, twice.";
      return;
    }
    const [low, high] = a < b ? [a, b] : [b, a];
    const [first, second, seed, p, corrected, sure, seeds] = group.pairs[high * (high - 1) / 2 + low];
    const [onlyA, onlyB] = a < b ? [first, second] : [second, first];
    const points = (onlyA - onlyB) / group.n * 100;
    const lines = [
      `${group.names[a]} alone is right on ${number(onlyA)} of ${number(group.n)} images, ` +
      `${group.names[b]} alone on ${number(onlyB)} (seed ${seed}): ` +
      `${points > 0 ? "+" : points < 0 ? "\u2212" : ""}${Math.abs(points).toFixed(2)} points.`,
      `McNemar p = ${p}, corrected for all pairs ${corrected}: ` +
      (sure ? "chance does not explain it." : "chance may explain it."),
    ];
    if (seeds !== null) {
      lines.push(`Means over seeds, ${group.names[low]} minus ${group.names[high]}: ${seeds} (Welch, 95 %).`);
    }
    output.textContent = lines.join(" ");
  };
  box.hidden = false;
  box.addEventListener("input", compare);
  compare();
}

// ---- sorting by a column; cells say in data-v what they are sorted by, empty ones come last

const value = (row, column) => {
  const cell = row.cells[column];
  return "v" in cell.dataset ? cell.dataset.v : cell.textContent.trim();
};
for (const table of all("table.sortable")) {
  all("thead th", table).forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const body = table.tBodies[0];
      const keyed = [...body.rows].map((row) => [value(row, column), row]);
      keyed.sort(([a], [b]) => {
        if (a === "" || b === "") return (a === "") - (b === "");
        const apart = Number(a) - Number(b);
        return sign * (Number.isNaN(apart) ? a.localeCompare(b) : apart);
      });
      body.append(...keyed.map(([, row]) => row));
    });
  });
}

// ---- a deep link must reach its claim even if the filter hides it

const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.getClientRects().length === 0) {
    form.reset();
    for (const box of all(".netfilter")) box.reset();
    setTimeout(() => { filter(); target.scrollIntoView(); });
  }
};
addEventListener("hashchange", reveal);
addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const box of all(".zoom input:checked")) box.checked = false;
  }
});
