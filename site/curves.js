// Curves of metrics: one run or several over steps or time, with a band where points were left out.
//
// Data are rows {run, label, metric, step, time, value, low, high, colour}, the points of a run in
// order: time in ms, or null; low and high the envelope, null where no points were left out; colour of CSS, or
// the name of one of the stylesheet's as "--c3", by default one after the other.
// mlgit.charts.points makes them of a run's data; mlgit.charts.controls is what all curves of a page
// follow.
"use strict";

(() => {
  const { make, number, span, state } = mlgit;
  const { css } = mlgit.charts;
  const SLOTS = 10; // colours --c0 to --c9

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

  const ends = (values) => values.reduce(([low, high], value) =>
    [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

  function prepare(data) {
    const { axis, log, smooth } = axes();
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
      const slot = `--c${[...groups.keys()].indexOf(run) % SLOTS}`;
      const values = points.map((point) => shown(point.value));
      const isReduced = points.some((point) => Number.isFinite(point.low));
      const plain = isReduced ? middle(values) : values;
      const line = smooth ? smoothed(plain, smooth) : plain;
      points.forEach((point, place) => rows.push({
        run,
        row: point.row,
        colour: css(point.colour ?? slot),
        x: axis === "step" ? point.step : point.time === null ? null : point.time / unit,
        y: line[place],
        dot: (line[place - 1] ?? line[place + 1] ?? null) === null ? line[place] : null, // no line leads to it
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
        ...(point.time === null ? [] : [["after", span(point.time / 1000)]]),
      ];
    };
    const has = (part) => rows.some((row) => row[part] !== null);
    const [first, last] = ends(rows.map((row) => row.x));
    const [low, high] = ends(rows.flatMap((row) => [row.y, row.raw, row.low, row.high].filter((each) => each !== null)));
    const isFlat = low <= high && high - low <= 1e-12 * Math.max(-low, high); // also where it was smoothed
    const shape = {
      name, isLog, low: has("low"), raw: has("raw"), dot: has("dot"),
      ticks: axis === "step" ? mlgit.charts.wholes(last - first) : null,
      domain: isFlat ? mlgit.charts.around(low) : null,
    };
    return { sets: { rows }, shape, lines };
  }

  const STEP = "format(datum.value, datum.value < 10000 ? ',' : '~s')";

  function adapt(spec, { name, isLog, ticks, domain, ...has }) {
    spec.layer = spec.layer.filter(({ encoding: { y } }) => has[y.field] !== false);
    for (const { encoding: { x, y } } of spec.layer) {
      Object.assign(x, { title: name });
      if (name === "step") Object.assign(x.axis, { tickCount: ticks, tickMinStep: 1, labelExpr: STEP });
      y.axis.labelExpr = mlgit.charts.ticks();
      if (isLog) {
        y.scale = { type: "log", nice: false };
        y.axis.gridOpacity = mlgit.charts.powers;
      } else if (domain) {
        y.scale.domain = domain;
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

  /**
   * Returns a metric of a run's data (data/runs/ID.js) as rows of a chart of curves. A single value,
   * of which that says the step but no time, is one too: a baseline beside the curves of others.
   */
  function points(run, metric, label = run.name || run.id.slice(0, 10)) {
    if (!Object.hasOwn(run.curves, metric)) {
      const [last, , , step, count] = Object.hasOwn(run.metrics, metric) ? run.metrics[metric] : [];
      return count !== 1 ? [] : [{ run: run.id, label, metric, step: decoded(step), time: null, value: decoded(last), low: null, high: null }];
    }
    const curve = run.curves[metric];
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

  mlgit.charts.kinds.curves = { prepare, adapt, follows: true };
  Object.assign(mlgit.charts, { points, controls });
})();
