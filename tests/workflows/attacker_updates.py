"""An attacker who answers updates: it takes the workflow task that brings one, and accepts and completes it."""

import uuid

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message as ProtoMessage
from temporalio.api.command.v1 import Command, ProtocolMessageCommandAttributes
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import CommandType
from temporalio.api.protocol.v1 import Message
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.update.v1 import Acceptance, Outcome, Request, Response
from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueRequest, RespondWorkflowTaskCompletedRequest
from temporalio.client import Client


async def accept_update(client: Client, queue: str, workflow_id: str, answer: Payload) -> None:
    """Take tasks of a workflow until one brings an update; accept that, and complete it with an answer."""
    service = client.workflow_service
    request = PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue), identity="mallory")
    while True:
        task = await service.poll_workflow_task_queue(request)
        if task.workflow_execution.workflow_id != workflow_id:
            continue
        said = [each for brought in task.messages for each in _accepted(brought, answer)]
        await service.respond_workflow_task_completed(
            RespondWorkflowTaskCompletedRequest(
                namespace=client.namespace, task_token=task.task_token, identity="mallory", messages=said,
                commands=[
                    Command(
                        command_type=CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE,
                        protocol_message_command_attributes=ProtocolMessageCommandAttributes(message_id=each.id),
                    )
                    for each in said
                ],
            )
        )  # fmt: skip
        if said:
            return


def _accepted(brought: Message, answer: Payload) -> tuple[Message, Message]:
    asked = Request()
    assert brought.body.Unpack(asked)
    accepted = Acceptance(
        accepted_request_message_id=brought.id, accepted_request_sequencing_event_id=brought.event_id, accepted_request=asked
    )
    completed = Response(meta=asked.meta, outcome=Outcome(success=Payloads(payloads=[answer])))
    return _message(brought, accepted), _message(brought, completed)


def _message(brought: Message, content: ProtoMessage) -> Message:
    body = AnyMessage()
    body.Pack(content)
    return Message(id=str(uuid.uuid4()), protocol_instance_id=brought.protocol_instance_id, body=body)
