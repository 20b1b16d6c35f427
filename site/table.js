// The table of runs made live: filter, sort, columns, groups, colours and selection, all of it in
// the page's address. The page's own <table> stays until the data is there; then only the rows
// in view are elements, so that ten thousand runs are as quick as ten.
//
// It tells others what it shows by "mlgit:rows" on its element: {data, rows, selected, colour}.
"use strict";

(() => {
  const { counted, make, state } = mlgit;
  const { find, value, values } = mlgit.columns;
  const { parse, parseFields, parseSort, spelled, sorted } = mlgit.query;

  const SPARE = 8; // rows that are drawn above and below those in view
  const SAMPLED = 20; // rows whose cells tell how wide a column is
  const MEASURED = 4; // of them are measured
  const WIDEST = 340; // pixels of a column
  const PADDING = 28; // pixels beside the text of a cell
  const ROW = 2.3; // the height of a row as the stylesheet has it, in sizes of the page's text
  const SMALL = 0.88; // of the size of other text
  const TICK = 40; // pixels of the column of check boxes
  const NAME = { kind: "attribute", key: "name", part: "" };

  const isSame = (left, right) => left.kind === right.kind && left.key === right.key && left.part === right.part;

  class Table {
    constructor(element, data) {
      this.element = element;
      this.data = data;
      this.root = document.documentElement.dataset.root;
      this.ids = values(find(data, { kind: "attribute", key: "id" }));
      this.positions = this.ids.map((_, position) => position);
      this.byId = new Map(this.ids.map((id, position) => [id, position]));
      this.names = find(data, NAME);
      this.default = data.shown.map((place) => {
        const { kind, key } = data.columns[place];
        return { kind, key, part: kind === "metric" ? "last" : "" };
      });
      this.open = new Set(); // keys of groups whose runs are shown
      this.active = { item: -1, column: 0 }; // the cell that the keyboard is at; -1 is the head
      this.anchor = null; // the run or group that was ticked last
      this.spare = 0; // at first only what is seen; `listen` draws the rest
      this.build();
      this.restore();
      this.spare = SPARE;
      this.listen();
    }

    // --- what a person set ----------------------------------------------------------------------

    /** Takes everything from the page's address. */
    restore() {
      this.where = state.get("where") || "";
      this.filter = { fields: [], matches: () => true };
      try {
        this.filter = parse(this.where);
        this.tools.refuse(null);
      } catch (error) {
        this.tools.refuse(error);
      }
      this.sort = readable(parseSort, state.get("sort")) || [];
      const chosen = this.known(readable(parseFields, state.get("cols")) || []);
      this.shown = chosen.length ? chosen : this.default;
      this.pinned = this.known(readable(parseFields, state.get("pin")) || []).filter((field) => !isSame(field, NAME));
      this.group = this.known(readable(parseFields, state.get("group")) || [])[0] || null;
      this.colourBy = this.known(readable(parseFields, state.get("colour")) || [])[0] || null;
      this.part = ["min", "max"].includes(state.get("part")) ? state.get("part") : "last";
      this.selected = new Map(); // position -> place in the palette
      const ids = (state.get("sel") || "").split(",");
      this.tickAll(ids.map((id) => this.byId.get(id)).filter((position) => position !== undefined), true);
      this.tools.follow();
      this.reorder();
    }

    known(fields) {
      return fields.filter((field, place) => find(this.data, field) && fields.findIndex((each) => isSame(each, field)) === place);
    }

    /** Writes a part of the state into the address. */
    keep(key, fields) {
      state.set(key, fields && fields.map(spelled).join(","));
    }

    setWhere(text) {
      this.filter = parse(text);
      if (text.trim() === this.where.trim()) return;
      this.where = text;
      state.set("where", text.trim());
      this.reorder();
    }

    /** Sorts by one more field, or turns its order around, or leaves it; without `more` by it alone. */
    sortBy(field, more) {
      const place = this.sort.findIndex((key) => isSame(key.field, field));
      const was = this.sort[place];
      const next = !was ? [{ field, descending: false }] : was.descending ? [] : [{ field, descending: true }];
      this.sort = more && was ? this.sort.toSpliced(place, 1, ...next) : more ? [...this.sort, ...next] : next;
      state.set("sort", this.sort.map((key) => (key.descending ? "-" : "") + spelled(key.field)).join(","));
      this.reorder();
    }

    setColumns(fields) {
      this.shown = fields;
      const isDefault = fields.length === this.default.length && fields.every((field, i) => isSame(field, this.default[i]));
      this.keep("cols", isDefault ? null : fields);
      this.refresh();
    }

    setPinned(fields) {
      this.pinned = fields;
      this.keep("pin", fields);
      this.refresh();
    }

    /** Returns the place of a column, -1 if it is not shown. */
    place(field) {
      return this.columns.findIndex((each) => isSame(each.field, field));
    }

    /** Moves a column by one place, to the left (-1) or right (1); tells whether it could. */
    moveColumn(field, way) {
      const beside = this.beside(field, way);
      if (!beside) return false;
      const swapped = (fields) => fields.map((each) => (isSame(each, field) ? beside : isSame(each, beside) ? field : each));
      if (this.pinned.some((each) => isSame(each, field))) this.setPinned(swapped(this.pinned));
      else this.setColumns(swapped(this.shown));
      return true;
    }

    /** Returns the column with which one changes places: pinned ones stay so, the run is the first. */
    beside(field, way) {
      const place = this.place(field);
      const other = this.columns[place + way];
      return place > 0 && place + way > 0 && other && other.isPinned === this.columns[place].isPinned ? other.field : null;
    }

    setGroup(field) {
      this.group = field;
      this.open.clear();
      this.keep("group", field && [field]);
      this.reorder();
    }

    setColour(field) {
      this.colourBy = field;
      this.keep("colour", field && [field]);
      this.refresh();
    }

    setPart(part) {
      this.part = part;
      state.set("part", part === "last" ? null : part);
      this.refresh();
    }

    reset() {
      for (const key of ["where", "sort", "cols", "pin", "group", "colour", "part"]) state.set(key, null);
      this.restore();
    }

    // --- selection ------------------------------------------------------------------------------

    /** Ticks a run: it takes the first colour of the palette that is free, and keeps it. */
    tick(position, isOn) {
      if (!isOn) this.selected.delete(position);
      else if (!this.selected.has(position)) {
        const taken = new Set(this.selected.values());
        let place = 0;
        while (taken.has(place)) place += 1;
        this.selected.set(position, place);
      }
    }

    tickAll(positions, isOn) {
      if (isOn && positions.length > 50) { // one by one the palette would be searched too often
        for (const position of positions) if (!this.selected.has(position)) this.selected.set(position, this.selected.size);
      } else {
        for (const position of positions) this.tick(position, isOn);
      }
    }

    select(positions, isOn) {
      this.tickAll(positions, isOn);
      state.set("sel", this.selectedIds().join(","));
      this.draw(true);
      this.tell();
    }

    selectedIds() {
      return [...this.selected.keys()].map((position) => this.ids[position]);
    }

    // --- rows -------------------------------------------------------------------------------------

    /** Shows other rows, or in another order: from the first, which is what was looked for. */
    reorder() {
      if (this.drawn) this.scroll.scrollTop = 0;
      this.refresh();
    }

    /** Filters, sorts and groups anew, and draws. */
    refresh() {
      const columns = this.filter.fields.map((field) => mlgit.columns.ofField(this.data, field));
      const row = new Array(columns.length);
      this.rows = this.positions.filter((position) => {
        for (let i = 0; i < columns.length; i += 1) row[i] = columns[i][position];
        return this.filter.matches(row);
      });
      this.rows = sorted(this.rows, this.sort, (field) => mlgit.columns.ofField(this.data, field));
      this.columns = this.arranged();
      this.scale = null;
      this.regroup();
      this.layOut();
      this.draw(true);
      this.tools.say();
      this.tell();
    }

    /** Returns the columns in order: the run, the pinned ones, the others. */
    arranged() {
      const isPinned = (field) => this.pinned.some((each) => isSame(each, field));
      const rest = this.shown.filter((field) => !isSame(field, NAME));
      return [NAME, ...this.pinned, ...rest.filter((field) => !isPinned(field))].map((field, place) => ({
        field,
        column: find(this.data, field),
        part: field.kind === "metric" && field.part === "last" ? this.part : field.part || "last",
        isPinned: place <= this.pinned.length,
      }));
    }

    /** Puts together what the lines of the table are: positions, and groups of them. */
    regroup() {
      this.groups = this.group ? this.grouped() : null;
      if (!this.groups) {
        this.items = this.rows;
        return;
      }
      this.items = this.groups.flatMap((group) => (this.open.has(group.key) ? [group, ...group.positions] : [group]));
    }

    grouped() {
      const column = find(this.data, this.group);
      const found = new Map();
      for (const position of this.rows) {
        const each = value(column, position, this.group.part || "last");
        const key = `${typeof each} ${each}`;
        if (!found.has(key)) found.set(key, { key, value: each, positions: [] });
        found.get(key).positions.push(position);
      }
      const groups = [...found.values()];
      const first = this.sort[0];
      const by = first && find(this.data, first.field);
      if (first && by === column) return groups; // in order of their values, as their rows are
      if (by && by.number) {
        for (const group of groups) {
          group.rank = mlgit.columns.spread(by, group.positions, first.field.part || "last")?.mean ?? null;
        }
      }
      const key = { field: this.group, descending: Boolean(by && by.number && first.descending) };
      const ranks = groups.map((group) => (by && by.number ? group.rank : group.value));
      return sorted(groups.map((_, place) => place), [key], () => ranks).map((place) => groups[place]);
    }

    toggle(group) {
      if (!this.open.delete(group.key)) this.open.add(group.key);
      this.regroup();
      this.draw(true);
    }

    /** Returns what a run is called: its name, else the beginning of its id. */
    label(position) {
      return mlgit.cut(mlgit.harmless(value(this.names, position) || this.ids[position].slice(0, 10)), 60);
    }

    url(position) {
      return `${this.root}runs/${this.ids[position]}.html`;
    }

    // --- colours ------------------------------------------------------------------------------------

    /** Returns the colour of a run: by what was chosen, else the one it was selected with. */
    colour(position) {
      if (!this.scale) {
        const column = this.colourBy && find(this.data, this.colourBy);
        const part = this.colourBy && this.colourBy.part === "last" ? this.part : this.colourBy?.part;
        this.scale = column ? mlgit.columns.colours(column, part || "last") : { of: null };
        this.palette = mlgit.columns.palette();
      }
      if (this.scale.of) return this.scale.of(position);
      return this.palette[(this.selected.get(position) ?? position) % this.palette.length];
    }

    /** Tells others what is shown, once the table itself is: charts take longer. */
    tell() {
      clearTimeout(this.telling);
      this.telling = setTimeout(() => {
        const detail = {
          data: this.data,
          rows: this.rows,
          selected: this.selectedIds(),
          colour: (position) => this.colour(position),
        };
        this.element.dispatchEvent(new CustomEvent("mlgit:rows", { bubbles: true, detail }));
      });
    }

    // --- drawing --------------------------------------------------------------------------------------

    build() {
      this.scroll = this.element.querySelector(".scroll");
      this.table = this.scroll.querySelector("table");
      this.help = make("p", { class: "sr", id: `${this.element.dataset.name}-help` },
        "Arrow keys move between cells, Space selects a run, Enter opens it or sorts by a column, Shift and an arrow move a column by its heading, Ctrl and A select all.");
      const all = make("input", { type: "checkbox", "aria-label": "Select all runs shown" });
      this.all = all;
      this.tick0 = make("th", { class: "tick pin", scope: "col" }, all);
      this.head = make("tr", { "aria-rowindex": 1 });
      this.body = make("tbody");
      this.widths = make("colgroup");
      for (const name of ["tabindex", "role", "aria-label"]) this.scroll.removeAttribute(name);
      for (const [name, text] of Object.entries({
        role: "grid", tabindex: 0, "aria-label": "Runs", "aria-multiselectable": "true", "aria-describedby": this.help.id,
      })) this.table.setAttribute(name, text);
      this.table.replaceChildren(this.widths, make("thead", {}, this.head), this.body);
      this.element.classList.add("live");
      this.tools = mlgit.tools(this);
      this.element.querySelector(".newest")?.remove();
    }

    /** Sets the head and the width of each column. */
    layOut() {
      const font = getComputedStyle(this.table);
      const pen = document.createElement("canvas").getContext("2d");
      pen.font = `${font.fontSize} ${font.fontFamily}`;
      const some = (of) => of.filter((_, place) => place < 20 || place % Math.ceil(of.length / SAMPLED) === 0);
      const sample = [...some(this.groups || []), ...some(this.rows)];
      const width = (text) => pen.measureText(text).width;
      const head = ({ column, part }) => `${this.prefix(column)}${column.head}${part === "last" ? "" : " max"}${this.sort.length ? " ↑1" : ""}`;
      const wide = this.columns.map((shown, place) => {
        const said = sample.map((item) => this.said(item, place, shown));
        const letters = ([main, small = ""]) => main.length + small.length;
        // Those of most letters are enough: to measure all takes longer than to draw them.
        const long = said.sort((one, other) => letters(other) - letters(one)).slice(0, MEASURED);
        const longest = Math.max(0.95 * width(head(shown)), ...long.map(([main, small]) =>
          width(main) + (small ? SMALL * width(small) + 14 : 0)));
        return Math.min(WIDEST, Math.ceil(longest) + PADDING);
      });
      const narrow = this.scroll.clientWidth < 520;
      wide[0] = narrow ? Math.min(wide[0], 150) : Math.max(wide[0], 120);
      this.widths.replaceChildren(...[TICK, ...wide].map((pixels) => {
        const col = make("col");
        col.style.width = `${pixels}px`;
        return col;
      }));
      this.table.style.minWidth = `${TICK + wide.reduce((sum, each) => sum + each, 0)}px`;
      this.head.replaceChildren(this.tick0, ...this.columns.map((shown, place) => this.heading(shown, place)));
      // How far each pinned column is from the left; on a phone there is room for the first.
      const ends = [...this.head.children].map((cell) => cell.offsetWidth);
      let left = 0;
      this.offsets = [-1, ...this.columns.keys()].map((_, place) => {
        const isPinned = place === 0 || (this.columns[place - 1].isPinned && (!narrow || place === 1));
        const offset = isPinned ? left : null;
        left += isPinned ? ends[place] : 0;
        return offset;
      });
      this.pinnedWidth = left;
      this.pin([...this.head.children]);
    }

    /** Returns the text of a cell, and what stands small beside it, to measure them. */
    said(item, place, { column, part }) {
      if (typeof item !== "number") {
        const { positions } = item;
        return place ? mlgit.columns.summary(column, positions, part) : [`▸  ${this.groupName(item)}`, counted(positions.length, "run")];
      }
      return place ? [mlgit.columns.told(column, item, part)] : [this.groups ? `▸ ${this.label(item)}` : this.label(item)];
    }

    prefix(column) {
      return column.kind === "param" || column.kind === "tag" ? `${column.kind} ` : "";
    }

    heading({ field, column, part }, place) {
      const sortField = field.kind === "metric" ? { ...field, part } : field;
      const key = this.sort.findIndex((each) => isSame(each.field, sortField));
      const way = key < 0 ? "none" : this.sort[key].descending ? "descending" : "ascending";
      const arrow = key < 0 ? "" : way === "ascending" ? "↑" : "↓";
      const button = make("button", { type: "button", tabindex: -1, title: mlgit.cut(`${mlgit.harmless(spelled(sortField))}: click to sort, Shift and click to sort by several`) },
        this.prefix(column) ? make("small", {}, column.kind) : null,
        make("bdi", {}, mlgit.cut(mlgit.harmless(column.head), 60)),
        part !== "last" && field.kind === "metric" ? make("small", { class: "part" }, part) : null,
        arrow ? make("span", { class: "way", "aria-hidden": "true" }, arrow + (this.sort.length > 1 ? key + 1 : "")) : null);
      button.addEventListener("click", (event) => {
        this.sortBy(sortField, event.shiftKey);
        this.active = { item: -1, column: place };
        this.table.focus({ preventScroll: true }); // this button is no more
        this.mark();
      });
      const classes = place && mlgit.columns.isRight(column) ? "n" : "";
      return make("th", { scope: "col", class: classes, "aria-sort": way }, button);
    }

    pin(cells) {
      cells.forEach((cell, place) => {
        const offset = this.offsets[place];
        if (offset === null) return;
        cell.classList.add("pin");
        cell.style.left = `${offset}px`;
        if (place > 0 && (this.offsets[place + 1] ?? null) === null) cell.classList.add("edge");
      });
      return cells;
    }

    /** Draws the rows in view; `anew` if what they say has changed. */
    draw(anew = false) {
      if (anew) this.drawn = new Map();
      this.height ||= ROW * parseFloat(getComputedStyle(document.documentElement).fontSize);
      const high = this.everything ? Infinity : this.scroll.clientHeight || innerHeight;
      // Rows that are fewer than before end above where the table still is.
      const top = Math.min(this.scroll.scrollTop, Math.max(0, this.items.length * this.height - high));
      const first = this.everything ? 0 : Math.max(0, Math.floor(top / this.height) - this.spare);
      const last = Math.min(this.items.length, Math.ceil((top + high) / this.height) + this.spare);
      if (!anew && first === this.first && last === this.last) return;
      [this.first, this.last] = [first, last];
      const kept = new Map();
      for (let place = first; place < last; place += 1) {
        kept.set(place, this.drawn.get(place) || this.line(this.items[place], place));
      }
      this.drawn = kept;
      this.body.replaceChildren(space(first * this.height), ...kept.values(), space((this.items.length - last) * this.height));
      const isGrouped = Boolean(this.groups);
      this.table.setAttribute("role", isGrouped ? "treegrid" : "grid");
      this.table.setAttribute("aria-rowcount", this.items.length + 1);
      const row = this.spare ? kept.get(first) : null; // to ask at first would lay out the page once more
      if (row && row.offsetHeight && Math.abs(row.offsetHeight - this.height) > 0.5) {
        this.height = row.getBoundingClientRect().height;
        this.draw(true);
        return;
      }
      const count = this.rows.filter((position) => this.selected.has(position)).length;
      this.all.checked = count > 0 && count === this.rows.length;
      this.all.indeterminate = count > 0 && count < this.rows.length;
      this.tools.pick();
      this.mark();
    }

    line(item, place) {
      return typeof item === "number" ? this.run(item, place) : this.summary(item, place);
    }

    run(position, place) {
      const isOn = this.selected.has(position);
      const label = this.label(position);
      const box = make("input", { type: "checkbox", tabindex: -1, "aria-label": `Select ${label}` });
      box.checked = isOn;
      const tick = make("td", { class: "tick" }, box);
      if (isOn) box.style.accentColor = this.colour(position);
      if (this.colourBy) tick.style.boxShadow = `inset 4px 0 ${this.colour(position)}`;
      const cells = this.columns.map(({ column, part }, column_) => {
        if (column_) return mlgit.columns.cell(column, position, part);
        return make("th", { scope: "row", class: this.groups ? "inside" : null },
          make("a", { href: this.url(position), tabindex: -1, title: mlgit.harmless(value(this.names, position) || this.ids[position]) }, make("bdi", {}, label)));
      });
      const attributes = { "aria-rowindex": place + 2, "aria-selected": String(isOn), "aria-level": this.groups ? 2 : null };
      return make("tr", attributes, ...this.pin([tick, ...cells]));
    }

    groupName(group) {
      return group.value === null ? "none" : mlgit.columns.text(find(this.data, this.group), group.value);
    }

    summary(group, place) {
      const isOpen = this.open.has(group.key);
      const count = group.positions.filter((position) => this.selected.has(position)).length;
      const box = make("input", { type: "checkbox", tabindex: -1, "aria-label": `Select the runs of ${this.groupName(group)}` });
      box.checked = count === group.positions.length;
      box.indeterminate = count > 0 && !box.checked;
      const cells = this.columns.map(({ column, part }, column_) => {
        if (!column_) {
          return make("th", { scope: "row" }, make("span", { class: "fold", "aria-hidden": "true" }, isOpen ? "▾" : "▸"),
            make("bdi", {}, this.groupName(group)), " ", make("small", {}, counted(group.positions.length, "run")));
        }
        const [main, range] = mlgit.columns.summary(column, group.positions, part);
        return make("td", { class: mlgit.columns.isRight(column) ? "n" : null }, make("bdi", {}, main), " ", range ? make("small", {}, range) : null);
      });
      const attributes = { class: "group", "aria-rowindex": place + 2, "aria-level": 1, "aria-expanded": String(isOpen) };
      return make("tr", attributes, ...this.pin([make("td", { class: "tick" }, box), ...cells]));
    }

    // --- keyboard and mouse -----------------------------------------------------------------------

    /** Shows which cell the keyboard is at. */
    mark() {
      this.table.querySelector("#at")?.removeAttribute("id");
      const { item, column } = this.active;
      const row = item < 0 ? this.head : this.drawn.get(item);
      const cell = row && row.children[column + 1];
      if (!cell || document.activeElement !== this.table) {
        this.table.removeAttribute("aria-activedescendant");
        return null;
      }
      cell.id = "at";
      this.table.setAttribute("aria-activedescendant", "at");
      return cell;
    }

    move(item, column) {
      this.active = {
        item: Math.max(-1, Math.min(this.items.length - 1, item)),
        column: Math.max(0, Math.min(this.columns.length - 1, column)),
      };
      const [scroll, top] = [this.scroll, this.active.item * this.height];
      const seen = scroll.clientHeight - this.head.offsetHeight;
      if (this.active.item >= 0) {
        if (top < scroll.scrollTop) scroll.scrollTop = top;
        if (top + this.height > scroll.scrollTop + seen) scroll.scrollTop = top + this.height - seen;
      }
      this.draw();
      const cell = this.mark();
      if (!cell) return;
      if (!cell.classList.contains("pin")) {
        const right = cell.offsetLeft + cell.offsetWidth - scroll.clientWidth;
        if (cell.offsetLeft - this.pinnedWidth < scroll.scrollLeft) scroll.scrollLeft = cell.offsetLeft - this.pinnedWidth;
        else if (right > scroll.scrollLeft) scroll.scrollLeft = right;
      }
      cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    }

    key(event) {
      if (event.altKey || event.target === this.all) return;
      const { item, column } = this.active;
      const page = Math.max(1, Math.floor(this.scroll.clientHeight / this.height) - 2);
      const far = event.ctrlKey || event.metaKey;
      const moves = {
        ArrowDown: [item + 1, column], ArrowUp: [item - 1, column],
        ArrowRight: [item, column + 1], ArrowLeft: [item, column - 1],
        PageDown: [item + page, column], PageUp: [Math.max(0, item - page), column],
        Home: [far ? 0 : item, 0], End: [far ? Infinity : item, Infinity],
      };
      const at = this.items[item];
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (item < 0 && way && event.shiftKey) {
        if (this.moveColumn(this.columns[column].field, way)) this.move(item, column + way);
      } else if (moves[event.key]) this.move(...moves[event.key]);
      else if (event.key === "Enter" && item < 0) this.head.children[column + 1].querySelector("button").dispatchEvent(new MouseEvent("click", { shiftKey: event.shiftKey }));
      else if (event.key === "Enter" && typeof at === "number") location.href = this.url(at);
      else if (event.key === "Enter" && at) this.toggle(at);
      else if (event.key === " " && at !== undefined) this.pickItem(item, event.shiftKey);
      else if (event.key === "a" && far) this.select(this.rows, true);
      else return;
      event.preventDefault();
    }

    /** Ticks a run or the runs of a group, or leaves them; with `isRange` all since the last one. */
    pickItem(item, isRange) {
      const last = isRange ? this.items.indexOf(this.anchor) : -1;
      const from = last < 0 ? item : last;
      const items = this.items.slice(Math.min(from, item), Math.max(from, item) + 1);
      const positions = items.flatMap((each) => (typeof each === "number" ? [each] : each.positions));
      const of = typeof this.items[item] === "number" ? [this.items[item]] : this.items[item].positions;
      this.anchor = this.items[item];
      this.select(positions, !of.every((position) => this.selected.has(position)));
    }

    click(event) {
      const cell = event.target.closest("th, td");
      const row = cell?.parentElement;
      const item = Number(row?.getAttribute("aria-rowindex")) - 2;
      if (!(item >= 0)) return; // beside the rows
      this.active = { item, column: Math.max(0, [...row.children].indexOf(cell) - 1) };
      if (event.target.closest("a")) return;
      this.table.focus({ preventScroll: true });
      if (cell.classList.contains("tick")) {
        event.preventDefault();
        this.pickItem(item, event.shiftKey);
      } else if (typeof this.items[item] !== "number") {
        this.toggle(this.items[item]);
      } else {
        this.mark();
      }
    }

    listen() {
      let isWaiting = false;
      this.scroll.addEventListener("scroll", () => {
        if (isWaiting) return;
        isWaiting = true;
        requestAnimationFrame(() => {
          isWaiting = false;
          this.draw();
        });
      }, { passive: true });
      this.table.addEventListener("keydown", (event) => this.key(event));
      this.table.addEventListener("focus", () => this.move(this.active.item, this.active.column));
      this.table.addEventListener("blur", () => this.mark());
      this.body.addEventListener("click", (event) => this.click(event));
      this.body.addEventListener("mousedown", (event) => { if (event.shiftKey) event.preventDefault(); });
      this.all.addEventListener("change", () => this.select(this.rows, this.all.checked));
      state.follow(() => this.restore());
      document.addEventListener("mlgit:theme", () => {
        this.scale = null;
        this.draw(true);
        this.tools.say();
        this.tell();
      });
      addEventListener("beforeprint", () => this.drawEverything(true));
      addEventListener("afterprint", () => this.drawEverything(false));
      let width = this.scroll.clientWidth;
      new ResizeObserver(() => {
        const isWider = this.scroll.clientWidth !== width;
        if (isWider) this.layOut();
        width = this.scroll.clientWidth;
        this.draw(isWider);
      }).observe(this.scroll);
    }

    /** Draws all rows for a printer, as far as anybody would print. */
    drawEverything(isOn) {
      this.everything = isOn && this.items.length <= 2000;
      this.draw(true);
    }
  }

  /** Returns what a parser makes of a text, null if it cannot read it: an address may say anything. */
  function readable(read, text) {
    try {
      return read(text || "");
    } catch (error) {
      if (error instanceof mlgit.query.QueryError) return null;
      throw error;
    }
  }

  function space(pixels) {
    const row = make("tr", { class: "space", "aria-hidden": "true" });
    row.style.height = `${pixels}px`;
    return row;
  }

  mlgit.table = { isSame };

  document.addEventListener("DOMContentLoaded", () => {
    for (const element of document.querySelectorAll("div.runs[data-src]")) {
      const { src, name } = element.dataset;
      // Without the data the table that the page has brought stays.
      mlgit.load(src, name).then((data) => {
        const start = performance.now();
        new Table(element, data);
        performance.measure("mlgit:table", { start });
      }, () => element.classList.add("still"));
    }
  });
})();
