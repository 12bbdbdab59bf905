"""The project's figures, as ratios to the raw SDKs in one run: `python -m tests.benchmarks`.

Not collected by the test run: timings are no assertions. Every ratio compares two contenders
that take turns in one process, so a busy machine slows both; processor time is the client's
own (user + system), never the server's, which is a process of its own.
"""
