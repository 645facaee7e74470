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
  advance();
  const found = value(0);
  if (next !== "") throw new Damage("is not JSON");
  return found;
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

// ---- The check

class Check {
  constructor(files) {
    this.files = files;
    this.findings = [];
    this.notes = [];
    this.counts = { lines: 0, entries: 0, seals: 0, recomputed: 0, hidden: 0, missing: 0, signatures: 0 };
    this.lines = {};
    this.documents = {};
    this.plans = [];
    this.root = null;
  }

  found(file, line, message) { this.findings.push({ file, line, message }); }

  async run() {
    for (const [text, digest] of VECTORS) {
      if (digestOf(text) !== digest) throw new Error("this browser computes SHA-256 wrongly: nothing can be checked");
    }
    this.readDocuments();
    const summary = this.documents[FILES.summary];
    const names = new Set([...Object.keys(summary && summary.files || {}), FILES.summary]);
    for (const name of [...names].sort()) {
      if (!this.files.has(name)) this.found(name, null, "the file is missing");
    }
    for (const name of this.files.keys()) {
      if (summary && !names.has(name)) this.found(name, null, "is no part of an export");
    }
    for (const name of LINES) if (this.files.has(name)) this.readLines(name);
    const damaged = this.findings.length;
    this.gatherPlans();
    if (damaged) this.findings.length = damaged;  // lines that were damaged are missing among the plans: these faults only follow
    if (this.findings.length === 0) for (const plan of this.plans) await this.checkPlan(plan);
    this.checkSignals();
    this.checkSizes();
    if (summary && this.findings.length === 0) this.checkTotals(summary);
    return this;
  }

  readDocuments() {
    for (const name of DOCUMENTS) {
      if (!this.files.has(name)) continue;
      const text = asciiText(this.files.get(name));
      try {
        const node = parse(text);
        const document = plain(node);
        for (const [field, member] of node.members || []) {
          if (field === "parts" || field === "hash") continue;
          if (digestOf(canonical(member.node)) !== (document.parts || {})[field]) {
            throw new Damage(`${field}: was changed: it does not match its digest in 'parts'`);
          }
        }
        const known = Object.keys(document.parts || {}).filter((field) => !(field in document));
        if (known.length) throw new Damage(`${known[0]}: is missing`);
        if (digestOf(canonical(get(node, "parts"))) !== document.hash) throw new Damage("hash: is not the digest of 'parts'");
        if (text !== pretty(node, "") + "\n") throw new Damage("is not written as export writes it: white space, or order of fields");
        this.documents[name] = document;
        if (name === FILES.summary) this.root = document.hash;
      } catch (error) {
        if (!(error instanceof Damage) && !(error instanceof SyntaxError) && !(error instanceof TypeError)) throw error;
        const field = String(error.message).split(":")[0];
        const at = text.indexOf(`\n  "${field}":`);
        this.found(name, at < 0 ? 1 : text.slice(0, at).split("\n").length + 1, error.message);
      }
    }
  }

  readLines(name) {
    const text = asciiText(this.files.get(name));
    const lines = text.split("\n");
    const last = lines.pop();
    this.lines[name] = [];
    lines.forEach((line, index) => this.readLine(name, index + 1, line));
    if (last !== "") this.found(name, lines.length + 1, "the line does not end in a line feed: its end is missing");
  }

  readLine(name, number, text) {
    try {
      if (/[^\x20-\x7e]/.test(text)) throw new Damage("is not ASCII");
      const node = parse(text);
      if (!node.members) throw new Damage("is not a JSON object");
      const value = plain(node);
      const leftOut = name === FILES.approvals ? ["plan_index", "hash", "content", "content_hash"] : ["plan_index", "hash"];
      if (digestOf(canonical(node, leftOut)) !== value.hash) throw new Damage("was changed: its content does not match its hash");
      for (const event of name === FILES.executions ? get(node, "events").items : []) {
        if (digestOf(canonical(event, ["plan_index", "hash"])) !== plain(get(event, "hash"))) {
          throw new Damage(`entry ${plain(get(event, "seq"))} was changed: its content does not match its hash`);
        }
        this.counts.entries++;
      }
      if (canonical(node) !== text) {
        throw new Damage("is not written as export writes it: white space, order of fields, or the spelling of a value");
      }
      this.counts.lines++;
      this.lines[name].push({ number, node, value });
      if (name === FILES.approvals) this.checkSealText(number, node, value);
    } catch (error) {
      if (!(error instanceof Damage) && !(error instanceof SyntaxError) && !(error instanceof TypeError)) throw error;
      this.found(name, number, error.message);
    }
  }

