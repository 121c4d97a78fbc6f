"""The fraud scenarios. To add one: a file with its class here, and a line in `SCENARIOS` (the shares sum to 1)."""

from fraudstream.simulator.scenarios.account_takeover import AccountTakeover
from fraudstream.simulator.scenarios.base import MAX_LIFETIME_MS, Attacks, Scenario
from fraudstream.simulator.scenarios.bot_checkout import BotCheckout
from fraudstream.simulator.scenarios.card_testing import CardTesting
from fraudstream.simulator.scenarios.compromised_device import CompromisedDevice
from fraudstream.simulator.scenarios.friendly_fraud import FriendlyFraud
from fraudstream.simulator.scenarios.mix import FraudMix, ScenarioError
from fraudstream.simulator.scenarios.promo_abuse import PromoAbuse
from fraudstream.simulator.scenarios.stolen_card_spree import StolenCardSpree
from fraudstream.simulator.scenarios.triangulation import Triangulation
from fraudstream.simulator.sessions import LEGITIMATE

SCENARIOS: tuple[Scenario, ...] = (
    CardTesting(),
    AccountTakeover(),
    BotCheckout(),
    StolenCardSpree(),
    PromoAbuse(),
    FriendlyFraud(),
    Triangulation(),
    CompromisedDevice(),
)

#: Names by the code in the columns: 0 is legitimate.
SCENARIO_NAMES = (LEGITIMATE, *(scenario.name for scenario in SCENARIOS))

__all__ = ["MAX_LIFETIME_MS", "SCENARIOS", "SCENARIO_NAMES", "Attacks", "FraudMix", "Scenario", "ScenarioError"]
