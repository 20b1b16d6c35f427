// What stands around the table of runs: the filter, the menus for columns and view, the legend,
// and the bar of the selected runs. It holds no state: it asks the table, and tells it.
"use strict";

(() => {
  const { counted, make } = mlgit;
  const { spelled } = mlgit.query;
  const { find, value } = mlgit.columns;

  const KINDS = [["attribute", "About the run"], ["metric", "Metrics"], ["param", "Params"], ["tag", "Tags"]];
  const APPLY = 120; // milliseconds after the last key until a condition is tried
  const COMPLAIN = 700; // and until it is said that it cannot be read
  const ASKED = 300; // runs whose values make an example: of all of them the table would come later

  /** Returns a condition that these runs could be asked, to show how one looks. */
  function example(table) {
    const { data, element } = table;
    const of = (kind, isFit) => data.columns.find((column) => column.kind === kind && column.varies && isFit(column));
    const middle = (column) => {
      const some = Array.from({ length: Math.min(data.rows, ASKED) }, (_, position) => value(column, position));
      const found = some.filter((each) => typeof each === "number" && Number.isFinite(each)).sort((a, b) => a - b);
      return found[Math.floor(found.length / 2)];
    };
    const parts = [];
    const wanted = element.dataset.metric;
    const metric = of("metric", (column) => (wanted ? column.key === wanted : column.number && !column.key.startsWith("system/")));
    if (metric && metric.number) parts.push(`${spelled({ ...metric, part: "" })} < ${mlgit.number(middle(metric), 3)}`);
    const param = of("param", (column) => column.key.length < 20 && (column.number || column.d));
    if (param) {
      const given = param.number ? mlgit.number(middle(param), 4) : param.d[0];
      const isBare = param.number || /^[a-z][\w-]*$/i.test(given);
      parts.push(`${spelled({ ...param, part: "" })} = ${isBare ? given : mlgit.query.quoted(given)}`);
    }
    return mlgit.cut(mlgit.harmless(parts.join(" and ") || "status = finished and duration > 60"), 70);
  }

  /** Puts the tools around a table; returns how the table makes them say what is new. */
  mlgit.tools = function tools(table) {
    const { element, data } = table;
    const base = element.dataset.name;

    // --- the filter ---------------------------------------------------------------------------

    const refused = make("div", { class: "refused", id: `${base}-refused`, role: "alert" });
    refused.hidden = true;
    const input = make("input", {
      type: "search", spellcheck: "false", autocomplete: "off", autocapitalize: "none", enterkeyhint: "search",
      placeholder: example(table), "aria-label": "Only runs for which this holds", "aria-describedby": refused.id,
    });
    let timers = [];
    const hush = () => { for (const timer of timers) clearTimeout(timer); };

    /** Filters by what is typed, if it can be read; returns the error if not. */
    function apply() {
      try {
        table.setWhere(input.value);
      } catch (error) {
        if (!(error instanceof mlgit.query.QueryError)) throw error;
        return error;
      }
      refuse(null);
      return null;
    }

    function refuse(error) {
      hush();
      refused.hidden = !error;
      input.setAttribute("aria-invalid", String(Boolean(error)));
      if (!error) return refused.replaceChildren();
      const { text, at } = error;
      const end = Math.min(text.length, at + Math.max(1, (/^[\p{L}\p{N}_./-]+/u.exec(text.slice(at)) || [""])[0].length));
      const start = Math.max(0, at - 60);
      refused.replaceChildren(
        make("code", {}, mlgit.harmless(text.slice(start, at)), make("mark", {}, mlgit.harmless(text.slice(at, end)) || " "), mlgit.harmless(text.slice(end, end + 30))),
        make("p", {}, mlgit.harmless(error.message)),
        error.hint ? make("p", { class: "quiet" }, mlgit.harmless(error.hint)) : "",
        ...suggestion(text));
      return undefined;
    }

    /** Returns a button for those who typed what they look for as it is. */
    function suggestion(text) {
      const words = text.trim();
      if (!words || words.length > 60 || /[=<>!()'"`]/.test(words)) return [];
      const button = make("button", { type: "button", class: "quiet-button" }, `Runs whose name contains “${mlgit.harmless(words)}”`);
      button.addEventListener("click", () => {
        input.value = `name like ${mlgit.query.quoted(`%${words}%`)}`;
        apply();
        input.focus();
      });
      return [button];
    }

    input.addEventListener("input", () => {
      hush();
      timers = [
        setTimeout(apply, APPLY),
        setTimeout(() => refuse(apply()), COMPLAIN),
      ];
    });
    input.addEventListener("change", () => refuse(apply()));
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") refuse(apply());
      if (event.key === "Escape" && input.value) {
        input.value = "";
        refuse(apply());
      }
    });

    // --- menus --------------------------------------------------------------------------------------

    const columns = menu("Columns", fillColumns);
    const view = menu("View", fillView);

    /** Makes a button and the sheet that it opens. */
    function menu(name, fill) {
      const id = `${base}-${name.toLowerCase()}`;
      const sheet = make("div", { class: "sheet", id, role: "group", "aria-label": name });
      sheet.hidden = true;
      const button = make("button", { type: "button", class: "menu", "aria-expanded": "false", "aria-controls": id }, name);
      const box = make("div", { class: "menu-box" }, button, sheet);
      const show = (isOn) => {
        sheet.hidden = !isOn;
        button.setAttribute("aria-expanded", String(isOn));
        if (isOn) fill(sheet);
      };
      button.addEventListener("click", () => show(sheet.hidden));
      box.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || sheet.hidden) return;
        show(false);
        button.focus();
      });
      document.addEventListener("pointerdown", (event) => { if (!box.contains(event.target)) show(false); });
      return box;
    }

    let arrange = () => {}; // brings the sheet of columns, once it was opened, up to date

    function fillColumns(sheet) {
      const search = make("input", { type: "search", placeholder: "Find a column", "aria-label": "Find a column" });
      const moved = make("p", { class: "sr", role: "status" });
      let there = table.columns.slice(1).map(({ column, field }) => entry(column, field, moved));
      const lists = KINDS.map(([kind, name]) => {
        const isWorth = ({ key, varies }) => kind !== "attribute" || (varies && key !== "name");
        const fields = data.columns.filter((column) => column.kind === kind && isWorth(column))
          .map((column) => [column, { kind, key: column.key, part: kind === "metric" ? "last" : "" }]);
        return [name, fields.filter(([, field]) => table.place(field) < 0).map(([column, field]) => entry(column, field, moved))];
      });
      const every = [["In the table, from the left", there], ...lists].filter(([, entries]) => entries.length);
      const sections = every.map(([name, entries]) =>
        make("section", {}, make("h3", {}, name), make("ul", { class: "plain" }, ...entries.map(({ item }) => item))));
      arrange = () => {
        if (sheet.hidden) return;
        for (const [, entries] of every) for (const each of entries) each.follow();
        // What was taken out stays where it is until the sheet is opened again.
        const place = ({ field }) => table.place(field);
        const shown = there.filter((each) => place(each) > 0).sort((one, other) => place(one) - place(other));
        there = there.map((each) => (place(each) > 0 ? shown.shift() : each));
        const list = sections[0].querySelector("ul");
        if (there.every(({ item }, at) => item === list.children[at])) return;
        const focused = document.activeElement;
        list.replaceChildren(...there.map(({ item }) => item));
        if (list.contains(focused)) focused.focus();
      };
      arrange();
      search.addEventListener("input", () => {
        const wanted = search.value.trim().toLowerCase();
        for (const item of sheet.querySelectorAll("li")) item.hidden = !item.dataset.key.includes(wanted);
        for (const list of sheet.querySelectorAll("section")) list.hidden = !list.querySelector("li:not([hidden])");
      });
      const reset = make("button", { type: "button", class: "quiet-button" }, "Show those that vary");
      reset.addEventListener("click", () => {
        table.setPinned([]);
        table.setColumns(table.default);
        fillColumns(sheet);
      });
      sheet.replaceChildren(search, make("div", { class: "lists" }, ...sections), moved, make("div", { class: "foot" }, reset));
      search.focus();
    }

    /** Makes the line of a column: its `item`, and `follow`, which shows what the table shows. */
    function entry(column, field, moved) {
      const { isSame } = mlgit.table;
      const label = mlgit.harmless(column.key) + (["", "last"].includes(field.part) ? "" : ` ${field.part}`);
      const without = (fields) => fields.filter((each) => !isSame(each, field));
      const isPinned = () => table.pinned.some((each) => isSame(each, field));
      const isShown = () => table.shown.some((each) => isSame(each, field));
      const box = make("input", { type: "checkbox" });
      box.addEventListener("change", () => {
        const { checked } = box;
        if (isPinned()) table.setPinned(without(table.pinned));
        table.setColumns(checked ? [...without(table.shown), field] : without(table.shown));
      });
      const pin = make("button", { type: "button", class: "pin-button", "aria-label": `Keep ${label} at the left`, title: "Keep at the left" });
      pin.addEventListener("click", () => {
        table.setPinned(isPinned() ? without(table.pinned) : [...table.pinned, field]);
        if (!isShown()) table.setColumns([...table.shown, field]);
      });
      const moves = [[-1, "left", "←"], [1, "right", "→"]].map(([way, side, sign]) => {
        const button = make("button", { type: "button", class: "move-button", "aria-label": `Move ${label} to the ${side}`, title: `Move to the ${side}` }, sign);
        button.addEventListener("click", () => {
          table.moveColumn(field, way);
          moved.textContent = `${label} is column ${table.place(field) + 1} of ${table.columns.length}`;
        });
        return [way, button];
      });
      const follow = () => {
        box.checked = table.place(field) > 0;
        pin.setAttribute("aria-pressed", String(isPinned()));
        for (const [way, button] of moves) {
          button.hidden = table.place(field) < 0;
          // Were it disabled, the keyboard would lose its place.
          button.setAttribute("aria-disabled", String(!table.beside(field, way)));
        }
      };
      const kind = table.prefix(column).trim();
      const name = make("bdi", {}, mlgit.cut(label, 60));
      const item = make("li", { "data-key": column.key.toLowerCase() },
        make("label", {}, box, make("span", {}, kind ? make("small", {}, `${kind} `) : null, name)), ...moves.map(([, button]) => button), pin);
      return { item, field, follow };
    }

    function fillView(sheet) {
      const parts = make("fieldset", {}, make("legend", {}, "Metrics show the"), ...["last", "min", "max"].map((part) => {
        const radio = make("input", { type: "radio", name: `${base}-part`, value: part });
        radio.checked = table.part === part;
        radio.addEventListener("change", () => table.setPart(part));
        return make("label", {}, radio, { last: "last", min: "lowest", max: "highest" }[part]);
      }));
      const group = choice("Group by", table.group, ["attribute", "param", "tag"], (field) => table.setGroup(field));
      const colour = choice("Colour by", table.colourBy, ["attribute", "metric", "param", "tag"], (field) => table.setColour(field));
      const reset = make("button", { type: "button", class: "quiet-button" }, "Start over");
      reset.addEventListener("click", () => {
        table.reset();
        fillView(sheet);
      });
      sheet.replaceChildren(data.columns.some((column) => column.kind === "metric") ? parts : "", group, colour, ...saving(), make("div", { class: "foot" }, reset));
    }

    /** Makes a choice of a column, of those in which runs differ. */
    function choice(name, chosen, kinds, set) {
      const fields = [];
      const select = make("select", {}, make("option", { value: "" }, "nothing"));
      for (const [kind, title] of KINDS.filter(([each]) => kinds.includes(each))) {
        const of = data.columns.filter((column) => column.kind === kind && isWorthIt(column));
        const options = of.map((column) => {
          const field = { kind, key: column.key, part: kind === "metric" ? "last" : "" };
          const option = make("option", { value: fields.push(field) - 1 }, mlgit.cut(mlgit.harmless(column.key), 60));
          option.selected = Boolean(chosen && chosen.kind === kind && chosen.key === column.key);
          return option;
        });
        if (options.length) select.append(make("optgroup", { label: title }, ...options));
      }
      select.addEventListener("change", () => set(fields[select.value] || null));
      return make("label", { class: "choice" }, make("span", {}, name), select);
    }

    function isWorthIt(column) {
      if (!column.varies) return false;
      if (column.kind !== "attribute") return true;
      return ["experiment", "status", "user", "branch", "commit", "parent", "duration"].includes(column.key);
    }

    let command = () => {}; // says the command anew, of the sheet that is open

    /** Returns the command that saves this view for everybody: a page cannot write. */
    function saving() {
      if (!element.dataset.experiment) return [];
      const name = make("input", { type: "text", placeholder: "best", "aria-label": "Name of the view" });
      const code = make("code", { tabindex: 0 });
      const button = make("button", { type: "button", class: "copy" }, "Copy");
      command = () => {
        const fields = (of) => of.map(spelled).join(",");
        const options = [
          ["--where", table.where.trim()],
          ["--sort", table.sort.map((key) => (key.descending ? "-" : "") + spelled(key.field)).join(",")],
          ["--columns", table.shown === table.default ? "" : fields(table.shown)],
          ["--pin", fields(table.pinned)],
          ["--group-by", table.group ? spelled(table.group) : ""],
          ["--colour-by", table.colourBy ? spelled(table.colourBy) : ""],
          ["--part", table.part === "last" ? "" : table.part],
        ].filter(([, given]) => given).flatMap(([option, given]) => [option, shell(given)]);
        code.textContent = mlgit.harmless(["mlgit view save", shell(name.value.trim() || "best"), shell(element.dataset.experiment), ...options].join(" "));
      };
      name.addEventListener("input", command);
      button.addEventListener("click", async () => {
        await mlgit.copy(code.textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      command();
      return [make("div", { class: "saving" }, make("label", { class: "choice" }, make("span", {}, "Save as"), name),
        make("div", { class: "command" }, code, button))];
    }

    const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\"'\"'")}'`);

    // --- what is shown ------------------------------------------------------------------------------

    const count = make("p", { class: "count", role: "status" });
    const order = make("p", { class: "sr", role: "status" });
    const legend = make("p", { class: "legend" });

    function say() {
      const [shown, all] = [table.rows.length, data.rows];
      const runs = shown === all ? counted(all, "run") : `${mlgit.integer(shown)} of ${counted(all, "run")}`;
      count.textContent = table.groups ? `${runs} in ${counted(table.groups.length, "group")}` : runs;
      const missing = table.filter.fields.filter((field) => !find(data, field));
      if (missing.length) count.textContent += `; none has ${mlgit.harmless(missing.map(spelled).join(", "))}`;
      order.textContent = table.sort.map((key, place) =>
        `${place ? "then" : "Sorted"} by ${mlgit.harmless(spelled(key.field))}, ${key.descending ? "descending" : "ascending"}`).join(", ");
      columns.querySelector("button").classList.toggle("set", Boolean(mlgit.state.get("cols") || mlgit.state.get("pin")));
      view.querySelector("button").classList.toggle("set", Boolean(table.group || table.colourBy || table.part !== "last"));
      explain();
      arrange();
      command();
    }

    /** Says what the colours mean. */
    function explain() {
      legend.hidden = !table.colourBy;
      if (!table.colourBy) return;
      table.colour(0);
      const { entries, ends, ramp } = table.scale;
      const name = make("bdi", {}, mlgit.harmless(table.colourBy.key));
      if (entries) {
        legend.replaceChildren(name, ...entries.map(([text, colour]) => make("span", {}, swatch(colour), make("bdi", {}, text))));
        return;
      }
      const bar = make("i", { class: "ramp" });
      bar.style.background = `linear-gradient(to right, ${ramp.join(", ")})`;
      legend.replaceChildren(name, make("span", {}, ends[0], bar, ends[1]));
    }

    function swatch(colour) {
      const dot = make("i", { class: "swatch" });
      dot.style.background = colour;
      return dot;
    }

    // --- the selected runs --------------------------------------------------------------------------

    const picked = make("p", { role: "status" });
    const compare = element.dataset.compare ? make("a", { class: "menu" }, "Compare") : null;
    const copy = make("button", { type: "button", class: "menu" }, "Copy as CSV");
    const clear = make("button", { type: "button", class: "quiet-button" }, "Clear");
    const bar = make("div", { class: "picked", role: "group", "aria-label": "Selected runs" }, picked, compare, copy, clear);
    bar.hidden = true;
    copy.addEventListener("click", async () => {
      const id = { field: null, column: find(data, { kind: "attribute", key: "id" }), part: "" };
      const others = table.columns.filter(({ column }) => column !== id.column);
      const order = new Map(table.rows.map((position, place) => [position, place]));
      const positions = [...table.selected.keys()].sort((a, b) => (order.get(a) ?? Infinity) - (order.get(b) ?? Infinity));
      await mlgit.copy(mlgit.columns.csv([id, ...others], positions));
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy as CSV"; }, 1500);
    });
    clear.addEventListener("click", () => {
      table.select([...table.selected.keys()], false);
      table.table.focus({ preventScroll: true });
    });

    function pick() {
      const chosen = table.selected.size;
      bar.hidden = !chosen;
      picked.textContent = chosen ? `${mlgit.integer(chosen)} selected` : "";
      if (compare) {
        compare.hidden = chosen < 2;
        compare.href = `${element.dataset.compare}#runs=${table.selectedIds().join(",")}`;
      }
    }

    /** Shows in the tools what the address says. */
    function follow() {
      input.value = table.where;
      for (const link of element.querySelectorAll(".views a")) {
        const isHere = [...new URLSearchParams(link.hash.slice(1))].every(([key, given]) => mlgit.state.get(key) === given);
        if (isHere) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }

    const views = element.querySelector(".views");
    if (views) views.hidden = false;
    const row = make("div", { class: "tools" }, input, columns, view, count);
    row.hidden = data.rows < 2;
    // The bar stays in view as long as rows are, and never over the tools above them.
    const rows = make("div", { class: "rows" });
    table.scroll.before(...[views, row, refused, legend, table.help, order, rows].filter(Boolean));
    rows.append(table.scroll, bar);
    return { say, pick, follow, refuse };
  };
})();
