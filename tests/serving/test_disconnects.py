from tests.serving.disconnects import Round, problems, run_rounds


def test_half_of_64_clients_leave_and_nothing_stays_behind() -> None:
    found = run_rounds(3)
    assert problems(found) == []


def test_what_is_left_behind_is_found() -> None:
    good = Round(wrong=0, seconds_until_idle=0.1, threads=8, open_files=20, memory_bytes=10**8)
    assert problems([good] * 30) == []
    leaking = [Round(0, 0.1, 8 + n, 20 + n, 10**8 + n * 10**6) for n in range(30)]
    assert [problem.split()[0] for problem in problems(leaking)] == ["threads", "open_files", "memory"]
    assert len(problems([good, Round(2, 1.5, 8, 20, 10**8)])) == 2
