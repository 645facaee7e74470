// ---- The check

function checkSchema(name, node) {
  const fault = schemaFault(SCHEMAS[name], node);
  if (fault === null) return;
  const { path, message } = fault;
  const foreign = LINES.includes(name) && (path.length === 0 || (path.length === 1 && message === UNKNOWN));
  if (foreign) throw new Damage(`is no line of this file: ${[...path, message].join(" ")}`);
  if (path.length) throw damageAt(path, message);
  throw new Damage(message);
}

const damageAt = (path, message) => Object.assign(new Damage(`${path.join(".")}: ${message}`), { path });

// The line of a document on which the place of an error begins: as far as the names that lead to it stand there.
function lineOf(text, error) {
  if (error.at !== undefined) return text.slice(0, error.at).split("\n").length;
  let start = 0;
  for (const [depth, name] of (error.path || []).entries()) {
    const indent = "  ".repeat(depth + 1);
    if (typeof name === "number") {
      const items = new RegExp(`\n${indent}[^ }\\]]`, "g");
      items.lastIndex = start;
      let found = null;
      for (let left = name; left >= 0; left--) found = items.exec(text);
      if (!found) break;
      start = found.index + 1;
    } else {
      const at = text.indexOf(`\n${indent}${escapedAscii(JSON.stringify(name))}:`, start);
      if (at < 0) break;
      start = at + 1;
    }
  }
  return text.slice(0, start).split("\n").length;
}

function checkParts(node, document) {
  const { parts, hash } = document;
  const actual = {};
  for (const [field, member] of node.members) if (field !== "parts" && field !== "hash") actual[field] = digestOf(canonical(member.node));
  const names = [...new Set([...Object.keys(parts), ...Object.keys(actual)])].sort();
  const wrong = names.find((field) => parts[field] !== actual[field]);
  const sealed = digestOf(`{${Object.keys(actual).sort().map((field) => `"${field}":"${actual[field]}"`).join(",")}}`);
  if (wrong !== undefined && sealed === hash) throw damageAt(["parts", wrong], "this digest was changed");
  if (wrong !== undefined) throw damageAt([wrong], "was changed: it does not match its digest in 'parts'");
  if (sealed !== hash) throw damageAt(["hash"], "is not the digest of 'parts'");
}

class Check {
  constructor(files, openings) {
    this.files = files;
    this.openings = openings;
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
    const names = this.namesOf(summary);
    for (const name of names) if (!this.files.has(name)) this.found(name, null, "the file is missing");
    for (const name of this.files.keys()) if (!names.includes(name)) this.found(name, null, "is no part of an export");
    for (const name of LINES) if (this.files.has(name)) this.readLines(name);
    const damaged = this.findings.length;
    this.gatherPlans();
    if (damaged) this.findings.length = damaged;  // lines that were damaged are missing among the plans: these faults only follow
    if (this.findings.length === 0) for (const plan of this.plans) await this.checkPlan(plan);
    this.checkSignals();
    this.checkSizes();
    if (summary && this.findings.length === 0) checkTotals(this, summary);
    const health = this.documents[FILES.health];
    if (health && health.metrics.system_health_score !== health.health_score) {
      this.found(FILES.health, null, "health_score differs from metrics.system_health_score");
    }
    this.findings.push(...this.openings.findings);
    return this;
  }

  // The files that an export of its version has. A summary that cannot be read tells no version: then the files do.
  namesOf(summary) {
    const eight = summary ? summary.schema_version > 1 || FILES.approvals in summary.files : this.files.has(FILES.approvals);
    return Object.values(FILES).filter((name) => eight || name !== FILES.approvals).sort();
  }

