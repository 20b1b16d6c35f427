// The language of `mlgit log --where` and `--sort`, as mlgit/query.py has it: text in, a predicate
// or sort keys out. tests/query_cases.json holds for both; that module's docstring tells the rules.
//
// A number is a Number, or a BigInt where a Number cannot hold it; a list or object is an
// `mlgit.Json`. A Number without decimals counts as an integer: its text has no ".0".
"use strict";

(() => {
  const MAX_LENGTH = 10_000; // characters
  const MAX_NESTING = 100; // parentheses and `not` inside each other
  const LONGEST_INTEGER = 4300; // digits; Python reads one of more as a float

  const ATTRIBUTES = ["id", "name", "experiment", "status", "started", "ended", "duration",
    "user", "email", "commit", "branch", "parent", "note"];
  const PARTS = ["last", "min", "max", "step", "count"];
  const KINDS = new Map(["param", "tag", "metric", "attribute"].flatMap((kind) => [[`${kind}s`, kind], [kind, kind]]));
  const KEYWORDS = new Set(["and", "or", "not", "in", "like", "is"]);

  const WORD = /[\p{L}\p{N}_./-]+/uy;
  const BARE = /[\p{L}\p{N}_./:@%+-]+/uy;
  const PART = new RegExp(`\\.(?:${PARTS.join("|")})(?![\\p{L}\\p{N}_./-])`, "uy");
  const OPERATOR = /==|!=|<>|<=|>=|=|<|>/y;
  const ENDS_LIKE_PART = new RegExp(`\\.(?:${PARTS.join("|")})$`);
  const IS_WORD = /^[\p{L}\p{N}_./-]+$/u;
  const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
  const NUMBER = /^[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)$/i;
  const INTEGER = /^[+-]?[0-9]+$/;

  // From how many characters on `=` takes the literal for the beginning of the value.
  const PREFIX_FROM = { started: 1, ended: 1, id: 4, parent: 4, commit: 4 };

  const QUOTING = "a key or value with spaces or signs is quoted: metrics.\"val loss\", 'first try'";

  const length = (text) => [...text].length; // in code points

  /** Says what is wrong with a text, and where: `at` counts UTF-16 units from 0, `column` characters from 1. */
  class QueryError extends Error {
    constructor(subject, problem, text, at, hint) {
      const column = length(text.slice(0, at)) + 1;
      super(`cannot read the ${subject} at column ${column}: ${problem}`);
      Object.assign(this, { problem, text, at, column, hint });
    }
  }

  // --- reading ------------------------------------------------------------------------------

  /** Reads one text from left to right; `at` is where the next character stands. */
  class Reader {
    constructor(text, subject) {
      this.text = text;
      this.subject = subject;
      this.at = 0;
      this.fields = [];
      if (text.length > MAX_LENGTH && length(text) > MAX_LENGTH) {
        const end = [...text].slice(0, MAX_LENGTH).join("").length;
        throw this.error("it is longer than 10,000 characters", end);
      }
    }

    error(problem, at = this.at, hint = null) {
      return new QueryError(this.subject, problem, this.text, at, hint);
    }

    skip() {
      while (SPACE.test(this.text.charAt(this.at))) this.at += 1;
      return this.at;
    }

    /** Takes what stands right here if it is of this kind, else nothing. */
    take(pattern) {
      pattern.lastIndex = this.at;
      const found = pattern.exec(this.text);
      if (found === null) return "";
      this.at += found[0].length;
      return found[0];
    }

    sign(sign) {
      const found = this.text.startsWith(sign, this.skip());
      if (found) this.at += sign.length;
      return found;
    }

    expect(sign, problem) {
      if (!this.sign(sign)) throw this.error(problem, this.at, QUOTING);
    }

    /** Takes the next word if it is one of these, else nothing. */
    keyword(...words) {
      const start = this.skip();
      const word = this.take(WORD).toLowerCase();
      if (words.includes(word)) return word;
      this.at = start;
      return "";
    }

    /** Takes a string that opens right here with one of these quotes; null if none does. */
    quoted(quotes) {
      const quote = this.text.charAt(this.at);
      if (!quote || !quotes.includes(quote)) return null;
      let end = this.text.indexOf(quote, this.at + 1);
      while (end >= 0 && this.text.charAt(end + 1) === quote) end = this.text.indexOf(quote, end + 2);
      if (end < 0) throw this.error(`this ${quote} is never closed`);
      const inside = this.text.slice(this.at + 1, end);
      this.at = end + 1;
      return inside.replaceAll(quote + quote, quote);
    }

    finish(expected) {
      if (this.skip() < this.text.length) throw this.error(`${expected} is expected`, this.at, QUOTING);
    }

    field() {
      const start = this.skip();
      const word = this.take(WORD);
      if (!word || KEYWORDS.has(word.toLowerCase())) {
        throw this.error("a field is expected, such as status or metrics.rmse", start);
      }
      const dot = word.indexOf(".");
      let kind = dot < 0 ? undefined : KINDS.get(word.slice(0, dot));
      let key = kind ? word.slice(dot + 1) : word;
      let part = "";
      if (!kind) {
        kind = "attribute";
      } else if (!key) {
        key = this.quoted('"`') || "";
        if (!key) throw this.error(`a key is expected after '${word}'`, this.at, QUOTING);
        if (kind === "metric") part = this.take(PART).slice(1);
      } else if (kind === "metric") {
        const found = key.search(ENDS_LIKE_PART);
        if (found > 0) [key, part] = [key.slice(0, found), key.slice(found + 1)];
      }
      if (kind === "attribute" && !ATTRIBUTES.includes(key)) throw this.unknown(key, start);
      return { kind, key, part: kind === "metric" ? part || "last" : "" };
    }

    unknown(name, at) {
      const dot = name.indexOf(".");
      const prefix = (dot < 0 ? name : name.slice(0, dot)).toLowerCase();
      const near = nearest(prefix, dot < 0 ? ATTRIBUTES : [...KINDS.keys()]);
      const either = ["metric", "param"].map((kind) => spelled({ kind, key: name, part: "" }));
      return this.error(
        `there is no field '${name}'; there are ${ATTRIBUTES.join(", ")}, metrics.KEY, params.KEY and tags.KEY`,
        at,
        near ? `did you mean ${near}${dot < 0 ? "" : name.slice(dot)}?` : `write ${either.join(" or ")}`,
      );
    }

    sortKey() {
      if (this.sign("-")) return { field: this.field(), descending: true };
      return { field: this.field(), descending: this.keyword("asc", "desc") === "desc" };
    }

    either(depth = 0) {
      const tests = [this.every(depth)];
      while (this.keyword("or")) tests.push(this.every(depth));
      return tests.length === 1 ? tests[0] : (row) => tests.some((test) => test(row));
    }

    every(depth) {
      const tests = [this.term(depth)];
      while (this.keyword("and")) tests.push(this.term(depth));
      return tests.length === 1 ? tests[0] : (row) => tests.every((test) => test(row));
    }

    term(depth) {
      if (depth > MAX_NESTING) throw this.error(`it is nested deeper than ${MAX_NESTING} levels`, this.skip());
      if (this.keyword("not")) return not(this.term(depth + 1));
      const opened = this.skip();
      if (!this.sign("(")) return this.comparison();
      const test = this.either(depth + 1);
      this.expect(")", `')' is expected for the '(' of column ${length(this.text.slice(0, opened)) + 1}`);
      return test;
    }

    /** Returns the place of a field in the rows. */
    place(field) {
      const known = this.fields.findIndex((each) =>
        each.kind === field.kind && each.key === field.key && each.part === field.part);
      return known < 0 ? this.fields.push(field) - 1 : known;
    }

    comparison() {
      const field = this.field();
      const column = this.place(field);
      const after = this.skip();
      const sign = this.take(OPERATOR);
      if (sign) return this.compared(field, column, { "==": "=", "<>": "!=" }[sign] || sign, sign);
      if (this.keyword("is")) {
        const negated = this.keyword("not");
        if (!this.keyword("null")) throw this.error("'null' or 'not null' is expected after 'is'");
        return negated ? present(column) : not(present(column));
      }
      const negated = this.keyword("not");
      let test;
      if (this.keyword("in")) {
        test = this.oneOf(field, column);
      } else if (this.keyword("like")) {
        test = like(column, this.literal("like").text);
      } else if (negated) {
        throw this.error("'in' or 'like' is expected after 'not'");
      } else if (after === this.text.length || this.keyword("and", "or") || this.sign(")")) {
        this.at = after;
        return present(column);
      } else {
        throw this.error(`after ${spelled(field)} one of = != < <= > >= in like is is expected`, this.at, QUOTING);
      }
      return negated ? (row) => row[column] !== null && !test(row) : test;
    }

    oneOf(field, column) {
      this.expect("(", "'(' is expected after 'in'");
      const literals = [this.valueOf(field, "(")];
      while (this.sign(",")) literals.push(this.valueOf(field, ","));
      this.expect(")", "',' or ')' is expected");
      return oneOf(column, literals);
    }

    /** Reads the literal that stands after `after`, and makes the comparison with it. */
    compared(field, column, op, after) {
      const start = this.skip();
      const literal = this.valueOf(field, after);
      if (literal === null) {
        if (op !== "=" && op !== "!=") {
          throw this.error("null has no order", start, "write 'is null' or 'is not null'");
        }
        return op === "!=" ? present(column) : not(present(column));
      }
      if (literal.number !== null) return againstNumber(column, op, literal.number);
      return againstText(column, op, literal.text, literal.isPrefix);
    }

    /** Reads the literal that stands after `after`, as it is meant for this field; null for null. */
    valueOf(field, after) {
      const { text, bare } = this.literal(after);
      if (bare && text.toLowerCase() === "null") return null;
      const isText = field.kind === "attribute" && field.key !== "duration";
      return {
        text,
        number: bare && !isText ? numberOf(text) : null,
        isPrefix: isText && length(text) >= (PREFIX_FROM[field.key] ?? Infinity),
      };
    }

    literal(after) {
      const start = this.skip();
      const quoted = this.quoted("'\"");
      if (quoted !== null) return { text: quoted, bare: false };
      const text = this.take(BARE);
      if (!text || KEYWORDS.has(text.toLowerCase())) {
        const hint = start < this.text.length ? QUOTING : null;
        throw this.error(`a value is expected after '${after}'`, start, hint);
      }
      return { text, bare: true };
    }
  }

  /** Returns the word that a mistyped one is nearest to, if it is near at all. */
  function nearest(word, among) {
    let best = null;
    let least = Math.max(1, Math.floor(word.length / 3)) + 1;
    for (const each of among) {
      const away = distance(word, each);
      if (away < least) [best, least] = [each, away];
    }
    return best;
  }

  /** Returns how many letters must be put in, left out or changed (Levenshtein). */
  function distance(from, to) {
    let row = Array.from({ length: to.length + 1 }, (_, place) => place);
    for (let i = 0; i < from.length; i += 1) {
      const next = [i + 1];
      for (let j = 0; j < to.length; j += 1) {
        next.push(Math.min(row[j] + (from[i] !== to[j]), row[j + 1] + 1, next[j] + 1));
      }
      row = next;
    }
    return row[to.length];
  }

  // --- values -------------------------------------------------------------------------------

  /** Reads a number or truth value as a bare literal is read; null if it is neither. */
  function numberOf(text) {
    const lower = text.toLowerCase();
    if (lower === "true") return 1;
    if (lower === "false") return 0;
    if (!NUMBER.test(text)) return null;
    if (INTEGER.test(text)) {
      const digits = text.replace(/^[+-]/, "");
      if (digits.length > LONGEST_INTEGER) return Number(text);
      const number = Number(text);
      if (Number.isSafeInteger(number)) return number;
      return text.startsWith("-") ? -BigInt(digits) : BigInt(digits);
    }
    if (lower.endsWith("nan")) return NaN;
    if (lower.includes("inf")) return lower.startsWith("-") ? -Infinity : Infinity;
    return Number(text);
  }

  const isNumber = (value) => typeof value === "number" || typeof value === "bigint";

  /** Returns the text that a value is compared by, as Python's JSON spells it. */
  function textOf(value) {
    if (typeof value !== "number") return String(value);
    if (Number.isNaN(value)) return "NaN";
    if (Number.isSafeInteger(value) || !Number.isFinite(value)) return String(value);
    const [mantissa, exponent] = value.toExponential().split("e");
    const power = Number(exponent);
    if (power < -4 || power >= 16) {
      return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
    }
    if (power >= 0) return Number.isInteger(value) ? `${value}.0` : String(value);
    const sign = value < 0 ? "-" : "";
    return `${sign}0.${"0".repeat(-power - 1)}${mantissa.replace(/[-.]/g, "")}`;
  }

  /** Orders two texts by code point, as UTF-16 does not beyond U+D7FF. */
  function order(left, right) {
    if (left === right) return 0;
    const end = Math.min(left.length, right.length);
    for (let i = 0; i < end; i += 1) {
      const [a, b] = [left.charCodeAt(i), right.charCodeAt(i)];
      if (a !== b) return weight(a) - weight(b);
    }
    return left.length - right.length;
  }
  const weight = (unit) => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800);

  /** Returns an integer as a Number where that is the same number, so that a Set finds it. */
  function inSet(number) {
    if (typeof number !== "bigint") return number;
    const plain = Number(number);
    return Number.isFinite(plain) && BigInt(plain) === number ? plain : number;
  }

  // --- testing rows ----------------------------------------------------------------------------

  // A BigInt equals a Number only by the loose signs, and compares exactly with one.
  const NUMBERS = {
    "=": (a, b) => a == b, "!=": (a, b) => a != b,
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
  };
  const WITH_NAN = { ...NUMBERS, "=": (a) => Number.isNaN(a), "!=": (a) => !Number.isNaN(a) };
  const TEXTS = {
    "=": (a, b) => a === b, "!=": (a, b) => a !== b,
    "<": (a, b) => order(a, b) < 0, "<=": (a, b) => order(a, b) <= 0,
    ">": (a, b) => order(a, b) > 0, ">=": (a, b) => order(a, b) >= 0,
  };
  const PREFIXES = { ...TEXTS, "=": (a, b) => a.startsWith(b), "!=": (a, b) => !a.startsWith(b) };

  const present = (column) => (row) => row[column] !== null;
  const not = (test) => (row) => !test(row);

  function againstNumber(column, op, number) {
    const compare = (Number.isNaN(number) ? WITH_NAN : NUMBERS)[op];
    return (row) => {
      let value = row[column];
      if (typeof value === "number") return compare(value, number);
      if (value === null) return false;
      if (typeof value === "string") value = numberOf(value);
      else if (typeof value === "boolean") value = Number(value);
      return isNumber(value) ? compare(value, number) : op === "!=";
    };
  }

  function againstText(column, op, text, byPrefix) {
    const compare = (byPrefix ? PREFIXES : TEXTS)[op];
    const hasOrder = op !== "=" && op !== "!=";
    const number = numberOf(text);
    const onNumber = number === null ? () => op === "!=" : againstNumber(column, op, number);
    return (row) => {
      const value = row[column];
      if (typeof value === "string") return compare(value, text);
      if (isNumber(value) || typeof value === "boolean") return onNumber(row);
      return value !== null && !hasOrder && compare(textOf(value), text);
    };
  }

  /** Returns `=` with any of the literals: a look into sets, however many there are. */
  function oneOf(column, literals) {
    const [bare, quoted, texts] = [new Set(), new Set(), new Set()];
    const beginnings = [];
    const hasNull = literals.includes(null);
    for (const literal of literals) {
      if (literal === null) continue;
      if (literal.number !== null) {
        bare.add(inSet(literal.number));
        continue;
      }
      const number = numberOf(literal.text);
      if (number !== null) quoted.add(inSet(number));
      if (literal.isPrefix) beginnings.push(literal.text);
      else texts.add(literal.text);
    }
    return (row) => {
      const value = row[column];
      if (value === null) return hasNull;
      if (isNumber(value) || typeof value === "boolean") {
        const number = inSet(typeof value === "boolean" ? Number(value) : value);
        return bare.has(number) || quoted.has(number);
      }
      const text = textOf(value);
      if (texts.has(text) || beginnings.some((begins) => text.startsWith(begins))) return true;
      const number = typeof value === "string" && bare.size ? numberOf(value) : null;
      return number !== null && bare.has(inSet(number));
    };
  }

  /** Returns `like`, by going back to the last "%" only: a regular expression could take for ever. */
  function like(column, pattern) {
    const wanted = [...pattern];
    return (row) => {
      if (row[column] === null) return false;
      const text = [...textOf(row[column])];
      let [at, place, run, from] = [0, 0, -1, 0];
      while (at < text.length) {
        if (wanted[place] === "%") {
          [run, from] = [place, at];
          place += 1;
        } else if (place < wanted.length && (wanted[place] === "_" || wanted[place] === text[at])) {
          at += 1;
          place += 1;
        } else if (run >= 0) {
          from += 1;
          [at, place] = [from, run + 1];
        } else {
          return false;
        }
      }
      while (wanted[place] === "%") place += 1;
      return place === wanted.length;
    };
  }

  // --- what others call ---------------------------------------------------------------------------

  /** Reads a condition: `matches(row)` where `row[i]` is the value of `fields[i]`, null if absent. */
  function parse(text) {
    const reader = new Reader(text, "condition");
    if (!reader.text.slice(reader.skip())) return { fields: [], matches: () => true };
    const matches = reader.either();
    reader.finish("'and' or 'or'");
    return { fields: reader.fields, matches };
  }

  /** Reads sort keys, the most important first: [{field, descending}]. */
  function parseSort(text) {
    return listed(text, "sort order", (reader) => reader.sortKey());
  }

  /** Reads fields with commas between them. */
  function parseFields(text) {
    return listed(text, "list of fields", (reader) => reader.field());
  }

  function listed(text, subject, read) {
    const reader = new Reader(text, subject);
    if (!reader.text.slice(reader.skip())) return [];
    const found = [read(reader)];
    while (reader.sign(",")) found.push(read(reader));
    reader.finish("','");
    return found;
  }

  /** Returns a field as it is written, which reads back. */
  function spelled({ kind, key, part }) {
    if (kind === "attribute") return key;
    const plain = IS_WORD.test(key) && !(kind === "metric" && ENDS_LIKE_PART.test(key));
    const written = plain ? key : `"${key.replaceAll('"', '""')}"`;
    return `${kind}s.${written}${part && part !== "last" ? `.${part}` : ""}`;
  }

  /** Returns a text as a condition spells it. */
  const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

  /**
   * Returns positions in order; those with equal keys keep theirs. `values(field)` gives the
   * values of a field by position. Numbers come before texts and texts before the rest, all
   * turned around by `descending`; what is absent, and NaN, comes last either way.
   */
  function sorted(positions, keys, values) {
    const columns = keys.map(({ field, descending }) => [...ranked(positions, values(field)), descending]);
    const compare = (left, right) => {
      for (const [kinds, found, descending] of columns) {
        const [a, b] = [kinds[left], kinds[right]];
        if (a === LAST || b === LAST) {
          if (a !== b) return a === LAST ? 1 : -1;
          continue;
        }
        const [x, y] = [found[left], found[right]];
        const way = a - b || (a ? order(x, y) : x < y ? -1 : x > y ? 1 : 0);
        if (way) return descending ? -way : way;
      }
      return 0;
    };
    return keys.length ? [...positions].sort(compare) : [...positions];
  }

  const LAST = 3;

  /** Returns by position the kind of each value (0 number, 1 text, 2 the rest), and what to compare. */
  function ranked(positions, values) {
    const [kinds, found] = [[], []];
    for (const position of positions) {
      const value = values[position];
      const kind = rank(value);
      kinds[position] = kind;
      found[position] = kind ? textOf(value) : typeof value === "boolean" ? Number(value) : value;
    }
    return [kinds, found];
  }

  function rank(value) {
    if (value === null || value === undefined || Number.isNaN(value)) return LAST;
    if (isNumber(value) || typeof value === "boolean") return 0;
    return typeof value === "string" ? 1 : 2;
  }

  mlgit.query = { ATTRIBUTES, PARTS, QueryError, parse, parseSort, parseFields, spelled, quoted, textOf, sorted };
})();
