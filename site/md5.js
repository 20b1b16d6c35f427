// MD5 (RFC 1321), which browsers have no function for: hashes data names data by it. Not to
// keep secrets by; to recognize a file.
"use strict";

(() => {
  /** Takes whole blocks of 16 words into the state. Written out: calls and loops take seven times as long. */
  function take(state, words, end) {
    let a = state[0], b = state[1], c = state[2], d = state[3];
    for (let at = 0; at < end; at += 16) {
      const a0 = a, b0 = b, c0 = c, d0 = d;
      a = (a + ((c ^ d) & b ^ d) + words[at] - 680876936) | 0; a = (((a << 7) | (a >>> 25)) + b) | 0;
      d = (d + ((b ^ c) & a ^ c) + words[at + 1] - 389564586) | 0; d = (((d << 12) | (d >>> 20)) + a) | 0;
      c = (c + ((a ^ b) & d ^ b) + words[at + 2] + 606105819) | 0; c = (((c << 17) | (c >>> 15)) + d) | 0;
      b = (b + ((d ^ a) & c ^ a) + words[at + 3] - 1044525330) | 0; b = (((b << 22) | (b >>> 10)) + c) | 0;
      a = (a + ((c ^ d) & b ^ d) + words[at + 4] - 176418897) | 0; a = (((a << 7) | (a >>> 25)) + b) | 0;
      d = (d + ((b ^ c) & a ^ c) + words[at + 5] + 1200080426) | 0; d = (((d << 12) | (d >>> 20)) + a) | 0;
      c = (c + ((a ^ b) & d ^ b) + words[at + 6] - 1473231341) | 0; c = (((c << 17) | (c >>> 15)) + d) | 0;
      b = (b + ((d ^ a) & c ^ a) + words[at + 7] - 45705983) | 0; b = (((b << 22) | (b >>> 10)) + c) | 0;
      a = (a + ((c ^ d) & b ^ d) + words[at + 8] + 1770035416) | 0; a = (((a << 7) | (a >>> 25)) + b) | 0;
      d = (d + ((b ^ c) & a ^ c) + words[at + 9] - 1958414417) | 0; d = (((d << 12) | (d >>> 20)) + a) | 0;
      c = (c + ((a ^ b) & d ^ b) + words[at + 10] - 42063) | 0; c = (((c << 17) | (c >>> 15)) + d) | 0;
      b = (b + ((d ^ a) & c ^ a) + words[at + 11] - 1990404162) | 0; b = (((b << 22) | (b >>> 10)) + c) | 0;
      a = (a + ((c ^ d) & b ^ d) + words[at + 12] + 1804603682) | 0; a = (((a << 7) | (a >>> 25)) + b) | 0;
      d = (d + ((b ^ c) & a ^ c) + words[at + 13] - 40341101) | 0; d = (((d << 12) | (d >>> 20)) + a) | 0;
      c = (c + ((a ^ b) & d ^ b) + words[at + 14] - 1502002290) | 0; c = (((c << 17) | (c >>> 15)) + d) | 0;
      b = (b + ((d ^ a) & c ^ a) + words[at + 15] + 1236535329) | 0; b = (((b << 22) | (b >>> 10)) + c) | 0;

      a = (a + ((b ^ c) & d ^ c) + words[at + 1] - 165796510) | 0; a = (((a << 5) | (a >>> 27)) + b) | 0;
      d = (d + ((a ^ b) & c ^ b) + words[at + 6] - 1069501632) | 0; d = (((d << 9) | (d >>> 23)) + a) | 0;
      c = (c + ((d ^ a) & b ^ a) + words[at + 11] + 643717713) | 0; c = (((c << 14) | (c >>> 18)) + d) | 0;
      b = (b + ((c ^ d) & a ^ d) + words[at] - 373897302) | 0; b = (((b << 20) | (b >>> 12)) + c) | 0;
      a = (a + ((b ^ c) & d ^ c) + words[at + 5] - 701558691) | 0; a = (((a << 5) | (a >>> 27)) + b) | 0;
      d = (d + ((a ^ b) & c ^ b) + words[at + 10] + 38016083) | 0; d = (((d << 9) | (d >>> 23)) + a) | 0;
      c = (c + ((d ^ a) & b ^ a) + words[at + 15] - 660478335) | 0; c = (((c << 14) | (c >>> 18)) + d) | 0;
      b = (b + ((c ^ d) & a ^ d) + words[at + 4] - 405537848) | 0; b = (((b << 20) | (b >>> 12)) + c) | 0;
      a = (a + ((b ^ c) & d ^ c) + words[at + 9] + 568446438) | 0; a = (((a << 5) | (a >>> 27)) + b) | 0;
      d = (d + ((a ^ b) & c ^ b) + words[at + 14] - 1019803690) | 0; d = (((d << 9) | (d >>> 23)) + a) | 0;
      c = (c + ((d ^ a) & b ^ a) + words[at + 3] - 187363961) | 0; c = (((c << 14) | (c >>> 18)) + d) | 0;
      b = (b + ((c ^ d) & a ^ d) + words[at + 8] + 1163531501) | 0; b = (((b << 20) | (b >>> 12)) + c) | 0;
      a = (a + ((b ^ c) & d ^ c) + words[at + 13] - 1444681467) | 0; a = (((a << 5) | (a >>> 27)) + b) | 0;
      d = (d + ((a ^ b) & c ^ b) + words[at + 2] - 51403784) | 0; d = (((d << 9) | (d >>> 23)) + a) | 0;
      c = (c + ((d ^ a) & b ^ a) + words[at + 7] + 1735328473) | 0; c = (((c << 14) | (c >>> 18)) + d) | 0;
      b = (b + ((c ^ d) & a ^ d) + words[at + 12] - 1926607734) | 0; b = (((b << 20) | (b >>> 12)) + c) | 0;

      a = (a + (b ^ c ^ d) + words[at + 5] - 378558) | 0; a = (((a << 4) | (a >>> 28)) + b) | 0;
      d = (d + (a ^ b ^ c) + words[at + 8] - 2022574463) | 0; d = (((d << 11) | (d >>> 21)) + a) | 0;
      c = (c + (d ^ a ^ b) + words[at + 11] + 1839030562) | 0; c = (((c << 16) | (c >>> 16)) + d) | 0;
      b = (b + (c ^ d ^ a) + words[at + 14] - 35309556) | 0; b = (((b << 23) | (b >>> 9)) + c) | 0;
      a = (a + (b ^ c ^ d) + words[at + 1] - 1530992060) | 0; a = (((a << 4) | (a >>> 28)) + b) | 0;
      d = (d + (a ^ b ^ c) + words[at + 4] + 1272893353) | 0; d = (((d << 11) | (d >>> 21)) + a) | 0;
      c = (c + (d ^ a ^ b) + words[at + 7] - 155497632) | 0; c = (((c << 16) | (c >>> 16)) + d) | 0;
      b = (b + (c ^ d ^ a) + words[at + 10] - 1094730640) | 0; b = (((b << 23) | (b >>> 9)) + c) | 0;
      a = (a + (b ^ c ^ d) + words[at + 13] + 681279174) | 0; a = (((a << 4) | (a >>> 28)) + b) | 0;
      d = (d + (a ^ b ^ c) + words[at] - 358537222) | 0; d = (((d << 11) | (d >>> 21)) + a) | 0;
      c = (c + (d ^ a ^ b) + words[at + 3] - 722521979) | 0; c = (((c << 16) | (c >>> 16)) + d) | 0;
      b = (b + (c ^ d ^ a) + words[at + 6] + 76029189) | 0; b = (((b << 23) | (b >>> 9)) + c) | 0;
      a = (a + (b ^ c ^ d) + words[at + 9] - 640364487) | 0; a = (((a << 4) | (a >>> 28)) + b) | 0;
      d = (d + (a ^ b ^ c) + words[at + 12] - 421815835) | 0; d = (((d << 11) | (d >>> 21)) + a) | 0;
      c = (c + (d ^ a ^ b) + words[at + 15] + 530742520) | 0; c = (((c << 16) | (c >>> 16)) + d) | 0;
      b = (b + (c ^ d ^ a) + words[at + 2] - 995338651) | 0; b = (((b << 23) | (b >>> 9)) + c) | 0;

      a = (a + (c ^ (b | ~d)) + words[at] - 198630844) | 0; a = (((a << 6) | (a >>> 26)) + b) | 0;
      d = (d + (b ^ (a | ~c)) + words[at + 7] + 1126891415) | 0; d = (((d << 10) | (d >>> 22)) + a) | 0;
      c = (c + (a ^ (d | ~b)) + words[at + 14] - 1416354905) | 0; c = (((c << 15) | (c >>> 17)) + d) | 0;
      b = (b + (d ^ (c | ~a)) + words[at + 5] - 57434055) | 0; b = (((b << 21) | (b >>> 11)) + c) | 0;
      a = (a + (c ^ (b | ~d)) + words[at + 12] + 1700485571) | 0; a = (((a << 6) | (a >>> 26)) + b) | 0;
      d = (d + (b ^ (a | ~c)) + words[at + 3] - 1894986606) | 0; d = (((d << 10) | (d >>> 22)) + a) | 0;
      c = (c + (a ^ (d | ~b)) + words[at + 10] - 1051523) | 0; c = (((c << 15) | (c >>> 17)) + d) | 0;
      b = (b + (d ^ (c | ~a)) + words[at + 1] - 2054922799) | 0; b = (((b << 21) | (b >>> 11)) + c) | 0;
      a = (a + (c ^ (b | ~d)) + words[at + 8] + 1873313359) | 0; a = (((a << 6) | (a >>> 26)) + b) | 0;
      d = (d + (b ^ (a | ~c)) + words[at + 15] - 30611744) | 0; d = (((d << 10) | (d >>> 22)) + a) | 0;
      c = (c + (a ^ (d | ~b)) + words[at + 6] - 1560198380) | 0; c = (((c << 15) | (c >>> 17)) + d) | 0;
      b = (b + (d ^ (c | ~a)) + words[at + 13] + 1309151649) | 0; b = (((b << 21) | (b >>> 11)) + c) | 0;
      a = (a + (c ^ (b | ~d)) + words[at + 4] - 145523070) | 0; a = (((a << 6) | (a >>> 26)) + b) | 0;
      d = (d + (b ^ (a | ~c)) + words[at + 11] - 1120210379) | 0; d = (((d << 10) | (d >>> 22)) + a) | 0;
      c = (c + (a ^ (d | ~b)) + words[at + 2] + 718787259) | 0; c = (((c << 15) | (c >>> 17)) + d) | 0;
      b = (b + (d ^ (c | ~a)) + words[at + 9] - 343485551) | 0; b = (((b << 21) | (b >>> 11)) + c) | 0;
      a = (a + a0) | 0;
      b = (b + b0) | 0;
      c = (c + c0) | 0;
      d = (d + d0) | 0;
    }
    state[0] = a;
    state[1] = b;
    state[2] = c;
    state[3] = d;
  }

  const BLOCK = 64;
  const LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

  /** Returns bytes as words, the lowest byte first; without a copy where they lie so already. */
  function wordsOf(bytes) {
    if (LITTLE && bytes.byteOffset % 4 === 0) return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return Int32Array.from({ length: bytes.length >> 2 }, (_, place) => view.getInt32(place * 4, true));
  }

  /** A digest that is fed piece by piece. */
  class Md5 {
    constructor() {
      this.state = new Int32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]);
      this.rest = new Uint8Array(BLOCK);
      this.length = 0; // bytes; exact to 2 ** 53
    }

    update(bytes) {
      let start = 0;
      const held = this.length % BLOCK;
      this.length += bytes.length;
      if (held) {
        start = Math.min(BLOCK - held, bytes.length);
        this.rest.set(bytes.subarray(0, start), held);
        if (held + start < BLOCK) return this;
        take(this.state, wordsOf(this.rest), 16);
      }
      const end = bytes.length - ((bytes.length - start) % BLOCK);
      if (end > start) take(this.state, wordsOf(bytes.subarray(start, end)), (end - start) / 4);
      this.rest.set(bytes.subarray(end));
      return this;
    }

    /** Returns the digest in hex digits, and ends it. */
    hex() {
      const length = this.length;
      const pad = new Uint8Array(((length % BLOCK) < 56 ? 56 : 120) - (length % BLOCK) + 8);
      pad[0] = 0x80;
      const view = new DataView(pad.buffer);
      // In bits, as two words: `<<` keeps the low 32 bits, and 2 ** 29 bytes fill the first word.
      view.setUint32(pad.length - 8, (length << 3) >>> 0, true);
      view.setUint32(pad.length - 4, Math.floor(length / 2 ** 29), true);
      this.update(pad);
      const out = new DataView(new ArrayBuffer(16));
      this.state.forEach((word, place) => out.setInt32(place * 4, word, true));
      return Array.from(new Uint8Array(out.buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
    }
  }

  mlgit.Md5 = Md5;
})();
