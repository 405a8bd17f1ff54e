"""The setting of the lease: what follows from it, and what bootstrap makes of it."""

import pytest

from infra.bootstrap import lease_from
from infra.errors import SetupError
from pipeline.lease import LEASE_SECONDS, Lease


@pytest.mark.parametrize("seconds", [1.0, 3.0, LEASE_SECONDS])
def test_whoever_lives_is_heard_twice_before_its_lease_lapses(seconds: float) -> None:
    lease = Lease(seconds)
    assert 2 * lease.renew_seconds < 2 * lease.heartbeat_seconds < lease.ack_wait_seconds == seconds
    assert lease.settled.total_seconds() < seconds < lease.delivery_seconds


@pytest.mark.parametrize(("said", "seconds"), [(None, LEASE_SECONDS), ("", LEASE_SECONDS), ("3", 3.0), ("1.5", 1.5)])
def test_bootstrap_takes_the_lease_that_the_services_read(said: str | None, seconds: float) -> None:
    assert lease_from({} if said is None else {"ENLARGER_LEASE_SECONDS": said}) == Lease(seconds)


@pytest.mark.parametrize("said", ["soon", "0", "-3", "0.5", "nan", "inf"])
def test_bootstrap_refuses_a_lease_that_is_no_time(said: str) -> None:
    with pytest.raises(SetupError, match="ENLARGER_LEASE_SECONDS"):
        lease_from({"ENLARGER_LEASE_SECONDS": said})