  readDocuments() {
    for (const name of DOCUMENTS) {
      if (!this.files.has(name)) continue;
      const text = asciiText(this.files.get(name));
      try {
        const node = parse(text);
        if (!node.members) throw new Damage("is not a JSON object");
        const document = plain(node);
        checkSchema(name, node);
        checkParts(node, document);
        const written = pretty(node, "") + "\n";
        if (text !== written) {
          const at = [...text].findIndex((sign, index) => sign !== written[index]);
          const same = at < 0 ? Math.min(text.length, written.length) - 1 : at;
          throw Object.assign(new Damage("is not written as export writes it: white space, or order of fields"), { at: same });
        }
        this.documents[name] = filled(SCHEMAS[name], document);
        if (name === FILES.summary) this.root = document.hash;
      } catch (error) {
        if (!(error instanceof Damage) && !(error instanceof SyntaxError) && !(error instanceof TypeError)) throw error;
        this.found(name, lineOf(text, error), error.message);
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
      const events = name === FILES.executions ? get(node, "events") : { items: [] };
      if (!events || !events.items) throw new Damage("is no line of this file");
      for (const event of events.items) {
        if (digestOf(canonical(event, ["plan_index", "hash"])) !== plain(get(event, "hash"))) {
          throw new Damage(`entry ${plain(get(event, "seq"))} was changed: its content does not match its hash`);
        }
        this.counts.entries++;
      }
      if (canonical(node) !== text) {
        throw new Damage("is not written as export writes it: white space, order of fields, or the spelling of a value");
      }
      checkSchema(name, node);
      this.counts.lines++;
      const read = filled(SCHEMAS[name], value);
      this.lines[name].push({ number, node, value: read });
      if (name === FILES.approvals) this.checkSealText(number, node, read);
    } catch (error) {
      if (!(error instanceof Damage) && !(error instanceof SyntaxError) && !(error instanceof TypeError)) throw error;
      this.found(name, number, error.message);
    }
  }

  checkSealText(number, node, seal) {
    const content = get(node, "content");
    if (content === null) throw new Damage("is no line of this file");
    this.counts.seals++;
    if (seal.content === null) {
      this.counts.missing++;
      if (!seal.missing) throw new Damage("content: is missing without a reason");
      return;
    }
    const digest = digestOf(canonical(content));
    const hides = typeof seal.content_hash === "string";
    if (hides && digest !== seal.content_hash) throw new Damage("content: was changed: it does not match content_hash");
    const elsewhere = this.openings.elsewhere(seal.content, seal.digest);
    if (elsewhere !== null) throw new Damage(`content.${elsewhere}: the opening of this value says that it stands elsewhere`);
    const opened = hides ? this.openings.opened(content) : content;
    seal.shown = hides ? plain(opened) : seal.content;
    const computed = hides ? digestOf(canonical(opened)) : digest;
    if (hides && hiddenIn(seal.shown)) {
      this.counts.hidden++;
    } else if (computed !== seal.digest) {
      throw new Damage(`content: its digest is ${computed}, not that of the seal: it, or the digest, was changed`);
    } else this.counts.recomputed++;
    if (!["policy", "contracts"].every((name) => get(node, name)) || !Array.isArray(seal.decisions) || !Array.isArray(seal.by_step)) {
      throw new Damage("is no line of this file");
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
    const wrong = foreignLine(plan);
    if (wrong) { this.found(...wrong); return; }
    const contradicted = lineContradicted(plan);
    if (contradicted) { this.found(FILES.executions, plan.line.number, contradicted); return; }
    if (line.seals !== null) await this.checkSeals(plan);
    else if (plan.approvals.length) this.found(FILES.approvals, plan.approvals[0].number, "the plan's line knows of no seals: it is of an older export");
  }

  async checkSeals(plan) {
    const line = plan.line.value;
    const about = entriesAbout(plan.chain);
    let prev = genesis(FILES.approvals, line);
    for (const [index, { number, value: seal }] of plan.approvals.entries()) {
      if (seal.seq !== index + 1 || seal.prev !== prev) {
        this.found(FILES.approvals, number, `seal ${index + 1} of plan '${line.plan_id}' follows, not this one`);
        return;
      }
      prev = seal.hash;
      const wrong = await sealFault(this, plan, seal, about);
      if (wrong) { this.found(FILES.approvals, number, wrong); return; }
    }
    if (line.seals !== plan.approvals.length) {
      this.found(FILES.approvals, plan.after.approvals, `plan '${line.plan_id}' has ${line.seals} seals, but ${plan.approvals.length} are there`);
    } else if (line.seals_hash !== prev) {
      this.found(FILES.executions, plan.line.number, "seals_hash: is not the hash of the plan's last seal");
    } else {
      const contradicted = sealsContradicted(plan) || calledTooEarly(plan) || undueDecision(this, plan);
      if (contradicted) this.found(FILES.executions, plan.line.number, contradicted);
    }
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
    const others = this.namesOf(summary).filter((name) => name !== FILES.summary);
    if (summary && Object.keys(summary.files).sort().join() !== others.join()) {
      if (this.findings.length === 0) this.found(FILES.summary, null, "files: names other files than an export has");
      return;
    }
    const named = new Set(this.findings.map((finding) => finding.file));
    for (const [name, stated] of Object.entries(summary && summary.files || {})) {
      const bytes = this.files.get(name);
      if (!bytes || named.has(name)) continue;
      if (bytes.length !== stated.bytes || sha256(bytes) !== stated.sha256) {
        this.found(name, null, `is another file than the one ${FILES.summary} was written with`);
      }
    }
  }
}
