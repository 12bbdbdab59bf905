"""When a vendor's day ends: limits "per day" mean the vendor's day, not ours.

Google: midnight Pacific, so 23 and 25 hours twice a year. OpenRouter: midnight UTC.
Others say in their answers when they refill; UTC stands in where they do not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@lru_cache
def zone_info(name: str) -> tzinfo:
    """The time zone of that name; UTC where the system does not know it."""
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        return UTC


def day_end(wall: float, zone: str) -> float:
    """The next midnight in `zone` after `wall` (both epoch seconds)."""
    local = datetime.fromtimestamp(wall, zone_info(zone))
    tomorrow = local.date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone_info(zone)).timestamp()