  checkSealText(number, node, seal) {
    this.counts.seals++;
    const content = get(node, "content");
    if (seal.content === null) {
      this.counts.missing++;
      if (!seal.missing) throw new Damage("content: is missing without a reason");
      return;
    }
    const digest = digestOf(canonical(content));
    if (typeof seal.content_hash === "string") {
      if (digest !== seal.content_hash) throw new Damage("content: was changed: it does not match content_hash");
      if (canonical(content).includes('{"$hidden":"')) {
        this.counts.hidden++;
      } else if (digest !== seal.digest) throw new Damage(`content: its digest is ${digest}, not that of the seal`);
    } else {
      if (digest !== seal.digest) {
        throw new Damage(`content: its digest is ${digest}, not that of the seal: it, or the digest, was changed`);
      }
      this.counts.recomputed++;
    }
    if (seal.policy !== null && digestOf(canonical(get(node, "policy"))) !== seal.content.policy_hash) {
      throw new Damage("policy: is not the one whose hash was sealed (content.policy_hash)");
    }
    for (const [name, member] of get(node, "contracts").members) {
      if (digestOf(canonical(member.node)) !== name) throw new Damage(`contracts: the digest of one is not ${name.slice(0, 12)}`);
    }
  }

  gatherPlans() {
    const rest = { transitions: 0, rollbacks: 0, approvals: 0 };
    const lines = (kind) => this.lines[FILES[kind]] || [];
    lines("executions").forEach((line, index) => {
      const plan = { line, index, after: {} };
      for (const kind of Object.keys(rest)) {
        plan[kind] = [];
        while (rest[kind] < lines(kind).length && lines(kind)[rest[kind]].value.plan_index === index) {
          plan[kind].push(lines(kind)[rest[kind]++]);
        }
        plan.after[kind] = rest[kind] + 1;
      }
      if (line.value.plan_index !== index) {
        this.found(FILES.executions, line.number, `plan_index is ${line.value.plan_index} where ${index} follows`);
      }
      this.plans.push(plan);
    });
    for (const kind of Object.keys(rest)) {
      const left = lines(kind)[rest[kind]];
      if (left) this.found(FILES[kind], left.number, `belongs to no plan of ${FILES.executions}`);
    }
  }

  async checkPlan(plan) {
    const line = plan.line.value;
    const own = (file, found) => found.map((one) => ({ file, number: one.number, value: one.value }));
    const chain = [
      ...line.events.map((value) => ({ file: FILES.executions, number: plan.line.number, value })),
      ...own(FILES.transitions, plan.transitions), ...own(FILES.rollbacks, plan.rollbacks),
    ].sort((one, other) => one.value.seq - other.value.seq);
    plan.chain = chain;
    let prev = genesis("plan", line);
    for (const [index, link] of [...chain, { file: FILES.executions, number: plan.line.number, value: line }].entries()) {
      if (link.value.seq !== index + 1) {
        const missing = line.transitions !== plan.transitions.length ? "transitions" : "rollbacks";
        const file = index < chain.length ? link.file : FILES[missing];
        this.found(file, index < chain.length ? link.number : plan.after[missing], `entry ${index + 1} of plan '${line.plan_id}' follows`);
        return;
      }
      if (link.value.prev !== prev) {
        this.found(link.file, link.number, `entry ${link.value.seq} of plan '${line.plan_id}' does not continue the chain`);
        return;
      }
      prev = link.value.hash;
    }
    if (line.seals !== undefined) await this.checkSeals(plan);
  }

  async checkSeals(plan) {
    const line = plan.line.value;
    let prev = genesis(FILES.approvals, line);
    for (const [index, { number, value: seal }] of plan.approvals.entries()) {
      if (seal.seq !== index + 1 || seal.prev !== prev || seal.workflow_id !== line.workflow_id) {
        this.found(FILES.approvals, number, `seal ${index + 1} of plan '${line.plan_id}' follows, not this one`);
        return;
      }
      prev = seal.hash;
      for (const [at, decision] of seal.decisions.entries()) {
        const wrong = await this.decisionFault(plan, seal, decision);
        if (wrong) this.found(FILES.approvals, number, `decisions[${at}].${wrong}`);
      }
    }
    if (line.seals !== plan.approvals.length) {
      this.found(FILES.approvals, plan.after.approvals, `plan '${line.plan_id}' has ${line.seals} seals, but ${plan.approvals.length} are there`);
    } else if (line.seals_hash !== prev) {
      this.found(FILES.executions, plan.line.number, "seals_hash: is not the hash of the plan's last seal");
    }
  }

