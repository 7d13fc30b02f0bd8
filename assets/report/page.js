"use strict";
// Plots take their colours from the page, so they follow its light or dark scheme.
const specs = JSON.parse(document.getElementById("specs").textContent);
const scheme = matchMedia("(prefers-color-scheme: dark)");
function draw() {
  const css = getComputedStyle(document.documentElement);
  const ink = css.getPropertyValue("--ink"), line = css.getPropertyValue("--line");
  const words = { labelColor: ink, titleColor: ink };
  const config = {
    background: "transparent", view: { stroke: "transparent" }, legend: words, title: { color: ink },
    axis: { ...words, gridColor: line, domainColor: line, tickColor: line }, rule: { color: ink },
  };
  const options = { actions: false, renderer: "svg", ast: true, config, tooltip: { theme: scheme.matches ? "dark" : "light" } };
  for (const place of document.querySelectorAll("[data-plot]")) vegaEmbed(place, specs[place.dataset.plot], options);
}
draw();
scheme.addEventListener("change", draw);

const search = document.getElementById("search"), which = document.getElementById("which");
const pairs = [...document.querySelectorAll(".pair")].map((node) => ({ node, text: node.textContent.toLowerCase() }));
function filter() {
  const wanted = search.value.trim().toLowerCase();
  let count = 0;
  for (const { node, text } of pairs) {
    const there = text.includes(wanted) && (!which.value || node.dataset.which === which.value);
    node.hidden = !there;
    count += there;
  }
  document.getElementById("count").textContent = `${count} shown`;
}
search.addEventListener("input", filter);
which.addEventListener("change", filter);
filter();
