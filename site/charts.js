// Charts by Vega: drawn when they come near the screen, in the colours of the stylesheet. The
// specification of each kind is Altair's (mlgit/site/charts.py); here it gets its data.
//
// mlgit.charts.draw(element, kind, data, options) fills an element with a chart, which is as big
// as the element, and returns a promise of {update(data), remove()}. By kind, data is:
//   curves    rows {run, label, metric, step, time, value, low, high}, a run's points in order;
//             time in ms, low and high the envelope where points were left out, else null; colour,
//             if there is one, goes before `colours`
//   scatter   {x, y, size, rows}: x, y and size are titles (size or null), rows {run, label, colour,
//             x, y, size}, numbers or texts; a click opens the run
//   foreign   a specification of Vega-Lite that others wrote (mlgit/site/foreign.py)
//   parallel  {axes, rows}: titles, and rows {run, label, colour, values}, one for each axis
// or a function that returns it, or a promise of it, when it is needed. Options of all kinds: label (what a screen reader says), colours ({run: CSS colour or the name
// of one of the stylesheet's, as "--c3"}).
"use strict";

(() => {
  const { make, number, span, state } = mlgit;
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

  function config() {
    const [ink, soft, line] = ["--ink", "--soft", "--line"].map(css);
    const small = { labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal" };
    return {
      background: null,
      font: getComputedStyle(document.body).fontFamily,
      padding: 2,
      view: { stroke: null },
      axis: {
        ...small, labelColor: soft, titleColor: soft, gridColor: line, domainColor: line,
        tickColor: line, tickSize: 3, labelPadding: 4, labelLimit: 120, titleLimit: 240, domain: false,
      },
      axisX: { grid: false, domain: true, labelFlush: true },
      axisY: { ticks: false },
      legend: { ...small, labelColor: soft, titleColor: soft, labelLimit: 160, titleLimit: 160 },
      style: { margin: { stroke: css("--panel"), strokeWidth: 3, strokeOpacity: 0.85 } },
      header: { ...small, labelColor: soft, titleColor: soft },
      title: { color: ink, fontWeight: 600, fontSize: 13 },
      text: { fill: soft, fontSize: 11 },
      rule: { color: soft },
      mark: { color: css("--mark") },
      range: { category: Array.from({ length: SLOTS }, (_, slot) => css(`--c${slot}`)) },
    };
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
    if (performance.now() - breath < BREATH) return;
    await new Promise((done) => setTimeout(done));
    breath = performance.now();
  }

  /** Does work after all that was asked for before, with pauses in which the page can answer. */
  function inTurn(work) {
    queue = queue.then(breathe).then(work).catch(reportError);
  }

  // What Vega-Lite made of a specification serves all charts that look alike.
  const compiled = new Map();

  async function draw(element, kind, data, options = {}) {
    const box = make("div", { class: "drawn" });
    let isNear = false;
    let isDue = true;
    let shown = null; // what Vega-Embed returned
    let look = ""; // of what is shown

    const refresh = () => {
      if (isNear && isDue) {
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
      shown?.finalize();
      [shown, look] = [null, ""];
      if (kind === "foreign") {
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
      const { sets, shape, lines, own } = KINDS[kind].prepare(rows, options);
      const wanted = JSON.stringify([kind, shape, mlgit.isDark()]);
      const tell = tooltip(lines);
      if (shown && look === wanted && !KINDS[kind].start) {
        for (const [name, values] of Object.entries(sets)) shown.view.data(name, values);
        await shown.view.tooltip(tell).runAsync();
        return;
      }
      shown?.finalize();
      const fill = (vega) => {
        // Copies, because Vega marks each row as its own.
        for (const each of vega.data) each.values = sets[each.name]?.map((row) => ({ ...row })) ?? each.values;
        return vega;
      };
      box.replaceChildren();
      element.append(box);
      element.classList.add("live");
      const known = compiled.get(wanted);
      if (known) {
        shown = await embed(box, structuredClone(known), { ...EMBED, mode: "vega", tooltip: tell, patch: fill });
      } else {
        const spec = structuredClone(own ?? specs[kind]);
        KINDS[kind].adapt(spec, shape);
        const patch = (vega) => {
          if (!own) compiled.set(wanted, structuredClone(vega));
          return fill(vega);
        };
        shown = await embed(box, spec, { ...EMBED, mode: "vega-lite", config: config(), tooltip: tell, patch });
      }
      if (options.label) shown.view.description(options.label);
      KINDS[kind].start?.(element, shown.view, sets);
      if (KINDS[kind].opens) shown.view.addEventListener("click", (event, item) => opened(item));
      look = wanted;
    }

    watched.set(element, (isIn) => {
      isNear = isIn;
      refresh();
    });
    observer.observe(element);
    document.addEventListener("mlgit:theme", again);
    if (KINDS[kind].follows) document.addEventListener("mlgit:axes", again);
    return {
      update(later, changed = options) {
        [data, options] = [later, changed];
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

  // --- colours of runs --------------------------------------------------------------------------

  /** Returns a function that gives each run its colour: the one it was given, else the next one. */
  function colouring(given = {}) {
    const found = new Map();
    return (run) => {
      if (!found.has(run)) found.set(run, css(given[run] ?? `--c${found.size % SLOTS}`));
      return found.get(run);
    };
  }

  // --- curves -----------------------------------------------------------------------------------

  const UNITS = [[86400e3, "days"], [3600e3, "hours"], [60e3, "minutes"], [1e3, "seconds"], [1, "ms"]];

  /** What a person chose for all curves of the page. */
  const axes = () => ({
    axis: state.get("axis") === "time" ? "time" : "step",
    log: state.get("log") === "1",
    smooth: Math.min(0.99, Math.max(0, Number(state.get("smooth")) || 0)),
  });

  /** Returns the exponential moving average, freed of its bias to zero; null where there is no number. */
  function smoothed(values, weight) {
    let [sum, share] = [0, 0];
    return values.map((value) => {
      if (value === null) return null;
      sum = weight * sum + (1 - weight) * value;
      share = weight * share + 1 - weight;
      return sum / share;
    });
  }

  /** Returns the middle of an envelope: each value with half of its neighbours. */
  const middle = (values) => values.map((value, place) => {
    if (value === null) return null;
    const before = values[place - 1] ?? value;
    const after = values[place + 1] ?? value;
    return (before + 2 * value + after) / 4;
  });

  function curves(data, options) {
    const { axis, log, smooth } = { ...axes(), ...options };
    const colour = colouring(options.colours);
    const groups = new Map();
    data.forEach((row, place) => {
      if (!groups.has(row.run)) groups.set(row.run, []);
      groups.get(row.run).push({ ...row, row: place });
    });
    const most = data.reduce((longest, row) => Math.max(longest, row.time), 0);
    const [unit, name] = axis === "time" ? UNITS.find(([size]) => most >= 2 * size) ?? UNITS.at(-1) : [1, "step"];
    const isLog = log && data.some((row) => row.value > 0 && row.value < Infinity);
    const shown = (value) => (Number.isFinite(value) && (value > 0 || !isLog) ? value : null);
    const rows = [];
    for (const [run, points] of groups) {
      const values = points.map((point) => shown(point.value));
      const isReduced = points.some((point) => Number.isFinite(point.low));
      const plain = isReduced ? middle(values) : values;
      const line = smooth ? smoothed(plain, smooth) : plain;
      points.forEach((point, place) => rows.push({
        run,
        row: point.row,
        colour: point.colour ? css(point.colour) : colour(run),
        x: axis === "time" ? point.time / unit : point.step,
        y: line[place],
        raw: smooth && !isReduced ? values[place] : null,
        low: isReduced ? shown(point.low) : null,
        high: isReduced ? shown(point.high) : null,
      }));
    }
    const drawn = new Map(rows.map((row) => [row.row, row.y]));
    const lines = (value) => {
      const point = data[Number(value)];
      const average = drawn.get(Number(value));
      return [
        ...(groups.size > 1 ? [["run", point.label]] : []),
        ["value", number(point.value, 7)],
        ...(smooth && average !== null ? [["smoothed", number(average, 5)]] : []),
        ["step", String(point.step)],
        ["after", span(point.time / 1000)],
      ];
    };
    const has = (part) => rows.some((row) => row[part] !== null);
    return { sets: { rows }, shape: { name, isLog, low: has("low"), raw: has("raw") }, lines };
  }

  const STEP = "format(datum.value, datum.value < 10000 ? ',' : '~s')";
  // On a logarithmic axis the powers of ten stand out.
  const GRID = {
    condition: { test: "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 0.001", value: 1 },
    value: 0.3,
  };

  function shapeCurves(spec, { name, isLog, ...has }) {
    spec.layer = spec.layer.filter(({ encoding: { y } }) => has[y.field] !== false);
    for (const { encoding: { x, y } } of spec.layer) {
      Object.assign(x, { title: name });
      if (name === "step") Object.assign(x.axis, { tickMinStep: 1, labelExpr: STEP });
      if (isLog) {
        y.scale = { type: "log", nice: false };
        y.axis.gridOpacity = GRID;
      }
    }
  }

  const decoded = (cell) => Number(mlgit.decode(cell));

  function undone(list, count) {
    const found = [list[0]];
    for (let place = 1; place < count; place += 1) {
      found.push(found[place - 1] + (list.length === count ? list[place] : list[1]));
    }
    return found;
  }

  /** Returns a metric of a run's data (data/runs/ID.js) as rows of a chart of curves. */
  function points(run, metric, label = run.name || run.id.slice(0, 10)) {
    const curve = run.curves[metric];
    if (!curve) return [];
    const values = curve.v.map(decoded);
    const [step, time] = [undone(curve.s, values.length), undone(curve.t, values.length)];
    return values.map((value, place) => {
      const around = curve.reduced ? values.slice(Math.max(0, place - 1), place + 2).filter(Number.isFinite) : [];
      return {
        run: run.id, label, metric, step: step[place], time: time[place], value,
        low: around.length ? Math.min(...around) : null,
        high: around.length ? Math.max(...around) : null,
      };
    });
  }

  // --- charts of others ---------------------------------------------------------------------------

  function foreign(spec) {
    const lines = (value) => (value && typeof value === "object"
      ? Object.entries(value).map(([name, text]) => [name, String(text)]) : [["", String(value)]]);
    return { sets: {}, shape: null, lines, own: spec };
  }

  // --- values of runs -----------------------------------------------------------------------------

  const isNumber = (value) => typeof value === "number" || typeof value === "bigint";
  const isFinite = (value) => isNumber(value) && Number.isFinite(Number(value));
  const WIDE = 100; // times from the lowest to the highest: then it is the size that counts

  /** Returns how values lie along an axis: "text", "log" or "linear"; of numbers also their ends. */
  function scaleOf(values) {
    const here = values.filter((value) => value !== null);
    const numbers = here.filter(isFinite).map(Number);
    if (!numbers.length || here.some((value) => !isNumber(value))) return { kind: "text" };
    const low = numbers.reduce((one, other) => Math.min(one, other));
    const high = numbers.reduce((one, other) => Math.max(one, other));
    return { kind: low > 0 && high / low >= WIDE ? "log" : "linear", low, high };
  }

  const said = (value) => (isNumber(value) ? number(Number(value), 6) : mlgit.cut(mlgit.whole(value), 60));

  function scatter({ x, y, size, rows }) {
    const titles = { x, y, ...(size ? { size } : {}) };
    const kinds = Object.fromEntries(Object.keys(titles).map((part) =>
      [part, scaleOf(rows.map((row) => row[part])).kind]));
    const placed = (row, part) => {
      if (kinds[part] === "text") return row[part] === null ? null : said(row[part]);
      return isFinite(row[part]) ? Number(row[part]) : null;
    };
    const points = rows.map((row, place) => ({
      run: row.run,
      row: place,
      colour: css(row.colour),
      ...Object.fromEntries(Object.keys(titles).map((part) => [part, placed(row, part)])),
    })).filter((point) => point.x !== null && point.y !== null && point.size !== null);
    const lines = (value) => {
      const row = rows[Number(value)];
      return [["run", row.label], ...Object.entries(titles).map(([part, title]) => [title, said(row[part])])];
    };
    return { sets: { rows: points }, shape: { titles, kinds }, lines };
  }

  function shapeScatter(spec, { titles, kinds }) {
    const { encoding } = spec;
    for (const part of ["x", "y", "size"]) {
      if (kinds[part] === "text") {
        encoding[part] = { field: part, type: "nominal", axis: { grid: true, labelAngle: 0 } };
      } else if (kinds[part] === "log") {
        Object.assign(encoding[part].scale, { type: "log", nice: false, zero: undefined });
        if (part !== "size") encoding[part].axis = { gridOpacity: GRID };
      }
      if (encoding[part]) encoding[part].title = titles[part];
    }
    if (!titles.size) encoding.size = { value: 70 };
  }

  function opened(item) {
    const run = item?.datum?.run;
    if (run) location.href = `${root}runs/${encodeURIComponent(run)}.html`;
  }

  /** Returns [place from 0 to 1, text] of what stands along an axis, and the place of any value. */
  function axisOf(values) {
    const { kind, low, high } = scaleOf(values);
    if (kind === "text") {
      const texts = [...new Set(values.filter((value) => value !== null).map(said))];
      texts.sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
      const at = new Map(texts.map((text, place) => [text, texts.length > 1 ? place / (texts.length - 1) : 0.5]));
      return { ticks: [...at].map(([text, place]) => [place, text]), place: (value) => at.get(said(value)) };
    }
    const bend = kind === "log" ? Math.log : (value) => value;
    const width = bend(high) - bend(low);
    const place = (value) => (isFinite(value) ? (width ? (bend(Number(value)) - bend(low)) / width : 0.5) : null);
    const several = [...new Set(values.filter(isFinite).map(Number))];
    const marks = several.length <= 6 ? several : kind === "log" ? powers(low, high) : round(low, high);
    return { ticks: marks.map((value) => [place(value), number(value, 3)]), place };
  }

  function round(low, high) {
    const size = 10 ** Math.floor(Math.log10((high - low) / 3));
    const step = [1, 2, 5, 10].map((times) => times * size).findLast((each) => (high - low) / each >= 3);
    const first = Math.ceil(low / step);
    return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, place) => (first + place) * step);
  }

  function powers(low, high) {
    const first = Math.ceil(Math.log10(low));
    const found = Array.from({ length: Math.floor(Math.log10(high)) - first + 1 }, (_, place) => first + place);
    const every = Math.ceil(found.length / 6);
    return found.filter((power) => power % every === 0).map((power) => 10 ** power);
  }

  function parallel({ axes: titles, rows }) {
    const scales = titles.map((_, axis) => axisOf(rows.map((row) => row.values[axis])));
    const points = rows.flatMap((row, place) => titles.map((title, axis) => ({
      run: row.run,
      row: place,
      colour: css(row.colour),
      place: axis,
      axis: title,
      off: false,
      at: row.values[axis] === null ? null : scales[axis].place(row.values[axis]),
    })));
    const ticks = scales.flatMap((scale, axis) => scale.ticks.map(([at, text]) => ({ axis: titles[axis], at, text })));
    const lines = (value) => {
      const row = rows[Number(value)];
      return [["run", row.label], ...titles.map((title, axis) =>
        [title, row.values[axis] === null ? "-" : said(row.values[axis])])];
    };
    return { sets: { rows: points, ticks, brushes: [] }, shape: {}, lines };
  }

  /**
   * Lets a person drag along an axis to leave only the lines that pass there; a click takes it back.
   * The element tells by "mlgit:brush" which runs are left, or null.
   */
  function brushing(element, view, { rows, ticks }) {
    const canvas = view.container().querySelector("canvas");
    const titles = [...new Set(ticks.map((tick) => tick.axis))];
    const chosen = new Map(); // [from, to] by title
    let held = null; // the title whose axis is dragged along, and where that began

    const axisAt = (x) => {
      const across = view.scale("x");
      return titles.find((title) => Math.abs(across(title) + across.bandwidth() / 2 - x) < 16);
    };
    const place = (event) => {
      const [left, top] = view.origin();
      const at = 1 - (event.offsetY - top) / view.height();
      return { x: event.offsetX - left, at: Math.min(1, Math.max(0, at)) };
    };

    function update() {
      const off = new Set();
      for (const row of rows) {
        const range = chosen.get(row.axis);
        if (range && !(row.at >= range[0] && row.at <= range[1])) off.add(row.run);
      }
      const left = new Set(rows.map((row) => row.run).filter((run) => !off.has(run)));
      view.data("rows", rows.map((row) => ({ ...row, off: off.has(row.run) })));
      view.data("brushes", [...chosen].map(([axis, [at, to]]) => ({ axis, at, to })));
      view.runAsync();
      element.dispatchEvent(new CustomEvent("mlgit:brush", { bubbles: true, detail: chosen.size ? [...left] : null }));
    }

    canvas.addEventListener("pointermove", (event) => {
      const { x, at } = place(event);
      canvas.style.cursor = held || axisAt(x) ? "ns-resize" : "";
      if (!held) return;
      chosen.set(held.axis, [Math.min(held.at, at), Math.max(held.at, at)]);
      update();
    });
    canvas.addEventListener("pointerdown", (event) => {
      const { x, at } = place(event);
      const axis = axisAt(x);
      if (!axis || event.pointerType === "touch") return; // a finger scrolls
      held = { axis, at };
      chosen.delete(axis);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointerup", () => {
      if (!held) return;
      const [from, to] = chosen.get(held.axis) ?? [0, 0];
      if (to - from < 0.02) chosen.delete(held.axis);
      held = null;
      update();
    });
  }

  /** Returns the controls that all curves of the page follow: axis, scale, smoothing. */
  function controls() {
    const now = axes();
    const set = (key, value) => {
      state.set(key, value);
      document.dispatchEvent(new Event("mlgit:axes"));
    };
    const axis = (value) => make("label", {},
      make("input", {
        type: "radio", name: "axis", value, checked: now.axis === value,
        onchange: () => set("axis", value === "step" ? null : value),
      }), value);
    const told = make("output", {}, now.smooth.toFixed(2));
    const slider = make("input", {
      type: "range", min: 0, max: 0.99, step: 0.01, value: now.smooth,
      oninput: () => {
        told.textContent = Number(slider.value).toFixed(2);
        set("smooth", Number(slider.value) || null);
      },
    });
    const log = make("input", { type: "checkbox", checked: now.log, onchange: () => set("log", log.checked ? 1 : null) });
    return make("div", { class: "controls", role: "group", "aria-label": "How curves are drawn" },
      make("span", { class: "switch" }, axis("step"), axis("time")),
      make("label", {}, log, "log scale"),
      make("label", {}, "smoothing", slider, told));
  }

  const KINDS = {
    curves: { prepare: curves, adapt: shapeCurves, follows: true },
    foreign: { prepare: foreign, adapt: () => {} },
    scatter: { prepare: scatter, adapt: shapeScatter, opens: true },
    parallel: { prepare: parallel, adapt: () => {}, start: brushing },
  };

  mlgit.charts = { draw, points, controls };
})();
