"use strict";
// The check of an exported record, without a network and without Airlock: hashes, chains, digests of seals, signatures.
// Every hash is computed over the text as it stands in the file, so that numbers and escapes keep their spelling.

const FILES = {
  executions: "tool_execution_log.jsonl", transitions: "execution_state_transitions.jsonl",
  rollbacks: "rollback_events.jsonl", signals: "learning_signals.jsonl", approvals: "approvals.jsonl",
  summary: "orchestration_summary.json", conflicts: "tool_conflicts.json", health: "system_health.json",
};
const LINES = [FILES.executions, FILES.transitions, FILES.rollbacks, FILES.signals, FILES.approvals];
const DOCUMENTS = [FILES.summary, FILES.conflicts, FILES.health];

// ---- SHA-256 (FIPS 180-4). Synchronous, because a record has many thousands of small hashes.

const K = (() => {
  const found = [];
  for (let n = 2; found.length < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break; }
    if (prime) { const root = Math.cbrt(n); found.push(Math.floor((root - Math.floor(root)) * 4294967296) >>> 0); }
  }
  return found;
})();

function sha256(bytes) {
  const state = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
  const padded = new Uint8Array(((bytes.length + 8) >> 6 << 6) + 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 536870912));
  view.setUint32(padded.length - 4, (bytes.length << 3) >>> 0);
  const w = new Int32Array(64);
  for (let offset = 0; offset < padded.length; offset += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(offset + 4 * i);
    for (let i = 16; i < 64; i++) {
      const a = w[i - 15], b = w[i - 2];
      const s0 = (a >>> 7 | a << 25) ^ (a >>> 18 | a << 14) ^ (a >>> 3);
      const s1 = (b >>> 17 | b << 15) ^ (b >>> 19 | b << 13) ^ (b >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const s0 = (a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => { state[i] = (state[i] + value) | 0; });
  }
  return state.map((value) => (value >>> 0).toString(16).padStart(8, "0")).join("");
}

const digestOf = (text) => sha256(new TextEncoder().encode(text));

// A browser in which these are wrong cannot check anything.
const VECTORS = [
  ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
  ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  ["abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"],
  ["a".repeat(1000), "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"],
];

// ---- JSON as it is spelled

class Damage extends Error {}

function parse(text) {
  const scalar = /(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)/y;
  const hex = /[0-9a-fA-F]{4}/y;
  let next = "";
  let place = 0;
  const endOfString = (from) => {
    for (let at = from + 1; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === 34) return at + 1;
      if (code < 32) break;
      if (code !== 92) continue;
      at++;
      if (text[at] === "u") {
        hex.lastIndex = at + 1;
        if (!hex.test(text)) break;
        at += 4;
      } else if (!'"\\/bfnrt'.includes(text[at] || "x")) break;
    }
    throw new Damage("is not JSON");
  };
  const advance = () => {
    while (place < text.length && " \t\r\n".includes(text[place])) place++;
    if (place === text.length) { next = ""; return; }
    let end = place + 1;
    if (text[place] === '"') end = endOfString(place);
    else if (!"{}[]:,".includes(text[place])) {
      scalar.lastIndex = place;
      if (!scalar.test(text)) throw new Damage("is not JSON");
      end = scalar.lastIndex;
    }
    next = text.slice(place, end);
    place = end;
  };
  const value = (depth) => {
    if (depth > 300) throw new Damage("is not JSON as export writes it: nested too deep");
    if (next === "{") {
      const members = new Map();
      advance();
      while (next !== "}") {
        if (!next.startsWith('"')) throw new Damage("is not JSON");
        const key = next;
        const name = JSON.parse(key);
        advance();
        if (next !== ":") throw new Damage("is not JSON");
        advance();
        if (members.has(name)) throw new Damage(`is not JSON as export writes it: ${key} stands there twice`);
        members.set(name, { key, node: value(depth + 1) });
        if (next === ",") { advance(); if (next === "}") throw new Damage("is not JSON"); }
        else if (next !== "}") throw new Damage("is not JSON");
      }
      advance();
      return { members };
    }
    if (next === "[") {
      const items = [];
      advance();
      while (next !== "]") {
        items.push(value(depth + 1));
        if (next === ",") { advance(); if (next === "]") throw new Damage("is not JSON"); }
        else if (next !== "]") throw new Damage("is not JSON");
      }
      advance();
      return { items };
    }
    if (next === "" || "}]:,".includes(next)) throw new Damage("is not JSON");
    const raw = next;
    advance();
    return { raw };
  };
  try {
    advance();
    const found = value(0);
    if (next !== "") throw new Damage("is not JSON");
    return found;
  } catch (error) {
    if (error instanceof Damage) error.at = Math.max(place - next.length, 0);
    throw error;
  }
}

function byCodePoint(one, other) {
  const a = Array.from(one), b = Array.from(other);
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (a[i] !== b[i]) return a[i].codePointAt(0) - b[i].codePointAt(0);
  }
  return a.length - b.length;
}

function canonical(node, without = []) {
  if (node.members) {
    const names = [...node.members.keys()].filter((name) => !without.includes(name)).sort(byCodePoint);
    return "{" + names.map((name) => {
      const member = node.members.get(name);
      return member.key + ":" + canonical(member.node);
    }).join(",") + "}";
  }
  if (node.items) return "[" + node.items.map((item) => canonical(item)).join(",") + "]";
  return node.raw;
}

const get = (node, name) => (node.members && node.members.has(name) ? node.members.get(name).node : null);
const plain = (node) => JSON.parse(canonical(node));

function asciiText(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return text;
}

function genesis(chain, line) {
  const text = (value) => escapedAscii(JSON.stringify(value));
  return digestOf(`{"chain":${text(chain)},"run_id":${text(line.first_run_id)},"schema_version":1,"workflow_id":${text(line.workflow_id)}}`);
}

function pretty(node, indent) {
  const deeper = indent + "  ";
  if (node.members) {
    if (node.members.size === 0) return "{}";
    const names = [...node.members.keys()].sort(byCodePoint);
    return "{\n" + names.map((name) => {
      const member = node.members.get(name);
      return `${deeper}${member.key}: ${pretty(member.node, deeper)}`;
    }).join(",\n") + `\n${indent}}`;
  }
  if (node.items) {
    if (node.items.length === 0) return "[]";
    return "[\n" + node.items.map((item) => deeper + pretty(item, deeper)).join(",\n") + `\n${indent}]`;
  }
  return node.raw;
}

const escapedAscii = (text) => text.replace(/[\u007f-\uffff]/g, (unit) => "\\u" + unit.charCodeAt(0).toString(16).padStart(4, "0"));

function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
