"""The filter of the inbox as a person types it: words, and `agent:`, `tool:`, `risk:` or `kind:` with a name."""

from airlock.client.inbox import InboxFilter

FIELDS = ("agent", "tool", "risk", "kind")
"""The names before a colon that choose by one field; every other word is searched for."""


def parse_filter(typed: str) -> InboxFilter:
    """Return the filter that a line means, such as `risk:high tool:send_email acme`.

    A field without a name, as while it is being typed, chooses all. A name after `kind:` has `_` for its space.
    """
    chosen: dict[str, str] = {}
    words: list[str] = []
    for word in typed.split():
        field, colon, name = word.partition(":")
        if colon and field.lower() in FIELDS:
            chosen[field.lower()] = name
        else:
            words.append(word)
    if "kind" in chosen:
        chosen["kind"] = chosen["kind"].replace("_", " ").lower()
    return InboxFilter(**chosen, text=" ".join(words))
