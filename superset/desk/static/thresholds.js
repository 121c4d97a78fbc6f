"use strict";
// The sliders of the thresholds: they fill the fields beside them, and say what the two together would mean. Without
// this script the fields are typed, and the table says the same. A block, since desk.js has names of its own.

{
  const form = document.getElementById("thresholds");
  const steps = [...document.querySelectorAll("#compared tr[data-score]")].map((row) =>
    Object.fromEntries(Object.entries(row.dataset).map(([name, value]) => [name, value === "" ? null : Number(value)])));

  function at(score) {
    return steps.reduce((best, one) => (Math.abs(one.score - score) < Math.abs(best.score - score) ? one : best));
  }

  function number(name) {
    const typed = form.elements[name].value.trim().replace(",", ".");
    return typed === "" ? null : Number(typed);
  }

  function share(value) {
    return value === null ? "an unknown share" : `${Math.round(value * 100)} %`;
  }

  function tell() {
    const own = form.dataset.own === "" ? 0.5 : Number(form.dataset.own);
    const block = number("block");
    const review = Math.min(number("review") ?? own, block ?? 1);
    if (Number.isNaN(review) || Number.isNaN(block)) return;
    const reviewed = at(review);
    const blocked = block === null ? null : at(block);
    const cost = reviewed.reviewed + (blocked ? blocked.blocked - blocked.reviewed : 0);
    const money = cost.toLocaleString("en", { maximumFractionDigits: 0 });
    const alerts = reviewed.alerts.toLocaleString("en", { maximumFractionDigits: 1 });
    const ofThem = blocked ? `, ${blocked.alerts.toLocaleString("en", { maximumFractionDigits: 1 })} of them blocked` : "";
    const told = document.getElementById("meaning");
    told.hidden = false;
    told.textContent = `${alerts} alerts a day${ofThem}; ${share(reviewed.expected)} frauds among them are expected; `
      + `${share(reviewed.recall)} of the known frauds are caught; costs ${money} `
      + `${document.getElementById("compared").dataset.currency} a day.`;
  }

  if (form && steps.length) {
    for (const slider of form.querySelectorAll("input[type=range]")) {
      slider.hidden = false;
      slider.addEventListener("input", () => {
        form.elements[slider.dataset.for].value = slider.value;
        tell();
      });
      form.elements[slider.dataset.for].addEventListener("input", (event) => {
        if (event.target.value.trim()) slider.value = event.target.value.replace(",", ".");
        tell();
      });
    }
    tell();
  }
}
