"""Ticks of cron expressions by brute force: each minute of UTC goes through zoneinfo.

Written without a look at the Rust code, from docs/schedules.md alone:

- A wall time matches when minute, hour and month are in their fields and the day is in the day
  fields: in both, or in either where both are restricted. One that begins with `*` or `?` is not.
- Where the hour field is `*` or `*/n`, each minute of UTC whose wall time matches is a tick.
- Else each wall time that matches is a tick once: at the first minute of UTC that shows it, or where
  none does, at the first minute after the gap.

Reads lines from standard input, fields separated by tabs:

    zone NAME FROM TO       minutes since the epoch; TO is not included
    cron EXPRESSION         five fields

and writes for each zone, as soon as it is known

    zone NAME MINUTE:OFFSET …                 where its offset (in minutes) changes, from FROM on
    ticks INDEX COUNT CRC                     for each expression; CRC of one byte for each minute
    list INDEX MINUTE MINUTE …                instead, with the argument `list`

With the argument `croniter` and lines `from MINUTE COUNT`, the ticks of the package of that name,
in UTC: `list INDEX MINUTE …` or `refused INDEX WHY`.
"""

import calendar
import datetime
import functools
import sys
import zlib

MINUTE = datetime.timedelta(minutes=1)
EPOCH = datetime.datetime(1970, 1, 1)
EPOCH_DAY = EPOCH.toordinal()
NAMES = {
    "": {},
    "month": {name: number for number, name in enumerate(
        "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), 1)},
    "weekday": {name: number for number, name in enumerate("SUN MON TUE WED THU FRI SAT".split())},
}
# Days from 1970 on, and what is not yet known of one.
DAYS = 50_000
UNKNOWN = 2
# Wall clocks are at most so far from UTC, in minutes.
MARGIN = 2 * 1440


def number(text, names):
    known = NAMES[names]
    return known[text.upper()] if text.upper() in known else int(text)


@functools.lru_cache(maxsize=None)
def numbers(field, low, high, names=""):
    """The numbers of a field as a set."""
    found = set()
    for item in field.split(","):
        bounds, _, step = item.partition("/")
        if bounds == "*":
            first, last = low, high
        elif "-" in bounds:
            first, last = (number(bound, names) for bound in bounds.split("-"))
            if names == "weekday" and last == 0 < first:
                last = 7
        else:
            first = number(bounds, names)
            last = high if step else first
        found.update(range(first, last + 1, int(step or 1)))
    return found


def weekday(date):
    """0 is Sunday."""
    return (date.weekday() + 1) % 7


@functools.lru_cache(maxsize=None)
def nearest(year, month, day):
    """The day from Monday to Friday that is nearest to a day, in its month."""
    length = calendar.monthrange(year, month)[1]
    if day > length:
        return None
    fit = [other for other in range(1, length + 1)
           if datetime.date(year, month, other).weekday() < 5]
    return min(fit, key=lambda other: abs(other - day))


def in_days_of_month(date, field):
    length = calendar.monthrange(date.year, date.month)[1]
    for item in field.upper().split(","):
        if item == "?":
            fits = True
        elif item == "LW":
            fits = date.day == nearest(date.year, date.month, length)
        elif item.startswith("L"):
            fits = date.day == length + int(item[1:] or 0)
        elif item.endswith("W"):
            fits = date.day == nearest(date.year, date.month, int(item[:-1]))
        else:
            fits = date.day in numbers(item, 1, 31)
        if fits:
            return True
    return False


def in_days_of_week(date, field):
    length = calendar.monthrange(date.year, date.month)[1]
    for item in field.upper().split(","):
        if item == "?":
            fits = True
        elif "#" in item:
            day, nth = item.split("#")
            same = [day_of_month for day_of_month in range(1, length + 1)
                    if weekday(date.replace(day=day_of_month)) == number(day, "weekday") % 7]
            fits = len(same) >= int(nth) and date.day == same[int(nth) - 1]
        elif item.endswith("L"):
            fits = weekday(date) == number(item[:-1], "weekday") % 7 and date.day + 7 > length
        else:
            fits = weekday(date) in {day % 7 for day in numbers(item, 0, 7, "weekday")}
        if fits:
            return True
    return False


class Expression:
    def __init__(self, text):
        minute, hour, self.of_month, month, self.of_week = text.split()
        minutes, hours = numbers(minute, 0, 59), numbers(hour, 0, 23)
        self.months = numbers(month, 1, 12, "month")
        self.every_hour = hour == "*" or hour.startswith("*/") and "," not in hour
        self.day = bytes(of_day // 60 in hours and of_day % 60 in minutes for of_day in range(1440))
        restricted = [field[0] not in "*?" for field in (self.of_month, self.of_week)]
        self.join = any if all(restricted) else all
        self.known = bytearray([UNKNOWN]) * DAYS

    def has_date(self, day):
        if self.known[day] == UNKNOWN:
            date = datetime.date.fromordinal(day + EPOCH_DAY)
            self.known[day] = date.month in self.months and self.join(
                (in_days_of_month(date, self.of_month), in_days_of_week(date, self.of_week)))
        return self.known[day]

    def walls(self, first_day, last_day):
        """One byte for each minute of wall time: whether it matches."""
        never = bytes(1440)
        days = range(first_day, last_day + 1)
        return b"".join(self.day if self.has_date(day) else never for day in days)


class Zone:
    """What wall clocks show at each minute of UTC, put together where it only counts up."""

    def __init__(self, name, first, end):
        import zoneinfo
        zone = zoneinfo.ZoneInfo(name)
        self.length = end - first
        self.first_day = (first - 2 * MARGIN) // 1440
        self.last_day = (end + MARGIN) // 1440
        base = self.first_day * 1440
        seen = bytearray((self.last_day - self.first_day + 1) * 1440)
        self.runs = []      # [first minute, first wall minute, count, whether shown before]
        self.gaps = []      # (minute, first wall minute never shown, end of those)
        self.changes = []   # (minute, offset)
        last_wall = last_offset = None
        utc = (EPOCH + (first - MARGIN) * MINUTE).replace(tzinfo=zone)
        for minute in range(first - MARGIN, end):
            local = zone.fromutc(utc)
            utc += MINUTE
            wall = ((local.toordinal() - EPOCH_DAY) * 1440 + local.hour * 60 + local.minute) - base
            again = seen[wall]
            seen[wall] = 1
            goes_on = last_wall is not None and wall == last_wall + 1
            if last_wall is not None and wall > last_wall + 1 and minute >= first:
                self.gaps.append((minute - first, last_wall + 1, wall))
            if minute >= first:
                offset = wall + base - minute
                if offset != last_offset:
                    self.changes.append((minute, offset))
                    last_offset = offset
                if goes_on and self.runs and self.runs[-1][3] == again:
                    self.runs[-1][2] += 1
                else:
                    self.runs.append([minute - first, wall, 1, again])
            last_wall = wall

    def ticks(self, expression):
        """One byte for each minute of UTC."""
        walls = memoryview(expression.walls(self.first_day, self.last_day))
        parts = []
        for _, wall, count, again in self.runs:
            counts = expression.every_hour or not again
            parts.append(walls[wall:wall + count] if counts else bytes(count))
        ticks = bytearray().join(parts)
        if not expression.every_hour:
            for minute, first, end in self.gaps:
                if any(walls[first:end]):
                    ticks[minute] = 1
        return ticks


def brute_force(lines, as_list):
    expressions = [Expression(fields[1]) for fields in lines if fields[0] == "cron"]
    for _, name, first, end in (fields for fields in lines if fields[0] == "zone"):
        first = int(first)
        zone = Zone(name, first, int(end))
        changes = " ".join(f"{minute}:{offset}" for minute, offset in zone.changes)
        print("zone", name, changes, flush=True)
        for index, expression in enumerate(expressions):
            ticks = zone.ticks(expression)
            if as_list:
                found = (str(first + minute) for minute, tick in enumerate(ticks) if tick)
                print("list", index, *found, flush=True)
            else:
                print("ticks", index, ticks.count(1), zlib.crc32(ticks), flush=True)


def by_croniter(lines):
    from croniter import croniter
    first, count = next((int(fields[1]), int(fields[2])) for fields in lines if fields[0] == "from")
    for index, text in enumerate(fields[1] for fields in lines if fields[0] == "cron"):
        try:
            ticks = croniter(text, EPOCH + first * MINUTE, ret_type=datetime.datetime)
            found = [(ticks.get_next() - EPOCH) // MINUTE for _ in range(count)]
            print("list", index, *found, flush=True)
        except Exception as error:
            print("refused", index, type(error).__name__, error, flush=True)


if __name__ == "__main__":
    given = [line.rstrip("\n").split("\t") for line in sys.stdin]
    if sys.argv[1:] == ["croniter"]:
        by_croniter(given)
    else:
        brute_force(given, sys.argv[1:] == ["list"])
