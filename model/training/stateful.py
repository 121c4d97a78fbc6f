"""The features of a history's transactions that come from profiles, computed on all cores.

Every process takes the customers of one shard, whose events come as the stream would have met them. Profiles begin with
what is in the folder `warm_up`, whose transactions get no features of their own; without it they begin empty, as on a
new platform.
"""

from array import array
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa

from fraudstream.messages.contracts import BrowseEvent
from fraudstream.static_data.currencies import CurrencyRates
from model.features.columns import STATEFUL_COLUMNS
from model.features.observe import observe_browse, observe_transaction
from model.features.profile import Profile
from model.training.events import event_ms, events_of
from model.training.history import TRANSACTIONS, HistoryFolder
from model.training.shards import counted, in_processes


def stateful_features(
    folder: HistoryFolder, processes: int, progress: Callable[[int], None], rates: CurrencyRates
) -> pd.DataFrame:
    """STATEFUL_COLUMNS: a row a transaction, indexed by transaction_id; a repeated transaction isn't in it.

    Nor is a transaction of the warm-up, which only moves the profiles. Amounts are converted with `rates`.

    Calls `progress` now and then with the number of events done so far. Raises HistoryError.
    """
    folder.parts(TRANSACTIONS)
    shards = [(folder, shard, processes, rates) for shard in range(processes)]
    results = in_processes(_shard_features, shards, processes, progress)
    identifiers = np.concatenate([part[0] for part in results])
    return pd.DataFrame(np.concatenate([part[1] for part in results]), identifiers, STATEFUL_COLUMNS)


def _shard_features(
    folder: HistoryFolder, shard: int, shards: int, rates: CurrencyRates
) -> tuple[np.ndarray, np.ndarray]:
    """Transaction ids and features of the customers whose place in customers.parquet is `shard` modulo `shards`.

    Of a shop's own history, which has no such file, their place in the order of all.
    """
    registered = folder.static("customers")
    customers = folder.everybody() if registered is None else pa.array(registered["customer_id"], pa.string())
    mine = customers.take(pa.array(range(shard, len(customers), shards)))
    profiles: dict[str, Profile] = {str(customer): Profile() for customer in mine}
    identifiers: list[str] = []
    features = array("d")
    for _, event, warms in counted(events_of(folder, mine)):
        profile = profiles[event.customer_id]
        if isinstance(event, BrowseEvent):
            observe_browse(profile, event)
            continue
        values = observe_transaction(profile, event, rates.at(event.currency, event_ms(event)))
        if values is not None and not warms:
            identifiers.append(event.transaction_id)
            features.extend(values)
    return np.array(identifiers, object), np.frombuffer(features).reshape(-1, len(STATEFUL_COLUMNS))
