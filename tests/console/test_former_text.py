"""Changes of built-in tools as a difference in the browser: a file, and a row of a table."""

import sqlite3
from contextlib import closing
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from airlock.plans.state import State
from airlock.tools import database_write, file_delete, file_write
from devtools.axe import script
from tests.cli.browser import Browser
from tests.console.conftest import SIGNED
from tests.console.desk import Reader, desk_in, reaches, step
from tests.console.test_reading import barriers

OLD = "# Minutes\n\nPresent: Jo, Al\n\nWe pay 100 to Jo.\n" + "".join(f"Item {number}\n" for number in range(1, 20))
SIGNS = "[...document.querySelectorAll('#step-{} .line')].filter((one) => one.dataset.sign).map((one) => "
SIGNS += "one.dataset.sign + one.innerText.replace(/^(added|removed):\\s*/, '').trim())"


async def test_a_file_and_a_row_are_compared_with_what_they_replace(
    console_server: WorkflowEnvironment, chromium: Browser, tmp_path: Path
) -> None:
    root, database = tmp_path / "files", tmp_path / "rows.db"
    (root / "minutes").mkdir(parents=True)
    (root / "minutes" / "may.md").write_text(OLD, encoding="utf-8")
    (root / "minutes" / "old.md").write_text("to go\naway\n", encoding="utf-8")
    (root / "photo.bin").write_bytes(b"\xff\x00\xfe")
    (root / "secret.env").write_text("TOKEN=very-secret\n", encoding="utf-8")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("create table notes (id integer primary key, title text, body text)")
        connection.execute("insert into notes values (1, 'Rules', 'be kind\nbe quick\nbe brave')")
    settings = {
        "files": {"root": str(root), "show_former": ["minutes/*", "*.bin"]},
        "database": {"url": f"sqlite:///{database}"},
    }
    async with desk_in(console_server.client, tmp_path) as made:
        olga = Reader(chromium, made.url)
        await olga.holds_passkeys()
        made.policy += await olga.makes_passkey("olga") + SIGNED
        made.write()
        async with made.working(file_write, file_delete, database_write, settings=settings):
            await olga.signs_in()
            handle = await made.submit(
                step("edit", "file_write", path="minutes/may.md", content=OLD.replace("100 to Jo", "1000 to Al")),
                step("gone", "file_delete", path="minutes/old.md"),
                step("bytes", "file_write", path="photo.bin", content="not a picture any more\n"),
                step("env", "file_write", path="secret.env", content="TOKEN=mine\n"),
                step("row", "database_write", table="notes", operation="update", where={"id": 1},
                     row={"title": "Rules!", "body": "be kind\nbe slow\nbe brave"}),
                goal="Correct the minutes",
            )  # fmt: skip
            await olga.size(1024)
            await olga.go(f"/plans/{handle.plan_id}")
            assert await olga.value(SIGNS.format("edit")) == ["-We pay 100 to Jo.", "+We pay 1000 to Al."]
            assert await olga.value(SIGNS.format("gone")) == ["-to go", "-away", "-"]
            assert await olga.value(SIGNS.format("row")) == ["-be quick", "+be slow"]
            assert "Its former content is not text, and is not shown." in await olga.text("#step-bytes")
            page = str(await olga.value("document.documentElement.outerHTML"))
            assert "very-secret" not in page, "the operator named no pattern for it"
            assert "very-secret" not in (await handle.preview()).model_dump_json()
            assert '"Rules"' in await olga.text("#step-row del")
            for width in (390, 1024, 1920):
                await olga.size(width, dark=width == 1920)
                await olga.go(f"/plans/{handle.plan_id}")
                await olga.picture(f"diff-{width}")
                if script() is not None:
                    assert await barriers(olga) == [], width
            assert not await olga.violations()
            digest = (await handle.preview()).digest
            assert await olga.value("document.querySelector('#approve [name=digest]').value") == digest
            await handle.decide("approve", by="paul", digest=digest)
            assert (await reaches(handle, State.COMPLETED)).outcome == "completed"
            assert "1000 to Al" in (root / "minutes" / "may.md").read_text(encoding="utf-8")
