// Charts by Vega: drawn when they come near the screen, in the colours of the stylesheet. The
// specification of each kind is Altair's (mlgit/site/charts.py) or another's; here it gets its data.
//
// mlgit.charts.draw(element, kind, data, {label}) fills an element with a chart, which is as big as
// the element, and returns a promise of {update(data), remove()}. `data` is what the kind takes, or
// a function that returns it, or a promise of it, when it is needed; `label` is what a screen
// reader says. The kinds are "foreign", a specification of Vega-Lite that others wrote and
// mlgit/site/foreign.py has tamed; "curves" (curves.js); "scatter", "parallel" and "histogram" (plots.js).
//
// A kind is {prepare, adapt, follows, opens, start}. prepare(data) returns {sets, shape, lines}: rows
// by the name of their data set, what the specification depends on besides, and what is said of the
// value under the pointer. adapt(spec, shape) changes the specification; follows: it is drawn again
// on "mlgit:axes"; opens: a click on a run leads to it; start(element, view, sets) comes last.
"use strict";

(() => {
  const { make } = mlgit;
  const [, root, version] = document.currentScript.src.match(/^(.*)assets\/charts\.js(.*)$/s);
  const SLOTS = 10; // colours --c0 to --c9

  // --- Vega, without its styles, menus and network ----------------------------------------------

  const refuse = () => Promise.reject(new Error("a chart of this site loads nothing"));
  const EMBED = {
    actions: false,
    ast: true, // expressions are interpreted: the page's policy lets no text become code
    defaultStyle: false,
    loader: { load: refuse, sanitize: refuse, http: refuse, file: refuse },
    logLevel: 0,
    renderer: "canvas",
  };

  const loaded = () => Promise.all([
    mlgit.load(`${root}assets/vega.js${version}`, "vega"),
    mlgit.load(`${root}data/charts.js${version}`, "charts"),
  ]);

  const style = getComputedStyle(document.documentElement);
  const css = (name) => (name.startsWith("--") ? style.getPropertyValue(name).trim() : name);

  /** Returns how charts look; one that is `coloured` already has its type and sizes from here, and a ground. */
  function config(coloured = false) {
    const colour = (name) => (coloured ? undefined : css(name));
    const [ink, soft, line] = ["--ink", "--soft", "--line"].map(colour);
    const small = { labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal" };
    const look = {
      background: coloured ? "white" : null,
      font: getComputedStyle(document.body).fontFamily,
      // A word beside the topmost line has its half above it.
      padding: coloured ? 8 : { left: 2, right: 4, top: 7, bottom: 2 },
      view: { stroke: null },
      axis: {
        ...small, labelColor: soft, titleColor: soft, gridColor: line, domainColor: line,
        tickColor: line, tickSize: 3, labelPadding: 4, labelLimit: 120, titleLimit: 240, domain: false,
      },
      axisX: { grid: false, domain: true, labelFlush: true, labelSeparation: 6 },
      axisY: { ticks: false, titlePadding: 8 },
      legend: { ...small, labelColor: soft, titleColor: soft, labelLimit: 160, titleLimit: 160 },
      style: { margin: { stroke: colour("--panel"), strokeWidth: 6, strokeJoin: "round" } },
      header: { ...small, labelColor: soft, titleColor: soft },
      title: { color: ink, fontWeight: 600, fontSize: 13 },
      text: { fill: soft, fontSize: 11 },
      rule: { color: soft },
      mark: { color: colour("--mark") },
      range: coloured ? undefined : { category: Array.from({ length: SLOTS }, (_, slot) => css(`--c${slot}`)) },
    };
    return JSON.parse(JSON.stringify(look)); // what is undefined would take the place of Vega's own
  }

  // --- what a pointer is over -------------------------------------------------------------------

  const tip = make("table", { class: "tip", role: "presentation", hidden: true });

  /** Returns a handler that shows what `lines` makes of a value: pairs of texts. */
  const tooltip = (lines) => (handler, event, item, value) => {
    const pairs = value === null || value === undefined || value === "" ? [] : lines(value);
    tip.hidden = !pairs.length;
    if (tip.hidden) return;
    tip.replaceChildren(...pairs.map(([name, text]) =>
      make("tr", {}, make("th", {}, mlgit.cut(mlgit.harmless(name), 60)),
        make("td", {}, mlgit.cut(mlgit.harmless(text), 200)))));
    if (!tip.isConnected) document.body.append(tip);
    const { width, height } = tip.getBoundingClientRect();
    const left = event.clientX + 14 + width > innerWidth ? event.clientX - 14 - width : event.clientX + 14;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - height - 4))}px`;
  };

  // --- drawing ----------------------------------------------------------------------------------

  const watched = new WeakMap();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) watched.get(entry.target)?.(entry.isIntersecting);
  }, { rootMargin: "200px" });

  let queue = Promise.resolve();
  let breath = 0; // when the page last had time for itself
  const BREATH = 40; // ms

  async function breathe() {
    if (breath && performance.now() - breath < BREATH) return;
    // The first time until the page itself is painted: to load Vega takes longer than that.
    await new Promise((done) => (breath ? setTimeout(done) : requestAnimationFrame(() => setTimeout(done))));
    breath = performance.now();
  }

  /** Does work after all that was asked for before, with pauses in which the page can answer. */
  function inTurn(work) {
    queue = queue.then(breathe).then(work).catch(reportError);
  }

  // What Vega-Lite made of a specification serves all charts that look alike.
  const compiled = new Map();

  async function draw(element, name, data, { label = null } = {}) {
    const kind = kinds[name];
    const box = make("div", { class: "drawn" });
    // What others wrote may never end, and take the page with it: then it is not begun by itself again.
    const begun = kind === kinds.foreign ? `begun.${element.dataset.chart}` : null;
    let isHeld = Boolean(begun && mlgit.memory.get(begun));
    if (begun && !isHeld) addEventListener("pagehide", () => mlgit.memory.forget(begun)); // left, alive
    let isNear = false;
    let isDue = true;
    let shown = null; // what Vega-Embed returned
    let look = ""; // of what is shown

    const refresh = () => {
      if (isNear && isDue && !isHeld) {
        isDue = false;
        inTurn(() => paint().catch(fail));
      }
    };
    const again = () => {
      isDue = true;
      refresh();
    };

    /** Leaves the still picture, or says so where others wrote what cannot be drawn. */
    function fail(error) {
      if (begun) mlgit.memory.forget(begun);
      shown?.finalize();
      [shown, look] = [null, ""];
      if (kind === kinds.foreign) {
        box.replaceChildren(make("p", { class: "quiet" }, "This chart cannot be drawn."));
      } else {
        element.classList.remove("live");
        box.remove();
        throw error;
      }
    }

    async function paint() {
      if (!element.isConnected) return;
      const [embed, specs] = await loaded();
      const rows = typeof data === "function" ? await data() : data;
      const { sets, shape, lines, own, coloured } = kind.prepare(rows);
      const wanted = JSON.stringify([name, shape, mlgit.isDark()]);
      const tell = tooltip(lines);
      if (shown && look === wanted && !kind.start) {
        for (const [set, values] of Object.entries(sets)) shown.view.data(set, values);
        await shown.view.tooltip(tell).runAsync();
        return;
      }
      shown?.finalize();
      const fill = (vega) => {
        // Copies, because Vega marks each row as its own.
        for (const each of vega.data) {
          if (Object.hasOwn(sets, each.name)) each.values = sets[each.name].map((row) => ({ ...row }));
        }
        return vega;
      };
      box.replaceChildren();
      box.classList.toggle("dark", mlgit.isDark() && !coloured); // what print makes of it: see site.css
      element.append(box);
      element.classList.add("live");
      if (begun) mlgit.memory.set(begun, "1");
      const known = compiled.get(wanted);
      if (known) {
        shown = await embed(box, structuredClone(known), { ...EMBED, mode: "vega", tooltip: tell, patch: fill });
      } else {
        const spec = structuredClone(own ?? specs[name]);
        kind.adapt?.(spec, shape);
        const patch = (vega) => {
          if (!own) compiled.set(wanted, structuredClone(vega));
          return fill(vega);
        };
        shown = await embed(box, spec, { ...EMBED, mode: "vega-lite", config: config(coloured), tooltip: tell, patch });
      }
      if (begun) mlgit.memory.forget(begun);
      shown.view.description(label);
      kind.start?.(element, shown.view, sets);
      if (kind.opens) shown.view.addEventListener("click", (event, item) => opened(item));
      look = wanted;
    }

    watched.set(element, (isIn) => {
      isNear = isIn;
      refresh();
    });
    observer.observe(element);
    if (isHeld) {
      const anyway = () => { isHeld = false; refresh(); };
      box.append(make("p", { class: "quiet" }, "The page did not survive this chart when it was last drawn here. ",
        make("button", { type: "button", class: "quiet-button", onclick: anyway }, "Draw it")));
      element.append(box);
    }
    document.addEventListener("mlgit:theme", again);
    if (kind.follows) document.addEventListener("mlgit:axes", again);
    return {
      update(later) {
        data = later;
        again();
      },
      remove() {
        observer.unobserve(element);
        document.removeEventListener("mlgit:theme", again);
        document.removeEventListener("mlgit:axes", again);
        element.classList.remove("live");
        inTurn(() => {
          shown?.finalize();
          box.remove();
        });
      },
    };
  }

  // --- charts of others ---------------------------------------------------------------------------

  const COLOUR = /(color|fill|stroke|background)$/i;
  const WITHIN = /^(condition|expr|range|scale|value)$/; // where the colour of an encoding stands

  /** Tells whether a specification names colours: they were chosen for the ground it names, or for white. */
  function namesColours(part, isOne = false) {
    if (typeof part === "string") return isOne && part !== "transparent" && part !== "none";
    return Object.entries(part ?? {}).some(([key, value]) => key !== "data" && key !== "datasets"
      && namesColours(value, COLOUR.test(key) || (isOne && (Array.isArray(part) || WITHIN.test(key)))));
  }

  function foreign(spec) {
    const lines = (value) => (value && typeof value === "object"
      ? Object.entries(value).map(([name, text]) => [name, String(text)]) : [["", String(value)]]);
    return { sets: {}, shape: null, lines, own: spec, coloured: namesColours(spec) };
  }

  // --- what kinds share -----------------------------------------------------------------------------

  function opened(item) {
    const run = item?.datum?.run;
    if (run) location.href = `${root}runs/${encodeURIComponent(run)}.html`;
  }

  /** Returns a number as axes say it: 0.001, 2e-5, 1e12. */
  const tick = (value) => mlgit.number(value, 4).replace(/e([+-])0*/, (_, sign) => (sign === "-" ? "e-" : "e"));

  /** The same for Vega, where `plain` says the others: a linear axis knows how many digits its numbers need. */
  const ticks = (plain = "datum.label") =>
    `datum.value === 0 && length(${plain}) > 6 ? '0'`
    + ` : abs(datum.value) < 1000000 && (abs(datum.value) >= 0.0001 || datum.value === 0) ? ${plain}`
    + " : replace(format(datum.value, '~e'), '+', '')";

  /** Returns the ends of an axis for values that are all the same: on one of no length Vega says what is not so. */
  const around = (value) => (value ? [Math.min(0, 2 * value), Math.max(0, 2 * value)] : [-1, 1]);

  /** Returns how many ticks an axis of whole numbers may have, so that all of them are whole. */
  const wholes = (count) => Math.max(1, Math.min(4, count));

  /** Returns where a logarithmic axis has its words: at powers of ten, of a short one between them too. */
  function decades(low, high) {
    const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const every = Math.ceil((last - first) / 8);
    const factors = high / low < 300 ? [1, 2, 5] : [1];
    const powers = Array.from({ length: last - first + 1 }, (_, place) => first + place);
    // Written as text, because 10 ** -5 is 0.000009999999999999999.
    return powers.filter((power) => power % every === 0)
      .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)));
  }

  // On a logarithmic axis the powers of ten stand out.
  const powers = {
    condition: { test: "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 0.001", value: 1 },
    value: 0.3,
  };

  const kinds = { foreign: { prepare: foreign } };

  // --- what stands beneath a chart in its stead: open on paper and where there is no chart --------

  const instead = [...document.querySelectorAll("details.instead")];
  const turn = (every, isOpen) => every.forEach((details) => { details.open = isOpen; });
  let printed = [];
  turn(instead, false);
  addEventListener("beforeprint", () => {
    printed = instead.filter((details) => !details.open);
    turn(printed, true);
  });
  addEventListener("afterprint", () => turn(printed, false));

  mlgit.charts = { draw, kinds, css, powers, tick, ticks, around, wholes, decades };
})();
