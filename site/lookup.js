// The look-up: a hash that was asked for, or that of a file hashed right here, and all it
// belongs to. What is known comes in shards (see mlgit/site/pages/lookup.py).
"use strict";

(() => {
  const PREFIX = 6; // characters that are enough to ask with
  const MOST = 12; // things shown for the beginning of a hash
  const BREATH = 40; // ms after which the page gets time for itself
  const PIECE = 4 * 1024 * 1024; // bytes hashed at once: some milliseconds, so the page stays alive
  const { counted, make, state, load, size, cut, harmless } = mlgit;

  document.addEventListener("DOMContentLoaded", () => {
    const page = document.querySelector(".lookup");
    if (!page) return;
    const form = page.querySelector("form");
    const asked = form.querySelector("input[type=search]");
    const [chooser, folderChooser] = form.querySelectorAll("input[type=file]");
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

    const isAre = (count) => `${mlgit.integer(count)} ${count === 1 ? "is" : "are"}`;

    function share(count, total) {
      if (count === total) return total === 1 ? "Its one file is known." : `Each of its ${mlgit.integer(total)} files is known.`;
      if (!count) return total === 1 ? "Its one file is not known." : `None of its ${mlgit.integer(total)} files is known.`;
      return `Of its ${mlgit.integer(total)} files ${isAre(count)} known.`;
    }

    /** Says which files of a folder are known: as what, or as files of which folders. */
    async function inFolder(members) {
      const folders = new Map(); // how many of the files lie in each
      const alone = []; // files that are known by themselves
      const unknown = [];
      let breath = performance.now();
      for (const { path, md5 } of members) {
        const found = (await known(md5.slice(0, 2))).find((each) => each.hash === md5);
        const shard = page.dataset.files === undefined ? {} : await get(`file-${md5.slice(0, 2)}`);
        const places = Object.hasOwn(shard, md5) ? shard[md5] : [];
        if (found) alone.push([path, found]);
        else if (!places.length) unknown.push(path);
        for (const folder of new Set(places.map(([hash]) => hash))) folders.set(folder, (folders.get(folder) || 0) + 1);
        if (performance.now() - breath > BREATH) {
          await new Promise((done) => setTimeout(done));
          breath = performance.now();
        }
      }
      const count = members.length - unknown.length;
      const most = [...folders].sort(([, one], [, other]) => other - one).slice(0, MOST);
      const of = await Promise.all(most.map(async ([hash, number]) => [(await things(hash))[0], hash, number]));
      const names = (paths) => listed(paths.slice(0, MOST).map((path) => make("b", {}, named(path))), paths.length);
      return make("article", { class: "answer panel" },
        make("p", {}, share(count, members.length)),
        make("ul", { class: "plain" },
          ...of.filter(([folder]) => folder).map(([folder, hash, number]) => make("li", {},
            `${isAre(number)} in the folder `, link(folder.label, folder.url), " ", make("code", { class: "hash" }, hash.slice(0, 10)))),
          ...alone.slice(0, MOST).map(([path, found]) => make("li", {},
            make("b", {}, named(path)), ` is ${KINDS[found.kind]}, `, link(found.label, found.url))),
          unknown.length && count ? make("li", {}, "Not known: ", ...names(unknown)) : null));
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

    /**
     * Answers for every word, under the names of the files and folders they are the hashes of; the first
     * ones are folders, of which `below` has the files, {path, md5}.
     */
    async function ask(words, titles = [], below = []) {
      const mine = ++turn;
      state.set("q", words.join(" "));
      asked.value = words.join(" ");
      const out = [];
      try {
        for (const [place, word] of words.entries()) {
          if (titles[place]) out.push(make("h2", { class: "of" }, named(titles[place]), " ", make("code", { class: "hash" }, word)));
          out.push(...(await answer(word)));
          if (below[place]) out.push(await inFolder(below[place]));
          if (mine !== turn) return;
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

    // --- files and folders --------------------------------------------------------------------------

    const bar = hashing.querySelector("progress");
    const note = hashing.querySelector("p");

    /** Says how far the hashing is, of all that was given. */
    class Work {
      constructor(files) {
        this.started = performance.now();
        this.total = files.reduce((sum, file) => sum + file.size, 0);
        this.files = files.length;
        [this.bytes, this.done] = [0, 0];
      }
      tell(file, bytes) {
        this.bytes += bytes;
        const rate = this.bytes / 1e3 / (performance.now() - this.started);
        const place = this.files > 1 ? `, file ${mlgit.integer(this.done + 1)} of ${mlgit.integer(this.files)}` : "";
        bar.value = this.total ? this.bytes / this.total : this.done / this.files;
        note.textContent = `${harmless(cut(file.name, 60))}${place}: ${size(this.bytes)} of ${size(this.total)}, ${rate.toFixed(0)} MB/s`;
      }
    }

    /** Returns the md5 of a file; null if something else was asked meanwhile. */
    async function hash(file, work, mine) {
      const digest = new mlgit.Md5();
      for (let at = 0; at < file.size; at += PIECE) {
        const piece = await file.slice(at, at + PIECE).arrayBuffer();
        if (mine !== turn) return null;
        digest.update(new Uint8Array(piece));
        work.tell(file, piece.byteLength);
      }
      work.done += 1;
      return digest.hex();
    }

    /** Answers for files, and folders of which `read` returns the files. */
    async function take(files, folders = []) {
      const mine = ++turn;
      const words = [], titles = [], below = [];
      let current = null; // what cannot be read, if something fails
      hashing.hidden = false;
      bar.removeAttribute("value");
      note.textContent = "";
      answers.replaceChildren();
      try {
        for (const { name, read } of folders) {
          current = name;
          const found = await read();
          if (mine !== turn) return;
          if (!found.length) throw new mlgit.folders.Refused("There is no file in it that counts.");
          const work = new Work(found.map(({ file }) => file));
          const members = [];
          for (const { path, file } of found) {
            current = `${name}/${path}`;
            const md5 = await hash(file, work, mine);
            if (mine !== turn) return;
            members.push({ path, md5 });
          }
          words.push(mlgit.folders.hash(members));
          titles.push(name);
          below.push(members);
        }
        const work = new Work(files);
        for (const file of files) {
          current = file.name;
          words.push(await hash(file, work, mine));
          if (mine !== turn) return;
          titles.push(file.name);
        }
      } catch (error) {
        if (mine !== turn) return;
        const reason = error instanceof mlgit.folders.Refused ? error.message : "It cannot be read.";
        bar.value = 0;
        note.textContent = `${harmless(cut(current, 80))}: ${reason}`;
        return;
      }
      hashing.hidden = true;
      ask(words, titles, below);
    }

    const TAKEN = 20; // files and folders at once

    /** Takes what was dropped; has to be called while the event is there. */
    function takeDropped(transfer) {
      const entries = [...transfer.items].filter((item) => item.kind === "file")
        .map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
      const folders = entries.filter(({ entry }) => entry?.isDirectory).map(({ entry }) => ({
        name: entry.name,
        read: () => mlgit.folders.dropped(entry, (count) => { note.textContent = `${harmless(cut(entry.name, 60))}: ${counted(count, "file")}`; }),
      }));
      const files = entries.filter(({ entry, file }) => file && !entry?.isDirectory).map(({ file }) => file);
      takeSome(files, folders);
    }

    function takeSome(files, folders = []) {
      const count = files.length + folders.length;
      if (count > TAKEN) {
        turn += 1;
        hashing.hidden = false;
        bar.value = 0;
        note.textContent = `These are ${mlgit.integer(count)} files; at most ${TAKEN} are taken at once. Drop the folder that they lie in.`;
      } else if (count) {
        take(files, folders);
      }
    }

    chooser.addEventListener("change", () => {
      const chosen = [...chooser.files];
      chooser.value = ""; // or the same file, changed since, could not be chosen again
      takeSome(chosen);
    });
    folderChooser.addEventListener("change", () => {
      const chosen = [...folderChooser.files];
      folderChooser.value = "";
      if (!chosen.length) return;
      const [name] = chosen[0].webkitRelativePath.split("/");
      takeSome([], [{ name, read: () => mlgit.folders.chosen(chosen) }]);
    });
    for (const kind of ["dragover", "drop"]) {
      document.addEventListener(kind, (event) => {
        event.preventDefault();
        if (kind === "drop") takeDropped(event.dataTransfer);
      });
    }
    document.addEventListener("dragover", () => page.classList.add("over"));
    for (const kind of ["drop", "dragleave"]) document.addEventListener(kind, () => page.classList.remove("over"));

    const follow = () => {
      const words = split(state.get("q") || "");
      if (words.join(" ") !== asked.value) ask(words);
    };
    state.follow(follow);
    follow();
  });
})();
