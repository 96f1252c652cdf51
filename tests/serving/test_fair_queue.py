import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.serving.errors import ApiError
from sartor.serving.fair_queue import FairGate, FairQueue
from sartor.serving.places import FIRST_GUESS_SECONDS, LONGEST_SECONDS, Places


def test_clients_are_served_by_turns_and_each_in_its_own_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for client, item in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")]:
        queue.push(client, item)
    assert queue.remove("a", "a2") and not queue.remove("a", "a2") and not queue.remove("z", "a1")
    assert [queue.pop() for _ in range(len(queue))] == ["a1", "b1", "c1", "a3", "b2"]
    with pytest.raises(IndexError):
        queue.pop()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_nobody_is_passed_over_twice(clients: list[int]) -> None:
    """Between two turns of one client, none that waits all the while gets fewer than one turn."""
    queue: FairQueue[tuple[int, int]] = FairQueue()
    for number, client in enumerate(clients):
        queue.push(client, (client, number))
    served = [queue.pop() for _ in clients]
    assert sorted(served, key=lambda item: item[1]) == [(client, number) for number, client in enumerate(clients)]
    for client in set(clients):
        own = [place for place, item in enumerate(served) if item[0] == client]
        assert [served[place][1] for place in own] == sorted(served[place][1] for place in own)
        for first, second in zip(own, own[1:], strict=False):
            waiting = {item[0] for item in served[second:]}
            assert waiting - {client} <= {item[0] for item in served[first + 1 : second]}


def test_a_gate_lets_few_in_and_leavers_give_up_their_turns() -> None:
    async def scenario() -> list[str]:
        gate, entered, go_on = FairGate(1), [], asyncio.Event()

        async def enter(client: str, name: str) -> None:
            async with gate.enter(client):
                entered.append(name)
                await go_on.wait()

        tasks = {}
        for client, name in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1")]:
            tasks[name] = asyncio.create_task(enter(client, name))
            await asyncio.sleep(0)
        assert entered == ["a1"]
        tasks["a2"].cancel()  # while it waits
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        async with gate.enter("z"):  # the place is free again
            return entered

    assert asyncio.run(scenario()) == ["a1", "a3", "b1", "c1"]


def test_a_turn_that_comes_to_one_who_has_just_left_goes_on_to_the_next() -> None:
    async def scenario() -> None:
        gate = FairGate(1)
        inside = gate.enter("a")
        await inside.__aenter__()
        leaving = asyncio.create_task(gate.enter("b").__aenter__())
        staying = asyncio.create_task(gate.enter("c").__aenter__())
        await asyncio.sleep(0)
        await inside.__aexit__(None, None, None)  # b's turn has come, but b did not run yet
        leaving.cancel()
        await asyncio.wait_for(staying, 5)

    asyncio.run(scenario())


def test_a_turn_does_not_come_to_one_who_was_told_to_leave() -> None:
    async def scenario() -> None:
        gate = FairGate(1)
        inside = gate.enter("a")
        await inside.__aenter__()
        leaving = asyncio.create_task(gate.enter("b").__aenter__())
        staying = asyncio.create_task(gate.enter("c").__aenter__())
        await asyncio.sleep(0)
        leaving.cancel()
        await inside.__aexit__(None, None, None)  # before b has heard of it
        await asyncio.wait_for(staying, 5)

    asyncio.run(scenario())


def test_the_estimate_is_the_pace_at_which_places_come_free() -> None:
    now = [100.0]
    places = Places(8, clock=lambda: now[0])
    places.reserve(8)
    assert refused(places, 1) == FIRST_GUESS_SECONDS
    for _ in range(4):
        places.release(1)
        places.reserve(1)
        now[0] += 10.0
    assert refused(places, 1) == 10 and refused(places, 3) == 30
    now[0] += 1000.0  # what was long ago says nothing
    assert refused(places, 1) == FIRST_GUESS_SECONDS
    places.release(8)
    assert places.taken == 0


def test_more_than_there_are_places_is_a_wrong_request() -> None:
    with pytest.raises(ApiError) as caught:
        Places(2).reserve(3)
    assert caught.value.status == 400 and caught.value.param == "n"
    assert 1 <= Places(2).seconds_until(10**9) <= LONGEST_SECONDS


def refused(places: Places, answers: int) -> int:
    with pytest.raises(ApiError) as caught:
        places.reserve(answers)
    assert caught.value.status == 429
    return int(caught.value.headers["Retry-After"])
