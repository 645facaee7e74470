"""A small billing API: accounts that can be made and removed, and a charge that always fails."""

from sandbox.contacts import new_id
from sandbox.service import Answer, Call, Refused
from sandbox.store import JsonObject, Store, utc_now


class Billing:
    """The operations on billing accounts; each either takes its whole effect or raises `Refused`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, call: Call) -> Answer:
        """POST /billing/accounts: 201 with the account; name, email and plan are texts, name is required."""
        body = call.json()
        wrong = [f"property {name} should not exist" for name in body if name not in ("name", "email", "plan")]
        wrong += [f"{name} must be a string" for name, value in body.items() if not isinstance(value, str)]
        if not body.get("name"):
            wrong.append("name should not be empty")
        if wrong:
            raise Refused(422, wrong)
        account = {
            "id": f"acc_{new_id(12)}",
            "name": body["name"],
            "email": body.get("email"),
            "plan": body.get("plan", "free"),
            "created_at": utc_now(),
        }
        self._store.put("account", account["id"], account)
        return Answer(201, account)

    def list(self, call: Call) -> Answer:
        """GET /billing/accounts: all accounts, oldest first; `email` narrows them."""
        email = call.query.get("email")
        accounts = [each for each in self._store.all("account") if email is None or each["email"] == email]
        return Answer(200, {"accounts": accounts, "total": len(accounts)})

    def read(self, call: Call) -> Answer:
        """GET /billing/accounts/{id}: 200 with the account; 404."""
        return Answer(200, self._known(call))

    def delete(self, call: Call) -> Answer:
        """DELETE /billing/accounts/{id}: 204 and it is gone; 404 when it is not there."""
        self._store.delete("account", self._known(call)["id"])
        return Answer(204)

    def charge(self, call: Call) -> Answer:
        """POST /billing/charge: always 402, never an effect; this is what the failing demo calls."""
        return Answer(402, {"error": "the card was declined"})

    def _known(self, call: Call) -> JsonObject:
        account = self._store.get("account", call.params["id"])
        if account is None:
            raise Refused(404, f"Account with id {call.params['id']} not found")
        return account
