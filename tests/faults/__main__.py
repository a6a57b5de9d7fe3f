"""`./dev faults`: both services under fire, and an account of every request.

Everything runs on this machine's loopback interface and is gone afterwards.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from pathlib import Path
from typing import Final

import uvloop

from shared.errors import ServiceError
from shared.telemetry import configure_logging
from tests.faults.accounting import MARGIN
from tests.faults.campaign import Campaign, Order, run
from tests.faults.report import lines

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "fault-campaign.md"


def main() -> int:
    """0: no promise was broken; 1: some were; 2: it could not be run."""
    asked = _arguments()
    configure_logging("error", "console")
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # of the tap, which loses its broker too
    order = Order(asked.requests, asked.seed, asked.minutes, asked.margin, asked.logs)
    _say(f"seed {order.seed}, {order.requests:,} requests, at most {order.minutes:g} minutes")
    try:
        campaign = uvloop.run(run(order, _say))
    except ServiceError as error:
        _say(str(error))
        return 2
    text = "\n".join([*lines(campaign, _command(campaign, write=asked.write)), ""])
    print(text)
    if asked.write:
        DOCUMENT.write_text(text)
        _say(f"wrote {DOCUMENT.relative_to(Path.cwd())}")
    return 1 if campaign.violations else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    parser.add_argument(
        "--requests", type=int, default=2000, help="HTTP requests that need a script"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(10**6),
        help="decides which fault strikes when; drawn and printed when not given",
    )
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="the load ends after so many at the latest"
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=MARGIN,
        help="seconds after its scripts' deadline in which every caller has to be answered",
    )
    parser.add_argument(
        "--write", action="store_true", help="write the report to docs/fault-campaign.md"
    )
    parser.add_argument(
        "--logs", type=Path, help="an existing folder to keep the services' logs in"
    )
    return parser.parse_args()


def _command(campaign: Campaign, *, write: bool) -> str:
    order = campaign.order
    command = f"./dev faults --requests {order.requests} --seed {order.seed}"
    if order.margin != MARGIN:
        command += f" --margin {order.margin:g}"
    return f"{command} --write" if write else command


def _say(text: str) -> None:
    print(f"faults: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
