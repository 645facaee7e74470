"""Questions to gates end with their worker. Temporal tells an activity to stop only once, so that the order matters."""

import asyncio

import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from airlock.activities.gates import interruptible

WITHIN = 60.0


class Question:
    """A question that is never answered unless told to."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked = asyncio.Event()

    async def ask(self) -> str:
        self.asked.set()
        return await self.answer


async def begun(env: ActivityEnvironment) -> tuple[Question, asyncio.Future[str]]:
    question = Question()

    async def activity() -> str:
        return await interruptible(question.ask())

    asked = asyncio.ensure_future(env.run(activity))
    await asyncio.wait_for(question.asked.wait(), WITHIN)
    return question, asked


async def ended(asked: asyncio.Future[str]) -> str:
    # without `wait_for`, which would end the question by telling it to stop once more
    done, _ = await asyncio.wait({asked}, timeout=WITHIN)
    assert done, "it goes on although its worker shuts down"
    return asked.result()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_run_that_wants_no_answer_any_more_gets_it_all_the_same():
    env = ActivityEnvironment()
    question, asked = await begun(env)
    env.cancel()
    await turns()
    question.answer.set_result("granted")
    assert await ended(asked) == "granted"


async def test_an_orderly_stop_is_no_failure_that_a_worker_logs():
    env = ActivityEnvironment()
    _, asked = await begun(env)
    env.cancel()
    await turns()
    env.worker_shutdown()
    with pytest.raises(ApplicationError, match="interrupted by a shutdown") as raised:
        await ended(asked)
    assert raised.value.category is ApplicationErrorCategory.BENIGN


async def test_a_worker_that_shuts_down_gives_the_question_time_until_it_tells_it_to_stop():
    env = ActivityEnvironment()
    _, asked = await begun(env)
    env.worker_shutdown()
    await turns()
    assert not asked.done()
    env.cancel()
    with pytest.raises(ApplicationError, match="Temporal retries it") as raised:
        await ended(asked)
    assert not raised.value.non_retryable


async def test_a_question_whose_run_is_gone_holds_up_no_worker_that_shuts_down_later():
    """The run was terminated or reset: the worker is told once, and not again when it shuts down."""
    env = ActivityEnvironment()
    _, asked = await begun(env)
    env.cancel()
    await turns()
    assert not asked.done()
    env.worker_shutdown()
    with pytest.raises(ApplicationError, match="Temporal retries it"):
        await ended(asked)
