// The registry as of a date: the events of the git tags, folded in the page.
// The rules are those of mlgit/registry/fold.py; tests hold that both agree.
"use strict";

(() => {
  const MANY = ["archived"]; // stages that several versions may be in

  /** Returns a model as it stood at a stored time (null: now), or null if it was not there yet. */
  function fold(model, asOf = null) {
    const versions = []; // in the order in which they were registered
    let last = { when: -Infinity }; // by the git tags' own times
    let changed = null;
    for (const [time, action, what, commit, isStage, by, when] of model.events) {
      if (asOf !== null && time > asOf) continue;
      const event = { time, by };
      if (changed === null || time >= changed.time) changed = event;
      if (when >= last.when) last = { when, action };
      if (action === "register") {
        const known = versions.find((version) => version.place === what);
        if (!known) {
          versions.push({ place: what, commit, stage: null, aliases: [], withdrawn: false, given: new Map() });
        } else if (known.commit === commit) known.withdrawn = false;
      } else if (action === "withdraw") {
        const version = versions.find((each) => each.place === what);
        if (version) Object.assign(version, { withdrawn: true, stage: null, aliases: [] });
      } else if (action === "assign" || action === "unassign") {
        const version = versions.findLast((each) => each.commit === commit);
        if (!version) continue;
        if (action === "unassign") {
          if (version.stage === what) version.stage = null;
          version.aliases = version.aliases.filter((alias) => alias !== what);
        } else if (!version.withdrawn) {
          for (const other of versions) {
            if (isStage && other.stage === what && !MANY.includes(what)) other.stage = null;
            other.aliases = other.aliases.filter((alias) => alias !== what);
          }
          if (isStage) version.stage = what;
          else version.aliases.push(what);
          version.given.set(what, event);
        }
      }
    }
    if (changed === null) return null;
    for (const version of versions) {
      const [number, short, rank, url] = model.versions[version.place];
      Object.assign(version, { number, short, rank, url });
      version.aliases.sort((one, other) => (one < other ? -1 : one > other ? 1 : 0));
    }
    versions.sort((one, other) => other.rank - one.rank);
    return { versions, deprecated: last.action === "deprecate", changed };
  }

  /** Returns what is held, as mlgit/site/pages/registered.py orders it: label, version, event. */
  function held(state) {
    const found = [];
    for (const version of state.versions) {
      for (const label of [version.stage, ...version.aliases]) {
        if (!version.withdrawn && label && label !== "archived") {
          found.push({ label, isStage: label === version.stage, version, event: version.given.get(label) });
        }
      }
    }
    const order = ({ label, isStage }) =>
      (label === "production" ? 0 : label === "staging" ? 1 : isStage ? 2 : 3);
    return found.sort((one, other) => order(one) - order(other) || (one.label < other.label ? -1 : 1));
  }

  window.mlgit.registry = { fold, held };

  // --- the page -------------------------------------------------------------------------------

  const { make, cut, harmless, state: address } = mlgit;
  const root = document.documentElement.dataset.root;

  function stage(label, isStage) {
    const plain = ["production", "staging", "archived"].includes(label);
    const kind = !isStage ? "alias" : plain ? label : "other";
    return make("span", { class: `stage ${kind}` }, make("bdi", {}, cut(harmless(label), 40)));
  }

  const absent = (text) => make("span", { class: "absent" }, text);
  const quiet = (text) => make("span", { class: "quiet" }, text);
  const link = (version) => make("a", { href: root + version.url }, cut(version.short, 40));
  const day = (event) => event.time.slice(0, 10);

  function cells(state, people) {
    const present = state.versions.filter((version) => !version.withdrawn);
    const list = make("ul", { class: "plain held" }, ...held(state).slice(0, 12).map((each) =>
      make("li", {}, stage(each.label, each.isStage), " ", link(each.version), " ",
        quiet(each.event ? `since ${day(each.event)} by ${people[each.event.by]}` : ""))));
    return {
      held: list.children.length ? list : absent("none"),
      latest: present.length ? link(present[0]) : absent("-"),
      count: mlgit.integer(present.length),
      changed: make("span", {}, day(state.changed), " ", quiet(`by ${people[state.changed.by]}`)),
    };
  }

  function prepare(form) {
    const input = form.querySelector("input");
    const now = form.querySelector("[data-now]");
    const told = document.querySelector(".as-of-told");
    const lead = document.querySelector(".lead");
    const rows = [...document.querySelectorAll("tr[data-model]")].map((row) => ({
      row,
      cells: new Map([...row.querySelectorAll("[data-cell]")].map((cell) =>
        [cell.dataset.cell, { cell, content: [...cell.childNodes] }])),
    }));
    const drawn = [...document.querySelectorAll(".timelines article")];

    function restore() {
      for (const { row, cells: shown } of rows) {
        row.hidden = false;
        for (const { cell, content } of shown.values()) cell.replaceChildren(...content);
      }
      for (const each of drawn) each.hidden = false;
      told.hidden = true;
      lead.hidden = false;
      hideEmpty();
    }

    /** Hides a list or timelines among which no model was there yet. */
    function hideEmpty() {
      for (const section of document.querySelectorAll(".models-list, .timelines")) {
        section.hidden = !section.querySelector("tr[data-model]:not([hidden]), article:not([hidden])");
      }
    }

    async function show(date) {
      address.set("as-of", date);
      now.hidden = !date;
      draw(date);
      if (!date) {
        restore();
        return;
      }
      const { models, people } = await mlgit.load(form.dataset.src, form.dataset.name);
      if (input.value !== date) return; // another was picked meanwhile
      const moment = `${date}T23:59:59.999999Z`;
      const states = new Map(models.map((model) => [model.name, fold(model, moment)]));
      let there = 0;
      for (const each of drawn) {
        each.hidden = !states.get(each.querySelector("[data-model]").dataset.model);
      }
      for (const { row, cells: shown } of rows) {
        const state = states.get(row.dataset.model) ?? null;
        row.hidden = state === null;
        if (state === null) continue;
        there += 1;
        const said = cells(state, people);
        for (const [name, { cell }] of shown) cell.replaceChildren(said[name]);
        if (state.deprecated) shown.get("held").cell.append(" ", quiet("deprecated then"));
      }
      hideEmpty();
      told.textContent = there
        ? `As it stood at the end of ${date}, UTC. Names, descriptions and tags are today's.`
        : `At the end of ${date}, UTC, there was no model yet.`;
      told.hidden = false;
      lead.hidden = true; // it counts what there is today
    }

    input.addEventListener("input", () => { if (input.value || !now.hidden) show(input.value); });
    now.addEventListener("click", () => { input.value = ""; show(""); input.focus(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    const follow = () => {
      const date = address.get("as-of") ?? "";
      const known = /^\d{4}-\d\d-\d\d$/.test(date) ? date : "";
      if (known === input.value) return;
      input.value = known;
      show(input.value);
    };
    address.follow(follow);
    form.hidden = false;
    follow();
  }

  /** Covers what came after a day's end in each timeline, behind a line; nothing for "". */
  function draw(date) {
    for (const each of document.querySelectorAll(".as-of-line, svg.lane .later")) each.remove();
    for (const lane of document.querySelectorAll("svg.lane[role]")) {
      lane.dataset.whole ??= lane.getAttribute("aria-label");
      const name = lane.dataset.whole.split(":")[0];
      lane.setAttribute("aria-label", date ? `${name}: what had come by ${date}; the list tells who held it` : lane.dataset.whole);
    }
    if (!date) return;
    for (const figure of document.querySelectorAll("figure.timeline")) {
      const [begin, end] = [figure.dataset.begin, figure.dataset.end].map(Date.parse);
      const part = (Date.parse(`${date}T23:59:59.999Z`) - begin) / (end - begin);
      if (!(part >= 0 && part <= 1)) continue;
      const x = `${100 * part}%`;
      for (const lane of figure.querySelectorAll("svg.lane:not(.axis)")) {
        lane.append(
          shape("rect", { class: "later", x, y: "0", width: `${101 - 100 * part}%`, height: "100%" }),
          shape("line", { class: "as-of-line", x1: x, x2: x, y1: "0", y2: "100%" }),
        );
      }
    }
  }

  function shape(tag, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const form of document.querySelectorAll("form.as-of")) prepare(form);
  });
})();