  async decisionFault(plan, seal, decision) {
    const entry = (plan.chain[decision.entry - 1] || {}).value || {};
    const same = entry.run_id === decision.run_id && entry.event_id === decision.event_id && entry.by === decision.by
      && entry.what === decision.decision && entry.reason === decision.reason && entry.timestamp === decision.recorded_at;
    if (!same) return `entry: is not what entry ${decision.entry} of the plan says`;
    if ((entry.kind === "decision") !== decision.counted) return `counted: entry ${decision.entry} of the plan says otherwise`;
    const message = decision.message;
    if (message === null) return decision.key === null ? "" : "key: there is no message that it signed";
    if (decision.counted) {
      if (typeof message !== "object" || String(message.by).trim() !== decision.by) return `message: is not by '${decision.by}'`;
      const named = message.digest === undefined || message.digest === null ? null : String(message.digest).trim().toLowerCase();
      if (named === null ? decision.decision === "approve" : named.length < 12 || !seal.digest.startsWith(named)) {
        return "message.digest: names another seal";
      }
    }
    if (decision.key === null) {
      const signed = decision.counted && message.signature !== undefined && message.signature !== null;
      return signed ? "message.signature: no known key made it" : "";
    }
    const verdict = await signatureVerdict(seal, decision);
    decision.verified = verdict;
    if (verdict === "wrong") return "key: did not make this signature";
    if (verdict === "fits") this.counts.signatures++;
    else this.notes.push("this browser cannot check Ed25519 signatures: `airlock verify` can");
    return "";
  }

  checkSignals() {
    let prev = digestOf(`{"chain":"${FILES.signals}","schema_version":1}`);
    for (const [index, { number, value }] of (this.lines[FILES.signals] || []).entries()) {
      if (value.seq !== index + 1 || value.prev !== prev) {
        this.found(FILES.signals, number, `signal ${index + 1} follows, not signal ${value.seq}: the chain is broken here`);
        return;
      }
      prev = value.hash;
    }
  }

  checkSizes() {
    const summary = this.documents[FILES.summary];
    const named = new Set(this.findings.map((finding) => finding.file));
    for (const [name, stated] of Object.entries(summary && summary.files || {})) {
      const bytes = this.files.get(name);
      if (!bytes || named.has(name)) continue;
      if (bytes.length !== stated.bytes || sha256(bytes) !== stated.sha256) {
        this.found(name, null, `is another file than the one ${FILES.summary} was written with`);
      }
    }
  }

  checkTotals(summary) {
    const undos = this.plans.filter((plan) => plan.line.value.undo).length;
    const sum = (count) => this.plans.reduce((total, plan) => total + count(plan), 0);
    const counted = (kind) => (plan) => plan.approvals.reduce(
      (total, seal) => total + seal.value.decisions.filter((one) => one.counted && one.decision === kind).length, 0);
    const totals = {
      plans_processed: this.plans.length - undos, undos_processed: undos,
      total_transitions: sum((plan) => plan.transitions.length),
      total_learning_signals: (this.lines[FILES.signals] || []).length,
      total_rollbacks: sum((plan) => plan.rollbacks.filter((line) => line.value.event === "undone").length),
      total_tools_executed: sum((plan) => plan.line.value.result.successful_executions + plan.line.value.result.failed_executions),
      ...(summary.schema_version > 1 && {
        total_seals: sum((plan) => plan.approvals.length), total_approvals: sum(counted("approve")), total_denials: sum(counted("deny")),
      }),
    };
    for (const [name, count] of Object.entries(totals)) {
      if (summary[name] !== count) this.found(FILES.summary, null, `${name} is ${summary[name]}, the lines come to ${count}`);
    }
  }
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

// Ed25519 over the text that an approver signs: canonical JSON of approver, digest, plan and steps.
async function signatureVerdict(seal, decision) {
  if (!(globalThis.crypto && crypto.subtle)) return "unknown";
  const message = decision.message;
  const name = seal.workflow_id.startsWith("undo-") ? seal.workflow_id : seal.plan_id;
  const steps = message.steps === undefined || message.steps === null ? null : [...message.steps].sort(byCodePoint);
  const signed = escapedAscii(JSON.stringify({
    airlock: "approve/1", by: String(message.by).trim(), digest: seal.digest, plan_id: name, steps,
  }));
  try {
    const parts = decision.key.split(/\s+/);
    const blob = fromBase64(parts[1]);
    const key = await crypto.subtle.importKey("raw", blob.slice(blob.length - 32), { name: "Ed25519" }, false, ["verify"]);
    const good = await crypto.subtle.verify({ name: "Ed25519" }, key, fromBase64(message.signature), new TextEncoder().encode(signed));
    return good ? "fits" : "wrong";
  } catch (error) {
    return error instanceof DOMException && error.name === "NotSupportedError" ? "unknown" : "wrong";
  }
}

const escapedAscii = (text) => text.replace(/[\u007f-\uffff]/g, (unit) => "\\u" + unit.charCodeAt(0).toString(16).padStart(4, "0"));

function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
