// The page of a report: its charts, whose runs stand beneath them as tables.
"use strict";

document.addEventListener("DOMContentLoaded", async () => {
  const report = document.querySelector(".report-text[data-src]");
  if (!report) return;
  const root = document.documentElement.dataset.root;
  const places = report.querySelectorAll("[data-report-chart]");
  const { charts } = await mlgit.load(report.dataset.src, report.dataset.name);

  /** Returns the points of the curves of some runs; one whose data cannot be had is left out. */
  async function points({ metric, runs }) {
    const found = await Promise.all(runs.map((run) =>
      mlgit.load(`${root}data/runs/${run.run}.js`, `run/${run.run}`).catch(() => null)));
    return found.flatMap((run, place) => (run === null ? []
      : mlgit.charts.points(run, metric, runs[place].label)
        .map((point) => ({ ...point, colour: runs[place].colour }))));
  }

  /** Returns which colour is whose. */
  function legend(runs) {
    return mlgit.make("ul", { class: "plain runs-legend" }, ...runs.map(({ run, label, colour }) => {
      const line = mlgit.make("i", { "aria-hidden": "true" });
      line.style.background = `var(${colour})`;
      return mlgit.make("li", {}, line, mlgit.make("a", { href: `${root}runs/${run}.html` }, mlgit.make("bdi", {}, label)));
    }));
  }

  const decoded = (value) => {
    const found = mlgit.decode(value);
    return found instanceof mlgit.Json ? String(found) : found;
  };
  const readable = (row) => ({
    ...row,
    ...(row.values && { values: row.values.map(decoded) }), // of parallel coordinates
    ...(Object.hasOwn(row, "x") && { x: decoded(row.x), y: decoded(row.y) }), // of a dot
  });
  for (const place of places) {
    const chart = charts[Number(place.dataset.reportChart)];
    const figure = place.closest("figure");
    place.hidden = false;
    if (chart.kind === "curves" && !report.querySelector(".controls")) figure.before(mlgit.charts.controls());
    if (chart.kind === "curves") place.after(legend(chart.runs));
    const data = chart.kind === "curves" ? () => points(chart) : { ...chart, rows: chart.rows.map(readable) };
    mlgit.charts.draw(place, chart.kind, data, { label: "A chart of runs" });
  }
});
