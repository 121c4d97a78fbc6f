"""The fraud scenarios. To add one: a file with its class here, and a row in `SCENARIOS`."""

from fraudstream.simulator.scenario import Scenario
from fraudstream.simulator.scenarios.account_takeover import AccountTakeover
from fraudstream.simulator.scenarios.bot_checkout import BotCheckout
from fraudstream.simulator.scenarios.card_testing import CardTesting
from fraudstream.simulator.scenarios.compromised_device import CompromisedDevice
from fraudstream.simulator.scenarios.friendly_fraud import FriendlyFraud
from fraudstream.simulator.scenarios.promo_abuse import PromoAbuse
from fraudstream.simulator.scenarios.stolen_card_spree import StolenCardSpree
from fraudstream.simulator.scenarios.triangulation import Triangulation
from fraudstream.simulator.sessions import LEGITIMATE

#: The scenarios by their code in the columns, less 1. The shares sum to 1; even phases keep the drifts apart.
SCENARIOS: tuple[Scenario, ...] = (
    CardTesting("card_testing", share=0.22, phase=0.000),
    AccountTakeover("account_takeover", share=0.19, phase=0.125),
    BotCheckout("bot_checkout", share=0.16, phase=0.250),
    StolenCardSpree("stolen_card_spree", share=0.17, phase=0.375),
    PromoAbuse("promo_abuse", share=0.09, phase=0.500),
    FriendlyFraud("friendly_fraud", share=0.03, phase=0.625),
    Triangulation("triangulation", share=0.07, phase=0.750),
    CompromisedDevice("compromised_device", share=0.07, phase=0.875),
)

#: Names by the code in the columns: 0 is legitimate.
SCENARIO_NAMES = (LEGITIMATE, *(scenario.name for scenario in SCENARIOS))
