// Several plans at once: each approved by itself, one after the other, and signed where its approval must be.
// Nothing of it is less strict than a plan's own page: each plan has a challenge, and the digest that this session was shown.
import { get, post, said } from "./passkey.js";

const form = document.getElementById("several");
const place = document.getElementById("progress");

const line = (plan, goal) => {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = `/plans/${encodeURIComponent(plan)}`;
  link.textContent = plan;
  const state = document.createElement("span");
  item.append(link, goal ? ` (${goal}): ` : ": ", state);
  return { item, say: (text, kind = "") => { state.textContent = text; item.className = kind; } };
};

const run = async (boxes) => {
  const title = place.querySelector("h2");
  const list = place.querySelector("ol");
  const stop = place.querySelector("button");
  const plans = boxes.map((box) => ({ id: box.value.split(" ")[0], digest: box.value.split(" ")[1], sign: Boolean(box.dataset.sign), box }));
  const lines = new Map(plans.map((plan) => [plan, line(plan.id, plan.box.closest("li")?.querySelector(".goal")?.textContent.slice(0, 120))]));
  const done = { approved: 0, refused: 0, left: 0 };
  const aborted = new AbortController();
  const csrf = form.elements.csrf.value;

  const approve = async (plan) => {
    const fields = { csrf, digest: plan.digest };
    if (plan.sign) {
      lines.get(plan).say("your passkey is asked for", "now");
      const told = await post("/sign", { ...fields, action: `/plans/${encodeURIComponent(plan.id)}/approve` });
      fields.assertion = JSON.stringify(await get(told.options, aborted.signal));
      fields.ticket = told.ticket;
    }
    lines.get(plan).say("being sent", "now");
    return post(`/approve/${encodeURIComponent(plan.id)}`, fields);
  };
  const tried = async (plan) => {
    try {
      const verdict = await approve(plan);
      return verdict.accepted ? ["approved", `approved: ${verdict.reason}`, "good"] : ["refused", `refused: ${verdict.reason}`, "bad"];
    } catch (error) {
      if (aborted.signal.aborted) return ["left", "not approved: you stopped", "warn"];
      return ["refused", `not approved: ${said(error)}`, "bad"];
    }
  };

  list.replaceChildren(...plans.map((plan) => lines.get(plan).item));
  for (const plan of plans) lines.get(plan).say("waits for its turn");
  place.hidden = false;
  stop.hidden = false;
  stop.onclick = () => aborted.abort();
  title.focus();
  for (const [number, plan] of plans.entries()) {
    title.textContent = `Approving plan ${number + 1} of ${plans.length}`;
    const [how, text, kind] = aborted.signal.aborted ? ["left", "not approved: you stopped", "warn"] : await tried(plan);
    done[how] += 1;
    lines.get(plan).say(text, kind);
    if (how === "approved") plan.box.checked = false;
  }
  stop.hidden = true;
  title.textContent = `${done.approved} approved, ${done.refused} refused, ${done.left} left`;
  title.focus();
};

form?.addEventListener("submit", (event) => {
  const boxes = [...form.elements].filter((box) => box.name === "plan" && box.checked && !box.disabled);
  if (!boxes.some((box) => box.dataset.sign)) return; // without a signature the server does it at once
  event.preventDefault();
  if (place.dataset.busy) return;
  place.dataset.busy = "yes";
  run(boxes).finally(() => { delete place.dataset.busy; });
});
