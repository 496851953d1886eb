"""What crosses the wire: messages and services (`api`, generated), URNs, coders, timestamps, gRPC plumbing.

Facts only: nothing here decides anything about the model (no window assignment, no triggers), so that the runner and the
oracle, which both build on it, stay two independent readings.
"""
