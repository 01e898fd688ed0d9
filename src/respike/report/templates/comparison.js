"use strict";
// Three comforts; the page is complete without them: copy a command, filter claims, close an enlarged figure.
for (const button of document.querySelectorAll(".copy")) {
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

const form = document.querySelector(".filter");
const filter = () => {
  const text = form.querySelector("[type=search]").value.trim().toLowerCase();
  const on = new Set([...form.querySelectorAll(":checked")].map((box) => box.value));
  let shown = 0, all = 0;
  for (const group of document.querySelectorAll("tbody.group")) {
    let any = false;
    for (const row of group.querySelectorAll("tr.claim")) {
      const hit = on.has(group.dataset.status) && row.textContent.toLowerCase().includes(text);
      row.hidden = !hit;
      any = any || hit;
      shown += hit;
      all += 1;
    }
    group.hidden = !any;
  }
  form.querySelector("output").textContent = `${shown} of ${all} claims`;
};
form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
filter();

// A deep link must reach its claim even if the filter hides it.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.closest("[hidden]")) {
    form.reset();
    filter();
    target.scrollIntoView();
  }
};
addEventListener("hashchange", reveal);
addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const box of document.querySelectorAll(".zoom input:checked")) box.checked = false;
  }
});
