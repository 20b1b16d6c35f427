// What only `mlgit site serve` adds to each page: it asks what is running and whether the site
// was made again. The answers are scripts, which the pages' policy allows from their own server.
"use strict";

(() => {
  const { make, harmless, number, span, whole } = window.mlgit;
  const SECONDS = 2;
  const WIDTH = 200, HEIGHT = 48;
  const panel = document.querySelector(".live-runs");
  const cards = new Map(); // by run id
  const state = new URL(document.currentScript.src).search.slice(1); // of the ledger, as this page shows it
  let timer = 0;

  /** Asks, and asks again after a while; a page that nobody sees does not. */
  function ask() {
    clearTimeout(timer);
    if (document.hidden) return;
    const script = make("script", { src: `/live.js?${panel ? "curves" : "count"}` });
    const later = (seconds) => {
      script.remove();
      timer = setTimeout(ask, seconds * 1000);
    };
    script.onload = () => {
      const told = window.mlgit.data.get("live");
      show(told);
      later(Math.max(SECONDS, 5 * told.took));
    };
    script.onerror = () => {
      if (panel) say("The server has ended; what is below is the last that it said.");
      later(5 * SECONDS);
    };
    document.head.append(script);
  }

  function show(told) {
    if (told.state !== state) tellNews();
    showLink(told.count);
    if (panel && told.runs) showRuns(told.runs);
  }

  // --- on every page ---------------------------------------------------------------------------

  function showLink(count) {
    const nav = document.querySelector(".top nav");
    let link = nav.querySelector("a.live-link");
    if (!link) {
      link = make("a", { class: "live-link", href: "/live.html", "aria-current": panel ? "page" : null });
      nav.append(link);
    }
    link.classList.toggle("going", count > 0);
    link.textContent = count ? `${count} live` : "Live";
  }

  function tellNews() {
    if (document.querySelector(".news")) return;
    const button = make("button", { type: "button", onclick: () => location.reload() }, "Reload");
    document.body.append(make("div", { class: "news", role: "status" }, "There is something new.", button));
  }

  // --- live runs -------------------------------------------------------------------------------

  function say(text) {
    const line = document.querySelector(".lead");
    if (line.textContent !== text) line.textContent = text;
  }

  function showRuns(runs) {
    const going = new Set(runs.map((run) => run.id));
    for (const [id, card] of cards) {
      if (!going.has(id) && !card.dataset.ended) end(id, card);
    }
    for (const run of [...runs].reverse()) {
      const card = draw(run);
      const before = cards.get(run.id);
      if (before) before.replaceWith(card);
      else panel.prepend(card);
      cards.set(run.id, card);
    }
    const count = runs.length;
    say(count ? `${count} ${count === 1 ? "run is" : "runs are"} going on.` : "Nothing is running. A run appears here as soon as it starts.");
  }

  /** The run has ended: its page will say everything. */
  function end(id, card) {
    card.dataset.ended = "yes";
    card.querySelector("header p").replaceChildren(
      "ended; ", make("a", { href: `/runs/${id}.html` }, "its page"), " is there as soon as it is saved");
  }

  function draw(run) {
    const metrics = run.metrics.map((metric) => make("li", {},
      make("p", { title: metric.key }, make("bdi", {}, harmless(metric.key)), make("b", { title: whole(read(metric.last)) }, number(read(metric.last), 4))),
      curve(metric.points),
      make("small", {}, `step ${metric.step.toLocaleString("en-US")}`)));
    const params = run.params.map(([key, value]) =>
      make("div", {}, make("dt", {}, make("bdi", {}, harmless(key))), make("dd", {}, make("bdi", {}, harmless(value)))));
    const more = run.more ? make("p", { class: "quiet" }, `and ${run.more} more metrics: mlgit show ${run.id.slice(0, 10)}`) : null;
    return make("article", { "data-run": run.id },
      make("header", {},
        make("h2", {}, make("bdi", {}, harmless(run.name || run.id.slice(0, 10)))),
        make("p", {}, make("bdi", {}, harmless(run.experiment)), ` · for ${span(run.elapsed)}`)),
      params.length ? make("dl", {}, ...params) : null,
      metrics.length ? make("ul", { class: "live-metrics" }, ...metrics) : make("p", { class: "quiet" }, "No metric was logged yet."),
      more);
  }

  const read = (cell) => window.mlgit.decode(cell);

  function curve(points) {
    const svg = "http://www.w3.org/2000/svg";
    const finite = points.map(([step, value]) => [step, Number(read(value))])
      .filter(([, value]) => Math.abs(value) < 1e300); // of larger ones not even the difference is finite
    if (finite.length < 2) return null;
    const steps = finite.map(([step]) => step), values = finite.map(([, value]) => value);
    const scale = (numbers, size) => {
      const low = Math.min(...numbers), high = Math.max(...numbers);
      return (value) => (high > low ? ((value - low) / (high - low)) * size : size / 2);
    };
    const x = scale(steps, WIDTH), y = scale(values, HEIGHT - 4);
    const picture = document.createElementNS(svg, "svg");
    picture.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    picture.setAttribute("preserveAspectRatio", "none");
    picture.setAttribute("aria-hidden", "true");
    const line = document.createElementNS(svg, "polyline");
    line.setAttribute("points", finite.map(([step, value]) => `${x(step).toFixed(1)},${(HEIGHT - 2 - y(value)).toFixed(1)}`).join(" "));
    picture.append(line);
    return picture;
  }

  document.addEventListener("visibilitychange", ask);
  ask();
})();
