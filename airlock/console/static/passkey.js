// Passkeys: sign-in, the making of one, and the signature of a decision. The server says what is signed, and checks it.

const problem = (text) => {
  const place = document.getElementById("passkey-problem");
  if (!place) return;
  place.textContent = text;
  place.hidden = !text;
};
export const post = async (url, fields) => {
  const answer = await fetch(url, { method: "POST", body: new URLSearchParams(fields), redirect: "error", credentials: "same-origin" });
  const type = answer.headers.get("content-type") ?? "";
  if (!type.includes("json")) throw new Error("the console did not answer: open the page again");
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error ?? "the console refused it");
  return told;
};
export const get = async (options, signal) =>
  (await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options), signal })).toJSON();
const create = async (options) =>
  (await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })).toJSON();
export const said = (error) => {
  if (error.name === "NotAllowedError") return "the passkey was not used: cancelled, or none fits";
  return error instanceof TypeError ? "the console did not answer, or your session is over: open the page again" : error.message;
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem("");
    try {
      const options = await post(form.dataset.options, new FormData(form));
      const credential = await (form.dataset.passkey === "get" ? get : create)(options);
      form.elements.credential.value = JSON.stringify(credential);
      form.submit();
    } catch (error) {
      problem(said(error));
    }
  });
}

for (const form of document.querySelectorAll("form.decision")) {
  const sign = form.querySelector("input.sign");
  if (!sign) continue;
  form.addEventListener("submit", async (event) => {
    if (!sign.checked || form.elements.ticket.value) return;
    event.preventDefault();
    if (form.dataset.busy) return; // a second click, while the passkey is asked for
    form.dataset.busy = "yes";
    problem("");
    const by = event.submitter;
    try {
      const fields = new FormData(form);
      fields.set("action", new URL(form.action).pathname);
      const told = await post("/sign", fields);
      form.elements.assertion.value = JSON.stringify(await get(told.options));
      form.elements.ticket.value = told.ticket;
      form.requestSubmit(by);
    } catch (error) {
      problem(said(error));
    } finally {
      delete form.dataset.busy;
    }
  });
}
