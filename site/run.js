// The page of a run: its curves, which stand there as pictures, become charts; charts that it logged.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll("[data-chart]")) {
    const { chart, src } = place.dataset;
    place.hidden = false;
    mlgit.charts.draw(place, "foreign", () => mlgit.load(src, `chart/${chart}`));
  }
  const charts = document.querySelector(".charts[data-run]");
  if (!charts) return;
  charts.before(mlgit.charts.controls());
  for (const figure of charts.querySelectorAll("[data-metric]")) {
    const metric = figure.dataset.metric;
    mlgit.charts.draw(figure.querySelector(".plot"), "curves", async () => {
      const run = await mlgit.load(charts.dataset.src, `run/${charts.dataset.run}`);
      return mlgit.charts.points(run, metric);
    }, { label: `The curve of ${metric}` });
  }
});
