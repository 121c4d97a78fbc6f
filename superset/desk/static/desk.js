"use strict";
// Keys for what the pages' buttons and links do; every page works without this script.

const rows = [...document.querySelectorAll("[data-row]")];
let at = -1;

function mark(index) {
  if (!rows.length) return;
  at = Math.max(0, Math.min(index, rows.length - 1));
  rows.forEach((row, number) => row.classList.toggle("marked", number === at));
  rows[at].scrollIntoView({ block: "nearest" });
}

function box() {
  return at < 0 ? null : rows[at].querySelector("input[type=checkbox]");
}

function anyChosen() {
  return document.querySelectorAll("#queue input[type=checkbox]:checked").length;
}

function tell() {
  const told = document.getElementById("chosen");
  const count = anyChosen();
  if (told && count) told.textContent = `${count} chosen`;
}

function press(button) {
  // A verdict by key concerns the chosen alerts, or else the marked one.
  if (button.name === "verdict" && rows.length && !anyChosen()) {
    if (!box()) return;
    box().checked = true;
  }
  button.click();
}

function claimMarked() {
  const form = document.getElementById("claim");
  if (!form || !box()) return;
  form.elements.transaction_id.value = box().value.replace(/^\d+:/, "");
  form.submit();
}

const onRows = {
  j: () => mark(at + 1),
  k: () => mark(at - 1),
  x: () => { if (box()) { box().checked = !box().checked; tell(); } },
  c: claimMarked,
  Enter: () => { if (at >= 0) rows[at].querySelector("[data-open]")?.click(); },
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), select, textarea, button, a");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (rows.length && onRows[event.key]) {
    event.preventDefault();
    onRows[event.key]();
    return;
  }
  const key = CSS.escape(event.key);
  const button = document.querySelector(`[data-key="${key}"]`);
  const link = document.querySelector(`[data-link="${key}"]`);
  if (button) press(button);
  else if (link) link.click();
});

document.addEventListener("change", tell);
if (rows.length) mark(0);

// A refresh of the page's own head does nothing where the address ends in a fragment, as after a button in a section.
const waiting = document.querySelector("[data-reload-seconds]");
if (waiting) setTimeout(() => location.reload(), waiting.dataset.reloadSeconds * 1000);
