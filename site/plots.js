// Runs by their values: as dots by two of them, or as lines across an axis for each. Values are
// numbers or texts, null where a run has none; colours are those of CSS, or names as "--c3". Or how many
// runs have which values, counted already.
//
//   scatter   {x, y, size, rows}: titles (of size null if there is none), and rows {run, label, colour,
//             x, y, size}; a click on a dot opens its run
//   parallel  {axes, rows}: titles, and rows {run, label, colour, values}, a value for each axis
//   histogram {x, scale, rows}: a title, "linear", "log" or "text", and rows {label, runs, ends}: from
//             where to where a bar reaches, null if it is that of one value
"use strict";

(() => {
  const { number } = mlgit;
  const { css, tick } = mlgit.charts;

  const isNumber = (value) => typeof value === "number" || typeof value === "bigint";
  const isFinite = (value) => isNumber(value) && Number.isFinite(Number(value));

  /** Returns how values lie along an axis: "text", "log" or "linear"; of numbers also their ends. */
  function scaleOf(values) {
    const here = values.filter((value) => value !== null);
    const numbers = here.filter(isFinite).map(Number);
    if (!numbers.length || here.some((value) => !isNumber(value))) return { kind: "text" };
    numbers.sort((one, other) => one - other);
    const [low, middle, high] = [numbers[0], numbers[numbers.length >> 1], numbers.at(-1)];
    // Learning rates go by their size: on a plain axis most of them would be at its foot.
    const isBent = low > 0 && high / low >= 100 && (middle - low) / (high - low) < 0.2;
    return { kind: isBent ? "log" : "linear", low, high };
  }

  const said = (value) => (isNumber(value) ? number(Number(value), 6) : mlgit.cut(mlgit.whole(value), 60));

  /** Returns what a scale of Vega-Lite needs besides: of what is never negative, no axis goes below zero. */
  function ends({ kind, low, high }) {
    if (kind === "log") return { values: mlgit.charts.decades(low, high) };
    if (kind !== "linear") return {};
    if (low === high) return { domain: mlgit.charts.around(low), padding: 0 };
    const room = 0.3 * (high - low); // more than the padding of a narrow chart
    const isNear = (low >= 0 && low < room) || (high <= 0 && -high < room);
    return isNear ? { zero: true, padding: 0 } : {};
  }

  function scatter({ x, y, size, rows }) {
    const titles = { x, y, ...(size ? { size } : {}) };
    const drawn = rows.map((row, place) => ({ ...row, row: place })).filter((row) => Object.keys(titles).every((part) =>
      row[part] !== null && (!isNumber(row[part]) || isFinite(row[part]))));
    const scales = Object.keys(titles).map((part) => [part, scaleOf(drawn.map((row) => row[part]))]);
    const kinds = Object.fromEntries(scales.map(([part, { kind }]) => [part, kind]));
    const limits = Object.fromEntries(scales.map(([part, scale]) => [part, ends(scale)]));
    const points = drawn.map(({ run, row, colour, ...values }) => ({
      run,
      row,
      colour: css(colour),
      ...Object.fromEntries(Object.keys(titles).map((part) =>
        [part, kinds[part] === "text" ? said(values[part]) : Number(values[part])])),
    }));
    const lines = (value) => {
      const row = rows[Number(value)];
      return [["run", row.label], ...Object.entries(titles).map(([part, title]) => [title, said(row[part])])];
    };
    return { sets: { rows: points }, shape: { titles, kinds, limits }, lines };
  }

  // Words below an axis have as much room as there is for each.
  const ROOM = { labelAngle: 0, labelOverlap: "greedy", labelLimit: { expr: "max(30, width / length(domain('x')) - 8)" } };

  function shapeScatter(spec, { titles, kinds, limits }) {
    const { encoding } = spec;
    for (const part of Object.keys(titles)) {
      const { values, ...bound } = limits[part];
      if (kinds[part] === "text") {
        encoding[part] = { field: part, type: "nominal", axis: { grid: true, ...(part === "x" ? ROOM : {}) } };
      } else if (kinds[part] === "log") {
        Object.assign(encoding[part].scale, { type: "log", nice: false, zero: undefined });
      }
      if (part !== "size" && kinds[part] !== "text") {
        Object.assign(encoding[part].scale, bound);
        const { axis } = encoding[part];
        Object.assign(axis, { labelExpr: mlgit.charts.ticks(), offset: bound.zero ? 8 : 0 });
        if (values) {
          const labelExpr = mlgit.charts.ticks("format(datum.value, '~g')"); // Vega's own leaves some out
          Object.assign(axis, { values, labelExpr, gridOpacity: mlgit.charts.powers });
        }
      }
      encoding[part].title = titles[part];
    }
    if (!titles.size) encoding.size = { value: 70 };
  }

  /** Returns [place from 0 to 1, text] of what stands along an axis, and the place of any value. */
  function axisOf(values) {
    const { kind, low, high } = scaleOf(values);
    if (kind === "text") {
      const texts = [...new Set(values.filter((value) => value !== null).map(said))];
      texts.sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
      const at = new Map(texts.map((text, place) => [text, texts.length > 1 ? place / (texts.length - 1) : 0.5]));
      return { isText: true, ticks: [...at].map(([text, place]) => [place, text]), place: (value) => at.get(said(value)) };
    }
    const bend = kind === "log" ? Math.log : (value) => value;
    const width = bend(high) - bend(low);
    const place = (value) => (isFinite(value) ? (width ? (bend(Number(value)) - bend(low)) / width : 0.5) : null);
    const several = [...new Set(values.filter(isFinite).map(Number))];
    const marks = several.length <= 6 ? several : kind === "log"
      ? mlgit.charts.decades(low, high).filter((value) => value >= low && value <= high) : round(low, high);
    return { ticks: apart(marks.map((value) => [place(value), tick(value)])), place };
  }

  /** Leaves out those ticks whose words would lie on those of one before. */
  function apart(ticks) {
    const kept = [];
    for (const each of [...ticks].sort(([one], [other]) => one - other)) {
      if (!kept.length || each[0] - kept.at(-1)[0] >= 0.06) kept.push(each);
    }
    return kept;
  }

  function round(low, high) {
    const size = 10 ** Math.floor(Math.log10((high - low) / 3));
    const step = [1, 2, 5, 10].map((times) => times * size).findLast((each) => (high - low) / each >= 3);
    const first = Math.ceil(low / step);
    return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, place) => (first + place) * step);
  }

  const unlike = (text, others) => (others.includes(text) ? unlike(`${text} `, others) : text);

  /** Returns a title in lines, broken where names have joints. */
  function lined(title, width = 15, most = 3) {
    const lines = [""];
    for (const piece of title.match(/[^._/\s-]*[._/\s-]?/g).filter(Boolean)) {
      if (lines.at(-1) && lines.at(-1).length + piece.trimEnd().length > width) lines.push("");
      lines.push(lines.pop() + piece);
    }
    const shown = lines.slice(0, most).map((line) => mlgit.cut(line.trimEnd(), width));
    if (lines.length > most) shown.push(`${mlgit.cut(shown.pop(), width - 1).replace(/…$/, "")}…`);
    return shown;
  }

  function parallel({ axes: titles, rows }) {
    const scales = titles.map((_, axis) => axisOf(rows.map((row) => row.values[axis])));
    // Vega knows an axis by what it says; titles that are shortened to the same get spaces.
    const lines = titles.map((title) => lined(title));
    const height = Math.max(...lines.map((each) => each.length));
    const heads = [];
    for (const each of lines) heads.push(unlike([...Array(height - each.length).fill(""), ...each].join("\n"), heads));
    const points = rows.flatMap((row, place) => heads.map((title, axis) => ({
      run: row.run,
      row: place,
      colour: css(row.colour),
      place: axis,
      axis: title,
      off: false,
      at: row.values[axis] === null ? null : scales[axis].place(row.values[axis]),
    })));
    // The share of the chart's width that is to the right of an axis, with the padding of mlgit/site/charts.py.
    const room = (axis) => (axis < heads.length - 1 ? 1 : 0.675) / (heads.length + 0.35);
    const ticks = scales.flatMap((scale, axis) => scale.ticks.map(([at, text]) =>
      ({ axis: heads[axis], at, text, room: scale.isText ? room(axis) : 0 })));
    const told = (value) => {
      const row = rows[Number(value)];
      return [["run", row.label], ...titles.map((title, axis) =>
        [title, row.values[axis] === null ? "-" : said(row.values[axis])])];
    };
    return { sets: { rows: points, ticks, brushes: [] }, shape: { height }, lines: told };
  }

  function shapeParallel(spec, { height }) {
    for (const { mark, encoding } of spec.layer) {
      encoding.x.axis.labelPadding += encoding.x.axis.labelLineHeight * (height - 1); // lines go downwards
      if (mark.type === "text" && !mark.style) mark.fill = css("--ink");
    }
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

  function histogram({ x, scale, rows }) {
    const bars = rows.map(({ label, runs, ends }, row) => ({ row, label, runs, low: ends?.[0], high: ends?.[1] }));
    const lines = (value) => [[x, rows[Number(value)].label], ["runs", mlgit.integer(rows[Number(value)].runs)]];
    const ticks = mlgit.charts.wholes(Math.max(...rows.map((row) => row.runs)));
    return { sets: { rows: bars }, shape: { x, scale, ticks }, lines };
  }

  function shapeHistogram(spec, { x, scale, ticks }) {
    const { encoding } = spec;
    encoding.y.axis.tickCount = ticks;
    if (scale === "text") {
      encoding.x = { field: "label", type: "nominal", sort: null, axis: ROOM, scale: { padding: 0.25 } };
      delete encoding.x2;
    } else if (scale === "log") {
      Object.assign(encoding.x.scale, { type: "log", zero: undefined });
    }
    encoding.x.title = x;
  }

  mlgit.charts.kinds.histogram = { prepare: histogram, adapt: shapeHistogram };
  mlgit.charts.kinds.scatter = { prepare: scatter, adapt: shapeScatter, opens: true };
  mlgit.charts.kinds.parallel = { prepare: parallel, adapt: shapeParallel, start: brushing };
})();
