// The comparison of runs. Which runs, and whether equal fields are shown, stands in the address:
// compare.html#runs=ID,ID&all=1. Instead of an id a name will do, "@best" is the best of the
// experiment of the other runs, and the first run is the one that the others are held against. The run
// behind a version of a model is named as in a terminal: taxi@v2, taxi@production, models:/taxi/2.
//
// What counts as a difference is what `mlgit diff` says: tests/test_site_compare.py holds that.
"use strict";

(() => {
  const { make, state } = mlgit;
  const MOST = 20; // runs beside each other
  const FOUND = 10; // runs offered by the box
  const ASKED = 500; // of an address: each may be a name that is looked for among all runs
  const CURVES = 24; // metrics whose curves are drawn
  const SYSTEM = "system/"; // metrics of the machine: shown, but no difference
  const ID = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/;
  const ABSENT = "-";
  const NULL = new mlgit.Json("null"); // a param that is None, unlike one that a run does not have

  // --- reading ----------------------------------------------------------------------------------

  const entries = (object, read) =>
    new Map(Object.entries(object).map(([key, value]) => [key, read(value)]));

  /** Returns a run with its values decoded and by key, ready to be compared. */
  async function read(page, id) {
    const raw = await mlgit.load(page.dataset.run.replace("ID", id), `run/${id}`);
    const pointers = (list) => new Map(list.map(([name, , hash, size]) => [name, { hash, size }]));
    let environment = new Map();
    if (raw.environment) {
      const source = page.dataset.environment.replace("ID", raw.environment);
      environment = entries(await mlgit.load(source, `environment/${raw.environment}`), mlgit.decode);
    }
    return {
      ...raw,
      label: raw.name || id.slice(0, 10),
      params: entries(raw.params, (value) => mlgit.decode(value) ?? NULL),
      metrics: entries(raw.metrics, (parts) => mlgit.decode(parts[0])),
      tags: entries(raw.tags, mlgit.decode),
      goals: entries(raw.goals, String),
      inputs: pointers(raw.inputs),
      outputs: pointers(raw.outputs),
      packages: environment,
      points: (metric) => mlgit.charts.points(raw, metric),
    };
  }

  /** Returns a column of the table of all runs as plain values. */
  function column(table, key) {
    const found = table.columns.find((each) => each.kind === "attribute" && each.key === key);
    return found.v || found.i.map((place) => (place < 0 ? null : found.d[place]));
  }

  /** Returns all runs of the site, newest first, as far as the box needs them. */
  async function everyRun(page) {
    const table = await mlgit.load(page.dataset.runs, "runs");
    const [ids, names, experiments, started, status] =
      ["id", "name", "experiment", "started", "status"].map((key) => column(table, key));
    return ids.map((id, row) => ({
      id, label: names[row] || id.slice(0, 10), experiment: experiments[row],
      started: started[row], status: status[row],
    }));
  }

  /** Returns the model's name and what is said of the version, as mlgit/registry/find.py does; null of other texts. */
  function version(text) {
    const isUri = text.startsWith("models:/");
    const rest = isUri ? text.slice("models:/".length) : text;
    const at = rest.lastIndexOf(isUri && !rest.includes("@") ? "/" : "@");
    return at < 0 ? null : [rest.slice(0, at), rest.slice(at + 1)];
  }

  /** Returns the id of the run behind a version, or a sentence that says why there is none. */
  function behind(models, [name, said]) {
    const model = models.find(({ title }) => title === name) || models.find(({ names }) => names.includes(name));
    if (!model) return { problem: `There is no model ${name} on this site.` };
    const number = said.replace(/^v/, "");
    const parts = /^\d+(\.\d+)?$/.test(number) ? ".0".repeat(3 - number.split(".").length) : "";
    const known = [said, said.toLowerCase(), `v${number}${parts}`].find((each) => Object.hasOwn(model.runs, each));
    if (known === undefined) return { problem: `The model ${model.title} has no version, stage or alias ${said} that stands.` };
    if (!model.runs[known]) return { problem: `Of ${name}@${said} no run is known.` };
    return { id: model.runs[known] };
  }

  /** Returns the ids that the address means, and what it means nothing by. */
  async function resolve(page, asked) {
    const ids = [];
    const unknown = [];
    const known = await mlgit.load(page.dataset.known, "compare");
    const relative = asked.filter((text) => text.startsWith("@"));
    let every = null;
    for (const text of asked.filter((each) => !each.startsWith("@"))) {
      const run = ID.test(text) ? { id: text } : (every ??= await everyRun(page)).find(
        (each) => each.label === text || (text.length >= 4 && each.id.startsWith(text)));
      const meant = !run && version(text);
      const { id, problem } = run || (meant ? behind(known.models, meant) : { problem: `There is no run ${text} on this site.` });
      if (id) ids.push(id);
      else unknown.push(problem);
    }
    if (relative.length && ids.length) {
      const { experiment } = await read(page, ids[0]).catch(() => ({}));
      for (const text of relative) {
        const best = text === "@best" && Object.hasOwn(known.best, experiment) && known.best[experiment];
        if (!best) unknown.push(`What ${text} is of ${experiment} cannot be told.`);
        else if (best[0] === null) unknown.push(`No run of ${experiment} has finished with a finite ${best[1]}, so none is the best.`);
        else if (ids.includes(best[0])) unknown.push(`This run is the best of ${experiment} by ${best[1]}.`);
        else ids.unshift(best[0]);
      }
    }
    return { ids: [...new Set(ids)], unknown };
  }

  // --- comparing --------------------------------------------------------------------------------

  /** Returns a text that two values share if they are equal: 1 and 1.0 are, NaN and NaN are. */
  function sameness(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return `n${Number.isInteger(value) ? BigInt(value) : value}`;
    if (typeof value === "bigint") return `n${value}`;
    return `${typeof value} ${value}`;
  }
  const differ = (values) => new Set(values.map(sameness)).size > 1;

  /** Returns the fields that one of the runs has, in groups, with the value of each run. */
  function compare(runs) {
    const row = (field, label, get, more = {}) => {
      const values = runs.map(get).map((value) => (value === undefined ? null : value));
      return { field, label, values, differs: differ(values), form: "plain", ...more };
    };
    const keys = (part, of = runs) => [...new Set(of.flatMap((run) => [...run[part].keys()]))].sort();
    const mapped = (part, form) => keys(part).map((key) =>
      row(`${part}.${key}`, key, (run) => run[part].get(key), { form }));
    const pointed = (part) => keys(part).map((key) =>
      row(`${part}.${key}`, key, (run) => run[part].get(key)?.hash,
        { form: "sum", sizes: runs.map((run) => run[part].get(key)?.size) }));
    const metrics = keys("metrics").map((key) => {
      const goal = runs.map((run) => run.goals.get(key)).find(Boolean) || null;
      const found = row(`metrics.${key}`, key, (run) => run.metrics.get(key),
        { form: "metric", goal, statuses: runs.map((run) => run.status) });
      return key.startsWith(SYSTEM) ? { ...found, differs: false } : found;
    });
    return [
      ["Run", [
        row("experiment", "experiment", (run) => run.experiment),
        row("status", "status", (run) => run.status),
        row("duration", "took", (run) => run.duration, { form: "span", goal: null }),
        row("user", "by", (run) => run.by),
      ]],
      ["Metrics", metrics],
      ["Params", mapped("params", "plain")],
      ["Tags", mapped("tags", "plain")],
      ["Inputs", pointed("inputs")],
      ["Outputs", pointed("outputs")],
      ["Code", [
        row("branch", "branch", (run) => run.branch),
        row("commit", "commit", (run) => run.commit, { form: "sum" }),
        row("snapshot", "uncommitted work", (run) => run.snapshot, { form: "sum" }),
        row("arguments", "arguments", (run) => run.arguments),
      ]],
      ["Environment", environments(runs, row, keys)],
    ].map(([name, rows]) => ({ name, rows: rows.filter((each) => each.values.some((v) => v !== null)) }));
  }

  /** A run that recorded no environment differs in that one thing, not in every package. */
  function environments(runs, row, keys) {
    const known = runs.filter((run) => run.packages.size);
    const whole = row("environment", "environment", (run) => run.environment, { form: "sum" });
    whole.differs = known.length > 0 && known.length < runs.length;
    const parts = keys("packages", known).map((key) =>
      row(`environment.${key}`, key.replace(/^packages\./, ""), (run) => run.packages.get(key),
        { differs: differ(known.map((run) => run.packages.get(key))) }));
    return [whole, ...parts];
  }

  /** Returns the places of the best values; none if they are all alike, or no way is better. */
  function best(row) {
    if (!row.goal) return [];
    const numbers = row.values.map((value, place) => (mlgit.mayBeBest(row.statuses[place], value) ? value : NaN));
    const finite = numbers.filter(Number.isFinite);
    const target = row.goal === "min" ? Math.min(...finite) : Math.max(...finite);
    const places = numbers.flatMap((value, place) => (value === target ? [place] : []));
    return finite.length > 1 && places.length < finite.length ? places : [];
  }

  /** Returns how many decimals a row of numbers needs, as tables.decimals of mlgit/site does. */
  function decimals(values) {
    const finite = values.filter(Number.isFinite).map(Math.abs);
    if (!finite.length || finite.every(Number.isInteger)) return finite.length ? 0 : null;
    const most = Math.max(...finite);
    const least = Math.min(...finite.filter(Boolean));
    if (most >= 1e12 || least < most / 1e12) return null;
    const places = Math.max(0, 3 - Math.floor(Math.log10(most)));
    if (least < 10 ** (1 - places) || places > 8) return null;
    const needed = (value) => (String(value).includes("e") ? 9 : (String(value).split(".")[1] || "").length);
    return Math.min(places, Math.max(...finite.map(needed)));
  }

  // --- showing ----------------------------------------------------------------------------------

  const colour = (place) => `var(--c${place % 10})`;
  const text = (value) => (typeof value === "number" ? mlgit.number(value) : mlgit.whole(value));

  function dot(place) {
    const found = make("span", { class: "dot", "aria-hidden": "true" });
    found.style.background = colour(place);
    return found;
  }

  /** Returns by how much a number is above or below the baseline's, with words for it. */
  function delta(row, value, digits) {
    const base = row.values[0];
    if (typeof value !== "number" || typeof base !== "number" || value === base) return null;
    const change = value - base;
    if (!Number.isFinite(change)) return null;
    const shown = row.form === "span" ? mlgit.span(Math.abs(change)) : mlgit.decimal(Math.abs(change), digits);
    const is_better = row.goal && (row.goal === "min") === (change < 0);
    const share = base ? `, ${mlgit.number(Math.abs((100 * change) / base), 3)} %` : "";
    const word = row.goal ? (is_better ? "better" : "worse") : change < 0 ? "less" : "more";
    return make("small", {
      class: `delta ${row.goal ? word : ""}`, title: `${word} than the first run by ${text(Math.abs(change))}${share}`,
    }, `${change < 0 ? "−" : "+"}${shown}`);
  }

  function cell(row, place, marked, digits) {
    const value = row.values[place];
    const isSame = place > 0 && sameness(value) === sameness(row.values[0]);
    const attributes = { class: [row.form, isSame && "same", value === NULL && "null"].filter(Boolean).join(" ") };
    if (value === null) return make("td", { class: `${attributes.class} absent` }, ABSENT);
    if (row.form === "sum") {
      const size = row.sizes && row.sizes[place];
      const isAddress = String(value).includes("://");
      const shown = isAddress ? mlgit.cut(mlgit.whole(value), 60) : String(value).slice(0, 10);
      return make("td", attributes, make("code", { title: mlgit.whole(value) }, shown),
        typeof size === "number" ? make("small", {}, mlgit.size(size)) : null);
    }
    if (row.form === "span" || row.form === "metric") {
      const shown = row.form === "span" ? mlgit.span(value) : mlgit.decimal(value, digits);
      const isBest = marked.includes(place);
      return make("td", attributes,
        make("span", { class: isBest && "best", title: mlgit.whole(value) }, shown,
          isBest ? make("span", { class: "sr" }, " the best") : null),
        place ? delta(row, value, digits) : null);
    }
    const shown = mlgit.cut(text(value), 120);
    const whole = mlgit.cut(mlgit.whole(value), 2000);
    return make("td", attributes, make("bdi", { title: shown !== whole && whole }, shown));
  }

  function line(row) {
    const marked = best(row);
    const digits = row.form === "metric" ? decimals(row.values.filter((v) => typeof v === "number")) : null;
    return make("tr", { "data-field": row.field },
      make("th", { scope: "row" }, make("bdi", { title: row.label.length > 60 && row.label }, ...mlgit.jointed(mlgit.cut(mlgit.harmless(row.label), 60)))),
      ...row.values.map((_, place) => cell(row, place, marked, digits)));
  }

  function head(page, run, place, change) {
    const time = make("time", { datetime: run.started }, run.started.slice(0, 16).replace("T", " "));
    const known = ["finished", "failed", "interrupted", "running"].includes(run.status);
    const label = mlgit.cut(mlgit.harmless(run.label), 60);
    return make("th", { scope: "col" },
      make("div", { class: "who" }, dot(place),
        make("a", { href: page.dataset.page.replace("ID", run.id) }, make("bdi", {}, label)),
        make("button", { type: "button", class: "takeout", "aria-label": `Take ${label} out`, title: "Take out", onclick: () => change.drop(run.id) }, "×")),
      make("p", {}, make("span", { class: `status ${known ? run.status : "other"}` }, mlgit.harmless(run.status)),
        run.deleted ? make("span", { class: "tag" }, "deleted") : null),
      make("p", {}, make("bdi", {}, mlgit.cut(mlgit.harmless(run.experiment), 60))),
      make("p", {}, time, " · ", make("bdi", {}, mlgit.cut(mlgit.harmless(run.by), 40))),
      make("p", {}, place === 0
        ? make("span", { class: "tag" }, "baseline")
        : make("button", { type: "button", class: "link", onclick: () => change.first(run.id) }, "make it the baseline")));
  }

  /** The last line of the code's: what git says of the difference to the baseline. */
  function codeLine(runs, differences) {
    const code = (run) => run.code || run.snapshot || run.commit;
    const base = code(runs[0]);
    if (!base || !runs.some((run) => code(run) && code(run) !== base)) return null;
    const change = (run) => {
      if (!code(run)) return make("td", { class: "absent" }, ABSENT);
      if (code(run) === base) return make("td", { class: "same" }, "nothing");
      if (Object.hasOwn(differences, run.code)) return make("td", {}, make("a", { href: differences[run.code] }, "the difference"));
      const command = `mlgit diff ${runs[0].id.slice(0, 10)} ${run.id.slice(0, 10)} --code`;
      const button = make("button", { type: "button", class: "copy", "aria-label": "Copy the command", onclick: async () => {
        await mlgit.copy(command);
        button.textContent = "Copied";
      } }, "Copy");
      return make("td", {}, make("div", { class: "command-of" }, make("code", { tabindex: "0" }, command), button));
    };
    return make("tr", { class: "changed" }, make("th", { scope: "row" }, "what changed"), make("td", {}), ...runs.slice(1).map(change));
  }

  /** Returns where the differences of a run's code to other code have pages, by git tree. */
  async function differencesOf(page, run) {
    if (!run || !run.code) return {};
    const found = await mlgit.load(page.dataset.code.replace("ID", run.code), `code/${run.code}`);
    return found.differences;
  }

  function table(page, runs, groups, differences, all, change) {
    const bodies = groups.map(({ name, rows }) => {
      const shown = rows.filter((row) => all || row.differs);
      if (!shown.length) return null;
      const count = all ? "" : `${shown.length} of ${rows.length}`;
      return make("tbody", {},
        make("tr", { class: "group" }, make("th", { scope: "rowgroup", colspan: runs.length + 1 }, make("span", {}, name, make("small", {}, count)))),
        ...shown.map(line), name === "Code" ? codeLine(runs, differences) : null);
    });
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Comparison" },
      make("table", { class: "compare" },
        make("thead", {}, make("tr", {}, make("td", {}), ...runs.map((run, place) => head(page, run, place, change)))),
        ...bodies.filter(Boolean)));
  }

  // --- curves -----------------------------------------------------------------------------------

  /** Returns a chart for every metric that one of the runs has a curve of, with a line for each run. */
  function curves(runs) {
    const metrics = [...new Set(runs.flatMap((run) => Object.keys(run.curves)))]
      .filter((key) => !key.startsWith(SYSTEM)).sort().slice(0, CURVES);
    if (!metrics.length) return [];
    const figures = metrics.map((metric) => {
      const plot = make("div", { class: "plot" });
      mlgit.charts.draw(plot, "curves", () => runs.flatMap((run, place) =>
        run.points(metric).map((point) => ({ ...point, colour: `--c${place % 10}` }))), { label: `The curves of ${metric}` });
      return make("figure", { class: "chart" },
        make("figcaption", {}, make("bdi", {}, mlgit.cut(mlgit.harmless(metric), 60))), plot);
    });
    const key = (run, place) => make("li", {}, dot(place), " ", make("bdi", {}, mlgit.cut(mlgit.harmless(run.label), 40)));
    return [
      make("h2", {}, "Curves"),
      make("ul", { class: "plain runs-legend" }, ...runs.map(key)),
      mlgit.charts.controls(), make("div", { class: "charts" }, ...figures),
    ];
  }

  // --- finding runs -----------------------------------------------------------------------------

  /** A box that finds runs by name, experiment or id, and adds the one that is taken. */
  function box(page, add) {
    const list = make("ul", { role: "listbox", id: "found", "aria-label": "Runs", hidden: true });
    const input = make("input", {
      type: "search", id: "find", placeholder: "Name, experiment or id", autocomplete: "off", spellcheck: "false",
      role: "combobox", "aria-expanded": "false", "aria-controls": "found", "aria-autocomplete": "list",
    });
    let active = -1;
    const close = () => {
      list.hidden = true;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
      active = -1;
    };
    const take = (id) => { input.value = ""; close(); add(id); };
    const mark = (place) => {
      active = place;
      [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === place)));
      if (place >= 0) {
        input.setAttribute("aria-activedescendant", list.children[place].id);
        list.children[place].scrollIntoView({ block: "nearest" });
      }
    };
    const open = async () => {
      const every = await everyRun(page).catch(() => []);
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const there = new Set(asked());
      const found = every.filter((run) => {
        const told = `${run.label} ${run.experiment}`.toLowerCase();
        return !there.has(run.id) && words.every((word) => told.includes(word) || run.id.startsWith(word));
      }).slice(0, FOUND);
      list.replaceChildren(...found.map((run, place) => make("li", {
        role: "option", id: `found-${place}`, "aria-selected": "false", "data-id": run.id,
        onmousedown: (event) => { event.preventDefault(); take(run.id); },
      }, make("b", {}, make("bdi", {}, mlgit.cut(mlgit.harmless(run.label), 50))),
        make("small", {}, make("bdi", {}, mlgit.cut(mlgit.harmless(run.experiment), 40)), " · ", mlgit.ago(new Date(run.started))))));
      list.hidden = !found.length;
      input.setAttribute("aria-expanded", String(found.length > 0));
      mark(-1);
    };
    input.addEventListener("input", open);
    input.addEventListener("focus", open);
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      const count = list.children.length;
      if (event.key === "Escape") close();
      else if (event.key === "Enter" && !list.hidden) take(list.children[Math.max(active, 0)].dataset.id);
      else if (event.key === "ArrowDown" && list.hidden) open();
      else if (event.key === "ArrowDown") mark((active + 1) % count);
      else if (event.key === "ArrowUp" && count) mark((active - 1 + count) % count);
      else return;
      event.preventDefault();
    });
    return make("div", { class: "find" }, make("label", { for: "find" }, "Add a run"), input, list);
  }

  /** Buttons for the runs that the first one is mostly compared with. */
  function offers(runs, known, add) {
    const there = new Set(runs.map((run) => run.id));
    const base = runs[0];
    const best = base && Object.hasOwn(known.best, base.experiment) ? known.best[base.experiment] : null;
    const found = base ? [
      ["the one before", base.older], ["what it is part of", base.parent],
      [best && `the best by ${mlgit.cut(mlgit.harmless(best[1]), 40)}`, best && best[0]],
    ] : [];
    return found.filter(([, id]) => id && !there.has(id)).map(([label, id]) =>
      make("button", { type: "button", onclick: () => add(id) }, `+ ${label}`));
  }

  // --- the page ---------------------------------------------------------------------------------

  const asked = () => [...new Set((state.get("runs") || "").split(",").map((text) => text.trim()).filter(Boolean))].slice(0, ASKED);

  function start() {
    const page = document.querySelector(".comparison");
    const tools = make("div", { class: "tools" });
    const told = make("p", { class: "quiet", role: "status" });
    const place = make("div", {});
    const below = make("section", { "aria-label": "Curves" });
    let drawn = "";
    const quick = make("span", { class: "offers" });
    const toggle = make("input", { type: "checkbox", id: "all" });
    const set = (ids) => { state.set("runs", ids.join(",")); draw(); };
    const change = {
      add: (id) => set([...asked(), id]),
      drop: (id) => set(asked().filter((each) => each !== id)),
      first: (id) => set([id, ...asked().filter((each) => each !== id)]),
    };
    toggle.addEventListener("change", () => { state.set("all", toggle.checked ? "1" : ""); draw(); });
    tools.append(box(page, change.add), quick);
    const tally = make("div", { class: "tally" }, told, make("label", { class: "switch" }, toggle, "show equal fields too"));
    page.replaceChildren(tools, tally, place, below);

    let latest = 0;
    async function draw() {
      const mine = ++latest;
      const { ids, unknown } = await resolve(page, asked());
      if (ids.length > MOST) unknown.push(`Only the first ${MOST} of ${ids.length} runs are shown.`);
      const loaded = await Promise.all(ids.slice(0, MOST).map((id) => read(page, id).catch(() => {
        unknown.push(`The run ${id.slice(0, 10)} is not on this site.`);
        return null;
      })));
      const known = await mlgit.load(page.dataset.known, "compare");
      const runs = loaded.filter(Boolean);
      const differences = await differencesOf(page, runs[0]);
      if (mine !== latest) return; // the address has changed meanwhile
      const all = state.get("all") === "1";
      if (asked().some((text) => !ID.test(text)) && !unknown.length) state.set("runs", ids.join(","));
      toggle.checked = all;
      toggle.parentElement.hidden = runs.length < 2;
      document.title = `${runs.length ? runs.map((run) => run.label).join(", ") : "Compare runs"}`.slice(0, 100);
      const groups = runs.length ? compare(runs) : [];
      const rows = groups.flatMap((group) => group.rows);
      const count = rows.filter((row) => row.differs).length;
      const summary = runs.length === 0 ? "Choose the runs to compare."
        : runs.length === 1 ? "Add a second run to compare it with."
          : count ? `${count} of ${rows.length} recorded fields differ.` : "The runs differ in nothing that was recorded.";
      told.replaceChildren(...unknown.map((problem) => make("span", { class: "banner" }, mlgit.harmless(mlgit.cut(problem)))), summary);
      const wasHere = [quick, place].some((each) => each.contains(document.activeElement));
      quick.replaceChildren(...offers(runs, known, change.add));
      place.replaceChildren(runs.length ? table(page, runs, groups, differences, runs.length > 1 && all, change) : "");
      // The button that was pressed is no more.
      if (wasHere) (place.firstElementChild || tools.querySelector("input")).focus({ preventScroll: true });
      mlgit.tell(place);
      if (drawn !== ids.join()) below.replaceChildren(...curves(runs));
      drawn = ids.join();
    }
    state.follow(draw);
    draw();
  }

  document.addEventListener("DOMContentLoaded", start);
})();
