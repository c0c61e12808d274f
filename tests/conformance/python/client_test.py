"""The official Python client against the local Realtime: one test, one promise.

Run by ../python.test.ts, which starts the server and serves, over HTTP, what a test needs besides it: SQL, tokens, and
control of the server. Each outcome is a line of JSON on standard output.
"""

import asyncio
import json
import logging
import os
import sys
import traceback
import unittest
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlparse

import httpx
from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates
from realtime.exceptions import RealtimeHTTPError
from realtime.types import RealtimeAcknowledgementStatus

SERVER = os.environ["REALTIME_URL"]
DRIVER = os.environ["DRIVER_URL"]
PATIENCE_SECONDS = 12

SUBSCRIBED = RealtimeSubscribeStates.SUBSCRIBED
CLOSED = RealtimeSubscribeStates.CLOSED
CHANNEL_ERROR = RealtimeSubscribeStates.CHANNEL_ERROR


class UnreadableFrames(logging.Handler):
    """Collects the complaints of a client that was sent what it cannot read."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "Unrecognized message format" in record.getMessage():
            self.seen.append(record.getMessage())


class Inbox:
    """What callbacks are told, to be waited for in order."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[Any] = asyncio.Queue()

    def __call__(self, *item: Any) -> None:
        self._items.put_nowait(item[0] if len(item) == 1 else item)

    async def next(self) -> Any:
        return await asyncio.wait_for(self._items.get(), PATIENCE_SECONDS)

    async def next_state(self) -> RealtimeSubscribeStates:
        return (await self.next())[0]

    @property
    def is_empty(self) -> bool:
        return self._items.empty()


async def drive(path: str, body: dict[str, Any]) -> Any:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http:
        response = await http.post(f"{DRIVER}/{path}", json=body)
        response.raise_for_status()
        return response.json()


async def sql(statement: str) -> list[dict[str, Any]]:
    return await drive("sql", {"statement": statement})


async def token(role: str = "authenticated", **options: Any) -> str:
    return (await drive("token", {"role": role, **options}))["token"]


async def pass_time(seconds: int) -> None:
    await drive("pass", {"seconds": seconds})


def config(private: bool = False, key: str = "", **broadcast: Any) -> dict[str, Any]:
    presence = {"key": key, "enabled": False}
    return {"config": {"broadcast": broadcast, "presence": presence, "private": private}}


class RealtimeTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.topic = f"conformance:{uuid.uuid4()}"
        self.unreadable = UnreadableFrames()
        logging.getLogger("realtime").addHandler(self.unreadable)
        self.addCleanup(logging.getLogger("realtime").removeHandler, self.unreadable)

    async def asyncTearDown(self) -> None:
        self.assertEqual(self.unreadable.seen, [])

    async def connect(self, key: str | None = None, **options: Any) -> AsyncRealtimeClient:
        client = AsyncRealtimeClient(f"{SERVER}/realtime/v1", key or await token(), initial_backoff=0.05, **options)
        await client.connect()
        self.addAsyncCleanup(client.close)
        return client

    async def subscribe(
        self,
        client: AsyncRealtimeClient,
        params: dict[str, Any] | None = None,
        prepare: Callable[[AsyncRealtimeChannel], Any] = lambda channel: None,
    ) -> tuple[AsyncRealtimeChannel, Inbox]:
        channel = client.channel(self.topic, params)
        prepare(channel)
        states = Inbox()
        await channel.subscribe(states)
        self.assertEqual(await states.next_state(), SUBSCRIBED)
        return channel, states

    async def acknowledged(self, channel: AsyncRealtimeChannel, event: str, payload: Any = None) -> str:
        answers = Inbox()
        data = {"type": "broadcast", "event": event, "payload": payload or {}}
        push = await channel.push("broadcast", data)
        for status in (RealtimeAcknowledgementStatus.Ok, RealtimeAcknowledgementStatus.Error):
            push.receive(status, lambda _, status=status: answers(status.value))
        push.receive(RealtimeAcknowledgementStatus.Timeout, lambda: answers("timeout"))
        return await answers.next()

    async def grant(self, command: str, extensions: str = "'broadcast', 'presence'") -> str:
        """Lets authenticated read (select) or write (insert) in the test's topic; answers the policy's name."""
        name = f"conformance {uuid.uuid4()}"
        clause = "using" if command == "select" else "with check"
        condition = f"realtime.topic() = '{self.topic}' and extension in ({extensions})"
        await sql(f'create policy "{name}" on realtime.messages for {command} to authenticated {clause} ({condition})')
        self.addAsyncCleanup(sql, f'drop policy if exists "{name}" on realtime.messages')
        return name

    async def test_the_client_speaks_v1(self) -> None:
        client = await self.connect()
        self.assertEqual(parse_qs(urlparse(client.endpoint_url()).query)["vsn"], ["1.0.0"])
        await self.subscribe(client)

    async def test_a_bad_key_is_refused_over_http(self) -> None:
        client = AsyncRealtimeClient(f"{SERVER}/realtime/v1", "nonsense", auto_reconnect=False)
        with self.assertRaisesRegex(Exception, "HTTP 401"):
            await client.connect()

    async def test_broadcasts_go_both_ways(self) -> None:
        heard = {name: Inbox() for name in ("one", "two")}
        one, _ = await self.subscribe(await self.connect(), None, lambda c: c.on_broadcast("*", heard["one"]))
        two, _ = await self.subscribe(await self.connect(), None, lambda c: c.on_broadcast("e", heard["two"]))
        await one.send_broadcast("E", {"n": 1})
        self.assertEqual((await heard["two"].next())["payload"], {"n": 1})
        await two.send_broadcast("other", {"n": 2})
        received = await heard["one"].next()
        self.assertEqual((received["event"], received["payload"]), ("other", {"n": 2}))
        # Nobody hears oneself without asking for it.
        self.assertTrue(heard["one"].is_empty and heard["two"].is_empty)

    async def test_self_comes_before_the_acknowledgement(self) -> None:
        order: list[str] = []
        params = config(ack=True, self=True)
        channel, _ = await self.subscribe(
            await self.connect(), params, lambda c: c.on_broadcast("e", lambda _: order.append("self"))
        )
        order.append(await self.acknowledged(channel, "e"))
        self.assertEqual(order, ["self", "ok"])

    async def test_a_private_channel_opens_to_a_token_with_a_policy(self) -> None:
        await self.grant("select")
        await self.grant("insert")
        client = await self.connect(await token("anon"))
        await client.set_auth(await token())
        channel, _ = await self.subscribe(client, config(private=True, ack=True))
        self.assertEqual(await self.acknowledged(channel, "e"), "ok")

    async def test_a_denied_join_is_told_why(self) -> None:
        client = await self.connect()
        states = Inbox()
        channel = client.channel(self.topic, config(private=True))
        await channel.subscribe(states)
        state, error = await states.next()
        self.assertEqual(state, CHANNEL_ERROR)
        self.assertEqual(
            json.loads(str(error)),
            {"reason": f"Unauthorized: You do not have permissions to read from this Channel topic: {self.topic}"},
        )

    async def test_a_write_that_is_denied_is_not_acknowledged(self) -> None:
        await self.grant("select")
        client = await self.connect(timeout=1)
        channel, _ = await self.subscribe(client, config(private=True, ack=True))
        self.assertEqual(await self.acknowledged(channel, "e"), "timeout")

    async def test_presence_state_join_and_leave(self) -> None:
        tracking = await self.connect()
        present, _ = await self.subscribe(tracking, config(key="worker"))
        await present.track({"status": "idle"})

        joins, leaves, syncs = Inbox(), Inbox(), Inbox()

        def listen(channel: AsyncRealtimeChannel) -> None:
            channel.on_presence_join(joins).on_presence_leave(leaves).on_presence_sync(lambda: syncs(True))

        watcher, _ = await self.subscribe(await self.connect(), config(key="watcher"), listen)
        # The state comes first, a change as a diff.
        key, _, new = await joins.next()
        self.assertEqual((key, new[0]["status"]), ("worker", "idle"))
        await syncs.next()
        self.assertEqual(list(watcher.presence_state()), ["worker"])
        await present.track({"status": "busy"})
        key, _, new = await joins.next()
        self.assertEqual((key, new[0]["status"]), ("worker", "busy"))
        key, _, left = await leaves.next()
        self.assertEqual((key, left[0]["status"]), ("worker", "idle"))
        # A socket that is gone has left.
        await tracking.close()
        key, _, left = await leaves.next()
        self.assertEqual((key, left[0]["status"]), ("worker", "busy"))
        await syncs.next()
        self.assertEqual(watcher.presence_state(), {})

    async def test_untrack_leaves(self) -> None:
        leaves = Inbox()
        await self.subscribe(await self.connect(), None, lambda c: c.on_presence_leave(leaves))
        present, _ = await self.subscribe(await self.connect(), config(key="k"))
        await present.track({})
        await present.untrack()
        self.assertEqual((await leaves.next())[0], "k")

    async def test_a_channel_is_closed_when_its_token_ends(self) -> None:
        client = await self.connect()
        await client.set_auth(await token(expiresInSeconds=60))
        channel, states = await self.subscribe(client)
        await pass_time(60)
        state, error = await states.next()
        self.assertEqual(state, CHANNEL_ERROR)
        self.assertRegex(json.loads(str(error))["message"], r"^Token has expired \d+ seconds ago$")
        self.assertEqual(await states.next_state(), CLOSED)
        self.assertTrue(channel.is_closed and client.is_connected)

    async def test_a_new_token_in_time_keeps_the_channel(self) -> None:
        client = await self.connect()
        await client.set_auth(await token(expiresInSeconds=60))
        kept, kept_states = await self.subscribe(client, config(ack=True))
        await client.set_auth(await token(expiresInSeconds=600))
        self.assertEqual(await self.acknowledged(kept, "e"), "ok")

        lapsing = await self.connect()
        await lapsing.set_auth(await token(expiresInSeconds=60))
        _, lapsing_states = await self.subscribe(lapsing)
        await pass_time(60)
        self.assertEqual(await lapsing_states.next_state(), CHANNEL_ERROR)
        self.assertEqual(await self.acknowledged(kept, "e"), "ok")
        self.assertTrue(kept_states.is_empty)

    async def test_a_token_that_may_no_longer_read_closes_the_channel(self) -> None:
        policy = await self.grant("select")
        client = await self.connect()
        channel, states = await self.subscribe(client, config(private=True))
        await sql(f'drop policy "{policy}" on realtime.messages')
        self.assertTrue(channel.is_joined)
        await client.set_auth(await token())
        state, error = await states.next()
        self.assertEqual(state, CHANNEL_ERROR)
        self.assertRegex(json.loads(str(error))["message"], "^You do not have permissions to read")
        self.assertEqual(await states.next_state(), CLOSED)

    async def test_messages_of_the_database_come_with_their_id(self) -> None:
        heard = Inbox()
        client = await self.connect(await token("service_role"))
        await self.subscribe(client, config(private=True), lambda c: c.on_broadcast("*", heard))
        # Bytes cannot be carried, so they are left out.
        await sql(f"select realtime.send_binary('\\x00', 'bytes', '{self.topic}')")
        await sql(f"""select realtime.send('{{"n": 1}}', 'e', '{self.topic}')""")
        received = await heard.next()
        self.assertEqual(received["payload"], {"n": 1, "id": received["meta"]["id"]})
        self.assertEqual(received["event"], "e")

    async def test_stored_messages_are_replayed(self) -> None:
        for event in ("1", "2", "3"):
            await sql(f"select realtime.send('{{}}', '{event}', '{self.topic}')")
        heard = Inbox()
        client = await self.connect(await token("service_role"))
        params = config(private=True, replay={"since": 0, "limit": 2})
        await self.subscribe(client, params, lambda c: c.on_broadcast("*", heard))
        received = [await heard.next(), await heard.next()]
        self.assertEqual([(each["event"], each["meta"]["replayed"]) for each in received], [("2", True), ("3", True)])

    async def test_the_link_to_the_database_is_announced(self) -> None:
        system = Inbox()
        await self.subscribe(await self.connect(), config(replication_ready=True), lambda c: c.on_system(system))
        received = await system.next()
        self.assertEqual((received.message, received.channel), ("Replication connection established", self.topic))

    async def test_broadcasts_over_http(self) -> None:
        heard = Inbox()
        channel, _ = await self.subscribe(await self.connect(), None, lambda c: c.on_broadcast("*", heard))
        await channel.http_send("bytes", b"\x00")
        await channel.http_send("json / é", {"n": 1})
        received = await heard.next()
        self.assertEqual((received["event"], received["payload"]), ("json / é", {"n": 1}))
        private = (await self.connect()).channel(self.topic, config(private=True))
        with self.assertRaisesRegex(RealtimeHTTPError, "Unauthorized") as caught:
            await private.http_send("e", {})
        self.assertEqual(caught.exception.status, 403)

    async def test_unsubscribing_closes_the_channel(self) -> None:
        client = await self.connect()
        channel, states = await self.subscribe(client)
        await channel.unsubscribe()
        self.assertEqual(await states.next_state(), CLOSED)
        self.assertTrue(client.is_connected)

    async def test_after_a_restart_of_the_server_the_client_is_back_by_itself(self) -> None:
        heard = Inbox()
        client = await self.connect()
        channel, states = await self.subscribe(client, config(ack=True, self=True), lambda c: c.on_broadcast("e", heard))
        await drive("restart", {})
        while await states.next_state() != SUBSCRIBED:
            pass
        self.assertEqual(await self.acknowledged(channel, "e"), "ok")
        await heard.next()


class Outcomes(unittest.TestResult):
    """Writes a line for each test as it ends."""

    def _tell(self, test: unittest.TestCase, error: Any = None) -> None:
        name = test.id().rsplit(".", 1)[1].removeprefix("test_").replace("_", " ")
        text = "".join(traceback.format_exception(*error)) if error else None
        print(json.dumps({"name": name, "error": text}), flush=True)

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self._tell(test)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._tell(test, err)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._tell(test, err)


if __name__ == "__main__":
    outcomes = Outcomes()
    unittest.defaultTestLoader.loadTestsFromTestCase(RealtimeTest).run(outcomes)
    sys.exit(0 if outcomes.wasSuccessful() else 1)
