"""How long people wait after wrong passwords; the clock is moved by hand."""

from capstone_dagster.ui.tries import Tries


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_five_wrong_passwords_are_free_and_then_the_wait_doubles_up_to_five_minutes() -> None:
    clock = _Clock()
    tries = Tries(clock)
    waits = []

    for _ in range(16):
        tries.was_wrong("name anna")
        waits.append(tries.wait("name anna"))
        clock.now += waits[-1]

    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert tries.wait("name anna") == 0


def test_a_try_waits_for_the_slower_of_its_name_and_its_address_and_nobody_else_waits() -> None:
    tries = Tries(_Clock())
    for name in ("anna", "anna", "anna", "anna", "anna", "ben", "ben"):
        tries.was_wrong(f"name {name}", "address 10.0.0.1")

    assert tries.wait("name anna", "address 10.0.0.2") == 1
    assert tries.wait("name ben", "address 10.0.0.1") == 4
    assert tries.wait("name ben", "address 10.0.0.2") == 0
    assert tries.wait("browser of anna") == 0


def test_a_right_password_and_an_hour_without_a_wrong_one_let_people_begin_anew() -> None:
    clock = _Clock()
    tries = Tries(clock)
    for _ in range(8):
        tries.was_wrong("name anna", "name ben")

    tries.was_right("name anna")
    tries.was_wrong("name anna")
    assert tries.wait("name anna") == 0

    clock.now += 3600
    tries.was_wrong("name ben")
    assert tries.wait("name ben") == 0


def test_the_latest_ten_thousand_are_remembered() -> None:
    tries = Tries(_Clock())
    for _ in range(5):
        tries.was_wrong("first")
    for number in range(10_000):
        tries.was_wrong(f"{number}")
        if number == 5_000:
            assert tries.wait("first") == 1

    assert tries.wait("first") == 0
