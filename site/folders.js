// A folder that was dropped or chosen, as mlgit and DVC see it (mlgit/data/hashing.py and dvc_repo.py):
// which of its files count, and the list of them that its hash is made of.
//
// A file of a folder is {path, file}: its path within the folder with slashes, unchanged, as DVC takes it:
// names are not brought into one of Unicode's forms. What a .dvcignore above the folder leaves out counts
// here, because a page does not see it.
"use strict";

(() => {
  const MOST = 50_000; // files of a folder
  const LEFT_OUT = new Set([".git", ".hg", ".dvc"]); // folders in it, and folders that have a .dvc

  /** Says why a folder has no hash, in a sentence for people. */
  class Refused extends Error {}

  const tooMany = () => new Refused(
    `It has more than ${mlgit.integer(MOST)} files, which is too much for a page. In a clone, mlgit lineage takes any folder.`);

  // Chromium lets no page that was opened as a file read a folder in this way. It would by file system
  // handles, but those leave out files by their names, and the hash would be another.
  function unreadable() {
    throw new Refused("The browser does not let this page read a folder that is dropped; choose it with the button instead.");
  }

  // --- which files --------------------------------------------------------------------------------

  /** Returns the entries of a folder that was dropped; the browser hands out a hundred at a time. */
  async function entriesOf(folder) {
    const reader = folder.createReader();
    const found = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(unreadable);
      if (!some.length) return found;
      found.push(...some);
      if (found.length > MOST) throw tooMany();
    }
  }

  /** Returns the files of a folder that was dropped; `tell` is told how many there are so far. */
  async function dropped(folder, tell) {
    const found = [];
    const pending = [["", folder]];
    while (pending.length) {
      const [prefix, above] = pending.pop();
      const entries = await entriesOf(above);
      if (prefix && entries.some((entry) => entry.name === ".dvc")) continue;
      for (const entry of entries) {
        const path = prefix + entry.name;
        if (entry.isDirectory && LEFT_OUT.has(entry.name)) continue;
        if (entry.isDirectory) pending.push([`${path}/`, entry]);
        else found.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
        if (found.length + pending.length > MOST) throw tooMany();
      }
      tell(found.length);
    }
    return counting(found);
  }

  /** Returns the files of a folder that was chosen, of which a browser says all, with their paths. */
  function chosen(list) {
    const found = counting(list.map((file) => {
      const path = file.webkitRelativePath.replace(/^[^/]*\//, "");
      // The name once more, because Chromium makes a slash of a backslash in the path.
      return { path: path.slice(0, path.length - file.name.length) + file.name, file };
    }));
    if (found.length > MOST) throw tooMany();
    return found;
  }

  /** Returns those files of a folder that count. */
  function counting(files) {
    const split = files.map(({ path }) => path.split("/"));
    const repositories = new Set();
    for (const parts of split) {
      const at = parts.indexOf(".dvc");
      if (at > 0) repositories.add(parts.slice(0, at).join("/"));
    }
    const isOut = (parts) => parts.at(-1) === ".git" || parts.slice(0, -1).some((part, at) =>
      LEFT_OUT.has(part) || repositories.has(parts.slice(0, at + 1).join("/")));
    const found = files.filter((_, place) => !isOut(split[place]));
    const ignoring = found.find(({ path }) => /(^|\/)\.dvcignore$/.test(path));
    if (ignoring) throw new Refused(`${mlgit.harmless(mlgit.cut(ignoring.path, 80))} lies in it, and DVC takes no folder with an ignore file in it.`);
    return found;
  }

  // --- its hash -----------------------------------------------------------------------------------

  // Python puts texts in order by code points, JavaScript by halves of surrogate pairs.
  const rank = (unit) => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800);

  function byCodePoint(one, other) {
    const shorter = Math.min(one.length, other.length);
    for (let at = 0; at < shorter; at += 1) {
      const [a, b] = [one.charCodeAt(at), other.charCodeAt(at)];
      if (a !== b) return rank(a) - rank(b);
    }
    return one.length - other.length;
  }

  /** Returns a text as Python's json spells it, in ASCII. */
  const spelled = (text) => JSON.stringify(text).replace(/[\x7f-\uffff]/g, (char) =>
    `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);

  /** Returns the hash of a folder by its files, {path, md5}. */
  function hash(members) {
    const ordered = [...members].sort((one, other) => byCodePoint(one.path, other.path));
    const items = ordered.map(({ path, md5 }) => `{"md5": ${spelled(md5)}, "relpath": ${spelled(path)}}`);
    return `${new mlgit.Md5().update(new TextEncoder().encode(`[${items.join(", ")}]`)).hex()}.dir`;
  }

  mlgit.folders = { Refused, dropped, chosen, hash };
})();
