// What a page does by itself: it listens for changes, and takes keys. Everything it does can be done without it.
"use strict";

(() => {
  const body = document.body;

  // --- changes -------------------------------------------------------------------------------------------------
  let source = null;
  const listen = () => {
    source = new EventSource(body.dataset.events);
    const offline = document.getElementById("offline");
    for (const word of ["inbox", "lock", "plan"]) {
      source.addEventListener(word, () => body.dispatchEvent(new CustomEvent(`airlock:${word}`)));
    }
    source.onopen = () => { offline.hidden = true; };
    source.onerror = () => { offline.hidden = false; };
  };
  // a browser has six connections to a host: pages that are not in view must not use them up
  const attend = () => {
    if (document.hidden) { source?.close(); source = null; } else if (!source) listen();
  };
  if (body.dataset.events) {
    attend();
    document.addEventListener("visibilitychange", attend);
    addEventListener("pagehide", () => { source?.close(); source = null; });
    addEventListener("pageshow", attend);
  }

  // a part that could not be read is asked for again: the stream tells of each change once
  const AGAIN = 4000;
  const waiting = new Set();
  const unanswered = document.getElementById("unanswered"); // on a page that no worker answered for
  const again = (place) => {
    if (place === unanswered && document.hidden) return;
    const word = place.getAttribute?.("hx-trigger")?.split(" ")[0];
    if (!word || waiting.has(word)) return;
    waiting.add(word);
    setTimeout(() => { waiting.delete(word); body.dispatchEvent(new CustomEvent(word)); }, AGAIN);
  };
  document.addEventListener("htmx:after:request", (event) => {
    if (event.detail.ctx.response.status !== 200) again(event.target);
    else if (event.target === unanswered) location.reload(); // a worker has answered now
  });
  document.addEventListener("htmx:error", (event) => again(event.target));
  if (unanswered) {
    again(unanswered);
    document.addEventListener("visibilitychange", () => again(unanswered));
  }

  // to load a page again would call off the one that is on its way: another plan, or the answer to a decision
  const PAGE = 15000;
  const ANSWER = 60000; // a worker has half a minute for the answer to a decision, and then there is the page with it
  let stays = 0;
  const leave = (within) => { stays = Math.max(stays, performance.now() + within); setTimeout(guard, within + 1); };
  document.addEventListener("click", (event) => { if (event.target.closest('a[href]:not([href^="#"])')) leave(PAGE); });
  document.addEventListener("submit", (event) => { // one that a passkey holds up comes again
    if (!event.defaultPrevented && event.target.method !== "dialog") leave(ANSWER);
  });

  // a preview that is not the present one any more is read, and nothing of it is decided
  const guard = () => {
    const plan = document.querySelector("article.plan");
    const live = document.querySelector("[data-live-digest]");
    if (!plan || !live || performance.now() < stays || document.querySelector("form[data-busy]")) return;
    const first = !plan.dataset.digest && live.dataset.liveDigest; // there was nothing to read yet
    if (!first && plan.dataset.digest !== live.dataset.liveDigest) {
      for (const button of document.querySelectorAll("#approve button")) button.disabled = true;
    } else if ((first || plan.dataset.state !== live.dataset.state) && !touched()) {
      location.reload(); // the same preview, and other things to decide about it
    }
  };
  const touched = () =>
    document.activeElement?.closest("form.decision, details.act") || document.querySelector("details.act[open]") ||
    [...document.querySelectorAll("form.decision input:not([type=hidden]):not([type=checkbox]):not([type=radio])")].some((field) => field.value);
  const status = document.getElementById("status");
  if (status) {
    new MutationObserver(guard).observe(status, { subtree: true, attributes: true, childList: true, characterData: true });
    guard();
  }

  // --- keys ----------------------------------------------------------------------------------------------------
  const KEYS = "airlock-keys";
  const help = document.getElementById("help");
  const on = document.getElementById("keys-on");
  const store = { get: () => { try { return localStorage.getItem(KEYS); } catch { return null; } },
                  set: (value) => { try { localStorage.setItem(KEYS, value); } catch { /* private windows keep nothing */ } } };
  if (on) {
    on.checked = store.get() !== "off";
    on.addEventListener("change", () => store.set(on.checked ? "on" : "off"));
  }
  document.getElementById("help-open")?.addEventListener("click", () => help.showModal());

  const items = () => [...document.querySelectorAll("[data-item]")];
  const current = () => document.activeElement?.closest("[data-item]");
  const move = (by) => {
    const all = items();
    if (!all.length) return;
    const here = all.indexOf(current());
    const next = all[here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, here + by))];
    (next.querySelector("a.open") ?? next).focus();
    next.scrollIntoView({ block: "nearest" });
  };
  let going = false;
  const press = (key) => {
    if (going) {
      going = false;
      document.querySelector(`[data-go="${CSS.escape(key)}"]`)?.click();
      return true;
    }
    switch (key) {
      case "j": move(1); return true;
      case "k": move(-1); return true;
      case "x": { const box = current()?.querySelector("input[type=checkbox]"); if (box && !box.disabled) box.click(); return true; }
      case "g": going = true; setTimeout(() => { going = false; }, 1500); return true;
      case "?": help?.showModal(); return true;
      default: {
        const target = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
        if (!target) return false;
        target.focus();
        target.scrollIntoView({ block: "center" });
        return true;
      }
    }
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || on?.checked === false || help?.open) return;
    if (event.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (press(event.key)) event.preventDefault();
  });
})();
