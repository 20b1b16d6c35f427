// The look-up: a hash that was asked for, or that of a file hashed right here, and all it
// belongs to. What is known comes in shards (see mlgit/site/pages/lookup.py).
"use strict";

(() => {
  const PREFIX = 6; // characters that are enough to ask with
  const MOST = 12; // things shown for the beginning of a hash
  const PIECE = 4 * 1024 * 1024; // bytes hashed at once: some milliseconds, so the page stays alive
  const { counted, make, state, load, size, cut, harmless } = mlgit;

  document.addEventListener("DOMContentLoaded", () => {
    const page = document.querySelector(".lookup");
    if (!page) return;
    const form = page.querySelector("form");
    const asked = form.querySelector("input[type=search]");
    const chooser = form.querySelector("input[type=file]");
    const answers = page.querySelector(".answers");
    const hashing = page.querySelector(".hashing");
    const root = document.documentElement.dataset.root;
    const shards = new Set(page.dataset.shards.split(" "));
    form.hidden = false;
    let turn = 0; // of questions: an answer that comes late is not shown

    // --- what is known ------------------------------------------------------------------------

    const get = (shard) => load(`${root}data/lookup/${shard}.js`, `lookup/${shard}`);
    const known = (shard) => (shards.has(shard) ? get(shard) : Promise.resolve([]));

    /** Returns the things whose hash begins so. */
    async function things(text) {
      if (!/^[0-9a-f]{6,64}(\.(d(ir?)?)?)?$/.test(text)) return [];
      return (await known(text.slice(0, 2))).filter((thing) => thing.hash.startsWith(text));
    }

    async function runs(text) {
      if (!/^[0-9a-z]{6,26}$/.test(text)) return [];
      return (await known(`run-${text.slice(0, 4)}`)).filter((run) => run.id.startsWith(text));
    }

    /** Returns files in folders by the beginning of their hash: hash, and where each lies. */
    async function files(text) {
      if (page.dataset.files === undefined || !/^[0-9a-f]{6,32}$/.test(text)) return [];
      const shard = await get(`file-${text.slice(0, 2)}`);
      return Object.entries(shard).filter(([md5]) => md5.startsWith(text));
    }

    // --- saying it ------------------------------------------------------------------------------

    const named = (label) => make("bdi", { title: label.length > 80 ? harmless(cut(label)) : null }, harmless(cut(label, 80)));
    const link = (label, url) => (url ? make("a", { href: root + url }, named(label)) : make("b", {}, named(label)));

    function listed(items, total) {
      const out = [];
      items.forEach((item, place) => {
        if (place) out.push(place === items.length - 1 && total === items.length ? " and " : ", ");
        out.push(item);
      });
      if (total > items.length) out.push(` and ${mlgit.integer(total - items.length)} more`);
      return out;
    }

    /** "used by 12 runs: a, b and 10 more" */
    function ofRuns(verb, found) {
      if (!found) return [];
      const [count, few] = found;
      const links = listed(few.map(([label, url]) => link(label, url)), count);
      return count === 1 ? [`${verb} the run `, ...links] : [`${verb} ${counted(count, "run")}: `, ...links];
    }

    function ofModels(found) {
      if (!found) return make("p", { class: "quiet" }, "No registered version of a model came of it.");
      const [count, few] = found;
      const links = few.map(([name, url, stage]) =>
        make("span", { class: "version" }, link(name, url), stage ? " " : null, stage ? make("span", { class: "tag" }, harmless(cut(stage, 40))) : null));
      return make("p", { class: "came" }, `${counted(count, "registered version")} came of it: `, ...listed(links, count), ".");
    }

    const KINDS = {
      dataset: "a dataset", artifact: "an artifact", model: "a model", commit: "a commit of the code",
      snapshot: "uncommitted work", environment: "an environment: the packages that were installed",
      version: "the commit of a registered version",
    };

    function thing(found) {
      const facts = [KINDS[found.kind]];
      if (found.size !== undefined) facts.push(` of ${size(found.size)}`);
      if (found.files !== undefined) facts.push(` in ${counted(found.files, "file")}`);
      const told = [
        ofRuns("made by", found.made),
        ofRuns(found.made ? "and read by" : "read by", found.used),
        ofRuns(found.kind === "environment" ? "seen by" : "run by", found.ran),
      ].filter((part) => part.length);
      const sentence = told.flatMap((part) => [", ", ...part]);
      const isPlain = found.kind === "commit" || found.kind === "snapshot" || found.kind === "environment";
      return make("article", { class: "answer panel" },
        make("h2", {}, isPlain ? make("code", {}, found.label) : link(found.label, found.url)),
        make("p", {}, "This is ", ...facts, ...sentence, "."),
        found.kind === "environment" ? null : ofModels(found.models),
        found.lost ? make("p", { class: "quiet" }, "Only its hash was kept.") : null,
        make("p", { class: "quiet" }, make("code", {}, found.hash)));
    }

    function run(found) {
      const date = make("time", { datetime: found.started }, found.started.slice(0, 16).replace("T", " "));
      const box = make("article", { class: "answer panel" },
        make("h2", {}, link(found.label, found.url)),
        make("p", {}, "This is a run of ", make("bdi", {}, harmless(found.experiment)), `, ${found.status}${found.deleted ? " and deleted" : ""}, started `, date, "."),
        ofModels(found.models),
        make("p", { class: "quiet" }, make("code", {}, found.id)));
      mlgit.tell(box);
      return box;
    }

    /** Says in which folders a file lies, and what is known of them. */
    async function inside(md5, places) {
      const folders = await Promise.all(places.map(async ([folder]) => (await things(folder))[0]));
      return places.map(([, path], place) => {
        const folder = folders[place];
        if (!folder) return null;
        const box = thing(folder);
        box.prepend(make("p", { class: "inside" }, "It is the file ", make("b", {}, named(path)), " of this folder:"));
        return box;
      }).filter(Boolean);
    }

    function nothing(text) {
      const closed = Number(page.dataset.closed);
      const short = text.length < PREFIX;
      return make("article", { class: "answer panel" },
        make("p", {}, short
          ? `Write at least ${PREFIX} characters of it.`
          : make("span", {}, "Nothing that is recorded here begins with ", make("code", {}, harmless(cut(text, 80))), ".")),
        closed && !short ? make("p", { class: "quiet" }, `But ${counted(closed, "folder")} could not be looked into; a file that lies in one is not found.`) : null,
        short ? null : make("p", { class: "quiet" }, "Asked in a clone: ", make("code", {}, `mlgit lineage ${cut(harmless(text), 80)}`)));
    }

    async function answer(text) {
      const word = text.toLowerCase();
      const found = [...(await things(word)).map(thing), ...(await runs(word)).map(run)];
      const direct = found.length;
      for (const [md5, places] of (await files(word)).slice(0, MOST)) {
        if (direct && md5 !== word) continue;
        found.push(...(await inside(md5, places)));
      }
      const out = found.slice(0, MOST);
      if (found.length > MOST) out.push(make("p", { class: "quiet" }, `And ${counted(found.length - MOST, "other")}; write more of it.`));
      return out.length ? out : [nothing(text)];
    }

    // --- asking ---------------------------------------------------------------------------------

    /** Answers for every word, under the names of the files they are the hashes of. */
    async function ask(words, titles = []) {
      const mine = ++turn;
      state.set("q", words.join(" "));
      asked.value = words.join(" ");
      const out = [];
      try {
        for (const [place, word] of words.entries()) {
          if (titles[place]) out.push(make("h2", { class: "of" }, named(titles[place]), " ", make("code", { class: "hash" }, word)));
          out.push(...(await answer(word)));
        }
      } catch (error) {
        out.push(make("p", { class: "banner error" }, `The data of the look-up cannot be loaded: ${error.message}`));
      }
      if (mine === turn) answers.replaceChildren(...out);
    }

    const split = (text) => text.trim().split(/[\s,]+/).filter(Boolean).slice(0, 20);

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      hashing.hidden = true;
      ask(split(asked.value));
    });

    // --- files ------------------------------------------------------------------------------------

    async function hash(file, mine) {
      const digest = new mlgit.Md5();
      const started = performance.now();
      for (let at = 0; at < file.size; at += PIECE) {
        const piece = await file.slice(at, at + PIECE).arrayBuffer();
        if (mine !== turn) return null;
        digest.update(new Uint8Array(piece));
        const rate = digest.length / 1e3 / (performance.now() - started);
        hashing.querySelector("progress").value = digest.length / file.size;
        hashing.querySelector("p").textContent = `${harmless(cut(file.name, 60))}: ${size(digest.length)} of ${size(file.size)}, ${rate.toFixed(0)} MB/s`;
      }
      return digest.hex();
    }

    async function take(chosen) {
      const mine = ++turn;
      const words = [], titles = [];
      hashing.hidden = false;
      answers.replaceChildren();
      for (const file of chosen.slice(0, 20)) {
        try {
          const md5 = await hash(file, mine);
          if (md5 === null) return;
          words.push(md5);
          titles.push(file.name);
        } catch (error) {
          hashing.querySelector("p").textContent = `${harmless(cut(file.name, 60))} cannot be read. Of a folder, drop the files in it.`;
          return;
        }
      }
      hashing.hidden = true;
      if (words.length) ask(words, titles);
    }

    chooser.addEventListener("change", () => {
      const chosen = [...chooser.files];
      chooser.value = ""; // or the same file, changed since, could not be chosen again
      if (chosen.length) take(chosen);
    });
    for (const kind of ["dragover", "drop"]) {
      document.addEventListener(kind, (event) => {
        event.preventDefault();
        if (kind === "drop" && event.dataTransfer.files.length) take([...event.dataTransfer.files]);
      });
    }
    document.addEventListener("dragover", () => page.classList.add("over"));
    for (const kind of ["drop", "dragleave"]) document.addEventListener(kind, () => page.classList.remove("over"));

    const follow = () => {
      const words = split(state.get("q") || "");
      if (words.length && words.join(" ") !== asked.value) ask(words);
    };
    addEventListener("hashchange", follow);
    follow();
  });
})();
