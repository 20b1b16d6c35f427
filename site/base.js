// What every page has: the theme, times as people say them, buttons that copy, and data that
// comes as scripts, because a page opened from a folder may not fetch.
"use strict";

(() => {
  const root = document.documentElement;

  // --- theme: the system's, unless a person chose -------------------------------------------

  const memory = {
    get(key) { try { return localStorage.getItem(`mlgit.${key}`); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(`mlgit.${key}`, value); } catch { /* private */ } },
    forget(key) { try { localStorage.removeItem(`mlgit.${key}`); } catch { /* private */ } },
  };
  const chosen = memory.get("theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const isDark = () =>
    (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  // --- what a person set on this page, in its address after the "#", so that a link carries it ----

  /** Tells whether the address means a place of the page, such as #main. */
  const isPlace = () => !location.hash.includes("=");

  const state = {
    all() { return new URLSearchParams(isPlace() ? "" : location.hash.slice(1)); },
    get(key) { return state.all().get(key); },
    /** Sets a key, or removes it for null and ""; leaves no step in the browser's history. */
    set(key, value) {
      const every = state.all();
      if (value === null || value === undefined || value === "") every.delete(key);
      else every.set(key, value);
      const text = every.toString();
      const page = location.href.split("#")[0];
      history.replaceState(null, "", text ? `${page}#${text}` : page);
    },
    /** Calls `act` whenever the address comes to say something else, also that nothing is set. */
    follow(act) {
      addEventListener("hashchange", () => { if (!location.hash || !isPlace()) act(); });
    },
  };

  // A link to a place of the page would take from the address what is set.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    const place = link && document.getElementById(link.hash.slice(1));
    if (!place || isPlace() || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    place.tabIndex = -1;
    place.focus();
  });

  // --- data -----------------------------------------------------------------------------------

  const data = new Map();
  const waiting = new Map();

  /** Loads a data script once and returns what it brought, by name. */
  function load(source, name) {
    if (data.has(name)) return Promise.resolve(data.get(name));
    if (!waiting.has(name)) {
      waiting.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = source;
        script.onload = () => (data.has(name) ? resolve(data.get(name)) : reject(new Error(name)));
        script.onerror = () => reject(new Error(name));
        document.head.append(script);
      }));
    }
    return waiting.get(name);
  }

  // --- values ---------------------------------------------------------------------------------

  /** A list or object, as the query language sees it. */
  class Json {
    constructor(text) { this.text = text; }
    toString() { return this.text; }
  }

  /** Returns a cell of the data as a value: see mlgit/site/tables.py. */
  function decode(cell) {
    if (!Array.isArray(cell)) return cell;
    switch (cell[0]) {
      case undefined: return null;
      case "n": return NaN;
      case "+": return Infinity;
      case "-": return -Infinity;
      case "i": return BigInt(cell[1]);
      case "f": return cell[1];
      default: return new Json(cell[1]);
    }
  }

  /** Returns a number in so many digits, as Python's %g writes it. */
  function number(value, digits = 5) {
    if (typeof value === "bigint") return String(value);
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
    const size = Math.abs(value);
    if (size >= 10 ** digits && size < 1e12) return value.toFixed(0);
    if (value === 0) return "0";
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    const power = Number(exponent);
    if (power < -4 || power >= digits) {
      const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
      return `${short}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
    }
    const plain = value.toFixed(Math.max(0, digits - 1 - power));
    return plain.includes(".") ? plain.replace(/\.?0+$/, "") : plain;
  }

  /** Returns a number with the decimals of its column; null: as many as it needs. */
  function decimal(value, digits) {
    if (typeof value !== "number" || digits === null || !Number.isFinite(value)) return number(value, 4);
    return digits ? value.toFixed(digits) : integer(Math.round(value));
  }

  /** Returns an integer with commas; the browser's own way first loads a language, which takes 10 ms. */
  const integer = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, ",");

  const counted = (count, noun) => `${integer(count)} ${noun}${count === 1 ? "" : "s"}`;

  const UNITS = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  function span(seconds) {
    if (seconds === null || seconds === undefined) return "-";
    if (seconds < 1) return `${(seconds * 1000).toFixed(0)} ms`;
    if (seconds < 60) return `${Math.floor(seconds * 10) / 10} s`;
    const whole = Math.floor(seconds);
    for (const [size, unit, restSize, restUnit] of UNITS) {
      if (whole >= size) {
        const rest = Math.floor((whole % size) / restSize);
        return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${restUnit}` : ""}`;
      }
    }
    return "";
  }

  function size(count) {
    for (const [unit, factor] of [["PB", 1e15], ["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
      if (count >= factor) return `${(count / factor).toFixed(1)} ${unit}`;
    }
    return `${count} B`;
  }

  // The same as `harmless` of mlgit/site/render.py.
  const ACTING = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu;
  const harmless = (text) => text.replace(ACTING, "\ufffd");
  const cut = (text, limit = 300) => (text.length <= limit ? text : `${text.slice(0, limit - 1)}…`);

  /** Returns any value in full, as text. */
  function whole(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return Number.isFinite(value) ? String(value) : number(value);
    return harmless(String(value));
  }

  /** The same as `may_be_best` of mlgit/saved.py. */
  const mayBeBest = (status, value) => status === "finished" && Number.isFinite(value);

  // --- times ------------------------------------------------------------------------------------

  const two = (part) => String(part).padStart(2, "0");
  const day = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;

  /** Returns how long ago a moment is; of one more than a month ago, its day. */
  function ago(date, now = Date.now()) {
    const seconds = (now - date) / 1000;
    if (seconds < -60) return day(date);
    if (seconds < 45) return "just now";
    if (seconds < 3570) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
    if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
    if (seconds < 86400 * 30) return `${Math.round(seconds / 86400)} d ago`;
    return day(date);
  }

  function exact(date, stamp) {
    return `${day(date)} ${clock(date)}:${two(date.getSeconds())} here, ${stamp.slice(0, 10)} ${stamp.slice(11, 19)} UTC`;
  }

  function tell(scope) {
    for (const element of scope.querySelectorAll("time[datetime]")) {
      const stamp = element.getAttribute("datetime");
      const date = new Date(stamp);
      if (Number.isNaN(date.getTime())) continue;
      const told = ago(date);
      const long = element.closest(".meta") && !/^\d/.test(told.replace(/^\d+ /, ""));
      element.textContent = long ? `${day(date)} ${clock(date)}, ${told}` : told;
      element.title = exact(date, stamp);
    }
  }

  // --- making elements ----------------------------------------------------------------------------

  /** Makes an element: text is text, never markup. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === false || value === null || value === undefined) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  /** Returns a name in pieces, between which it may be broken into lines: after its joints. */
  const jointed = (text) => text.split(/(?<=[^\W_][._/-]+)(?=[^\W_])/u)
    .flatMap((piece, place) => (place ? [document.createElement("wbr"), piece] : [piece]));

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", { class: "sr" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  window.mlgit = {
    data, load, decode, number, decimal, integer, counted, span, size, cut, whole, harmless, ago, exact, tell, make,
    jointed, copy, memory, state, isDark, mayBeBest, Json,
    put(name, text) { data.set(name, JSON.parse(text)); },
  };

  // --- once the page is there -----------------------------------------------------------------------

  document.addEventListener("DOMContentLoaded", () => {
    tell(document);
    for (const button of document.querySelectorAll("button.theme")) {
      button.hidden = false;
      button.addEventListener("click", () => {
        root.dataset.theme = isDark() ? "light" : "dark";
        memory.set("theme", root.dataset.theme);
        document.dispatchEvent(new Event("mlgit:theme"));
      });
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      document.dispatchEvent(new Event("mlgit:theme")));
    for (const button of document.querySelectorAll("button.copy")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await copy(button.parentElement.querySelector("code").textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
    }
    // A picture that is wider than its place begins at what the page is about.
    for (const focus of document.querySelectorAll(".lineage .focus")) {
      const place = focus.closest(".lineage");
      const [box, here] = [focus.getBoundingClientRect(), place.getBoundingClientRect()];
      place.scrollLeft += (box.left + box.right - here.left - here.right) / 2;
    }
    // What came since this person was here last.
    const rows = document.querySelectorAll("tr[data-started]");
    if (rows.length) {
      const before = memory.get("seen");
      for (const row of rows) {
        if (before && row.dataset.started > before) row.classList.add("new");
      }
      memory.set("seen", rows[0].dataset.started);
    }
  });
})();
