// The columns of a table of runs, as mlgit/site/tables.py writes them: the values, how a cell
// reads, what the runs of a group have in common, colours by a column, CSV. Nothing is decoded
// before it is asked for.
"use strict";

(() => {
  const { make } = mlgit;
  const { textOf } = mlgit.query;

  // --- values ---------------------------------------------------------------------------------

  /** Returns the column of a field, or undefined. */
  function find(data, { kind, key }) {
    return data.columns.find((column) => column.kind === kind && column.key === key);
  }

  /** Returns one value, null if the run has none; `part` is of a metric. */
  function value(column, position, part = "last") {
    if (column.d) return column.i[position] < 0 ? null : column.d[column.i[position]];
    const cells = part === "last" || column[part] === undefined ? column.v : column[part];
    if (Array.isArray(cells)) return mlgit.decode(cells[position]);
    return column.v[position] === null ? null : cells; // the same of every run
  }

  /** Tells whether a run's value is null itself, which counts as none, but is shown. */
  function isNull(column, position) {
    if (column.d) return column.i[position] === -2;
    const cell = column.v[position];
    return Array.isArray(cell) && cell.length === 0;
  }

  const decoded = new WeakMap(); // by column, then by part

  /** Returns the values of all runs by position. */
  function values(column, part = "last") {
    const known = decoded.get(column) || new Map();
    decoded.set(column, known);
    if (!known.has(part)) {
      const count = (column.i || column.v).length;
      known.set(part, Array.from({ length: count }, (_, position) => value(column, position, part)));
    }
    return known.get(part);
  }

  /** Returns the values of a field of the query language; of one that no run has, nulls. */
  function ofField(data, field) {
    const column = find(data, field);
    return column ? values(column, field.part || "last") : new Array(data.rows).fill(null);
  }

  const isNumber = (found) => typeof found === "number" || typeof found === "bigint";
  const isTime = ({ kind, key }) => kind === "attribute" && (key === "started" || key === "ended");
  const isHash = ({ kind, key }) => kind === "attribute" && ["id", "commit", "parent"].includes(key);

  // --- cells ------------------------------------------------------------------------------------

  /** Returns a value as a cell shows it. */
  function text(column, found) {
    if (found === null) return "-";
    if (isTime(column)) return mlgit.ago(new Date(found));
    if (isHash(column)) return mlgit.harmless(found.slice(0, 10));
    if (column.kind === "attribute" && column.key === "duration") return mlgit.span(found);
    if (isNumber(found)) return column.number ? mlgit.decimal(found, column.digits) : mlgit.number(found);
    return mlgit.cut(mlgit.whole(found));
  }

  /** Returns the text of a run's cell; see `value`. */
  function told(column, position, part) {
    return isNull(column, position) ? "null" : text(column, value(column, position, part));
  }

  const isRight = (column) => column.number || isTime(column);

  /** Returns a run's cell; see `value`. */
  function cell(column, position, part) {
    const found = value(column, position, part);
    const shown = told(column, position, part);
    if (found === null) {
      return make("td", { class: (isNull(column, position) ? "null" : "absent") + (column.number ? " n" : "") }, shown);
    }
    if (isTime(column)) {
      const time = make("time", { datetime: found, title: mlgit.exact(new Date(found), found) }, shown);
      return make("td", { class: "n" }, time);
    }
    if (column.kind === "attribute" && column.key === "status") return make("td", {}, status(found));
    const full = isNumber(found) ? textOf(found) : mlgit.whole(found);
    const title = full === shown ? null : mlgit.cut(full, 3000);
    if (isRight(column)) return make("td", { class: "n", title }, shown);
    return make("td", { title }, isHash(column) ? make("code", { class: "hash" }, shown) : make("bdi", {}, shown));
  }

  const STATUSES = ["finished", "failed", "interrupted", "running"];

  function status(name) {
    const kind = STATUSES.includes(name) ? name : "other";
    return make("span", { class: `status ${kind}` }, mlgit.whole(name));
  }

  // --- groups -----------------------------------------------------------------------------------

  /** Returns mean, lowest and highest of the numbers of a column, as `mlgit log --group-by` does. */
  function spread(column, positions, part) {
    let [low, high, sum, count] = [Infinity, -Infinity, 0, 0];
    for (const position of positions) {
      const found = Number(valueOfNumber(value(column, position, part)));
      if (Number.isNaN(found)) continue;
      low = Math.min(low, found);
      high = Math.max(high, found);
      sum += found;
      count += 1;
    }
    return count ? { mean: sum / count, low, high, count } : null;
  }
  const valueOfNumber = (found) => (isNumber(found) ? found : NaN);

  /** Returns what the cell of a group says: [the mean or common value, the range around it]. */
  function summary(column, positions, part) {
    const found = column.number ? spread(column, positions, part) : null;
    if (found) {
      const isSpan = column.kind === "attribute";
      const mean = isSpan ? mlgit.span(found.mean) : mlgit.number(found.mean, 4);
      return [mean, found.low === found.high ? "" : `${text(column, found.low)} to ${text(column, found.high)}`];
    }
    const first = told(column, positions[0], part);
    const isSame = positions.every((position) => told(column, position, part) === first);
    return isSame ? [first, ""] : ["", ""];
  }

  // --- colours ------------------------------------------------------------------------------------

  const SCALE = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
  const NAMED = 9; // texts with a colour of their own; the others share the last

  const named = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const palette = () => Array.from({ length: NAMED + 1 }, (_, place) => named(`c${place}`));

  /**
   * Returns how a column colours runs: `of(position)` a colour, and the legend: `entries`
   * [name, colour] of texts, `ends` [low, high] and `ramp`, colours between them, of numbers.
   */
  function colours(column, part) {
    const every = values(column, part);
    const numbers = every.filter((found) => isNumber(found) && Number.isFinite(Number(found))).map(Number);
    const none = named("strong-line");
    if (column.number && numbers.length) return gradual(column, every, numbers, none);
    const often = new Map();
    for (const found of every) {
      if (found !== null) often.set(textOf(found), (often.get(textOf(found)) || 0) + 1);
    }
    const ordered = [...often.keys()].sort((a, b) => often.get(b) - often.get(a) || (a < b ? -1 : 1));
    const isStatus = column.kind === "attribute" && column.key === "status";
    const own = { finished: named("good"), failed: named("bad"), interrupted: named("warn"), running: named("accent") };
    const shades = palette();
    const shade = new Map(ordered.map((name, place) =>
      [name, (isStatus && Object.hasOwn(own, name) && own[name]) || shades[Math.min(place, NAMED)]]));
    const entries = ordered.slice(0, NAMED).map((name) => [mlgit.cut(mlgit.harmless(name), 40), shade.get(name)]);
    if (ordered.length > NAMED) entries.push([`${ordered.length - NAMED} others`, shades[NAMED]]);
    return { of: (position) => (every[position] === null ? none : shade.get(textOf(every[position]))), entries };
  }

  function gradual(column, every, numbers, none) {
    let low = numbers[0];
    let high = numbers[0];
    for (const number of numbers) {
      low = Math.min(low, number);
      high = Math.max(high, number);
    }
    // Learning rates go by their size, not their distance.
    const bend = low > 0 && high / low > 100 ? Math.log : (number) => number;
    const width = bend(high) - bend(low) || 1;
    // The palest end would not show on white, the darkest not on black.
    const [from, to] = mlgit.isDark() ? [0.35, 1] : [0, 0.85];
    const shade = (share) => mixed(from + (to - from) * share);
    return {
      of(position) {
        const found = isNumber(every[position]) ? Number(every[position]) : NaN;
        if (Number.isNaN(found)) return none;
        return shade(Math.min(1, Math.max(0, (bend(Math.min(high, Math.max(low, found))) - bend(low)) / width)));
      },
      ends: [text(column, low), text(column, high)],
      ramp: [0, 0.25, 0.5, 0.75, 1].map(shade),
    };
  }

  /** Returns the colour at a share, from 0 to 1, of the scale. */
  function mixed(share) {
    const place = share * (SCALE.length - 1);
    const at = Math.min(SCALE.length - 2, Math.floor(place));
    const parts = [1, 3, 5].map((offset) => {
      const [a, b] = [at, at + 1].map((index) => parseInt(SCALE[index].slice(offset, offset + 2), 16));
      return Math.round(a + (b - a) * (place - at));
    });
    return `rgb(${parts.join(" ")})`;
  }

  // --- CSV ------------------------------------------------------------------------------------------

  /** Returns runs as CSV, by RFC 4180 but with bare newlines; `fields` are columns with a part. */
  function csv(fields, positions) {
    const rows = positions.map((position) =>
      fields.map(({ column, part }) => (isNull(column, position) ? "null" : plain(value(column, position, part)))));
    const heads = fields.map(({ column, part }) => mlgit.query.spelled({ ...column, part }));
    return [heads, ...rows].map((row) => `${row.map(escaped).join(",")}\n`).join("");
  }

  function plain(found) {
    if (found === null) return "";
    return typeof found === "number" && !Number.isFinite(found) ? mlgit.number(found) : textOf(found);
  }

  const escaped = (field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);

  mlgit.columns = { find, value, values, ofField, text, told, cell, isRight, summary, spread, colours, palette, csv };
})();
