"""The fraud scenarios. To add one: a file with its class here, and a row in `fraudstream.simulator.mix.SCENARIOS`."""
