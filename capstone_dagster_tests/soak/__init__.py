"""The soak: trading days arrive for some minutes while processes are killed, the disk fills up and files come late.

    python -m capstone_dagster_tests.soak --days 30 --minutes 10 --seed 7

``plan`` draws what happens when, ``deliveries`` writes files as vendors do, ``installation`` is the platform that is
being soaked, ``faults`` does harm to it, ``watch`` measures its services, and ``judgement`` says what is wrong at the
end. The rows must be those of ``clean_run``, which reads the same files undisturbed. The tests of the soak itself are
in ``test_soak``.
"""
