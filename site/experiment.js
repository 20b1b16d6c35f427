// The page of an experiment below its table: curves of some of its runs, runs as dots and as lines
// across axes. All of it follows the table's filter, selection and colours ("mlgit:rows").
"use strict";

(() => {
  const { counted, make, state } = mlgit;
  const root = document.documentElement.dataset.root;

  const CURVES = 10; // runs whose curves are shown if none is selected
  const MOST = 20; // if some are
  const LINES = 300; // runs across axes
  const DOTS = 5000;
  const AXES = 7;
  const TEXTS = 24; // different ones that an axis may have

  const named = (column) => `${column.kind}s.${column.key}`;
  const title = (column) => mlgit.cut(mlgit.harmless(column.key), 60);
  const isSystem = (column) => column.kind === "metric" && column.key.startsWith("system/");

  /** Returns a function that works out once what it returns of an object. */
  function once(act) {
    const known = new WeakMap();
    return (of) => {
      if (!known.has(of)) known.set(of, act(of));
      return known.get(of);
    };
  }

  /** Returns the values of a column that a chart can place: numbers and short texts. */
  const placed = once((column) => mlgit.columns.values(column).map((found) =>
    (found === null || typeof found === "object" || (typeof found === "number" && !Number.isFinite(found)) ? null
      : typeof found === "boolean" ? String(found) : found)));

  const isText = (found) => typeof found === "string";

  /** Returns the columns worth an axis: metrics, and params that vary and are not all different texts. */
  const fields = once((data) => data.columns.filter((column) => {
    if ((column.kind !== "metric" && column.kind !== "param") || !column.varies || isSystem(column)) return false;
    const here = placed(column).filter((found) => found !== null);
    const texts = new Set(here.filter(isText));
    return here.some((found) => found !== here[0]) && (texts.size <= TEXTS && texts.size < Math.max(3, here.length));
  }));

  /** Returns a choice among columns, params and metrics apart; `none` is a choice of no column. */
  function choice(label, columns, chosen, change, none = null) {
    const groups = [["param", "params"], ["metric", "metrics"]].map(([kind, name]) =>
      [name, columns.filter((column) => column.kind === kind)]);
    const option = (column) =>
      make("option", { value: named(column), selected: column === chosen }, title(column));
    const select = make("select", { "aria-label": label, onchange: () => change(select.value) },
      none === null ? null : make("option", { value: "" }, none),
      ...groups.filter(([, each]) => each.length).map(([name, each]) => make("optgroup", { label: name }, ...each.map(option))));
    return make("label", {}, label, select);
  }

  const picked = (columns, key, fallback) =>
    columns.find((column) => named(column) === state.get(key)) ?? fallback ?? null;

  function section(name, heading) {
    const tools = make("div", { class: "controls" });
    const about = make("p", { class: "quiet" });
    const body = make("div", { class: `large ${name}` });
    const whole = make("section", { class: "panel exploring", "aria-labelledby": `${name}-head`, hidden: true },
      make("div", { class: "panel-head" }, make("h2", { id: `${name}-head` }, heading), about), tools, body);
    return { whole, tools, about, body };
  }

  /** Returns a function that draws a chart, or brings the one it drew up to date. */
  function chart(element, kind, label) {
    let drawing = null;
    return (data) => {
      if (drawing) drawing.then((made) => made.update(data));
      else drawing = mlgit.charts.draw(element, kind, data, { label });
    };
  }

  // --- curves -----------------------------------------------------------------------------------

  function curves(host) {
    const { whole, tools, about, body } = section("curves", "Curves");
    const legend = make("ul", { class: "plain runs-legend" });
    body.after(legend);
    const draw = chart(body, "curves", "Curves of runs");
    let shown = "";

    /** Returns the runs whose curves are shown: the selected, else the best, else the first. */
    function some(told, metric) {
      const at = new Map(told.ids.map((id, position) => [id, position]));
      const has = (position) => mlgit.columns.value(metric, position) !== null;
      const chosen = told.selected.map((id) => at.get(id)).filter(has);
      if (chosen.length) return [chosen.slice(0, MOST), counted(Math.min(MOST, chosen.length), "selected run")];
      const mine = told.rows.filter(has);
      const best = mlgit.columns.find(told.data, { kind: "metric", key: host.dataset.metric });
      if (!best || !host.dataset.goal) return [mine.slice(0, CURVES), `the first ${CURVES} of the table`];
      const sign = host.dataset.goal === "max" ? -1 : 1;
      const statuses = mlgit.columns.values(mlgit.columns.find(told.data, { kind: "attribute", key: "status" }));
      const measured = mlgit.columns.values(best).map((found, position) =>
        (mlgit.mayBeBest(statuses[position], found) ? sign * found : Infinity));
      const ordered = [...mine].sort((one, other) => measured[one] - measured[other] || 0);
      const count = mine.filter((position) => measured[position] < Infinity).length;
      if (!count) return [ordered.slice(0, CURVES), `the first ${CURVES} of the table`];
      const others = count < CURVES ? ", and the first of the others" : "";
      return [ordered.slice(0, CURVES), `the best ${Math.min(count, CURVES)} by ${title(best)}${others}`];
    }

    function refresh(told) {
      const metrics = told.data.columns.filter((column) =>
        column.kind === "metric" && !isSystem(column) && long(column));
      whole.hidden = !metrics.length;
      if (whole.hidden) return;
      const preferred = metrics.find((column) => column.key === host.dataset.metric) ?? metrics[0];
      const metric = picked(metrics, "curve", preferred);
      const [positions, which] = some(told, metric);
      const isOwn = told.selected.length > 0 || state.get("colour");
      const runs = positions.map((position, place) => ({
        id: told.ids[position],
        label: told.label(position),
        value: mlgit.number(mlgit.columns.value(metric, position)),
        colour: isOwn ? told.colour(position) : `--c${place % 10}`,
      }));
      const wanted = JSON.stringify([named(metric), runs]);
      if (wanted === shown) return;
      shown = wanted;
      about.textContent = positions.length < CURVES && !told.selected.length ? "" : which;
      tools.replaceChildren(
        choice("metric", metrics, metric, (name) => { state.set("curve", name); refresh(told); }),
        ...mlgit.charts.controls().childNodes);
      legend.replaceChildren(...runs.map((run) => {
        const swatch = make("i", {});
        swatch.style.background = run.colour.startsWith("--") ? `var(${run.colour})` : run.colour;
        return make("li", {}, swatch, make("a", { href: `${root}runs/${run.id}.html` }, make("bdi", {}, run.label)),
          make("span", { class: "quiet" }, run.value));
      }));
      draw(async () => {
        // A run whose data cannot be had is left out; the others are shown.
        const found = await Promise.all(runs.map((run) =>
          mlgit.load(`${root}data/runs/${run.id}.js`, `run/${run.id}`).catch(() => null)));
        const rows = found.flatMap((run, place) => (run === null ? []
          : mlgit.charts.points(run, metric.key, runs[place].label)
            .map((point) => ({ ...point, colour: runs[place].colour }))));
        whole.hidden = !rows.length;
        return rows;
      });
    }
    return { whole, refresh };
  }

  /** Tells whether a metric of some run has more than one point. */
  const long = (column) => (Array.isArray(column.count) ? column.count.some((count) => count > 1)
    : (column.count ?? column.v.find((each) => each !== null) ?? 1) > 1);

  // --- one value against another ------------------------------------------------------------------

  function scatter(host, order) {
    const { whole, tools, about, body } = section("scatter", "Scatter");
    const draw = chart(body, "scatter", "Runs by two of their values");

    function refresh(told) {
      const columns = fields(told.data);
      const params = ordered(columns, order);
      const metrics = columns.filter((column) => column.kind === "metric");
      whole.hidden = told.data.rows < 3 || !told.rows.length || columns.length < 2 || !metrics.length;
      if (whole.hidden) return;
      const best = metrics.find((column) => column.key === host.dataset.metric) ?? metrics[0];
      const y = picked(columns, "y", best);
      const x = picked(columns, "x", [...params, ...metrics].find((column) => column !== y));
      const numbers = columns.filter((column) => column.number);
      const size = picked(numbers, "size", null);
      const tint = picked(columns, "tint", null);
      const pick = (key) => (name) => { state.set(key, name); refresh(told); };
      tools.replaceChildren(
        choice("across", columns, x, pick("x")), choice("up", columns, y, pick("y")),
        choice("colour", columns, tint, pick("tint"), "as in the table"), choice("size", numbers, size, pick("size"), "all the same"));
      const [across, up, large] = [x, y, size].map((column) => column && placed(column));
      const shade = shades(told, tint);
      const rows = told.rows.slice(0, DOTS).map((position) => ({
        run: told.ids[position], label: told.label(position), colour: shade(position),
        x: across[position], y: up[position], ...(large ? { size: large[position] } : {}),
      }));
      about.textContent = told.rows.length > DOTS ? `the first ${counted(DOTS, "run")} of the table` : "";
      draw({ x: title(x), y: title(y), size: size && title(size), rows });
    }
    return { whole, refresh };
  }

  /** Returns a function that gives a run its colour: by a column, else as in the table. */
  function shades(told, column) {
    if (column) return mlgit.columns.colours(column, "last").of;
    if (state.get("colour")) return told.colour;
    const selected = new Set(told.selected);
    if (!selected.size) return () => "--mark";
    return (position) => (selected.has(told.ids[position]) ? told.colour(position) : "--strong-line");
  }

  /** Returns the params, those first that tell most of the metric. */
  function ordered(columns, order) {
    const place = (column) => (order.includes(column.key) ? order.indexOf(column.key) : order.length);
    return columns.filter((column) => column.kind === "param").sort((one, other) => place(one) - place(other));
  }

  // --- all at once --------------------------------------------------------------------------------

  function parallel(host, order) {
    const { whole, tools, about, body } = section("parallel", "Parallel coordinates");
    tools.remove();
    const scroll = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Runs across axes" });
    body.replaceWith(scroll);
    scroll.append(body);
    const draw = chart(body, "parallel", "Runs as lines across their params and the metric");
    let said = "";
    let count = 0;
    body.addEventListener("mlgit:brush", ({ detail }) => {
      about.textContent = detail ? `${detail.length} of ${counted(count, "run")}` : said;
    });

    function refresh(told) {
      const columns = fields(told.data);
      const params = ordered(columns, order);
      const metrics = columns.filter((column) => column.kind === "metric");
      const best = metrics.find((column) => column.key === host.dataset.metric) ?? metrics[0];
      whole.hidden = told.rows.length < 3 || params.length < 2 || !best;
      if (whole.hidden) return;
      const axes = [...params.slice(0, AXES - 1), best];
      const found = axes.map(placed);
      const isOwn = told.selected.length > 0 || state.get("colour");
      const shade = shades(told, isOwn ? null : best);
      const rows = told.rows.slice(0, LINES).map((position) => ({
        run: told.ids[position], label: told.label(position), colour: shade(position),
        values: found.map((each) => each[position]),
      }));
      count = rows.length;
      said = [
        matchMedia("(any-pointer: fine)").matches ? "drag along an axis to pick runs" : "", // a finger scrolls
        told.rows.length > LINES ? `the first ${counted(LINES, "run")} of the table` : "",
        params.length > AXES - 1 ? `${AXES - 1} of ${params.length} params` : "",
      ].filter(Boolean).join(" · ");
      about.textContent = said;
      draw({ axes: axes.map(title), rows });
    }
    return { whole, refresh };
  }

  // --- the page -----------------------------------------------------------------------------------

  const host = document.querySelector(".explore");
  if (!host) return;
  const order = JSON.parse(host.dataset.params);
  const parts = [curves(host), scatter(host, order), parallel(host, order)];
  host.append(...parts.map((part) => part.whole));

  document.addEventListener("mlgit:rows", ({ detail }) => {
    const names = mlgit.columns.values(mlgit.columns.find(detail.data, { kind: "attribute", key: "name" }));
    const ids = mlgit.columns.values(mlgit.columns.find(detail.data, { kind: "attribute", key: "id" }));
    const label = (position) => mlgit.cut(mlgit.harmless(names[position] ?? ids[position].slice(0, 10)), 60);
    for (const part of parts) part.refresh({ ...detail, ids, label });
  });
})();
